"""Where the parts of a row stage lie: planning, names, and when a part counts as done."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from audiogram.errors import InputError

__all__ = ["Part", "Shard", "plan_parts"]

FAILURES = "failures"
VECTORS = "vectors"
MANIFEST = "manifest.json"
README = "README.md"

SPLIT_NAME = re.compile(r"\w+(\.\w+)*")  # what `datasets` accepts as the name of a split


@dataclass(frozen=True)
class Part:
    """Rows ``[start, stop)`` of one split: what is redone as a whole after an interruption.

    Parameters
    ----------
    split : str
        Name of the split.
    index, of : int
        This part's number, from 0, and how many parts the split has.
    start, stop : int
        Its rows within the split.
    """

    split: str
    index: int
    of: int
    start: int
    stop: int

    def __post_init__(self) -> None:
        if not SPLIT_NAME.fullmatch(self.split):
            raise InputError(f"split name {self.split!r} cannot be part of a file name; use letters, digits and '_'.")
        if not (0 <= self.index < self.of and 0 <= self.start <= self.stop):
            raise InputError(f"not a part: {self!r}")

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def stem(self) -> str:
        """Name of this part's files without the ending, e.g. ``train-00003-of-00064``."""
        return f"{self.split}-{self.index:05d}-of-{self.of:05d}"

    def table(self, out: Path, table: str) -> Path:
        """Path of this part's Parquet file of a table."""
        return out / table / f"{self.stem}.parquet"

    def vectors(self, out: Path) -> Path:
        """Path of this part's vectors."""
        return out / VECTORS / f"{self.stem}.safetensors"

    def failures(self, out: Path) -> Path:
        """Path of this part's failures, the file that is written last."""
        return out / FAILURES / f"{self.stem}.parquet"

    def done(self, outs: Iterable[Path]) -> bool:
        """Whether the part is complete in every one of `outs`."""
        return all(self.failures(out).is_file() for out in outs)


@dataclass(frozen=True)
class Shard:
    """One of `of` equal shares of the parts: those whose number is `index` modulo `of`.

    Parameters
    ----------
    index : int
        Which share, from 0.
    of : int
        How many there are, at least 1.

    Examples
    --------
    >>> Shard.parse("1/4")
    Shard(index=1, of=4)
    """

    index: int
    of: int

    def __post_init__(self) -> None:
        if not (self.of >= 1 and 0 <= self.index < self.of):
            raise InputError(
                f"shard {self.index}/{self.of} does not exist: shards count from 0, so I/N needs 0 <= I < N."
            )

    @classmethod
    def parse(cls, text: str | tuple[int, int] | Shard | None) -> Shard:
        """Read ``"I/N"``, a pair, a `Shard` or None (everything)."""
        if text is None:
            return cls(0, 1)
        if isinstance(text, Shard):
            return text
        if isinstance(text, str):
            match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
            if match is None:
                raise InputError(f"shard {text!r} is not of the form I/N, e.g. 0/8 for the first of eight.")
            return cls(int(match[1]), int(match[2]))
        index, of = text
        return cls(index, of)

    def take(self, parts: Sequence[Part]) -> Iterator[Part]:
        """Yield this shard's share of `parts`."""
        return iter(parts[self.index :: self.of])


def plan_parts(rows: Mapping[str, int], rows_per_part: int) -> tuple[Part, ...]:
    """Cut every split into parts; depends on nothing but its arguments.

    Parameters
    ----------
    rows : mapping
        Number of rows of each split, in order.
    rows_per_part : int
        Most rows in one part, at least 1.

    Returns
    -------
    tuple of Part
        In order; a split without rows has none.

    Raises
    ------
    InputError
        `rows_per_part` is below 1.

    Examples
    --------
    >>> [part.stem for part in plan_parts({"train": 5, "test": 2}, 3)]
    ['train-00000-of-00002', 'train-00001-of-00002', 'test-00000-of-00001']
    """
    if rows_per_part < 1:
        raise InputError(f"rows_per_part is {rows_per_part}; a part holds at least one row.")
    parts: list[Part] = []
    for split, count in rows.items():
        of = -(-count // rows_per_part)
        parts.extend(
            Part(split, index, of, index * rows_per_part, min(count, (index + 1) * rows_per_part))
            for index in range(of)
        )
    return tuple(parts)
