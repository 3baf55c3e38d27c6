"""Folders that `datasets.save_to_disk` has written, as a corpus; read without `datasets` and its decoders."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audiogram.corpus.layout import SPLIT_NAME
from audiogram.corpus.naming import SAVED_DICT, SAVED_STATE, split_of
from audiogram.corpus.tables import ParquetFolder, ParquetReader
from audiogram.errors import InputError

__all__ = ["SavedDataset"]

_CONTENT_BYTES = 256 << 20  # datasets up to this size are told apart by their content


class SavedDataset(ParquetFolder):
    """A Dataset (one split) or DatasetDict (a split for each name) on disk.

    Sound is an Audio feature, embedded or as a path, or, as older saves have it, decoded: a struct of ``array`` and
    ``sampling_rate``. Where an indices mapping was saved beside the table, rows come in its order. Ids and columns
    are those of `ParquetFolder`.

    Parameters
    ----------
    root : Path
        The folder that was saved.
    rule : TextRule
        How text and columns follow from ids.
    """

    kind = "saved dataset"
    _what = "a saved dataset"

    def _files(self) -> dict[str, list[Path]]:
        self._order: dict[str, npt.NDArray[np.int64]] = {}  # of splits that were saved with an indices mapping
        self._mappings: list[Path] = []
        folders = {"": self.root}
        if (self.root / SAVED_DICT).is_file():
            names = _json(self.root / SAVED_DICT).get("splits")
            if not isinstance(names, list) or not names:
                raise InputError(
                    f"{self.root / SAVED_DICT} names no splits. Half-copied? Save or fetch the dataset again."
                )
            folders = {str(name): self.root / str(name) for name in names}
        files: dict[str, list[Path]] = {}
        for name, folder in folders.items():
            state = _json(folder / SAVED_STATE)
            said = name or str(state.get("_split") or "")
            split = split_of(said) or (said if SPLIT_NAME.fullmatch(said) else "train")
            if split in files:
                raise InputError(f"{self.root} has two splits that are both {split!r}; rename one of them.")
            files[split] = [folder / one["filename"] for one in state.get("_data_files") or ()]
            mapping = [folder / one["filename"] for one in state.get("_indices_data_files") or ()]
            if mapping:
                self._order[split] = _mapped(mapping)
                self._mappings += mapping
        return files

    def _inspect(self, path: Path) -> tuple[pa.Schema, list[int], str]:
        batches = _batches_of(path, path.stat().st_mtime_ns)
        if not batches:
            with pa.memory_map(str(path)) as source:
                return pa.ipc.open_stream(source).schema.remove_metadata(), [], "0"
        return batches[0].schema, [len(batch) for batch in batches], str(path.stat().st_size)

    def _batches(self, split: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
        for path in dict.fromkeys(path for path, _ in self._groups[split]):
            for batch in _batches_of(path, path.stat().st_mtime_ns):
                yield _selected(batch, columns)

    def count(self, split: str) -> int:
        """Number of clips of a split."""
        return len(self._order[split]) if split in self._order else super().count(split)

    @property
    def _reader(self) -> type[ParquetReader]:
        return SavedReader

    def _rows(self, split: str, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return self._order[split][indices] if split in self._order else indices

    def fingerprint(self) -> str:
        """Digest of the files: by content up to 256 MB in all, by name, size and time of change above."""
        paths = [*(self.root / name for name in sorted(self._footers)), *self._mappings]
        whole = sum(path.stat().st_size for path in paths) <= _CONTENT_BYTES
        digest = hashlib.sha256()
        for path in paths:
            digest.update(f"{path.relative_to(self.root).as_posix()}\0{path.stat().st_size}\0".encode())
            if whole:
                with open(path, "rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
            else:
                digest.update(str(path.stat().st_mtime_ns).encode())
        return digest.hexdigest()


class SavedReader(ParquetReader):
    """Clips of a saved dataset, in order; can be sent to another process."""

    def _batches(self, path: Path, group: int) -> Iterator[pa.RecordBatch]:
        yield _selected(_batches_of(path, path.stat().st_mtime_ns)[group], self._names)


@functools.lru_cache(maxsize=4)
def _batches_of(path: Path, changed: int) -> list[pa.RecordBatch]:
    """Batches of an Arrow file, mapped into memory: what is not looked at is not read."""
    source = pa.memory_map(str(path))
    with pa.ipc.open_stream(source) as stream:
        return [_plain(batch) for batch in stream]


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch without what `datasets` keeps in its metadata, which differs between files of one dataset."""
    return batch.replace_schema_metadata(None)


def _selected(batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
    arrays, names = [], []
    for column in columns:
        name, _, leaf = (column, "", "") if column in batch.schema.names else column.rpartition(".")
        array = batch.column(name)
        arrays.append(pa.StructArray.from_arrays([array.field(leaf)], [leaf]) if leaf else array)
        names.append(name)
    return pa.RecordBatch.from_arrays(arrays, names)


def _mapped(files: Sequence[Path]) -> npt.NDArray[np.int64]:
    try:
        chunks = [batch.column(0).to_numpy() for path in files for batch in _batches_of(path, path.stat().st_mtime_ns)]
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"{files[0]} cannot be read as the order of a saved dataset: {error}. Save it again."
        ) from error
    return np.concatenate(chunks).astype(np.int64) if chunks else np.empty(0, dtype=np.int64)


def _json(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}. Half-copied? Save or fetch the dataset again.") from error
    if not isinstance(said, dict):
        raise InputError(f"{path} is not what datasets.save_to_disk writes. Save the dataset again.")
    return said
