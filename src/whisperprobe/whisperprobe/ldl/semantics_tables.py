"""Word vectors in a table: CSV, TSV, Parquet, or NumPy's npz."""

from __future__ import annotations

import re
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
            self.vectors = np.asarray(_real(vectors), dtype=np.float32)
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


def _real(vectors: Any) -> Any:
    if np.iscomplexobj(vectors):
        raise TypeError("they are complex")
    return vectors


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
        if path.suffix.lower() == ".npz":
            return _arrays(path)
        table = _frame(path)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{path} cannot be read as word vectors: {reason}") from error
    column = _word_column(table, path)
    if table[column].isna().any():
        row = int(np.flatnonzero(table[column].isna().to_numpy())[0]) + 1
        raise InputError(f"{path}: row {row} has no word in the column {column!r}. Leave such rows out.")
    words = [str(word) for word in table[column]]
    rest = table.drop(columns=column)
    if not rest.size:
        raise InputError(f"{path} has {len(words)} words and {rest.shape[1]} columns of numbers: no vectors.")
    if rest.shape[1] == 1 and rest.iloc[:, 0].map(np.ndim).eq(1).all():
        lengths = rest.iloc[:, 0].map(len)
        if lengths.nunique() != 1:
            raise InputError(f"{path}: vectors have {lengths.min()} to {lengths.max()} numbers; all need as many.")
        return TableVectors(words, np.stack(rest.iloc[:, 0].to_list()), str(path))
    return TableVectors(words, rest.to_numpy(), str(path))


def _arrays(path: Path) -> TableVectors:
    opened = np.load(path, allow_pickle=False)
    if isinstance(opened, np.ndarray):
        raise InputError(f"{path} holds one array without a name; save it with numpy.savez(words=..., vectors=...).")
    with opened as arrays:
        if not {"words", "vectors"} <= set(arrays):
            raise InputError(f"{path} has arrays {', '.join(arrays)}; 'words' and 'vectors' are needed.")
        words = [word.decode() if isinstance(word, bytes) else str(word) for word in arrays["words"]]
        return TableVectors(words, arrays["vectors"], str(path))


def _frame(path: Path) -> pd.DataFrame:
    import pandas as pd

    kind = path.suffix.lower()
    if kind == ".parquet":
        table = pd.read_parquet(path)
        named = isinstance(table.index, pd.RangeIndex) or table.index.name is None
        return table if named else table.reset_index()
    separator, called = ("\t", "tabs") if kind == ".tsv" else (",", "commas")
    # "nan", "null" and "NA" are words; a missing number is found when it does not become one
    table = pd.read_csv(path, sep=separator, keep_default_na=False)
    if table.shape[1] == 1 and re.search(r"[;,\t|]", str(table.columns[0])):
        raise InputError(
            f"{path} has the single column {str(table.columns[0])[:60]!r}. In a {kind} file {called} separate columns, "
            "and numbers have a decimal point."
        )
    # names of rows, as R's write.csv and pandas' to_csv put them in front under no name, are no dimension
    numbers = str(table.columns[0]) == "Unnamed: 0" and table.shape[1] > 1 and not _texts(table.iloc[:, :1])
    return table.iloc[:, 1:] if numbers else table


def _texts(table: pd.DataFrame) -> list[Any]:
    """Columns that hold no numbers, nor lists of them."""
    from pandas.api.types import is_numeric_dtype

    return [
        name
        for name in table.columns
        if not is_numeric_dtype(table[name]) and len(table) and np.ndim(table[name].iloc[0]) == 0
    ]


def _word_column(table: pd.DataFrame, path: Path) -> str:
    named = [name for name in table.columns if str(name).casefold() == "word"]
    candidates = named or _texts(table)
    if len(candidates) != 1:
        raise InputError(
            f"{path} has {len(candidates)} columns that could hold the words "
            f"({', '.join(map(str, candidates)) or 'none'}). Call the one that does 'word'; all others are numbers."
        )
    return str(candidates[0])
