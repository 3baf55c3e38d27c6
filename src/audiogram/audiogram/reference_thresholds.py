"""What 0 dB HL is in dB SPL, for sound fields and earphones.

The hearing level of a sound is its level above the threshold of young listeners with normal hearing, so 0 dB HL is
another sound pressure at every frequency, and another one for every way of presenting and of measuring it. The figures
here are those of the standards below as open implementations tabulate them. They were not checked against the
standards themselves, which are sold; a clinic calibrates by the standard and not by this table.

References
----------
.. [1] ISO 389-7:2005, Acoustics, Reference zero for the calibration of audiometric equipment, part 7: reference
   threshold of hearing under free-field and diffuse-field listening conditions.
.. [2] ISO 389-1, part 1: supra-aural earphones (Telephonics TDH 39, IEC 60318-3 coupler).
.. [3] ISO 389-2, part 2: insert earphones (Etymotic ER-3A, occluded-ear simulator of IEC 60711, now 60318-4).
.. [4] ISO 389-8, part 8: circumaural earphones (Sennheiser HDA 200); above 8 kHz ISO 389-5, part 5: 8 to 16 kHz.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from audiogram.errors import InputError, unknown_name

__all__ = ["Transducer", "hl_from_spl", "reference_threshold", "spl_from_hl"]

Transducer = Literal["free_field", "diffuse_field", "tdh39", "er3a_711", "hda200"]
"""Sound fields [1]_ (the level is that of the field with the listener away) and earphones [2]_ [3]_ [4]_."""

Array = npt.NDArray[np.float64]

_FREQUENCIES = (125, 250, 500, 750, 1000, 1500, 2000, 3000, 4000, 6000, 8000)
_ABOVE_8_KHZ = (9000, 10_000, 11_200, 12_500, 14_000, 16_000)
_TABLES: dict[str, tuple[tuple[int, ...], tuple[float, ...]]] = {
    "free_field": (_FREQUENCIES, (22.1, 11.4, 4.4, 2.4, 2.4, 2.4, -1.3, -5.8, -5.4, 4.3, 12.6)),
    "diffuse_field": (_FREQUENCIES, (22.1, 11.4, 3.8, 1.2, 0.8, 1.0, -1.5, -4.0, -3.8, 1.4, 6.8)),
    "tdh39": (_FREQUENCIES, (45, 25.5, 11.5, 7.5, 7, 6.5, 9, 10, 9.5, 15.5, 13)),
    "er3a_711": (_FREQUENCIES, (28, 17.5, 9.5, 6, 5.5, 9.5, 11.5, 13, 15, 16, 15.5)),
    "hda200": (
        _FREQUENCIES + _ABOVE_8_KHZ,
        (30.5, 18, 11, 6, 5.5, 5.5, 4.5, 2.5, 9.5, 17, 17.5, 19, 22, 23, 27.5, 35, 56),
    ),
}


def reference_threshold(frequency: npt.ArrayLike, transducer: Transducer = "free_field") -> Array:
    """Sound pressure level that equals 0 dB HL.

    Parameters
    ----------
    frequency : array_like
        Frequencies in Hz, 0 or more. Tabulated from 125 Hz to 8 kHz (`hda200`: to 16 kHz), straight lines over log2
        frequency between, and held beyond.
    transducer : {"free_field", "diffuse_field", "tdh39", "er3a_711", "hda200"}, default "free_field"
        A sound field, heard with both ears from the front or from all sides, or an earphone in its standard coupler.

    Returns
    -------
    ndarray of float64
        Level in dB SPL, shape of `frequency`.

    Raises
    ------
    InputError
        For a negative or non-finite frequency, or an unknown transducer.

    Examples
    --------
    >>> reference_threshold([125, 1000, 4000]).tolist()
    [22.1, 2.4, -5.4]
    """
    if transducer not in _TABLES:
        raise unknown_name("transducer or sound field", transducer, get_args(Transducer))
    hz = _numbers("frequencies of the reference threshold", frequency)
    if hz.size and not (np.isfinite(hz).all() and hz.min() >= 0):
        raise InputError("frequencies of the reference threshold must be finite and 0 Hz or more.")
    known, levels = _TABLES[transducer]
    held = np.clip(hz, known[0], known[-1])  # also keeps 0 Hz away from the logarithm
    return np.asarray(np.interp(np.log2(held), np.log2(known), levels), dtype=np.float64)


def spl_from_hl(thresholds: npt.ArrayLike, frequency: npt.ArrayLike, transducer: Transducer = "free_field") -> Array:
    """Sound pressure levels of hearing levels.

    Parameters
    ----------
    thresholds : array_like, shape (..., frequencies)
        Levels in dB HL.
    frequency : array_like, shape (frequencies,)
        Their frequencies in Hz, 0 or more.
    transducer : {"free_field", "diffuse_field", "tdh39", "er3a_711", "hda200"}, default "free_field"
        See `reference_threshold`.

    Returns
    -------
    ndarray of float64, shape (..., frequencies)
        Levels in dB SPL.

    Raises
    ------
    InputError
        Where the shapes do not fit, and as in `reference_threshold`.

    Examples
    --------
    >>> spl_from_hl([40, 60], [1000, 4000], "tdh39").tolist()
    [47.0, 69.5]
    """
    return _shifted(thresholds, frequency, transducer, +1.0)


def hl_from_spl(levels: npt.ArrayLike, frequency: npt.ArrayLike, transducer: Transducer = "free_field") -> Array:
    """Hearing levels of sound pressure levels; the inverse of `spl_from_hl`.

    Parameters
    ----------
    levels : array_like, shape (..., frequencies)
        Levels in dB SPL.
    frequency : array_like, shape (frequencies,)
        Their frequencies in Hz, 0 or more.
    transducer : {"free_field", "diffuse_field", "tdh39", "er3a_711", "hda200"}, default "free_field"
        See `reference_threshold`.

    Returns
    -------
    ndarray of float64, shape (..., frequencies)
        Levels in dB HL.

    Raises
    ------
    InputError
        Where the shapes do not fit, and as in `reference_threshold`.

    Examples
    --------
    >>> hl_from_spl([47, 69.5], [1000, 4000], "tdh39").tolist()
    [40.0, 60.0]
    """
    return _shifted(levels, frequency, transducer, -1.0)


def _shifted(levels: npt.ArrayLike, frequency: npt.ArrayLike, transducer: Transducer, sign: float) -> Array:
    values, zero = _numbers("levels", levels), reference_threshold(frequency, transducer)
    if zero.ndim and values.shape[-1:] != zero.shape:
        raise InputError(
            f"levels have the shape {values.shape} and frequencies {zero.shape}; the last axis of levels is frequency."
        )
    return np.asarray(values + sign * zero, dtype=np.float64)


def _numbers(label: str, values: npt.ArrayLike) -> Array:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{label} are numbers, got {values!r}.") from None
