"""A Fourier transform of many frames side by side, for the window lengths in common use.

SciPy's transform is compiled for the oldest processors, two numbers of double precision at a time. This one is
compiled for the machine at hand and takes half the time, so that the forward transform can be in double precision, and
it needs no call from Python per block, so that threads do not wait for each other.

Frames are lanes: row k of a block holds value k of every frame, `LANES` real parts and then `LANES` imaginary parts,
and all arithmetic is on whole rows. Radix 4, in place, decimation in frequency there and in time back: the spectrum
lies in `spectrum_order`, and since all that happens to it is a gain per frequency, nothing is ever sorted. The last
step of radix 2 forward and the first one back belong to whoever applies the gain.

Distances between rows must be constants for the compiler to see that rows do not overlap: each span below is a
literal, for which Numba compiles the pass anew. Blocks must be the outer loop for rows to stay in the cache. Compiling
takes some seconds, once per machine, and more with each further length; hence only these.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from audiogram.kernels.compiling import compiled

__all__ = ["LANES", "SIZES", "WIDTH", "lane_fft", "lane_ifft", "spectrum_order", "twiddles"]

LANES = 8
"""Complex sequences per block."""
WIDTH = 2 * LANES
"""Real numbers per row of a block."""
SIZES = (512, 2048)
"""Lengths of frames, each 2 times a power of 4."""

Array = Any


@lru_cache(maxsize=8)
def twiddles(size: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Complex exponentials exp(-2 pi i k / size) in a complex dtype."""
    values: npt.NDArray[Any] = np.exp(-2j * np.pi * np.arange(size) / size).astype(dtype)
    return values


@lru_cache(maxsize=8)
def spectrum_order(size: int) -> npt.NDArray[np.int64]:
    """Which frequency each row of a transformed block holds, after the last step of radix 2.

    Examples
    --------
    >>> spectrum_order(8).tolist()
    [0, 4, 1, 5, 2, 6, 3, 7]
    """
    if size == 2:
        return np.arange(2)
    inner = spectrum_order(size // 4)
    return np.concatenate([4 * inner + part for part in range(4)])


@compiled
def _split(z: Array, size: int, span: int, w: Array) -> None:
    """One pass of radix 4 over all spans of a block: sums, then twiddles."""
    quarter, step = span // 4, size // span
    far = quarter * WIDTH
    for block in range(step):
        for j in range(quarter):
            w1, w2, w3 = w[j * step], w[2 * j * step], w[3 * j * step]
            r = z[(block * span + j) * WIDTH :]
            for i in range(LANES):
                k = i + LANES
                a, b = r[i] + r[i + 2 * far], r[i] - r[i + 2 * far]
                c, d = r[i + far] + r[i + 3 * far], r[i + far] - r[i + 3 * far]
                e, f = r[k] + r[k + 2 * far], r[k] - r[k + 2 * far]
                g, h = r[k + far] + r[k + 3 * far], r[k + far] - r[k + 3 * far]
                r[i], r[k] = a + c, e + g
                x, y = b + h, f - d
                r[i + far], r[k + far] = x * w1.real - y * w1.imag, x * w1.imag + y * w1.real
                x, y = a - c, e - g
                r[i + 2 * far], r[k + 2 * far] = x * w2.real - y * w2.imag, x * w2.imag + y * w2.real
                x, y = b - h, f + d
                r[i + 3 * far], r[k + 3 * far] = x * w3.real - y * w3.imag, x * w3.imag + y * w3.real


@compiled
def _merge(z: Array, size: int, span: int, w: Array) -> None:
    """The inverse of `_split`, times 4: conjugate twiddles, then sums."""
    quarter, step = span // 4, size // span
    far = quarter * WIDTH
    for block in range(step):
        for j in range(quarter):
            w1, w2, w3 = w[j * step], w[2 * j * step], w[3 * j * step]
            r = z[(block * span + j) * WIDTH :]
            for i in range(LANES):
                k = i + LANES
                x0, y0 = r[i], r[k]
                x, y = r[i + far], r[k + far]
                x1, y1 = x * w1.real + y * w1.imag, y * w1.real - x * w1.imag
                x, y = r[i + 2 * far], r[k + 2 * far]
                x2, y2 = x * w2.real + y * w2.imag, y * w2.real - x * w2.imag
                x, y = r[i + 3 * far], r[k + 3 * far]
                x3, y3 = x * w3.real + y * w3.imag, y * w3.real - x * w3.imag
                a, b, c, d = x0 + x2, x0 - x2, x1 + x3, x1 - x3
                e, f, g, h = y0 + y2, y0 - y2, y1 + y3, y1 - y3
                r[i], r[k] = a + c, e + g
                r[i + far], r[k + far] = b - h, f + d
                r[i + 2 * far], r[k + 2 * far] = a - c, e - g
                r[i + 3 * far], r[k + 3 * far] = b + h, f - d


@compiled
def lane_fft(z: Array, w: Array) -> None:
    """Transform a block `z` (size * WIDTH,) in place, but for the last step of radix 2 on rows 2k and 2k + 1."""
    size = w.size
    if size == 2048:
        _split(z, 2048, 2048, w)
    _split(z, size, 512, w)
    _split(z, size, 128, w)
    _split(z, size, 32, w)
    _split(z, size, 8, w)


@compiled
def lane_ifft(z: Array, w: Array) -> None:
    """The inverse of `lane_fft`, times size / 2; `w` the same twiddles, in the precision of `z`."""
    size = w.size
    _merge(z, size, 8, w)
    _merge(z, size, 32, w)
    _merge(z, size, 128, w)
    _merge(z, size, 512, w)
    if size == 2048:
        _merge(z, 2048, 2048, w)
