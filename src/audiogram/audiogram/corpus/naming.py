"""What names say: the split of a folder, text and columns of a clip, and what a folder is by its files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from audiogram.errors import InputError

__all__ = ["OURS", "SAVED_DICT", "SAVED_STATE", "TEXT_COLUMNS", "TextRule", "is_saved_dataset", "split_of"]

# What `datasets.save_to_disk` writes beside its tables: for a DatasetDict, and for each Dataset.
SAVED_DICT, SAVED_STATE = "dataset_dict.json", "state.json"

# Where the text is found, first come first served, in metadata files and in other people's Parquet.
TEXT_COLUMNS = ("text", "sentence", "transcription", "transcript")
OURS = ("id", "audio")

_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "dev", "val"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}


def split_of(folder: str) -> str | None:
    """Name the split that a folder's name stands for, e.g. ``dev`` for validation; None where it stands for none."""
    return _SPLITS.get(folder.casefold())


def is_saved_dataset(root: Path) -> bool:
    """Whether `root` is what `datasets.load_from_disk` reads: a Dataset or a DatasetDict."""
    return any((root / name).is_file() for name in (SAVED_DICT, SAVED_STATE))


class TextRule:
    """How text and columns follow from a clip's name and its columns.

    Parameters
    ----------
    pattern : str, optional
        Regular expression whose named groups become columns, ``text`` among them. It must match all of the path
        within the source (or within its split folder), or all of the file's name, with or without the ending.
    mapping : mapping, optional
        Texts to replace, e.g. ``{"0": "zero"}``; a text that is not in it stays.
    """

    def __init__(self, pattern: str | None = None, mapping: Mapping[Any, str] | None = None) -> None:
        self.pattern = pattern
        self.mapping = {str(key): str(value) for key, value in (mapping or {}).items()}
        self._compiled: re.Pattern[str] | None = None
        if pattern is not None:
            try:
                self._compiled = re.compile(pattern)
            except re.error as error:
                raise InputError(f"--text-pattern {pattern!r} is not a regular expression: {error}.") from error
            if not self._compiled.groupindex:
                raise InputError(
                    f"--text-pattern {pattern!r} has no named group; write e.g. '(?P<text>\\w+)_(?P<speaker>\\w+)'."
                )
            bad = sorted(set(self._compiled.groupindex) & set(OURS))
            if bad:
                raise InputError(
                    f"--text-pattern {pattern!r}: a group cannot be called {bad[0]!r}; choose another name."
                )

    def columns(self) -> tuple[str, ...]:
        """Names of the columns that the pattern adds."""
        return tuple(name for name in self._compiled.groupindex if name != "text") if self._compiled else ()

    def apply(self, name: str, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``text``, ``columns`` (all others) and ``problem`` (None, or why the name says nothing)."""
        rest = dict(columns)
        text = next((rest[c] for c in TEXT_COLUMNS if rest.get(c) is not None), None)
        rest.pop("text", None)
        for name in set(rest) & set(OURS):  # a source's own column of that name is kept beside ours
            rest[f"source_{name}"] = rest.pop(name)
        problem = None
        if self._compiled is not None:
            match = self._match(name)
            if match is None:
                problem = f"the name {name!r} does not match --text-pattern {self.pattern!r}."
            else:
                groups = match.groupdict()
                text = groups.pop("text", text)
                rest.update(groups)
        elif text is None and not columns:
            text = PurePosixPath(name).stem
        text = None if text is None or not str(text).strip() else str(text)
        if text is not None:
            text = self.mapping.get(text, text)
        return {"text": text, "columns": rest, "problem": problem}

    def _match(self, name: str) -> re.Match[str] | None:
        assert self._compiled is not None
        path = PurePosixPath(name)
        for candidate in (str(path.with_suffix("")), path.stem, name, path.name):
            match = self._compiled.fullmatch(candidate)
            if match is not None:
                return match
        return None

    def check(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Raise `InputError` where the pattern matches no name at all, or the mapping no text."""
        first = None
        used = set()
        values = set(self.mapping.values())
        for record in records:
            if record["problem"] is None and not values:
                return
            if record["problem"] is None and record["text"] in values:
                return
            if record["problem"] is None:
                used.add(record["text"])
            first = first or record
        if first is None:
            return
        if not used and first["problem"]:
            raise InputError(f"{first['problem'].removesuffix('.')}, nor does any other name. Correct the pattern.")
        if values:
            some = ", ".join(sorted(str(text) for text in used)[:5])
            raise InputError(f"text_map maps none of the corpus's texts ({some}); its keys: {', '.join(self.mapping)}.")
