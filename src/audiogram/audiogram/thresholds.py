"""The audiogram: hearing thresholds of one ear over frequency."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from audiogram.errors import InputError, unknown_name
from audiogram.scales import erb_number

__all__ = ["PTA4_FREQUENCIES", "Audiogram", "Edges", "Interpolation", "grade_of"]

Interpolation = Literal["log2", "erb", "linear"]
Edges = Literal["hold", "extrapolate", "error"]

PTA4_FREQUENCIES = (500.0, 1000.0, 2000.0, 4000.0)
"""Frequencies in Hz of the four-frequency pure-tone average."""

# World report on hearing (WHO 2021), table 1.3: a grade begins at its cut-off, in dB HL.
_GRADES = (
    (20.0, "normal"),
    (35.0, "mild"),
    (50.0, "moderate"),
    (65.0, "moderately severe"),
    (80.0, "severe"),
    (95.0, "profound"),
    (math.inf, "complete"),
)
# Audiometers end near -10 and 120 dB HL; beyond these a sign or a unit is wrong, not an ear.
_LOWEST, _HIGHEST = -40.0, 160.0


def grade_of(average: float) -> str:
    """Grade of hearing loss by the World Health Organization (2021).

    Parameters
    ----------
    average : float
        Average of the thresholds at 0.5, 1, 2 and 4 kHz, in dB HL.

    Returns
    -------
    str
        `normal` below 20 dB HL, `mild` from 20, `moderate` from 35, `moderately severe` from 50, `severe` from 65,
        `profound` from 80, `complete` from 95.

    Examples
    --------
    >>> grade_of(19.9), grade_of(20)
    ('normal', 'mild')
    """
    if math.isnan(average):
        raise InputError("no WHO grade for an average that is not a number (NaN).")
    return next(name for below, name in _GRADES if average < below)


@dataclass(frozen=True)
class Audiogram:
    """Hearing thresholds of one ear.

    Parameters
    ----------
    frequencies : iterable of float
        Frequencies in Hz, above 0, strictly increasing; at least one.
    thresholds : iterable of float
        Thresholds in dB HL, one per frequency, finite, between -40 and 160; a loss is positive.
    ear : {"left", "right"}, optional
        Which ear was measured.
    name : str, default ""
        A name for listings and figures.

    Raises
    ------
    InputError
        Where values are missing, unsorted, repeated, not finite or out of range.

    Examples
    --------
    >>> ear = Audiogram([250, 500, 1000, 2000, 4000], [10, 15, 20, 40, 60])
    >>> float(ear.at(750).round(2))
    17.92
    >>> ear.pta(), ear.grade()
    (33.75, 'mild')
    """

    frequencies: tuple[float, ...]
    thresholds: tuple[float, ...]
    ear: Literal["left", "right"] | None = field(default=None, kw_only=True)
    name: str = field(default="", kw_only=True)

    def __init__(
        self,
        frequencies: Iterable[float],
        thresholds: Iterable[float],
        *,
        ear: str | None = None,
        name: str = "",
    ) -> None:
        object.__setattr__(self, "frequencies", _numbers("frequencies", frequencies))
        object.__setattr__(self, "thresholds", _numbers("thresholds", thresholds))
        object.__setattr__(self, "ear", ear)
        object.__setattr__(self, "name", name)
        self._validate()

    def _validate(self) -> None:
        f, t = self.frequencies, self.thresholds
        if len(f) != len(t):
            raise InputError(f"an audiogram needs one threshold per frequency, got {len(f)} frequencies and {len(t)}.")
        if not f:
            raise InputError("an audiogram needs at least one frequency, got none.")
        for label, values in (("frequency", f), ("threshold", t)):
            bad = next((i for i, v in enumerate(values) if not math.isfinite(v)), None)
            if bad is not None:
                raise InputError(f"{label} {bad + 1} is {values[bad]}; leave out what was not measured.")
        if f[0] <= 0 or min(f) <= 0:
            raise InputError(f"frequencies are in Hz and above 0, got {min(f):g}.")
        for low, high in itertools.pairwise(f):
            if low == high:
                raise InputError(f"frequency {low:g} Hz is given twice; keep one threshold for it.")
            if low > high:
                raise InputError(
                    f"frequencies must increase, got {low:g} before {high:g} Hz; sort both lists together."
                )
        if f[-1] < 20:
            raise InputError(f"the highest frequency is {f[-1]:g} Hz; were frequencies given in kHz? Give Hz.")
        outside = next((v for v in t if not _LOWEST <= v <= _HIGHEST), None)
        if outside is not None:
            raise InputError(
                f"threshold {outside:g} dB HL is outside {_LOWEST:g} to {_HIGHEST:g}; a loss is a positive number."
            )
        if self.ear not in (None, "left", "right"):
            raise InputError(f"ear is 'left', 'right' or None, got {self.ear!r}.")
        if not isinstance(self.name, str):
            raise InputError(f"name is a string, got {type(self.name).__name__}.")

    @property
    def is_flat(self) -> bool:
        """Whether all thresholds are equal, so that the loss is one gain at all frequencies."""
        return len(set(self.thresholds)) == 1

    def at(
        self,
        frequency: npt.ArrayLike,
        interpolation: Interpolation = "log2",
        edges: Edges = "hold",
    ) -> npt.NDArray[np.float64]:
        """Thresholds at any frequencies.

        Parameters
        ----------
        frequency : array_like
            Frequencies in Hz, 0 or more.
        interpolation : {"log2", "erb", "linear"}, default "log2"
            The frequency scale on which thresholds are joined by straight lines: octaves, ERB-numbers or Hz.
        edges : {"hold", "extrapolate", "error"}, default "hold"
            Outside the measured range: keep the outermost threshold, go on along the outermost line, or refuse.

        Returns
        -------
        ndarray of float64
            Thresholds in dB HL, shape of `frequency`.

        Raises
        ------
        InputError
            For a negative or non-finite frequency, an unknown option, or a frequency outside with `edges="error"`.
        """
        if interpolation not in get_args(Interpolation):
            raise unknown_name("interpolation", interpolation, get_args(Interpolation))
        if edges not in get_args(Edges):
            raise unknown_name("treatment of edges", edges, get_args(Edges))
        hz = np.asarray(frequency, dtype=np.float64)
        if hz.size and not (np.isfinite(hz).all() and hz.min() >= 0):
            raise InputError("frequencies to interpolate at must be finite and 0 Hz or more.")
        known, values = np.asarray(self.frequencies), np.asarray(self.thresholds)
        if edges == "error" and hz.size and (hz.min() < known[0] or hz.max() > known[-1]):
            raise InputError(
                f"{hz.min():g} to {hz.max():g} Hz is not inside the measured {known[0]:g} to {known[-1]:g} Hz; "
                "edges='hold' or 'extrapolate' allows it."
            )
        if edges == "extrapolate" and interpolation == "log2" and hz.size and hz.min() == 0:
            raise InputError("0 Hz is infinitely many octaves away; use edges='hold', or interpolation='erb'.")
        if edges != "extrapolate":
            hz = np.clip(hz, known[0], known[-1])  # held edges also keep 0 Hz away from the logarithm
        x, grid = _on_scale(hz, interpolation), _on_scale(known, interpolation)
        result: npt.NDArray[np.float64] = np.asarray(np.interp(x, grid, values))
        if edges == "extrapolate" and len(grid) > 1:
            for outside, i, j in ((x < grid[0], 0, 1), (x > grid[-1], -1, -2)):
                slope = (values[j] - values[i]) / (grid[j] - grid[i])
                result = np.where(outside, values[i] + slope * (x - grid[i]), result)
        return result

    def pta(
        self,
        frequencies: Iterable[float] = PTA4_FREQUENCIES,
        *,
        interpolation: Interpolation | None = None,
    ) -> float:
        """Pure-tone average.

        Parameters
        ----------
        frequencies : iterable of float, default (500, 1000, 2000, 4000)
            Frequencies in Hz to average over.
        interpolation : {"log2", "erb", "linear"}, optional
            How to fill in frequencies that were not measured. By default they are an error: an average over
            other frequencies is another measure.

        Returns
        -------
        float
            Average in dB HL.

        Raises
        ------
        InputError
            Where a frequency was not measured and no interpolation is asked for, or lies outside the measured range.
        """
        wanted = _numbers("frequencies", frequencies)
        if not wanted:
            raise InputError("a pure-tone average needs at least one frequency.")
        if interpolation is not None:
            return float(np.mean(self.at(wanted, interpolation, "error")))
        measured = dict(zip(self.frequencies, self.thresholds, strict=True))
        missing = [f for f in wanted if f not in measured]
        if missing:
            listed = ", ".join(f"{f:g}" for f in missing)
            raise InputError(
                f"no threshold at {listed} Hz for the average; measured: "
                f"{', '.join(f'{f:g}' for f in self.frequencies)} Hz. interpolation='log2' fills gaps."
            )
        return float(np.mean([measured[f] for f in wanted]))

    def grade(self, *, interpolation: Interpolation | None = None) -> str:
        """Grade of this ear's loss by the World Health Organization (2021); see `grade_of` and `pta`."""
        return grade_of(self.pta(interpolation=interpolation))

    def to_dict(self) -> dict[str, Any]:
        """Plain, lossless form for JSON or TOML: `frequencies`, `thresholds`, and `ear` and `name` where given."""
        plain: dict[str, Any] = {"frequencies": list(self.frequencies), "thresholds": list(self.thresholds)}
        if self.ear is not None:
            plain["ear"] = self.ear
        if self.name:
            plain["name"] = self.name
        return plain

    def to_json(self) -> str:
        """Lossless JSON text; `from_dict(json.loads(text))` gives the same audiogram."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Audiogram:
        """Inverse of `to_dict`.

        Raises
        ------
        InputError
            For unknown or missing keys and for values that `Audiogram` refuses.

        Examples
        --------
        >>> Audiogram.from_dict({"frequencies": [500, 1000], "thresholds": [10, 20]}).thresholds
        (10.0, 20.0)
        """
        if not isinstance(plain, Mapping):
            raise InputError(f"an audiogram is a mapping with frequencies and thresholds, got {type(plain).__name__}.")
        known = ("frequencies", "thresholds", "ear", "name")
        for key in plain:
            if key not in known:
                raise unknown_name("audiogram key", key, known)
        for key in known[:2]:
            if key not in plain:
                raise InputError(f"the audiogram has no {key!r}; it needs frequencies (Hz) and thresholds (dB HL).")
        return cls(plain["frequencies"], plain["thresholds"], ear=plain.get("ear"), name=plain.get("name", ""))


def _numbers(label: str, values: Iterable[float]) -> tuple[float, ...]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InputError(f"{label} must be a list of numbers, got {values!r}.")
    result = []
    for value in values:
        if value is None:
            raise InputError(f"{label} has a missing value; leave out frequencies that were not measured.")
        try:
            if isinstance(value, str | bool):
                raise TypeError
            result.append(float(value))
        except (TypeError, ValueError, OverflowError):  # a whole number may have 400 digits
            raise InputError(f"{label} must be numbers, got {value!r}.") from None
    return tuple(result)


def _on_scale(hz: npt.NDArray[np.float64], scale: str) -> npt.NDArray[np.float64]:
    if scale == "log2":
        return np.log2(hz)
    return erb_number(hz) if scale == "erb" else hz
