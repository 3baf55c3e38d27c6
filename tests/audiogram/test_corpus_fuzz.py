"""Whatever a sound file is made of, it becomes a row or a failure with its reason; nothing crashes, nothing hangs."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from audiogram import sound
from audiogram.corpus import stage_parts
from audiogram.errors import InputError

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import audio_fuzz  # noqa: E402

PER_PART = 50


def masked(source: Path, out: Path, *options: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command, in its own process with an end to its time: 60 s and a tenth of a second per clip."""
    command = [sys.executable, "-m", "audiogram", "mask", str(source), str(out), "-c", "hfloss"]
    command += ["--max-failures", "1", "--rows-per-part", str(PER_PART), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"} | ({"PYTHONPATH": str(path)} if path else {})
    count = len(list(source.iterdir()))
    ended = subprocess.run(command, capture_output=True, env=environment, timeout=60 + 0.1 * count)
    text = [part.decode(errors="replace") for part in (ended.stdout, ended.stderr)]
    return subprocess.CompletedProcess(command, ended.returncode, *text)


def accounted(out: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Rows and failures by id: checked to be disjoint, finite, readable, and to be as many as went in."""
    rows: dict[str, np.ndarray] = {}
    failures: dict[str, str] = {}
    for part in stage_parts(out):
        failed = pq.read_table(part.failures(out)).to_pylist()
        failures |= {row["id"]: row["error"] for row in failed}
        kept = pq.read_table(part.table(out, "data")).to_pylist() if part.table(out, "data").is_file() else []
        assert len(kept) + len(failed) == len(part)
        for row in kept:
            x, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
            assert rate == 16_000
            assert len(x)
            assert np.isfinite(x).all()
            assert np.abs(x).max() > 0
            rows[row["id"]] = x
    assert not set(rows) & set(failures)
    assert all(reason and "\n" not in reason and "Traceback" not in reason for reason in failures.values())
    return rows, failures


def fuzz(numbers: Iterable[int], tmp_path: Path) -> tuple[int, int]:
    """Damage files, half of them in a folder, half in Parquet, and mask them; how many were kept and failed."""
    originals = audio_fuzz.seeds()
    folder, tables = tmp_path / "folder", tmp_path / "tables"
    folder.mkdir()
    tables.mkdir()
    cells = []
    for number in numbers:
        data, ending = audio_fuzz.damaged(originals, number)
        if number % 2:
            (folder / f"{number}.{ending}").write_bytes(data)
        else:
            cells.append({"bytes": data, "path": f"{number}.{ending}"})
    pq.write_table(pa.table({"audio": cells}), tables / "train.parquet")
    kept = failed = 0
    for source, workers in ((folder, "1"), (tables, "2")):
        out = tmp_path / f"{source.name}_masked"
        ended = masked(source, out, "--workers", workers)
        assert ended.returncode == 0, ended.stderr
        assert "cffi" not in ended.stderr
        rows, failures = accounted(Path(f"{out}_hfloss"))
        assert not any("crash" in reason for reason in failures.values())
        kept, failed = kept + len(rows), failed + len(failures)
    return kept, failed


def test_damaged_files_are_all_accounted_for(tmp_path: Path) -> None:
    kept, failed = fuzz(range(300), tmp_path)
    assert kept + failed == 300
    assert kept > 30  # the damage is not so great that nothing is decoded
    assert failed > 30


@pytest.mark.exhaustive
def test_ten_thousand_damaged_files_are_all_accounted_for(tmp_path: Path) -> None:
    kept, failed = fuzz(range(300, 12_300), tmp_path)
    print(f"\n{kept} kept, {failed} failed")
    assert kept + failed == 12_000


@pytest.mark.exhaustive
def test_two_hundred_thousand_damaged_files_are_decoded_or_refused() -> None:
    originals = audio_fuzz.seeds()
    decoded = 0
    for number in range(20_000, 220_000):
        data, _ = audio_fuzz.damaged(originals, number)
        try:
            x, _ = sound.read(data, max_seconds=30)
        except InputError:
            continue
        assert np.isfinite(x).all()
        decoded += 1
    print(f"\n{decoded} decoded")
    assert decoded > 20_000


# Containers with no place for a rate, or for this one; and one coding in which libsndfile cannot seek, so not read.
OTHER_RATES = {"XI": 44_100, "WVE": 8000, "VOC": 16_129}
NOT_READ = ("DWVW_16", "DWVW_24")


def test_every_encoding_is_decoded_to_the_sound_that_it_holds() -> None:
    decoded = 0
    for container, subtype in audio_fuzz.encodings():
        data = audio_fuzz.encoded(container, subtype, samples=8192)
        if data is None:
            continue
        if subtype in NOT_READ:
            with pytest.raises(InputError, match="cannot read"):
                sound.read(data)
            continue
        x, rate = sound.read(data)
        assert rate == 16_000 or rate == OTHER_RATES[container], (container, subtype)
        assert 8192 <= len(x) <= 8192 * 1.15, (container, subtype)  # some codings fill up their last block
        level = np.sqrt(np.mean(x[1024:7168].astype(float) ** 2))
        assert level == pytest.approx(0.5 / np.sqrt(2), rel=0.03), (container, subtype)
        decoded += 1
    assert decoded >= 90


def test_extreme_files_are_rows_or_failures_for_the_right_reason(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    tone = (audio_fuzz.tone(4096, 16_000)[:, 0] * 32767).astype("<i2").tobytes()
    eight = (audio_fuzz.tone(4096, 16_000, 8) * 32767).astype("<i2").tobytes()
    floats = audio_fuzz.tone(4096, 16_000)[:, 0].astype("<f4")
    nan, inf = (np.where(np.arange(4096) == 999, bad, floats).astype("<f4").tobytes() for bad in (np.nan, -np.inf))
    rows = {
        "8-channels.wav": audio_fuzz.wav(eight, 16, channels=8),
        "1-hz.wav": audio_fuzz.wav(tone[:16], 16, rate=1),
        "384-khz.wav": audio_fuzz.wav(tone, 16, rate=384_000),
        "8-bit.wav": audio_fuzz.wav(bytes(byte ^ 128 for byte in tone[1::2]), 8),
        "1-bit.wav": audio_fuzz.wav(tone, 1),  # the standard stores 1 to 8 bits in a byte, at its top
        "12-bit.wav": audio_fuzz.wav(tone, 12),
        "20-bit.wav": audio_fuzz.wav(tone[:3999], 20),
        "32-bit.wav": audio_fuzz.wav(tone, 32),
        "64-bit-float.wav": audio_fuzz.wav(floats.astype("<f8").tobytes(), 64, code=3),
        "one-sample.wav": audio_fuzz.wav(tone[2:4], 16),
        "constant.wav": audio_fuzz.wav(np.full(4096, 9000, "<i2").tobytes(), 16),
        "flac-named.mp3": audio_fuzz.encoded("FLAC", "PCM_16"),
        "mp3-named.wav": audio_fuzz.encoded("MP3", "MPEG_LAYER_III"),
        "says-24-hours.wav": audio_fuzz.wav(tone, 16, length=24 * 3600 * 32_000),  # a recorder that was switched off
        "cut-off.mp3": audio_fuzz.encoded("MP3", "MPEG_LAYER_III", samples=20_000)[:2000],
    }
    failures = {
        "m4a.m4a": (audio_fuzz.m4a(), "cannot read"),
        "64-bit.wav": (audio_fuzz.wav(tone, 64), "cannot read"),
        "0-channels.wav": (audio_fuzz.wav(tone, 16, channels=0), "cannot read"),
        "65535-channels.wav": (audio_fuzz.wav(tone, 16, channels=65_535), "cannot read"),
        "0-hz.wav": (audio_fuzz.wav(tone, 16, rate=0), "cannot read"),
        "no-samples.wav": (audio_fuzz.wav(b"", 16), "no samples"),
        "no-bytes.wav": (b"", "empty"),
        "nan.wav": (audio_fuzz.wav(nan, 32, code=3), "NaN or infinite"),
        "inf.wav": (audio_fuzz.wav(inf, 32, code=3), "NaN or infinite"),
        "silence.wav": (audio_fuzz.wav(bytes(8192), 16), "silent"),
        "text.wav": (b"this is not a sound\n" * 20, "cannot read"),
        "one-byte.mp3": (b"\xff", "cannot read"),
        "24-hours.wav": (audio_fuzz.wav(b"", 8, rate=8000, length=24 * 3600 * 8000), "lasts 86400.0 s"),
        "two-days-at-1-hz.wav": (audio_fuzz.wav(bytes(172_800), 8, rate=1), "lasts 172800.0 s"),
    }
    for name, data in {**rows, **{name: data for name, (data, _) in failures.items()}}.items():
        (source / name).write_bytes(data)
    os.truncate(source / "24-hours.wav", 44 + 24 * 3600 * 8000)  # a hole, which takes no room on the disk
    ended = masked(source, tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    kept, failed = accounted(Path(f"{tmp_path / 'out'}_hfloss"))
    wanted = {name.rsplit(".", 1)[0] for name in rows}
    assert set(kept) == wanted, failed
    for name, (_, reason) in failures.items():
        assert reason in failed[name.rsplit(".", 1)[0]], (name, failed)


def test_memory_follows_the_samples_and_not_the_promised_channels() -> None:
    data = bytearray(audio_fuzz.encoded("AIFF", "GSM610") or b"")
    at = data.index(b"COMM") + 8
    data[at : at + 2] = (255).to_bytes(2, "big")
    del data[at + 50 :]
    tracemalloc.start()
    with pytest.raises(InputError):
        sound.read(bytes(data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_that_crashes_the_decoder_is_a_failure(tmp_path: Path, workers: int) -> None:
    """soundfile is replaced by one that dereferences a null pointer at two of the files."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(8):
        soundfile.write(source / f"{number}.wav", audio_fuzz.tone(1000, 16_000), 16_000, subtype="PCM_16")
    for number in (2, 5):
        with (source / f"{number}.wav").open("ab") as file:
            file.write(b"the bane of decoders")
    options = ("--workers", str(workers), "--rows-per-part", "4")
    ended = masked(source, tmp_path / "out", *options, path=HERE / "deadly_decoder")
    if workers == 1:  # the process that decodes is the command itself: it dies, and goes on when started again
        for _ in range(2):
            assert ended.returncode == -11
            ended = masked(source, tmp_path / "out", *options, path=HERE / "deadly_decoder")
    assert ended.returncode == 0, ended.stderr
    kept, failed = accounted(Path(f"{tmp_path / 'out'}_hfloss"))
    assert set(kept) == set("013467")
    assert set(failed) == {"2", "5"}
    assert all("crashes the process that does it (SIGSEGV)" in reason for reason in failed.values())
