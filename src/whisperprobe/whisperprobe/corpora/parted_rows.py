"""A split of a row stage's output as a whole: its table, and its vectors, of which a row of the table may have many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from audiogram.corpus import stage_parts
from whisperprobe.arrays import PartedArray, map_safetensors

__all__ = ["read_split"]


def read_split(
    root: Path, split: str, vectors: str, empty: pa.Schema, columns: Sequence[str] | None = None
) -> tuple[pa.Table, PartedArray]:
    """Read the table `clips` of a split, and map its vectors into memory.

    Parameters
    ----------
    root : Path
        Folder of the stage.
    split : str
        Which split.
    vectors : str
        Name of the array.
    empty : pyarrow.Schema
        Columns where the split has no rows.
    columns : sequence of str, optional
        Only these columns; among them `vector_row`.

    Returns
    -------
    pyarrow.Table
        In the input's order; `vector_row` counts over all parts.
    PartedArray
        The array, part after part.
    """
    tables, arrays, first = [], [], 0
    for part in stage_parts(root):
        path = part.table(root, "clips")
        if part.split == split and path.is_file():
            table = pq.read_table(path, columns=columns)
            rows = pa.array(table["vector_row"].to_numpy() + first)
            tables.append(table.set_column(table.schema.get_field_index("vector_row"), "vector_row", rows))
            arrays.append(map_safetensors(part.vectors(root))[vectors])
            first += len(arrays[-1])
    return pa.concat_tables(tables) if tables else empty.empty_table(), PartedArray(arrays)
