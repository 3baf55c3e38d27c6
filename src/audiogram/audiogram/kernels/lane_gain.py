"""Gains per frequency on frames in lanes: cut and window, transform, gain, back, overlap and add, in one compiled call.

Frame k of a row is centred on sample k * hop of it; samples before and after the row are zero. Two frames of one row go
in a lane, as real and imaginary part: gains are real, so the parts never mix, and rows of a batch never share a lane,
so that they cannot touch each other, not even by rounding. The arithmetic in a lane is the same whatever the others
hold; hence a row's bytes do not depend on the batch that it is in.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from audiogram.kernels.compiling import compiled
from audiogram.kernels.lane_fft import LANES, WIDTH, lane_fft, lane_ifft
from audiogram.kernels.stft_frames import end_factors

__all__ = ["filter_rows"]

Array = Any
_CHUNK = 32  # rows of a block that are filled at a time: they stay in the first-level cache


@compiled
def _place(first: int, rows: int, samples: int, hop: int, per_row: int, size: int, lanes: Array) -> None:
    """Where the frames of the pairs from `first` on lie: row, first sample in all rows, and which part has sound."""
    pairs = (per_row + 1) // 2
    for lane in range(LANES):
        row, frame = (first + lane) // pairs, 2 * ((first + lane) % pairs)
        for part in range(2):
            start = (frame + part) * hop - size // 2
            low, high = max(0, -start), min(size, samples - start)
            there = row < rows and frame + part < per_row and low < high
            place = lanes[lane + part * LANES]
            place[0], place[1] = min(row, rows - 1), row * samples + start
            place[2], place[3] = (low, high) if there else (0, 0)


@compiled
def _cut(x: Array, lanes: Array, window: Array, block: Array) -> None:
    """Windowed frames of `x` (all samples of all rows) into the lanes of a block; zeros where there is no sound."""
    if lanes[:, 2].max() > 0 or lanes[:, 3].min() < window.size:
        block[:] = 0
    for c in range(0, window.size, _CHUNK):
        shape = window[c : c + _CHUNK]
        for lane in range(WIDTH):
            if lanes[lane, 2] <= c and lanes[lane, 3] >= c + _CHUNK:
                at = lanes[lane, 1] + c
                source, target = x[at : at + _CHUNK], block[c * WIDTH + lane :]
                for j in range(_CHUNK):
                    target[j * WIDTH] = source[j] * shape[j]
            else:
                for j in range(max(c, lanes[lane, 2]), min(c + _CHUNK, lanes[lane, 3])):
                    block[j * WIDTH + lane] = x[lanes[lane, 1] + j] * window[j]


@compiled
def _apply(block: Array, gain: Array, out: Array) -> None:
    """The last step of radix 2, the gain, and the first step back, for four rows at a time."""
    for k in range(0, gain.size, 4):
        g0, g1, g2, g3 = gain[k], gain[k + 1], gain[k + 2], gain[k + 3]
        source, target = block[k * WIDTH :], out[k * WIDTH :]
        for i in range(WIDTH):
            a, b = source[i], source[i + WIDTH]
            c, d = source[i + 2 * WIDTH], source[i + 3 * WIDTH]
            p, q, r, s = (a + b) * g0, (a - b) * g1, (c + d) * g2, (c - d) * g3
            target[i], target[i + WIDTH] = p + q, p - q
            target[i + 2 * WIDTH], target[i + 3 * WIDTH] = r + s, r - s


@compiled
def _apply_each(block: Array, gains: Array, ears: Array, lanes: Array, out: Array) -> None:
    """As `_apply`, where the lanes have different ears."""
    for lane in range(WIDTH):
        gain = gains[ears[lanes[lane, 0]]]
        source, target = block[lane:], out[lane:]
        for k in range(0, gain.size, 2):
            a, b = source[k * WIDTH], source[(k + 1) * WIDTH]
            p, q = (a + b) * gain[k], (a - b) * gain[k + 1]
            target[k * WIDTH], target[(k + 1) * WIDTH] = p + q, p - q


@compiled
def _add(block: Array, lanes: Array, window: Array, out: Array) -> None:
    """Add the windowed frames of a block onto `out` (all samples of all rows), where they came from.

    Ends first, and the two frames of a lane one after the other: every sample gets its frames in their order, wherever
    in a row a block begins.
    """
    for c in range(window.size - _CHUNK, -1, -_CHUNK):
        shape = window[c : c + _CHUNK]
        for i in range(WIDTH):
            lane = i // 2 + i % 2 * LANES
            if lanes[lane, 2] <= c and lanes[lane, 3] >= c + _CHUNK:
                at = lanes[lane, 1] + c
                source, target = block[c * WIDTH + lane :], out[at : at + _CHUNK]
                for j in range(_CHUNK):
                    target[j] += source[j * WIDTH] * shape[j]
            else:
                for j in range(max(c, lanes[lane, 2]), min(c + _CHUNK, lanes[lane, 3])):
                    out[lanes[lane, 1] + j] += block[j * WIDTH + lane] * window[j]


@compiled
def filter_rows(
    x: Array,
    gains: Array,
    ears: Array,
    out: Array,
    places: Array,
    begin: int,
    end: int,
    hop: int,
    per_row: int,
    windows: tuple[Array, Array, Array, Array],
    w: Array,
    w_back: Array,
    block: Array,
    shaped: Array,
) -> None:
    """Frames of the rows `begin` to `end` of `x`, through each set of `gains`, to the same rows of `out[places[set]]`.

    `x` (rows, samples); `out` (filters, rows, samples); `windows` as `stft_gain` prepares them;
    `gains` (sets, ears, window) in spectrum order, divided by the window's length; `ears` (rows,) which of them each
    row has; `per_row` frames per row; `block` and `shaped` room for a block in double precision and in that of `x`.
    """
    analysis, synthesis, squares, steady = windows
    lanes = np.empty((WIDTH, 4), np.int64)
    pairs = (per_row + 1) // 2
    for i in range(places.size):
        out[places[i], begin:end] = 0
    for first in range(begin * pairs, end * pairs, LANES):
        _place(first, end, x.shape[1], hop, per_row, analysis.size, lanes)
        _cut(x.reshape(-1), lanes, analysis, block)
        lane_fft(block, w)
        ear, same = ears[lanes[0, 0]], True
        for lane in range(1, LANES):
            same = same and ears[lanes[lane, 0]] == ear
        for i in range(places.size):
            if same:
                _apply(block, gains[i, ear], shaped)
            else:
                _apply_each(block, gains[i], ears, lanes, shaped)
            lane_ifft(shaped, w_back)
            _add(shaped, lanes, synthesis, out[places[i]].reshape(-1))
    head, tail = end_factors(x.shape[1], squares, steady, hop, per_row)
    for i in range(places.size):
        for row in range(begin, end):
            samples = out[places[i], row]
            samples[: head.size] *= head
            samples[samples.size - tail.size :] *= tail
