"""Rows of numbers that grow on disk and end as one safetensors file.

Written by hand because `safetensors.numpy.save_file` wants every array whole in memory, and a part of a probe run
with large vectors does not fit there; the format is eight bytes of length, a JSON header and the raw arrays.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from audiogram.corpus.files import NewFile, cannot_write
from audiogram.errors import WorkError

__all__ = ["DTYPE_CODES", "VectorFile"]

DTYPE_CODES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
"""What safetensors calls the types of NumPy."""


class VectorFile:
    """Arrays by name, appended to along their first axis.

    Parameters
    ----------
    path : Path
        Final name of the safetensors file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns: dict[str, NewFile] = {}
        self._kinds: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}
        self._rows: dict[str, int] = {}
        self._sums: dict[str, int] = {}
        self._whole: NewFile | None = None

    def append(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Append rows; arrays of one name agree in dtype and in all axes but the first."""
        for name, array in arrays.items():
            array = np.ascontiguousarray(array)
            kind = (array.dtype, array.shape[1:])
            if array.ndim < 1 or array.dtype.name not in DTYPE_CODES:
                raise WorkError(f"vectors {name!r} of shape {array.shape} and type {array.dtype} cannot be stored.")
            if self._kinds.setdefault(name, kind) != kind:
                raise WorkError(f"vectors {name!r} changed from {self._kinds[name]} to {kind} within one part.")
            if name not in self._columns:
                self._columns[name] = NewFile(self.path.with_name(f"{self.path.name}.{name}"))
                self._rows[name] = self._sums[name] = 0
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            content = little.reshape(-1).view(np.uint8).data
            self._sums[name] = zlib.crc32(content, self._sums[name])
            try:
                self._columns[name].file.write(content)
            except OSError as error:
                raise cannot_write(self.path, error) from error
            self._rows[name] += len(array)

    def finish(self) -> bool:
        """Assemble the file under its dot-name; False where there is nothing to keep."""
        if not any(self._rows.values()):
            return False
        header: dict[str, Any] = {}
        at = 0
        # Wide types first, so that every array starts at a multiple of its item size.
        names = sorted(self._kinds, key=lambda name: (-self._kinds[name][0].itemsize, name))
        for name in names:
            dtype, shape = self._kinds[name]
            size = self._rows[name] * int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            header[name] = {
                "dtype": DTYPE_CODES[dtype.name], "shape": [self._rows[name], *shape], "data_offsets": [at, at + size],
            }  # fmt: skip
            at += size
        # Checksums of the arrays, where the format has room for words: a flipped bit can be found.
        header["__metadata__"] = {f"crc32 {name}": f"{self._sums[name]:08x}" for name in names}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        whole = self._whole = NewFile(self.path)
        try:
            whole.file.write(len(text).to_bytes(8, "little") + text)
            for name in names:
                column = self._columns[name]
                column.file.close()
                with open(column.temporary, "rb") as source:
                    shutil.copyfileobj(source, whole.file, 1 << 20)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        whole.finish()
        return True

    def publish(self) -> None:
        """Give the assembled file its final name."""
        if self._whole is not None:
            self._whole.publish()
        else:  # no rows: nothing of an earlier, interrupted attempt may stay either
            self.path.unlink(missing_ok=True)
        for column in self._columns.values():
            column.drop()

    def drop(self) -> None:
        """Remove everything unfinished."""
        for column in self._columns.values():
            column.drop()
        if self._whole is not None:
            self._whole.drop()
