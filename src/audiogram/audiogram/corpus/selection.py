"""Which clips belong to which split, and seeded samples of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from audiogram.errors import InputError

__all__ = ["SplitRule", "draw"]


@dataclass(frozen=True)
class SplitRule:
    """How all clips of a source are divided anew into train, validation and test.

    Parameters
    ----------
    column : str or None
        The column that decides what is test, e.g. ``speaker``. None draws the test clips at random.
    test : sequence of values, or float
        With a column: its values whose clips are the test split. Without: the share of clips, 0 to 1.
    validation : float, default 0.1
        Share of the remaining clips that is drawn for validation, 0 to 1; 0 makes no such split.
    seed : int, default 0
        Seed of both draws; a clip's lot depends on it and on the clip's id alone.

    Examples
    --------
    >>> SplitRule("speaker", test=["nicolas"]).to_dict()
    {'column': 'speaker', 'test': ['nicolas'], 'validation': 0.1, 'seed': 0}
    """

    column: str | None
    test: tuple[str, ...] | float = ()
    validation: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if (
            not isinstance(self.validation, int | float)
            or isinstance(self.validation, bool)
            or not 0 <= self.validation < 1
        ):
            raise InputError(f"split: validation is {self.validation!r}; it is a share of the clips, 0 up to below 1.")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise InputError(f"split: seed is {self.seed!r}; it is a whole number.")
        if self.column is None:
            if isinstance(self.test, bool) or not isinstance(self.test, int | float) or not 0 <= self.test < 1:
                raise InputError(
                    f"split: without a column, test is a share of the clips, 0 up to below 1, not {self.test!r}."
                )
            return
        if not isinstance(self.column, str):
            raise InputError(f"split: column is {self.column!r}; it is the name of a column.")
        if isinstance(self.test, str) or not isinstance(self.test, Sequence):
            raise InputError(
                f"split: with a column, test is a list of its values, not {self.test!r}; write e.g. test = ['anna']."
            )
        object.__setattr__(self, "test", tuple(str(value) for value in self.test))

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads, JSON-able."""
        test = list(self.test) if isinstance(self.test, tuple) else self.test
        return {"column": self.column, "test": test, "validation": self.validation, "seed": self.seed}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SplitRule:
        """Make a rule from a mapping, e.g. a table of a TOML file.

        Raises
        ------
        InputError
            A key is unknown or a value out of range.
        """
        unknown = sorted(set(values) - {"column", "test", "validation", "seed"})
        if unknown:
            raise InputError(f"split: unknown key {unknown[0]!r}; known: column, test, validation, seed.")
        return cls(**{"column": None, **values})

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the rule makes, empty or not."""
        return tuple(s for s in ("train", "validation", "test") if s != "validation" or self.validation > 0)

    def assign(self, ids: Sequence[str], values: Sequence[Any] | None) -> dict[str, npt.NDArray[np.int64]]:
        """Return the row numbers of each split, in order.

        Parameters
        ----------
        ids : sequence of str
            Ids of all clips.
        values : sequence, optional
            Their values in `column`.
        """
        everything = np.arange(len(ids), dtype=np.int64)
        if isinstance(self.test, tuple):
            texts = [str(value) for value in values or ()]
            lost = sorted(set(self.test) - set(texts))
            if lost:
                known = sorted(set(texts))
                some = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
                raise InputError(f"split: no clip has {self.column} {lost[0]!r}. Its values: {some}.")
            is_test = np.fromiter((text in self.test for text in texts), dtype=bool, count=len(ids))
            test, rest = everything[is_test], everything[~is_test]
        else:
            chosen = draw(ids, round(self.test * len(ids)), self.seed, "test")
            test, rest = chosen, np.setdiff1d(everything, chosen)
        kept = [ids[i] for i in rest]
        validation = rest[draw(kept, round(self.validation * len(rest)), self.seed, "validation")]
        assigned = {"train": np.setdiff1d(rest, validation), "validation": validation, "test": test}
        return {split: assigned[split] for split in self.splits}


def draw(
    ids: Sequence[str], count: int, seed: int, purpose: str, groups: Sequence[Hashable] | None = None
) -> npt.NDArray[np.int64]:
    """Draw `count` of `ids` without replacement; returns their positions in order.

    Every id has a lot that depends on seed, purpose and id alone, and the lowest win: the draw is the same on every
    machine, and adding a clip to a corpus changes the sample by at most one. With `groups`, one value for each id, all
    groups are drawn from in turn until they have no more: their shares differ by one at most, or are all that there is.
    """
    if count >= len(ids):
        return np.arange(len(ids), dtype=np.int64)
    lots = [hashlib.blake2b(f"{seed}\0{purpose}\0{id}".encode(), digest_size=16).digest() for id in ids]
    order = sorted(range(len(ids)), key=lots.__getitem__)
    if groups is not None:
        turns: dict[int, int] = {}
        drawn: Counter[Hashable] = Counter()
        for i in order:
            turns[i] = drawn[groups[i]]
            drawn[groups[i]] += 1
        order.sort(key=turns.__getitem__)  # stable: within a turn the lots decide
    return np.array(sorted(order[:count]), dtype=np.int64)
