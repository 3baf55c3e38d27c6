"""Spectral smearing on NumPy arrays: short-time power spectra times a matrix, phases kept, overlap-add.

Frames go in blocks through SciPy's FFT, or where their length allows through a faster one (`smearing_lanes`), and one
matrix product each; no loop over frames runs in Python. The transforms forwards are in double precision whatever the
sound: single precision rounds every bin to 1e-7 of the strongest, and weak bins, whose phases carry what is smeared
into them, would have random ones. For powers, their product and the way back it suffices.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

from audiogram.kernels.compiling import compiled
from audiogram.kernels.lane_fft import SIZES
from audiogram.kernels.smearing_frames import INAUDIBLE, OVERLAP, frame_count, window_of
from audiogram.kernels.smearing_lanes import smear_in_lanes

__all__ = ["smear"]

Array = npt.NDArray[Any]

_BLOCK = 64  # frames at once: their spectra stay in the second-level cache


def smear(x: Array, matrix: Array, frame: int) -> npt.NDArray[np.float64]:
    """Smear the spectra of rows.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (rows, samples)
        Sound; silence before and after is implied.
    matrix : ndarray of float32 or float64, shape (frame, frame)
        Smears the `frame` lowest bins of a power spectrum of `2 * frame` samples, in its own precision.
    frame : int
        Frame length in samples, a multiple of `OVERLAP`.

    Returns
    -------
    ndarray of float64, shape (rows, samples)
        Every frame with the smeared magnitudes and its own phases; the bin at half the sampling rate is dropped.
    """
    if 2 * frame in SIZES:
        return smear_in_lanes(x, matrix, frame)
    return _smear(x, matrix, frame)


def _smear(x: Array, matrix: Array, frame: int) -> npt.NDArray[np.float64]:
    """`smear` for frames of any length."""
    (rows, samples), hop = x.shape, frame // OVERLAP
    window, per_row = window_of(frame), frame_count(samples, frame)
    out = np.zeros((rows, samples))
    frames = np.zeros((_BLOCK, 2 * frame))
    power = np.empty((_BLOCK, frame), matrix.dtype)
    for row in range(rows):  # blocks end where rows do: a row's bytes do not depend on the batch that it is in
        for first in range(0, per_row, _BLOCK):
            count = min(_BLOCK, per_row - first)
            _cut(x[row], window, hop, first, frames[:count])
            spectra = scipy.fft.rfft(frames[:count])
            _power(spectra, power)
            _shape(spectra, power, power[:count] @ matrix.T)
            back = scipy.fft.irfft(spectra, 2 * frame, overwrite_x=True)
            _overlap_add(back, window, hop, first, out[row])
    return out


@compiled
def _cut(x: Array, window: Array, hop: int, first: int, out: Array) -> None:
    """Windowed frames of `x` (samples,), from number `first` on, into the first halves of `out`."""
    size, samples = window.size, x.size
    for i in range(len(out)):
        start = (first + i) * hop - (size - hop)
        low = max(0, -start)
        high = max(low, min(size, samples - start))
        target, source, shape = out[i, low:high], x[start + low : start + high], window[low:high]
        out[i, :low] = 0
        out[i, high:size] = 0
        for j in range(target.size):
            target[j] = source[j] * shape[j]


@compiled
def _power(spectra: Array, out: Array) -> None:
    """Power of each bin but the last, of one spectrum per row, into the first rows of `out`."""
    count, bins = spectra.shape[0], out.shape[1]
    for i in range(count):
        source, target = spectra[i, :bins], out[i]
        for k in range(bins):
            power = source[k].real ** 2 + source[k].imag ** 2
            target[k] = power if power > INAUDIBLE else 0.0


@compiled
def _shape(spectra: Array, power: Array, smeared: Array) -> None:
    """Give each bin the magnitude whose square is `smeared`; 0 where that is negative or the bin had no phase."""
    count, bins = smeared.shape
    for i in range(count):
        target, old, new = spectra[i], power[i], smeared[i]
        for k in range(bins):
            gain = np.sqrt(new[k] / old[k]) if old[k] > 0 and new[k] > 0 else 0.0
            target[k] = complex(target[k].real * gain, target[k].imag * gain)
        target[bins] = 0


@compiled
def _overlap_add(frames: Array, window: Array, hop: int, first: int, out: Array) -> None:
    """Add frames, windowed, onto `out` (samples,) where `_cut` took them from."""
    size, samples = window.size, out.size
    for i in range(len(frames)):
        start = (first + i) * hop - (size - hop)
        low = max(0, -start)
        high = max(low, min(size, samples - start))
        target, source, shape = out[start + low : start + high], frames[i, low:high], window[low:high]
        for j in range(target.size):
            target[j] += source[j] * shape[j]
