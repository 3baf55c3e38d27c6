"""Loops over frames for the NumPy path: cut and window, apply gains, overlap and add, mend the ends.

All work on a flat sequence of frames, row after row of a batch, so that blocks of it fill the FFT whatever the batch.
Frame k of a row is centred on sample k * hop of it; samples before and after the row are zero. Inner loops run over
slices from 0: Numba then knows that no index is negative, and vectorises them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from audiogram.kernels.compiling import compiled

__all__ = ["apply_gain", "cut_frames", "end_factors", "overlap_add"]

Array = Any


@compiled
def cut_frames(x: Array, window: Array, hop: int, per_row: int, first: int, out: Array) -> None:
    """Windowed frames `first`, `first + 1`, ... of the rows of `x` (rows, samples) into `out` (frames, window)."""
    size, samples = window.size, x.shape[1]
    for i in range(out.shape[0]):
        row, frame = (first + i) // per_row, (first + i) % per_row
        start = frame * hop - size // 2
        low = min(max(0, -start), size)
        high = max(low, min(size, samples - start))
        out[i, :low] = 0
        out[i, high:] = 0
        source, shape, target = x[row, start + low : start + high], window[low:high], out[i, low:high]
        for j in range(target.size):
            target[j] = source[j] * shape[j]


@compiled
def apply_gain(spectrum: Array, gains: Array, ears: Array, per_row: int, first: int, count: int, out: Array) -> None:
    """The first `count` rows of `spectrum` times the gains of each frame's row, `gains[ears[row]]`, into `out`.

    Real and imaginary parts lie side by side as real numbers: a complex product would take four times as long.
    """
    for i in range(count):
        source, gain, target = spectrum[i], gains[ears[(first + i) // per_row]], out[i]
        for k in range(target.size):
            target[k] = source[k] * gain[k]


@compiled
def overlap_add(frames: Array, window: Array, hop: int, per_row: int, first: int, out: Array) -> None:
    """Add windowed `frames` (frames, window) onto the rows of `out` (rows, samples), where they came from."""
    size, samples = window.size, out.shape[1]
    for i in range(frames.shape[0]):
        row, frame = (first + i) // per_row, (first + i) % per_row
        start = frame * hop - size // 2
        low = min(max(0, -start), size)
        high = max(low, min(size, samples - start))
        source, shape, target = frames[i, low:high], window[low:high], out[row, start + low : start + high]
        for j in range(target.size):
            target[j] += source[j] * shape[j]


@compiled
def _factors(first: int, last: int, squares: Array, steady: Array, hop: int, per_row: int) -> Array:
    """`end_factors` of the samples from `first` to before `last`."""
    size, half = squares.size, squares.size // 2
    total = np.zeros(last - first, squares.dtype)
    # frame k lies over the samples k hop - half to k hop - half + size
    for k in range(max(0, (first + half - size) // hop), min(per_row, (last + half) // hop + 1)):
        start = k * hop - half
        low, high = max(start, first), min(start + size, last)
        if low < high:
            source, target = squares[low - start : high - start], total[low - first : high - first]
            for j in range(target.size):
                target[j] += source[j]
    phase = (first + half) % hop
    for t in range(total.size):
        total[t] = steady[phase] / total[t]
        phase += 1
        if phase == hop:
            phase = 0
    return total


@compiled
def end_factors(samples: int, squares: Array, steady: Array, hop: int, per_row: int) -> tuple[Array, Array]:
    """Factors for the first and the last samples of a row, which lie under fewer frames than those between.

    `squares` is the squared window, `steady[j % hop]` the sum of all of it that overlaps offset j inside a row. Where
    frames are missing, the factor replaces the divisor `steady` by the sum over the frames that exist.
    """
    size = squares.size
    half = size // 2
    head = min(samples, size - half)
    tail = max(head, min(samples, per_row * hop - half))  # from here on a frame is missing at the end
    return (
        _factors(0, head, squares, steady, hop, per_row),
        _factors(tail, samples, squares, steady, hop, per_row),
    )
