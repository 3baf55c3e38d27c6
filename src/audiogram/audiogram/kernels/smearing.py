"""Spectral smearing on NumPy arrays: short-time power spectra times a matrix, phases kept, overlap-add.

Frames go in blocks through SciPy's FFT and one matrix product each; no loop over frames runs in Python. The transforms
are in double precision whatever the sound: single precision rounds every bin to 1e-7 of the strongest, and weak bins,
whose phases carry what is smeared into them, would have random ones. For powers and their product it suffices.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

from audiogram.kernels.compiling import compiled

__all__ = ["OVERLAP", "frame_count", "smear", "smearing_matrix", "window_of"]

Array = npt.NDArray[Any]
OVERLAP = 4
"""Frames that lie over a sample."""

_BLOCK = 128  # frames at once: their spectra stay in the second-level cache


def window_of(frame: int) -> npt.NDArray[np.float64]:
    """Hann window of `frame` samples, whose squares add to 1 over `OVERLAP` frames; applied before and after."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(frame) + 0.5) / frame)
    window: npt.NDArray[np.float64] = hann / np.sqrt(0.375 * OVERLAP)
    return window


def frame_count(samples: int, frame: int) -> int:
    """Frames over a clip, the first beginning `frame - frame // OVERLAP` samples before it: each sample under four.

    Examples
    --------
    >>> frame_count(1, 8), frame_count(2, 8), frame_count(3, 8)
    (4, 4, 5)
    """
    hop = frame // OVERLAP
    return OVERLAP - 1 + -(-samples // hop)


@lru_cache(maxsize=16)
def smearing_matrix(bins: int, bin_hz: float, lower: float, upper: float) -> npt.NDArray[np.float64]:
    """Matrix that smears a power spectrum as auditory filters broadened by `lower` and `upper` do.

    Parameters
    ----------
    bins : int
        Bins of the spectrum, from 0 Hz on.
    bin_hz : float
        Their distance in Hz.
    lower, upper : float
        How much broader than normal the filters' lower and upper sides are, each above 0; 1 and 1 smear nothing.

    Returns
    -------
    ndarray of float64, shape (bins, bins)
        `matrix @ power`; not to be changed. With A the excitation of normal and B that of broadened filters, it solves
        A matrix = B: what normal ears make of the smeared spectrum is what broadened filters make of the original
        (Baer and Moore 1993). A goes on to half as many bins more, where filters near the end have their upper sides;
        of the many solutions that then exist it is the smallest, cut to the bins there are.
    """
    normal = _auditory_filters(bins, bins + bins // 2, bin_hz, 1.0, 1.0)
    broad = _auditory_filters(bins, bins, bin_hz, lower, upper)
    solution = np.linalg.lstsq(normal, broad, rcond=None)[0]
    matrix: npt.NDArray[np.float64] = np.ascontiguousarray(solution[:bins])
    matrix.flags.writeable = False
    return matrix


def _auditory_filters(centres: int, bins: int, bin_hz: float, lower: float, upper: float) -> Array:
    """Power responses (centres, bins) of rounded-exponential filters: (1 + p g) exp(-p g), p g = 4 |f - fc| / ERB.

    Each side with its own ERB; divided by mean breadth and normal ERB, so that white noise excites all alike.
    """
    from audiogram.scales import erb_bandwidth

    centre = np.arange(centres)[:, None] * bin_hz
    hz = np.arange(bins) * bin_hz
    erb = erb_bandwidth(centre)
    slope = 4 * np.abs(hz - centre) / (erb * np.where(hz < centre, lower, upper))
    return (1 + slope) * np.exp(-slope) / (erb / erb_bandwidth(0.0) * (lower + upper) / 2)


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
            target[k] = source[k].real ** 2 + source[k].imag ** 2


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
