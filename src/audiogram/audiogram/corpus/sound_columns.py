"""Sound as the columns of a table hold it: encoded, decoded, or as the path of a file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audiogram.errors import InputError

__all__ = ["audio_column", "common_folder", "path_leaf", "sound_bytes", "sound_cells"]


def common_folder(paths: Sequence[str]) -> str:
    """The folder, with its slash, that all absolute paths share; empty where they are relative."""
    if not all(path.startswith("/") for path in paths):
        return ""
    return os.path.commonpath([os.path.dirname(path) for path in paths]).rstrip("/") + "/"


def sound_cells(column: pa.Array) -> Iterator[Any]:
    """Cells of a column of sound; decoded samples stay arrays, which as lists would take ten times the memory."""
    kind = column.type
    if not pa.types.is_struct(kind) or kind.get_field_index("array") < 0:
        yield from column.to_pylist()
        return
    for cell in column:
        samples = cell["array"].values if cell.is_valid else None
        yield {
            "array": None if samples is None else _samples(samples),
            "sampling_rate": cell["sampling_rate"].as_py() if samples is not None else None,
            "path": cell["path"].as_py() if cell.is_valid and kind.get_field_index("path") >= 0 else None,
        }


def _samples(values: pa.Array) -> npt.NDArray[Any]:
    """Samples (samples,) or channels (channels, samples) as an array."""
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        return np.stack([channel.values.to_numpy(zero_copy_only=False) for channel in values])
    return np.asarray(values.to_numpy(zero_copy_only=False))


def sound_bytes(samples: npt.NDArray[Any], rate: int | None) -> bytes:
    """Samples that a dataset holds decoded, full scale 1, channels averaged, as the bytes of a 32-bit float WAV.

    Raises
    ------
    InputError
        There are no samples, some are not finite or not floating point, or the rate is missing.
    """
    from audiogram import sound

    if samples.dtype.kind != "f":
        raise InputError(f"the decoded samples are {samples.dtype}, not floating point with full scale 1.")
    if not rate:
        raise InputError("the decoded samples have no sampling_rate.")
    mono = samples if samples.ndim == 1 else samples.mean(axis=0)
    return sound.encode(mono.astype(np.float32), int(rate), "wav32f")


def audio_column(schema: pa.Schema, root: Path) -> str:
    def holds_sound(field: pa.Field) -> bool:
        kind = field.type
        if pa.types.is_struct(kind):
            names = {kind.field(i).name for i in range(kind.num_fields)}
            return "bytes" in names or {"array", "sampling_rate"} <= names
        plain = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_string(kind)
        return field.name == "audio" and bool(plain)

    found = [field.name for field in schema if holds_sound(field)]
    if "audio" in found:
        return "audio"
    if len(found) != 1:
        what = f"several columns of sound ({', '.join(found)})" if found else "no column of sound"
        raise InputError(f"{root} has {what} among {', '.join(schema.names)}; a corpus has one, best called 'audio'.")
    return str(found[0])


def path_leaf(name: str, kind: pa.DataType) -> str | None:
    """What of a column of sound says where it came from, as Parquet spells it; None where nothing does."""
    if pa.types.is_struct(kind):
        return f"{name}.path" if kind.get_field_index("path") >= 0 else None
    return name if pa.types.is_string(kind) else None
