"""Clips longer than the window: refused by default, cut into windows on request, one row a clip, nothing truncated."""

from __future__ import annotations

import hashlib
import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiogram import sound
from audiogram.console import run_app
from audiogram.errors import InputError
from whisperprobe import measures
from whisperprobe.cli import app
from whisperprobe.features import WindowSpec
from whisperprobe.probing import grouping, long_audio
from whisperprobe.probing.batches import Batch
from whisperprobe.probing.confidence import word_confidence
from whisperprobe.probing.corpus import probe_corpus
from whisperprobe.probing.grouping import groups, in_order
from whisperprobe.probing.probe import Probe
from whisperprobe.probing.store import load_probes
from whisperprobe.probing.windowing import PADDED, Windowing, count_windows

_spec = spec_from_file_location("naive_probe", Path(__file__).with_name("naive_probe.py"))
naive_probe = module_from_spec(_spec)
_spec.loader.exec_module(naive_probe)

WORDS = ["sick", "thick", "fish", "ship", "chip", "naïve"]
LENGTHS = (8_000, 52_345, 12_345, 16_000, 32_001, 400)  # the second has four windows, the fifth three, of one sample
TEXTS = ["sick", "Fish ship", "chip", "ship", None, "naïve"]
WINDOW = WindowSpec(n_mels=80, n_frames=100)
CUT = Windowing(long_audio="windows")


def sounds(lengths=LENGTHS, seed=0):
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal(n) * 0.1).astype(np.float32) for n in lengths]


@pytest.fixture(scope="module")
def probe():
    model, tokenizer = naive_probe.tiny_whisper(WORDS)
    short = [x[:16_000] for x in sounds()]
    naive_probe.end_after(model, tokenizer, short, [1, 3, 5, 2, 4, 3])
    return Probe(model, tokenizer, max_new_tokens=6)


@pytest.fixture(scope="module")
def result(probe):
    return probe(sounds(), TEXTS, long_audio="windows", batch_size=3, top_k=5, layers="all", layer_vectors=True)


def same(left, right, atol=1e-9):
    assert list(left.columns) == list(right.columns)
    assert len(left) == len(right)
    for column in left:
        a, b = left[column].reset_index(drop=True), right[column].reset_index(drop=True)
        if a.dtype.kind == "f":
            assert np.allclose(a, b, atol=atol, rtol=0, equal_nan=True), column
        else:
            assert a.equals(b), column


def test_refused_by_default(probe):
    with pytest.raises(InputError, match=r"1: 3.27 s .* window of 1 s.*--long-audio windows"):
        probe(sounds(), TEXTS)


def test_one_row_a_clip_in_order_with_its_windows(result):
    assert result.clips["clip_id"].tolist() == list("012345")
    assert result.clips["n_windows"].tolist() == [1, 4, 1, 1, 3, 1]
    assert result.clips["text"].fillna("").tolist() == [t or "" for t in TEXTS]
    assert list(result.clips.columns)[-1] == "n_windows"
    assert list(result.tokens.columns)[-1] == "window"
    assert list(dict.fromkeys(result.tokens["clip_id"])) == list("012345")
    assert (result.tokens[~result.tokens["clip_id"].isin(["1", "4"])]["window"] == 0).all()


def test_a_clip_of_exactly_the_window_is_one_window():
    assert [count_windows(n, WINDOW) for n in (0, 1, 15_999, 16_000, 16_001, 32_000, 32_001)] == [1, 1, 1, 1, 2, 2, 3]


def test_rows_of_a_long_clip_are_those_of_its_windows_one_after_the_other(probe, result):
    for clip, length in (("1", 52_345), ("4", 32_001)):
        x = sounds()[int(clip)]
        windows = [x[start : start + 16_000] for start in range(0, length, 16_000)]
        alone = probe(windows, decodings=["greedy"], top_k=5, layers="all", layer_vectors=True)
        ours = result.tokens[result.tokens["clip_id"] == clip]
        assert ours["position"].tolist() == list(range(len(ours)))
        assert ours["window"].tolist() == alone.tokens["clip_id"].astype(int).tolist()
        left_out = ["clip_id", "position", "vector_row"]
        same(ours.drop(columns=[*left_out, "window"]), alone.tokens.drop(columns=left_out))
        assert np.allclose(result.hidden[ours["vector_row"]], alone.hidden, atol=1e-5)
        assert np.array_equal(result.top_k.ids[ours["vector_row"]], alone.top_k.ids)
        assert np.allclose(result.layer_hidden[ours["vector_row"]], alone.layer_hidden, atol=1e-5)
        layers = result.layers[result.layers["clip_id"] == clip]
        same(layers.drop(columns=["clip_id", "position"]), alone.layers.drop(columns=["clip_id", "position"]))
        row = result.clips.set_index("clip_id").loc[clip]
        assert row["prediction"] == " ".join(p for p in alone.clips["prediction"] if p)
        assert row["n_tokens"] == alone.clips["n_tokens"].sum()
        text = ours[ours["kind"] == "text"]
        assert row["log_probability"] == pytest.approx(text["log_probability"].sum(), abs=1e-9)
        assert row["mean_rank"] == pytest.approx(text["rank"].mean())
        assert row["mean_entropy"] == pytest.approx(text["entropy"].mean(), abs=1e-9)
        assert row["geometric_mean_probability"] == pytest.approx(np.exp(text["log_probability"].mean()), abs=1e-9)


def test_means_of_states_are_over_all_windows(probe, result):
    row = result.clips.set_index("clip_id").loc["1"]
    tokens = result.tokens[(result.tokens["clip_id"] == "1") & (result.tokens["kind"] == "text")]
    mean_h = result.hidden[tokens["vector_row"]].astype(np.float64).mean(0)
    spoken = probe.head.embedding[probe.variants("Fish ship")[1]].numpy().mean(0)
    cosine = measures.cosine_similarity(mean_h[None], spoken[None])[0]
    assert row["cosine_similarity"] == pytest.approx(float(cosine), abs=1e-6)


def test_what_is_forced_is_missing_for_clips_of_several_windows(result):
    forced = [c for c in result.clips if c.startswith(("word_", "prefix_"))]
    clips = result.clips.set_index("clip_id")
    assert clips.loc[["1", "4"], forced].isna().all(axis=None)
    assert clips.loc[["0", "2", "3", "5"], forced].notna().all(axis=None)
    assert set(result.tokens[result.tokens["clip_id"] == "1"]["decoding"]) == {"greedy"}
    truth = result.ground_truth[result.ground_truth["clip_id"] == "1"]
    greedy = result.tokens[result.tokens["clip_id"] == "1"]
    assert set(truth["position"]) == set(greedy["position"])  # the ground truth is looked up all along


def test_correct_is_decided_on_the_joined_text(probe):
    long = sounds()[4]
    said = probe([long], long_audio="windows").clips["prediction"][0]
    again = probe([long, long], [said, said + " x"], long_audio="windows").clips
    assert again["correct"].tolist() == [True, False]


def test_clips_of_one_window_are_to_the_bit_what_they_are_without_the_option(probe, result):
    short = [i for i, n in enumerate(LENGTHS) if n <= 16_000]
    plain = probe(
        [sounds()[i] for i in short], [TEXTS[i] for i in short], ids=[str(i) for i in short], batch_size=3, top_k=5,
        layers="all", layer_vectors=True,
    )  # fmt: skip
    for name in ("tokens", "clips", "ground_truth", "layers"):
        ours = getattr(result, name)
        ours = ours[ours["clip_id"].isin([str(i) for i in short])].reset_index(drop=True)
        theirs = getattr(plain, name)
        if name == "tokens":
            kept = ours["vector_row"].notna()
            assert np.array_equal(result.hidden[ours["vector_row"][kept]], plain.hidden)
        for column in set(theirs) - {"vector_row"}:
            assert ours[column].astype(theirs[column].dtype).equals(theirs[column]), (name, column)


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_batch_size_does_not_matter(probe, result, batch_size):
    other = probe(
        sounds(), TEXTS, long_audio="windows", batch_size=batch_size, top_k=5, layers="all", layer_vectors=True
    )
    for name in ("tokens", "clips", "ground_truth", "layers"):
        same(getattr(result, name), getattr(other, name))
    assert np.allclose(result.hidden, other.hidden, atol=1e-5)


def test_no_more_windows_than_a_batch_are_run_at_once(probe, monkeypatch):
    counts = []
    real = long_audio.measure

    def counted(probe, waveforms, *rest, **options):
        counts.append(len(waveforms))
        return real(probe, waveforms, *rest, **options)

    monkeypatch.setattr(long_audio, "measure", counted)
    probe([sounds((16_000 * 11 - 5,))[0]], long_audio="windows", batch_size=4)
    assert counts == [4, 4, 3]


def test_forced_only_leaves_a_row_without_values(probe):
    run = probe(sounds(), TEXTS, long_audio="windows", decodings=["forced"])
    row = run.clips.set_index("clip_id").loc["1"]
    assert len(run.clips) == 6
    assert row[["prediction", "correct", "word_surprisal", "mean_rank"]].isna().all()
    assert "1" not in set(run.tokens["clip_id"])


def test_a_word_does_not_reach_into_the_next_window(result):
    words = word_confidence(result.tokens[result.tokens["clip_id"] == "1"])
    starts = result.tokens[result.tokens["clip_id"] == "1"].groupby("window")["position"].min()
    ends = result.tokens[result.tokens["clip_id"] == "1"].groupby("window")["position"].max()
    for start in words["position"]:
        window = int(np.searchsorted(starts.to_numpy(), start, side="right")) - 1
        n = int(words[words["position"] == start]["n_tokens"].iloc[0])
        assert start + n - 1 <= ends.iloc[window]


def test_a_text_that_exceeds_the_decoder_does_not_stop_a_clip_whose_text_is_not_forced(probe):
    run = probe([sounds()[1]], ["word " * 60], long_audio="windows")
    assert run.clips["n_windows"].tolist() == [4]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"long_audio": "cut"}, "unknown long_audio 'cut'"),
        ({"encoder": "mean"}, "cannot go with encoder"),
        ({"lexicon": ["sick", "ship"]}, "cannot go with lexicon"),
        ({"n_best": 2, "encoder": "window"}, "cannot go with encoder and n_best"),
    ],
)
def test_what_makes_no_sense_together_is_refused(probe, options, said):
    with pytest.raises(InputError, match=said):
        probe(sounds(), TEXTS, **{"long_audio": "windows"} | options)


# the order of work, without a model


@given(st.lists(st.integers(1, 70_000), max_size=40), st.integers(1, 5))
def test_groups_keep_clips_and_their_order_and_batches_of_short_ones(lengths, batch_size):
    found = list(groups(lengths, int, CUT, WINDOW, batch_size))
    assert [n for group in found for n in group] == lengths
    assert all(found)
    short = [[n for n in group if n <= 16_000] for group in found]
    plain = list(groups([n for n in lengths if n <= 16_000], int, PADDED, WINDOW, batch_size))
    assert [own for own in short if own] == plain  # too few windows here for the bound on what is held


def test_long_clips_do_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr(grouping, "_HELD", 5)
    lengths = [1, 64_000, 64_000, 1, 64_000]
    assert list(groups(lengths, int, CUT, WINDOW, 16)) == [[1, 64_000, 64_000], [1, 64_000]]
    assert list(groups([64_000, 64_000, 1], int, CUT, WINDOW, 16)) == [[64_000], [64_000], [1]]


@given(st.permutations(range(6)), st.integers(1, 5), st.data())
def test_batches_joined_have_rows_and_vectors_of_every_clip_in_order(order, split, data):
    """Clip i has i tokens, each second of which keeps a vector that says whose it is."""

    def batch(clips):
        rows = [(i, t) for i in clips for t in range(i)]
        kept = [row for row in rows if row[1] % 2 == 0]
        at = {row: n for n, row in enumerate(kept)}
        tokens = pa.table(
            {
                "clip_id": pa.array([str(i) for i, _ in rows], pa.string()),
                "position": pa.array([t for _, t in rows], pa.int32()),
                "vector_row": pa.array([at.get(row) for row in rows], pa.int64()),
            }
        )
        table = pa.table(
            {
                "clip_id": pa.array([str(i) for i in clips], pa.string()),
                "encoder_row": pa.array(range(len(clips)), pa.int64()),
            }
        )
        vectors = {"encoder": np.array([[i] for i in clips], dtype=np.float32)}
        if kept:
            vectors["hidden"] = np.array(kept, dtype=np.float32)
        return Batch({"clips": table, "tokens": tokens}, vectors)

    joined = in_order([batch(order[:split]), batch(order[split:])], list("012345"), vector_offset=10, clip_offset=100)
    assert joined.tables["clips"]["clip_id"].to_pylist() == list("012345")
    assert joined.tables["clips"]["encoder_row"].to_pylist() == list(range(100, 106))
    assert joined.vectors["encoder"][:, 0].tolist() == list(range(6))
    tokens = joined.tables["tokens"].to_pylist()
    assert [(int(r["clip_id"]), r["position"]) for r in tokens] == [(i, t) for i in range(6) for t in range(i)]
    rows = [r for r in tokens if r["vector_row"] is not None]
    assert [r["vector_row"] for r in rows] == list(range(10, 10 + len(rows)))
    assert [tuple(v) for v in joined.vectors["hidden"]] == [(int(r["clip_id"]), r["position"]) for r in rows]


# on disk


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    root = tmp_path_factory.mktemp("speech")
    for word, x in zip(WORDS, sounds(), strict=True):
        sound.write(root / f"{word}.flac", x, 16_000)
    return root


def digests(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and not p.name.startswith(".")
    }


def test_a_corpus_in_windows_is_the_run_in_memory(probe, speech, tmp_path):
    options = {"splits": None, "batch_size": 2, "rows_per_part": 4, "top_k": 5}
    plain = load_probes(probe_corpus(speech, tmp_path / "plain", model=probe, max_failures=0.5, **options))
    assert len(plain.clips) + len(plain.failures) == 6
    assert plain.failures["error"].str.contains("--long-audio windows").sum() == 2
    assert "long_audio" not in plain.manifest["options"]
    assert "n_windows" not in plain.clips
    assert "window" not in plain.tokens
    out = probe_corpus(speech, tmp_path / "cut", model=probe, long_audio="windows", **options)
    cut = load_probes(out)
    assert len(cut.failures) == 0
    assert cut.manifest["options"]["long_audio"] == "windows"
    clips = [sound.read(speech / f"{clip}.flac")[0] for clip in cut.clips["clip_id"]]
    memory = probe(clips, cut.clips["text"].tolist(), ids=cut.clips["clip_id"].tolist(), long_audio="windows", top_k=5)
    for name in ("tokens", "clips", "ground_truth"):
        same(getattr(cut, name), getattr(memory, name), atol=1e-6)
    assert np.allclose(np.asarray(cut.hidden), memory.hidden, atol=1e-5)
    before = digests(out)
    for path in (out / "failures").glob("*.parquet"):  # as if killed before the last file of every part
        path.unlink()
    probe_corpus(speech, out, model=probe, long_audio="windows", **options)
    assert digests(out) == before
    with pytest.raises(InputError, match="long_audio"):
        probe_corpus(speech, out, model=probe, **options)


def test_hours_are_read_where_windows_are_asked_for(probe, tmp_path, monkeypatch):
    """Longer than a clip may be elsewhere; the model is not run."""
    (tmp_path / "speech").mkdir()
    x = (0.1 * np.random.default_rng(0).standard_normal(8_000 * 400)).astype(np.float32)
    sound.write(tmp_path / "speech" / "long.flac", x, 8_000)
    found, real = [], grouping.probe_long

    def short(probe, clip_id, waveform, *rest, **options):
        found.append(len(waveform))
        return real(probe, clip_id, waveform[:20_000], *rest, **options)

    monkeypatch.setattr(grouping, "probe_long", short)
    run = load_probes(
        probe_corpus(tmp_path / "speech", tmp_path / "out", model=probe, splits=None, long_audio="windows", top_k=5)
    )
    assert found == [400 * 16_000]
    assert len(run.clips) == 1


def test_the_command(probe, speech, tmp_path, capsys):
    model, tokenizer = probe.model, probe.tokenizer
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    call = ["probe", str(speech), "--splits", "train", "--model", str(tmp_path / "model"), "--out", str(tmp_path / "o")]
    assert run_app(app, [*call, "--long-audio", "windows"]) == 0
    assert json.loads((tmp_path / "o" / "manifest.json").read_text())["options"]["long_audio"] == "windows"
    assert run_app(app, [*call, "--long-audio", "cut"]) == 2
    assert "unknown long_audio" in capsys.readouterr().err
