"""Releases of Mozilla Common Voice, extracted, as a corpus.

``cv-corpus-{version}-{date}/{locale}/`` holds ``clips/*.mp3`` and tables, of which ``train``, ``dev``, ``test``,
``validated``, ``invalidated`` and ``other`` are splits. ``dev`` is called ``validation``, as in published datasets.
``validated`` lists the clips of the first three again, under the same ids: an id is unique within its split, and names
the same clip in all splits.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from audiogram.corpus.clips import Clip
from audiogram.corpus.naming import OURS, TextRule
from audiogram.corpus.release_index import SplitIndex, read_column, scan_split
from audiogram.corpus.release_tables import Table, TableRows
from audiogram.errors import InputError, WorkError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "CLIPS",
    "DURATIONS",
    "SPLITS",
    "CommonVoice",
    "ReleaseReader",
    "clips_digest",
    "empty_clip",
    "find_release",
    "name_digest",
]

CLIPS = "clips"
DURATIONS = "clip_durations"
# Tables that list clips, and the splits that they are.
SPLITS = {
    "train": "train",
    "dev": "validation",
    "test": "test",
    "validated": "validated",
    "invalidated": "invalidated",
    "other": "other",
}
_OTHERS = (DURATIONS, "reported", "validated_sentences", "unvalidated_sentences")  # no splits: they list no clips
_VOTES = ("up_votes", "down_votes")


def find_release(root: Path) -> Path | None:
    """Return the ``{locale}`` folder of a release, where `root` is one or has one inside; None where it has not.

    Raises
    ------
    InputError
        There are several languages, of which only one can be a corpus.
    """
    if (root / CLIPS).is_dir() and any((root / f"{name}.tsv").is_file() for name in (*SPLITS, *_OTHERS)):
        return root
    try:
        with os.scandir(root) as entries:  # which knows folders from files without asking for each of a million
            inner = sorted(root / entry.name for entry in entries if entry.name[0] != "." and entry.is_dir())
    except OSError:  # whoever reads the folder next says why it cannot be read
        return None
    if root.name.startswith("cv-corpus-"):
        locales = [release for release in map(find_release, inner) if release is not None]
        if len(locales) > 1:
            names = ", ".join(release.name for release in locales)
            raise InputError(f"{root} holds {len(locales)} languages ({names}); give the folder of one of them.")
        return locales[0] if locales else None
    if len(inner) == 1 and inner[0].name.startswith("cv-corpus-"):
        return find_release(inner[0])
    return None


class CommonVoice:
    """An extracted release. `open_corpus` makes it.

    Ids are the clips' paths without ``.mp3``; where a split lists a path again, ``#2``, ``#3``, ... follow. All columns
    of the tables are kept, as text, but ``up_votes`` and ``down_votes``, which are whole numbers; ``text`` is
    ``sentence``, character by character. A column ``duration``, in s, comes from ``clip_durations.tsv`` where that is
    there. A split is read when it is first asked for, and keeps 12 bytes for each of its rows.

    Parameters
    ----------
    root : Path
        The ``{locale}`` folder.
    rule : TextRule
        How text and columns follow from names, beside the tables.
    tables : Path, optional
        Where the tables are, if not in `root`.
    """

    kind = "common-voice"

    def __init__(self, root: Path, rule: TextRule, *, tables: Path | None = None) -> None:
        self.root, self._rule = root, rule
        folder = root if tables is None else tables
        found = {name: folder / f"{name}.tsv" for name in SPLITS if (folder / f"{name}.tsv").is_file()}
        if not found:
            raise InputError(
                f"{root} has clips but none of {', '.join(f'{name}.tsv' for name in SPLITS)}, which say what is "
                f"spoken; fetch them, or give {CLIPS} itself for clips without texts."
            )
        self._tables = {SPLITS[name]: Table(path, ("path", "sentence")) for name, path in found.items()}
        durations = folder / f"{DURATIONS}.tsv"
        self._durations = Table(durations, ("clip", "duration[ms]")) if durations.is_file() else None
        self._scanned: dict[str, SplitIndex] = {}
        names = dict.fromkeys(name for table in self._tables.values() for name in table.columns if name != "text")
        self._timed = self._durations is not None and "duration" not in names
        own = [f"source_{name}" if name in OURS else name for name in names]
        self.columns = tuple(dict.fromkeys([*own, *(["duration"] if self._timed else []), *rule.columns()]))
        if rule.pattern is not None or rule.mapping:
            rule.check({"text": r.text, "problem": r.problem} for split in self.splits for r in self._all(split))

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, empty ones included."""
        return tuple(self._tables)

    def count(self, split: str) -> int:
        """Number of clips of a split."""
        return len(self._split(split).starts)

    def schema(self) -> pa.Schema:
        """Types of all columns but the sound."""
        import pyarrow as pa

        types = {**dict.fromkeys(_VOTES, pa.int64()), **({"duration": pa.float64()} if self._timed else {})}
        types.update(dict.fromkeys(self._rule.columns(), pa.string()))
        fields = [("id", pa.string()), ("text", pa.string())]
        return pa.schema([*fields, *((name, types.get(name, pa.string())) for name in self.columns)])

    def ids(self, split: str, indices: Sequence[int]) -> Iterator[str]:
        """Yield ids alone, which is much quicker than whole rows."""
        again = self._split(split).again
        paths = read_column(self._tables[split], "path").take(np.asarray(indices, np.int64))
        for number, path in zip(indices, paths.to_pylist(), strict=True):
            yield _id(path.decode(errors="replace"), number, split, again)

    def records(self, split: str, indices: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Yield ``id``, ``text`` and all columns, without the sound."""
        for row in self.reader(split, indices, split).rows():
            yield {"id": row.id, "text": row.text, **row.columns}

    def reader(self, split: str, indices: Sequence[int], name: str) -> ReleaseReader:
        """What reads these clips, possibly in another process; `name` is the split that they are given."""
        scanned, rows = self._split(split), self._rows(split, indices)
        durations = None if scanned.durations is None else scanned.durations[np.asarray(indices, np.int64)]
        chosen = rows.numbers.tolist() if scanned.again else ()
        again = {number: scanned.again[number] for number in chosen if number in scanned.again}
        return ReleaseReader(self.root / CLIPS, rows, split, name, self.columns, self._rule, durations, again)

    def fingerprint(self) -> str:
        """Digest of the tables' content and of the clips' names; the same from the folder and from its archive."""
        tables = {**self._tables, **({DURATIONS: self._durations} if self._durations is not None else {})}
        said = {name: table.fingerprint() for name, table in tables.items()}
        return hashlib.sha256(json.dumps([said, self.clip_names()]).encode()).hexdigest()

    def clip_names(self) -> list[str]:
        """Return how many clips there are and a digest of their names, without reading or even measuring them."""
        count, total = 0, 0
        for name in _names(self.root / CLIPS):
            count, total = count + 1, total + name_digest(name)
        return clips_digest(count, total)

    def _all(self, split: str) -> Iterator[_Row]:
        return self.reader(split, range(self.count(split)), split).rows()

    def _rows(self, split: str, indices: Sequence[int]) -> TableRows:
        return self._tables[split].rows(self._split(split).starts, indices)

    def _split(self, split: str) -> SplitIndex:
        if split not in self._scanned:
            self._scanned[split] = scan_split(self._tables[split], self._durations if self._timed else None)
        return self._scanned[split]


@dataclass(frozen=True)
class _Row:
    id: str
    text: str | None
    columns: dict[str, Any]
    name: str
    problem: str | None


class ReleaseReader:
    """Clips of a release, in order; can be sent to another process."""

    def __init__(
        self,
        clips: Path,
        rows: TableRows,
        source_split: str,
        split: str,
        columns: Sequence[str],
        rule: TextRule,
        durations: npt.NDArray[np.int32] | None,
        again: dict[int, int],
    ) -> None:
        self._clips, self._rows, self._source_split, self.split = clips, rows, source_split, split
        self._columns, self._rule, self._durations, self._again = tuple(columns), rule, durations, again

    def __iter__(self) -> Iterator[Clip]:
        for row in self.rows():
            path, problem = self._clips / row.name, row.problem
            if problem is None:
                try:
                    problem = None if path.stat().st_size else empty_clip(row.name)
                except OSError as error:
                    problem = self.missing(row.name) if isinstance(error, FileNotFoundError) else None
            yield Clip(row.id, self.split, row.text, row.columns, path=path, problem=problem)

    @property
    def key(self) -> tuple[str, int]:
        """What tells this reader from those of other parts: the split and the first row."""
        return self.split, int(self._rows.numbers[0])

    def names(self) -> list[str]:
        """Return the clips' names within ``clips``, without those of rows that are damaged."""
        return [row.name for row in self.rows() if row.problem is None]

    def missing(self, name: str) -> str:
        """Say that a clip is not there."""
        return f"{CLIPS}/{name} is listed in {self._rows.path.name} but there is no such file."

    def rows(self) -> Iterator[_Row]:
        """Yield what the tables say, without the sound."""
        for at, (number, row, problem) in enumerate(self._rows):
            id = _id(row["path"], number, self._source_split, self._again)
            name = _file_name(row["path"])
            if problem is None and not _is_inside(name):
                problem = f"its path {row['path']!r} does not lead to a file in {CLIPS}."
            values: dict[str, Any] = dict(row)
            for vote in _VOTES:
                if vote in values:
                    values[vote], wrong = _number(values[vote])
                    problem = problem or (f"{vote} is {row[vote]!r}, not a number." if wrong else None)
            if self._durations is not None:
                milliseconds = int(self._durations[at])
                values["duration"] = milliseconds / 1000 if milliseconds >= 0 else None
            applied = self._rule.apply(name, values)
            columns = {column: applied["columns"].get(column) for column in self._columns}
            yield _Row(id, applied["text"], columns, name, problem or applied["problem"])

    def check_source(self) -> None:
        """Raise `WorkError` where the whole source has gone, so that its clips are not taken for bad ones."""
        if not self._rows.path.is_file() or not self._clips.is_dir() or not any(self._clips.iterdir()):
            raise WorkError(
                f"the source {self._clips.parent} has vanished. Bring it back (is the disk mounted?) and start the "
                "same command again: finished parts stay."
            )


def empty_clip(name: str) -> str:
    """Say that a clip has no content."""
    return f"{CLIPS}/{name}: the file is empty (0 bytes)."


def name_digest(name: str) -> int:
    """Return a number for a clip's name, 0 up to below 2**128."""
    return int.from_bytes(hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=16).digest(), "big")


def clips_digest(count: int, total: int) -> list[str]:
    """Return what `CommonVoice.clip_names` says of so many clips; their digests' sum holds in any order."""
    return [str(count), f"{total % 2**128:032x}"]


def _names(folder: Path) -> Iterator[str]:
    """Yield the clips in `folder`, relative to it, in any order and without asking for their sizes."""
    waiting = [""]
    while waiting:
        inner = waiting.pop()
        try:
            with os.scandir(folder / inner) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir():
                        waiting.append(f"{inner}{entry.name}/")
                    else:
                        yield f"{inner}{entry.name}"
        except OSError as error:
            raise InputError(f"cannot read the folder {error.filename}: {error.strerror}.") from error


def _file_name(path: str) -> str:
    return path if PurePosixPath(path).suffix or not path else f"{path}.mp3"


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.name) and not path.is_absolute() and ".." not in path.parts and not {"\\", "\0"} & set(name)


def _id(path: str, number: int, split: str, again: dict[int, int]) -> str:
    id = path.removesuffix(".mp3") or f"{split}-{number:08d}"
    return f"{id}#{again[number]}" if number in again else id


def _number(text: str) -> tuple[int | None, bool]:
    """Read a whole number; None where the field is empty, and whether it holds something else."""
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text), False
    return None, bool(text)
