"""What a condition changed of each single word, paired by recording, with an interval where recordings allow one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from audiogram.errors import unknown_name

if TYPE_CHECKING:
    from whisperprobe.comparison.result import Cell, Comparison

__all__ = ["word_changes"]


def word_changes(comparison: Comparison, measure: str, a: Cell, b: Cell) -> pd.DataFrame:
    """Change of a measure from one cell to another, word by word.

    Each recording is compared with itself, seeds averaged first. The interval of a word is Student's t over its
    recordings: it says how far the change would carry over to other recordings of that word. It is for one word looked
    at alone; of 27,000 such intervals, one in twenty misses by chance.

    Parameters
    ----------
    comparison : Comparison
        Runs of any listeners.
    measure : str
        A numeric column of `clips`, e.g. "word_surprisal" (bits).
    a, b : tuple of str
        (model, condition) before and after.

    Returns
    -------
    DataFrame
        word, n_recordings, before, after, change (`after` - `before`), low, high (95 %; NaN for fewer than two
        recordings), in alphabetical order. Recordings without a value in one of the cells are left out.

    Raises
    ------
    InputError
        If one of the cells was not probed, or there is no such measure.

    Examples
    --------
    >>> import pandas as pd
    >>> from whisperprobe.comparison.result import Comparison
    >>> rows = [("n", "1", 1.0), ("n", "2", 2.0), ("h", "1", 4.0), ("h", "2", 7.0)]
    >>> clips = pd.DataFrame([{"model": "base", "condition": c, "seed": 1, "clip_id": i, "word": "sun", "bits": v}
    ...                       for c, i, v in rows])
    >>> found = word_changes(Comparison(clips, ("base",), ("n", "h")), "bits", ("base", "n"), ("base", "h"))
    >>> found[["word", "n_recordings", "change"]].to_dict("records")
    [{'word': 'sun', 'n_recordings': 2, 'change': 4.0}]
    """
    from scipy.special import stdtrit

    for cell in (a, b):
        if tuple(cell) not in comparison.cells:
            raise unknown_name("cell", "/".join(cell), ["/".join(c) for c in comparison.cells])
    values = comparison.values(measure)
    used = np.isfinite(values) & comparison.clips["word"].notna().to_numpy()
    frame = comparison.clips.loc[used, ["model", "condition", "word", "clip_id"]].assign(value=values[used])
    before, after = (
        frame[(frame["model"] == model) & (frame["condition"] == condition)]
        .groupby(["word", "clip_id"])["value"]
        .mean()
        for model, condition in (a, b)
    )
    paired = pd.DataFrame({"before": before, "after": after}).dropna()
    paired["change"] = paired["after"] - paired["before"]
    grouped = paired.groupby("word", sort=True)
    table = grouped[["before", "after", "change"]].mean()
    n = grouped.size().to_numpy()
    with np.errstate(invalid="ignore"):
        error = grouped["change"].std().to_numpy() / np.sqrt(n)
        half = np.where(n > 1, stdtrit(np.maximum(n - 1, 1), 0.975) * error, np.nan)
    table.insert(0, "n_recordings", n)
    table["low"], table["high"] = table["change"] - half, table["change"] + half
    return table.reset_index()
