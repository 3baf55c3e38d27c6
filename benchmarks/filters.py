"""Three conditions from one clip: speed and deviation against librosa and against the bare FFT, on one core.

    python benchmarks/filters.py            # prints
    python benchmarks/filters.py --write    # and appends the table to RESULTS.md

All times are from one run: the ways take turns, and the fastest turn of each counts, so that other work on the machine
disturbs the ratios little. `bare FFT` is `scipy.fft` alone on frames that are already there: one forward and two
inverse transforms (`normal` is a flat gain and needs none), the faster of one batch and batches of 16 frames.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import argparse
import datetime as dt
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.fft

import audiogram

sys.path.insert(0, str(Path(__file__).parent))
from reference.librosa_conditions import hear_all

RATE = 16_000
HERE = Path(__file__).parent


def speech_like(samples: int) -> np.ndarray:
    """Harmonics of a voice under a syllabic envelope, with noise 40 dB below: low and high frequencies, and pauses."""
    at = np.arange(samples) / RATE
    voice = sum(np.sin(2 * np.pi * 120 * k * at + k) / k for k in range(1, 60))
    return 0.2 * np.clip(np.sin(2 * np.pi * 3 * at), 0, None) * voice + 0.002 * np.random.default_rng(
        0
    ).standard_normal(samples)


def bare(samples: int, blocks: int | None) -> Callable[[], None]:
    """The transforms that three conditions cannot do without, on frames in memory."""
    frames = np.random.default_rng(1).standard_normal((1 + samples // 512, 2048)).astype(np.float32)
    spectra = scipy.fft.rfft(frames)
    size = blocks or len(frames)

    def transforms() -> None:
        for i in range(0, len(frames), size):
            scipy.fft.rfft(frames[i : i + size])
            scipy.fft.irfft(spectra[i : i + size], 2048)
            scipy.fft.irfft(spectra[i : i + size], 2048)

    return transforms


def fastest(ways: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Fastest time of each way in seconds; the ways take turns for about `seconds`."""
    best = dict.fromkeys(ways, float("inf"))
    for way in ways.values():
        way()
    end, turns = time.perf_counter() + seconds, 0
    while time.perf_counter() < end or turns < 5:
        turns += 1
        for name, way in ways.items():
            # a few in a row: alternating single calls would hand each way the other's cold cache
            for _ in range(1 if name == "librosa" else 5):
                start = time.perf_counter()
                way()
                best[name] = min(best[name], time.perf_counter() - start)
    return best


def measure(seconds: float, budget: float) -> list[str]:
    """One row of the table."""
    samples = int(seconds * RATE) + 1  # odd
    exact = speech_like(samples)
    x = exact.astype(np.float32)
    names = list(audiogram.conditions())
    times = fastest(
        {
            "ours": lambda: audiogram.apply_conditions(x, RATE, names),
            "librosa": lambda: hear_all(x, RATE),
            "bare": bare(samples, None),
            "bare blocks": bare(samples, 16),
        },
        budget,
    )
    floor = min(times["bare"], times["bare blocks"])
    deviation = np.abs(audiogram.apply_conditions(x, RATE, names) - np.stack(hear_all(x, RATE))).max()
    deviation64 = np.abs(audiogram.apply_conditions(exact, RATE, names) - np.stack(hear_all(exact, RATE))).max()
    return [
        f"{seconds:g}",
        f"{1e6 * times['ours'] / seconds / len(names):.0f}",
        f"{times['librosa'] / times['ours']:.1f}",
        f"{times['ours'] / floor:.2f}",
        f"{times['librosa'] / floor:.1f}",
        f"{deviation:.1e}",
        f"{deviation64:.1e}",
    ]


def machine() -> str:
    """Processor, Python and libraries."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}"
    return f"{model}, {os.cpu_count()} cores, one used; {versions}; load {os.getloadavg()[0]:.1f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="append to benchmarks/RESULTS.md")
    parser.add_argument("--seconds", type=float, default=5.0, help="time spent per row")
    arguments = parser.parse_args()
    header = [
        "clip (s)",
        "µs per s and condition",
        "librosa / ours (≥ 20)",
        "ours / bare FFT (≤ 1.5)",
        "librosa / bare FFT",
        "deviation, float32 (≤ 1e-5)",
        "deviation, float64",
    ]
    rows = [measure(seconds, arguments.seconds) for seconds in (0.2, 1.0, 5.0, 30.0)]
    table = [f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows]]
    text = "\n".join(
        [
            "## filters.py: three conditions from one clip, float32",
            "",
            f"{dt.date.today().isoformat()}; {machine()}",
            "",
            *table,
            "",
        ]
    )
    print(text)
    if arguments.write:
        with (HERE / "RESULTS.md").open("a", encoding="utf-8") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()
