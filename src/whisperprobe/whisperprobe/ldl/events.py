"""Learning events: spoken words with cues and a meaning, as matrices whose rows are read when they are needed."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from audiogram.errors import InputError
from whisperprobe.labels import word_of
from whisperprobe.ldl.measures import Lexicon
from whisperprobe.ldl.semantics import Semantics

__all__ = ["Events", "Meanings", "RowsOf", "find_meanings", "words_of"]

_log = logging.getLogger("whisperprobe")
Integers = np.ndarray[Any, np.dtype[np.int64]]


class RowsOf:
    """Some rows of a matrix as a matrix of its own; nothing is read before it is indexed.

    Parameters
    ----------
    matrix : array or anything that gives rows
        The matrix, `(n, columns)`.
    rows : integer array, shape (m,)
        Which of its rows, in order; one may appear more than once.

    Examples
    --------
    >>> RowsOf(np.eye(3), np.array([2, 2, 0]))[1:].tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """

    def __init__(self, matrix: Any, rows: Integers) -> None:
        self._matrix, self._rows = matrix, rows

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self._rows), int(self._matrix.shape[1])

    @property
    def dtype(self) -> Any:
        """Type of the entries."""
        return self._matrix.dtype

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, key: Any) -> np.ndarray[Any, Any]:
        return np.asarray(self._matrix[self._rows[key]])


@dataclass(frozen=True, eq=False)
class Meanings:
    """Word types with meanings, and words without one.

    Attributes
    ----------
    lexicon : Lexicon
        Word types in alphabetical order; a type is a word without its case and outer punctuation.
    found : dict of str to str
        How each type's vector was found: `exact`, `lower`, `capitalised`, `subword`.
    missing : frozenset of str
        Types without a vector.
    """

    lexicon: Lexicon
    found: dict[str, str]
    missing: frozenset[str]


@dataclass(frozen=True, eq=False)
class Events:
    """Events of one split: the rows that can be learnt from, and why others cannot.

    Attributes
    ----------
    rows : ndarray of int64
        Rows of the split's cues.
    types : ndarray of int64
        Number of each one's word in the lexicon.
    left_out : dict of str to (str, str)
        By clip id: text, and why the clip is not among the events.
    """

    rows: Integers
    types: Integers
    left_out: dict[str, tuple[str | None, str]]

    @classmethod
    def of(cls, ids: Sequence[str], texts: Sequence[str | None], meanings: Meanings) -> Events:
        """Find the events among the clips of a split, given their ids and texts in order."""
        rows, types, left_out = [], [], {}
        for row, (id, text) in enumerate(zip(ids, texts, strict=True)):
            word = word_of(text)
            if word is None:
                left_out[id] = (text, "no text: nobody knows which word this is.")
            elif word in meanings.missing:
                left_out[id] = (text, f"the word {word!r} has no vector in the semantic space.")
            else:
                rows.append(row)
                types.append(meanings.lexicon.index[word])
        return cls(np.array(rows, np.int64), np.array(types, np.int64), left_out)

    def __len__(self) -> int:
        return len(self.rows)

    def cues(self, matrix: Any) -> RowsOf:
        """C of these events, given the cues of the whole split."""
        return RowsOf(matrix, self.rows)

    def targets(self, lexicon: Lexicon) -> RowsOf:
        """S of these events, float32."""
        return RowsOf(lexicon.vectors, self.types)

    def weights(self, frequencies: Mapping[str, float], lexicon: Lexicon) -> np.ndarray[Any, Any]:
        """Frequency of each event: its word's frequency divided among the word's events.

        Raises
        ------
        InputError
            Words without a frequency.
        """
        missing = sorted({lexicon.words[t] for t in self.types.tolist()} - set(frequencies))
        if missing:
            raise InputError(
                f"{len(missing)} words have no frequency, e.g. {', '.join(map(repr, missing[:10]))}. Give every word "
                "that is learnt a frequency; 1 for one that is rare."
            )
        counts = Counter(self.types.tolist())
        return np.array([frequencies[lexicon.words[t]] / counts[t] for t in self.types.tolist()], np.float64)


def words_of(texts: Sequence[str | None]) -> dict[str, str]:
    """Return the word types of texts, and how each was first spelt."""
    spelt: dict[str, str] = {}
    for text in texts:
        word = word_of(text)
        if word is not None and text is not None:
            spelt.setdefault(word, text.strip())
    return spelt


def find_meanings(spelt: Mapping[str, str], space: Semantics) -> Meanings:
    """Look word types up in a semantic space.

    Parameters
    ----------
    spelt : mapping of str to str
        Word types, and a spelling of each: the space may know *Paris* only.
    space : Semantics
        The space.

    Raises
    ------
    InputError
        None of the words has a vector.
    """
    words = sorted(spelt)
    several = [word for word in words if " " in word]
    if len(several) > len(words) / 2:
        _log.warning(
            "%d of %d texts are several words, e.g. %r; each is taken for one word. `whisperprobe words` cuts "
            "sentences into words.", len(several), len(words), several[0],
        )  # fmt: skip
    as_spelt, as_types = space.look_up([spelt[word] for word in words]), space.look_up(words)
    better = as_spelt.found != "missing"  # a text may have punctuation around the word, which no vector has
    vectors = np.where(better[:, None], as_spelt.vectors, as_types.vectors)
    found = np.where(better, as_spelt.found, as_types.found)
    kept = np.flatnonzero(found != "missing")
    if not len(kept):
        raise InputError(
            f"none of {len(words)} words has a vector in {space.name}, e.g. {', '.join(map(repr, words[:10]))}. "
            "Is it the semantic space of another language?"
        )
    lexicon = Lexicon([words[i] for i in kept], vectors[kept])
    return Meanings(
        lexicon,
        {words[i]: str(found[i]) for i in kept},
        frozenset(words[i] for i in np.flatnonzero(found == "missing")),
    )
