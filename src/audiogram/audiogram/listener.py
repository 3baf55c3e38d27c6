"""A listener: two ears, and when and where they were measured."""

from __future__ import annotations

import datetime as dt
import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from audiogram.bounds import AtLeast
from audiogram.errors import AudiogramWarning, InputError, unknown_name
from audiogram.interpolation import Interpolation
from audiogram.measures import Average, average, grade_of
from audiogram.thresholds import Audiogram

if TYPE_CHECKING:
    from audiogram.interaural import Asymmetry, Criterion

__all__ = ["Listener"]

# World report on hearing (WHO 2021), table 1.3: the better ear normal, the worse ear from this many dB HL on.
_UNILATERAL_WORSE = 35.0


@dataclass(frozen=True)
class Listener:
    """Two ears of one person.

    Parameters
    ----------
    left, right : Audiogram, optional
        The ears; at least one. What is a matter of both ears refuses a listener of whom only one was measured.
    id : str, default ""
        A code for the person; no name.
    date : datetime.date or str, optional
        When the ears were measured; as text, like 2024-05-31.
    source : str, default ""
        Where the figures come from.

    Raises
    ------
    InputError
        Where there is no ear, or a field is of the wrong kind.

    Warns
    -----
    AudiogramWarning
        Where an audiogram says that it is of the other ear than the one it is given as.

    Examples
    --------
    >>> good = Audiogram([500, 1000, 2000, 4000], [10, 10, 15, 15])
    >>> poor = Audiogram([500, 1000, 2000, 4000], [30, 40, 50, 60])
    >>> one = Listener(left=good, right=poor, id="p01", date="2024-05-31")
    >>> one.pta(), one.grade(), one.asymmetry().worse
    (12.5, 'unilateral', 'right')
    """

    left: Audiogram | None = None
    right: Audiogram | None = None
    id: str = field(default="", kw_only=True)
    date: dt.date | None = field(default=None, kw_only=True)
    source: str = field(default="", kw_only=True)

    def __init__(
        self,
        left: Audiogram | None = None,
        right: Audiogram | None = None,
        *,
        id: str = "",
        date: dt.date | str | None = None,
        source: str = "",
    ) -> None:
        for side, ear in (("left", left), ("right", right)):
            if not isinstance(ear, Audiogram | None):
                raise InputError(f"{side} is an Audiogram or None, got {type(ear).__name__}.")
            if ear is not None and ear.ear not in (None, side):
                warnings.warn(
                    f"the audiogram given as {side} says ear={ear.ear!r}; it counts as the {side} ear. Were the ears "
                    "exchanged?",
                    AudiogramWarning,
                    stacklevel=2,
                )
        if left is None and right is None:
            raise InputError("a listener has at least one ear; give left=Audiogram(...), right=Audiogram(...) or both.")
        for label, text in (("id", id), ("source", source)):
            if not isinstance(text, str):
                raise InputError(f"{label} is a string, got {type(text).__name__}.")
        object.__setattr__(self, "left", left)
        object.__setattr__(self, "right", right)
        object.__setattr__(self, "id", id)
        object.__setattr__(self, "date", _date(date))
        object.__setattr__(self, "source", source)

    @property
    def better_ear(self) -> Audiogram:
        """The ear with the lower average over 0.5, 1, 2 and 4 kHz; the left one where they are equal.

        Raises
        ------
        InputError
            Where only one ear was measured, a frequency is missing, or no response leaves open which one it is.
        """
        return self._by_average()[0]

    @property
    def worse_ear(self) -> Audiogram:
        """The ear that is not `better_ear`."""
        return self._by_average()[1]

    def pta(
        self, frequencies: Average | Iterable[float] = "pta4", *, interpolation: Interpolation | None = None
    ) -> float:
        """Pure-tone average of the better ear.

        Parameters
        ----------
        frequencies : {"pta4", "pta3", "aao-hns"} or iterable of float, default "pta4"
            See `audiogram.measures.pta`; the ear whose average over these is lower is the better one.
        interpolation : {"log2", "erb", "linear"}, optional
            How to fill in frequencies that were not measured.

        Returns
        -------
        float
            Average in dB HL; an `AtLeast`, with a warning, where no response leaves it open.

        Raises
        ------
        InputError
            Where only one ear was measured, or a frequency is missing.
        """
        wanted = frequencies if isinstance(frequencies, str) else tuple(frequencies)
        left, right = (average(ear, wanted, interpolation) for ear in self._both())
        low, high = min(left[0], right[0]), min(left[1], right[1])
        if low == high:
            return low
        warnings.warn(f"no response: the better ear's average is at least {low:g} dB HL.", AudiogramWarning, 2)
        return AtLeast(low)

    def grade(self, *, interpolation: Interpolation | None = None) -> str:
        """Grade of hearing loss by the World Health Organization (2021), which is that of the better ear.

        Parameters
        ----------
        interpolation : {"log2", "erb", "linear"}, optional
            How to fill in frequencies that were not measured.

        Returns
        -------
        str
            As `audiogram.measures.grade_of`, or `unilateral` where the better ear's average lies below 20 dB HL and
            the worse ear's at 35 or more. Where no response leaves it open: "... or worse", "normal or unilateral".

        Raises
        ------
        InputError
            Where only one ear was measured (`listener.left.grade()` gives one ear's), or a frequency is missing.
        """
        left, right = (average(ear, "pta4", interpolation) for ear in self._both())
        low, high = min(left[0], right[0]), min(left[1], right[1])
        worse_low, worse_high = max(left[0], right[0]), max(left[1], right[1])
        if grade_of(low) != grade_of(high):
            return grade_of(AtLeast(low))
        if grade_of(low) != "normal":
            return grade_of(low)
        if worse_low >= _UNILATERAL_WORSE:
            return "unilateral"
        return "normal" if worse_high < _UNILATERAL_WORSE else "normal or unilateral"

    def asymmetry(self, criterion: Criterion = "aao-hns") -> Asymmetry:
        """Whether one ear is worse by a published criterion; see `audiogram.interaural.asymmetry`."""
        from audiogram.interaural import asymmetry

        return asymmetry(*self._both(), criterion)

    def to_dict(self) -> dict[str, Any]:
        """Plain, lossless form for JSON or TOML: of all fields those given, the date as text."""
        plain: dict[str, Any] = {}
        for side, ear in (("left", self.left), ("right", self.right)):
            if ear is not None:
                plain[side] = ear.to_dict()
        given = {"id": self.id, "date": self.date and self.date.isoformat(), "source": self.source}
        return plain | {key: value for key, value in given.items() if value}

    def to_json(self) -> str:
        """Lossless JSON text; `from_dict(json.loads(text))` gives the same listener."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Listener:
        """Inverse of `to_dict`.

        Raises
        ------
        InputError
            For unknown keys and for values that `Listener` or `Audiogram` refuses.

        Examples
        --------
        >>> Listener.from_dict({"right": {"frequencies": [500], "thresholds": [10]}, "id": "p01"}).right.thresholds
        (10.0,)
        """
        if not isinstance(plain, Mapping):
            raise InputError(f"a listener is a mapping with left and right, got {type(plain).__name__}.")
        known = ("left", "right", "id", "date", "source")
        for key in plain:
            if key not in known:
                raise unknown_name("key of a listener", key, known)
        fields = dict(plain)
        for side in ("left", "right"):
            if fields.get(side) is not None:
                try:
                    fields[side] = Audiogram.from_dict(fields[side])
                except InputError as error:
                    raise InputError(f"{side}: {error}") from None
        return cls(**fields)

    def _both(self) -> tuple[Audiogram, Audiogram]:
        if self.left is None or self.right is None:
            side: Literal["left", "right"] = "right" if self.left is None else "left"
            raise InputError(
                f"this is a matter of both ears, but only the {side} one was measured; ask it alone: listener.{side}."
            )
        return self.left, self.right

    def _by_average(self) -> tuple[Audiogram, Audiogram]:
        """The better and the worse ear."""
        left, right = self._both()
        of_left, of_right = average(left), average(right)
        if of_left[1] <= of_right[0]:
            return left, right
        if of_right[1] <= of_left[0]:
            return right, left
        raise InputError(
            "no response leaves open which ear is better: averages of at least "
            f"{of_left[0]:g} (left) and {of_right[0]:g} dB HL (right)."
        )


def _date(date: dt.date | str | None) -> dt.date | None:
    if isinstance(date, str):
        try:
            return dt.date.fromisoformat(date)
        except ValueError:
            raise InputError(f"date {date!r} is none; write it like 2024-05-31.") from None
    if isinstance(date, dt.datetime) or not isinstance(date, dt.date | None):
        raise InputError(f"date is a datetime.date, text like 2024-05-31, or None, got {date!r}.")
    return date
