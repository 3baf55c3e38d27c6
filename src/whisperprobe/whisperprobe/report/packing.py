"""Tables of many rows as a page can carry them: typed columns, compressed, in one line of text.

A row of HTML for each of 27,000 words is 20 MB that a browser must lay out. Here texts are numbers of a sorted
dictionary, so that sorting by them is sorting numbers; values are whole multiples of a step. The columns lie one behind
the other, compressed with gzip, which every browser of today can undo by itself.
"""

from __future__ import annotations

import base64
import gzip
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audiogram.errors import InputError

__all__ = ["Dictionary", "Numbers", "Texts", "pack", "sort_key"]

_TYPES = (np.uint8, np.uint16, np.uint32)
_MOST = float(np.iinfo(np.uint32).max - 1)


@dataclass(frozen=True, eq=False)
class Dictionary:
    """Different texts, in the order in which a reader expects them; columns may share one.

    Parameters
    ----------
    name : str
        How the page calls it.
    texts : tuple of str
        Sorted by `sort_key`, each once.
    """

    name: str
    texts: tuple[str, ...]

    @classmethod
    def of(cls, name: str, texts: Sequence[str | None]) -> Dictionary:
        """Sort what occurs; None is no text."""
        return cls(name, tuple(sorted({t for t in texts if t is not None}, key=sort_key)))


@dataclass(frozen=True, eq=False)
class Texts:
    """A column of texts, None where there is none."""

    key: str
    values: Sequence[str | None]
    dictionary: Dictionary


@dataclass(frozen=True, eq=False)
class Numbers:
    """A column of numbers, NaN where there is none, kept to so many decimals."""

    key: str
    values: NDArray[Any]
    decimals: int = 0


def sort_key(text: str) -> tuple[str, str]:
    """Order without regard to case and accents first.

    Examples
    --------
    >>> sorted(["zebra", "Éclair", "eclair", "Apple"], key=sort_key)
    ['Apple', 'eclair', 'Éclair', 'zebra']
    """
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return bare.casefold(), text


def pack(columns: Sequence[Texts | Numbers]) -> str:
    """Columns as text for a script element: base64 of gzip of a header line in JSON and the columns' bytes.

    The header holds `rows`, `dictionaries` (name to texts) and `columns`: key, type (u1, u2, u4), and for texts the
    dictionary's name, for numbers `decimals`, `least` and whether some are `infinite`. A value is
    `(least + number) / 10**decimals`, a text the number's entry; the type's largest number stands for a missing one,
    the one before it for an infinite one in a column that has such. Columns are little-endian, each from a multiple
    of four bytes behind the header line, which is filled up with spaces. The same columns give the same text.

    Parameters
    ----------
    columns : sequence of Texts or Numbers
        All of one length.

    Raises
    ------
    InputError
        For columns of different lengths, a text that is not in its dictionary, and numbers that are infinitely small
        or too many steps apart to be told apart.
    """
    lengths = {len(column.values) for column in columns}
    if len(lengths) > 1:
        raise InputError(f"columns of one table have different lengths: {sorted(lengths)}.")
    shared: dict[str, Dictionary] = {}
    described, parts = [], []
    for column in columns:
        about: dict[str, Any] = {"key": column.key}
        if isinstance(column, Texts):
            known = shared.setdefault(column.dictionary.name, column.dictionary)
            if known is not column.dictionary:
                raise InputError(f"two dictionaries are called {known.name!r}. Give each its own name.")
            about["dictionary"] = known.name
            numbers, missing = _codes(column), np.array([v is None for v in column.values], dtype=bool)
        else:
            numbers, missing, least = _steps(column)
            about |= {"decimals": column.decimals, "least": least}
        endless = np.isposinf(column.values) if isinstance(column, Numbers) else np.zeros_like(missing)
        if endless.any():
            about["infinite"] = True
        kind = next(t for t in _TYPES if int(numbers.max(initial=0)) < np.iinfo(t).max - int(endless.any()))
        about["type"] = f"u{np.dtype(kind).itemsize}"
        numbers = np.where(endless, np.iinfo(kind).max - 1, numbers)
        data = np.where(missing, np.iinfo(kind).max, numbers).astype(np.dtype(kind).newbyteorder("<")).tobytes()
        described.append(about)
        parts.append(data + bytes(-len(data) % 4))
    header = {
        "rows": max(lengths, default=0),
        "dictionaries": {name: list(dictionary.texts) for name, dictionary in shared.items()},
        "columns": described,
    }
    line = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    line += b" " * (-(len(line) + 1) % 4) + b"\n"
    return base64.b64encode(gzip.compress(b"".join([line, *parts]), 9, mtime=0)).decode("ascii")


def _codes(column: Texts) -> NDArray[np.int64]:
    number = {text: i for i, text in enumerate(column.dictionary.texts)}
    try:
        return np.array([0 if v is None else number[v] for v in column.values], dtype=np.int64)
    except KeyError as error:
        raise InputError(f"column {column.key!r}: {error.args[0]!r} is not in its dictionary.") from None


def _steps(column: Numbers) -> tuple[NDArray[np.int64], NDArray[np.bool_], int]:
    values = np.asarray(column.values, dtype=np.float64)
    missing = np.isnan(values)
    if np.isneginf(values).any():
        raise InputError(f"column {column.key!r} holds an infinitely small number, which the page cannot show.")
    known = np.isfinite(values)
    steps = np.round(np.where(known, values, 0.0) * 10.0**column.decimals)
    least = min(float(steps[known].min(initial=0.0)), 0.0)
    if float(steps.max(initial=0.0)) - least > _MOST - np.isposinf(values).any():
        ends = values[known]
        raise InputError(f"column {column.key!r} reaches from {ends.min():g} to {ends.max():g}: too far.")
    return np.where(known, steps - least, 0).astype(np.int64), missing, int(least)
