"""Tables of a run's folder, read when first asked for."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiogram.corpus import stage_parts
from whisperprobe.probing import schemas

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FolderTables"]


class FolderTables(Mapping[str, Any]):
    """Tables of a run's folder as a mapping from their names.

    Parameters
    ----------
    path : Path
        The folder.
    names : sequence of str
        Its tables.
    offsets : mapping of str to sequence of int
        What to add, part by part, to the columns that count rows of vectors within a part.
    """

    def __init__(self, path: Path, names: Sequence[str], offsets: Mapping[str, Sequence[int]]) -> None:
        self._path, self._names, self._offsets = path, tuple(names), offsets
        self._read = functools.lru_cache(maxsize=None)(self._read_table)

    def __getitem__(self, name: str) -> pa.Table:
        if name not in self._names:
            raise KeyError(name)
        return self._read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def count(self, name: str) -> int:
        """Count rows from the footers of the files."""
        import pyarrow.parquet as pq

        files = [part.table(self._path, name) for part in stage_parts(self._path)]
        return sum(pq.read_metadata(file).num_rows for file in files if file.is_file())

    def _read_table(self, name: str) -> pa.Table:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        pieces = []
        for number, part in enumerate(stage_parts(self._path)):
            file = part.table(self._path, name)
            if file.is_file():
                piece = pq.read_table(file)
                for column, offsets in self._offsets.items():
                    if column in piece.column_names:
                        shifted = pc.add(piece[column], offsets[number])
                        piece = piece.set_column(piece.schema.get_field_index(column), column, shifted)
                pieces.append(piece)
        empty = schemas.SCHEMAS[name].empty_table()
        return pa.concat_tables(pieces, promote_options="permissive") if pieces else empty
