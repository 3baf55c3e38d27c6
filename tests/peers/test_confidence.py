"""Word confidences against the two tools that report one: openai-whisper's and whisper-timestamped's, by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import whisper
import whisper_timestamped
from whisper.timing import find_alignment
from whisper.tokenizer import get_tokenizer

from whisperprobe import measures
from whisperprobe.probing.confidence import word_confidence
from whisperprobe.probing.probe import Probe

TEXTS = ["Transcendentalists, unhesitatingly!", "the quick brown fox", "don't", "naïve Straße zwölf"]


def sounds(samples, n, seed=0):
    rng = np.random.default_rng(seed)
    shapes = [np.abs(np.sin(np.arange(samples) / (700 * (i + 1)))) for i in range(n)]
    return [(0.2 * rng.standard_normal(samples) * shape).astype(np.float32) for shape in shapes]


def spaced(tokens, ids):
    """The rows of the spelling that Whisper itself would write: these tokens, a leading space first."""
    for _, rows in tokens[tokens["decoding"] == "forced"].groupby("variant", sort=False):
        if rows["token_id"].tolist() == list(ids):
            return rows
    raise AssertionError(f"no variant has the tokens {ids}")


@pytest.mark.parametrize("seed", [0, 1])
def test_openais_word_probability_is_the_arithmetic_mean(seed, random_whisper, openai_tokenizer, in_openai):
    # find_alignment renormalises over text tokens; so are our log-probabilities here, from the states that were kept
    model = random_whisper(seed=seed)
    theirs, tokenizer = in_openai(model), get_tokenizer(True, num_languages=100, language="en", task="transcribe")
    probe = Probe(model, openai_tokenizer, max_new_tokens=6)
    clips = sounds(32_000, len(TEXTS), seed)
    own_words = probe(clips, top_k=0).clips["prediction"].tolist()
    is_text, compared = torch.arange(len(probe.vocabulary)) < tokenizer.eot, []
    for clip, texts in zip(clips, zip(TEXTS, own_words, strict=True), strict=True):
        mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(clip, 32_000), 128)
        result = probe([clip] * 2, texts, vectors="both", top_k=0)
        hidden = torch.from_numpy(np.asarray(result.hidden))
        mass = measures.log_mass(hidden @ probe.head.embedding.T, is_text)
        tokens = result.tokens.assign(
            log_probability=result.tokens["log_probability"] - mass.numpy()[result.tokens["vector_row"]]
        )
        for number, text in enumerate(texts):
            ids = tokenizer.encode(" " + text)
            ours = word_confidence(spaced(tokens[tokens["clip_id"] == str(number)], ids))
            expected = find_alignment(theirs, tokenizer, ids, mel, 200)
            words = {w.word.strip(): w.probability for w in expected if any(c.isalnum() for c in w.word)}
            assert ours["word"].tolist() == list(words)
            assert ours["mean_probability"].to_numpy() == pytest.approx(np.array([*words.values()]), rel=1e-3)
            compared += words.values()
    assert len(compared) > 20
    assert max(compared) > 0.05  # the model's own answers are not improbable to it


@pytest.fixture
def unrounded(monkeypatch):
    """whisper-timestamped's confidences as they are computed, not to three digits."""
    monkeypatch.setitem(whisper_timestamped.transcribe_timestamped.__globals__, "round_confidence", float)


def test_whisper_timestampeds_confidence_is_the_geometric_mean(
    random_whisper, openai_tokenizer, in_openai, unrounded, monkeypatch
):
    model = random_whisper(seconds=30)  # the tool knows windows of 30 s only
    theirs, tokenizer = in_openai(model), get_tokenizer(True, num_languages=100, language="en", task="transcribe")
    probe = Probe(model, openai_tokenizer, max_new_tokens=6)
    probe.prompt = [*tokenizer.sot_sequence, tokenizer.timestamp_begin]  # it asks for timestamps, from <|0.00|> on
    clip = sounds(480_000, 1)[0]  # it pads log-mels with zeros, not sound with silence: leave it nothing to pad
    own_words = probe([clip], top_k=0).clips["prediction"][0]
    compared = []
    for text in (*TEXTS[:3], own_words):
        ids = tokenizer.encode(" " + text)
        said = {"tokens": ids, "start": 0.0, "end": 30.0, "seek": 0, "text": text, "temperature": 0.0}
        monkeypatch.setattr(theirs, "transcribe", lambda audio, said=said, **kwargs: {"segments": [said], "text": ""})
        # the plain approach reads this option the wrong way round: True is what leaves punctuation out
        found = whisper_timestamped.transcribe_timestamped(
            theirs, clip, language="en", naive_approach=True, include_punctuation_in_confidence=True
        )
        theirs_by_word = {w["text"].strip(",!"): w["confidence"] for w in found["segments"][0]["words"]}
        ours = word_confidence(spaced(probe([clip], [text], top_k=0).tokens, ids))
        assert ours["word"].tolist() == list(theirs_by_word)
        expected = np.array([*theirs_by_word.values()])
        assert ours["geometric_mean_probability"].to_numpy() == pytest.approx(expected, rel=1e-3)
        several = ours["n_tokens"] > 1
        assert (ours["mean_probability"] > ours["geometric_mean_probability"])[several].all()
        compared += expected.tolist()
    assert len(compared) >= 10
    assert max(compared) > 0.05


def test_the_three_by_name_on_the_demo(demo_model, demo_speech):
    # by the definitions alone: the joint probability, and the two means that the tools take of the same tokens
    clips, texts = [x for x, _ in demo_speech], [text for _, text in demo_speech]
    result = Probe.from_pretrained(demo_model, device="cpu")(clips, texts, vectors="none", top_k=0)
    words = word_confidence(result.tokens[result.tokens["decoding"] == "greedy"]).set_index("clip_id")
    assert len(words) == len(clips)  # one word each
    for row in result.clips.to_dict("records"):
        rows = result.tokens[
            (result.tokens["clip_id"] == row["clip_id"])
            & (result.tokens["decoding"] == "greedy")
            & (result.tokens["kind"] == "text")
        ]
        log_p = torch.tensor(rows["log_probability"].to_numpy())
        word = words.loc[row["clip_id"]]
        for ours in (word, row):
            assert ours["log_probability"] == pytest.approx(float(log_p.sum()), abs=1e-12)
            assert ours["mean_probability"] == pytest.approx(np.mean(log_p.exp().tolist()), abs=1e-12)
            assert ours["geometric_mean_probability"] == pytest.approx(log_p.mean().exp().item(), abs=1e-12)
        assert word["word"] == row["prediction"]
