"""fastText models, `.bin`, read in place: the vectors stay on disk until a word asks for them.

A file is, little-endian: a magic number and a version; twelve int32 options and a float64; the dictionary (sizes, then
for each entry its UTF-8 bytes, a zero byte, an int64 count and an int8 type); the input matrix, a row for each word and
then one for each bucket of subwords; the output matrix. The vector of a word is the mean of its own row and those of
its subwords, the character n-grams of `<word>`; that of an unknown word, the mean of its subwords alone. Subwords find
their bucket by FNV-1a over bytes that are *signed*, as fastText's first compiler had them: é hashes otherwise than in
other programs.

References
----------
.. [1] P. Bojanowski, E. Grave, A. Joulin and T. Mikolov, "Enriching word vectors with subword information",
   Transactions of the ACL 5, 135-146, 2017.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

import numpy as np

from audiogram.errors import InputError

__all__ = ["FastTextFile", "subword_hashes"]

MAGIC = 793_712_314
VERSIONS = (11, 12)
END_OF_SENTENCE = b"</s>"  # a word without subwords
_SUPERVISED = 3
_ENTRY = 10  # bytes of the shortest entry of a dictionary: zero byte, count, type
_MOST = 1 << 16  # dimensions or letters of an n-gram: more is damage


class FastTextFile:
    """A fastText model file.

    Parameters
    ----------
    path : Path
        The file, as fastText or gensim's `save_facebook_model` writes it.

    Attributes
    ----------
    dimensions : int
        Of a vector.

    Raises
    ------
    InputError
        It is something else, compressed, quantised, damaged or shorter than it says itself.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with open(path, "rb") as file:
                self._size = os.fstat(file.fileno()).st_size
                if self._size < 8:
                    raise self._damaged("it is too short to be one")
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
        self._at = 0
        magic, version = self._take("<ii")
        if magic != MAGIC:
            raise InputError(
                f"{path} is no fastText model"
                + (", it is compressed: unpack it first (gunzip)." if self._bytes[:2] == b"\x1f\x8b" else
                   ": it does not begin as one does. Vectors as text end in .vec; word2vec's .bin is another format.")
            )  # fmt: skip
        if version not in VERSIONS:
            raise InputError(f"{path} is a fastText model of version {version}; versions 11 and 12 can be read.")
        self._read_options(version)
        self._read_dictionary()
        self._rows = self._map_matrix()

    def vector(self, word: str) -> np.ndarray | None:
        """Vector of a word of the dictionary, float32; None for any other."""
        encoded = word.encode(errors="surrogatepass")
        row = self._words.get(encoded)
        if row is None:
            return None
        return self._mean([row, *self._subword_rows(encoded)])

    def from_subwords(self, word: str) -> np.ndarray | None:
        """Vector of a word that is not in the dictionary; None where it has no subwords of the model's lengths."""
        rows = self._subword_rows(word.encode(errors="surrogatepass"))
        return self._mean(rows) if rows else None

    def __len__(self) -> int:
        return len(self._words)

    def _subword_rows(self, encoded: bytes) -> list[int]:
        if not self._longest or encoded == END_OF_SENTENCE:
            return []
        hashes = subword_hashes(encoded, self._shortest, self._longest)
        return [len(self._words) + h % self._buckets for h in hashes]

    def _mean(self, rows: list[int]) -> np.ndarray:
        return np.asarray(self._rows[rows].mean(axis=0, dtype=np.float64), dtype=np.float32)

    def _read_options(self, version: int) -> None:
        said = self._take("<12id")
        self.dimensions, model, self._buckets = said[0], said[7], said[8]
        self._shortest, self._longest = said[9], said[10]
        if version == 11 and model == _SUPERVISED:  # classifiers of that version have no subwords, whatever they say
            self._longest = 0
        if not (1 <= self.dimensions <= _MOST and self._buckets >= 0 and 0 <= self._longest <= _MOST):
            raise self._damaged(f"{self.dimensions} dimensions, {self._buckets} buckets, n-grams to {self._longest}")
        if self._longest and not self._buckets:
            raise self._damaged("it has subwords, but no buckets for them")

    def _read_dictionary(self) -> None:
        entries, words, labels, _, pruned = self._take("<iiiqq")
        if words < 0 or labels < 0 or words + labels != entries or entries * _ENTRY > self._size - self._at:
            raise self._damaged(f"a dictionary of {entries} entries, {words} words and {labels} labels")
        self._words: dict[bytes, int] = {}
        data, at = self._bytes, self._at
        for number in range(entries):
            end = data.find(b"\0", at)
            if end < 0 or end + _ENTRY > self._size:
                raise self._damaged(f"its dictionary ends within entry {number} of {entries}")
            kind = data[end + 9]
            if kind != (number >= words):
                raise self._damaged(f"entry {number} of its dictionary is neither a word nor a label")
            if not kind:
                self._words[data[at:end]] = number
            at = end + _ENTRY
        self._at = at
        if len(self._words) != words:
            raise self._damaged(f"{words - len(self._words)} words of its dictionary are there twice")
        if pruned >= 0:
            raise self._quantised()

    def _map_matrix(self) -> np.ndarray:
        if self._take("<?")[0]:
            raise self._quantised()
        rows, columns = self._take("<qq")
        if (rows, columns) != (len(self._words) + self._buckets, self.dimensions):
            raise self._damaged(
                f"a matrix of {rows} × {columns} for {len(self._words)} words, {self._buckets} buckets and "
                f"{self.dimensions} dimensions"
            )
        start = self._at
        self._skip(4 * rows * columns)
        quantised, rows_out, columns_out = self._take("<?qq")
        if quantised:
            raise self._quantised()
        if rows_out < 0 or columns_out < 0:
            raise self._damaged(f"an output matrix of {rows_out} × {columns_out}")
        self._skip(4 * rows_out * columns_out)
        return np.frombuffer(self._bytes, "<f4", rows * columns, start).reshape(rows, columns)

    def _take(self, layout: str) -> tuple[int, ...]:
        start = self._at
        self._skip(struct.calcsize(layout))
        return struct.unpack_from(layout, self._bytes, start)

    def _skip(self, size: int) -> None:
        self._at += size
        if self._at > self._size:
            raise self._damaged(f"it ends after {self._size} bytes, and {self._at - self._size} or more are missing")

    def _damaged(self, what: str) -> InputError:
        return InputError(f"{self._path} is no whole fastText model: {what}. Copy or download it again.")

    def _quantised(self) -> InputError:
        return InputError(
            f"{self._path} is a quantised (or pruned) fastText model, which has no vectors but codes for them. Give "
            "the model that it was made from, the .bin, not the .ftz."
        )


def subword_hashes(word: bytes, shortest: int, longest: int) -> list[int]:
    """Hashes of the character n-grams of `<word>`, start by start, as fastText numbers them.

    Parameters
    ----------
    word : bytes
        UTF-8.
    shortest, longest : int
        Characters of an n-gram; `<` and `>` are characters, but none alone is an n-gram.

    Examples
    --------
    >>> len(subword_hashes("été".encode(), 3, 4))  # <ét <été été été> té>
    5
    """
    text = b"<" + word + b">"
    found = []
    for start in range(len(text)):
        if text[start] & 0xC0 == 0x80:  # within a character
            continue
        h, at, letters = 2_166_136_261, start, 0
        while at < len(text) and letters < longest:
            while True:
                byte = text[at]
                h = ((h ^ (byte | 0xFFFFFF00 if byte > 127 else byte)) * 16_777_619) & 0xFFFFFFFF
                at += 1
                if at == len(text) or text[at] & 0xC0 != 0x80:
                    break
            letters += 1
            if letters >= shortest and not (letters == 1 and (start == 0 or at == len(text))):
                found.append(h)
    return found
