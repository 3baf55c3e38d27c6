"""How well people's responses agree with themselves: the ceiling for anything that is to predict them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audiogram.errors import InputError

__all__ = ["Reliability", "spearman_brown", "split_half"]


@dataclass(frozen=True)
class Reliability:
    """Split-half reliability of word means.

    Attributes
    ----------
    value : float
        Reliability of the means over all responses: what a second group of as many people would correlate with them.
    half : float
        Mean correlation of two halves, before it is stepped up.
    low, high : float
        2.5 and 97.5 % quantiles of the value over the splits: how much it depends on how the halves fall.
    ceiling : float
        Root of the value: the highest correlation with the means that a perfect measure would have.
    n_words, splits : int
        Words with at least two responses, and random splits.
    """

    value: float
    half: float
    low: float
    high: float
    ceiling: float
    n_words: int
    splits: int


def spearman_brown(r: float, factor: float = 2.0) -> float:
    """Reliability of a test that is `factor` times as long, from the reliability r of the test.

    Examples
    --------
    >>> spearman_brown(0.5)
    0.6666666666666666
    """
    whole = 1 + (factor - 1) * r
    return factor * r / whole if whole > 0 else -math.inf


def split_half(trials: pd.DataFrame, *, splits: int = 100, seed: int = 0) -> Reliability | None:
    """Split every word's responses into random halves, correlate the halves' means, and step up to the whole.

    Halves are drawn within words, so that designs in which nobody hears all words can be used: the responses are
    those of `centred`, from which subjects' means are taken.

    Parameters
    ----------
    trials : DataFrame
        word, centred: one row per response.
    splits : int, default 100
        Random splits, at least 1; the correlation is averaged over them before it is stepped up.
    seed : int, default 0
        Seed of the splits.

    Returns
    -------
    Reliability or None
        None where fewer than 4 words have two responses, or where the halves' means do not vary.

    Raises
    ------
    InputError
        For fewer than one split.

    References
    ----------
    .. [1] W. Brown, "Some experimental results in the correlation of mental abilities", British Journal of Psychology
       3 (1910), 296-322; C. Spearman, "Correlation calculated from faulty data", the same, 271-295.
    """
    if splits < 1:
        raise InputError(f"splits={splits}; at least one random split is needed.")
    codes, values = _repeated(trials)
    n_words = int(codes.max(initial=-1)) + 1
    if n_words < 4:
        return None
    starts = np.searchsorted(codes, np.arange(n_words))
    place = np.arange(len(codes)) - starts[codes]
    rng = np.random.default_rng(seed)
    found = np.empty(splits)
    for i in range(splits):
        shuffled = values[np.lexsort((rng.random(len(codes)), codes))]
        first = place % 2 == 0
        means = [_means(codes[part], shuffled[part], n_words) for part in (first, ~first)]
        if min(float(np.std(m)) for m in means) == 0:
            return None
        found[i] = np.corrcoef(means[0], means[1])[0, 1]
    half = float(found.mean())
    value = spearman_brown(half)
    low, high = (spearman_brown(float(q)) for q in np.quantile(found, (0.025, 0.975)))
    return Reliability(value, half, low, high, math.sqrt(max(value, 0.0)), n_words, splits)


def _repeated(trials: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Codes and responses of the words with two responses or more, in the order of the words."""
    many = trials.groupby("word")["centred"].transform("size") >= 2
    kept = trials[many]
    codes: NDArray[Any] = pd.factorize(kept["word"], sort=True)[0]
    order = np.argsort(codes, kind="stable")
    return codes[order].astype(np.int64), kept["centred"].to_numpy(dtype=np.float64)[order]


def _means(codes: NDArray[np.int64], values: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    return np.bincount(codes, weights=values, minlength=n) / np.bincount(codes, minlength=n)
