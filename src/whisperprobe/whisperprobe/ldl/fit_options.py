"""Options of an LDL fit: which values they may have, and which of them decide the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audiogram.errors import InputError, unknown_name
from whisperprobe.devices import chosen_device
from whisperprobe.ldl.block import RULES, DeltaRule
from whisperprobe.ldl.solutions import DEFAULT_RIDGE

__all__ = ["FitOptions", "read_frequencies"]

ALL_RULES = (*RULES, "endstate", "fil")


@dataclass(frozen=True)
class FitOptions:
    """How weights are found.

    Parameters
    ----------
    rule : {"nlms", "lms", "endstate", "fil"}
        Step by step, or where learning ends, or there with word frequencies.
    rate, epsilon : float
        Of `nlms` and `lms`, see `ldl.learn`.
    ridge : float
        Of `endstate` and `fil`, see `ldl.endstate`.
    frequencies : mapping of str to float, optional
        Of `fil`: how often every word type occurs.
    block, epochs : int
        See `ldl.learn`.
    seed : int
        Of the events' order.
    shuffle : bool
        Whether each epoch has an order of its own.
    production : bool
        Whether G is learnt beside F.
    held_out : str or None
        Split for the learning curve.
    curve : int or sequence of int
        How many points it has, or where they are.
    max_failures : float
        Largest share of clips that may be left out.
    save_every : int or None
        Events between checkpoints.
    device : str
        "cpu" (NumPy), "auto", "cuda", or several with commas between.
    """

    rule: str = "nlms"
    rate: float = 0.1
    epsilon: float = 0.0
    ridge: float = DEFAULT_RIDGE
    frequencies: Mapping[str, float] | None = None
    block: int | None = None
    epochs: int = 1
    seed: int = 0
    shuffle: bool = True
    production: bool = True
    held_out: str | None = "validation"
    curve: int | Sequence[int] = 20
    max_failures: float = 0.05
    save_every: int | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.rule not in ALL_RULES:
            raise unknown_name("learning rule", self.rule, ALL_RULES)
        if self.sequential:
            _ = self.stepping  # checks rate and epsilon
        if (self.rule == "fil") != (self.frequencies is not None):
            raise InputError(
                "rule 'fil' needs frequencies: a table of words and how often they occur."
                if self.rule == "fil"
                else f"frequencies are what rule 'fil' learns from; {self.rule!r} takes none."
            )
        for name, least in (("epochs", 1), ("save_every", 1), ("block", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is None and name in ("save_every", "block"):
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"{name} is {value!r}; give a whole number of at least {least}.")
        if not 0 <= self.ridge < math.inf:
            raise InputError(f"ridge is {self.ridge!r}; give a number, 0 or more.")
        if not 0 <= self.max_failures <= 1:
            raise InputError(f"max_failures is {self.max_failures!r}; give a share between 0 and 1.")
        points = [self.curve] if isinstance(self.curve, int) else list(self.curve)
        if not points or any(isinstance(p, bool) or not isinstance(p, int) or p < 1 for p in points):
            raise InputError(f"curve is {self.curve!r}; give a number of points, or the numbers of events themselves.")
        if not self.sequential and self.devices is not None and len(self.devices) > 1:
            raise InputError(f"rule {self.rule!r} computes on one device; received {self.device!r}.")

    @property
    def sequential(self) -> bool:
        """Whether events are learnt one after the other."""
        return self.rule in RULES

    @property
    def stepping(self) -> DeltaRule:
        """The delta rule."""
        return DeltaRule(self.rule, self.rate, self.epsilon)

    @property
    def devices(self) -> list[str] | None:
        """torch devices, or None for NumPy."""
        names = [chosen_device(name.strip()) for name in self.device.split(",")]
        return None if names == ["cpu"] else names

    def describe(self) -> dict[str, Any]:
        """Return what decides the weights, JSON-able: of each rule its own options only."""
        said: dict[str, Any] = {"rule": self.rule, "production": self.production, "held_out": self.held_out}
        if self.sequential:
            return said | {
                "rate": self.rate, "epsilon": self.epsilon, "epochs": self.epochs, "block": self.block,
                "seed": self.seed if self.shuffle else None, "shuffle": self.shuffle,
                "curve": self.curve if isinstance(self.curve, int) else list(self.curve),
            }  # fmt: skip
        frequencies = None if self.frequencies is None else dict(sorted(self.frequencies.items()))
        return said | {"ridge": self.ridge, "frequencies": frequencies}


def read_frequencies(source: str | Path | Mapping[str, float]) -> dict[str, float]:
    """Return how often each word type occurs, from a mapping, or a table with columns `word` and `frequency`.

    Words that differ in case or outer punctuation only are one type; their frequencies add.

    Raises
    ------
    InputError
        No such file or columns, a frequency that is no number, or below 0.
    """
    from whisperprobe.labels import word_of

    pairs = list(source.items()) if isinstance(source, Mapping) else _pairs_of(Path(source))
    found: dict[str, float] = {}
    for word, value in pairs:
        kind = word_of(word)
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if kind is None or not 0 <= number < math.inf:
            raise InputError(f"the frequency of {word!r} is {value!r}; give a word and a number, 0 or more.")
        found[kind] = found.get(kind, 0.0) + number
    return found


def _pairs_of(path: Path) -> list[tuple[str, Any]]:
    import pandas as pd

    if not path.is_file():
        raise InputError(f"there is no table of frequencies {path}; give a .csv or .tsv file.")
    try:
        table = pd.read_csv(path, sep="\t" if path.suffix.lower() in (".tsv", ".txt") else ",", keep_default_na=False)
    except (ValueError, OSError) as error:
        raise InputError(f"{path} cannot be read as a table: {error}") from error
    columns = {str(name).casefold(): name for name in table.columns}
    if not {"word", "frequency"} <= set(columns):
        raise InputError(
            f"{path} has the columns {', '.join(map(repr, table.columns))}; it needs 'word' and 'frequency'."
        )
    return list(zip(table[columns["word"]], table[columns["frequency"]], strict=True))
