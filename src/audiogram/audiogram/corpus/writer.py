"""One part of a row stage being written: tables, vectors and failures, all or nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from audiogram.corpus.files import NewFile, cannot_write
from audiogram.corpus.layout import FAILURES, Part
from audiogram.corpus.vectors import VectorFile
from audiogram.errors import WorkError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["PartWriter"]

FAILURES_SCHEMA = pa.schema([("id", pa.string()), ("error", pa.string())])

# A row group ends after so many rows or, with audio inside, bytes: by content alone, never by how rows were handed in.
_GROUP_ROWS, _GROUP_ROWS_AUDIO, _GROUP_BYTES = 8192, 64, 32 << 20


class _Table:
    """One Parquet file under its dot-name, written row group by row group."""

    def __init__(self, path: Path, schema: pa.Schema | None) -> None:
        self.path, self.schema = path, schema
        self._new: NewFile | None = None
        self._writer: pq.ParquetWriter | None = None
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0
        self._audio = schema is not None and _has_binary(schema)
        self.count = 0

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        limit = _GROUP_ROWS_AUDIO if self._audio else _GROUP_ROWS
        for row in rows:
            self._rows.append(dict(row))
            self._bytes += sum(_weight(value) for value in row.values()) if self._audio else 0
            if len(self._rows) >= limit or self._bytes >= _GROUP_BYTES:
                self._flush()
        self.count += len(rows)

    def _flush(self) -> None:
        if not self._rows:
            return
        try:
            table = pa.Table.from_pylist(self._rows, schema=self.schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise WorkError(f"{self.path.name}: a row does not fit the table's columns: {error}") from error
        if self.schema is None:
            self.schema = pa.schema([_without_null(field) for field in table.schema])
            table = table.cast(self.schema)
        self._rows, self._bytes = [], 0
        try:
            if self._writer is None:
                self._new = NewFile(self.path)
                self._writer = _parquet_writer(self._new, self.schema)
            self._writer.write_table(table, row_group_size=len(table))
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def finish(self, *, even_if_empty: bool = False) -> bool:
        self._flush()
        try:
            if self._writer is None and even_if_empty:
                self._new = NewFile(self.path)
                self._writer = _parquet_writer(self._new, self.schema)
            if self._writer is None or self._new is None:
                return False
            self._writer.close()
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self._new.finish()
        return True

    def publish(self) -> None:
        if self._new is not None:
            self._new.publish()
        else:  # no rows: nothing of an earlier, interrupted attempt may stay either
            self.path.unlink(missing_ok=True)

    def drop(self) -> None:
        if self._writer is not None:
            with contextlib.suppress(OSError, ValueError):  # the footer of a file that is thrown away
                self._writer.close()
        if self._new is not None:
            self._new.drop()


class PartWriter:
    """What the work of a row stage writes one part through.

    Every clip handed to the work ends either as at least one row of the main table or as a failure.

    Parameters
    ----------
    part : Part
        The part.
    outs : sequence of Path
        Output folders.
    schemas : mapping, optional
        Columns of each table; the first table is the main one. Without, a table "data" takes its columns from its
        first rows.
    """

    def __init__(self, part: Part, outs: Sequence[Path], schemas: Mapping[str, pa.Schema] | None = None) -> None:
        self.part, self.outs = part, tuple(outs)
        self._main = next(iter(schemas)) if schemas else "data"
        self._schemas = dict(schemas) if schemas else None
        names = list(schemas) if schemas else [self._main]
        self._tables = [
            {n: _Table(part.table(out, n), schemas[n] if schemas else None) for n in names} for out in self.outs
        ]
        self._vectors = [VectorFile(part.vectors(out)) for out in self.outs]
        self._ids: list[dict[str, None]] = [{} for _ in self.outs]  # in order of first appearance
        self._failures: list[dict[str, str]] = [{} for _ in self.outs]

    def add(self, table: str, rows: Sequence[Mapping[str, Any]] | pa.Table, out: int = 0) -> None:
        """Append rows to a table of output folder number `out`.

        Parameters
        ----------
        table : str
            Name of the table, one of the stage's schemas.
        rows : list of dict or pyarrow.Table
            The rows; those of the main table name their clip in ``id`` or ``clip_id``.
        out : int, default 0
            Which output folder.
        """
        tables = self._tables[out]
        if table not in tables:
            raise WorkError(f"table {table!r} is not one of this stage's: {', '.join(tables)}.")
        listed = rows.to_pylist() if isinstance(rows, pa.Table) else rows
        if table == self._main:
            for row in listed:
                key = "id" if "id" in row else "clip_id"
                if key not in row:
                    raise WorkError(f"a row of {table!r} has neither 'id' nor 'clip_id': {', '.join(row)}.")
                self._ids[out].setdefault(row[key])
        tables[table].add(listed)

    def add_vectors(self, arrays: Mapping[str, np.ndarray[Any, Any]], out: int = 0) -> None:
        """Append rows, along the first axis, to the named arrays of output folder number `out`."""
        self._vectors[out].append(arrays)

    @property
    def failed(self) -> bool:
        """Whether any clip of the part has failed so far."""
        return any(self._failures)

    def fail(self, id: str, error: object, out: int | None = None) -> None:
        """Record why a clip could not be used, on one line; in output folder number `out`, default in all."""
        text = " ".join(str(error).split()) or type(error).__name__
        for failures in self._failures if out is None else [self._failures[out]]:
            failures.setdefault(id, text)

    def check(self, ids: Sequence[str]) -> None:
        """Raise `WorkError` unless the clips `ids` are all accounted for, once, in their order."""
        known = set(ids)
        for done, failures in zip(self._ids, self._failures, strict=True):
            expected = [i for i in ids if i in done]
            lost = [i for i in ids if i not in done and i not in failures]
            twice = [i for i in done if i in failures]
            strange = [i for i in (*done, *failures) if i not in known]
            for what, which in (("neither kept nor failed", lost), ("both", twice), ("not of this part", strange)):
                if which:
                    raise WorkError(f"part {self.part.stem}: {len(which)} clips are {what}, e.g. {which[0]!r}.")
            if expected != list(done):
                raise WorkError(f"part {self.part.stem}: the rows are not in the order of the input.")

    def commit(self, ids: Sequence[str]) -> None:
        """Finish everything under dot-names, then give final names: data, vectors, and the failures last."""
        self.check(ids)
        marks = []
        for out, failures in zip(self.outs, self._failures, strict=True):
            mark = _Table(out / FAILURES / f"{self.part.stem}.parquet", FAILURES_SCHEMA)
            mark.add([{"id": i, "error": failures[i]} for i in ids if i in failures])
            marks.append(mark)
        try:
            for tables in self._tables:
                for table in tables.values():
                    table.finish()
            for vectors in self._vectors:
                vectors.finish()
            for mark in marks:
                mark.finish(even_if_empty=True)
            for tables in self._tables:
                for table in tables.values():
                    table.publish()
            for vectors in self._vectors:
                vectors.publish()
            for mark in marks:
                mark.publish()
        except BaseException:
            for mark in marks:
                mark.drop()
            raise

    def drop(self) -> None:
        """Remove everything unfinished."""
        for tables in self._tables:
            for table in tables.values():
                table.drop()
        for vectors in self._vectors:
            vectors.drop()

    def sweep(self) -> None:
        """Remove what an earlier attempt at this part, killed, has left under dot-names."""
        for out in self.outs:
            for left in out.glob(f"*/.{self.part.stem}.*.tmp"):
                left.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(part: Part, outs: Sequence[Path], schemas: Mapping[str, pa.Schema] | None) -> Iterator[PartWriter]:
    """Yield a writer whose unfinished files are gone when the block ends without a commit."""
    writer = PartWriter(part, outs, schemas)
    writer.sweep()
    try:
        yield writer
    finally:
        writer.drop()


def _parquet_writer(new: NewFile, schema: pa.Schema) -> pq.ParquetWriter:
    # Audio is compressed already: a second compression and a dictionary of it cost time and save nothing.
    names = list(_leaves(schema))
    packed = [name for name, kind in names if _is_binary(kind)]
    compression = {name: ("NONE" if _is_binary(kind) else "ZSTD") for name, kind in names}
    return pq.ParquetWriter(
        new.file,
        schema,
        compression=compression if packed else "ZSTD",
        use_dictionary=[n for n, k in names if pa.types.is_string(k)],
        write_statistics=[n for n, k in names if not _is_binary(k)],
        write_page_checksum=True,  # a bit that flips on the disk is found when somebody looks for it
    )


def _leaves(schema: pa.Schema) -> Iterator[tuple[str, pa.DataType]]:
    def walk(name: str, kind: pa.DataType) -> Iterator[tuple[str, pa.DataType]]:
        if pa.types.is_struct(kind):
            for field in kind:
                yield from walk(f"{name}.{field.name}", field.type)
        elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
            yield from walk(f"{name}.list.element", kind.value_type)
        else:
            yield name, kind

    for field in schema:
        yield from walk(field.name, field.type)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _has_binary(schema: pa.Schema) -> bool:
    return any(_is_binary(kind) for _, kind in _leaves(schema))


def _weight(value: object) -> int:
    if isinstance(value, dict):
        return sum(_weight(v) for v in value.values())
    return len(value) if isinstance(value, bytes | str) else 8


def _without_null(field: pa.Field) -> pa.Field:
    return field.with_type(pa.string()) if pa.types.is_null(field.type) else field
