"""Parquet datasets as a corpus: the output of a stage, a published dataset, a single file."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audiogram.corpus.clips import Clip
from audiogram.corpus.layout import FAILURES, MANIFEST
from audiogram.corpus.manifest import is_complete, parts_of, read_manifest
from audiogram.corpus.naming import OURS, TextRule, split_of
from audiogram.corpus.sound_columns import audio_column, common_folder, path_leaf, sound_bytes, sound_cells
from audiogram.errors import InputError, WorkError

__all__ = ["ParquetFolder"]

_BATCH = 64  # rows with sound that are in memory at once
_SHARD = re.compile(r"(?P<split>\w+(?:\.\w+)*)-\d+-of-\d+")


class ParquetFolder:
    """Parquet files with a column of sound.

    Sound is a struct of ``bytes`` and ``path`` (as `datasets` stores it), plain bytes, or a path relative to the
    files. Splits follow from the files' names, ``train-00000-of-00002.parquet`` or ``train.parquet``, or from the
    name of their folder; without, all is ``train``. Ids are the column ``id`` or ``clip_id``, else the sounds' paths
    where they are unique, else split and row number.

    Parameters
    ----------
    root : Path
        Folder or file.
    rule : TextRule
        How text and columns follow from ids.
    """

    kind = "parquet"
    _what = "Parquet"

    def __init__(self, root: Path, rule: TextRule) -> None:
        self.root, self._rule = root, rule
        self.manifest = read_manifest(root) if (root / MANIFEST).is_file() else None
        files = self._files()
        self.splits = tuple(files)
        self._groups: dict[str, list[tuple[Path, int]]] = {}
        self._starts: dict[str, npt.NDArray[np.int64]] = {}
        self._footers: dict[str, str] = {}
        schema: pa.Schema | None = None
        for split, paths in files.items():
            counts: list[int] = []
            groups: list[tuple[Path, int]] = []
            for path in paths:
                schema = self._open(path, schema, groups, counts)
            self._groups[split] = groups
            self._starts[split] = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
        if schema is None:
            raise InputError(f"the {self._what} files of {root} hold no rows.")
        self._schema = schema
        self._audio: str = audio_column(self._schema, root)
        self._key: str | None = next((n for n in ("id", "clip_id") if n in self._schema.names), None)
        self._path_ids, self._prefix = False, ""
        if self._key is None or self.manifest is None:
            self._check_ids()
        named = rule.columns()
        skip = {self._audio, self._key, "text"}
        # Names as `TextRule.apply` gives them, to the field that holds their type.
        self._fields = {f"source_{n}" if n in OURS else n: n for n in self._schema.names if n not in skip}
        self.columns = tuple(dict.fromkeys([*self._fields, *named]))
        if rule.pattern is not None or rule.mapping:
            rule.check(self._applied())

    def _files(self) -> dict[str, list[Path]]:
        """Files of each split, in order."""
        return _stage_files(self.root, self.manifest) if self.manifest else _found_files(self.root)

    def _inspect(self, path: Path) -> tuple[pa.Schema, list[int], str]:
        """Columns of a file, the rows of its groups, and a digest of what it holds."""
        with pq.ParquetFile(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
        counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        with open(path, "rb") as raw:
            raw.seek(-8, 2)
            length = int.from_bytes(raw.read(4), "little")
            raw.seek(-8 - length, 2)
            footer = hashlib.sha256(raw.read(length)).hexdigest()
        return schema, counts, f"{path.stat().st_size} {footer}"

    def _open(
        self, path: Path, known: pa.Schema | None, groups: list[tuple[Path, int]], counts: list[int]
    ) -> pa.Schema:
        try:
            schema, rows, digest = self._inspect(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(
                f"{path} cannot be read as {self._what}: {error}. Damaged or half-copied? Fetch it again."
            ) from error
        if known is not None and not known.equals(schema):
            other = next((a for a, b in zip(schema, known, strict=False) if not a.equals(b)), "number of columns")
            raise InputError(
                f"{path} has other columns than the files before it ({other}); a corpus has one set of columns."
            )
        groups.extend((path, group) for group in range(len(rows)))
        counts.extend(rows)
        self._footers[os.path.relpath(path, self.root)] = digest
        return schema

    def _check_ids(self) -> None:
        leaf = self._key or path_leaf(self._audio, self._schema.field(self._audio).type)
        if leaf is None:
            return
        chunks = [batch.column(0) for split in self.splits for batch in self._batches(split, [leaf])]
        if leaf not in self._schema.names:
            chunks = [pc.struct_field(chunk, "path") for chunk in chunks]
        values = pa.chunked_array(chunks)
        unique = values.null_count == 0 and pc.count_distinct(values).as_py() == len(values)
        if self._key is None:
            self._path_ids = unique
            if unique:  # where the clips of another machine lay is no part of their names
                self._prefix = common_folder(values.to_pylist())
        elif not unique:
            twice = pc.value_counts(values).to_pylist()
            first = max(twice, key=lambda pair: pair["counts"])
            raise InputError(
                f"column {self._key!r} of {self.root} must name every clip once; {first['values']!r} is there "
                f"{first['counts']} times. Rename or drop the column: ids then follow from paths or row numbers."
            )

    def _batches(self, split: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """These columns of all rows; ``struct.leaf`` gives a struct of that leaf alone."""
        for path in dict.fromkeys(path for path, _ in self._groups[split]):
            with pq.ParquetFile(path) as file:
                yield from file.iter_batches(columns=columns)

    def _applied(self) -> Iterator[dict[str, Any]]:
        for split in self.splits:
            reader = self._make_reader(split, range(self.count(split)), split, sound=False)
            yield from (applied for _, applied, _ in reader.applied())

    def count(self, split: str) -> int:
        """Number of clips of a split."""
        return int(self._starts[split][-1])

    def schema(self) -> pa.Schema:
        """Types of all columns but the sound."""
        named = self._rule.columns()
        fields = [pa.field("id", pa.string()), pa.field("text", pa.string())]
        fields += [
            pa.field(c, pa.string() if c in named else self._schema.field(self._fields[c]).type) for c in self.columns
        ]
        return pa.schema(fields)

    def records(self, split: str, indices: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Yield ``id``, ``text`` and all columns, without the sound."""
        for id, applied, _ in self._make_reader(split, indices, split, sound=False).applied():
            yield {"id": id, "text": applied["text"], **{c: applied["columns"].get(c) for c in self.columns}}

    def reader(self, split: str, indices: Sequence[int], name: str) -> ParquetReader:
        """What reads these clips, possibly in another process; `name` is the split that they are given."""
        return self._make_reader(split, indices, name, sound=True)

    @property
    def _reader(self) -> type[ParquetReader]:
        return ParquetReader

    def _rows(self, split: str, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Where in the files the rows of a split lie."""
        return indices

    def _make_reader(self, split: str, indices: Sequence[int], name: str, *, sound: bool) -> ParquetReader:
        numbers = np.asarray(indices, dtype=np.int64)
        wanted = self._rows(split, numbers)
        starts, groups = self._starts[split], self._groups[split]
        which = np.searchsorted(starts, wanted, side="right") - 1
        runs: list[tuple[Path, int, list[int], list[int]]] = []
        if len(wanted):
            cuts = np.flatnonzero((np.diff(which) != 0) | (np.diff(wanted) <= 0)) + 1
            for rows in np.split(np.arange(len(wanted)), cuts):
                group = int(which[rows[0]])
                runs.append((*groups[group], (wanted[rows] - starts[group]).tolist(), numbers[rows].tolist()))
        return self._reader(self, runs, split, name, sound)

    def fingerprint(self) -> str:
        """Digest of all files' sizes and footers, which hold extent and statistics of each column, and the manifest."""
        text = json.dumps([self._footers, self.manifest], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class ParquetReader:
    """Clips of a Parquet dataset, in order; can be sent to another process."""

    def __init__(
        self,
        source: ParquetFolder,
        runs: Sequence[tuple[Path, int, list[int], list[int]]],
        source_split: str,
        split: str,
        sound: bool,
    ) -> None:
        self.root, self.rule, self.columns = source.root, source._rule, source.columns
        self._audio, self._key, self._path_ids = source._audio, source._key, source._path_ids
        self._prefix = source._prefix
        self._names = [n for n in source._schema.names if sound or n != self._audio]
        if not sound and self._path_ids:
            self._names.append(path_leaf(self._audio, source._schema.field(self._audio).type))
        self._runs, self._source_split, self.split = list(runs), source_split, split

    def applied(self) -> Iterator[tuple[str, dict[str, Any], Any]]:
        """Yield id, what the naming rule says, and the sound's cell."""
        for path, group, rows, numbers in self._runs:
            try:
                yield from self._run(path, group, rows, numbers)
            except FileNotFoundError:
                raise WorkError(
                    f"{path} has vanished. Bring it back (is the disk mounted?) and start the same command again: "
                    "finished parts stay."
                ) from None
            except (pa.ArrowInvalid, OSError) as error:
                raise WorkError(f"{path} cannot be read: {error}. Damaged? Fetch or make it again.") from error

    def _run(
        self, path: Path, group: int, rows: list[int], numbers: list[int]
    ) -> Iterator[tuple[str, dict[str, Any], Any]]:
        at, base = 0, 0
        for batch in self._batches(path, group):
            first = at
            while at < len(rows) and rows[at] < base + len(batch):
                at += 1
            taken = batch.take(pa.array([row - base for row in rows[first:at]], type=pa.int64()))
            cells = sound_cells(taken.column(self._audio)) if self._audio in taken.schema.names else [None] * len(taken)
            rest = taken.select([name for name in taken.schema.names if name != self._audio])
            plain = rest.to_pylist() if rest.num_columns else [{} for _ in range(len(taken))]
            for row, cell, number in zip(plain, cells, numbers[first:at], strict=True):
                id = self._id(row, cell, number)
                yield id, self.rule.apply(id, row), cell
            base += len(batch)
            if at == len(rows):
                return

    def _batches(self, path: Path, group: int) -> Iterator[pa.RecordBatch]:
        """Rows of a group, in pieces that fit into memory."""
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=_BATCH, row_groups=[group], columns=self._names)

    def _id(self, row: dict[str, Any], cell: Any, number: int) -> str:
        if self._key is not None:
            return str(row.pop(self._key))
        if self._path_ids:
            name = cell if isinstance(cell, str) else cell["path"]
            return Path(name).with_suffix("").as_posix().removeprefix(self._prefix)
        return f"{self._source_split}-{number:08d}"

    def __iter__(self) -> Iterator[Clip]:
        for id, applied, cell in self.applied():
            data, name = (cell.get("bytes"), cell.get("path")) if isinstance(cell, Mapping) else (None, None)
            problem = applied["problem"]
            if isinstance(cell, bytes):
                data = cell
            elif isinstance(cell, str):
                name = cell
            elif isinstance(cell, Mapping) and cell.get("array") is not None and problem is None:
                try:
                    data = sound_bytes(cell["array"], cell["sampling_rate"])
                except InputError as error:
                    problem = str(error)
            folder = self.root if self.root.is_dir() else self.root.parent
            problem = problem or (None if data is not None or name else "the row holds no sound.")
            metadata = {c: applied["columns"].get(c) for c in self.columns}
            path = folder / name if data is None and name else None
            yield Clip(id, self.split, applied["text"], metadata, path=path, data=data, problem=problem)

    def check_source(self) -> None:
        """Raise `WorkError` where the source has gone."""
        if not self.root.exists():
            raise WorkError(f"the source {self.root} has vanished. Bring it back and start the same command again.")


def _stage_files(root: Path, manifest: Mapping[str, Any]) -> dict[str, list[Path]]:
    table = manifest["tables"][0]
    if table != "data":
        raise InputError(
            f"{root} is the output of {manifest['stage']!r}, not a corpus of sound; give its source instead."
        )
    if not is_complete(root):
        left = sum(not part.done([root]) for part in parts_of(manifest))
        raise InputError(
            f"{root} is not finished: {left} parts of its stage {manifest['stage']!r} are missing. "
            "Start that command again first."
        )
    files: dict[str, list[Path]] = {split: [] for split in manifest["plan"]["rows"]}
    for part in parts_of(manifest):
        path = part.table(root, table)
        if path.is_file():
            files[part.split].append(path)
    return files


def _found_files(root: Path) -> dict[str, list[Path]]:
    if root.is_file():
        return {_split_name(root, root.parent): [root]}
    files: dict[str, list[Path]] = {}
    for path in sorted(root.rglob("*.parquet")):
        parts = path.relative_to(root).parts
        if not any(part.startswith(".") for part in parts) and parts[0] != FAILURES:
            stage = next((p for p in path.parents if p.is_relative_to(root) and (p / MANIFEST).is_file()), None)
            if stage is not None:
                raise InputError(
                    f"{root} is no corpus itself but holds the output of a stage, {stage}; give that folder."
                )
            files.setdefault(_split_name(path, root), []).append(path)
    order = {"train": 0, "validation": 1, "test": 2}
    return dict(sorted(files.items(), key=lambda item: (order.get(item[0], 3), item[0])))


def _split_name(path: Path, root: Path) -> str:
    match = _SHARD.fullmatch(path.stem)
    if match:
        return split_of(match["split"]) or match["split"]
    folders = path.relative_to(root).parts[:-1]
    return split_of(path.stem) or next((s for s in map(split_of, reversed(folders)) if s), None) or "train"
