"""One key of a study file: what its value may be, in words and as a test."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Key",
    "describe",
    "device",
    "is_int",
    "is_number",
    "names",
    "number",
    "one_of",
    "subset",
    "table",
    "text",
    "true_or_false",
    "whole",
]


@dataclass(frozen=True)
class Key:
    """One key of a table: what it must hold, in words and as a test, and the value where it is left out.

    Parameters
    ----------
    expected : str
        What the value must be, in words.
    accepts : callable
        Whether a value is that.
    default : object, default None
        The value of a key that is left out; None leaves it out of the table too.
    """

    expected: str
    accepts: Callable[[Any], bool]
    default: Any = None


def is_int(value: Any, low: int) -> bool:
    """Whether a value is a whole number of at least `low`."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


def is_number(value: Any) -> bool:
    """Whether a value is a number, and finite."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def text(what: str = "text", default: str | None = None) -> Key:
    """Text that is not empty."""
    return Key(what, lambda v: isinstance(v, str) and v.strip() != "", default)


def whole(low: int = 0, default: int | None = None) -> Key:
    """A whole number of at least `low`."""
    return Key(f"a whole number, {low} or more", lambda v: is_int(v, low), default)


def number(expected: str, inside: Callable[[float], bool], default: float | None = None) -> Key:
    """A number that `inside` accepts."""
    return Key(expected, lambda v: is_number(v) and inside(v), default)


def one_of(*names: str, default: str | None = None) -> Key:
    """One of several names."""
    return Key("one of " + ", ".join(repr(n) for n in names), lambda v: isinstance(v, str) and v in names, default)


def true_or_false(default: bool | None = None) -> Key:
    """A truth value."""
    return Key("true or false", lambda v: isinstance(v, bool), default)


def table(expected: str, inside: Callable[[Any], bool] = lambda v: True) -> Key:
    """A table that `inside` accepts."""
    return Key(expected, lambda v: isinstance(v, dict) and inside(v))


def names(expected: str) -> Key:
    """A list of names, at least one."""
    return Key(expected, lambda v: isinstance(v, list) and len(v) > 0 and all(isinstance(n, str) and n for n in v))


def subset(*known: str, default: list[str]) -> Key:
    """A list of some of several names, each once."""
    expected = f"a list of some of {', '.join(repr(name) for name in known)}, each once"
    return Key(
        expected,
        lambda v: isinstance(v, list) and 0 < len(v) == len({*map(str, v)}) and all(name in known for name in v),
        default,
    )


def device(pattern: str, expected: str, default: str | None = None) -> Key:
    """A device; whether this machine has it is not asked, since another may run the study."""
    return Key(expected, lambda v: isinstance(v, str) and re.fullmatch(pattern, v) is not None, default)


def describe(value: object) -> str:
    """Say what a value of a study file is, in the words of TOML.

    Examples
    --------
    >>> describe("fast"), describe(True), describe(3)
    ("'fast' (text)", 'true (true or false)', '3 (a whole number)')
    """
    if isinstance(value, bool):
        return f"{str(value).lower()} (true or false)"
    kinds = {str: "text", int: "a whole number", float: "a number", list: "a list", dict: "a table"}
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    return f"{shown} ({kinds.get(type(value), type(value).__name__)})"
