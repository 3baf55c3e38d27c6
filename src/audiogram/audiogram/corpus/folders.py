"""Folders of audio files as a corpus, split folders and metadata files included."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from audiogram.corpus.clips import Clip
from audiogram.corpus.naming import TextRule, split_of
from audiogram.errors import InputError, WorkError

__all__ = ["AUDIO_ENDINGS", "Folder", "has_audio"]

# Not all of these can be decoded; those that cannot end as failures, not unseen.
AUDIO_ENDINGS = frozenset(
    f".{ending}"
    for ending in "wav wave flac mp3 ogg oga opus aiff aif aifc au caf w64 rf64 sph m4a aac wma webm".split()  # noqa: SIM905
)
_TABLES = ("metadata.csv", "metadata.jsonl")
_CONTENT_BYTES = 256 << 20  # up to so many bytes the fingerprint reads the files themselves


class Folder:
    """A folder of audio files.

    Splits are the top-level folders where all of them are named as splits (train, validation or dev, test), as in
    the AudioFolder convention of `datasets`; otherwise all files are the split ``train``. A ``metadata.csv`` or
    ``metadata.jsonl`` with a column ``file_name`` says what belongs to the corpus; without one, every audio file does.

    Parameters
    ----------
    root : Path
        The folder.
    rule : TextRule
        How text and columns follow from names.
    """

    kind = "folder"

    def __init__(self, root: Path, rule: TextRule) -> None:
        self.root = root
        files, tables = _walk(root)
        listed, self.unlisted = _read_tables(root, tables, files)
        if tables and not listed:
            raise InputError(
                f"{root / tables[0]} lists no file; give it rows, or remove it to take all audio in {root}."
            )
        records = listed if tables else {name: {} for name in files}
        if not records:
            raise InputError(f"no audio in {root}: no file ends in {', '.join(sorted(AUDIO_ENDINGS))}. Check the path.")
        self._tables, self._files = tables, files
        tops = {PurePosixPath(name).parts[0] if "/" in name else "" for name in records}
        by_split = all(split_of(top) for top in tops)
        ids = _own_ids(records) or _ids(records)
        found: dict[str, list[dict[str, Any]]] = {}
        for name, columns in records.items():
            split = split_of(name.split("/")[0]) if by_split else None
            inner = name.split("/", 1)[1] if split else name
            record = rule.apply(inner, columns)
            record.update(id=ids[name], name=name, missing=name not in files)
            found.setdefault(split or "train", []).append(record)
        rule.check(record for records in found.values() for record in records)
        order: list[str] = [s for s in ("train", "validation", "test") if s in found]
        self._rows = {split: found[split] for split in order}
        self.columns = tuple(
            dict.fromkeys(key for rows in self._rows.values() for row in rows for key in row["columns"])
        )

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits."""
        return tuple(self._rows)

    def count(self, split: str) -> int:
        """Number of clips of a split."""
        return len(self._rows[split])

    def records(self, split: str, indices: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Yield ``id``, ``text`` and all columns, without the sound."""
        rows = self._rows[split]
        for index in indices:
            row = rows[index]
            yield {"id": row["id"], "text": row["text"], **{c: row["columns"].get(c) for c in self.columns}}

    def reader(self, split: str, indices: Sequence[int], name: str) -> FolderReader:
        """What reads these clips, possibly in another process; `name` is the split that they are given."""
        rows = [self._rows[split][index] for index in indices]
        return FolderReader(self.root, name, rows, self.columns)

    def schema(self) -> Any:
        """Types of all columns but the sound, as a `pyarrow.Schema`."""
        import pyarrow as pa

        fields = [("id", pa.string()), ("text", pa.string())]
        for column in self.columns:
            values = [row["columns"].get(column) for rows in self._rows.values() for row in rows]
            try:
                kind = pa.array(values).type
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                raise InputError(f"column {column!r} of the metadata in {self.root} mixes types: {error}") from error
            fields.append((column, pa.string() if pa.types.is_null(kind) else kind))
        return pa.schema(fields)

    def fingerprint(self) -> str:
        """Digest of the files: by content up to 256 MB in all, by name, size and time of change above."""
        total = sum(size for size, _ in self._files.values())
        digest = hashlib.sha256()
        for name, (size, changed) in sorted(self._files.items()):
            digest.update(f"{name}\0{size}\0".encode())
            digest.update(_content(self.root / name) if total <= _CONTENT_BYTES else str(changed).encode())
        for name in sorted(self._tables):
            digest.update(f"{name}\0".encode() + _content(self.root / name))
        return digest.hexdigest()


class FolderReader:
    """Clips of a folder, in order; can be sent to another process."""

    def __init__(self, root: Path, split: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
        self.root, self.split, self.rows, self.columns = root, split, list(rows), tuple(columns)

    def __iter__(self) -> Iterator[Clip]:
        for row in self.rows:
            problem = row["problem"]
            if row["missing"]:
                problem = f"{row['name']} is listed in the metadata but there is no such file."
            metadata = {column: row["columns"].get(column) for column in self.columns}
            yield Clip(row["id"], self.split, row["text"], metadata, path=self.root / row["name"], problem=problem)

    def check_source(self) -> None:
        """Raise `WorkError` where the whole source has gone, so that its clips are not taken for bad ones."""
        if not self.root.is_dir() or not any(self.root.iterdir()):
            raise WorkError(
                f"the source {self.root} has vanished. Bring it back (is the disk mounted?) and start the same command "
                "again: finished parts stay."
            )


def has_audio(root: Path) -> bool:
    """Whether any audio file lies in `root`."""
    return bool(_walk(root)[0])


def _walk(root: Path) -> tuple[dict[str, tuple[int, int]], list[str]]:
    files: dict[str, tuple[int, int]] = {}
    tables: list[str] = []

    def refuse(error: OSError) -> None:
        raise InputError(f"cannot read the folder {error.filename}: {error.strerror}.") from error

    for folder, inner, names in os.walk(root, followlinks=True, onerror=refuse):
        inner[:] = sorted(n for n in inner if not n.startswith(".") and not _leads_back(Path(folder, n), root))
        for name in names:
            path = Path(folder, name)
            if name.startswith("."):
                continue
            relative = path.relative_to(root).as_posix()
            if not _is_text(relative):
                raise InputError(f"the name {relative!a} in {root} is not UTF-8, so no id follows from it; rename it.")
            if name in _TABLES:
                tables.append(relative)
            elif path.suffix.lower() in AUDIO_ENDINGS:
                try:
                    status = path.stat()
                except OSError:  # a dangling link: the clip exists by name and fails when it is read
                    status = None
                regular = status is not None and stat.S_ISREG(status.st_mode)  # a pipe or a device fails, too
                files[relative] = (status.st_size, status.st_mtime_ns) if status and regular else (-1, 0)
    return dict(sorted(files.items())), sorted(tables)


def _leads_back(folder: Path, root: Path) -> bool:
    """Whether `folder` is a link to a folder that it lies in, whose files are found without it."""
    if not folder.is_symlink():
        return False
    above = itertools.takewhile(lambda path: path != root.parent, folder.parents)
    return any(folder.samefile(path) for path in above)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are not UTF-8 become lone surrogates
        return False
    return True


def _read_tables(root: Path, tables: Sequence[str], files: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], int]:
    listed: dict[str, dict[str, Any]] = {}
    for table in tables:
        for number, row in enumerate(_read_table(root / table), start=1):
            if not row.get("file_name"):
                raise InputError(
                    f"{root / table}, row {number}: no 'file_name' among {', '.join(map(str, row))}; every row names "
                    "its audio file, relative to the table."
                )
            name = os.path.normpath((PurePosixPath(table).parent / str(row.pop("file_name"))).as_posix()).replace(
                os.sep, "/"
            )
            if name.startswith(("../", "/")) or name in (".", ".."):
                raise InputError(f"{root / table}, row {number}: {name!r} lies outside of {root}, or is {root} itself.")
            if name in listed:
                raise InputError(f"{root / table}, row {number}: {name!r} is listed twice.")
            listed[name] = row
    return listed, len(set(files) - set(listed)) if tables else 0


def _read_table(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            if path.suffix == ".csv":
                rows = csv.DictReader(file, strict=True)
                twice = [name for name, count in Counter(rows.fieldnames or ()).items() if count > 1]
                if twice:
                    raise InputError(f"{path}: the header names column {twice[0]!r} twice; rename one of the two.")
                for row in rows:
                    if None in row or None in row.values():
                        raise InputError(f"{path}: a row has more or fewer fields than the header: {row}")
                    yield row
            else:
                for line in file:
                    if line.strip():
                        row = json.loads(line)
                        if not isinstance(row, dict):
                            raise InputError(f"{path}: a line is not an object: {line[:80]!r}")
                        yield row
    except InputError:
        raise
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error


def _own_ids(records: Mapping[str, dict[str, Any]]) -> dict[str, str] | None:
    """Take the ids of the metadata's column ``id`` where it names every clip once."""
    own = {name: str(columns.get("id") or "") for name, columns in records.items()}
    if not all(own.values()) or len(set(own.values())) < len(own):
        return None
    for columns in records.values():
        del columns["id"]
    return own


def _ids(names: Mapping[str, Any]) -> dict[str, str]:
    """Path without the ending; with it where two files differ in nothing else."""
    bare = {name: str(PurePosixPath(name).with_suffix("")) for name in names}
    often = Counter(bare.values())
    ids = {name: bare[name] if often[bare[name]] == 1 else name for name in names}
    return ids if len(set(ids.values())) == len(ids) else {name: name for name in names}


def _content(path: Path) -> bytes:
    if not path.is_file():
        return b"unreadable"
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:  # unreadable now, readable later is a change
        return b"unreadable"
