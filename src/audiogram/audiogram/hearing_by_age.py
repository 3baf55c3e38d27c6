"""Thresholds that are usual at an age: ISO 7029:2017.

The standard describes otologically normal persons, screened for disease and noise: their median threshold at an age,
relative to that at 18 years, and how far others lie above and below it, as two halves of Gaussians. The figures here
are those of its equations as open implementations tabulate them; they were not checked against the standard itself,
which is sold.

References
----------
.. [1] ISO 7029:2017, Acoustics, Statistical distribution of hearing thresholds related to age and gender.
"""

from __future__ import annotations

import re
import warnings
from statistics import NormalDist
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from audiogram.errors import AudiogramWarning, InputError, unknown_name
from audiogram.thresholds import Audiogram

__all__ = ["ISO7029_FREQUENCIES", "Sex", "iso7029", "iso7029_named", "iso7029_thresholds"]

Sex = Literal["male", "female"]

ISO7029_FREQUENCIES = (125.0, 250.0, 500.0, 750.0, 1000.0, 1500.0, 2000.0, 3000.0, 4000.0, 6000.0, 8000.0)
"""The frequencies in Hz that ISO 7029 gives thresholds at below the extended high frequencies."""

_YOUNGEST, _OLDEST = 18.0, 80.0
_OLDEST_ABOVE_2_KHZ = 70.0

# Median deviation a (age - 18)^b in dB, one column per frequency.
_MEDIAN = {
    "male": (
        (2.50e-6, 1.39e-4, 4.59e-4, 5.70e-4, 7.02e-4, 1.09e-3, 1.56e-3, 2.54e-3, 3.40e-3, 4.53e-3, 5.06e-3),
        (3.841, 2.832, 2.537, 2.512, 2.494, 2.446, 2.404, 2.350, 2.325, 2.315, 2.328),
    ),
    "female": (
        (6.16e-4, 3.98e-4, 2.61e-4, 2.25e-4, 2.21e-4, 2.53e-4, 3.12e-4, 4.88e-4, 7.37e-4, 1.47e-3, 2.53e-3),
        (2.451, 2.568, 2.708, 2.775, 2.805, 2.813, 2.792, 2.728, 2.660, 2.539, 2.439),
    ),
}
# Spreads c0 + c1 u + ... + c5 u^5 in dB, u = age - 18, one row per frequency: of those who hear worse than the median
# (upper) and of those who hear better (lower).
_SPREAD = {
    ("male", "upper"): (
        (4.63, 0.645, -8.85e-2, 3.69e-3, -5.98e-5, 3.39e-7),
        (5.27, 0.710, -9.13e-2, 3.64e-3, -5.74e-5, 3.22e-7),
        (4.98, 0.751, -9.20e-2, 3.68e-3, -5.84e-5, 3.28e-7),
        (4.65, 0.733, -8.81e-2, 3.59e-3, -5.76e-5, 3.24e-7),
        (4.42, 0.714, -8.54e-2, 3.57e-3, -5.82e-5, 3.29e-7),
        (4.14, 0.679, -8.04e-2, 3.52e-3, -5.89e-5, 3.35e-7),
        (4.10, 0.632, -7.53e-2, 3.46e-3, -5.94e-5, 3.40e-7),
        (4.29, 0.530, -6.28e-2, 3.09e-3, -5.37e-5, 2.95e-7),
        (4.68, 0.455, -5.52e-2, 2.95e-3, -5.30e-5, 2.92e-7),
        (5.61, 0.363, -4.72e-2, 2.92e-3, -5.58e-5, 3.12e-7),
        (6.62, 0.291, -4.16e-2, 2.92e-3, -5.85e-5, 3.33e-7),
    ),
    ("male", "lower"): (
        (3.34, 0.131, -2.02e-2, 1.12e-3, -2.28e-5, 1.57e-7),
        (3.32, 0.230, -2.54e-2, 1.20e-3, -2.27e-5, 1.46e-7),
        (3.43, 0.362, -4.11e-2, 1.87e-3, -3.44e-5, 2.21e-7),
        (3.60, 0.384, -4.43e-2, 1.98e-3, -3.55e-5, 2.22e-7),
        (3.77, 0.363, -4.19e-2, 1.82e-3, -3.14e-5, 1.89e-7),
        (3.93, 0.365, -4.22e-2, 1.79e-3, -2.96e-5, 1.70e-7),
        (4.01, 0.387, -4.47e-2, 1.87e-3, -3.02e-5, 1.69e-7),
        (4.11, 0.405, -4.56e-2, 1.86e-3, -2.83e-5, 1.46e-7),
        (4.09, 0.439, -4.78e-2, 1.92e-3, -2.84e-5, 1.40e-7),
        (4.01, 0.497, -4.97e-2, 1.93e-3, -2.67e-5, 1.18e-7),
        (3.90, 0.559, -5.62e-2, 2.40e-3, -3.92e-5, 2.29e-7),
    ),
    ("female", "upper"): (
        (5.05, 0.400, -4.60e-2, 1.73e-3, -2.75e-5, 1.71e-7),
        (5.01, 0.481, -4.88e-2, 1.80e-3, -2.81e-5, 1.67e-7),
        (4.68, 0.510, -5.16e-2, 1.95e-3, -3.07e-5, 1.77e-7),
        (4.45, 0.511, -5.25e-2, 2.03e-3, -3.18e-5, 1.81e-7),
        (4.34, 0.492, -5.15e-2, 2.03e-3, -3.18e-5, 1.78e-7),
        (4.23, 0.479, -5.12e-2, 2.07e-3, -3.26e-5, 1.80e-7),
        (4.26, 0.456, -4.91e-2, 2.01e-3, -3.16e-5, 1.70e-7),
        (4.36, 0.476, -5.15e-2, 2.19e-3, -3.51e-5, 1.91e-7),
        (4.61, 0.477, -5.07e-2, 2.19e-3, -3.51e-5, 1.88e-7),
        (5.22, 0.483, -4.83e-2, 2.13e-3, -3.39e-5, 1.74e-7),
        (5.84, 0.516, -4.89e-2, 2.18e-3, -3.49e-5, 1.77e-7),
    ),
    ("female", "lower"): (
        (3.64, 0.047, 2.28e-3, -6.68e-5, -8.72e-7, 2.30e-8),
        (3.11, 0.226, -7.71e-3, 9.83e-5, -7.11e-7, 9.02e-9),
        (2.98, 0.338, -1.74e-2, 3.53e-4, -2.78e-6, 1.01e-8),
        (3.03, 0.378, -2.24e-2, 5.20e-4, -4.60e-6, 1.50e-8),
        (3.15, 0.382, -2.39e-2, 5.62e-4, -4.60e-6, 9.87e-9),
        (3.32, 0.387, -2.64e-2, 6.71e-4, -5.76e-6, 1.07e-8),
        (3.47, 0.392, -2.84e-2, 7.79e-4, -7.35e-6, 1.71e-8),
        (3.69, 0.392, -2.96e-2, 8.44e-4, -7.55e-6, 8.16e-9),
        (3.84, 0.402, -3.17e-2, 9.99e-4, -1.08e-5, 2.99e-8),
        (4.04, 0.403, -3.15e-2, 1.06e-3, -1.21e-5, 3.44e-8),
        (4.15, 0.413, -3.01e-2, 1.00e-3, -9.97e-6, 8.74e-9),
    ),
}  # fmt: skip
_NAME = re.compile(r"iso7029-(male|female)-(\d+(?:\.\d+)?)(?:-p(\d+(?:\.\d+)?))?")


def iso7029(age: float, sex: Sex, percentile: float = 50.0) -> Audiogram:
    """Audiogram that is usual at an age, by ISO 7029:2017.

    Parameters
    ----------
    age : float
        Years, 18 to 80. The standard ends at 70 years above 2 kHz: for older listeners the audiogram ends at 2 kHz,
        and a warning says so.
    sex : {"male", "female"}
        The standard has tables for these.
    percentile : float, default 50
        How many of 100 persons hear as well as this or better, above 0 and below 100: 90 is worse than 50, the median.
        The threshold is the median plus the percentile's standard-normal quantile times the spread of those who hear
        worse (above 50) or better (below).

    Returns
    -------
    Audiogram
        At 125 Hz to 8 kHz, named like `iso7029-male-60` or `iso7029-female-65-p90`, which stand for it wherever an
        audiogram is given by name. Thresholds are relative to the median at 18 years, which counts as 0 dB HL.

    Raises
    ------
    InputError
        For an age, sex or percentile outside these.

    Warns
    -----
    AudiogramWarning
        Above 70 years.

    Examples
    --------
    >>> round(iso7029(60, "male").pta([4000]), 2), round(iso7029(60, "male", percentile=90).pta([4000]), 2)
    (20.21, 43.56)
    """
    if sex not in get_args(Sex):
        raise unknown_name("sex in ISO 7029", sex, get_args(Sex))
    for label, value, low, high in (("age", age, _YOUNGEST, _OLDEST), ("percentile", percentile, 0.0, 100.0)):
        number = not isinstance(value, bool) and isinstance(value, int | float | np.integer | np.floating)
        if not (number and low <= value <= high and (label == "age" or low < value < high)):
            limits = f"{low:g} to {high:g} years" if label == "age" else "a number above 0 and below 100"
            raise InputError(f"{label} in ISO 7029 is {limits}, got {value!r}.")
    years, share = (repr(float(value)).removesuffix(".0") for value in (age, percentile))
    name = f"iso7029-{sex}-{years}" + ("" if percentile == 50 else f"-p{share}")
    thresholds = iso7029_thresholds(age, sex, NormalDist().inv_cdf(percentile / 100))
    count = len(ISO7029_FREQUENCIES)
    if age > _OLDEST_ABOVE_2_KHZ:
        count = ISO7029_FREQUENCIES.index(2000.0) + 1
        warnings.warn(
            f"ISO 7029 ends at 70 years above 2 kHz, so {name} ends at 2 kHz; age=70 has all frequencies.",
            AudiogramWarning,
            stacklevel=2,
        )
    return Audiogram(ISO7029_FREQUENCIES[:count], thresholds[:count], name=name)


def iso7029_thresholds(age: float, sex: Sex, quantile: float) -> npt.NDArray[np.float64]:
    """Thresholds of ISO 7029:2017 [1]_ at all its frequencies, unchecked; `iso7029` checks the limits.

    Parameters
    ----------
    age : float
        Years, 18 to 70.
    sex : {"male", "female"}
        The standard has tables for these.
    quantile : float
        Standard-normal quantile of the listener among those of the same age and sex: 0 is the median, 1.28 the 90th
        percentile, negative hears better.

    Returns
    -------
    ndarray of float64, shape (11,)
        Thresholds in dB HL at `ISO7029_FREQUENCIES`.
    """
    u = float(age) - _YOUNGEST
    a, b = np.asarray(_MEDIAN[sex])
    spread = np.asarray(_SPREAD[sex, "upper" if quantile >= 0 else "lower"]) @ u ** np.arange(6.0)
    return np.asarray(a * u**b + quantile * spread, dtype=np.float64)


def iso7029_named(name: str) -> Audiogram | None:
    """Audiogram of a name such as `iso7029-male-60` or `iso7029-female-65-p90`; None for any other text.

    Raises
    ------
    InputError
        Where age or percentile lie outside the standard's.

    Examples
    --------
    >>> iso7029_named("iso7029-female-65-p90") == iso7029(65, "female", 90)
    True
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    sex: Sex = "male" if match[1] == "male" else "female"
    return iso7029(float(match[2]), sex, float(match[3] or 50))
