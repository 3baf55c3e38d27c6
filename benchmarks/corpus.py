"""Masking a corpus: MP3 in, three conditions out, against the work that cannot be saved and against a plain script.

    python benchmarks/corpus.py                      # speed in one process and in two, minutes
    python benchmarks/corpus.py --memory             # and peak memory at 1,000 and at 20,000 clips: 10 GB of disk
    python benchmarks/corpus.py --memory --write     # and puts the tables into RESULTS.md

The clips are 40 of speech-like sound, 4 to 5 s, MP3 at 48 kHz, under many names (hard links). The bound is decoding
(soundfile), resampling (soxr), encoding (three times FLAC of 24 bits, of the sound that comes out) and Parquet, with
nothing around them, on the same clips, in as many processes. The plain script is `reference/plain_mask.py`. The ways
take turns; ratios are of one turn, and what is printed are the median over turns and the quartiles; in CPU time they
hold on a machine that others use, too. Memory is the resident set, summed over the process and its workers; pages that
they share count in each.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import argparse
import io
import multiprocessing
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import soxr

import audiogram

sys.path.insert(0, str(Path(__file__).parent))
import filters
import results
from filters import spread

RATE, MP3_RATE, DISTINCT = 16_000, 48_000, 40
NAMES = audiogram.conditions()


def recordings(folder: Path) -> list[Path]:
    """Distinct clips as MP3."""
    folder.mkdir()
    filters.RATE = MP3_RATE
    for number in range(DISTINCT):
        x = filters.speech_like(int(MP3_RATE * (4 + number / DISTINCT)), number)
        soundfile.write(folder / f"{number:02d}.mp3", 0.5 * x / np.abs(x).max(), MP3_RATE)
    return sorted(folder.iterdir())


def linked(clips: Sequence[Path], folder: Path, count: int) -> Path:
    """A corpus of `count` clips that takes no room."""
    folder.mkdir()
    for number in range(count):
        os.link(clips[number % len(clips)], folder / f"{number:06d}.mp3")
    return folder


def masked(clips: Sequence[Path]) -> dict[str, np.ndarray]:
    """What is encoded: every clip through the conditions."""
    heard = {}
    for clip in clips:
        x = audiogram.resample(*audiogram.sound.read(clip), RATE)
        heard[clip.name] = audiogram.apply_conditions(x, RATE, NAMES)
    return heard


def bound(corpus: Path, out: Path, heard: dict[str, np.ndarray], share: slice = slice(None)) -> None:
    """Decode, resample, encode, Parquet, and nothing else."""
    kind = pa.schema([("id", pa.string()), ("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))])
    files = [out / f"{name}-{share.start}.parquet" for name in NAMES]
    # as the product writes it: sound is neither compressed again nor looked up in a dictionary
    writers = [
        pq.ParquetWriter(f, kind, compression="NONE", use_dictionary=False, write_statistics=False) for f in files
    ]
    clips = sorted(corpus.iterdir())[share]
    for start in range(0, len(clips), 64):
        rows: list[list[dict[str, Any]]] = [[] for _ in NAMES]
        for number, clip in enumerate(clips[start : start + 64], start):
            x, rate = soundfile.read(clip, dtype="float32")
            soxr.resample(x, rate, RATE, quality="HQ")
            known = heard[f"{((share.start or 0) + number * (share.step or 1)) % DISTINCT:02d}.mp3"]
            for some, y in zip(rows, known, strict=True):
                buffer = io.BytesIO()
                soundfile.write(buffer, y, RATE, format="FLAC", subtype="PCM_24")
                some.append({"id": clip.stem, "audio": {"bytes": buffer.getvalue(), "path": f"{clip.stem}.flac"}})
        for writer, some in zip(writers, rows, strict=True):
            writer.write_table(pa.Table.from_pylist(some, schema=kind))
    for writer in writers:
        writer.close()


_heard: dict[str, np.ndarray] = {}


def _prepare(clips: Sequence[Path]) -> None:
    _heard.update(masked(clips))


def _bound_share(task: tuple[Path, Path, int, int]) -> float:
    corpus, out, index, of = task
    start = time.process_time()
    bound(corpus, out, _heard, slice(index, None, of))
    return time.process_time() - start


def tree_memory(pid: int) -> int:
    """Resident bytes of a process and all below it."""
    total, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            for thread in Path(f"/proc/{one}/task").iterdir():
                waiting += map(int, (thread / "children").read_text().split())
        except OSError:  # ended meanwhile
            continue
    return total


def timed(way: Callable[[], object]) -> tuple[float, float]:
    """Wall time and CPU time of this process, in s."""
    wall, cpu = time.perf_counter(), time.process_time()
    way()
    return time.perf_counter() - wall, time.process_time() - cpu


def in_one_process(clips: Sequence[Path], scratch: Path, turns: int, count: int) -> list[str]:
    """Table of the speed of one core."""
    from reference import plain_mask

    corpus, heard, few = linked(clips, scratch / "one", count), masked(clips), 20
    out = scratch / "out"
    ways = {
        "ours": lambda: audiogram.mask_corpus(corpus, out / "ours"),
        "bound": lambda: bound(corpus, out, heard),
        "plain": lambda: plain_mask.mask(sorted(corpus.iterdir())[:few], out),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name, way in ways.items():
            out.mkdir()
            times = timed(way)
            shutil.rmtree(out)
            if turn:  # the first compiles and imports
                found[name].append(times)
    per_clip = {name: np.array(t) / (few if name == "plain" else count) for name, t in found.items()}
    wall, cpu = ({name: t[:, i] for name, t in per_clip.items()} for i in (0, 1))
    header = ["clips/s", "of the bound (≥ 0.70)", "of the bound, CPU time", "plain script / ours", "ms of CPU per clip"]
    row = [
        spread(1 / wall["ours"], ".0f"),
        spread(wall["bound"] / wall["ours"], ".2f"),
        spread(cpu["bound"] / cpu["ours"], ".2f"),
        spread(wall["plain"] / wall["ours"], ".1f"),
        spread(1e3 * cpu["ours"], ".1f"),
    ]
    return ["One process:", "", *results.table(header, [row]), ""]


PROGRAM = "import audiogram, sys; audiogram.mask_corpus(sys.argv[1], sys.argv[2], workers=int(sys.argv[3]))"


def in_processes(corpus: Path, scratch: Path, workers: int) -> tuple[float, float, int]:
    """Wall and CPU time, all told, of a program that masks a corpus, and its peak memory in bytes."""
    out = scratch / "processes"
    out.mkdir()
    start, before, peak = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN), 0
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(corpus), str(out / "x"), str(workers)]) as program:
        while program.poll() is None:
            peak = max(peak, tree_memory(program.pid))
            time.sleep(0.05)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if program.returncode:
        raise RuntimeError(f"masking ended with exit code {program.returncode}")
    shutil.rmtree(out)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak


def in_two(clips: Sequence[Path], scratch: Path, counts: Sequence[int]) -> list[str]:
    """Table of whole programs with two workers: rate, share of the bound, memory."""
    rows, workers, sample = [], 2, 400
    few = linked(clips, scratch / "few", sample)
    with multiprocessing.get_context("spawn").Pool(workers, _prepare, (clips,)) as pool:

        def bounds() -> np.ndarray:
            """Wall and CPU time per clip."""
            out = scratch / "bound"
            out.mkdir()
            start = time.perf_counter()
            tasks = [(few, out, index, workers) for index in range(workers)]
            cpu = sum(pool.map(_bound_share, tasks, chunksize=1))
            wall = time.perf_counter() - start
            shutil.rmtree(out)
            return np.array([wall, cpu]) / sample

        bounds()
        for count in counts:
            corpus, before = linked(clips, scratch / f"n{count}", count), bounds()
            wall, cpu, peak = in_processes(corpus, scratch, workers)
            floor = (before + bounds()) / 2
            share = floor / (np.array([wall, cpu]) / count)
            rate = count / wall
            shown = [f"{count:,}", f"{rate:.0f}", f"{rate / workers:.0f}", f"{share[0]:.2f}", f"{share[1]:.2f}"]
            rows.append([*shown, f"{peak / 1e9:.2f}"])
    header = ["clips", "clips/s", "per worker", "of the bound in 2 processes (≥ 0.70)", "of the bound, CPU time"]
    header += ["peak memory (GB, < 1.5)"]
    return ["Two workers, the whole program from its start to its end:", "", *results.table(header, rows), ""]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/RESULTS.md")
    parser.add_argument("--turns", type=int, default=7, help="turns in one process")
    parser.add_argument("--clips", type=int, default=256, help="clips per turn")
    parser.add_argument("--memory", action="store_true", help="two workers, at 1,000 and at 20,000 clips")
    parser.add_argument("--scratch", type=Path, help="where the corpora are written; default the system's place")
    arguments = parser.parse_args()
    lines = ["## corpus.py: masking a corpus", "", results.machine("numpy", "scipy"), ""]
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        scratch = Path(folder)
        clips = recordings(scratch / "clips")
        lines += in_one_process(clips, scratch, arguments.turns, arguments.clips)
        lines += in_two(clips, scratch, (1000, 20_000) if arguments.memory else (1000,))
    text = "\n".join(lines)
    results.show(text, write=arguments.write)


if __name__ == "__main__":
    main()
