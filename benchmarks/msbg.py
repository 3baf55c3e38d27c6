"""`msbg` against pyclarity 0.9: speed, and levels in third-octave bands, per severity.

    python benchmarks/msbg.py                      # prints
    python benchmarks/msbg.py --write              # and puts the tables into RESULTS.md
    python benchmarks/msbg.py --speech DIR         # levels also on the recordings in a folder

At 44.1 kHz, the only rate that pyclarity takes, and at 16 kHz, where it would first have to resample (not counted).
pyclarity has no batch: clips go one by one through one `Ear`, made before; so do its smearing matrix and filterbank.
All times are from one run: the ways take turns, and the fastest turn of each counts. Sound is like speech at 65 dB SPL
(`reference/pyclarity_msbg.py`, where "at equal cochlear level" is defined). Needs tests/peers/requirements.txt.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import audiogram
from audiogram.filters.msbg import Msbg
from audiogram.filters.severity import severity_of
from audiogram.kernels.threads import set_threads

sys.path.insert(0, str(Path(__file__).parent))
import results
from reference import pyclarity_msbg as pyclarity

LEVEL = 91.0  # dB SPL at an RMS of 1: an RMS of 0.05 is 65 dB SPL
SECONDS, CLIPS = 4.0, 8
TIMED = ("mild", "moderate", "moderate-severe")


def ear_of(loss: str) -> audiogram.Audiogram:
    """Our audiogram of a loss."""
    return audiogram.Audiogram(*pyclarity.LOSSES[loss])


def fastest(ways: dict[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """Fastest time of each way in seconds; the ways take turns."""
    best = dict.fromkeys(ways, float("inf"))
    for way in ways.values():
        way()
    for _ in range(turns):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def ours(loss: str, x: np.ndarray, rate: int, threads: int) -> Callable[[], object]:
    """The filter on sound, in so many threads."""
    one = Msbg(ear_of(loss), sample_rate=rate, level=LEVEL)

    def run() -> object:
        set_threads(threads)
        return one(x)

    return run


def speeds(turns: int) -> list[list[str]]:
    """A row per loss: milliseconds per second of sound."""
    clips = np.stack([pyclarity.speech(SECONDS, seed) for seed in range(CLIPS)]).astype(np.float32)
    low = np.stack([audiogram.resample(clip, pyclarity.RATE, 16_000) for clip in clips])
    rows = []
    for loss in TIMED:
        ear = pyclarity.simulator(loss, LEVEL)
        first = clips[0].astype(np.float64)
        times = fastest(
            {
                "pyclarity": lambda ear=ear, first=first: ear.process(first),
                "one": ours(loss, clips[:1], pyclarity.RATE, 1),
                "batch": ours(loss, clips, pyclarity.RATE, 1),
                "two": ours(loss, clips, pyclarity.RATE, 2),
                "low": ours(loss, low, 16_000, 1),
            },
            turns,
        )
        per_second = {
            name: 1e3 * best / SECONDS / (1 if name in ("pyclarity", "one") else CLIPS) for name, best in times.items()
        }
        theirs = per_second["pyclarity"]
        rows.append(
            [loss, severity_of(ear_of(loss)), f"{theirs:.0f}"]
            + [f"{per_second[name]:.1f} ({theirs / per_second[name]:.0f})" for name in ("one", "batch", "two", "low")]
        )
    return rows


def agreement(name: str, clips: list[np.ndarray]) -> list[list[str]]:
    """A row per loss: how far levels in bands are apart."""
    rows = []
    for loss in pyclarity.LOSSES:
        if max(pyclarity.LOSSES[loss][1]) > 80:  # limited here, not there
            continue
        one = Msbg(ear_of(loss), sample_rate=pyclarity.RATE, level=LEVEL)
        found: list[tuple[float, int]] = []
        for x in clips:
            heard = one(x * pyclarity.presented_gain(x))
            bands = pyclarity.deviations(heard, pyclarity.hear(x, loss, LEVEL), LEVEL)
            found += [(deviation, hz) for hz, deviation in bands.items()]
        worst, where = max(found, key=lambda pair: abs(pair[0]))
        above = max((abs(deviation) for deviation, hz in found if hz >= 100), default=0.0)
        rms = np.sqrt(np.mean([deviation**2 for deviation, _ in found]))
        shown = [f"{len(found) / len(clips):.0f}", f"{rms:.3f}", f"{worst:+.2f} at {where} Hz", f"{above:.2f}"]
        rows.append([name, loss, severity_of(ear_of(loss)), *shown])
    return rows


def recordings(folder: Path, count: int) -> list[np.ndarray]:
    """Recordings from a folder at 44.1 kHz, an RMS of 0.05 and silence at both ends."""
    paths = sorted(folder.glob("*.wav"))
    if not paths:
        raise SystemExit(f"no .wav file in {folder}")
    clips = []
    for path in paths[:: max(1, len(paths) // count)][:count]:
        x = audiogram.resample(*audiogram.read(path), pyclarity.RATE).astype(np.float64)
        clips.append(np.pad(0.05 * x / np.std(x), pyclarity.RATE // 10))
    return clips


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/RESULTS.md")
    parser.add_argument("--speech", type=Path, help="folder of .wav files to compare levels on, besides")
    parser.add_argument("--turns", type=int, default=7, help="how often each way is timed")
    arguments = parser.parse_args()
    levels = agreement("like speech", [pyclarity.speech(SECONDS, seed) for seed in range(2)])
    if arguments.speech is not None:
        levels += agreement(arguments.speech.name, recordings(arguments.speech, 20))
    text = "\n".join(
        [
            "## msbg.py: the Cambridge simulation against pyclarity 0.9",
            "",
            results.machine("numpy", "scipy"),
            "",
            f"Milliseconds per second of sound, float32, clips of {SECONDS:g} s; in brackets how many times as fast as "
            f"pyclarity (budget in a batch: 20). pyclarity goes clip by clip in one thread.",
            "",
            *results.table(
                [
                    "loss",
                    "severity",
                    "pyclarity",
                    "one clip",
                    f"batch of {CLIPS}",
                    "batch, 2 threads",
                    "batch at 16 kHz",
                ],
                speeds(arguments.turns),
            ),
            "",
            "Level in third-octave bands above 0 dB SPL, ours less pyclarity's, in dB (budget: 0.5):",
            "",
            *results.table(["sound", "loss", "severity", "bands", "RMS", "worst", "worst from 100 Hz on"], levels),
            "",
        ]
    )
    results.show(text, write=arguments.write)


if __name__ == "__main__":
    main()
