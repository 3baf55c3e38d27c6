"""Recruitment: input/output slopes and levels against theory, and the time it takes.

    python benchmarks/recruitment.py                  # prints
    python benchmarks/recruitment.py --write          # and puts the tables into RESULTS.md
    python benchmarks/recruitment.py --device cuda    # times on a GPU, too

Slopes are those of straight lines through the output levels of tones at 50, 60, ..., 90 dB SPL (above threshold only).
Theory: 105 / (105 - HL) dB per dB, through 105 dB. Times are the fastest of several calls, on one core, float32.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import results
import torch

from audiogram import Audiogram
from audiogram.filters.recruitment import Recruitment

RATE = 44_100  # so that there is a tone at 8 kHz
FREQUENCIES = (250, 500, 1000, 2000, 4000, 8000)
LEVELS = (50.0, 60.0, 70.0, 80.0, 90.0)
LOSSES = (20, 40, 60, 80)
BANKS = ("mild", "moderate", "severe")


def output_levels(loss: float, bank: str, levels: list[float]) -> np.ndarray:
    """Output in dB SPL of tones, shape (frequencies, levels)."""
    at = np.arange(RATE) / RATE
    tones = np.sqrt(2) * np.sin(2 * np.pi * np.asarray(FREQUENCIES, float)[:, None] * at)
    ear = Audiogram([125, 8000], [loss, loss])
    heard = np.stack([Recruitment(ear, sample_rate=RATE, level=one, bank=bank)(tones) for one in levels], axis=1)
    return np.asarray(levels) + 20 * np.log10(np.std(heard[..., RATE // 4 : -RATE // 4], axis=-1))


def slopes() -> list[list[str]]:
    """Rows of the first table."""
    rows = []
    for bank in BANKS:
        for loss in LOSSES:
            levels = [level for level in LEVELS if level > loss]
            found = output_levels(loss, bank, levels)
            theory = 105 / (105 - loss)
            each = [float(np.polyfit(levels, one, 1)[0]) if len(levels) > 1 else float("nan") for one in found]
            off = found - (105 - theory * (105 - np.asarray(levels)))
            rows.append(
                [
                    bank,
                    str(loss),
                    f"{theory:.3f}",
                    *(f"{slope:.3f}" if np.isfinite(slope) else "-" for slope in each),
                    f"{off.min():+.1f} to {off.max():+.1f}, mean {off.mean():+.1f}",
                ]
            )
    return rows


def fastest(way: Callable[[], object], seconds: float) -> float:
    """Fastest time in seconds of calls that together take about `seconds`."""
    way()
    best, end, turns = float("inf"), time.perf_counter() + seconds, 0
    while time.perf_counter() < end or turns < 3:
        start = time.perf_counter()
        way()
        best, turns = min(best, time.perf_counter() - start), turns + 1
    return best


def speech_like(rows: int, rate: int) -> np.ndarray:
    """Two seconds of harmonics under a syllabic envelope, with noise 40 dB below, another voice in every row."""
    at = np.arange(2 * rate) / rate
    voices = 100 + 10 * np.arange(rows)[:, None]
    sound = sum(np.sin(2 * np.pi * voices * k * at + k) / k for k in range(1, 30))
    sound = 0.1 * np.clip(np.sin(2 * np.pi * 3 * at), 0, None) * sound
    return (sound + 0.001 * np.random.default_rng(0).standard_normal(sound.shape)).astype(np.float32)


def speed(seconds: float, device: str | None) -> list[list[str]]:
    """Rows of the second table."""
    rows = []
    ears = [Audiogram([250, 1000, 4000], [10 + k, 30 + k, 60 + k]) for k in (0, 5, 10)]
    for rate in (16_000, 44_100):
        for bank in BANKS:
            filters = [Recruitment(ear, sample_rate=rate, level=90, bank=bank) for ear in ears]
            one, clip, batch = filters[0], speech_like(1, rate), speech_like(16, rate)
            ways: dict[str, tuple[Callable[[], Any], float]] = {
                "one clip": (lambda one=one, clip=clip: one(clip), 2),
                "batch of 16": (lambda one=one, batch=batch: one(batch), 32),
                "batch of 16, three ears": (lambda f=filters, batch=batch: Recruitment.together(f, batch), 96),
            }
            tensor = torch.from_numpy(clip)
            ways["torch, CPU, one clip"] = (lambda one=one, tensor=tensor: one(tensor), 2)
            if device:
                there = torch.from_numpy(batch).to(device)

                def on_device(one: Recruitment = one, there: torch.Tensor = there) -> None:
                    one(there)
                    torch.cuda.synchronize()

                ways[f"torch, {torch.cuda.get_device_name()}, batch of 16"] = (on_device, 32)
            wanted = one(clip.astype(np.float64))
            off = np.abs(one(clip) - wanted).max() / np.abs(wanted).max()
            off_torch = (
                np.abs(one(torch.from_numpy(clip.astype(np.float64))).numpy() - wanted).max() / np.abs(wanted).max()
            )
            for name, (way, audio) in ways.items():
                rows.append(
                    [
                        str(rate),
                        f"{bank} ({len(one.channels)})",
                        name,
                        f"{1e6 * fastest(way, seconds) / audio:.0f}",
                        f"{off_torch:.0e}" if "torch" in name else f"{off:.0e}",
                    ]
                )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/RESULTS.md")
    parser.add_argument("--seconds", type=float, default=1.0, help="time spent per row of the second table")
    parser.add_argument("--device", help="a GPU, e.g. cuda")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    text = "\n".join(
        [
            "## recruitment.py: slopes against theory, and speed",
            "",
            results.machine("numpy", "torch"),
            "",
            *results.table(
                ["bank", "HL (dB)", "theory (dB/dB)", *(f"{f} Hz" for f in FREQUENCIES), "level re theory (dB)"],
                slopes(),
            ),
            "",
            *results.table(
                ["Hz", "bank (channels)", "what", "µs per audio-second and ear", "deviation from float64"],
                speed(arguments.seconds, arguments.device),
            ),
            "",
        ]
    )
    results.show(text, write=arguments.write)


if __name__ == "__main__":
    main()
