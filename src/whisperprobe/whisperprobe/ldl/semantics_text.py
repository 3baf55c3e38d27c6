"""Word vectors as text, one word a line (`.vec`, GloVe's `.txt`): found by their word, parsed when asked for."""

from __future__ import annotations

import codecs
import mmap
import os
from pathlib import Path

import numpy as np

from audiogram.errors import InputError

__all__ = ["TextVectors"]


class TextVectors:
    """A file of word vectors, mapped into memory.

    Parameters
    ----------
    path : Path
        Lines of a word and its numbers with spaces between, UTF-8; before them, as fastText has it, a line with the
        number of words and of dimensions.

    Attributes
    ----------
    dimensions : int
        Of a vector.

    Raises
    ------
    InputError
        It is something else, or shorter than it says itself.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with open(path, "rb") as file:
                if not os.fstat(file.fileno()).st_size:
                    raise InputError(f"{path} is empty: no word vectors.")
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
        if self._bytes[:2] == b"\x1f\x8b":
            raise InputError(f"{path} is compressed: unpack it first (gunzip).")
        start = len(codecs.BOM_UTF8) if self._bytes[:3] == codecs.BOM_UTF8 else 0
        first = self._line(start).split()
        said = None
        if len(first) == 2 and first[0].isdigit() and first[1].isdigit():
            said, self.dimensions = int(first[0]), int(first[1])
        else:
            self.dimensions = len(first) - 1
        if self.dimensions < 1 or (said is None and self._numbers(first[1:]) is None):
            raise InputError(
                f"{path} does not begin with a word and its numbers: it holds no word vectors. Models end in .bin, "
                "tables in .csv, .tsv, .parquet or .npz."
            )
        self._places: dict[bytes, int] = {}
        self._index(start if said is None else self._bytes.find(b"\n") + 1 or len(self._bytes), said)

    def vector(self, word: str) -> np.ndarray | None:
        """Vector of a word, float32, or None."""
        at = self._places.get(word.encode(errors="surrogatepass"))
        return None if at is None else self._parsed(at, word)

    def from_subwords(self, word: str) -> np.ndarray | None:
        """Return None: text has no subwords."""
        return None

    def __len__(self) -> int:
        return len(self._places)

    def _index(self, at: int, said: int | None) -> None:
        """Where each word's line begins; the first where a word is there twice."""
        data, lines, last = self._bytes, 0, at
        while at < len(data):
            end = data.find(b"\n", at)
            end = len(data) if end < 0 else end
            space = data.find(b" ", at, end)
            if space > at:
                self._places.setdefault(data[at:space], at)
                lines, last = lines + 1, at
            elif data[at:end].strip():
                raise InputError(f"{self._path}: a line after {lines} words is no word and its numbers.")
            at = end + 1
        if said is not None and lines != said:
            raise InputError(f"{self._path} says that it has {said} words and has {lines}. Copy or download it again.")
        if not lines:
            raise InputError(f"{self._path} has no words.")
        self._parsed(last, "the last one")  # cut off, it would be shorter

    def _parsed(self, at: int, word: str) -> np.ndarray:
        values = self._numbers(self._line(at).split()[1:])
        if values is None or len(values) != self.dimensions:
            raise InputError(
                f"{self._path}: the line of the word {word!r} does not have {self.dimensions} numbers. Copy or "
                "download it again."
            )
        return values

    def _line(self, at: int) -> bytes:
        end = self._bytes.find(b"\n", at)
        return self._bytes[at : len(self._bytes) if end < 0 else end]

    def _numbers(self, fields: list[bytes]) -> np.ndarray | None:
        try:
            return np.array([float(field) for field in fields], dtype=np.float32)
        except ValueError:
            return None
