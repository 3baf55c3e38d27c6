"""What is kept in memory of a split of a Common Voice release: 12 bytes for each of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from audiogram.corpus.release_tables import Table

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SplitIndex", "read_column", "scan_split"]


@dataclass(frozen=True)
class SplitIndex:
    """Where a split's rows begin in its table, how long its clips are, and which rows repeat a path.

    Parameters
    ----------
    starts : ndarray of int64, shape (rows,)
        Offset in bytes.
    durations : ndarray of int32, shape (rows,), optional
        In ms; -1 where unknown.
    again : dict of int to int
        Rows whose path the split lists before them, and how often it has listed it by then.
    """

    starts: npt.NDArray[np.int64]
    durations: npt.NDArray[np.int32] | None
    again: dict[int, int]


def scan_split(table: Table, durations: Table | None) -> SplitIndex:
    """Read through a split's table once, and through the table of lengths where there is one."""
    import pyarrow as pa

    paths = read_column(table, "path")
    times = None if durations is None else _durations_of(paths, durations)
    split = SplitIndex(
        np.concatenate([np.empty(0, np.int64), *(starts for starts, _ in table.scan())]), times, _repeats(paths)
    )
    del paths
    pa.default_memory_pool().release_unused()
    return split


def read_column(table: Table, name: str) -> pa.ChunkedArray:
    """Return one column of a table, as bytes."""
    import pyarrow as pa

    return pa.chunked_array([values for _, (values,) in table.scan(name)], pa.binary())


def _durations_of(paths: pa.ChunkedArray, table: Table) -> npt.NDArray[np.int32]:
    """Look up the length of every clip, in ms; -1 where the table has none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    clips, times = [], [np.full(1, -1, np.int32)]
    for _, (names, values) in table.scan("clip", "duration[ms]"):
        clips.append(names)
        text = values.cast(pa.string(), safe=False)
        known = pc.if_else(pc.match_substring_regex(text, "^[0-9]{1,9}$"), text, "-1")
        times.append(known.cast(pa.int32()).to_numpy(zero_copy_only=False))
    where = pc.index_in(paths, value_set=pa.chunked_array(clips, pa.binary()))
    found: npt.NDArray[np.int64] = pc.add(pc.fill_null(where, -1), 1).to_numpy()
    return np.concatenate(times)[found]


def _repeats(paths: pa.ChunkedArray) -> dict[int, int]:
    """Return, for every row whose path was there before in the split, how often it has been there by then."""
    import pyarrow.compute as pc

    if pc.count_distinct(paths).as_py() == len(paths):
        return {}
    seen: dict[bytes, int] = {}
    again: dict[int, int] = {}
    for number, path in enumerate(paths.to_pylist()):
        seen[path] = seen.get(path, 0) + 1
        if path and seen[path] > 1:
            again[number] = seen[path]
    return again
