"""`open_cues`: cues on disk as matrices, events × cues, whose rows are made when they are indexed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from audiogram.corpus import is_complete, read_manifest
from audiogram.errors import InputError
from whisperprobe.arrays import PartedArray
from whisperprobe.corpora.parted_rows import read_split
from whisperprobe.ldl.cues_matrix import CueShape

__all__ = ["COLUMNS", "STAGE", "VECTORS", "CueRows", "StoredCues", "open_cues"]

STAGE = "ldl-cues"
VECTORS = "cues"
COLUMNS = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("sample_rate", pa.int32()),  # of the recording, Hz
        ("samples", pa.int64()),  # at 16 kHz
        ("units", pa.int32()),  # chunks or frames that are stored
        ("all_units", pa.int32()),  # and that there would be, were frames not cut
        ("short", pa.bool_()),
        ("silent", pa.bool_()),
        ("lowest", pa.float32()),
        ("highest", pa.float32()),
        ("vector_row", pa.int64()),
    ]
)


def open_cues(folder: str | Path) -> StoredCues:
    """Open a folder that `write_cues` has written.

    Parameters
    ----------
    folder : path
        The folder.

    Returns
    -------
    StoredCues

    Raises
    ------
    InputError
        It is another folder, or unfinished.
    """
    manifest = read_manifest(folder)
    if manifest["stage"] != STAGE:
        raise InputError(f"{folder} is the output of {manifest['stage']!r}, not of ldl cues. Check the path.")
    if not is_complete(folder):
        raise InputError(f"{folder} is not finished. Start its command again first: whisperprobe ldl cues.")
    return StoredCues(Path(folder), manifest)


class StoredCues:
    """Cues of a corpus of words. Made by `open_cues`.

    Attributes
    ----------
    root : Path
        The folder.
    manifest : dict
        What the stage says about itself.
    kind : str
        `cfbsf` or `log_mel`.
    options : dict
        Of `BandSummaries`; empty for `log_mel`.
    """

    def __init__(self, root: Path, manifest: dict[str, Any]) -> None:
        self.root, self.manifest = root, manifest
        said = manifest["options"]
        self.kind = said["kind"]
        self.options = {name: value for name, value in said.items() if name not in ("kind", "on_the_fly")}
        self._tables: dict[str, pa.Table] = {}
        self._units: dict[str, PartedArray] = {}

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, empty ones included."""
        return tuple(self.manifest["plan"]["rows"])

    def table(self, split: str) -> pa.Table:
        """Return one row per word, in the input's order: `id`, `text`, `units`, `silent`, ..., the source's columns."""
        if split not in self.splits:
            raise InputError(f"the cues have no split {split!r}; they have {', '.join(self.splits)}.")
        if split not in self._tables:
            self._tables[split], self._units[split] = read_split(self.root, split, VECTORS, COLUMNS)
        return self._tables[split]

    def fit(self, split: str, rows: Sequence[int] | np.ndarray | None = None) -> CueShape:
        """Return the shape of the matrix of a split, to be used for all splits and conditions of a study.

        Parameters
        ----------
        split : str
            The words that are learnt.
        rows : sequence of int, optional
            Only these rows of its table.

        Raises
        ------
        InputError
            There are no words, or, for log-mel cues, they are all silent.
        """
        table = self.table(split).select(["units", "silent", "lowest", "highest"])
        table = table if rows is None else table.take(pa.array(rows, pa.int64()))
        if not len(table):
            raise InputError(f"there are no words in split {split!r} of {self.root} to fit the shape of cues on.")
        heard = table.filter(pc.invert(table["silent"]))
        low, high = (pc.min(heard["lowest"]).as_py(), pc.max(heard["highest"]).as_py()) if len(heard) else (0.0, 0.0)
        return CueShape.fit(self.kind, pc.max(table["units"]).as_py(), low, high, self.options)

    def matrix(self, split: str, shape: CueShape) -> CueRows:
        """Return C of a split, a row per row of `table(split)`.

        Parameters
        ----------
        split : str
            Which words.
        shape : CueShape
            From `fit`, of these cues or of those of another condition.

        Raises
        ------
        InputError
            The shape is that of other cues.
        """
        if shape.kind != self.kind or dict(shape.options) != self.options:
            raise InputError(
                f"{self.root} holds {self.kind} cues with {self.options}, the shape is that of {shape.kind} cues with "
                f"{dict(shape.options)}. Write the cues again with these."
            )
        table = self.table(split)
        return CueRows(
            self._units[split], table["vector_row"].to_numpy(), table["units"].to_numpy(), shape,
            int((table["all_units"].to_numpy() > shape.units).sum()), int(pc.sum(table["silent"]).as_py() or 0),
        )  # fmt: skip

    def remarks(self) -> list[str]:
        """Return what a reader should know of these words: how many are silent, too short, cut, of too low a rate."""
        table = pa.concat_tables([self.table(split).select(COLUMNS.names) for split in self.splits])
        total = len(table)
        counts = {name: int(pc.sum(table[name]).as_py() or 0) for name in ("silent", "short")}
        cut = int((table["all_units"].to_numpy() > table["units"].to_numpy()).sum())
        top = self.options.get("top_hz", 0.0)
        narrow = int((table["sample_rate"].to_numpy() < 2 * top).sum())
        said = []
        if counts["silent"]:
            said.append(f"{counts['silent']} of {total} words are silent: their cues are zeros.")
        if counts["short"]:
            said.append(
                f"{counts['short']} of {total} words are too short for a boundary (162.5 ms) and are one chunk."
            )
        if cut:
            said.append(f"{cut} of {total} words are longer than 391 frames (3.91 s) and are cut there.")
        if narrow:
            said.append(
                f"{narrow} of {total} words are recordings that hold nothing up to {top:g} Hz: the ranks in their "
                "highest bands are rounding. If all are like that, give --top-hz, e.g. 4000 for recordings of 8 kHz."
            )
        return said


class CueRows:
    """A matrix of cues on disk, events × cues, float32; indexed with rows it gives an ordinary array.

    Attributes
    ----------
    cues : CueShape
        What the columns are.
    truncated, silent : int
        How many words lost their end, because they have more units than the shape, and how many are zeros.
    """

    ndim = 2
    dtype = np.dtype(np.float32)

    def __init__(
        self,
        units: PartedArray,
        starts: np.ndarray,
        counts: np.ndarray,
        cues: CueShape,
        truncated: int,
        silent: int,
    ) -> None:
        self._units, self._starts, self._counts = units, starts, counts
        self.cues, self.truncated, self.silent = cues, truncated, silent

    @property
    def shape(self) -> tuple[int, int]:
        """Events, cues."""
        return len(self._starts), self.cues.width

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, key: Any) -> np.ndarray:
        rows = np.arange(len(self))[key]
        flat = rows.reshape(-1)
        out = np.zeros((len(flat), self.cues.width), dtype=np.float32)
        for row, into in zip(flat.tolist(), out, strict=True):
            start = self._starts[row]
            self.cues.place(self._units[start : start + min(self._counts[row], self.cues.units)], into)
        return out.reshape(*rows.shape, self.cues.width)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)

    def __repr__(self) -> str:
        return f"<{len(self)} × {self.cues.width} float32, {self.cues.kind} cues on disk>"
