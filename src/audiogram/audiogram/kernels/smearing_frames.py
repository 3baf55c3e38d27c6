"""How frames of spectral smearing lie, and the matrix that smears their power spectra; for NumPy and torch."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from audiogram.scales import erb_bandwidth

__all__ = ["INAUDIBLE", "OVERLAP", "frame_count", "frame_of", "smearing_matrix", "window_of"]

Array = npt.NDArray[np.float64]

OVERLAP = 4
"""Frames that lie over a sample."""

INAUDIBLE = 1e-30
"""Power of a bin, re that of full scale about, below which it counts as silent, in all precisions."""

_FRAME_SECONDS = 256 / 44_100
_NEGLIGIBLE = 1e-12


def frame_of(sample_rate: float) -> int:
    """Samples of a frame at a rate: the multiple of 4 nearest to 5.8 ms, at least 8.

    Examples
    --------
    >>> frame_of(44_100), frame_of(16_000)
    (256, 92)
    """
    return max(8, 4 * round(_FRAME_SECONDS * sample_rate / 4))


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
    matrix[np.abs(matrix) < _NEGLIGIBLE] = 0  # in single precision such numbers would be slow to multiply
    matrix.flags.writeable = False
    return matrix


def _auditory_filters(centres: int, bins: int, bin_hz: float, lower: float, upper: float) -> Array:
    """Power responses (centres, bins) of rounded-exponential filters: (1 + p g) exp(-p g), p g = 4 |f - fc| / ERB.

    Each side with its own ERB; divided by mean breadth and normal ERB, so that white noise excites all alike.
    """
    centre = np.arange(centres)[:, None] * bin_hz
    hz = np.arange(bins) * bin_hz
    erb = erb_bandwidth(centre)
    slope = 4 * np.abs(hz - centre) / (erb * np.where(hz < centre, lower, upper))
    return (1 + slope) * np.exp(-slope) / (erb / erb_bandwidth(0.0) * (lower + upper) / 2)
