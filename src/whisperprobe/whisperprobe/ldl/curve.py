"""Learning curves: what is understood of words that are not learnt from, after given numbers of events."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from whisperprobe.ldl.measures import Lexicon, meaning_measures

__all__ = ["COLUMNS", "HeldOut", "curve_points", "write_curve"]

COLUMNS = ("events", "epoch", "accuracy", "accuracy_at_10", "target_correlation", "mean_rank", "held_out_words")
_ROWS = 128  # held-out words whose cues are in memory at a time


class HeldOut:
    """Words to be understood while others are learnt.

    Parameters
    ----------
    C : array, shape (events, cues)
        Their cues; rows are read as they are needed.
    types : integer array, shape (events,)
        Number of each one's word in the lexicon.
    lexicon : Lexicon
        All word types.
    """

    def __init__(self, C: Any, types: np.ndarray[Any, Any], lexicon: Lexicon) -> None:
        self.C, self.types, self.lexicon = C, types, lexicon

    def point(self, F: np.ndarray[Any, Any], events: int, epoch: float) -> dict[str, Any]:
        """Return a row of the curve for the weights F, `(cues, dimensions)`."""
        predicted = np.concatenate(
            [np.asarray(self.C[low : low + _ROWS]) @ F for low in range(0, len(self.types), _ROWS)]
        )
        found = meaning_measures(predicted, self.types, self.lexicon)
        return {
            "events": events,
            "epoch": epoch,
            "accuracy": found.accuracy(1),
            "accuracy_at_10": found.accuracy(10),
            "target_correlation": float(found.target_correlation.mean()),
            "mean_rank": float(found.rank.mean()),
            "held_out_words": len(self.types),
        }


def curve_points(total: int, wanted: int | Sequence[int]) -> list[int]:
    """Return the numbers of events at which a curve of `total` events is measured, ascending, `total` among them.

    Parameters
    ----------
    total : int
        Events of the whole training.
    wanted : int or sequence of int
        How many points: half of them evenly spaced, half of them halving towards the start, where most is learnt; or
        the points themselves.

    Examples
    --------
    >>> curve_points(1000, 8), curve_points(1000, [10, 5000])
    ([125, 250, 500, 750, 1000], [10, 1000])
    """
    if isinstance(wanted, int):
        half = max(1, wanted // 2)
        points = {round(total * i / half) for i in range(1, half + 1)} | {round(total / 2**i) for i in range(half)}
    else:
        points = set(wanted) | {total}
    return sorted(point for point in points if 0 < point <= total)


def write_curve(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the whole curve, replacing what was there."""
    temporary = file.with_name(f".{file.name}")
    with temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([_shown(row[name]) for name in COLUMNS] for row in rows)
    os.replace(temporary, file)


def _shown(value: Any) -> str:
    return f"{value:.8g}" if isinstance(value, float) else str(value)
