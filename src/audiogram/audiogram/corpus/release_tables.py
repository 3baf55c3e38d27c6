"""Tables of a Common Voice release: tab-separated without quoting, read row by row from where each row begins.

The largest release lists 2.5 million clips in more than a gigabyte of text. Kept in memory are eight bytes for each
row, its offset in the file; rows are parsed when they are asked for. No CSV reader serves here: one row with a tab too
many, or that is not UTF-8, stops pyarrow's and pandas' readers, and is a single bad clip here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from audiogram.errors import InputError, WorkError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Table", "TableRows"]

_BLOCK = 8 << 20  # bytes of a table that are scanned at once
_TAB, _NEWLINE, _RETURN = b"\t\n\r"


@dataclass(frozen=True)
class TableRows:
    """Chosen rows of a table, in the given order; small, and can be sent to another process.

    Parameters
    ----------
    path : Path
        The table.
    columns : tuple of str
        Its header.
    crlf : bool
        Whether its lines end in a carriage return, too.
    starts, numbers : ndarray of int64, shape (rows,)
        Offset in bytes and number, from 0, of each row.
    """

    path: Path
    columns: tuple[str, ...]
    crlf: bool
    starts: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[tuple[int, dict[str, str], str | None]]:
        """Yield number, columns and what is wrong with each row (None: nothing)."""
        try:
            with open(self.path, "rb") as file:
                at = -1
                for start, number in zip(self.starts.tolist(), self.numbers.tolist(), strict=True):
                    if start != at:
                        file.seek(start)
                    line = file.readline()
                    at = start + len(line)
                    yield (number, *self._parse(line, number))
        except FileNotFoundError:
            raise WorkError(
                f"{self.path} has vanished. Bring it back (is the disk mounted?) and start the same command again: "
                "finished parts stay."
            ) from None
        except OSError as error:
            raise WorkError(f"{self.path} cannot be read: {error.strerror or error}.") from error

    def _parse(self, line: bytes, number: int) -> tuple[dict[str, str], str | None]:
        problem = None
        line = _without_end(line, self.crlf)
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            text = line.decode(errors="replace")
            problem = f"row {number + 1} of {self.path.name} is not UTF-8 (byte {error.start + 1} of it)."
        fields = text.split("\t")
        if len(fields) != len(self.columns):
            problem = f"row {number + 1} of {self.path.name} has {len(fields)} fields, its header {len(self.columns)}."
            fields += [""] * (len(self.columns) - len(fields))
        return dict(zip(self.columns, fields, strict=False)), problem


class Table:
    """A tab-separated file with a header, without quoting: a ``"`` is a character like any other.

    Parameters
    ----------
    path : Path
        The file, UTF-8.
    needed : sequence of str
        Columns that it must have.

    Raises
    ------
    InputError
        The header is missing, names a column twice, or lacks one of `needed`.
    """

    def __init__(self, path: Path, needed: Sequence[str]) -> None:
        self.path = path
        try:
            with open(path, "rb") as file:
                header = file.readline()
            text = header.decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read: {error}. Damaged, or half-extracted?") from error
        if not text.strip():
            raise InputError(
                f"{path} has no header: it is {path.stat().st_size} bytes. Extract it again, or remove it to go on "
                "without this split."
            )
        self.crlf = text.endswith("\r\n")
        self.columns = tuple(text.rstrip("\r\n").split("\t"))
        twice = next((name for name in self.columns if self.columns.count(name) > 1), None)
        lost = next((name for name in needed if name not in self.columns), None)
        if twice is not None or lost is not None:
            what = f"names column {twice!r} twice" if twice is not None else f"has no column {lost!r}"
            raise InputError(f"{path}: the header {what}: {', '.join(self.columns)[:200]}. Is it tab-separated?")
        self._first = len(header)

    def rows(self, starts: npt.NDArray[np.int64], numbers: Sequence[int]) -> TableRows:
        """Return the rows with these numbers; `starts` is what `scan` gave."""
        chosen = np.asarray(numbers, dtype=np.int64)
        return TableRows(self.path, self.columns, self.crlf, starts[chosen], chosen)

    def scan(self, *columns: str) -> Iterator[tuple[npt.NDArray[np.int64], list[pa.BinaryArray]]]:
        """Yield, for some megabytes at a time, where each row begins and its fields in `columns`, as bytes.

        Empty lines are no rows. A field that the row does not reach is empty.
        """
        at = [self.columns.index(column) for column in columns]
        try:
            with open(self.path, "rb") as file:
                file.seek(self._first)
                base, left = self._first, b""
                while True:
                    more = file.read(_BLOCK)
                    # the last line may lack its end
                    block = left + more if more else left + (b"\n" if left else b"")
                    cut = block.rfind(b"\n") + 1
                    if cut:
                        starts, fields = self._fields(np.frombuffer(block, np.uint8, cut), at)
                        yield starts + base, fields
                    if not more:
                        return
                    base, left = base + cut, block[cut:]
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}.") from error

    def _fields(
        self, block: npt.NDArray[np.uint8], at: Sequence[int]
    ) -> tuple[npt.NDArray[np.int64], list[pa.BinaryArray]]:
        """Return beginnings of rows, and fields number `at` of each, of a block of whole lines."""
        ends = np.flatnonzero(block == _NEWLINE)
        starts = np.concatenate([[0], ends[:-1] + 1])
        if self.crlf:
            ends = ends - (block[ends - 1] == _RETURN)
        starts, ends = starts[ends > starts], ends[ends > starts]
        tabs = np.append(np.flatnonzero(block == _TAB), len(block))
        first = np.searchsorted(tabs, starts)
        fields = []
        for k in at:
            begin = starts if k == 0 else np.minimum(tabs[np.minimum(first + k - 1, len(tabs) - 1)] + 1, ends)
            fields.append(_cut_out(block, begin, np.minimum(tabs[np.minimum(first + k, len(tabs) - 1)], ends)))
        return starts, fields

    def fingerprint(self) -> str:
        """Digest of the file's content."""
        with open(self.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def _cut_out(
    block: npt.NDArray[np.uint8], begins: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> pa.BinaryArray:
    """Return ``block[begin:end]`` for all pairs."""
    import pyarrow as pa

    offsets = np.concatenate([[0], np.cumsum(ends - begins)]).astype(np.int32)
    where = np.repeat(begins - offsets[:-1], ends - begins) + np.arange(offsets[-1])
    return pa.Array.from_buffers(
        pa.binary(), len(begins), [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(block[where]))]
    )


def _without_end(line: bytes, crlf: bool) -> bytes:
    line = line.removesuffix(b"\n")
    return line.removesuffix(b"\r") if crlf else line
