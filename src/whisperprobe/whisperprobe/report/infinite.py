"""Surprisal without end: a probability of exactly 0, or what another tool wrote; told, and kept out of means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from whisperprobe.comparison.result import Cell, Comparison
from whisperprobe.comparison.words import and_between, as_numbers, count_of

__all__ = ["infinite_note", "surprisal_by_cell"]


def surprisal_by_cell(comparison: Comparison) -> dict[Cell, Mapping[str, Any]]:
    """Mean surprisal of every cell, as `Comparison.by_cell` has it, and infinite where a recording's is."""
    infinite = set(_infinite(comparison)[["model", "condition"]].itertuples(index=False, name=None))
    cells = comparison.by_cell("word_surprisal")
    return {cell: row | {"mean": math.inf} if cell in infinite else row for cell, row in cells.items()}


def infinite_note(comparison: Comparison, order: Sequence[str]) -> str:
    """How many recordings have an infinite surprisal, and what became of them; nothing where none has."""
    counts = _infinite(comparison).groupby("condition")["clip_id"].nunique()
    parts = [f"{count_of(counts[c], 'recording')} under {c}" for c in order if c in counts.index]
    if not parts:
        return ""
    return (
        f"The surprisal of the spoken word is infinite, its probability 0, for {and_between(parts)}, for one model at "
        "least. Means over these recordings are infinite, too: ∞ in tables, – in the figure of who understands what. "
        "The other figures, changes, intervals and the sentences at the top leave the recordings out."
    )


def _infinite(comparison: Comparison) -> pd.DataFrame:
    clips = comparison.clips
    return clips[np.isposinf(as_numbers(clips["word_surprisal"])) & clips["word"].notna().to_numpy()]
