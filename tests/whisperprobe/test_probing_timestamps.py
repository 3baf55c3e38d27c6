"""Timestamps: decoded as transformers decodes them, scored like any token, and following a finished word."""

from __future__ import annotations

import copy
import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import GenerationConfig, GenerationMixin
from transformers.generation.logits_process import (
    LogitsProcessorList,
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
    WhisperTimeStampLogitsProcessor,
)
from transformers.modeling_outputs import BaseModelOutput

from audiogram import sound
from audiogram.console import run_app
from audiogram.errors import InputError
from whisperprobe.cli import app
from whisperprobe.features import log_mel
from whisperprobe.probing.confidence import word_confidence
from whisperprobe.probing.probe import Probe
from whisperprobe.training.tokenizer import train_tokenizer

_spec = spec_from_file_location("naive_probe", Path(__file__).with_name("naive_probe.py"))
naive_probe = module_from_spec(_spec)
_spec.loader.exec_module(naive_probe)

WORDS = ["sick", "thick", "fish", "ship", "chip", "naïve"]
TEXTS = ["sick", "Fish ship", None, "chip!"]


def sounds(seed=0, lengths=(16_000, 8_000, 12_345, 3_000)):
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal(n) * 0.1).astype(np.float32) for n in lengths]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(WORDS, 420, timestamps=True)


@pytest.fixture(scope="module")
def whisper(tokenizer):
    return naive_probe.tiny_whisper(WORDS, tokenizer=tokenizer, suppress=[5, 70, 80], init_std=0.5)


@pytest.fixture(scope="module")
def probe(whisper):
    return Probe(*whisper, max_new_tokens=12, timestamps=True)


@pytest.fixture(scope="module")
def result(probe):
    return probe(sounds(), TEXTS, vectors="both", top_k=5)


def generated(model, clips, **options):
    """What `generate` gives in one call: without it, it would go back to an unfinished segment and decode it again."""
    with torch.no_grad():
        return model.generate(
            input_features=log_mel(clips, model).to(model.dtype), return_timestamps=True, do_sample=False,
            force_unique_generate_call=True, return_dict_in_generate=True, output_scores=True, **options,
        )  # fmt: skip


@pytest.mark.parametrize(("seed", "init_std", "latest"), [(1, 0.5, 7), (2, 0.3, None), (3, 1.0, 0)])
@pytest.mark.parametrize("multilingual", [True, False])
def test_greedy_and_its_processed_probability_are_those_of_generate(tokenizer, seed, init_std, latest, multilingual):
    model, _ = naive_probe.tiny_whisper(WORDS, tokenizer=tokenizer, seed=seed, init_std=init_std, suppress=[5, 70])
    model.generation_config.max_initial_timestamp_index = latest
    model.generation_config.is_multilingual = multilingual
    if not multilingual:
        del model.generation_config.lang_to_id, model.generation_config.task_to_id
    clips = sounds(seed)
    spoken = {"language": "en", "task": "transcribe"} if multilingual else {}
    theirs = generated(model, clips, max_new_tokens=12, **spoken)
    probe = Probe(model, tokenizer, max_new_tokens=12, timestamps=True)
    assert len(probe.prompt) == (3 if multilingual else 1)
    tokens = probe(clips).tokens
    for i, row in enumerate(theirs.sequences.tolist()):
        ours = tokens[tokens["clip_id"] == str(i)]
        ids = ours["token_id"].tolist()
        text = row[len(probe.prompt) :] if row[: len(probe.prompt)] == probe.prompt else row
        assert ids == text[: len(ids)]
        assert set(text[len(ids) :]) <= {probe.end_id}
        scores = torch.stack([step[i] for step in theirs.scores[: len(ids)]]).double().log_softmax(-1)
        expected = scores[torch.arange(len(ids)), ids].numpy()
        assert np.allclose(ours["processed_log_probability"], expected, atol=1e-5)  # generate casts to float32
    assert (tokens["kind"] == "timestamp").sum() >= len(clips)


def test_rows_of_timestamps_and_what_counts_them(probe, result):
    greedy = result.tokens[result.tokens["decoding"] == "greedy"]
    first = greedy[greedy["position"] == 0]
    assert (first["kind"] == "timestamp").all()
    assert first["token"].str.fullmatch(r"<\|\d+\.\d\d\|>").all()
    texts = greedy[greedy["kind"] == "text"].groupby("clip_id").size()
    assert result.clips.set_index("clip_id")["n_tokens"][texts.index].tolist() == texts.tolist()
    assert not result.clips["prediction"].str.contains(r"<\|").any()
    assert (greedy["processed_log_probability"] <= 1e-9).all()
    assert np.isfinite(greedy["processed_log_probability"]).all()
    forced = result.tokens[result.tokens["decoding"] == "forced"]
    assert not (forced["kind"] == "timestamp").any()  # <|0.00|> is read in and is no row
    assert (forced.groupby(["clip_id", "variant"])["position"].min() == 0).all()


def test_the_truth_is_read_in_behind_zero_and_ended_by_timestamps_too(whisper, probe, result):
    model, tokenizer = whisper
    zero = tokenizer.convert_tokens_to_ids("<|0.00|>")
    kinds = np.array(["text", "punctuation", "timestamp", "end", "special"])[probe.vocabulary.kinds]
    ends = torch.from_numpy(probe.vocabulary.word_ends | (kinds == "timestamp"))
    assert int(ends.sum()) == int(probe.vocabulary.word_ends.sum()) + 1501
    features = log_mel(sounds(), model).double()
    forced = result.tokens[result.tokens["decoding"] == "forced"]
    for (clip, _), rows in forced.groupby(["clip_id", "variant"]):
        ids = rows["token_id"].tolist()
        at = int(clip)
        with torch.no_grad():
            z = model(
                input_features=features[at : at + 1], decoder_input_ids=torch.tensor([[*probe.prompt, zero, *ids]])
            ).logits[0]
        log_p = z.log_softmax(-1)[len(probe.prompt) :]
        expected = log_p[torch.arange(len(ids)), ids].numpy()
        assert np.allclose(rows["log_probability"], expected, atol=1e-9)
        assert np.allclose(rows["word_end_mass"], log_p[1:, ends].exp().sum(1).numpy(), atol=1e-9)
        assert np.allclose(np.exp(log_p[-1, ends].logsumexp(0).item()), rows["word_end_mass"].iloc[-1])
        # the hidden states are those of the same rows
        assert np.allclose(result.distribution(rows)[np.arange(len(ids)), ids], expected, atol=1e-4)


def test_forced_rows_are_processed_as_in_the_middle_of_an_answer(whisper):
    """Tokens that may not begin an answer may stand behind a timestamp."""
    model, tokenizer = whisper
    first = tokenizer.encode("sick", add_special_tokens=False)[0]
    kept = model.generation_config
    model.generation_config = copy.deepcopy(kept)
    model.generation_config.begin_suppress_tokens = [first]
    try:
        with_, without = (
            Probe(model, tokenizer, timestamps=t)(sounds()[:1], ["sick"], decodings=["forced"]).tokens
            for t in (True, False)
        )
    finally:
        model.generation_config = kept
    rows = [t[(t["variant"] == "as_given") & (t["position"] == 0)].iloc[0] for t in (with_, without)]
    assert [row["token_id"] for row in rows] == [first, first]
    assert np.isfinite(rows[0]["processed_log_probability"])
    assert rows[1]["processed_log_probability"] == -np.inf


@pytest.mark.parametrize("batch_size", [1, 3])
def test_batches_do_not_matter(probe, result, batch_size):
    other = probe(sounds(), TEXTS, vectors="both", top_k=5, batch_size=batch_size)
    for column, values in result.tokens.items():
        if values.dtype.kind == "f":
            assert np.allclose(values, other.tokens[column], atol=1e-9, equal_nan=True), column
        else:
            assert values.equals(other.tokens[column]), column


def test_words_of_a_lexicon_are_read_in_behind_zero_too(probe, result):
    rivals = probe(sounds(), TEXTS, lexicon=["sick", "fish", "thick"]).competitors
    row = rivals[(rivals["clip_id"] == "0") & (rivals["word"] == "sick")].iloc[0]
    assert row["log_probability"] == pytest.approx(result.clips["word_log_probability"][0], abs=1e-9)


def test_beams_follow_the_rules(probe):
    model, n = probe.model, len(probe.prompt)
    settings = GenerationConfig(
        num_beams=3, num_return_sequences=3, do_sample=False, eos_token_id=probe.end_id, pad_token_id=probe.end_id,
        max_new_tokens=probe.max_new_tokens, decoder_start_token_id=probe.prompt[0],
    )  # fmt: skip
    settings.no_timestamps_token_id = model.generation_config.no_timestamps_token_id
    rules = [
        SuppressTokensLogitsProcessor(list(probe.suppression.always)),
        SuppressTokensAtBeginLogitsProcessor(list(probe.suppression.at_begin), n),
        WhisperTimeStampLogitsProcessor(settings, begin_index=n),
    ]
    with torch.no_grad():
        states = model.model.encoder(log_mel(sounds(), model).to(model.dtype)).last_hidden_state
        theirs = GenerationMixin.generate(
            model,
            generation_config=settings,
            logits_processor=LogitsProcessorList(rules),
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            decoder_input_ids=torch.tensor([probe.prompt] * len(states)),
        )
    ours = probe(sounds(), n_best=3).alternatives["token_ids"].tolist()
    assert len(ours) == len(theirs) == 12
    for own, row in zip(ours, theirs[:, n:].tolist(), strict=True):
        ids = [int(i) for i in own.split()]
        assert ids == row[: len(ids)]
        assert set(row[len(ids) :]) <= {probe.end_id}


def test_words_on_both_sides_of_a_timestamp_are_two():
    import pandas as pd

    kinds = ["timestamp", "text", "timestamp", "timestamp", "text", "end"]
    rows = pd.DataFrame({"token": ["<|0.00|>", "cat", "<|0.50|>", "<|0.50|>", "dog", "<|endoftext|>"], "kind": kinds})
    rows = rows.assign(clip_id="a", decoding="greedy", variant=None, position=range(6), log_probability=-0.5)
    assert word_confidence(rows)["word"].tolist() == ["cat", "dog"]


def test_a_tokenizer_without_timestamps_is_refused():
    model, tokenizer = naive_probe.tiny_whisper(WORDS)
    with pytest.raises(InputError, match=r"no timestamp tokens.*Probe without timestamps"):
        Probe(model, tokenizer, timestamps=True)
    Probe(model, tokenizer)


def test_timestamps_that_are_not_where_whisper_has_them_are_refused(whisper):
    model, tokenizer = whisper
    kept = model.generation_config
    model.generation_config = copy.deepcopy(kept)
    model.generation_config.no_timestamps_token_id -= 1
    try:
        with pytest.raises(InputError, match="not right behind"):
            Probe(model, tokenizer, timestamps=True)
    finally:
        model.generation_config = kept


def test_the_text_has_one_token_less_of_room(whisper):
    rooms = [Probe(*whisper, timestamps=t).room for t in (False, True)]
    assert rooms == [44, 44]  # <|0.00|> takes the place of <|notimestamps|>


def test_the_command_and_the_manifest(whisper, tmp_path, capsys):
    model, tokenizer = whisper
    model.float().save_pretrained(tmp_path / "model")
    model.double()
    tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "speech").mkdir()
    for word, clip in zip(WORDS, sounds(), strict=False):
        sound.write(tmp_path / "speech" / f"{word}.flac", clip, 16_000)
    call = ["probe", str(tmp_path / "speech"), "--splits", "train", "--model", str(tmp_path / "model"), "--out"]
    assert run_app(app, [*call, str(tmp_path / "with"), "--timestamps"]) == 0
    assert run_app(app, [*call, str(tmp_path / "without")]) == 0
    options = [json.loads((tmp_path / n / "manifest.json").read_text())["options"] for n in ("with", "without")]
    assert options[0]["timestamps"] is True
    assert "timestamps" not in options[1]
    assert options[0]["prompt_ids"] == options[1]["prompt_ids"][:-1]
    assert run_app(app, [*call, str(tmp_path / "without"), "--timestamps"]) == 2
    capsys.readouterr()
