"""Loops over frames for the NumPy path: cut and window, apply gains, overlap and add, and what the ends are divided by.

Frames go in pairs, as real and imaginary part of one complex sequence. Gains are real and the same for both, so the
parts never mix, and a complex transform of two frames takes less time than two real ones. A pair never holds frames of
two rows, so that rows of a batch cannot touch each other, not even by rounding.

All work on a flat sequence of pairs, row after row of a batch, so that blocks of it fill the FFT whatever the batch.
Frame k of a row is centred on sample k * hop of it; samples before and after the row are zero. Inner loops run over
slices from 0: Numba then knows that no index is negative, and vectorises them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from audiogram.kernels.compiling import compiled

__all__ = ["apply_gain", "cut_pairs", "end_factors", "overlap_add_pairs"]

Array = Any


@compiled
def cut_pairs(x: Array, window: Array, hop: int, per_row: int, first: int, count: int, out: Array) -> None:
    """Windowed pairs `first` to `first + count - 1` of the rows of `x` (rows, samples) into `out` (pairs, window)."""
    size, samples = window.size, x.shape[1]
    half, pairs = size // 2, (per_row + 1) // 2
    for i in range(count):
        row, frame = (first + i) // pairs, 2 * ((first + i) % pairs)
        start, target = frame * hop - half, out[i]
        if start >= 0 and start + hop + size <= samples and frame + 1 < per_row:
            one, two = x[row, start : start + size], x[row, start + hop : start + hop + size]
            for j in range(size):
                target[j] = complex(one[j] * window[j], two[j] * window[j])
        else:  # at the ends of a row
            target[:] = 0
            for part in range(min(2, per_row - frame)):
                low = min(max(0, -start - part * hop), size)
                high = max(low, min(size, samples - start - part * hop))
                inside, shape, short = target[low:high], window[low:high], x[row, start + part * hop + low :]
                if part == 0:
                    for j in range(inside.size):
                        inside[j] = complex(short[j] * shape[j], 0.0)
                else:
                    for j in range(inside.size):
                        inside[j] = complex(inside[j].real, short[j] * shape[j])


@compiled
def apply_gain(spectra: Array, gains: Array, ears: Array, per_row: int, first: int, count: int, out: Array) -> None:
    """The first `count` of `spectra` (pairs, window) times the gains of each pair's row, `gains[ears[row]]`."""
    pairs = (per_row + 1) // 2
    for i in range(count):
        source, gain, target = spectra[i], gains[ears[(first + i) // pairs]], out[i]
        for k in range(target.size):
            target[k] = complex(source[k].real * gain[k], source[k].imag * gain[k])


@compiled
def overlap_add_pairs(
    pairs_of_frames: Array, window: Array, hop: int, per_row: int, first: int, count: int, out: Array
) -> None:
    """Add the windowed frames of `count` pairs onto the rows of `out` (rows, samples), where they came from."""
    size, samples = window.size, out.shape[1]
    half, pairs = size // 2, (per_row + 1) // 2
    for i in range(count):
        row, frame = (first + i) // pairs, 2 * ((first + i) % pairs)
        for part in range(min(2, per_row - frame)):
            start = (frame + part) * hop - half
            low = min(max(0, -start), size)
            high = max(low, min(size, samples - start))
            source, shape = pairs_of_frames[i, low:high], window[low:high]
            target = out[row, start + low : start + high]
            if part == 0:
                for j in range(target.size):
                    target[j] += source[j].real * shape[j]
            else:
                for j in range(target.size):
                    target[j] += source[j].imag * shape[j]


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
