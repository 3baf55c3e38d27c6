"""The built-in conditions: speed and deviation against librosa and against the bare FFT.

    python benchmarks/filters.py                     # prints
    python benchmarks/filters.py --write             # and puts the tables into RESULTS.md
    python benchmarks/filters.py --speech SOURCE     # how far the two methods of `attenuation` are apart, on recordings

The ways take turns, each for some hundredths of a second; ratios are of one turn, and what is printed are the median
over turns and the quartiles.

`librosa` is `reference/librosa_conditions.py`, clip by clip. `bare FFT` is `scipy.fft` alone, in single precision, on
frames that are already there: one forward transform, and one back for each condition but `normal`, whose gain is flat
and needs none; the faster of one batch and batches of 16 frames, with as many workers as we have threads. One condition
is `hfloss`. Deviations are relative to full scale, which is the peak of every result, and from librosa in double
precision.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft

import audiogram
from audiogram.filters.attenuation import Attenuation
from audiogram.listening import Condition

sys.path.insert(0, str(Path(__file__).parent))
import results
from reference.librosa_conditions import hear, hear_all

RATE = 16_000
# seconds, clips, conditions, threads
ROWS = (
    *[(seconds, 1, 3, 1) for seconds in (0.2, 1.0, 5.0, 30.0)],
    *[(5.0, 1, conditions, threads) for conditions, threads in ((1, 1), (1, 2), (3, 2))],
    *[(1.0, 64, conditions, threads) for conditions in (1, 3) for threads in (1, 2)],
)


def speech_like(samples: int, seed: int = 0) -> np.ndarray:
    """Harmonics of a voice under a syllabic envelope, with noise 40 dB below: low and high frequencies, and pauses."""
    at = np.arange(samples) / RATE
    voice = sum(np.sin(2 * np.pi * (120 + seed) * k * at + k) / k for k in range(1, 60))
    noise = np.random.default_rng(seed).standard_normal(samples)
    return 0.2 * np.clip(np.sin(2 * np.pi * 3 * at), 0, None) * voice + 0.002 * noise


def bare(clips: int, samples: int, backs: int, threads: int, block: int | None) -> Callable[[], None]:
    """The transforms that conditions cannot do without, on frames in memory."""
    frames = np.random.default_rng(1).standard_normal((clips * (1 + samples // 512), 2048)).astype(np.float32)
    spectra = scipy.fft.rfft(frames)
    size = block or len(frames)

    def transforms() -> None:
        for i in range(0, len(frames), size):
            scipy.fft.rfft(frames[i : i + size], workers=threads)
            for _ in range(backs):
                scipy.fft.irfft(spectra[i : i + size], 2048, workers=threads)

    return transforms


def turns(ways: dict[str, Callable[[], object]], seconds: float) -> dict[str, np.ndarray]:
    """Times in seconds of every way, one per turn: the median call of some hundredths of a second."""
    once = {}
    for name, way in ways.items():
        way()
        start = time.perf_counter()
        way()
        once[name] = time.perf_counter() - start
    found: dict[str, list[float]] = {name: [] for name in ways}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(found[name]) < 5:
        for name, way in ways.items():
            calls = []
            for _ in range(max(1, min(100, round(0.03 / once[name])))):
                start = time.perf_counter()
                way()
                calls.append(time.perf_counter() - start)
            found[name].append(float(np.median(calls)))
    return {name: np.array(values) for name, values in found.items()}


def spread(values: np.ndarray, form: str) -> str:
    """Median and quartiles."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{middle:{form}} ({low:{form}} to {high:{form}})"


def measure(seconds: float, clips: int, conditions: int, threads: int, budget: float) -> list[str]:
    """One row of the table."""
    samples = int(seconds * RATE) + 1  # odd
    exact = np.stack([speech_like(samples, seed) for seed in range(clips)])
    exact = exact[0] if clips == 1 else exact
    x = exact.astype(np.float32)
    names = list(audiogram.conditions()) if conditions == 3 else ["hfloss"]

    def librosa(x: np.ndarray) -> list[Any]:
        rows = x.reshape(-1, samples)
        return [hear_all(row, RATE) if conditions == 3 else [hear(row, RATE, "hfloss")] for row in rows]

    backs = len(names) - ("normal" in names)
    audiogram.set_threads(threads)
    times = turns(
        {
            "ours": lambda: audiogram.apply_conditions(x, RATE, names),
            "librosa": lambda: librosa(x),
            "bare": bare(clips, samples, backs, threads, None),
            "bare blocks": bare(clips, samples, backs, threads, 16),
        },
        budget,
    )
    floor = np.minimum(times["bare"], times["bare blocks"])
    wanted = np.array(librosa(exact)).swapaxes(0, 1).reshape(len(names), *exact.shape)
    deviation, deviation64 = (
        np.abs(audiogram.apply_conditions(given, RATE, names) - wanted).max() for given in (x, exact)
    )
    audiogram.set_threads(1)
    return [
        f"{seconds:g}",
        f"{clips}",
        f"{conditions}",
        f"{threads}",
        spread(1e6 * times["ours"] / (seconds * clips * len(names)), ".0f"),
        spread(times["librosa"] / times["ours"], ".1f"),
        spread(times["ours"] / floor, ".2f"),
        f"{np.median(times['librosa'] / floor):.1f}",
        f"{deviation:.1e}",
        f"{deviation64:.1e}",
    ]


def methods(budget: float) -> list[str]:
    """Lines on the method `fir` beside `stft`, on three conditions from a clip of 5 s."""
    exact = speech_like(5 * RATE + 1)
    x = exact.astype(np.float32)
    firs = []
    for name in audiogram.conditions():
        one = audiogram.condition(name)
        firs.append(Condition(name, one.audiogram, options={**one.options, "method": "fir"}, normalise="peak"))
    times = turns(
        {
            "stft": lambda: audiogram.apply_conditions(x, RATE, audiogram.conditions()),
            "fir": lambda: audiogram.apply_conditions(x, RATE, firs),
        },
        budget,
    )
    rounding = np.abs(audiogram.apply_conditions(x, RATE, firs) - audiogram.apply_conditions(exact, RATE, firs)).max()
    return [
        'Three conditions from one clip of 5 s with `method="fir"`: '
        f"{spread(1e6 * times['fir'] / 15, '.0f')} µs per s and condition, "
        f"{spread(times['fir'] / times['stft'], '.2f')} times that of the short-time transform; single from double "
        f"precision {rounding:.1e}.",
        "",
    ]


def on_device(device: str, budget: float) -> list[str]:
    """Table of the torch path on a device, with the share of its memory bandwidth."""
    import torch

    def wait() -> None:
        if device != "cpu":
            torch.cuda.synchronize()

    def timed(way: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            way()
            wait()

        return run

    block = torch.zeros(1 << (28 if device != "cpu" else 24), device=device)
    copy = turns({"copy": timed(block.clone)}, 1.0)["copy"]
    bandwidth = 2 * block.nbytes / np.median(copy)
    del block
    rows = []
    for clips in (1, 64):
        exact = np.stack([speech_like(5 * RATE + 1, seed) for seed in range(clips)])
        x = torch.from_numpy(exact).to(device, torch.float32)
        for names in (["hfloss"], list(audiogram.conditions())):
            times = turns({"ours": timed(lambda x=x, names=names: audiogram.apply_conditions(x, RATE, names))}, budget)
            ours = times["ours"]
            needed = x.nbytes * (1 + len(names))  # every sample read once, every result written once
            found = audiogram.apply_conditions(x[:1], RATE, names).cpu().numpy()[:, 0]
            wanted = np.stack([hear(exact[0], RATE, name) for name in names])
            rows.append(
                [
                    f"{clips}",
                    f"{len(names)}",
                    spread(1e6 * ours / (5 * clips * len(names)), ".2f"),
                    f"{100 * needed / np.median(ours) / bandwidth:.1f} %",
                    f"{np.abs(found - wanted).max():.1e}",
                ]
            )
    name = torch.cuda.get_device_name() if device != "cpu" else "CPU"
    return [
        f"torch {torch.__version__} on {name}, clips of 5 s, float32; copying moves {bandwidth / 1e9:.0f} GB/s:",
        "",
        *results.table(
            ["clips", "conditions", "µs per s and condition", "of the bandwidth, input and results", "deviation"], rows
        ),
        "",
    ]


def apart(source: str) -> list[str]:
    """How far the method `fir` is from `stft` on recordings: inside, and where the clip ends."""
    corpus = audiogram.open_corpus(source).sample(100, seed=0)
    rows = []
    for name in ("lfloss", "hfloss"):
        inside, ends = [], []
        for split in corpus.splits:
            for clip in corpus.read(split):
                x = audiogram.resample(*clip.audio(), RATE).astype(np.float64)
                options = {"sample_rate": RATE, "interpolation": "linear"}
                stft, fir = (Attenuation(audiogram.preset(name), method=m, **options)(x) for m in ("stft", "fir"))
                ends.append(20 * np.log10(np.abs(fir - stft).max() / np.abs(stft).max()))
                if len(x) > 3 * 2048:
                    middle = slice(2048, -2048)
                    inside.append(20 * np.log10(np.std((fir - stft)[middle]) / np.std(stft[middle])))
        rows.append([name, str(len(ends)), *[f"{f(v):.0f}" for v in (inside, ends) for f in (np.median, np.max)]])
    header = ["condition", "clips", "RMS inside, median (dB)", "worst", "peak anywhere, median (dB)", "worst"]
    return [f"`fir` minus `stft`, below the output, on {Path(source).name}:", "", *results.table(header, rows), ""]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/RESULTS.md")
    parser.add_argument("--seconds", type=float, default=5.0, help="time spent per row")
    parser.add_argument("--speech", metavar="SOURCE", help="compare the methods on this corpus, and nothing else")
    parser.add_argument("--device", help="cpu or cuda, for the torch path; by default cuda where there is one")
    arguments = parser.parse_args()
    lines = ["## filters.py: the built-in conditions", "", results.machine("numpy", "scipy"), ""]
    if arguments.speech:
        lines += apart(arguments.speech)
    else:
        header = ["clip (s)", "clips", "conditions", "threads", "µs per s and condition", "librosa / ours (≥ 20)"]
        header += ["ours / bare FFT (≤ 1.5)", "librosa / bare FFT", "deviation, float32 (≤ 1e-5)", "float64 (≤ 1e-12)"]
        lines += [*results.table(header, [measure(*row, arguments.seconds) for row in ROWS]), ""]
        lines += methods(arguments.seconds)
        import torch

        device = arguments.device or ("cuda" if torch.cuda.is_available() else None)
        lines += on_device(device, arguments.seconds) if device else ["No GPU at hand.", ""]
    text = "\n".join(lines)
    results.show(text, write=arguments.write)


if __name__ == "__main__":
    main()
