"""Pure-tone averages and grades of hearing loss.

A threshold without response is the loudest tone that the audiometer gave: the true threshold is at least that. An
average that such a threshold goes into is a bound, `AtLeast`, and its grade "or worse".

References
----------
.. [1] World Health Organization, World report on hearing, 2021, table 1.3.
.. [2] American Academy of Otolaryngology-Head and Neck Surgery, Committee on Hearing and Equilibrium, "Guidelines for
   the evaluation of results of treatment of conductive hearing loss", Otolaryngol. Head Neck Surg. 113(3), 186-187,
   1995: averages over 0.5, 1, 2 and 3 kHz.
.. [3] R. K. Gurgel et al., "A new standardized format for reporting hearing outcome in clinical trials", Otolaryngol.
   Head Neck Surg. 147(5), 803-807, 2012: where 3 kHz was not measured, the mean of 2 and 4 kHz stands for it.
"""

from __future__ import annotations

import bisect
import math
import warnings
from collections.abc import Iterable
from typing import Literal

from audiogram.bounds import AtLeast, Interval, as_number, mean
from audiogram.errors import AudiogramWarning, InputError, unknown_name
from audiogram.interpolation import Interpolation
from audiogram.thresholds import Audiogram, numbers

__all__ = [
    "AVERAGES",
    "GRADES",
    "PTA4_FREQUENCIES",
    "Average",
    "average",
    "grade",
    "grade_of",
    "named_or_listed",
    "pta",
]

Average = Literal["pta3", "pta4", "aao-hns"]
"""Lists of frequencies that have a name; `aao-hns` takes the mean of 2 and 4 kHz for an unmeasured 3 kHz [3]_."""

PTA4_FREQUENCIES = (500.0, 1000.0, 2000.0, 4000.0)
"""Frequencies in Hz of the four-frequency pure-tone average, which the WHO's grades are of."""
AVERAGES: dict[str, tuple[float, ...]] = {
    "pta3": (500.0, 1000.0, 2000.0),
    "pta4": PTA4_FREQUENCIES,
    "aao-hns": (500.0, 1000.0, 2000.0, 3000.0),
}
"""Frequencies in Hz of each name in `Average`."""

# Table 1.3 of [1]: where each grade ends, in dB HL, which belongs to the next; from the last cut-off on, complete.
GRADES = (
    (20.0, "normal"),
    (35.0, "mild"),
    (50.0, "moderate"),
    (65.0, "moderately severe"),
    (80.0, "severe"),
    (95.0, "profound"),
)


def pta(
    ear: Audiogram,
    frequencies: Average | Iterable[float] = "pta4",
    *,
    interpolation: Interpolation | None = None,
    require_all: bool = True,
) -> float:
    """Pure-tone average of air conduction.

    Parameters
    ----------
    ear : Audiogram
        The ear.
    frequencies : {"pta4", "pta3", "aao-hns"} or iterable of float, default "pta4"
        Frequencies in Hz to average over: 0.5, 1, 2 and 4 kHz [1]_; 0.5, 1 and 2 kHz; 0.5, 1, 2 and 3 kHz [2]_, where
        the mean of 2 and 4 kHz stands for a 3 kHz that was not measured [3]_; or any list.
    interpolation : {"log2", "erb", "linear"}, optional
        How to fill in frequencies that were not measured but lie between measured ones.
    require_all : bool, default True
        Whether a frequency that was neither measured nor filled in is an error, since an average over other
        frequencies is another measure. With False the others are averaged, and a warning names what is missing.

    Returns
    -------
    float
        Average in dB HL. Where a threshold without response went in, or one was interpolated from such a threshold,
        it is an `AtLeast`, with a warning.

    Raises
    ------
    InputError
        Where a frequency is missing and all are required, or none was measured.

    Warns
    -----
    AudiogramWarning
        Where the average is a bound, or frequencies were left out.

    Examples
    --------
    >>> ear = Audiogram([500, 1000, 2000, 4000], [10, 20, 30, 60])
    >>> pta(ear), pta(ear, "pta3"), pta(ear, "aao-hns"), pta(ear, [1000, 4000])
    (30.0, 20.0, 26.25, 40.0)
    """
    frequencies = named_or_listed(frequencies)
    wanted = _wanted(frequencies)
    levels = _levels(ear, frequencies, interpolation)
    missing = [hz for hz, level in zip(wanted, levels, strict=True) if level is None]
    found = [hz for hz in wanted if hz not in missing]
    if missing and (require_all or not found):
        raise _missing(ear, missing, interpolation, some=bool(found))
    if missing:
        _warn(f"no threshold at {_listed(missing)} Hz: this is the average over {_listed(found)} Hz alone.")
    result = as_number(mean(level for level in levels if level is not None))
    assert result is not None  # a threshold always has a lower bound
    if isinstance(result, AtLeast):
        unheard = [hz for hz, level in zip(wanted, levels, strict=True) if level is not None and level[0] < level[1]]
        where = "at" if set(unheard) <= set(ear.no_response) else "next to"  # as 4 kHz for 3 kHz
        _warn(
            f"no response {where} {_listed(unheard)} Hz: the average is {result:g} dB HL. Choose other frequencies for "
            "an average of thresholds alone."
        )
    return result


def average(
    ear: Audiogram, frequencies: Average | Iterable[float] = "pta4", interpolation: Interpolation | None = None
) -> Interval:
    """Least and greatest value of a pure-tone average, in dB HL, for measures that go on computing; it never warns.

    Raises
    ------
    InputError
        Where a frequency is missing.

    Examples
    --------
    >>> average(Audiogram([500, 1000, 2000], [80, 90, 100], no_response=[2000]), "pta3")
    (90.0, inf)
    """
    frequencies = named_or_listed(frequencies)
    levels = _levels(ear, frequencies, interpolation)
    missing = [hz for hz, level in zip(_wanted(frequencies), levels, strict=True) if level is None]
    if missing:
        raise _missing(ear, missing, interpolation, some=False)
    return mean(level for level in levels if level is not None)


def grade_of(average: float) -> str:
    """Grade of hearing loss by the World Health Organization (2021) [1]_.

    Parameters
    ----------
    average : float
        Average of the thresholds at 0.5, 1, 2 and 4 kHz, in dB HL; an `AtLeast` is taken as the bound that it is.

    Returns
    -------
    str
        `normal` below 20 dB HL, `mild` from 20, `moderate` from 35, `moderately severe` from 50, `severe` from 65,
        `profound` from 80, `complete` from 95; for an `AtLeast`, the bound's grade with "or worse" (`complete` has
        nothing worse).

    Examples
    --------
    >>> grade_of(19.9), grade_of(20), grade_of(AtLeast(66))
    ('normal', 'mild', 'severe or worse')
    """
    if math.isnan(average):
        raise InputError("no WHO grade for an average that is not a number (NaN).")
    name = next((name for below, name in GRADES if average < below), "complete")
    return f"{name} or worse" if isinstance(average, AtLeast) and name != "complete" else name


def grade(ear: Audiogram, *, interpolation: Interpolation | None = None) -> str:
    """Grade of one ear's loss by the World Health Organization (2021) [1]_; a listener's is `Listener.grade`.

    Parameters
    ----------
    ear : Audiogram
        The ear; its average over 0.5, 1, 2 and 4 kHz counts.
    interpolation : {"log2", "erb", "linear"}, optional
        How to fill in frequencies that were not measured.

    Returns
    -------
    str
        See `grade_of`.

    Raises
    ------
    InputError
        Where a frequency is missing.

    Examples
    --------
    >>> grade(Audiogram([500, 1000, 2000, 4000], [60, 70, 80, 90], no_response=[4000]))
    'severe or worse'
    """
    low, high = average(ear, "pta4", interpolation)
    return grade_of(low if low == high else AtLeast(low))


def named_or_listed(frequencies: Average | Iterable[float]) -> Average | tuple[float, ...]:
    """The name of an average as it is, frequencies as a tuple: an iterator is read once, an array compares badly."""
    return frequencies if isinstance(frequencies, str) else numbers("frequencies", frequencies)


def _wanted(frequencies: Average | Iterable[float]) -> tuple[float, ...]:
    if isinstance(frequencies, str):
        if frequencies not in AVERAGES:
            raise unknown_name("pure-tone average", frequencies, AVERAGES)
        return AVERAGES[frequencies]
    wanted = numbers("frequencies", frequencies)
    if not wanted:
        raise InputError("a pure-tone average needs at least one frequency.")
    return wanted


def _levels(
    ear: Audiogram, frequencies: Average | Iterable[float], interpolation: Interpolation | None
) -> list[Interval | None]:
    """What is known of the threshold at each frequency wanted; None where it was neither measured nor filled in."""
    levels = [_level(ear, hz, interpolation) for hz in _wanted(frequencies)]
    if frequencies == "aao-hns" and 3000.0 not in ear.frequencies:
        neighbours = [_level(ear, hz, None) for hz in (2000.0, 4000.0)]
        if None not in neighbours:
            levels[-1] = mean(level for level in neighbours if level is not None)
    return levels


def _level(ear: Audiogram, hz: float, interpolation: Interpolation | None) -> Interval | None:
    if hz in ear.frequencies:
        value = ear.thresholds[ear.frequencies.index(hz)]
        origins: tuple[float, ...] = (hz,)
    elif interpolation is None or not ear.frequencies[0] < hz < ear.frequencies[-1]:
        return None
    else:
        above = bisect.bisect(ear.frequencies, hz)
        value, origins = float(ear.at(hz, interpolation)), ear.frequencies[above - 1 : above + 1]
    return (value, math.inf if set(origins) & set(ear.no_response) else value)


def _missing(ear: Audiogram, missing: list[float], interpolation: Interpolation | None, *, some: bool) -> InputError:
    inside = all(ear.frequencies[0] < hz < ear.frequencies[-1] for hz in missing)
    remedy = ""
    if interpolation is not None:
        remedy = " Interpolation fills in only what lies inside the measured range."
    elif inside:
        remedy = " interpolation='log2' fills gaps."
    if some:
        remedy += " require_all=False averages the others."
    return InputError(
        f"no threshold at {_listed(missing)} Hz for the average; measured: {_listed(ear.frequencies)} Hz.{remedy}"
    )


def _listed(frequencies: Iterable[float]) -> str:
    return ", ".join(f"{hz:g}" for hz in frequencies)


def _warn(message: str) -> None:
    warnings.warn(message, AudiogramWarning, stacklevel=4)  # the caller of the method that forwards here
