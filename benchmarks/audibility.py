"""What a hearing loss hides: tones 10 dB above and below threshold, through threshold_noise and through attenuation.

    python benchmarks/audibility.py            # prints
    python benchmarks/audibility.py --write    # and puts the tables into RESULTS.md

Through `threshold_noise` the tone is heard as it is; through `attenuation` the output is written with 24 bits, as a
masked corpus is, and amplified again by the threshold at the tone's frequency, as a model can. In both cases: the
tone's level above everything else at the output of the auditory filter at its frequency, and d' of an observer of the
energy in that filter during 200 ms, as long as an ear adds energy up.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import argparse
import datetime as dt

import numpy as np
import results

import audiogram
from audiogram.filters.threshold_noise import detection_ratio
from audiogram.reference_thresholds import spl_from_hl
from audiogram.scales import erb_bandwidth

RATE = 16_000
LEVEL = 100.0  # dB SPL at an RMS of 1
SAMPLES = RATE // 5
LOOKS = 400
# no whole number of samples per period, or the error of 24 bits would repeat with the tone and stay out of its band
FREQUENCIES = (250.7, 501.1, 1000.9, 2001.3, 4001.7)


def band_powers(rows: np.ndarray, frequency: float) -> np.ndarray:
    """Power of each row at the output of the normal auditory filter at a frequency (Glasberg and Moore 1990)."""
    window = np.hanning(rows.shape[-1])
    power = 2 * np.abs(np.fft.rfft(rows * window)) ** 2 / (rows.shape[-1] * np.square(window).sum())
    slope = 4 * frequency / erb_bandwidth(frequency)
    away = slope * np.abs(np.fft.rfftfreq(rows.shape[-1], 1 / RATE) - frequency) / frequency
    return (power * (1 + away) * np.exp(-away)).sum(axis=-1)


def tones(frequency: float, dbspl: float) -> np.ndarray:
    """One tone per look, each with a phase of its own."""
    phases = 2 * np.pi * np.random.default_rng(0).uniform(size=(LOOKS, 1))
    wave = np.sin(2 * np.pi * frequency * np.arange(SAMPLES) / RATE + phases)
    return 10 ** ((dbspl - LEVEL) / 20) * np.sqrt(2) * wave


def rest_after_fit(rows: np.ndarray, frequency: float) -> np.ndarray:
    """What of each row is not the tone."""
    at = 2 * np.pi * frequency * np.arange(SAMPLES) / RATE
    basis = np.stack([np.sin(at), np.cos(at)], axis=1)
    window = np.hanning(SAMPLES)[:, None]
    fit = np.linalg.lstsq(basis * window, (rows.T * window), rcond=None)[0]
    return rows - (basis @ fit).T


def d_prime(signal: np.ndarray, noise: np.ndarray) -> float:
    """Detectability of the energy in one band."""
    return float((signal.mean() - noise.mean()) / np.sqrt((signal.var() + noise.var()) / 2))


def decibels(power: np.ndarray) -> float:
    """Level of the mean power."""
    return float(10 * np.log10(np.mean(power)))


def measure(ear: audiogram.Audiogram, frequency: float) -> list[str]:
    """One row of the table."""
    threshold = float(ear.at(frequency))
    dbspl = float(spl_from_hl([threshold], [frequency])[0])
    floor = audiogram.get_filter("threshold_noise")(ear, sample_rate=RATE, level=LEVEL)
    quieter = audiogram.get_filter("attenuation")(ear, sample_rate=RATE)
    keys = [str(look) for look in range(LOOKS)]
    noise = band_powers(floor(np.zeros((LOOKS, SAMPLES)), keys=keys), frequency)
    masked = LEVEL + decibels(noise) + float(detection_ratio(frequency))
    row = [ear.name, f"{frequency:.0f}", f"{threshold:.0f}", f"{dbspl:.1f}", f"{masked - dbspl:+.1f}"]
    for above in (10.0, -10.0):
        x = tones(frequency, dbspl + above)
        heard = band_powers(floor(x, keys=[f"{key}, tone" for key in keys]), frequency)
        row += [f"{decibels(band_powers(x, frequency)) - decibels(noise):+.1f}", f"{d_prime(heard, noise):.1f}"]
    written = np.round(quieter(np.pad(x, ((0, 0), (RATE, RATE)))) * 2**23) / 2**23
    again = 10 ** (threshold / 20) * written[:, RATE : RATE + SAMPLES]
    rest = band_powers(rest_after_fit(again, frequency), frequency)
    return [*row, f"{decibels(band_powers(again, frequency)) - decibels(rest):+.0f}"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/RESULTS.md")
    arguments = parser.parse_args()
    flat = audiogram.Audiogram([125, 8000], [40, 40], name="flat 40")
    ears = [flat, *(audiogram.preset(name) for name in ("normal", "lfloss", "hfloss"))]
    header = [
        "ear",
        "Hz",
        "threshold, dB HL",
        "dB SPL",
        "masked threshold of the noise less that, dB",
        "tone 10 dB above: over noise, dB",
        "d' (keeps)",
        "tone 10 dB below: over noise, dB",
        "d' (loses)",
        "the same through attenuation, amplified again: over all else, dB",
    ]
    rows = [measure(ear, frequency) for ear in ears for frequency in FREQUENCIES]
    table = [f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows]]
    text = "\n".join(
        [
            "## audibility.py: what threshold_noise hides and attenuation does not",
            "",
            f"{dt.date.today().isoformat()}; {LOOKS} looks of {1000 * SAMPLES // RATE} ms at {RATE} Hz, free field",
            "",
            *table,
            "",
        ]
    )
    results.show(text, write=arguments.write)


if __name__ == "__main__":
    main()
