"""Corpora: clips in splits, read in order, whatever they are stored in."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from audiogram.corpus.clips import MAX_SECONDS, Clip
from audiogram.corpus.folders import Folder, has_audio
from audiogram.corpus.layout import MANIFEST
from audiogram.corpus.naming import TextRule, is_saved_dataset
from audiogram.corpus.selection import SplitRule, draw
from audiogram.errors import InputError, unknown_name

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["MAX_SECONDS", "Clip", "Corpus", "SplitRule", "open_corpus"]

# Of each split of a view: rows of the source's splits, in order.
_Segments = tuple[tuple[str, npt.NDArray[np.int64]], ...]


class _Reader(Protocol):
    def __iter__(self) -> Iterator[Clip]: ...
    def check_source(self) -> None: ...


class _Backend(Protocol):
    root: Path
    kind: str
    columns: tuple[str, ...]

    @property
    def splits(self) -> tuple[str, ...]: ...
    def count(self, split: str) -> int: ...
    def schema(self) -> pa.Schema: ...
    def records(self, split: str, indices: Sequence[int]) -> Iterator[dict[str, Any]]: ...
    def reader(self, split: str, indices: Sequence[int], name: str) -> _Reader: ...
    def fingerprint(self) -> str: ...


def open_corpus(
    source: str | Path | Corpus,
    *,
    text_pattern: str | None = None,
    text_map: Mapping[Any, str] | None = None,
    split: SplitRule | None = None,
) -> Corpus:
    r"""Open a corpus of sound.

    Parameters
    ----------
    source : path or Corpus
        A folder of audio files, nested or not: folders train, validation (dev) and test at its top are splits, and a
        ``metadata.csv`` or ``.jsonl`` with ``file_name`` gives columns, as in the AudioFolder convention. Or Parquet:
        the output of a stage, a folder of files, one file. Or what `datasets.load_from_disk` reads. Or an extracted
        release of Common Voice, whose ``dev`` is the split ``validation``. A `Corpus` is returned as it is.
    text_pattern : str, optional
        Regular expression whose named groups become columns, ``text`` among them, e.g.
        ``(?P<text>\d)_(?P<speaker>[a-z]+)_(?P<take>\d+)``; matched against the whole path within the source (or
        split folder) or the whole file name, ending optional. Without it and without metadata the text is the
        file's name.
    text_map : mapping, optional
        Texts to replace, e.g. ``{"0": "zero"}``.
    split : SplitRule, optional
        Divide the clips anew instead of taking the source's own splits.

    Returns
    -------
    Corpus

    Raises
    ------
    InputError
        Nothing to read there, an unfinished stage, a wrong pattern, ids that repeat.
    """
    if isinstance(source, Corpus):
        if text_pattern is not None or text_map or split is not None:
            raise InputError("the corpus is open already; give text_pattern, text_map and split when opening it.")
        return source
    root = Path(source)
    rule = TextRule(text_pattern, text_map)
    if not str(source).strip() or not root.exists():  # Path("") would be the current folder
        raise InputError(f"the source {str(source)!r} does not exist. Check the path.")
    corpus = Corpus(_backend(root, rule), rule=rule)
    return corpus if split is None else corpus.divide(split)


def _backend(root: Path, rule: TextRule) -> _Backend:
    if root.is_dir() and not (root / MANIFEST).is_file():
        from audiogram.corpus.common_voice import CommonVoice, find_release

        release = find_release(root)
        if release is not None:
            return CommonVoice(release, rule)
    if is_saved_dataset(root):
        from audiogram.corpus.saved_datasets import SavedDataset

        return SavedDataset(root, rule)
    parquet = root.suffix == ".parquet" if root.is_file() else (root / MANIFEST).is_file() or _has_parquet(root)
    if parquet:
        from audiogram.corpus.tables import ParquetFolder  # pyarrow is loaded only where Parquet is read

        if root.is_dir() and not (root / MANIFEST).is_file() and has_audio(root):
            raise InputError(f"{root} holds both audio files and Parquet files; give the folder of one of them.")
        return ParquetFolder(root, rule)
    if root.name.endswith((".tar.gz", ".tgz", ".tar")):
        raise InputError(
            f"{root} is an archive. Extract it first; a Common Voice release can be written as Parquet straight from "
            "its archive: whisperprobe commonvoice import ARCHIVE OUT."
        )
    if root.is_file():
        raise InputError(
            f"{root} is a single file; a source is a folder of audio files, a folder of Parquet, or a .parquet file."
        )
    if not has_audio(root) and (inner := _saved_below(root)) is not None:
        raise InputError(f"{root} is no corpus itself but holds what datasets.save_to_disk wrote, {inner}; give that.")
    return Folder(root, rule)


def _saved_below(root: Path) -> Path | None:
    return next((p for p in (path.parent for path in sorted(root.rglob("*.json"))) if is_saved_dataset(p)), None)


def _has_parquet(root: Path) -> bool:
    return next((p for p in root.rglob("*.parquet") if not p.name.startswith(".")), None) is not None


class Corpus:
    """Clips in splits. Made by `open_corpus`; `divide` and `sample` make views of it.

    Attributes
    ----------
    root : Path
        Where the source is.
    splits : tuple of str
        Names of the splits, empty ones included.
    columns : tuple of str
        Names of the metadata columns: all but id, sound and text.
    """

    def __init__(
        self,
        backend: _Backend,
        *,
        rule: TextRule | None = None,
        view: Mapping[str, _Segments] | None = None,
        recipe: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._backend, self._rule, self._recipe = backend, rule or TextRule(), tuple(recipe)
        self._view = dict(view) if view is not None else None
        self.root, self.columns = backend.root, backend.columns

    def __repr__(self) -> str:
        return f"Corpus({str(self.root)!r}, {', '.join(f'{s}: {self.count(s)}' for s in self.splits)})"

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits."""
        return tuple(self._view) if self._view is not None else self._backend.splits

    def count(self, split: str) -> int:
        """Return the number of clips of a split."""
        if split not in self.splits:
            raise InputError(f"the corpus has no split {split!r}; it has {', '.join(self.splits)}.")
        if self._view is None:
            return self._backend.count(split)
        return sum(len(rows) for _, rows in self._view[split])

    def __len__(self) -> int:
        return sum(self.count(split) for split in self.splits)

    @property
    def manifest(self) -> dict[str, Any] | None:
        """The manifest of the stage that wrote the source, where one did: its condition, its options, its own input."""
        return getattr(self._backend, "manifest", None)

    def schema(self) -> pa.Schema:
        """Return names and Arrow types of id, text and the metadata columns."""
        return self._backend.schema()

    def rows(self, split: str) -> Rows:
        """Return the metadata of a split without sound: a sequence of dicts, ``id``, ``text``, then the columns."""
        return Rows(self, split, range(self.count(split)))

    def ids(self, split: str) -> list[str]:
        """Return the ids of a split, in order."""
        quick = getattr(self._backend, "ids", None)
        if quick is not None:
            every = range(self.count(split))
            return [id for name, rows in self._resolve(split, every) for id in quick(name, rows.tolist())]
        return [row["id"] for row in self.rows(split)]

    def read(self, split: str, indices: Sequence[int] | None = None) -> Iterator[Clip]:
        """Yield clips of a split in the given order; default all. Sound is decoded by `Clip.audio`, not before."""
        return iter(self._reader(split, range(self.count(split)) if indices is None else indices))

    def reader(self, split: str, start: int, stop: int) -> _Reader:
        """Return what reads the clips ``[start, stop)`` of a split, possibly in another process."""
        return self._reader(split, range(start, stop))

    def reader_of(self, split: str, indices: Sequence[int]) -> _Reader:
        """Return what reads these clips of a split, in this order, possibly in another process."""
        return self._reader(split, indices)

    def divide(self, split: SplitRule) -> Corpus:
        """Return a view whose splits are those of a rule, over all clips."""
        if self._recipe:
            raise InputError("divide a corpus into splits before sampling it, and once.")
        if split.column is not None and split.column not in ("id", "text", *self.columns):
            raise unknown_name("column", split.column, ["text", *self.columns])
        where: list[tuple[str, int]] = []
        ids: list[str] = []
        known: set[str] = set()
        values: list[Any] = []
        for name in self.splits:
            for index, row in enumerate(self.rows(name)):
                if row["id"] in known:  # a split of Common Voice, `validated`, lists the clips of others again
                    continue
                known.add(row["id"])
                where.append((name, index))
                ids.append(row["id"])
                values.append(row[split.column] if split.column is not None else None)
        chosen = split.assign(ids, values)
        view = {name: _segments([where[i] for i in rows]) for name, rows in chosen.items()}
        return Corpus(self._backend, rule=self._rule, view=view, recipe=[{"split": split.to_dict()}])

    def sample(self, max_samples: int | None, seed: int = 0, balance: str | None = None) -> Corpus:
        """Return a view with at most `max_samples` clips of every split, drawn by (seed, id), in the source's order.

        Parameters
        ----------
        max_samples : int or None
            Most clips of each split, at least 1; None keeps all.
        seed : int, default 0
            Seed of the draw.
        balance : str, optional
            A column, or ``text``: each of its values, none among them, gets as many clips as the others, or all that
            it has.

        Raises
        ------
        InputError
            `max_samples` is below 1, or `balance` without it or no column.
        """
        if balance is not None and max_samples is None:
            raise InputError(f"--balance {balance} needs --max-samples: how many clips are drawn from each split.")
        if balance is not None and balance not in ("text", *self.columns):
            raise unknown_name("column", balance, ["text", *self.columns])
        if max_samples is None:
            return self
        if max_samples < 1:
            raise InputError(f"--max-samples {max_samples}: at least 1.")
        view: dict[str, _Segments] = {}
        for split in self.splits:
            chosen = np.arange(self.count(split), dtype=np.int64)
            if len(chosen) > max_samples:
                values = None if balance is None else [str(row[balance]) for row in self.rows(split)]
                chosen = draw(self.ids(split), max_samples, seed, "sample", values)
            view[split] = self._resolve(split, chosen)
        step: dict[str, Any] = {"max_samples": max_samples, "seed": seed}
        recipe = [*self._recipe, step if balance is None else {**step, "balance": balance}]
        return Corpus(self._backend, rule=self._rule, view=view, recipe=recipe)

    @cached_property
    def _fingerprint(self) -> str:
        return self._backend.fingerprint()

    def fingerprint(self) -> str:
        """Return a digest of the clips and of how they are named and chosen.

        Cheap on large sources: folders above 256 MB count by names, sizes and times of change, Parquet by its footers.
        """
        said = {k: v for k, v in self.describe().items() if k not in ("source", "rows", "upstream")}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def describe(self) -> dict[str, Any]:
        """Return what a manifest says about the corpus, JSON-able."""
        said: dict[str, Any] = {
            "source": str(self.root),
            "kind": self._backend.kind,
            "rows": {split: self._backend.count(split) for split in self._backend.splits},
            "fingerprint": self._fingerprint,
            "text_pattern": self._rule.pattern,
            "text_map": self._rule.mapping or None,
            "view": [dict(step) for step in self._recipe],
        }
        return said if self.manifest is None else {**said, "upstream": self.manifest}

    def _resolve(self, split: str, indices: npt.ArrayLike) -> _Segments:
        wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
        count = self.count(split)
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= count):
            raise IndexError(f"split {split!r} has {count} clips.")
        if self._view is None:
            return ((split, wanted),) if len(wanted) else ()
        segments = self._view[split]
        names = [name for name, _ in segments]
        rows = np.concatenate([rows for _, rows in segments]) if segments else np.empty(0, dtype=np.int64)
        owner = np.repeat(np.arange(len(segments)), [len(r) for _, r in segments])
        return _segments([(names[owner[i]], int(rows[i])) for i in wanted])

    def _reader(self, split: str, indices: Sequence[int]) -> _Reader:
        parts = [self._backend.reader(name, rows.tolist(), split) for name, rows in self._resolve(split, indices)]
        return parts[0] if len(parts) == 1 else _Chain(parts)

    def _records(self, split: str, indices: Sequence[int]) -> Iterator[dict[str, Any]]:
        for name, rows in self._resolve(split, indices):
            yield from self._backend.records(name, rows.tolist())


class Rows(Sequence[dict[str, Any]]):
    """Metadata of a split, read when asked for; slices read in one go."""

    def __init__(self, corpus: Corpus, split: str, indices: range) -> None:
        self._corpus, self._split, self._indices = corpus, split, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Rows(self._corpus, self._split, self._indices[index])
        return next(self._corpus._records(self._split, [self._indices[index]]))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self._corpus._records(self._split, self._indices)


class _Chain:
    """Several readers, one after the other."""

    def __init__(self, readers: Sequence[_Reader]) -> None:
        self._readers = list(readers)

    def __iter__(self) -> Iterator[Clip]:
        return itertools.chain.from_iterable(self._readers)

    def check_source(self) -> None:
        for reader in self._readers:
            reader.check_source()


def _segments(where: Sequence[tuple[str, int]]) -> _Segments:
    runs = itertools.groupby(where, key=lambda pair: pair[0])
    return tuple((name, np.array([index for _, index in run], dtype=np.int64)) for name, run in runs)
