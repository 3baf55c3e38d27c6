"""What clinics write into tables: columns for ears and frequencies, cells for thresholds, no response, not measured."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from numbers import Real
from typing import Any, Literal, NamedTuple

from audiogram.errors import InputError

__all__ = [
    "NOT_MEASURED",
    "NO_RESPONSE",
    "Cell",
    "Column",
    "Limits",
    "Role",
    "column_of",
    "ear_of",
    "flag_of",
    "frequency_of",
    "is_missing",
    "threshold_of",
]

Side = Literal["left", "right"]
Conduction = Literal["air", "bone"]
Role = Literal["threshold", "masked threshold", "masked", "no_response"]
"""What a column has: a threshold, one measured with masking, or a flag (true or false) of the threshold beside it."""
Limits = float | Mapping[Any, Any]
"""The highest level presented in dB HL: a number, by frequency in Hz, or by conduction ("air", "bone") either."""

NOT_MEASURED = ("", "-", "--", "na", "n/a", "nan", "none", "nt", "nm", "dnt", "cnt", "not tested", "not measured")
"""What stands for a frequency that was not measured, besides empty cells; capitals do not matter."""
NO_RESPONSE = ("nr", "n.r.", "n/r", "no response", "no resp", "dnr")
"""What stands for no response at the highest level; capitals do not matter."""

_EARS: dict[Side, tuple[str, ...]] = {
    "left": ("l", "left", "le", "lt", "as"),
    "right": ("r", "right", "re", "rt", "ad"),
}
_CONDUCTIONS: dict[Conduction, tuple[str, ...]] = {"air": ("", "a", "ac", "air"), "bone": ("b", "bc", "bone")}
_ROLES: tuple[Role, ...] = ("threshold", "masked threshold", "masked", "no_response")
_NUMBER = r"([+-]?\d+(?:[.,]\d+)?)"  # 12,5 is 12.5; no threshold has thousands
_WRITTEN = re.compile(rf"{_NUMBER}\s*(?:db)?\s*(?:hl)?\s*(m?)")
_BEYOND = re.compile(
    rf"(?:(?:>=|≥|>)\s*{_NUMBER}|{_NUMBER}\s*\+|{_NUMBER}\s*(?:nr|n\.r\.)|(?:nr|n\.r\.)\s*@?\s*{_NUMBER})"
)
_FREQUENCY = re.compile(r"(\d+(?:\.\d+)?)\s*(k?)(\d*)\s*(?:hz)?", re.IGNORECASE)


class Column(NamedTuple):
    """What a column of a wide table is about; `ear` is None where another column says it."""

    ear: Side | None
    conduction: Conduction
    frequency: float
    role: Role = "threshold"


class Cell(NamedTuple):
    """A threshold in dB HL, and what is known of it."""

    level: float
    masked: bool = False
    no_response: bool = False


def column_of(ear: Any, conduction: Any, frequency: Any, role: Any = "threshold") -> Column:
    """A column from the words that name it.

    Parameters
    ----------
    ear : str or None
        `left`, `L`, `LE`, `AS`, or `right`, `R`, `RE`, `AD`; capitals do not matter.
    conduction : str or None
        `air`, `AC`, `A` or nothing, or `bone`, `BC`, `B`.
    frequency : str or float
        Hz; or text like `1000`, `1000Hz`, `1k`, `1.5kHz`, `1k5`.
    role : str, default "threshold"
        One of `Role`.

    Raises
    ------
    InputError
        For other words.

    Examples
    --------
    >>> column_of("AD", "BC", "1k5")
    Column(ear='right', conduction='bone', frequency=1500.0, role='threshold')
    """
    side = None if ear is None else ear_of(ear)
    word = "" if is_missing(conduction) else str(conduction).strip().lower()
    through = next((through for through, words in _CONDUCTIONS.items() if word in words), None)
    if through is None:
        raise InputError(f"{conduction!r} is neither air nor bone conduction (air, AC, A; bone, BC, B).")
    if role not in _ROLES:
        raise InputError(f"{role!r} is no role of a column; those are {', '.join(_ROLES)}.")
    return Column(side, through, frequency_of(frequency), role)


def ear_of(text: Any) -> Side:
    """The ear that a word means."""
    word = str(text).strip().lower()
    side = next((side for side, words in _EARS.items() if word in words), None)
    if side is None:
        raise InputError(f"{text!r} is no ear (left, L, LE, AS; right, R, RE, AD).")
    return side


def frequency_of(value: Any) -> float:
    """Frequency in Hz that a number or a word means."""
    if isinstance(value, Real) and not isinstance(value, bool):
        return float(value)
    found = _FREQUENCY.fullmatch(str(value).strip())
    if found is None or (found[3] and not found[2]) or (found[3] and "." in found[1]):
        raise InputError(f"{value!r} is no frequency (1000, 1000Hz, 1k, 1.5kHz, 1k5).")
    if not found[2]:
        return float(found[1])
    return round(1000 * float(f"{found[1]}.{found[3]}" if found[3] else found[1]), 6)


def threshold_of(value: Any, column: Column, limits: Limits | None, codes: Mapping[Any, str]) -> Cell | None:
    """What a cell says, None where it was not measured.

    Parameters
    ----------
    value : object
        Number, text or nothing: `45`, `22,5`, `45 dB`, `45M` (masked); `>110`, `110+`, `110NR`, `NR110` for no
        response at 110 dB HL; `NR` for no response at the level in `limits`; empty, `NT`, `DNT`, `CNT`, `NA`, `-` for
        not measured.
    column : Column
        What the column is about.
    limits : Limits, optional
        Levels for a bare `NR`.
    codes : mapping
        What else stands for `no response` or `not measured`, e.g. `{666: "no response", 888: "not measured"}`.

    Raises
    ------
    InputError
        For anything else, and for no response without a level.
    """
    text = "" if is_missing(value) else str(value).strip()
    meaning = next((said for code, said in codes.items() if value == code or text == str(code)), None)
    if meaning is None and isinstance(value, Real) and not isinstance(value, bool) and text:
        return Cell(float(value))
    folded = text.casefold()
    if meaning == "not measured" or (meaning is None and folded in NOT_MEASURED):
        return None
    if meaning == "no response" or folded in NO_RESPONSE:
        return Cell(_limit(limits, column), no_response=True)
    if (found := _WRITTEN.fullmatch(folded)) is not None:
        return Cell(_level(found[1]), masked=bool(found[2]))
    if (found := _BEYOND.fullmatch(folded)) is not None:
        return Cell(_level(next(group for group in found.groups() if group)), no_response=True)
    raise InputError(
        f"{value!r} is no threshold; write a number, >110 or 110+ or NR for no response, nothing for not measured, or "
        "give codes={...}."
    )


def flag_of(value: Any) -> bool:
    """Whether a flag is set: true or false, yes or no, 1 or 0; nothing is false."""
    if is_missing(value):
        return False
    word = str(value).strip().lower()
    if word in ("true", "yes", "y", "1", "1.0"):
        return True
    if word in ("", "false", "no", "n", "0", "0.0"):
        return False
    raise InputError(f"{value!r} is neither true nor false.")


def _level(text: str) -> float:
    return float(text.replace(",", "."))


def _limit(limits: Limits | None, column: Column) -> float:
    level: Any = limits
    for key in (column.conduction, column.frequency):
        if isinstance(level, Mapping):
            level = level.get(key, level if isinstance(key, str) else None)
    if level is None or isinstance(level, Mapping):
        raise InputError(
            f"no response, but at which level? Give the highest level presented ({column.conduction}, "
            f"{column.frequency:g} Hz): no_response_at=110, or by frequency no_response_at={{250: 105, 500: 110}}."
        )
    return float(level)


def is_missing(value: Any) -> bool:
    """Whether a cell is empty: None, NaN, or what pandas writes for them."""
    if value is None:
        return True
    try:
        return bool(math.isnan(value))
    except TypeError:
        return str(value) in ("<NA>", "NaT")
