"""Recursions of the gammatone bank on one row, all channels side by side in the processor's vector registers.

For that a compiler must be able to prove that no two things which the inner loops touch overlap, and that no index is
negative. Hence one array for all of them, in rows of `WIDTH` at fixed places, and indices that are unsigned; written
with slices, the loops take twice as long. Recursions are in double precision; what comes out of them is kept, and
summed, in that of the sound.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from audiogram.kernels.compiling import compiled_reordering

__all__ = ["WIDTH", "channel_envelopes", "expanded_sums", "smooth", "workspace"]

Array = Any

WIDTH = 40
"""Room for channels; a constant, because places in the array must be known when compiling."""
_LANES = 4  # channels that a processor handles at once in double precision; unused ones have coefficients of 0

# Places in the array: output and states of the sections and of the high-pass (2 each), then the coefficients.
_ROW = np.uint64(WIDTH)
_S1, _S2, _S3, _S4, _S5, _S6, _S7, _S8, _S9, _S10 = (np.uint64(i) * _ROW for i in range(1, 11))
_FIRST0, _FIRST1, _ZERO, _POLE0, _POLE1 = (np.uint64(i) * _ROW for i in range(11, 16))
_HIGH0, _HIGH1, _HIGH2, _HIGH_POLE0, _HIGH_POLE1 = (np.uint64(i) * _ROW for i in range(16, 21))
_STATES = 11 * WIDTH
_NOTHING = 1e-100  # far below any sound, far above the numbers that processors are slow with


def workspace(bank: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The array that the loops work in, with the bank's coefficients and all states 0."""
    high = np.arange(len(bank)) >= bank.first_high
    numerator = np.where(high, bank.high_gain * np.array([[1], [-2], [1]]), np.array([[1], [0], [0]]))
    values = (*bank.first, bank.zero, *bank.pole, *numerator, *bank.high_pole)
    room = np.zeros((11 + len(values), WIDTH))
    room[11:, : len(bank)] = values
    return room.reshape(-1)


@compiled_reordering
def _lanes(channels: int) -> Any:
    """Channels, and the unused ones that fill the last register."""
    return (np.uint64(channels) + np.uint64(_LANES - 1)) // np.uint64(_LANES) * np.uint64(_LANES)


@compiled_reordering
def _single_lanes(channels: int) -> Any:
    """As `_lanes`, for registers that hold twice as many numbers of single precision."""
    return (np.uint64(channels) + np.uint64(2 * _LANES - 1)) // np.uint64(2 * _LANES) * np.uint64(2 * _LANES)


@compiled_reordering
def _filter_hop(x: Array, advances: Array, room: Array, first_high: int, z: Array) -> None:
    """All channels for the next samples of `x`, as many as `z` (samples, WIDTH) has rows."""
    channels, lanes = np.uint64(len(advances)), _lanes(len(advances))
    high = np.uint64(first_high // _LANES * _LANES)
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
            v = room[c]
            w = room[_HIGH0 + c] * v + room[_S9 + c]
            room[_S9 + c] = room[_S10 + c] + room[_HIGH1 + c] * v - room[_HIGH_POLE0 + c] * w
            room[_S10 + c] = room[_HIGH2 + c] * v - room[_HIGH_POLE1 + c] * w
            room[c] = w
        for c in range(lanes):
            out[c] = room[c]
    for k in range(_STATES):  # after the sound, before what rings becomes a number that is slow to handle
        if abs(room[k]) < _NOTHING:
            room[k] = 0.0


@compiled_reordering
def channel_envelopes(
    x: Array, advances: Array, room: Array, before: Array, first_high: int, hop: int, z: Array, out: Array
) -> None:
    """All channels for some frames of `hop` samples, and their mean magnitudes under triangles to either side.

    `x` is a row from these frames on, with as many zeros before the sound as the largest advance; `advances` are
    unsigned; `room` and `before` (WIDTH,) go on from call to call. `z` (frames, hop or up to 3 more, WIDTH) gets the
    channels; samples beyond `hop` are zeros. `out` is (frames + 1, channels); its last value lacks what comes after.
    """
    lanes = _single_lanes(len(advances))
    rising, falling = np.zeros(WIDTH, z.dtype), np.zeros(WIDTH, z.dtype)
    ramp = (np.arange(z.shape[1]) / hop).astype(z.dtype)
    for frame in range(len(z)):
        _filter_hop(x[frame * hop :], advances, room, first_high, z[frame][:hop])
        for t in range(0, hop, 4):
            z0, z1, z2, z3 = z[frame, t], z[frame, t + 1], z[frame, t + 2], z[frame, t + 3]
            r0, r1, r2, r3 = ramp[t], ramp[t + 1], ramp[t + 2], ramp[t + 3]
            for c in range(lanes):
                m0, m1, m2, m3 = abs(z0[c]), abs(z1[c]), abs(z2[c]), abs(z3[c])
                falling[c] += (m0 + m1) + (m2 + m3)
                rising[c] += (r0 * m0 + r1 * m1) + (r2 * m2 + r3 * m3)
        target = out[frame]
        for c in range(len(target)):
            target[c] = (before[c] + (falling[c] - rising[c])) / hop
        for c in range(lanes):
            before[c] = rising[c]
            rising[c] = falling[c] = 0.0
    target = out[len(z)]
    for c in range(len(target)):
        target[c] = before[c] / hop


@compiled_reordering
def smooth(envelopes: Array, first: int, ahead: int, rules: Array, state: Array, out: Array) -> None:
    """Envelopes (frames + 1, channels) from number `first` on smoothed both ways, as many as `out` has.

    `rules` (5, channels) are the real and imaginary parts of poles and of weights, and the direct gains; `state` (2,
    channels), of the way forwards, goes on from call to call. The way back begins `ahead` values behind the last one.
    """
    pr, pi, wr, wi, direct = rules[0], rules[1], rules[2], rules[3], rules[4]
    channels, count = envelopes.shape[1], len(out)
    back = np.zeros((2, channels))
    a, b = back[0], back[1]
    for n in range(min(first + count + ahead, len(envelopes)) - 1, first - 1, -1):
        e = envelopes[n]
        if n < first + count:
            target = out[n - first]
            for c in range(channels):
                target[c] = wr[c] * a[c] - wi[c] * b[c]
        for c in range(channels):
            u, v = a[c] + e[c], b[c]
            a[c], b[c] = pr[c] * u - pi[c] * v, pr[c] * v + pi[c] * u
    a, b = state[0], state[1]
    for n in range(count):
        e, target = envelopes[first + n], out[n]
        for c in range(channels):
            u, v = pr[c] * a[c] - pi[c] * b[c] + e[c], pr[c] * b[c] + pi[c] * a[c]
            a[c], b[c] = u, v
            target[c] += direct[c] * e[c] + wr[c] * u - wi[c] * v
    for c in range(channels):
        if abs(a[c]) + abs(b[c]) < _NOTHING:
            a[c] = b[c] = 0.0


@compiled_reordering
def expanded_sums(z: Array, hop: int, knots: Array, out: Array) -> None:
    """Sum of all channels times their gains, for some frames and several sets of gains.

    `z` as `channel_envelopes` made it; `knots` (sets, frames + 3, channels) of cubic splines, one every `hop` samples,
    the first a hop before the frames; `out` is (sets, frames * hop or more).
    """
    lanes = _single_lanes(knots.shape[2])
    sums, time = np.zeros(z.shape[1], z.dtype), np.arange(z.shape[1]).astype(z.dtype)
    coefficients = np.zeros((4, WIDTH), z.dtype)
    p0, p1, p2, p3 = coefficients[0], coefficients[1], coefficients[2], coefficients[3]
    nothing = sums[0]
    for frame in range(len(z)):
        for i in range(len(knots)):
            k0, k1, k2, k3 = knots[i, frame], knots[i, frame + 1], knots[i, frame + 2], knots[i, frame + 3]
            target = out[i, frame * hop :]
            for c in range(len(k0)):  # the spline as a polynomial in samples
                p0[c] = (k0[c] + 4 * k1[c] + k2[c]) / 6
                p1[c] = (k2[c] - k0[c]) / (2 * hop)
                p2[c] = (k0[c] - 2 * k1[c] + k2[c]) / (2 * hop**2)
                p3[c] = (k3[c] - k0[c] + 3 * (k1[c] - k2[c])) / (6 * hop**3)
            for t in range(0, hop, 4):
                z0, z1, z2, z3 = z[frame, t], z[frame, t + 1], z[frame, t + 2], z[frame, t + 3]
                t0, t1, t2, t3 = time[t], time[t + 1], time[t + 2], time[t + 3]
                y0, y1, y2, y3 = nothing, nothing, nothing, nothing
                for c in range(lanes):
                    a, b, d, e = p0[c], p1[c], p2[c], p3[c]
                    y0 += z0[c] * (a + t0 * (b + t0 * (d + t0 * e)))
                    y1 += z1[c] * (a + t1 * (b + t1 * (d + t1 * e)))
                    y2 += z2[c] * (a + t2 * (b + t2 * (d + t2 * e)))
                    y3 += z3[c] * (a + t3 * (b + t3 * (d + t3 * e)))
                sums[t], sums[t + 1], sums[t + 2], sums[t + 3] = y0, y1, y2, y3
            target[:hop] = sums[:hop]
