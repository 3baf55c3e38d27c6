"""Whisper's cross-attention as word times: the right weights, the right tokens, the right frames, the right heads."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from audiogram.errors import InputError
from whisperprobe import WhisperAligner, choose_alignment_heads, save_alignment_heads
from whisperprobe.alignment.cross_attention import Reading, read_transcripts
from whisperprobe.alignment.following import FLOOR, Following, scaled
from whisperprobe.alignment.spoken import spoken_words
from whisperprobe.alignment.word_tokens import timed_words, token_words
from whisperprobe.features import log_mel

_spec = spec_from_file_location("naive_probe", Path(__file__).with_name("naive_probe.py"))
naive_probe = module_from_spec(_spec)
_spec.loader.exec_module(naive_probe)

TEXTS = ["the cat sat", "a café – or two", "Don't, she said!", "noon"]


@pytest.fixture(scope="module")
def tiny() -> tuple[Any, Any]:
    return naive_probe.tiny_whisper([t.lower() for t in TEXTS] * 3, seconds=2)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).normal(size=round(seconds * 16_000))).astype(np.float32)


def test_the_weights_are_those_of_the_models_own_attention(tiny: tuple[Any, Any]) -> None:
    model, tokenizer = tiny
    aligner = WhisperAligner(model, tokenizer)
    sounds = [noise(2.0), noise(2.0, 1)]  # whole windows: nothing is left out of the softmax
    tokens = [[*aligner.prompt, *tokenizer.encode(t, add_special_tokens=False), aligner.end_id] for t in TEXTS[:2]]
    heads = [(1, 1), (0, 0)]
    read = read_transcripts(model, log_mel(sounds, model), [len(x) for x in sounds], tokens, aligner.lead, heads)
    model.set_attn_implementation("eager")
    for x, own, reading in zip(sounds, tokens, read, strict=True):
        with torch.no_grad():
            output = model(
                input_features=log_mel([x], model).double(),
                decoder_input_ids=torch.tensor([own]),
                output_attentions=True,
            )
        expected = torch.stack([output.cross_attentions[layer][0, head] for layer, head in heads])
        assert torch.allclose(reading.weights.double(), expected, atol=1e-6)
        p = output.logits[0].softmax(-1)
        text = own[aligner.lead : -1]
        assert reading.probability.tolist() == pytest.approx(
            [float(p[aligner.lead - 1 + i, token]) for i, token in enumerate(text)]
        )
        assert list(reading.answer) == [int(p[aligner.lead - 1 + i].argmax()) for i in range(len(text))]
    model.set_attn_implementation("sdpa")


def test_attention_stays_within_the_clip(tiny: tuple[Any, Any]) -> None:
    model, tokenizer = tiny
    aligner = WhisperAligner(model, tokenizer)
    (_, _, reading) = aligner.read([noise(0.7)], ["the cat"], aligner.heads)[0]
    assert reading.weights.shape[-1] == 35
    assert torch.allclose(reading.weights.sum(-1), torch.ones(1))


def test_a_batch_gives_what_each_clip_gives_alone(tiny: tuple[Any, Any]) -> None:
    model, tokenizer = tiny
    sounds = [noise(s, i) for i, s in enumerate((0.8, 2.0, 1.3, 0.5))]
    together = WhisperAligner(model, tokenizer, batch_size=3)(sounds, TEXTS)
    alone = [WhisperAligner(model, tokenizer)([x], [t])[0] for x, t in zip(sounds, TEXTS, strict=True)]
    for a, b, text in zip(together, alone, TEXTS, strict=True):
        assert [(w.word, w.start, w.end) for w in a] == [(w.word, w.start, w.end) for w in b]
        assert [w.word for w in a] == [w.word for w in spoken_words(text)]
        assert [w.score for w in a] == pytest.approx([w.score for w in b])


@given(st.integers(2, 5), st.integers(1, 12), st.sampled_from([1, 3, 7]), st.integers(0, 2**32 - 1))
def test_standardising_and_smoothing_as_written_down(tokens: int, positions: int, width: int, seed: int) -> None:
    weights = np.random.default_rng(seed).random((2, tokens, positions))
    even = (weights - weights.mean(1, keepdims=True)) / weights.std(1, keepdims=True)
    side = width // 2
    expected = even.copy()
    if positions > side:
        for h in range(2):
            for t in range(tokens):
                row = np.pad(even[h, t], side, mode="reflect")
                expected[h, t] = [np.median(row[k : k + width]) for k in range(positions)]
    assert np.allclose(scaled(torch.from_numpy(weights), "standardised", width).numpy(), expected)
    assert np.allclose(scaled(torch.from_numpy(weights), "log", 1).numpy(), np.log(weights + FLOOR))


def test_where_all_tokens_look_alike_nothing_is_divided_by_zero() -> None:
    assert not scaled(torch.full((1, 3, 9), 0.2), "standardised", 7).any()


@pytest.mark.parametrize("space", [False, True])
@pytest.mark.parametrize("text", [*TEXTS, "日本 語", "it 's 5%", "“so…” he   said"])
def test_tokens_are_given_to_the_words_whose_bytes_they_hold(tiny: tuple[Any, Any], text: str, space: bool) -> None:
    _, tokenizer = tiny
    words = spoken_words(text)
    ids, owner = token_words(tokenizer, text, words, leading_space=space)
    assert ids == tokenizer.encode(" " * space + text, add_special_tokens=False)
    assert tokenizer.decode(ids) == " " * space + text
    for number, word in enumerate(words):
        own = [token for token, whose in zip(ids, owner, strict=True) if whose == number]
        assert own
        said = tokenizer.decode(own).strip()
        assert word.word in said  # a token may hold the space before its word and punctuation behind it
    told = [whose for whose in owner if whose >= 0]
    assert told == sorted(told)


def reading_of(spans: Sequence[tuple[int, int]], positions: int, sharp: bool = True) -> Reading:
    """Attention of one head: prompt of 2 tokens, then one row per span, then the end token, which looks behind all."""
    rows = [*spans, (spans[-1][1], positions)]
    weights = torch.full((1, 2 + len(spans), positions), 1e-4)
    for row, (a, b) in enumerate(rows):  # a token is looked for while the one before it is read
        if sharp:
            weights[0, 1 + row, a:b] = 1.0
    weights = torch.cat([weights, torch.full((1, 1, positions), 1e-4)], dim=1)
    return Reading(weights / weights.sum(-1, keepdim=True), torch.full((len(spans),), 0.5), tuple(range(len(spans))))


@pytest.mark.parametrize(
    "how", [Following(None, "standardised", 7), Following(None, "log", 1), Following(None, "log", 3)]
)
def test_words_begin_and_end_where_attention_moves_on(how: Following) -> None:
    words = spoken_words("one, two")
    found = timed_words(words, [0, -1, 1], reading_of([(0, 20), (20, 30), (30, 55)], 70), 2, how, 1.4)
    assert [w.word for w in found] == ["one", "two"]
    assert [(w.start, w.end) for w in found] == [(0.0, pytest.approx(0.39)), (pytest.approx(0.59), pytest.approx(1.09))]
    assert [w.score for w in found] == [0.5, 0.5]


def test_attention_that_is_no_number_is_refused() -> None:
    reading = reading_of([(0, 20)], 30)
    reading.weights[0, 1, 3] = float("nan")
    with pytest.raises(InputError, match="attention is NaN"):
        timed_words(spoken_words("one"), [0], reading, 2, Following(None, "log", 3), 0.6)


class Planted(WhisperAligner):
    """An aligner whose head (1, 0) looks where the words are, and whose others look anywhere."""

    def read(self, waveforms: Any, texts: Any, heads: Any) -> Any:
        out = []
        for x, text in zip(waveforms, texts, strict=True):
            words, positions = spoken_words(text), len(x) // 320
            cuts = np.linspace(0, positions, len(words) + 2).astype(int)
            spans = list(itertools.pairwise(cuts))[:-1]
            good = reading_of(spans, positions)
            rows = torch.from_numpy(
                np.random.default_rng(len(x)).random((len(heads), len(words) + 2, positions))
            ).float()
            pad = torch.cat([good.weights, *[good.weights[:, -1:]] * (self.lead - 2)], dim=1)
            rows = torch.cat([rows, *[rows[:, :1]] * (self.lead - 1)], dim=1)
            for number, head in enumerate(heads):
                if head == (1, 0):
                    rows[number] = torch.roll(pad[0], self.lead - 2, 0)
            out.append((words, list(range(len(words))), Reading(rows, good.probability, good.answer)))
        return out


def planted(tiny: tuple[Any, Any]) -> tuple[Planted, list[np.ndarray], list[str], list[np.ndarray]]:
    aligner = Planted(*tiny)
    sounds, texts = [noise(s) for s in (0.8, 1.2, 1.9)], ["a b c", "a b c d", "no no"]
    cuts = [np.linspace(0, len(x) // 320, len(t.split()) + 2).astype(int) for x, t in zip(sounds, texts, strict=True)]
    return aligner, sounds, texts, [(c[1:-2] - 0.5) * 0.02 for c in cuts]


def test_the_head_that_looks_where_words_are_is_chosen(tiny: tuple[Any, Any]) -> None:
    aligner, sounds, texts, times = planted(tiny)
    chosen = choose_alignment_heads(aligner, sounds, texts, times)
    assert chosen.heads == ((1, 0),)
    assert chosen.error == pytest.approx(0, abs=1e-9)
    assert set(chosen.alone) == {(layer, head) for layer in range(2) for head in range(2)}
    assert all(chosen.alone[pair] > 0.02 for pair in chosen.alone if pair != (1, 0))
    assert chosen.clips == 3


def test_heads_are_chosen_by_words_that_are_known(tiny: tuple[Any, Any]) -> None:
    aligner, sounds, texts, times = planted(tiny)
    with pytest.raises(InputError, match=r"clip 1: 4 words, 'a b c d', have 3 boundaries between them, received 1"):
        choose_alignment_heads(aligner, sounds, texts, [times[0], times[2], times[2]])
    with pytest.raises(InputError, match="no clip has two words"):
        choose_alignment_heads(aligner, sounds[:1], ["one"], [[]])
    with pytest.raises(InputError, match="most is 0"):
        choose_alignment_heads(aligner, sounds, texts, times, most=0)
    with pytest.raises(InputError, match=r"clip 0 cannot be read: .*do not fit"):
        choose_alignment_heads(WhisperAligner(*tiny), [noise(3.0)], ["a b"], [[1.0]])


def test_heads_are_found_where_they_were_saved(tiny: tuple[Any, Any], tmp_path: Path) -> None:
    model, tokenizer = tiny
    assert Following().on(model) == Following(((1, 0), (1, 1)), "standardised", 7)  # the upper half of two layers
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    aligner, *known = planted(tiny)
    chosen = choose_alignment_heads(aligner, *known)
    file = save_alignment_heads(chosen, tmp_path / "heads.json")
    before = json.loads((tmp_path / "model" / "generation_config.json").read_text())
    expected = Following(((1, 0),), chosen.scaling, chosen.median_width)
    assert WhisperAligner.from_pretrained(tmp_path / "model", device="cpu", heads=file).following == expected
    wide = WhisperAligner.from_pretrained(tmp_path / "model", device="cpu", heads=file, median_width=9).following
    assert wide == Following(((1, 0),), chosen.scaling, 9)
    save_alignment_heads([(0, 1)], tmp_path / "model")
    after = json.loads((tmp_path / "model" / "generation_config.json").read_text())
    before.pop("_from_model_config")  # with which transformers would not read the heads
    assert after == {**before, "alignment_heads": [[0, 1]]}
    opened = WhisperAligner.from_pretrained(tmp_path / "model", device="cpu")
    assert opened.heads == ((0, 1),)
    assert opened.describe()["heads"] == [[0, 1]]
    save_alignment_heads(replace(chosen, scaling="log", median_width=3), tmp_path / "model")
    opened = WhisperAligner.from_pretrained(tmp_path / "model", device="cpu")
    assert opened.following == Following(((1, 0),), "log", 3)
    with pytest.raises(InputError, match=r"generation_config\.json cannot be read"):
        save_alignment_heads([(0, 1)], tmp_path)
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(InputError, match="cannot be read as alignment heads"):
        WhisperAligner.from_pretrained(tmp_path / "model", device="cpu", heads=tmp_path / "bad.json")


@pytest.mark.parametrize("heads", [[(2, 0)], [(0, 2)], [(-1, 0)], [], [(0, 0), (0, 0)], [0, 1], "no"])
def test_heads_that_the_decoder_has_not_are_refused(tiny: tuple[Any, Any], heads: Any) -> None:
    with pytest.raises(InputError, match="heads"):
        WhisperAligner(*tiny, heads=heads)


def test_bad_clips_stay_single(tiny: tuple[Any, Any]) -> None:
    found = WhisperAligner(*tiny)([noise(1.0), noise(2.5), noise(1.0)], ["…", "the cat", "the cat"])
    assert "no word is said" in str(found[0])
    assert "2.50 s do not fit the model's window of 2 s" in str(found[1])
    assert [w.word for w in found[2]] == ["the", "cat"]
    (long,) = WhisperAligner(*tiny)([noise(1.0)], ["the cat sat " * 30])
    assert "the decoder has room for" in str(long)
    (unlikely,) = WhisperAligner(*tiny, min_score=0.99)([noise(1.0)], ["the cat"])
    assert "The transcript says 'the cat', the model hears" in str(unlikely)
    with pytest.raises(InputError, match="median_width is 4"):
        WhisperAligner(*tiny, median_width=4)
    with pytest.raises(InputError, match="scaling 'logs'"):
        WhisperAligner(*tiny, scaling="logs")


def test_a_model_that_hears_trimmed_windows_is_heard_so(tiny: tuple[Any, Any], tmp_path: Path) -> None:
    model, tokenizer = tiny
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "listening.json").write_text(json.dumps({"padding": "trimmed", "margin": 0.0}))
    trimmed = WhisperAligner.from_pretrained(tmp_path, device="cpu", dtype="float64", batch_size=3)
    assert trimmed.describe()["padding"] == "trimmed"
    assert "padding" not in WhisperAligner(model, tokenizer).describe()
    sounds, texts = [noise(s, i) for i, s in enumerate((0.5, 1.4, 0.4))], ["the cat", "noon", "a two"]
    for x, (_, _, reading) in zip(sounds, trimmed.read(sounds, texts, [(1, 0)]), strict=True):
        assert reading.weights.shape[-1] == len(x) // 320
    whole = WhisperAligner(model, tokenizer).read(sounds, texts, [(1, 0)])
    read = trimmed.read(sounds, texts, [(1, 0)])
    assert not torch.allclose(read[0][2].weights, whole[0][2].weights)  # the rest of the window is heard no more
    alone = trimmed.read(sounds[2:], texts[2:], [(1, 0)])[0][2]
    assert torch.allclose(read[2][2].weights, alone.weights, atol=1e-6)


def test_texts_begin_as_the_model_was_trained(tiny: tuple[Any, Any], tmp_path: Path) -> None:
    model, tokenizer = tiny
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert WhisperAligner.from_pretrained(tmp_path, device="cpu").leading_space
    (tmp_path / "finetune.json").write_text(json.dumps({"leading_space": False}))
    assert not WhisperAligner.from_pretrained(tmp_path, device="cpu").leading_space
    assert WhisperAligner.from_pretrained(tmp_path, device="cpu", leading_space=True).leading_space
    (tmp_path / "finetune.json").write_text("{}")
    with pytest.raises(InputError, match=r"does not say whether texts began with a space .*--no-leading-space"):
        WhisperAligner.from_pretrained(tmp_path, device="cpu")
