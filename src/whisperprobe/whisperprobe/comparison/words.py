"""What happened to every word: accuracy, surprisal, rank and the most frequent confusion, per model and condition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from whisperprobe.labels import word_of

__all__ = ["and_between", "as_numbers", "count_of", "heard_as", "percent", "word_of", "word_table"]

NOTHING = "(nothing)"


def and_between(parts: Sequence[str]) -> str:
    """Several things in a sentence.

    Examples
    --------
    >>> and_between(["a", "b", "c"]), and_between(["a", "b"]), and_between(["a"])
    ('a, b and c', 'a and b', 'a')
    """
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def count_of(n: int, name: str) -> str:
    """How many of a thing, in a sentence.

    Examples
    --------
    >>> count_of(1, "word"), count_of(27_000, "word")
    ('1 word', '27,000 words')
    """
    return f"{n:,} {name}" + ("" if n == 1 else "s")


def percent(share: float) -> str:
    """A share in a sentence.

    Examples
    --------
    >>> percent(0.965), percent(float("nan"))
    ('96.5 %', 'an unknown share')
    """
    return f"{100 * share:.1f} %" if math.isfinite(share) else "an unknown share"


def as_numbers(column: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A column of numbers or truth values with gaps, as float64 with NaN for the gaps."""
    values = pd.to_numeric(column, errors="coerce")
    return np.asarray(values.to_numpy(dtype=np.float64, na_value=np.nan))


def heard_as(prediction: object) -> str:
    """A prediction as it is listed among confusions; an empty one is `(nothing)`."""
    return word_of(prediction) or NOTHING


def word_table(clips: pd.DataFrame) -> pd.DataFrame:
    """Summarise every word under every (model, condition), clips and seeds averaged.

    Parameters
    ----------
    clips : DataFrame
        Long table of a comparison: model, condition, seed, clip_id, word, prediction, correct, word_surprisal,
        word_mean_rank.

    Returns
    -------
    DataFrame
        model, condition, word, n_clips (recordings, all seeds together), accuracy (share in [0, 1]), surprisal
        (bits, mean), mean_rank, confusion (most frequent wrong answer; ties in alphabetical order; None where
        every answer is right) and confusion_share (its share of the recordings). NaN where the probe has no value.
    """
    known = clips[clips["word"].notna()]
    keys = ["model", "condition", "word"]
    frame = pd.DataFrame(
        {
            "model": known["model"].astype(str),
            "condition": known["condition"].astype(str),
            "word": known["word"].astype(str),
            "accuracy": as_numbers(known["correct"]),
            "surprisal": as_numbers(known["word_surprisal"]),
            "mean_rank": as_numbers(known["word_mean_rank"]),
        }
    )
    grouped = frame.groupby(keys, sort=True)
    table = grouped[["accuracy", "surprisal", "mean_rank"]].mean()
    table.insert(0, "n_clips", grouped.size())

    wrong = frame.loc[frame["accuracy"] == 0, keys].copy()
    wrong["confusion"] = known.loc[wrong.index, "prediction"].map(heard_as)
    counted = wrong.groupby([*keys, "confusion"], sort=True).size().rename("times").reset_index()
    # A stable sort keeps the alphabetical order among equally frequent confusions.
    first = counted.sort_values("times", ascending=False, kind="stable").drop_duplicates(keys).set_index(keys)
    table["confusion"] = first["confusion"].reindex(table.index).astype(object)
    table["confusion"] = table["confusion"].where(table["confusion"].notna(), None)
    table["confusion_share"] = first["times"].reindex(table.index).fillna(0) / table["n_clips"]
    return table.reset_index()
