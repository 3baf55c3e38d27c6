"""Frequency scales: the ERB-number of Glasberg and Moore, and octaves.

References
----------
.. [1] B. R. Glasberg and B. C. J. Moore, "Derivation of auditory filter shapes from notched-noise data",
   Hearing Research 47, 103-138, 1990.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["erb_bandwidth", "erb_number", "erb_number_to_hz"]

Array = npt.NDArray[np.float64]

# Equations 3 and 4 of [1]: ERB = 24.7 (4.37 F + 1) Hz with F in kHz, and its integral over frequency.
_ERB_AT_ZERO_HZ = 24.7
_ERB_SLOPE_PER_HZ = 4.37e-3
_ERB_NUMBER_FACTOR = 21.4


def erb_bandwidth(frequency: npt.ArrayLike) -> Array:
    """Equivalent rectangular bandwidth of the normal auditory filter [1]_.

    Parameters
    ----------
    frequency : array_like
        Centre frequency in Hz, 0 or more.

    Returns
    -------
    ndarray of float64
        Bandwidth in Hz, same shape.

    Examples
    --------
    >>> float(erb_bandwidth(1000).round(1))
    132.6
    """
    return _ERB_AT_ZERO_HZ * (_ERB_SLOPE_PER_HZ * np.asarray(frequency, dtype=np.float64) + 1.0)


def erb_number(frequency: npt.ArrayLike) -> Array:
    """ERB-number (Cam) of a frequency: how many auditory filters fit below it [1]_.

    Parameters
    ----------
    frequency : array_like
        Frequency in Hz, 0 or more.

    Returns
    -------
    ndarray of float64
        ERB-number, same shape.

    Examples
    --------
    >>> float(erb_number(1000).round(2))
    15.62
    """
    hz: Any = np.asarray(frequency, dtype=np.float64)
    result: Array = _ERB_NUMBER_FACTOR * np.log10(_ERB_SLOPE_PER_HZ * hz + 1.0)
    return result


def erb_number_to_hz(number: npt.ArrayLike) -> Array:
    """Frequency in Hz of an ERB-number; the inverse of `erb_number`.

    Parameters
    ----------
    number : array_like
        ERB-number (Cam), 0 or more.

    Returns
    -------
    ndarray of float64
        Frequency in Hz, same shape.

    Examples
    --------
    >>> float(erb_number_to_hz(erb_number(440.0)).round(6))
    440.0
    """
    cam = np.asarray(number, dtype=np.float64)
    result: Array = (np.power(10.0, cam / _ERB_NUMBER_FACTOR) - 1.0) / _ERB_SLOPE_PER_HZ
    return result
