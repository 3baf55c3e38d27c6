"""A corpus as pairs of files: every clip, its text, safe names, whole after any interruption."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from audiogram import open_corpus
from audiogram.console import run_app
from audiogram.errors import InputError, WorkError
from whisperprobe import extract_corpus
from whisperprobe.cli import app
from whisperprobe.corpora.file_names import file_paths, safe_path

RATE = 16_000


def sound(path: Path, seed: int = 0, rate: int = RATE, peak: float = 0.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    x = np.random.default_rng(seed).normal(size=rate // 20)
    soundfile.write(path, peak * x / np.abs(x).max(), rate, subtype="FLOAT")
    return path


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    for number in range(8):
        sound(
            tmp_path / "speech" / ("test" if number > 5 else "train") / f"anna{number % 2}" / f"w{number}.wav", number
        )
    return tmp_path / "speech"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_every_clip_is_a_pair_of_files(speech: Path, tmp_path: Path) -> None:
    out = extract_corpus(speech, tmp_path / "out", rows_per_part=3)
    source = open_corpus(speech)
    for split in source.splits:
        for clip in source.read(split):
            x, rate = soundfile.read(out / f"{clip.id}.wav")
            assert rate == RATE
            assert np.abs(x - clip.audio()[0]).max() <= 2**-16
            assert soundfile.info(out / f"{clip.id}.wav").subtype == "PCM_16"
            assert (out / f"{clip.id}.txt").read_text(encoding="utf-8") == f"{clip.text}\n"
    found = {str(p.relative_to(out).with_suffix("")) for p in out.rglob("*.wav")}
    assert found == {id for split in source.splits for id in source.ids(split)}


def test_what_it_writes_is_a_corpus(speech: Path, tmp_path: Path) -> None:
    pattern = r"anna\d/(?P<text>w)(?P<gain>\d)"
    out = extract_corpus(speech, tmp_path / "out", text_pattern=pattern)
    before, after = open_corpus(speech, text_pattern=pattern), open_corpus(out)
    assert after.splits == before.splits
    for split in before.splits:
        for a, b in zip(before.read(split), after.read(split), strict=True):
            assert (a.id, a.text, a.metadata["gain"]) == (b.id, b.text, b.metadata["source_gain"])
            assert np.abs(a.audio()[0] - b.audio()[0]).max() <= 2**-16
            assert b.metadata["seconds"] == len(b.audio()[0]) / RATE


def test_rate_splits_and_samples(speech: Path, tmp_path: Path) -> None:
    out = extract_corpus(speech, tmp_path / "a", sample_rate=8000, splits=["train"], max_samples=2, seed=1)
    files = sorted(out.rglob("*.wav"))
    assert len(files) == 2
    assert {soundfile.info(file).samplerate for file in files} == {8000}
    assert [str(f.relative_to(out).with_suffix("")) for f in files] == open_corpus(speech).sample(2, 1).ids("train")
    sound(speech / "train" / "anna0" / "fast.wav", rate=44_100)
    out = extract_corpus(speech, tmp_path / "b", sample_rate=None)
    assert soundfile.info(out / "train/anna0/fast.wav").samplerate == 44_100
    assert soundfile.info(out / "train/anna0/w0.wav").samplerate == RATE


def test_a_clip_above_full_scale_is_turned_down_and_says_so(tmp_path: Path) -> None:
    sound(tmp_path / "s" / "loud.wav", peak=1.25)
    sound(tmp_path / "s" / "soft.wav", peak=0.25)
    out = extract_corpus(tmp_path / "s", tmp_path / "out")
    assert [row["gain"] for row in open_corpus(out).rows("train")] == [pytest.approx(0.8), 1.0]
    x, _ = soundfile.read(out / "loud.wav")
    assert np.abs(x).max() == pytest.approx(1, abs=2**-15)


def parquet(path: Path, ids: list[str], texts: list[str | None]) -> Path:
    encoded = sound(path.parent / "x.wav").read_bytes()
    (path.parent / "x.wav").unlink()
    rows = [{"id": i, "audio": {"bytes": encoded}, "text": t} for i, t in zip(ids, texts, strict=True)]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_ids_that_are_no_names_stay_inside_and_apart(tmp_path: Path) -> None:
    ids = [
        "../../etc/passwd",
        "/abs/x",
        "a:b",
        "a?b",
        "A",
        "a",
        ".hidden",
        "nul",
        "x.wav/y",
        "x",
        "ü/é",
        "e\n",
        "",
        "l" * 400,
    ]
    source = parquet(tmp_path / "c.parquet", ids, [*["t"] * 12, None, "t"])
    out = extract_corpus(source, tmp_path / "out" / "deep")
    rows = pq.read_table(out / "data").to_pylist()
    assert [row["id"] for row in rows] == ids
    paths = [row["audio"]["path"] for row in rows]
    assert len({path.casefold() for path in paths}) == len(ids)
    for path in paths:
        assert (out / path).resolve().is_relative_to(out.resolve())
        assert (out / path).is_file()
    assert {str(p.relative_to(tmp_path)).split("/")[0] for p in tmp_path.rglob("*.wav")} == {"out"}
    assert paths[ids.index("ü/é")] == "ü/é.wav"
    assert not (out / paths[ids.index("")]).with_suffix(".txt").exists()  # no text, no text file
    assert open_corpus(out).ids("train") == ids


@given(st.lists(st.text(max_size=30), unique=True, max_size=12))
def test_safe_paths(ids: list[str]) -> None:
    other = file_paths(ids)
    paths = [other.get(id) or safe_path(id) for id in ids]
    assert len({path.casefold() for path in paths}) == len(ids)
    for path in paths:
        parts = PurePosixPath(path).parts
        assert path == "/".join(parts)
        assert not any(part.startswith(".") or part in ("", "..") or "\0" in part for part in parts)
        assert all(len(part.encode()) <= 200 for part in parts)
        assert not path.startswith("/")
        assert re.fullmatch(r"[^\\:*?\"<>|\x00-\x1f]*", path)


def test_interrupted_anywhere_it_ends_the_same(speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tree(extract_corpus(speech, tmp_path / "whole", rows_per_part=3))
    real = os.replace
    moments = 0

    class PowerCut(BaseException):
        pass

    for moment in range(1, 40, 3):
        out, calls = tmp_path / f"cut{moment}", 0

        def replace(a, b, moment=moment) -> None:
            nonlocal calls
            calls += 1
            if calls == moment:
                raise PowerCut
            real(a, b)

        monkeypatch.setattr(os, "replace", replace)
        try:
            extract_corpus(speech, out, rows_per_part=3)
        except PowerCut:
            moments += 1
        monkeypatch.setattr(os, "replace", real)
        extract_corpus(speech, out, rows_per_part=3)
        assert tree(out) == whole
    assert moments >= 6


def test_files_of_a_dead_attempt_are_replaced(speech: Path, tmp_path: Path) -> None:
    whole = tree(extract_corpus(speech, tmp_path / "whole", rows_per_part=3))
    left = tmp_path / "out" / "train" / "anna0" / ".w0.wav.train-00000-of-00002.tmp"
    extract_corpus(speech, tmp_path / "out", rows_per_part=3, shard="1/3")
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(b"half")
    extract_corpus(speech, tmp_path / "out", rows_per_part=3)
    assert tree(tmp_path / "out") == whole


def test_bad_clips_are_counted(speech: Path, tmp_path: Path) -> None:
    (speech / "train" / "anna0" / "bad.wav").write_bytes(b"no sound")
    with pytest.raises(WorkError, match="more than --max-failures"):
        extract_corpus(speech, tmp_path / "out")
    out = extract_corpus(speech, tmp_path / "out", max_failures=0.5)
    failed = pq.read_table(out / "failures").to_pylist()
    assert [row["id"] for row in failed] == ["train/anna0/bad"]
    assert not (out / "train/anna0/bad.wav").exists()


def test_the_command(speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = ["extract", str(speech), str(tmp_path / "out"), "--splits", "train,test", "--max-samples", "1"]
    assert run_app(app, said) == 0
    assert f"files: {tmp_path / 'out'}" in capsys.readouterr().out
    assert len(list((tmp_path / "out").rglob("*.wav"))) == 2
    assert run_app(app, [*said, "--sample-rate", "8000"]) == 2
    assert "sample_rate is 16000 there and 8000 now" in capsys.readouterr().err
    with pytest.raises(InputError, match="positive whole number"):
        extract_corpus(speech, tmp_path / "x", sample_rate=-1)
