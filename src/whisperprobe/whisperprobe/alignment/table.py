"""The table of words that an alignment is, and `load_alignment`, which reads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from audiogram.corpus import is_complete, read_manifest, stage_parts
from audiogram.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "STAGE", "TABLE", "alignment_table", "load_alignment"]

STAGE = "align"
TABLE = "words"
COLUMNS = pa.schema(
    [
        ("clip_id", pa.string()),
        ("word_index", pa.int32()),
        ("word", pa.string()),
        ("start", pa.float64()),
        ("end", pa.float64()),
        ("score", pa.float32()),
        ("method", pa.string()),
        ("spoken_start", pa.float64()),
        ("spoken_end", pa.float64()),
        ("text", pa.string()),
    ]
)


def load_alignment(folder: str | Path) -> pd.DataFrame:
    """Read the words that `align_corpus` has written.

    Parameters
    ----------
    folder : path
        Its output, finished.

    Returns
    -------
    DataFrame
        One row per word: ``clip_id``, ``word_index``, ``word``, ``start``, ``end`` (s), ``score``, ``method``,
        ``spoken_start``, ``spoken_end`` (where the word itself was found), ``text`` (the clip's), then the columns of
        the source.

    Raises
    ------
    InputError
        The folder is no alignment, or not finished.
    """
    frame: pd.DataFrame = alignment_table(folder).to_pandas()
    return frame


def alignment_table(folder: str | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read the words of a finished alignment, some columns or all, every clip's words one behind the other."""
    root, manifest = Path(folder), read_manifest(folder)
    if manifest["stage"] != STAGE:
        raise InputError(
            f"{folder} is the output of {manifest['stage']!r}, not an alignment. Give what `align` has written."
        )
    if not is_complete(root):
        raise InputError(f"the alignment {folder} is not finished; start its command again first.")
    files = [part.table(root, TABLE) for part in stage_parts(root)]
    tables = [pq.read_table(file, columns=columns) for file in files if file.is_file()]
    if not tables:
        raise InputError(f"the alignment {folder} holds no word: every clip has failed, see {root / 'failures'}.")
    return pa.concat_tables(tables)
