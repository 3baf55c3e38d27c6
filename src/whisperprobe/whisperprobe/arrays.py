"""Arrays that lie on disk in parts: mapped into memory, read where they are indexed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from audiogram.corpus.vectors import DTYPE_CODES
from audiogram.errors import WorkError

__all__ = ["PartedArray", "map_safetensors"]

_DTYPES = {code: np.dtype(name).newbyteorder("<") for name, code in DTYPE_CODES.items()}


class PartedArray:
    """Arrays one behind the other along their first axis, read from disk only where they are indexed.

    Parameters
    ----------
    parts : sequence of array
        Memory-mapped arrays that agree in dtype and in all axes but the first.

    Examples
    --------
    >>> rows = PartedArray([np.zeros((2, 3)), np.ones((4, 3))])
    >>> rows.shape, rows[[5, 0]].sum(axis=1).tolist()
    ((6, 3), [3.0, 0.0])
    """

    def __init__(self, parts: Sequence[np.ndarray]) -> None:
        self._parts = [p for p in parts if len(p)] or list(parts[:1]) or [np.empty((0, 0), dtype=np.float32)]
        self._stops = np.cumsum([len(p) for p in self._parts])

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, then what a row has."""
        return (int(self._stops[-1]), *self._parts[0].shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries."""
        return self._parts[0].dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._parts[0].ndim

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = self._parts[0] if len(self._parts) == 1 and not copy else np.concatenate(self._parts)
        return np.asarray(whole, dtype=dtype)

    def __getitem__(self, key: Any) -> np.ndarray:
        first, rest = (key[0], key[1:]) if isinstance(key, tuple) else (key, ())
        if isinstance(first, slice):
            first = np.arange(*first.indices(len(self)))
        rows = np.asarray(first)
        if rows.dtype == bool:
            if rows.shape != (len(self),):
                raise IndexError(f"a mask of shape {rows.shape} does not fit {len(self)} rows")
            rows = np.flatnonzero(rows)
        if rows.size == 0:
            rows = rows.astype(np.int64)
        if rows.dtype.kind not in "iu":
            raise IndexError(f"rows must be whole numbers, received {rows.dtype}; drop the rows without vectors first")
        if rows.size and (rows.min() < -len(self) or rows.max() >= len(self)):
            raise IndexError(f"row {rows.max()} is out of range for {len(self)} rows")
        flat = np.where(rows < 0, rows + len(self), rows).reshape(-1)
        out = np.empty((len(flat), *self.shape[1:]), dtype=self.dtype)
        part = np.searchsorted(self._stops, flat, side="right")
        for p in np.unique(part):
            at = part == p
            out[at] = self._parts[p][flat[at] - (self._stops[p] - len(self._parts[p]))]
        out = out.reshape(*rows.shape, *self.shape[1:])
        return out[(slice(None),) * rows.ndim + tuple(rest)] if rest else out

    def __repr__(self) -> str:
        return f"<{' × '.join(map(str, self.shape))} {self.dtype}, {len(self._parts)} parts>"


def map_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Map the arrays of a safetensors file into memory, without reading them.

    Written by hand because the library copies what it reads: the file is eight bytes of length, a JSON header, and
    the raw arrays.
    """
    try:
        with open(path, "rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            if size > path.stat().st_size:
                raise ValueError(f"its header is {size} bytes long, the file {path.stat().st_size}")
            header = json.loads(stream.read(size))
        if not isinstance(header, dict):
            raise ValueError("its header is no table")
        header.pop("__metadata__", None)
        return {
            name: np.memmap(
                path, dtype=_DTYPES[entry["dtype"]], mode="r", offset=8 + size + entry["data_offsets"][0],
                shape=tuple(entry["shape"]),
            )
            if 0 not in entry["shape"]
            else np.empty(entry["shape"], dtype=_DTYPES[entry["dtype"]])
            for name, entry in header.items()
        }  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkError(f"{path} cannot be read as safetensors: {error}. Make it again in a new folder.") from error
