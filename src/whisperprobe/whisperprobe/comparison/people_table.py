"""Tables of people's responses from text files as they come: any separator, MALD's and R's ways of writing included.

Everything is read as text; a column becomes numbers or truth values when it is asked for, so that what is wrong with
it can be said with the column's name and the value.
"""

from __future__ import annotations

import csv
import io
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from audiogram.errors import AudiogramWarning, InputError, unknown_name

__all__ = ["TextTable", "read_text_table"]

_SEPARATORS = ("\t", ",", ";", "|")
_NOTHING = ("", "NA")
_NO_NUMBER = ("NaN", "nan", "N/A", "NULL", "None", "-", ".")  # "null" and "none" are words, but no numbers
_TRUE = {"true", "t", "1", "1.0", "yes", "y", "correct", "right"}
_FALSE = {"false", "f", "0", "0.0", "no", "n", "incorrect", "wrong", "error"}
_NOT_TEXT = {".rda": "R", ".rdata": "R", ".rds": "R", ".xlsx": "Excel", ".xls": "Excel", ".sav": "SPSS"}


@dataclass(frozen=True, eq=False)
class TextTable:
    """A table of text with the name of the file that it came from, for messages.

    Parameters
    ----------
    frame : DataFrame
        Columns of text; a missing value is NaN.
    name : str
        The file.
    """

    frame: pd.DataFrame
    name: str

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return [str(c) for c in self.frame.columns]

    def find(self, *names: str) -> str | None:
        """Return the first of these columns that the table has, upper and lower case taken as one; else None."""
        folded = {c.casefold(): c for c in self.columns}
        return next((folded[n.casefold()] for n in names if n.casefold() in folded), None)

    def column(self, name: str) -> str:
        """Return the table's own spelling of a column.

        Raises
        ------
        InputError
            The table has no such column; names close matches.
        """
        found = self.find(name)
        if found is None:
            raise unknown_name(f"column in {self.name}:", name, self.columns)
        return found

    def text(self, name: str) -> pd.Series[Any]:
        """Return a column as text without white space at the ends, NaN where there is nothing or R's NA."""
        return self.frame[self.column(name)]

    def numbers(self, name: str, decimal: str = ".") -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return a column as float64, NaN where there is nothing.

        Raises
        ------
        InputError
            A value is no number; says so where numbers are written with a decimal comma.
        """
        text = _without(self.text(name), _NO_NUMBER)
        if decimal != ".":
            text = text.str.replace(decimal, ".", regex=False)
        values = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        bad = text[np.isnan(values) & text.notna().to_numpy()]
        if not bad.empty:
            line = f"{self.name}, column {self.column(name)!r}: {len(bad)} values are no numbers, e.g. {bad.iloc[0]!r}."
            commas = pd.to_numeric(bad.str.replace(",", ".", regex=False), errors="coerce").notna().all()
            if bad.str.fullmatch(r"[1-9]\d{0,2}(,\d{3})+(\.\d*)?").all() and decimal == ".":
                raise InputError(
                    f"{line} Are these commas between thousands? Then write numbers without. Decimal commas need "
                    "decimal=',' (--decimal ,)."
                )
            if commas and decimal == "." and bad.str.contains(",", regex=False).all():
                raise InputError(f"{line} They are written with a decimal comma: give decimal=',' (--decimal ,).")
            raise InputError(f"{line} Name another column, or leave such cells empty.")
        return np.where(np.isfinite(values), values, np.nan)

    def truths(self, name: str) -> pd.Series[Any]:
        """Return a column of TRUE/FALSE, 1/0, yes/no or correct/incorrect as booleans, missing where there is nothing.

        Raises
        ------
        InputError
            A value is none of these.
        """
        text = _without(self.text(name), _NO_NUMBER)
        known = {v: v.casefold() in _TRUE for v in text.dropna().unique() if v.casefold() in _TRUE | _FALSE}
        unknown = [v for v in text.dropna().unique() if v not in known]
        if unknown:
            raise InputError(
                f"{self.name}, column {self.column(name)!r} holds {unknown[0]!r}, which is neither true nor false. "
                "Known are TRUE/FALSE, 1/0, yes/no and correct/incorrect."
            )
        return text.map(known).astype("boolean")


def read_text_table(path: str | Path) -> TextTable:
    """Read a text file with one row per line and a first line of column names.

    The separator (tab, comma, semicolon or |) is found from the first line, quotes are understood, and names of rows
    as R's ``write.table`` puts them before the first column are dropped. UTF-8 is expected, UTF-16 recognised by its
    mark; anything else is read as Windows-1252 with a warning.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    TextTable

    Raises
    ------
    InputError
        No such file, no text table, no rows, columns of one name, or a damaged line.
    """
    file = Path(path)
    if file.suffix.casefold() in _NOT_TEXT:
        raise InputError(
            f"{file} is a file of {_NOT_TEXT[file.suffix.casefold()]}, not a text table. Save it as tab- or "
            'comma-separated text, in R with write.table(data, "responses.txt", sep = "\\t").'
        )
    content = _decode(file).replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    lines = content.split("\n", 2)
    if len(lines) < 2:
        raise InputError(f"{file} holds {len(lines)} lines; a table needs a line of column names and rows below it.")
    separator = max(_SEPARATORS, key=lines[0].count)
    header, first = (next(csv.reader([line], delimiter=separator)) for line in lines[:2])
    if len(first) == len(header) + 1:
        header = ["", *header]
    names = [name.strip() for name in header]
    twice = [name for name, n in Counter(n.casefold() for n in names if n).items() if n > 1]
    if twice:
        raise InputError(
            f"{file} has more than one column {', '.join(map(repr, twice))} (upper and lower case count as one). "
            "Rename or remove the others: which one is meant cannot be told."
        )
    return TextTable(_parse(file, content, names, separator), file.name)


def _parse(file: Path, content: str, names: list[str], separator: str) -> pd.DataFrame:
    try:
        frame = pd.read_csv(
            io.StringIO(content), sep=separator, header=None, skiprows=1, names=range(len(names)), dtype=str,
            keep_default_na=False, na_filter=False, index_col=False, on_bad_lines="error",
        )  # fmt: skip
    except pd.errors.ParserError as error:
        raise InputError(f"{file} has a damaged line ({str(error).strip()}): it needs {len(names)} columns.") from None
    frame.columns = pd.Index(names)
    _refuse_runaway_quotes(file, frame, separator)
    return frame[[name for name in names if name]].apply(lambda column: _without(column.str.strip(), _NOTHING))


def _refuse_runaway_quotes(file: Path, frame: pd.DataFrame, separator: str) -> None:
    """Refuse cells that hold whole lines: a stray quotation mark opened them, the next one, rows below, closed them."""
    for name in frame:
        swallowed = frame[name].str.contains("\n", regex=False) & frame[name].str.contains(separator, regex=False)
        if swallowed.any():
            row = int(np.flatnonzero(swallowed.to_numpy())[0])
            cell = frame[name].iloc[row]
            raise InputError(
                f"{file}, row {row + 1}, column {name!r}: a quotation mark before {cell.splitlines()[0][:40]!r} takes "
                f"in {cell.count(chr(10))} more lines. Remove it, or write quotation marks within cells twice."
            )


def _without(text: pd.Series[Any], markers: Sequence[str]) -> pd.Series[Any]:
    return text.where(~text.isin(markers))


def _decode(file: Path) -> str:
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise InputError(f"no file {file}. Give a text table of people's responses.") from None
    except OSError as error:
        raise InputError(
            f"{file} cannot be read ({error.strerror}). Name a text table of people's responses."
        ) from None
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    if b"\0" in content[:4096]:
        raise InputError(f"{file} is no text. Save the table as tab- or comma-separated text.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        warnings.warn(
            f"{file} is not UTF-8 (byte {error.start}); read as Windows-1252. Save it as UTF-8 if letters look wrong.",
            AudiogramWarning,
            stacklevel=3,
        )
        return content.decode("cp1252", errors="replace")
