"""The trimmed encoder: the model's own where nothing is cut off, alike in every batch, and measured against padded."""

from __future__ import annotations

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import whisperprobe as wp
from audiogram import sound
from audiogram.console import run_app
from audiogram.errors import InputError
from whisperprobe.cli import app
from whisperprobe.features import WindowSpec, log_mel
from whisperprobe.probing import measuring
from whisperprobe.probing.agreement import Agreement, probe_agreement
from whisperprobe.probing.agreement_file import read_agreement
from whisperprobe.probing.corpus import probe_corpus
from whisperprobe.probing.extras import NOTHING_MORE
from whisperprobe.probing.probe import Probe
from whisperprobe.probing.store import ProbeResult, load_probes
from whisperprobe.probing.trimming import trimmed_states
from whisperprobe.probing.windowing import Windowing

_spec = spec_from_file_location("naive_probe", Path(__file__).with_name("naive_probe.py"))
naive_probe = module_from_spec(_spec)
_spec.loader.exec_module(naive_probe)

WORDS = ["sick", "thick", "fish", "ship", "chip", "naïve"]
LENGTHS = (7_000, 40_000, 8_000, 1, 15_000, 24_000, 64_000)  # trimmed with 0.5 s: 1, 3, 1, 1, 1.5, 2 and 4 s
TEXTS = ["sick", "Fish ship", None, "chip", "ship", "thick", "naïve"]
DEMO = Path(wp.__file__).parent / "demo"


def sounds(lengths=LENGTHS, seed=0):
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal(n) * 0.1).astype(np.float32) for n in lengths]


@pytest.fixture(scope="module")
def probe():
    return Probe(*naive_probe.tiny_whisper(WORDS, seconds=4), max_new_tokens=4)


@pytest.fixture(scope="module")
def trimmed(probe):
    return probe(sounds(), TEXTS, padding="trimmed", margin=0.5, batch_size=2, top_k=5, encoder="mean", vectors="both")


def same(left, right, atol):
    assert list(left.columns) == list(right.columns)
    assert len(left) == len(right)
    for column in left:
        a, b = left[column].reset_index(drop=True), right[column].reset_index(drop=True)
        if a.dtype.kind == "f":
            assert np.allclose(a, b, atol=atol, rtol=0, equal_nan=True), column
        else:
            assert a.equals(b), column


def test_over_all_positions_it_is_the_models_own_encoder(probe):
    model = probe.model
    features = log_mel(sounds(), model).double()
    with torch.inference_mode():
        whole = model.model.encoder(features).last_hidden_state
        ours = trimmed_states(model, features, 200)
        assert torch.allclose(ours, whole, atol=1e-12)
        assert trimmed_states(model, features, 75).shape == (7, 75, 24)


def test_the_last_position_hears_silence_and_no_edge(probe):
    """Without its layers an encoder's positions are its convolutions', which see no further than two frames."""
    model, layers = probe.model, probe.model.model.encoder.layers
    features = log_mel(sounds(), model).double()
    try:
        model.model.encoder.layers = torch.nn.ModuleList()
        with torch.inference_mode():
            whole = model.model.encoder(features).last_hidden_state
            assert torch.allclose(trimmed_states(model, features, 75), whole[:, :75], atol=1e-12)
    finally:
        model.model.encoder.layers = layers


def test_lengths_are_the_clip_and_its_margin_in_steps_of_half_a_second():
    window = WindowSpec(n_mels=80, n_frames=400)
    half = Windowing(padding="trimmed", margin=0.5)
    assert [half.positions(n, window) for n in LENGTHS] == [50, 150, 50, 50, 75, 100, None]
    assert half.positions(8_001, window) == 75
    assert Windowing(padding="trimmed", margin=0.0).positions(8_000, window) == 25
    assert Windowing(padding="trimmed", margin=4.0).positions(1, window) is None  # the whole window
    assert Windowing(margin=0.5).positions(8_000, window) is None


def test_with_the_whole_window_as_margin_it_is_the_padded_run(probe):
    padded = probe(sounds(), TEXTS, top_k=5)
    whole = probe(sounds(), TEXTS, padding="trimmed", margin=4, top_k=5)
    for name in ("tokens", "clips", "ground_truth"):
        same(getattr(padded, name), getattr(whole, name), 1e-5)
    assert np.allclose(padded.hidden, whole.hidden, atol=1e-5)
    found = probe_agreement(padded, whole)
    assert (found.largest_difference, found.top_1_match, found.same_prediction) == (pytest.approx(0, abs=1e-9), 1, 1)


def test_the_encoder_runs_over_few_positions_and_clips_of_one_length_together(probe, monkeypatch):
    calls = []
    real = measuring.encode

    def noted(model, features, positions):
        states, cross = real(model, features, positions)
        calls.append((states.shape[0], states.shape[1]))
        return states, cross

    monkeypatch.setattr(measuring, "encode", noted)
    probe(sounds(), TEXTS, padding="trimmed", margin=0.5, batch_size=2)
    assert sorted(calls) == sorted([(2, 50), (1, 50), (1, 150), (1, 75), (1, 100), (1, 200)])


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_neither_batch_nor_order_matters(probe, trimmed, batch_size):
    options = {"padding": "trimmed", "margin": 0.5, "top_k": 5, "encoder": "mean", "vectors": "both"}
    order = [4, 0, 6, 2, 5, 1, 3]
    mixed = probe(
        [sounds()[i] for i in order],
        [TEXTS[i] for i in order],
        ids=[str(i) for i in order],
        batch_size=batch_size,
        **options,
    )
    assert mixed.clips["clip_id"].tolist() == [str(i) for i in order]  # rows in the input's order
    assert list(dict.fromkeys(mixed.tokens["clip_id"])) == [str(i) for i in order]
    for name, keys in (
        ("tokens", ["clip_id", "decoding", "variant", "position"]),
        ("clips", ["clip_id"]),
        ("ground_truth", ["clip_id", "position", "target_index"]),
    ):
        left, right = (getattr(run, name).sort_values(keys, kind="stable") for run in (trimmed, mixed))
        left_out = [c for c in left if c in ("vector_row", "encoder_row")]
        same(left.drop(columns=left_out), right.drop(columns=left_out), 1e-9)
        for column, array in (("vector_row", "hidden"), ("encoder_row", "encoder")):
            if column in left:
                a, b = (getattr(r, array)[t[column]] for r, t in ((trimmed, left), (mixed, right)))
                assert np.allclose(a, b, atol=1e-6)
    assert mixed.tokens["vector_row"].tolist() == list(range(len(mixed.tokens)))
    assert mixed.clips["encoder_row"].tolist() == list(range(7))


def test_long_clips_are_trimmed_in_their_last_window(probe):
    x = sounds((64_000 + 7_000,))[0]
    whole = probe([x], padding="trimmed", margin=0.5, long_audio="windows", batch_size=8)
    windows = probe([x[:64_000], x[64_000:]], padding="trimmed", margin=0.5)
    assert whole.clips["n_windows"].tolist() == [2]
    assert np.allclose(whole.tokens["log_probability"], windows.tokens["log_probability"], atol=1e-9)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"padding": "short"}, "unknown padding 'short'"),
        ({"padding": "trimmed", "margin": -0.1}, "margin is -0.1"),
        ({"padding": "trimmed", "margin": float("nan")}, "margin is nan"),
        ({"padding": "trimmed", "margin": float("inf")}, "margin is inf"),
        ({"padding": "trimmed", "margin": True}, "margin is True"),
        ({"padding": "trimmed", "margin": "1"}, "margin is '1'"),
        ({"margin": 0.5}, r"margin is 0\.5, .* windows are whole here\. Give padding 'trimmed' too"),
        ({"padding": "trimmed", "encoder": "window"}, "does not compute"),
    ],
)
def test_options_that_cannot_be_used_are_refused(probe, options, said):
    with pytest.raises(InputError, match=said):
        probe(sounds(), TEXTS, **options)


def test_what_was_asked_is_recorded(probe, trimmed):
    assert trimmed.manifest["options"]["padding"] == "trimmed"
    assert trimmed.manifest["options"]["margin"] == 0.5
    assert Windowing.of(NOTHING_MORE).describe() == {"padding": "window"}


# agreement


def run_of(words, greedy, ranks=None, texts=None):
    """A made-up run: ln p of each clip's word, its greedy token ids, ranks of forced tokens."""
    clips = pd.DataFrame({"clip_id": list(words), "text": texts or list(words)})
    clips["word_log_probability"] = list(words.values())
    clips["word_surprisal"] = -clips["word_log_probability"] / np.log(2)
    rows = [(clip, "greedy", None, t, i, 1) for clip, ids in greedy.items() for t, i in enumerate(ids)]
    rows += [(clip, "forced", "as_given", t, 7, r) for clip, own in (ranks or {}).items() for t, r in enumerate(own)]
    tokens = pd.DataFrame(rows, columns=["clip_id", "decoding", "variant", "position", "token_id", "rank"])
    result = ProbeResult({}, None, {}, {})
    result.__dict__ |= {"clips": clips, "tokens": tokens}
    return result


def test_agreement_by_hand():
    one = run_of({"a": -1.0, "b": -2.0, "c": -9.0}, {"a": [5, 6, 0], "b": [5, 0], "c": [1]}, {"a": [1, 4], "b": [9]})
    two = run_of(
        {"a": -1.5, "b": -2.1, "c": -8.0}, {"a": [5, 7, 6, 0], "b": [5, 0], "c": [1, 2]}, {"a": [1, 9], "b": [7]}
    )
    found = probe_agreement(one, two)
    assert (found.clips, found.words) == (3, 3)
    assert found.mean_difference == pytest.approx((-0.5 - 0.1 + 1.0) / 3)
    assert found.median_difference == pytest.approx(0.5)
    assert found.largest_difference == pytest.approx(1.0)
    assert found.surprisal_correlation == pytest.approx(1.0)
    assert found.rank_correlation == pytest.approx(0.5)  # ranks 1 2 3 against 1 3 2
    # a: 5 agrees, then 6 against 7, and what follows is not compared; b: both; c: 1 agrees, then it ends against 2
    assert found.positions == 2 + 2 + 2
    assert found.top_1_match == pytest.approx(4 / 6)
    assert found.same_prediction == pytest.approx(1 / 3)
    assert probe_agreement(two, one).mean_difference == pytest.approx(-found.mean_difference)
    assert Agreement.from_dict(found.to_dict() | {"sample": 1}).to_dict() == found.to_dict()
    assert "66.7%" in str(found)


def test_a_run_agrees_with_itself(trimmed):
    found = probe_agreement(trimmed, trimmed)
    assert (found.clips, found.words, found.largest_difference) == (7, 6, 0.0)
    assert found.surprisal_correlation == pytest.approx(1.0)
    assert found.rank_correlation == pytest.approx(1.0)
    assert (found.top_1_match, found.same_prediction) == (1.0, 1.0)
    greedy = trimmed.tokens[trimmed.tokens["decoding"] == "greedy"]
    assert found.positions == len(greedy)


def test_nothing_to_compare_is_none(probe):
    found = probe_agreement(probe(sounds()[:1], decodings=["forced"]), probe(sounds()[:1], decodings=["forced"]))
    assert found == Agreement(1, 0, None, None, None, None, None, 0, None, None)
    assert str(found).startswith("1 clips, 0 words")
    empty = probe_agreement(probe([]), probe([]))
    assert empty.clips == 0


def test_runs_of_other_clips_texts_or_tokenizers_are_refused(probe):
    run = probe(sounds()[:2], ["sick", "ship"])
    with pytest.raises(InputError, match=r"not of the same clips: 1 .*'1'"):
        probe_agreement(run, probe(sounds()[:1], ["sick"]))
    with pytest.raises(InputError, match="has the text 'ship' in one run and 'chip'"):
        probe_agreement(run, probe(sounds()[:2], ["sick", "chip"]))
    other = run_of({"a": -1.0}, {"a": [1]}, {"a": [1]})
    other.tokens["token_id"] += 1
    with pytest.raises(InputError, match="do not share a tokenizer"):
        probe_agreement(run_of({"a": -1.0}, {"a": [1]}, {"a": [1]}), other)


def test_the_demos_model_trimmed_agrees_with_padded():
    """Clips of 0.3 to 0.9 s in a window of 2 s; a trained model, so that agreement means something."""
    from audiogram.corpus import open_corpus

    probe = Probe.from_pretrained(DEMO / "model", device="cpu")
    clips = [clip for clip, _ in zip(open_corpus(DEMO / "speech").read("test"), range(24), strict=False)]
    heard = [sound.resample(*clip.audio(), 16_000) for clip in clips]
    texts = [clip.text for clip in clips]
    padded = probe(heard, texts, top_k=0)
    near = probe_agreement(padded, probe(heard, texts, top_k=0, padding="trimmed", margin=1.0))
    far = probe_agreement(padded, probe(heard, texts, top_k=0, padding="trimmed", margin=0.0))
    assert near.largest_difference > 0
    assert near.median_difference <= far.median_difference
    assert near.surprisal_correlation > 0.9
    assert near.top_1_match > 0.9


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    root = tmp_path_factory.mktemp("speech")
    for word, x in zip(WORDS, sounds(), strict=False):
        sound.write(root / f"{word}.flac", x, 16_000)
    return root


def test_a_corpus_trimmed_is_the_run_in_memory_and_says_how_well_it_agrees(probe, speech, tmp_path):
    options = {"splits": None, "batch_size": 2, "rows_per_part": 4, "top_k": 5, "padding": "trimmed", "margin": 0.5}
    out = probe_corpus(speech, tmp_path / "run", model=probe, **options)
    run = load_probes(out)
    clips = [sound.read(speech / f"{clip}.flac")[0] for clip in run.clips["clip_id"]]
    asked = {"ids": run.clips["clip_id"].tolist(), "top_k": 5}
    memory = probe(clips, run.clips["text"].tolist(), padding="trimmed", margin=0.5, **asked)
    for name in ("tokens", "clips", "ground_truth"):
        same(getattr(run, name), getattr(memory, name), 1e-6)
    assert np.allclose(np.asarray(run.hidden), memory.hidden, atol=1e-5)
    assert run.manifest["options"]["padding"] == "trimmed"
    said = json.loads((out / "agreement.json").read_text())
    assert said["sample"] == {
        "clips_per_split": 64, "seed": 0, "reference": "window", "padding": "trimmed", "margin": 0.5
    }  # fmt: skip
    padded = probe(clips, run.clips["text"].tolist(), **asked)
    expected = probe_agreement(padded, memory)
    found = read_agreement(out)
    assert found.clips == expected.clips == 6
    assert found.largest_difference == pytest.approx(expected.largest_difference, rel=1e-4)
    assert found.top_1_match == pytest.approx(expected.top_1_match, rel=1e-4)
    assert load_probes(out).clips.equals(run.clips)  # the further file disturbs nothing


def test_every_shard_writes_the_same_agreement(probe, speech, tmp_path):
    options = {"splits": None, "rows_per_part": 2, "padding": "trimmed", "margin": 0.0, "agreement": 3, "seed": 4}
    written = []
    for i in (0, 1):
        out = probe_corpus(speech, tmp_path / "run", model=probe, shard=(i, 2), **options)
        written.append((out / "agreement.json").read_bytes())
        (out / "agreement.json").unlink()
    assert written[0] == written[1]
    assert json.loads(written[0])["clips"] == 3
    (out / "agreement.json").write_bytes(written[0])
    stamp = (out / "agreement.json").stat().st_mtime_ns
    probe_corpus(speech, out, model=probe, **options)
    assert (out / "agreement.json").stat().st_mtime_ns == stamp  # the same sample is not probed again
    probe_corpus(speech, out, model=probe, **(options | {"agreement": 2}))
    assert read_agreement(out).clips == 2
    (out / "agreement.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        probe_corpus(speech, out, model=probe, **options)


def test_no_agreement_where_none_is_asked_for(probe, speech, tmp_path):
    plain = probe_corpus(speech, tmp_path / "plain", model=probe, splits=None)
    none = probe_corpus(speech, tmp_path / "none", model=probe, splits=None, padding="trimmed", agreement=0)
    assert read_agreement(plain) is read_agreement(none) is None
    assert "margin" not in load_probes(plain).manifest["options"]
    with pytest.raises(InputError, match="agreement is -1"):
        probe_corpus(speech, tmp_path / "x", model=probe, padding="trimmed", agreement=-1)


def test_the_command_prints_the_agreement(probe, speech, tmp_path, capsys):
    probe.model.save_pretrained(tmp_path / "model")
    probe.tokenizer.save_pretrained(tmp_path / "model")
    call = ["probe", str(speech), "--splits", "train", "--model", str(tmp_path / "model"), "--out", str(tmp_path / "o")]
    assert run_app(app, [*call, "--padding", "trimmed", "--margin", "0.5", "--agreement", "4"]) == 0
    shown = capsys.readouterr().out
    assert "agreement with padding 'window': 4 clips, 4 words" in shown
    assert "same next token at" in shown
    assert run_app(app, [*call, "--padding", "trimmed", "--margin", "-1"]) == 2
    assert "margin is -1" in capsys.readouterr().err


def test_a_model_that_was_trained_on_trimmed_windows_is_probed_so_unless_told_otherwise(probe, speech, tmp_path):
    folder = tmp_path / "model"
    probe.model.save_pretrained(folder)
    probe.tokenizer.save_pretrained(folder)
    (folder / "listening.json").write_text(json.dumps(Windowing("trimmed", margin=0.5).describe()))
    trained = Probe.from_pretrained(folder, device="cpu", max_new_tokens=4)
    assert trained.windowing == Windowing("trimmed", margin=0.5)
    heard = {"waveforms": sounds(), "texts": TEXTS, "top_k": 5}
    asked = probe(**heard, padding="trimmed", margin=0.5)
    same(trained(**heard).tokens, asked.tokens, 1e-4)
    same(trained(**heard, padding="window").tokens, probe(**heard).tokens, 1e-4)
    same(trained(**heard, margin=0.0).tokens, probe(**heard, padding="trimmed", margin=0.0).tokens, 1e-4)
    run = load_probes(probe_corpus(speech, tmp_path / "run", model=folder, splits=None, max_new_tokens=4))
    assert run.manifest["options"]["padding"] == "trimmed"
    assert run.manifest["options"]["margin"] == 0.5
    assert read_agreement(tmp_path / "run") is None  # padded windows are no reference for it
    padded = probe_corpus(speech, tmp_path / "padded", model=folder, splits=None, padding="window", max_new_tokens=4)
    assert load_probes(padded).manifest["options"]["padding"] == "window"
