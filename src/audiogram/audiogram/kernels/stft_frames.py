"""Loops over frames for the NumPy path: cut and window, apply gains, overlap and add, divide by the window sum.

All work on a flat sequence of frames, row after row of a batch, so that blocks of it fill the FFT whatever the batch.
Frame k of a row is centred on sample k * hop of it; samples before and after the row are zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from audiogram.kernels.compiling import compiled

__all__ = ["apply_gain", "cut_frames", "divide_by_window_sum", "overlap_add"]

Array = Any


@compiled
def cut_frames(x: Array, window: Array, hop: int, per_row: int, first: int, out: Array) -> None:
    """Windowed frames `first`, `first + 1`, ... of the rows of `x` (rows, samples) into `out` (frames, window)."""
    size, samples = window.size, x.shape[1]
    for i in range(out.shape[0]):
        row, frame = (first + i) // per_row, (first + i) % per_row
        start = frame * hop - size // 2
        low, high = max(0, -start), min(size, samples - start)
        for j in range(low):
            out[i, j] = 0
        for j in range(low, high):
            out[i, j] = x[row, start + j] * window[j]
        for j in range(max(high, low), size):
            out[i, j] = 0


@compiled
def apply_gain(spectrum: Array, gains: Array, ears: Array, per_row: int, first: int, out: Array) -> None:
    """`spectrum` (frames, bins) times the gains of each frame's row: `gains[ears[row]]`, into `out`."""
    for i in range(spectrum.shape[0]):
        ear = ears[(first + i) // per_row]
        for k in range(spectrum.shape[1]):
            out[i, k] = spectrum[i, k] * gains[ear, k]


@compiled
def overlap_add(frames: Array, window: Array, hop: int, per_row: int, first: int, out: Array) -> None:
    """Add windowed `frames` (frames, window) onto the rows of `out` (rows, samples), where they came from."""
    size, samples = window.size, out.shape[1]
    for i in range(frames.shape[0]):
        row, frame = (first + i) // per_row, (first + i) % per_row
        start = frame * hop - size // 2
        for j in range(max(0, -start), min(size, samples - start)):
            out[row, start + j] += frames[i, j] * window[j]


@compiled
def divide_by_window_sum(out: Array, squares: Array, hop: int, per_row: int) -> None:
    """Divide the rows of `out` (rows, samples) by the sum of squared windows over each sample, in place.

    The sum is that of the frames that exist: fewer at both ends of a row, periodic with the hop in between.
    """
    size, samples = squares.size, out.shape[1]
    half = size // 2
    steady = np.zeros(hop, squares.dtype)
    for phase in range(hop):
        for j in range(phase, size, hop):
            steady[phase] += squares[j]
    inverse = np.empty(samples, squares.dtype)
    for t in range(samples):
        # frames k with 0 <= t - k hop + half < size
        newest = (t + half) // hop
        oldest = -((size - 1 - t - half) // hop)
        if oldest >= 0 and newest < per_row:
            total = steady[(t + half) % hop]
        else:
            total = squares.dtype.type(0)
            for k in range(max(0, oldest), min(per_row - 1, newest) + 1):
                total += squares[t - k * hop + half]
        inverse[t] = 1 / total
    for row in range(out.shape[0]):
        for t in range(samples):
            out[row, t] *= inverse[t]
