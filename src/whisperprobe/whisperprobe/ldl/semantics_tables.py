"""Word vectors in a table: CSV, TSV, Parquet, or NumPy's npz."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audiogram.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TableVectors", "read_table"]


class TableVectors:
    """Words and their vectors in memory.

    Parameters
    ----------
    words : sequence of str
        Each once.
    vectors : array, shape (words, dimensions)
        In the order of `words`.
    source : str
        For errors: where they are from.

    Attributes
    ----------
    vectors : ndarray of float32, shape (words, dimensions)
        As given.
    dimensions : int
        Of a vector.

    Raises
    ------
    InputError
        A word is there twice, or words and vectors do not fit each other.
    """

    def __init__(self, words: Sequence[str], vectors: Any, source: str) -> None:
        try:
            self.vectors = np.asarray(vectors, dtype=np.float32)
        except (ValueError, TypeError) as error:
            raise InputError(f"{source}: the vectors are not numbers, all of one length ({error}).") from error
        if self.vectors.ndim != 2 or not self.vectors.size or len(self.vectors) != len(words):
            raise InputError(
                f"{source} has {len(words)} words and vectors of shape {self.vectors.shape}; a row of numbers for each "
                "word is needed."
            )
        self._rows = {str(word): row for row, word in enumerate(words)}
        if len(self._rows) < len(words):
            twice = next(str(word) for row, word in enumerate(words) if self._rows[str(word)] != row)
            raise InputError(f"{source} has a vector for {twice!r} twice. Keep one of them.")
        self.dimensions = self.vectors.shape[1]

    def vector(self, word: str) -> np.ndarray | None:
        """Vector of a word, float32, or None."""
        row = self._rows.get(word)
        return None if row is None else self.vectors[row]

    def from_subwords(self, word: str) -> np.ndarray | None:
        """Return None: a table has no subwords."""
        return None

    def __len__(self) -> int:
        return len(self._rows)


def from_mapping(vectors: Mapping[str, Any]) -> TableVectors:
    """Vectors of a mapping from words."""
    rows = list(vectors.values())
    lengths = {np.shape(row) for row in rows}
    if len(lengths) != 1:
        raise InputError(f"the vectors of a mapping are of one length; received shapes {sorted(lengths)[:5]}.")
    return TableVectors(list(vectors), np.stack([np.asarray(row) for row in rows]), "the mapping")


def read_table(path: Path) -> TableVectors:
    """Read a table of word vectors.

    Parameters
    ----------
    path : Path
        `.csv` or `.tsv`: a column `word` (or else the only one that is not all numbers), and a column per dimension.
        `.parquet`: the same, or the words and a column of lists. `.npz`: arrays `words` and `vectors`.

    Raises
    ------
    InputError
        It cannot be read or is no such table.
    """
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                if not {"words", "vectors"} <= set(arrays):
                    raise InputError(f"{path} has arrays {', '.join(arrays)}; 'words' and 'vectors' are needed.")
                return TableVectors([str(word) for word in arrays["words"]], arrays["vectors"], str(path))
        table = _frame(path)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{path} cannot be read as word vectors: {reason}") from error
    column = _word_column(table, path)
    words = [str(word) for word in table[column]]
    rest = table.drop(columns=column)
    if rest.shape[1] == 1 and rest.iloc[:, 0].map(np.ndim).eq(1).all():
        lengths = rest.iloc[:, 0].map(len)
        if lengths.nunique() != 1:
            raise InputError(f"{path}: vectors have {lengths.min()} to {lengths.max()} numbers; all need as many.")
        return TableVectors(words, np.stack(rest.iloc[:, 0].to_list()), str(path))
    return TableVectors(words, rest.to_numpy(), str(path))


def _frame(path: Path) -> pd.DataFrame:
    import pandas as pd

    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    # "nan", "null" and "NA" are words; a missing number is found when it does not become one
    return pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",", keep_default_na=False)


def _word_column(table: pd.DataFrame, path: Path) -> str:
    from pandas.api.types import is_numeric_dtype

    named = [name for name in table.columns if str(name).casefold() == "word"]
    texts = [
        name
        for name in table.columns
        if not is_numeric_dtype(table[name]) and len(table) and np.ndim(table[name].iloc[0]) == 0
    ]
    candidates = named or texts
    if len(candidates) != 1:
        raise InputError(
            f"{path} has {len(candidates)} columns that could hold the words "
            f"({', '.join(map(str, candidates)) or 'none'}). Call the one that does 'word'; all others are numbers."
        )
    return str(candidates[0])
