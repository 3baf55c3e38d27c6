"""Decoding, packing and scoring: every scalar against plain loops over the vocabulary, and against transformers."""

from __future__ import annotations

import copy
import math
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch

from audiogram.errors import InputError
from whisperprobe.features import log_mel
from whisperprobe.probing import head
from whisperprobe.probing.decode import encode, greedy_decode
from whisperprobe.probing.packing import GREEDY, pack
from whisperprobe.probing.probe import Probe
from whisperprobe.training.tokenizer import train_tokenizer

_spec = spec_from_file_location("naive_probe", Path(__file__).with_name("naive_probe.py"))
naive_probe = module_from_spec(_spec)
_spec.loader.exec_module(naive_probe)

WORDS = ["sick", "thick", "fish", "ship", "chip", "naïve", "Straße", "'twas"]
TEXTS = ["sick", "Fish ship", None, "straße!", "q"]


def sounds(seed=0, lengths=(16_000, 8_000, 12_345, 3_000, 400)):
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal(n) * 0.1).astype(np.float32) for n in lengths]


@pytest.fixture(scope="module")
def whisper():
    return naive_probe.tiny_whisper(WORDS, suppress=[5, 70, 80])


@pytest.fixture(scope="module")
def probe(whisper):
    return Probe(*whisper, max_new_tokens=5)


@pytest.mark.parametrize("seed", [0, 1])
def test_every_scalar_against_plain_loops(seed):
    model, tokenizer = naive_probe.tiny_whisper(WORDS, seed=seed, suppress=[5, 70, 80])
    probe = Probe(model, tokenizer, max_new_tokens=5)
    clips = sounds(seed)
    result = probe(clips, TEXTS, batch_size=3, vectors="none")
    naive = naive_probe.Naive(model, tokenizer, probe.prompt)
    worst = naive_probe.deviations(result, naive, log_mel(clips, model))
    names = (
        *("tokens." + n for n in naive_probe.SCALARS),
        *("ground_truth." + n for n in naive_probe.TARGET_SCALARS),
        *("clips." + n for n in naive_probe.CLIP_SCALARS),
    )
    assert set(worst) == set(names)
    assert max(worst.values()) < 1e-9, worst


def test_small_chunks_give_the_same(probe, monkeypatch):
    whole = probe(sounds(), TEXTS)
    monkeypatch.setitem(head.CHUNK_BYTES, "cpu", 3 * len(probe.vocabulary) * 8)  # three rows at a time
    chunked = probe(sounds(), TEXTS)
    for name in ("tokens", "clips", "ground_truth"):
        for column, values in getattr(whole, name).items():
            other = getattr(chunked, name)[column]
            if values.dtype.kind == "f":
                assert np.allclose(values, other, atol=1e-12, equal_nan=True), column
            else:
                assert values.equals(other), column
    assert np.array_equal(whole.top_k.ids, chunked.top_k.ids)


def test_greedy_is_what_generate_and_plain_arg_max_say(whisper, probe):
    model, tokenizer = whisper
    clips = sounds(3)
    features = log_mel(clips, model)
    tokens = probe(clips, top_k=0).tokens
    naive = naive_probe.Naive(model, tokenizer, probe.prompt)
    with torch.no_grad():
        generated = model.generate(
            input_features=features.double(), language="en", task="transcribe", max_new_tokens=5, do_sample=False
        )
    for i, row in enumerate(generated.tolist()):
        ours = tokens[tokens["clip_id"] == str(i)]["token_id"].tolist()
        naive.hear(features[i])
        assert tuple(ours) == naive.generate(5)
        text = row[len(probe.prompt) :] if row[: len(probe.prompt)] == probe.prompt else row
        assert ours == text[: len(ours)]
        assert set(text[len(ours) :]) <= {probe.end_id}


def forced_log_p(tokens, clip, variant):
    return tokens[(tokens["clip_id"] == clip) & (tokens["variant"] == variant)]["log_probability"].to_numpy()


def test_forced_mean_is_the_loss_of_transformers(whisper, probe):
    model, tokenizer = whisper
    clips = sounds(4)
    texts = ["thick ship", "fish", "naïve Straße", "x", "chip"]
    tokens = probe(clips, texts).tokens
    features = log_mel(clips, model).double()
    for i, text in enumerate(texts):
        ids = tokenizer.encode(text, add_special_tokens=False)
        read = torch.tensor([probe.prompt + ids[:-1]])
        labels = torch.tensor([[-100] * (len(probe.prompt) - 1) + ids])
        with torch.no_grad():
            loss = model(input_features=features[i : i + 1], decoder_input_ids=read, labels=labels).loss
        assert -forced_log_p(tokens, str(i), "as_given").mean() == pytest.approx(float(loss), abs=1e-10)


def test_packing_hides_the_sequences_of_a_clip_from_each_other():
    packed = pack([90, 91], [[(GREEDY, (1, 2, 9)), (0, (3,)), (3, (4, 5))], [(GREEDY, (9,))], []], end_id=9)
    assert packed.input_ids.tolist() == [[90, 91, 1, 2, 3, 4, 5], [90, 91] + [9] * 5, [90, 91] + [9] * 5]
    assert packed.position_ids[0].tolist() == [0, 1, 2, 3, 2, 2, 3]
    assert packed.visible[0].astype(int).tolist() == [
        [1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0],
        [1, 1, 0, 0, 1, 0, 0],
        [1, 1, 0, 0, 0, 1, 0],
        [1, 1, 0, 0, 0, 1, 1],
    ]
    assert packed.visible.any(-1).all()  # padding too sees something: no softmax over nothing
    assert packed.states.tolist() == [1, 8, 15, 2, 3, 4, 5, 6]
    rows = packed.rows
    assert rows.token_id.tolist() == [1, 2, 9, 3, 4, 5, 9]
    assert rows.position.tolist() == [0, 1, 2, 0, 0, 1, 0]
    assert rows.state.tolist() == [0, 3, 4, 0, 0, 6, 1]
    assert rows.next_state.tolist() == [3, 4, -1, 5, 6, 7, -1]  # nothing follows an end token


def test_sequences_side_by_side_are_what_they_are_alone(probe):
    clips = sounds(5)
    together = probe(clips, ["sick ship", "fish", "chip", "thick", "naïve"]).tokens
    for i, text in enumerate(["sick ship", "fish", "chip", "thick", "naïve"]):
        alone = probe([clips[i]], [text], decodings=["forced"]).tokens
        rows = together[(together["clip_id"] == str(i)) & (together["decoding"] == "forced")]
        assert np.allclose(alone["log_probability"], rows["log_probability"], atol=1e-11)
        assert np.array_equal(alone["rank"], rows["rank"])


def end_at_once(model, end):
    """Make the end token the most probable whatever is heard: h after the last norm is one known vector."""
    with torch.no_grad():
        model.model.decoder.layer_norm.weight.zero_()
        model.model.decoder.layer_norm.bias.fill_(1.0)
        model.proj_out.weight.fill_(0.0)
        model.proj_out.weight[end] = 1.0


def test_an_end_token_as_first_token():
    model, tokenizer = naive_probe.tiny_whisper(WORDS)
    model.proj_out.weight = torch.nn.Parameter(model.proj_out.weight.detach().clone())  # no longer tied
    end_at_once(model, tokenizer.eos_token_id)
    model.generation_config.begin_suppress_tokens = None
    result = Probe(model, tokenizer)(sounds(), TEXTS)
    greedy = result.tokens[result.tokens["decoding"] == "greedy"]
    assert greedy["kind"].tolist() == ["end"] * 5
    assert greedy["position"].tolist() == [0] * 5
    assert greedy["word_end_mass"].isna().all()
    assert result.clips["n_tokens"].tolist() == [0] * 5
    for column in ("log_probability", "mean_rank", "mean_probability", "semantic_density", "cosine_similarity"):
        assert result.clips[column].isna().all(), column
    assert result.clips["prediction"].tolist() == [""] * 5
    assert result.clips["word_log_probability"].notna().tolist() == [True, True, False, True, True]


def test_a_suppressed_first_end_token_is_not_chosen_and_its_processed_log_probability_is_minus_infinity():
    model, tokenizer = naive_probe.tiny_whisper(WORDS)
    model.proj_out.weight = torch.nn.Parameter(model.proj_out.weight.detach().clone())
    end_at_once(model, tokenizer.eos_token_id)
    vocab = tokenizer.get_vocab()
    model.generation_config.begin_suppress_tokens = [tokenizer.eos_token_id]
    model.generation_config.suppress_tokens = [vocab["a"]]
    tokens = Probe(model, tokenizer)(sounds()[:1], ["a"], decodings=["greedy", "forced"]).tokens
    greedy = tokens[tokens["decoding"] == "greedy"]
    assert greedy["kind"].tolist()[1:] == ["end"]
    assert greedy["kind"].iloc[0] != "end"
    n = len(tokenizer)  # logits d for the end token and 0 for all others
    d = model.config.d_model
    assert greedy["log_probability"].iloc[0] == pytest.approx(-math.log(math.exp(d) + n - 1), abs=1e-9)
    assert greedy["processed_log_probability"].iloc[0] == pytest.approx(-math.log(n - 2), abs=1e-9)
    assert greedy["ties"].iloc[0] == n - 2
    assert greedy["rank"].iloc[0] == 2
    forced = tokens[(tokens["variant"] == "as_given")]
    assert forced["processed_log_probability"].tolist() == [-math.inf]
    assert np.isfinite(forced["log_probability"]).all()


def test_a_model_that_never_ends_stops_at_the_limit(whisper):
    model, tokenizer = whisper
    model.generation_config.suppress_tokens, kept = [tokenizer.eos_token_id], model.generation_config.suppress_tokens
    try:
        limited = Probe(model, tokenizer, max_new_tokens=7)(sounds()[:2]).tokens
        room = Probe(model, tokenizer)(sounds()[:2]).tokens
    finally:
        model.generation_config.suppress_tokens = kept
    assert limited.groupby("clip_id").size().tolist() == [7, 7]
    assert room.groupby("clip_id").size().tolist() == [48 - 4] * 2  # the decoder's positions less the prompt
    assert room["word_end_mass"].notna().all()


def test_rows_are_cut_at_each_clips_own_first_end_token():
    model, tokenizer = naive_probe.tiny_whisper(WORDS)
    clips, lengths = sounds(8), [1, 3, 5, 2, 4]
    naive_probe.end_after(model, tokenizer, clips, lengths)
    probe = Probe(model, tokenizer, max_new_tokens=30)
    tokens = probe(clips, TEXTS, vectors="none").tokens
    greedy = tokens[tokens["decoding"] == "greedy"]
    assert greedy.groupby("clip_id").size().tolist() == lengths
    last = greedy.groupby("clip_id").tail(1)
    assert (last["kind"] == "end").all()
    assert last["word_end_mass"].isna().all()
    assert not (greedy.drop(last.index)["kind"] == "end").any()
    features = log_mel(clips, model)
    with torch.inference_mode():
        states, cross = encode(model, features)
        decoded = greedy_decode(
            model, states, cross, probe.prompt, probe.suppression, end_id=probe.end_id, max_new_tokens=4
        )
    assert decoded.ended == (True, True, False, True, True)
    assert [len(ids) for ids in decoded.token_ids] == [1, 3, 4, 2, 4]


def test_half_precision_is_measured_in_float32():
    model, tokenizer = naive_probe.tiny_whisper(WORDS, dtype=torch.bfloat16)
    result = Probe(model, tokenizer, max_new_tokens=4)(sounds(), TEXTS, vectors="both")
    E = model.get_output_embeddings().weight.detach().double().numpy()
    z = np.asarray(result.hidden, dtype=np.float64) @ E.T
    log_p = z - np.log(np.exp(z - z.max(1, keepdims=True)).sum(1, keepdims=True)) - z.max(1, keepdims=True)
    tokens = result.tokens
    exact = log_p[np.arange(len(tokens)), tokens["token_id"]]
    assert np.abs(exact - tokens["log_probability"]).max() < 1e-5  # bfloat16 logits would be off by 1e-2
    assert np.abs(-(np.exp(log_p) * log_p).sum(1) - tokens["entropy"]).max() < 1e-5


@pytest.fixture(scope="module")
def bilingual():
    """A random model that knows two languages and both tasks."""
    tokenizer = train_tokenizer(WORDS * 3, 420, languages=("en", "de"))
    model, tokenizer = naive_probe.tiny_whisper(WORDS, tokenizer=tokenizer)
    vocab = tokenizer.get_vocab()
    model.generation_config.lang_to_id = {f"<|{code}|>": vocab[f"<|{code}|>"] for code in ("en", "de")}
    return model, tokenizer


@pytest.mark.parametrize(("language", "task"), [("en", "translate"), ("de", "transcribe"), ("german", "translate")])
def test_languages_and_tasks_are_those_of_generate(bilingual, language, task):
    model, tokenizer = bilingual
    probe = Probe(model, tokenizer, language=language, task=task, max_new_tokens=5)
    code = "de" if language == "german" else language
    assert tokenizer.convert_ids_to_tokens(probe.prompt) == [
        "<|startoftranscript|>", f"<|{code}|>", f"<|{task}|>", "<|notimestamps|>",
    ]  # fmt: skip
    assert probe.describe()["language"] == code
    assert probe.describe()["task"] == task
    clips = sounds(6)
    tokens = probe(clips, n_best=1, lexicon=WORDS)
    with torch.no_grad():
        generated = model.generate(
            input_features=log_mel(clips, model).double(), language=code, task=task, max_new_tokens=5, do_sample=False
        ).tolist()
    default = Probe(model, tokenizer, max_new_tokens=5)(clips, lexicon=WORDS)
    for i, row in enumerate(generated):
        text = row[len(probe.prompt) :] if row[: len(probe.prompt)] == probe.prompt else row
        ours = tokens.tokens[tokens.tokens["clip_id"] == str(i)]["token_id"].tolist()
        assert ours == text[: len(ours)]
        assert tokens.alternatives["token_ids"][i] == " ".join(map(str, ours))
    # the prompt reaches every word of a lexicon
    assert (tokens.clips["lexicon_entropy"] - default.clips["lexicon_entropy"]).abs().min() > 1e-6


def test_an_english_only_model_is_decoded_as_generate_does(bilingual):
    model, tokenizer = bilingual
    kept = model.generation_config
    model.generation_config = copy.deepcopy(kept)
    settings = model.generation_config
    settings.is_multilingual = False
    del settings.lang_to_id, settings.task_to_id
    try:
        probe = Probe(model, tokenizer, max_new_tokens=5)
        assert tokenizer.convert_ids_to_tokens(probe.prompt) == ["<|startoftranscript|>", "<|notimestamps|>"]
        clips = sounds(7)
        run = probe(clips, ["fish"] * 5, n_best=1, lexicon=["fish", "ship"], layers="all")
        with torch.no_grad():
            generated = model.generate(
                input_features=log_mel(clips, model).double(), max_new_tokens=5, do_sample=False
            ).tolist()
        for i, row in enumerate(generated):
            text = row[len(probe.prompt) :] if row[: len(probe.prompt)] == probe.prompt else row
            assert list(map(int, run.alternatives["token_ids"][i].split())) == text[: run.alternatives["n_tokens"][i]]
        own = run.competitors[run.competitors["word"] == "fish"]["log_probability"].to_numpy()
        assert np.abs(own - run.clips["word_log_probability"]).max() < 1e-10
        with pytest.raises(InputError, match="English-only"):
            Probe(model, tokenizer, language="de")
    finally:
        model.generation_config = kept
