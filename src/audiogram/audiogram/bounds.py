"""Numbers of which only a bound is known, as where the audiometer was not loud enough to be heard."""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["AtLeast", "AtMost", "Interval", "as_number", "mean", "minus"]

Interval = tuple[float, float]
"""The least and the greatest value that a number can have; equal where it is known, infinite where it is open."""


class AtLeast(float):
    """A number that is known to be this or more; it prints so, and compares and computes as the bound itself.

    Parameters
    ----------
    bound : float
        The bound, e.g. an average in dB HL to which a threshold without response went in. What is computed from it
        (a sum, an array) is a plain number again.

    Examples
    --------
    >>> average = AtLeast(92.5)
    >>> print(average, f"{average:.0f}", average + 1)
    at least 92.5 at least 92 93.5
    """

    def __str__(self) -> str:
        return f"at least {float(self)}"

    def __repr__(self) -> str:
        return f"AtLeast({float(self)})"

    def __format__(self, spec: str) -> str:
        return f"at least {float(self):{spec}}"


class AtMost(float):
    """A number that is known to be this or less; the counterpart of `AtLeast`.

    Parameters
    ----------
    bound : float
        The bound, e.g. an air-bone gap in dB where bone conduction gave no response.

    Examples
    --------
    >>> print(AtMost(20))
    at most 20.0
    """

    def __str__(self) -> str:
        return f"at most {float(self)}"

    def __repr__(self) -> str:
        return f"AtMost({float(self)})"

    def __format__(self, spec: str) -> str:
        return f"at most {float(self):{spec}}"


def as_number(interval: Interval) -> float | None:
    """A float, `AtLeast` or `AtMost` that says what an interval says; None where both ends are open.

    Examples
    --------
    >>> as_number((5.0, 5.0)), as_number((5.0, math.inf)), as_number((-math.inf, math.inf))
    (5.0, AtLeast(5.0), None)
    """
    low, high = interval
    if low == high:
        return low
    if math.isinf(low):
        return None if math.isinf(high) else AtMost(high)
    return AtLeast(low)


def mean(intervals: Iterable[Interval]) -> Interval:
    """Mean of numbers of which intervals are known; at least one.

    Examples
    --------
    >>> mean([(10.0, 10.0), (20.0, math.inf)])
    (15.0, inf)
    """
    lows, highs = zip(*intervals, strict=True)
    low = math.fsum(lows) / len(lows)
    # one sum for both where all is known, so that rounding cannot make an interval out of a number
    return (low, low) if lows == highs else (low, math.fsum(highs) / len(highs))


def minus(a: Interval, b: Interval) -> Interval:
    """Difference of two numbers of which intervals are known.

    Examples
    --------
    >>> minus((60.0, 60.0), (40.0, math.inf))
    (-inf, 20.0)
    """
    return (a[0] - b[1], a[1] - b[0])
