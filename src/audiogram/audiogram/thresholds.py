"""The audiogram: hearing thresholds of one ear over frequency."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from audiogram.errors import InputError, unknown_name
from audiogram.interpolation import Edges, Interpolation, interpolate

if TYPE_CHECKING:
    from audiogram.conduction import LossType
    from audiogram.measures import Average

__all__ = ["Audiogram", "Edges", "Interpolation", "numbers"]

# Audiometers end near -10 and 120 dB HL; beyond these a sign or a unit is wrong, not an ear.
_LOWEST, _HIGHEST = -40.0, 160.0


@dataclass(frozen=True)
class Audiogram:
    """Hearing thresholds of one ear.

    Parameters
    ----------
    frequencies : iterable of float
        Frequencies in Hz, above 0, strictly increasing; at least one.
    thresholds : iterable of float
        Thresholds of air conduction in dB HL, one per frequency, finite, between -40 and 160; a loss is positive.
    ear : {"left", "right"}, optional
        Which ear was measured.
    name : str, default ""
        A name for listings and figures.
    masked : iterable of float, default ()
        The frequencies in Hz at which the other ear was masked; a subset of `frequencies`.
    no_response : iterable of float, default ()
        The frequencies in Hz at which the loudest tone was not heard; a subset of `frequencies`. The threshold given
        there is that tone's level, and the true one is at least that: averages over it are bounds (`AtLeast`), and
        filters use the bound.
    bone : Audiogram, optional
        Thresholds of bone conduction in dB HL on frequencies of their own, with their own `masked` and
        `no_response`.

    Raises
    ------
    InputError
        Where values are missing, unsorted, repeated, not finite or out of range, where a flag stands at a frequency
        that was not measured, or where `bone` is of the other ear or has bone conduction itself.

    Examples
    --------
    >>> ear = Audiogram([250, 500, 1000, 2000, 4000], [10, 15, 20, 40, 60])
    >>> float(ear.at(750).round(2))
    17.92
    >>> ear.pta(), ear.grade()
    (33.75, 'mild')
    >>> deaf = Audiogram([500, 1000, 2000, 4000], [80, 90, 95, 100], no_response=[4000])
    >>> deaf.grade()
    'profound or worse'
    """

    frequencies: tuple[float, ...]
    thresholds: tuple[float, ...]
    ear: Literal["left", "right"] | None = field(default=None, kw_only=True)
    name: str = field(default="", kw_only=True)
    masked: tuple[float, ...] = field(default=(), kw_only=True)
    no_response: tuple[float, ...] = field(default=(), kw_only=True)
    bone: Audiogram | None = field(default=None, kw_only=True)

    def __init__(
        self,
        frequencies: Iterable[float],
        thresholds: Iterable[float],
        *,
        ear: str | None = None,
        name: str = "",
        masked: Iterable[float] = (),
        no_response: Iterable[float] = (),
        bone: Audiogram | None = None,
    ) -> None:
        object.__setattr__(self, "frequencies", numbers("frequencies", frequencies))
        object.__setattr__(self, "thresholds", numbers("thresholds", thresholds))
        object.__setattr__(self, "ear", ear)
        object.__setattr__(self, "name", name)
        self._validate()
        object.__setattr__(self, "masked", self._flags("masked", masked))
        object.__setattr__(self, "no_response", self._flags("no_response", no_response))
        object.__setattr__(self, "bone", bone)
        self._validate_bone()

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
                raise InputError(f"frequencies must increase, got {low:g} before {high:g}; sort both lists together.")
        if f[-1] < 20:
            raise InputError(f"the highest frequency is {f[-1]:g} Hz; were frequencies given in kHz? Give Hz.")
        outside = next((v for v in t if not _LOWEST <= v <= _HIGHEST), None)
        if outside is not None:
            negative = " Were losses given as negative numbers?" if outside < 0 and max(t) <= 0 else ""
            raise InputError(
                f"threshold {outside:g} dB HL is outside {_LOWEST:g} to {_HIGHEST:g}; a loss is a positive number."
                + negative
            )
        if self.ear not in (None, "left", "right"):
            raise InputError(f"ear is 'left', 'right' or None, got {self.ear!r}.")
        if not isinstance(self.name, str):
            raise InputError(f"name is a string, got {type(self.name).__name__}.")

    def _flags(self, label: str, flagged: Iterable[float]) -> tuple[float, ...]:
        """`flagged` as a sorted tuple without repeats, every frequency of it a measured one."""
        values = list(flagged) if isinstance(flagged, Iterable) and not isinstance(flagged, str | bytes) else flagged
        if isinstance(values, list) and any(isinstance(v, bool | np.bool_) for v in values):
            raise InputError(f"{label} lists the frequencies in Hz that it holds for, not one flag per frequency.")
        result = tuple(sorted(set(numbers(label, values))))
        for hz in result:
            if hz not in self.frequencies:
                kilo = " Were they given in kHz? Give Hz." if 1000 * hz in self.frequencies else ""
                known = ", ".join(f"{f:g}" for f in self.frequencies)
                raise InputError(f"{label} names {hz:g} Hz, where nothing was measured; measured: {known} Hz.{kilo}")
        return result

    def _validate_bone(self) -> None:
        if not isinstance(self.bone, Audiogram | None):
            raise InputError(f"bone is an Audiogram of bone conduction or None, got {type(self.bone).__name__}.")
        if self.bone is None:
            return
        if self.bone.bone is not None:
            raise InputError("bone has bone conduction itself; give Audiogram(frequencies, thresholds) of bone alone.")
        if None not in (self.ear, self.bone.ear) and self.ear != self.bone.ear:
            raise InputError(f"bone is of the {self.bone.ear} ear, but the audiogram is of the {self.ear} one.")

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
        """Thresholds of air conduction at any frequencies; where there was no response, the bounds count.

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
        return interpolate(self.frequencies, self.thresholds, frequency, interpolation, edges)

    def pta(
        self,
        frequencies: Average | Iterable[float] = "pta4",
        *,
        interpolation: Interpolation | None = None,
        require_all: bool = True,
    ) -> float:
        """Pure-tone average of air conduction in dB HL; `AtLeast`, with a warning, where a bound went in.

        Parameters
        ----------
        frequencies : {"pta4", "pta3", "aao-hns"} or iterable of float, default "pta4"
            Frequencies in Hz to average over, or the name of a list of them; see `audiogram.measures.pta`.
        interpolation : {"log2", "erb", "linear"}, optional
            How to fill in frequencies that were not measured but lie between measured ones.
        require_all : bool, default True
            Whether a frequency that is missing raises `InputError`; else the others are averaged, with a warning.
        """
        from audiogram.measures import pta

        return pta(self, frequencies, interpolation=interpolation, require_all=require_all)

    def grade(self, *, interpolation: Interpolation | None = None) -> str:
        """Grade of this ear's loss by the WHO (2021), "... or worse" for a bound; see `audiogram.measures.grade`."""
        from audiogram.measures import grade

        return grade(self, interpolation=interpolation)

    def sii(
        self, speech_level: npt.ArrayLike | None = None, noise: npt.ArrayLike | None = None, **options: Any
    ) -> float:
        """Speech intelligibility index (ANSI S3.5-1997), 0 to 1; see `audiogram.intelligibility.sii`."""
        from audiogram.intelligibility import sii

        return sii(self, speech_level, noise, **options)

    def air_bone_gap(self, frequencies: Average | Iterable[float] = "aao-hns") -> float | None:
        """Average gap between air and bone conduction in dB; see `audiogram.conduction.air_bone_gap`."""
        from audiogram.conduction import air_bone_gap

        return air_bone_gap(self, frequencies)

    def loss_type(self) -> LossType:
        """Conductive, sensorineural, mixed, normal or unknown; see `audiogram.conduction.loss_type`."""
        from audiogram.conduction import loss_type

        return loss_type(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain, lossless form for JSON or TOML: `frequencies`, `thresholds`, and of the other fields those given."""
        plain: dict[str, Any] = {"frequencies": list(self.frequencies), "thresholds": list(self.thresholds)}
        if self.ear is not None:
            plain["ear"] = self.ear
        if self.name:
            plain["name"] = self.name
        if self.masked:
            plain["masked"] = list(self.masked)
        if self.no_response:
            plain["no_response"] = list(self.no_response)
        if self.bone is not None:
            plain["bone"] = self.bone.to_dict()
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
        known = ("frequencies", "thresholds", "ear", "name", "masked", "no_response", "bone")
        for key in plain:
            if key not in known:
                raise unknown_name("audiogram key", key, known)
        for key in known[:2]:
            if key not in plain:
                raise InputError(f"the audiogram has no {key!r}; it needs frequencies (Hz) and thresholds (dB HL).")
        fields = dict(plain)
        if fields.get("bone") is not None:
            try:
                fields["bone"] = cls.from_dict(fields["bone"])
            except InputError as error:
                raise InputError(f"bone: {error}") from None
        return cls(fields.pop("frequencies"), fields.pop("thresholds"), **fields)


def numbers(label: str, values: Iterable[float]) -> tuple[float, ...]:
    """`values` as a tuple of floats; `InputError`, with `label` in it, unless they are numbers."""
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
