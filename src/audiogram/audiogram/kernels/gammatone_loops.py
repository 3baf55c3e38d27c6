"""Recursions of the gammatone bank on one row, all channels side by side in the processor's vector registers.

For that a compiler must be able to prove that no two things which the inner loops touch overlap, and that no index is
negative. Hence one array for all of them, in rows of `WIDTH` at fixed places, and indices that are unsigned; written
with slices, the loops take twice as long. Filtering twice, for the envelopes and for the output, is faster than writing
36 channels to memory and reading them again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from audiogram.kernels.compiling import compiled_reordering

__all__ = ["channel_envelopes", "expanded_sums", "workspace"]

Array = Any

WIDTH = 48
"""Room for channels; a constant, because places in the array must be known when compiling."""
_LANES = 4  # channels that a processor handles at once; unused ones have coefficients of 0

# Places in the array: output and states of the sections and of the high-pass (2 each), then the coefficients.
_ROW = np.uint64(WIDTH)
_S1, _S2, _S3, _S4, _S5, _S6, _S7, _S8, _S9, _S10 = (np.uint64(i) * _ROW for i in range(1, 11))
_FIRST0, _FIRST1, _ZERO, _POLE0, _POLE1, _HIGH_GAIN, _HIGH0, _HIGH1 = (np.uint64(i) * _ROW for i in range(11, 19))
_STATES = 11 * WIDTH
_NOTHING = 1e-100  # far below any sound, far above the numbers that processors are slow with


def workspace(bank: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The array that the loops work in, with the bank's coefficients and all states 0."""
    values = (*bank.first, bank.zero, *bank.pole, bank.high_gain, *bank.high_pole)
    room = np.zeros((11 + len(values), WIDTH))
    room[11:, : len(bank)] = values
    return room.reshape(-1)


@compiled_reordering
def _lanes(channels: int) -> Any:
    """Channels, and the unused ones that fill the last register."""
    return (np.uint64(channels) + np.uint64(_LANES - 1)) // np.uint64(_LANES) * np.uint64(_LANES)


@compiled_reordering
def _filter_hop(x: Array, advances: Array, room: Array, first_high: int, z: Array) -> None:
    """All channels for the next samples of `x`, as many as `z` (samples, WIDTH) has rows."""
    channels, lanes, high = np.uint64(len(advances)), _lanes(len(advances)), np.uint64(first_high)
    for t in range(len(z)):
        here, out = x[t:], z[t]
        for c in range(channels):
            room[c] = here[advances[c]]
        for c in range(lanes):
            zero, p0, p1 = room[_ZERO + c], room[_POLE0 + c], room[_POLE1 + c]
            v0 = room[c]
            v1 = room[_FIRST0 + c] * v0 + room[_S1 + c]
            room[_S1 + c] = room[_S2 + c] + room[_FIRST1 + c] * v0 - p0 * v1
            room[_S2 + c] = -p1 * v1
            v2 = v1 + room[_S3 + c]
            room[_S3 + c] = room[_S4 + c] - zero * v1 - p0 * v2
            room[_S4 + c] = -p1 * v2
            v3 = v2 + room[_S5 + c]
            room[_S5 + c] = room[_S6 + c] - zero * v2 - p0 * v3
            room[_S6 + c] = -p1 * v3
            v4 = v3 + room[_S7 + c]
            room[_S7 + c] = room[_S8 + c] - zero * v3 - p0 * v4
            room[_S8 + c] = -p1 * v4
            room[c] = v4
        for c in range(high, lanes):
            v = room[_HIGH_GAIN + c] * room[c]
            w = v + room[_S9 + c]
            room[_S9 + c] = room[_S10 + c] - 2 * v - room[_HIGH0 + c] * w
            room[_S10 + c] = v - room[_HIGH1 + c] * w
            room[c] = w
        for c in range(lanes):
            out[c] = room[c]
    for k in range(_STATES):  # after the sound, before what rings becomes a number that is slow to handle
        if abs(room[k]) < _NOTHING:
            room[k] = 0.0


@compiled_reordering
def channel_envelopes(x: Array, advances: Array, room: Array, first_high: int, hop: int, out: Array) -> None:
    """Mean magnitude of every channel, under triangles of `hop` samples to either side.

    `x` is a row with as many zeros before it as the largest advance, `advances` are unsigned, `out` is
    (frames + 1, channels).
    """
    lanes = _lanes(len(advances))
    z, rising, falling = np.zeros((hop, WIDTH)), np.zeros(WIDTH), np.zeros(WIDTH)
    before = np.zeros(WIDTH)
    for frame in range(len(out) - 1):
        _filter_hop(x[frame * hop :], advances, room, first_high, z)
        for t in range(hop):
            share, here = t / hop, z[t]
            for c in range(lanes):
                magnitude = abs(here[c])
                falling[c] += magnitude
                rising[c] += share * magnitude
        target = out[frame]
        for c in range(len(target)):
            target[c] = (before[c] + falling[c] - rising[c]) / hop
        for c in range(lanes):
            before[c] = rising[c]
            rising[c] = falling[c] = 0.0
    target = out[len(out) - 1]
    for c in range(len(target)):
        target[c] = before[c] / hop


@compiled_reordering
def expanded_sums(x: Array, advances: Array, room: Array, first_high: int, hop: int, gains: Array, out: Array) -> None:
    """Sum of all channels times their gains, for several sets of gains.

    `gains` (sets, frames + 1, channels) hold at every `hop`-th sample and change linearly between; `out` is
    (sets, frames * hop).
    """
    lanes = _lanes(len(advances))
    z, start, change = np.zeros((hop, WIDTH)), np.zeros(WIDTH), np.zeros(WIDTH)
    for frame in range(gains.shape[1] - 1):
        _filter_hop(x[frame * hop :], advances, room, first_high, z)
        for i in range(len(gains)):
            one, two, target = gains[i, frame], gains[i, frame + 1], out[i, frame * hop :]
            for c in range(len(one)):
                start[c] = one[c]
                change[c] = two[c] - one[c]
            for t in range(hop):
                share, here, total = t / hop, z[t], 0.0
                for c in range(lanes):
                    total += here[c] * (start[c] + share * change[c])
                target[t] = total
