"""C-FBSF cues written from their definition, step by step, with NumPy and SciPy: no batches, a loop for everything.

Both the tests of `whisperprobe.ldl.cfbsf` and `benchmarks/ldl_cues.py` compare with this.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.signal import hilbert
from scipy.stats import rankdata

RATE = 16_000
HALF, WINDOW = 800, 1_000  # of the Daniell kernel and of the rolling extremum, samples at 16 kHz
LENGTH, HOP, N_FFT, BANDS, KEPT = 80, 160, 512, 21, 20


def boundaries(x: np.ndarray, boundary: str = "max", rate: int = RATE) -> list[int]:
    """Samples whose smoothed envelope is the first extremum of the window in whose middle they are."""
    half, window = round(HALF * rate / RATE), round(WINDOW * rate / RATE)
    envelope = np.abs(hilbert(np.asarray(x, np.float64)))
    if len(x) < 2 * half + 1:
        return []
    smooth = np.convolve(envelope, np.full(2 * half + 1, 1 / (2 * half + 1)), mode="valid")
    before = (window + 1) // 2 - 1
    extremum = np.argmax if boundary == "max" else np.argmin
    starts = range(len(smooth) - window + 1)
    return [i + before + half for i in starts if extremum(smooth[i : i + window]) == before]


def mel(hz: float) -> float:
    """HTK's mel scale."""
    return 2595 * np.log10(1 + hz / 700)


def band_energies(x: np.ndarray, full_scale: float = 32768.0, top_hz: float = 8000.0) -> np.ndarray:
    """ln(energy + 1), frames × bands."""
    x = np.asarray(x, np.float64)
    edges = 700 * (10 ** (np.linspace(0, mel(top_hz), BANDS + 2) / 2595) - 1)
    bins = np.arange(N_FFT // 2 + 1) * RATE / N_FFT
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(LENGTH) / (LENGTH - 1))
    rows = []
    start = 0
    while True:
        frame = np.zeros(LENGTH)
        piece = x[start : start + LENGTH]
        frame[: len(piece)] = np.round(piece * full_scale)
        power = np.abs(np.fft.rfft(frame * window, N_FFT)) ** 2 / N_FFT
        row = []
        for band in range(BANDS):
            low, centre, high = edges[band : band + 3]
            triangle = np.clip(np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)), 0, None)
            row.append(np.log(np.sum(triangle * power) + 1))
        rows.append(row)
        if start + LENGTH >= len(x):
            return np.array(rows)
        start += HOP


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of ranks, ties sharing the mean of theirs; 0 where one is constant."""
    ra, rb = rankdata(a) - (len(a) + 1) / 2, rankdata(b) - (len(b) + 1) / 2
    product = np.sqrt(np.sum(ra**2) * np.sum(rb**2))
    return float(np.sum(ra * rb) / product) if product else 0.0


def cues(x: np.ndarray, boundary: str = "max", full_scale: float = 32768.0, top_hz: float = 8000.0) -> np.ndarray:
    """The 630 cues of each chunk, equispaced frames."""
    bands = band_energies(x, full_scale, top_hz)
    edges = [0, *boundaries(x, boundary), None]
    rows = []
    for begin, end in pairwise(edges):
        inside = [t for t in range(len(bands)) if t * HOP + LENGTH / 2 >= begin or begin == 0]
        inside = [t for t in inside if end is None or t * HOP + LENGTH / 2 < end]
        places = [int(np.floor(k * (len(inside) - 1) / (KEPT - 1) + 0.5)) for k in range(KEPT)]
        kept = bands[[inside[p] for p in places]]  # (20, 21)
        row = [value for band in range(BANDS) for value in kept[:, band]]
        for i in range(BANDS):
            row += [spearman(kept[:, i], kept[:, j]) for j in range(i + 1, BANDS)]
        rows.append(row)
    return np.array(rows)
