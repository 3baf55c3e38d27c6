"""Spectral smearing with frames side by side in lanes, for frames whose transform `lane_fft` has: those at 44.1 kHz.

Two frames of one row go in a lane, as real and imaginary part, and are told apart by the symmetry of their spectra. The
transform forwards is in double precision, as `smearing` says why; all that follows is in that of the matrix.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from audiogram.kernels.compiling import compiled
from audiogram.kernels.lane_fft import LANES, WIDTH, lane_fft, lane_ifft, spectrum_order, twiddles
from audiogram.kernels.smearing_frames import INAUDIBLE, OVERLAP, frame_count, window_of

__all__ = ["smear_in_lanes"]

Array = Any

_BLOCKS = 8  # blocks whose powers are smeared by one product: their spectra stay in the second-level cache
_CHUNK = 32  # samples of a frame at a time: the rows of a block that they fill stay in the first-level cache


def smear_in_lanes(x: Array, matrix: Array, frame: int) -> npt.NDArray[np.float64]:
    """See `audiogram.kernels.smearing.smear`."""
    (rows, samples), hop, dtype = x.shape, frame // OVERLAP, matrix.dtype
    window, where = window_of(frame), _rows_of_bins(2 * frame)
    there = twiddles(2 * frame, np.dtype(np.complex128))
    back = twiddles(2 * frame, np.dtype(np.complex64 if dtype == np.float32 else np.complex128))
    synthesis = (window / (2 * frame)).astype(dtype)
    groups = -(-frame_count(samples, frame) // (WIDTH * _BLOCKS))
    before = frame - hop
    padded = np.zeros(groups * WIDTH * _BLOCKS * hop + before)
    out = np.empty((rows, samples))
    summed = np.empty(len(padded), dtype)
    spectra = np.empty((_BLOCKS, 2 * frame * WIDTH), dtype)
    power = np.empty((frame, _BLOCKS * WIDTH), dtype)
    smeared = np.empty_like(power)
    for row in range(rows):  # a row's bytes do not depend on the batch that it is in
        padded[before : before + samples] = x[row]
        summed.fill(0)
        for group in range(groups):
            first = group * _BLOCKS * WIDTH * hop
            _analyse(padded[first:], hop, window, there, where, spectra, power)
            np.matmul(matrix, power, out=smeared)
            _synthesise(spectra, power, smeared, hop, synthesis, back, where, summed[first:])
        out[row] = summed[before : before + samples]
    return out


@lru_cache(maxsize=2)
def _rows_of_bins(size: int) -> npt.NDArray[np.int64]:
    """Which row of a transformed block holds each frequency."""
    return np.argsort(spectrum_order(size))


@compiled
def _analyse(x: Array, hop: int, window: Array, w: Array, where: Array, spectra: Array, power: Array) -> None:
    """Spectra of frames, and the power of their bins, as columns."""
    frame = window.size
    block = np.empty(2 * frame * WIDTH)
    for b in range(len(spectra)):
        block[frame * WIDTH :] = 0
        for c in range(0, frame, _CHUNK):
            shape = window[c : c + _CHUNK]
            for i in range(WIDTH):
                source = x[(b * WIDTH + i) * hop + c :]
                target = block[c * WIDTH + i // 2 + i % 2 * LANES :]
                for j in range(shape.size):
                    target[j * WIDTH] = source[j] * shape[j]
        lane_fft(block, w)
        _last_step(block)
        for k in range(frame):
            z, n = block[where[k] * WIDTH :], block[where[-k] * WIDTH :]  # bin k, and that of frequency -k
            target, loud = spectra[b, 2 * k * WIDTH :], power[k, b * WIDTH :]
            for i in range(LANES):
                j = i + LANES
                u, v, s, t = 0.5 * (z[i] + n[i]), 0.5 * (z[j] - n[j]), 0.5 * (z[j] + n[j]), 0.5 * (n[i] - z[i])
                target[i], target[j], target[i + WIDTH], target[j + WIDTH] = u, v, s, t
                p, q = u * u + v * v, s * s + t * t
                loud[i] = p if p > INAUDIBLE else 0.0
                loud[j] = q if q > INAUDIBLE else 0.0


@compiled
def _synthesise(
    spectra: Array, power: Array, smeared: Array, hop: int, window: Array, w: Array, where: Array, out: Array
) -> None:
    """Add frames onto `out`, their bins with the magnitudes whose squares are `smeared`.

    0 where that is negative, where a bin had no phase, and at half the sampling rate.
    """
    frame = window.size
    block = np.empty(2 * frame * WIDTH, spectra.dtype)
    gain = np.empty(WIDTH, spectra.dtype)
    nothing = spectra.dtype.type(0)
    for b in range(len(spectra)):
        for k in range(frame):
            old, new = power[k, b * WIDTH :], smeared[k, b * WIDTH :]
            for i in range(WIDTH):
                there = old[i] > nothing and new[i] > nothing
                gain[i] = np.sqrt(new[i] / old[i]) if there else nothing
            z, n, source = block[where[k] * WIDTH :], block[where[-k] * WIDTH :], spectra[b, 2 * k * WIDTH :]
            for i in range(LANES):
                j = i + LANES
                u, v = gain[i] * source[i], gain[i] * source[j]
                s, t = gain[j] * source[i + WIDTH], gain[j] * source[j + WIDTH]
                z[i], z[j] = u - t, v + s
                n[i], n[j] = u + t, s - v
        block[where[frame] * WIDTH : where[frame] * WIDTH + WIDTH] = 0
        _last_step(block)
        lane_ifft(block, w)
        for i in range(WIDTH):  # every sample gets its frames in their order
            source, target = block[i // 2 + i % 2 * LANES :], out[(b * WIDTH + i) * hop :]
            for j in range(frame):
                target[j] += source[j * WIDTH] * window[j]


@compiled
def _last_step(block: Array) -> None:
    """The step of radix 2 that `lane_fft` and `lane_ifft` leave, which is its own inverse times 2."""
    for k in range(0, block.size, 2 * WIDTH):
        first, second = block[k : k + WIDTH], block[k + WIDTH : k + 2 * WIDTH]
        for i in range(WIDTH):
            a, b = first[i], second[i]
            first[i], second[i] = a + b, a - b
