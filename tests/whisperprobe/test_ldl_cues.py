"""Cues of words: physics first, then the definition, step by step, then corpora on disk."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.stats
import soundfile
import torch
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from audiogram import condition, mask_corpus, sound
from audiogram.console import run_app
from audiogram.corpus import open_corpus, read_manifest
from audiogram.errors import AudiogramWarning, InputError, WorkError
from whisperprobe import ldl, verify_folder
from whisperprobe.cli_ldl_cues import cues as cues_command
from whisperprobe.features import WindowSpec, heard_frames, log_mel
from whisperprobe.ldl import cues_summaries
from whisperprobe.ldl.cues_bands import log_bands, n_frames
from whisperprobe.ldl.cues_summaries import PAIRS, BandSummaries, _spearman, summaries_of_all

_spec = spec_from_file_location("plain_cues", Path(__file__).parents[2] / "benchmarks" / "reference" / "plain_cues.py")
plain_cues = module_from_spec(_spec)
_spec.loader.exec_module(plain_cues)

RATE = 16_000
VALUES = 420  # of a chunk; correlations follow


def noise(samples: int, seed: int = 0, scale: float = 0.1) -> np.ndarray:
    return (scale * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def centres(top_hz: float = 8_000.0) -> np.ndarray:
    edges = np.linspace(0, plain_cues.mel(top_hz), 23)
    return 700 * (10 ** (edges[1:-1] / 2595) - 1)


# C-FBSF: physics


@pytest.mark.parametrize("band", [3, 8, 12, 16, 20])
def test_a_tone_in_a_band_fills_that_band(band: int) -> None:
    tone = np.sin(2 * np.pi * centres()[band] * np.arange(8_000) / RATE).astype(np.float32)
    values = ldl.cfbsf(tone, RATE)[:, :VALUES].reshape(-1, 21, 20)
    assert (values.mean(axis=(0, 2)).argmax() == band).all()


def test_two_pulses_make_three_chunks_with_each_band_loud_where_it_is() -> None:
    t = np.arange(16_000) / RATE
    low, high = (
        np.sin(2 * np.pi * hz * t) * np.exp(-(((t - at) / 0.05) ** 2)) for hz, at in ((400, 0.3), (5_000, 0.7))
    )
    cues = ldl.cfbsf((low + high).astype(np.float32), RATE)
    assert cues.shape == (3, 630)
    values = cues[:, :VALUES].reshape(3, 21, 20)
    bands = [int(np.abs(centres() - hz).argmin()) for hz in (400, 5_000)]
    assert values[0, bands[0], -1] > values[0, bands[0], 0] + 5  # the first chunk ends at the first pulse
    assert values[1, bands[0], 0] > values[1, bands[0], -1] + 5
    assert values[1, bands[1], -1] > values[1, bands[1], 0] + 5
    assert values[2, bands[1], 0] > values[2, bands[1], -1] + 5


def test_bands_that_rise_together_correlate_and_opposite_ones_anticorrelate() -> None:
    t = np.arange(2_480) / RATE  # one chunk of whole frames
    up, down = 0.2 + t, 0.2 + t[::-1]
    rise = up * (np.sin(2 * np.pi * 500 * t) + np.sin(2 * np.pi * 1_500 * t))
    fall = down * np.sin(2 * np.pi * 4_500 * t)
    correlations = dict(zip(PAIRS, ldl.cfbsf(0.5 * (rise + fall), RATE)[0, VALUES:], strict=True))
    a, b, c = (int(np.abs(centres() - hz).argmin()) for hz in (500, 1_500, 4_500))
    assert correlations[a, b] > 0.95
    assert correlations[a, c] < -0.95


def test_silence_is_one_chunk_of_zeros_and_a_steady_tone_has_no_correlations() -> None:
    assert np.array_equal(ldl.cfbsf(np.zeros(20_000, np.float32), RATE), np.zeros((1, 630), np.float32))
    tone = np.sin(2 * np.pi * 1_000 * np.arange(2_320) / RATE).astype(np.float32)  # ten periods a hop, whole frames
    (cues,) = ldl.cfbsf(tone, RATE)
    assert np.ptp(cues[:VALUES].reshape(21, 20), axis=1).max() < 1e-6
    assert not cues[VALUES:].any()


def test_what_lies_below_half_a_16_bit_step_is_not_there() -> None:
    quiet = noise(4_000, scale=1.0)
    quiet *= np.float32(0.49 / 32_768 / np.abs(quiet).max())
    assert not ldl.cfbsf(quiet, RATE).any()
    assert ldl.cue_matrix([quiet, 100 * quiet], RATE).silent.tolist() == [True, False]
    assert ldl.cfbsf(quiet, RATE, full_scale=2.0**23).any()


def test_every_pair_of_bands_is_covered_once() -> None:
    assert len(PAIRS) == len(set(PAIRS)) == 210
    assert {frozenset(pair) for pair in PAIRS} == {frozenset((a, b)) for a in range(21) for b in range(21) if a != b}
    # and in this order: bands that are random apart from two that are equal correlate perfectly in one place
    for i, (a, b) in enumerate(PAIRS):
        values = np.random.default_rng(i).standard_normal((21, 20))
        values[b] = np.exp(values[a])
        correlations = _spearman(torch.from_numpy(values)[None])[0]
        flat = np.array([float(correlations[pair]) for pair in PAIRS])
        assert flat[i] == 1.0
        assert (np.delete(flat, i) < 1).all()


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**20), levels=st.integers(1, 6))
def test_rank_correlations_with_ties_are_scipys(seed: int, levels: int) -> None:
    values = np.random.default_rng(seed).integers(0, levels, (21, 20)).astype(float)
    ours = _spearman(torch.from_numpy(values)[None])[0].numpy()
    with warnings.catch_warnings(action="ignore"):  # of constant rows, which are defined here
        theirs = scipy.stats.spearmanr(values.T).statistic
    assert np.abs(ours - np.nan_to_num(theirs)).max() <= 1e-12


# C-FBSF: the definition


@settings(max_examples=30, deadline=None)
@given(
    samples=st.integers(1, 7_000),
    seed=st.integers(0, 2**20),
    boundary=st.sampled_from(["max", "min"]),
    top_hz=st.sampled_from([8_000.0, 4_000.0]),
)
def test_as_the_definition_says(samples: int, seed: int, boundary: str, top_hz: float) -> None:
    x = noise(samples, seed)
    ours = ldl.cfbsf(x, RATE, boundary=boundary, top_hz=top_hz)
    naive = plain_cues.cues(x, boundary, top_hz=top_hz)
    assert ours.dtype == np.float32
    assert ours.shape == naive.shape
    assert np.abs(ours - naive).max() <= 2e-6  # float32 of numbers up to 20


@pytest.mark.parametrize("samples", [1, 79, 80, 81, 240, 241, 16_000])
def test_frames_cover_the_word(samples: int) -> None:
    bands, counts = log_bands([torch.from_numpy(noise(samples))], 32_768.0, 8_000.0)
    assert counts == [n_frames(samples)] == [len(plain_cues.band_energies(noise(samples)))]
    assert (counts[0] - 1) * 160 + 80 >= samples > (counts[0] - 2) * 160 + 80
    assert bands.shape == (counts[0], 21)


def test_a_batch_is_a_loop_on_numpy_and_on_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cues_summaries, "_SAMPLES_AT_ONCE", 20_000)  # several batches
    lengths = [1, 3_000, 6_000, 700, 9_001] * 14  # more than one batch
    words = [noise(n, i) for i, n in enumerate(lengths)]
    matrix = ldl.cue_matrix(words, RATE)
    assert matrix.units.max() * 630 == matrix.shape.width
    for row, word in zip(matrix.values, words, strict=True):
        alone = ldl.cfbsf(word, RATE).ravel()
        assert np.array_equal(row[: len(alone)], alone)
        assert not row[len(alone) :].any()
    tensor = ldl.cfbsf(torch.from_numpy(words[2]), RATE)
    assert isinstance(tensor, torch.Tensor)
    assert np.array_equal(tensor.numpy(), ldl.cfbsf(words[2], RATE))


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_other_rates_are_resampled_first(rate: int) -> None:
    t = np.arange(rate) / rate
    word = (0.3 * np.sin(2 * np.pi * 700 * t) * np.sin(np.pi * t) ** 2).astype(np.float32)
    at_16k = np.arange(RATE) / RATE
    same = (0.3 * np.sin(2 * np.pi * 700 * at_16k) * np.sin(np.pi * at_16k) ** 2).astype(np.float32)
    ours, expected = ldl.cfbsf(word, rate, top_hz=4_000), ldl.cfbsf(same, RATE, top_hz=4_000)
    assert ours.shape == expected.shape
    band = int(np.abs(centres(4_000) - 700).argmin())
    a, b = (x[:, :VALUES].reshape(-1, 21, 20)[:, band] for x in (ours, expected))
    assert np.abs(a - b).max() < 0.05
    if rate == 8_000:
        with pytest.warns(AudiogramWarning, match="nothing above 4000 Hz.* set top_hz to 4000"):
            ldl.cfbsf(word, rate)


def test_random_frames_keep_their_order_and_follow_seed_and_key() -> None:
    rng = np.random.default_rng(1)
    ramp = (np.linspace(0.01, 1, 40_000) * np.sign(rng.standard_normal(40_000)) * 0.5).astype(np.float32)
    options = {"sampling": "random"}
    first = ldl.cfbsf(ramp, RATE, seed=1, key="a", **options)
    assert np.array_equal(first, ldl.cfbsf(ramp, RATE, seed=1, key="a", **options))
    others = [ldl.cfbsf(ramp, RATE, **options, **o) for o in ({"seed": 2, "key": "a"}, {"seed": 1, "key": "b"}, {})]
    assert all(not np.array_equal(first, other) for other in others)
    bands = plain_cues.band_energies(ramp).astype(np.float32)
    kept = first[0, :VALUES].reshape(21, 20).T
    places = [int(np.abs(bands - row).sum(axis=1).argmin()) for row in kept]
    assert places == sorted(set(places))
    short = noise(1_500)  # ten frames: all, repeated
    assert np.array_equal(ldl.cfbsf(short, RATE, key="a", **options), ldl.cfbsf(short, RATE))
    # in a batch as alone, whatever stands beside it
    (alone, _) = summaries_of_all(
        [torch.from_numpy(ramp), torch.from_numpy(short)], BandSummaries(seed=1, sampling="random"), ["a", "x"]
    )
    assert np.array_equal(alone.numpy(), first)


# Log-mel cues


def test_log_mel_cues_are_whispers_scaled_once_for_all() -> None:
    words = [noise(9_000, 1), noise(16_000, 2, 0.01), np.zeros(4_000, np.float32)]
    cues = ldl.cue_matrix(words, RATE, "log_mel")
    assert cues.values.shape == (3, 50_048)
    window = WindowSpec(128, 391)
    spectra = log_mel(words, window).numpy()
    heard = [spectrum[:, : heard_frames(len(w), window)] for spectrum, w in zip(spectra, words, strict=True)]
    low, high = min(h.min() for h in heard[:2]), max(h.max() for h in heard[:2])
    assert (cues.shape.low, cues.shape.high) == (low, high)
    for row, one in zip(cues.values, heard, strict=True):
        expected = np.clip((one.T - low) / (high - low), 0, 1).ravel()
        assert np.abs(row[: len(expected)] - expected).max() < 1e-6
        assert not row[len(expected) :].any()
    assert cues.silent.tolist() == [False, False, True]
    assert not cues.values[2].any()
    assert cues.values.min() == 0
    assert cues.values.max() == 1


def test_what_a_condition_makes_inaudible_stays_so() -> None:
    t = np.arange(12_000) / RATE
    word = (0.2 * np.sin(2 * np.pi * 300 * t) + 0.2 * np.sin(2 * np.pi * 4_000 * t)).astype(np.float32)
    lost = np.asarray(condition("hfloss")(word, RATE), dtype=np.float32)
    quiet = np.float32(0.01) * word
    normal = ldl.cue_matrix([word], RATE, "log_mel")
    masked, soft = (ldl.cue_matrix([x], RATE, shape=normal.shape).values[0] for x in (lost, quiet))
    frames = normal.values[0].reshape(391, 128)[10:60]
    high = frames.mean(axis=0)[100:].max()
    assert masked.reshape(391, 128)[10:60].mean(axis=0)[100:].max() < high - 0.2
    assert soft[:9_600].mean() < normal.values[0, :9_600].mean() - 0.1  # quieter stays quieter


def test_words_that_are_too_long_are_cut_and_counted() -> None:
    long, edge, short = noise(70_000), noise(391 * 160), noise(5_000)
    cues = ldl.cue_matrix([long, edge, short], RATE, "log_mel")
    assert cues.truncated.tolist() == [True, False, False]
    assert cues.units[0] > 391
    assert np.array_equal(cues.values[0], ldl.cue_matrix([long[: 391 * 160]], RATE, shape=cues.shape).values[0])
    few = ldl.cue_matrix([short, short[:2_000]], RATE)
    more = ldl.cue_matrix([noise(40_000)], RATE, shape=few.shape)
    assert more.truncated.tolist() == [True]
    assert more.values.shape == (1, few.shape.width)
    assert few.short.tolist() == [False, True]


# Calls


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "mfcc"}, "unknown kind of cues 'mfcc'"),
        ({"kind": "log_mel", "boundary": "max"}, "log-mel cues have no option 'boundary'"),
        ({"boundry": "max"}, "Did you mean 'boundary'"),
        ({"sampling": "equal"}, "unknown sampling"),
        ({"full_scale": 1.0}, "between 128 and"),
        ({"top_hz": 9_000}, "between 2000 and 8000 Hz"),
        ({"seed": -1}, "seed"),
        ({"keys": ["a"]}, "keys names 1 words, but there are 2"),
    ],
)
def test_wrong_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ldl.cue_matrix([noise(100), noise(100)], RATE, **options)


def test_wrong_words_are_refused() -> None:
    for waveforms, message in (
        ([], "no word"),
        ([noise(10), np.zeros(0, np.float32)], "clip 1 is empty"),
        ([np.full(10, np.inf, np.float32)], "NaN or infinite"),
        ([np.zeros(10, np.int16)], "floating-point"),
        (noise(8).reshape(2, 2, 2), "give .samples,. or .clips, samples."),
    ):
        with pytest.raises(InputError, match=message):
            ldl.cue_matrix(waveforms, RATE)
    with pytest.raises(InputError, match="the reference words are silent"):
        ldl.cue_matrix([np.zeros(500, np.float32)], RATE, "log_mel")


def test_a_shape_goes_through_json_and_refuses_other_options() -> None:
    shape = ldl.cue_matrix([noise(9_000)], RATE, boundary="min").shape
    again = ldl.CueShape.from_dict(json.loads(json.dumps(shape.to_dict())))
    assert again == shape
    assert ldl.cue_matrix([noise(9_000)], RATE, shape=again, boundary="min").shape == shape
    with pytest.raises(InputError, match="Give the shape alone"):
        ldl.cue_matrix([noise(9_000)], RATE, shape=again, boundary="max")
    with pytest.raises(InputError, match="Give the shape alone"):
        ldl.cue_matrix([noise(9_000)], RATE, "log_mel", shape=again)
    for wrong in ({"units": 0}, {"kind": "x"}, {"low": 1.0, "high": 0.0}):
        with pytest.raises(InputError):
            ldl.CueShape(**{"kind": "cfbsf", "units": 2, **wrong})


# Corpora


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    rng = np.random.default_rng(0)
    for split, count in (("train", 9), ("test", 4)):
        (folder / split).mkdir()
        for i in range(count):
            samples = [1_200, 70_000, 8_000][i] if split == "train" and i < 3 else int(rng.integers(3_000, 16_000))
            x = noise(samples, i) if (split, i) != ("train", 2) else np.zeros(samples, np.float32)
            soundfile.write(folder / split / f"w{i % 3}_{i}.flac", x, RATE, subtype="PCM_24")
    return folder


PATTERN = r"(?P<text>w\d)_(?P<take>\d+)"


@pytest.mark.parametrize("kind", ["cfbsf", "log_mel"])
def test_a_corpus_on_disk_is_the_matrix_in_memory(
    words: Path, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)  # whatever a command before this test was asked to print
    folder = ldl.write_cues(words, tmp_path / "cues", kind=kind, text_pattern=PATTERN, rows_per_part=4)
    stored = ldl.open_cues(folder)
    assert (stored.kind, set(stored.splits)) == (kind, {"test", "train"})
    shape = stored.fit("train")
    table = stored.table("train")
    assert len(table) == 9
    assert set(table["text"].to_pylist()) == {"w0", "w1", "w2"}
    sounds = [sound.read(words / f"{id}.flac")[0] for id in table["id"].to_pylist()]
    expected = ldl.cue_matrix(sounds, RATE, kind, keys=table["id"].to_pylist())
    assert shape == expected.shape
    C = stored.matrix("train", shape)
    assert (C.shape, C.dtype, len(C)) == (expected.values.shape, np.float32, 9)
    assert np.abs(np.asarray(C) - expected.values).max() <= 1e-6
    assert np.array_equal(C[[8, 0, 8]], np.asarray(C)[[8, 0, 8]])
    assert np.array_equal(C[3], np.asarray(C)[3])
    assert np.array_equal(C[2:5], np.asarray(C)[2:5])
    assert C[np.array([], int)].shape == (0, shape.width)
    with pytest.raises(IndexError):
        C[9]
    assert C.silent == 1
    assert C.truncated == (1 if kind == "log_mel" else 0)
    assert stored.matrix("test", shape).shape == (4, shape.width)
    assert "1 of 13 words are silent" in caplog.text
    assert ("1 of 13 words are too short for a boundary" in caplog.text) is (kind == "cfbsf")
    assert ("1 of 13 words are longer than 391 frames" in caplog.text) is (kind == "log_mel")
    assert verify_folder(folder).sound
    subset = stored.fit("train", rows=[0, 4])
    assert subset.units <= shape.units


def test_a_condition_on_the_fly_is_the_masked_corpus(words: Path, tmp_path: Path) -> None:
    failing = {"text_pattern": PATTERN, "max_failures": 0.2}  # a silent word cannot be normalised
    masked = mask_corpus(words, tmp_path / "words", conditions=["hfloss"], **failing)["hfloss"]
    folders = [
        ldl.write_cues(masked, tmp_path / "masked"),
        ldl.write_cues(words, tmp_path / "flown", condition="hfloss", text_pattern=PATTERN),
    ]
    read, flown = (ldl.open_cues(folder) for folder in folders)
    assert [read_manifest(folder)["condition"]["name"] for folder in folders] == ["hfloss", "hfloss"]
    shape = read.fit("train")
    a, b = (np.asarray(one.matrix("train", shape)) for one in (read, flown))
    assert (a.shape, b.shape) == ((8, shape.width), (9, shape.width))
    silent = flown.table("train")["silent"].to_numpy()
    assert not b[silent].any()
    b = b[~silent]
    # 24-bit FLAC against the sound itself: a sample in a hundred thousand is rounded to another 16-bit step
    assert np.median(np.abs(a - b)) <= 1e-4
    with pytest.raises(InputError, match="filtered already"):
        ldl.write_cues(masked, tmp_path / "twice", condition="lfloss")


def test_nothing_is_lost_in_silence(words: Path, tmp_path: Path) -> None:
    broken = tmp_path / "words"
    shutil.copytree(words, broken)
    (broken / "train" / "w0_0.flac").write_bytes(b"")
    with pytest.raises(WorkError, match="1 of 9 clips of split 'train' failed"):
        ldl.write_cues(broken, tmp_path / "cues", text_pattern=PATTERN)
    ldl.write_cues(broken, tmp_path / "cues", text_pattern=PATTERN, max_failures=0.2)
    stored = ldl.open_cues(tmp_path / "cues")
    assert len(stored.table("train")) == 8
    failed = pq.read_table(tmp_path / "cues" / "failures").to_pylist()
    assert [row["id"] for row in failed] == ["train/w0_0"]


def test_shards_resume_and_refuse_other_options(words: Path, tmp_path: Path) -> None:
    options = {"text_pattern": PATTERN, "rows_per_part": 3}
    out = tmp_path / "cues"
    ldl.write_cues(words, out, shard="0/2", **options)
    with pytest.raises(InputError, match=r"not finished.*whisperprobe ldl cues"):
        ldl.open_cues(out)
    ldl.write_cues(words, out, shard="1/2", **options)
    whole = ldl.write_cues(words, tmp_path / "whole", **options)
    shape = ldl.open_cues(out).fit("train")
    pairs = [np.asarray(ldl.open_cues(folder).matrix("train", shape)) for folder in (out, whole)]
    assert np.array_equal(*pairs)
    with pytest.raises(InputError, match="boundary"):
        ldl.write_cues(words, out, boundary="min", **options)
    with pytest.raises(InputError, match="the shape is that of cfbsf cues"):
        ldl.open_cues(out).matrix("train", ldl.cue_matrix([noise(900)], RATE, boundary="min").shape)
    with pytest.raises(InputError, match="no split 'validation'"):
        ldl.open_cues(out).table("validation")
    masked = mask_corpus(open_corpus(words).sample(1), tmp_path / "m", conditions=["normal"], max_failures=1)["normal"]
    with pytest.raises(InputError, match="is the output of 'mask', not of ldl cues"):
        ldl.open_cues(masked)


def test_the_command(words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = typer.Typer()
    app.command("cues")(cues_command)
    app.command("other")(lambda: None)
    said = ["--text-pattern", PATTERN, "--log-level", "error"]
    assert run_app(app, ["cues", str(words), str(tmp_path / "a"), "--boundary", "min", *said]) == 0
    assert f"cues: {tmp_path / 'a'}" in capsys.readouterr().out
    assert ldl.open_cues(tmp_path / "a").options["boundary"] == "min"
    assert (
        run_app(app, ["cues", str(words), str(tmp_path / "b"), "--kind", "log_mel", "--max-samples", "2", *said]) == 0
    )
    assert len(ldl.open_cues(tmp_path / "b").table("train")) == 2
    wrong = ["cues", str(words), str(tmp_path / "c"), "--kind", "log_mel", "--boundary", "min", *said]
    assert run_app(app, wrong) == 2
    assert run_app(app, ["cues", str(words), str(tmp_path / "c"), "--boundary", "mean", *said]) == 2


def test_a_shape_that_is_none_is_refused():
    with pytest.raises(InputError, match=r"shape is a tuple; give the \.shape of another matrix"):
        ldl.cue_matrix([np.ones(4000, np.float32)], 16_000, shape=(1, 630))
