"""Bootstrap intervals over words: words are drawn, and every recording of a drawn word comes along."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audiogram.errors import InputError

__all__ = ["Bootstrap", "bootstrap_words", "percentile_levels"]

Floats = NDArray[np.float64]

_BLOCK = 64  # resamples counted at once: 64 rows of weights for 27,000 words are 14 MB


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Estimates and their bootstrap draws, one column per group.

    Parameters
    ----------
    estimates : ndarray of float64, shape (groups,)
        The statistic of the data itself; NaN for a group without data.
    draws : ndarray of float64, shape (resamples, groups)
        The statistic of every resample. All groups share the drawn words, so the difference of two columns is
        the draw of a paired difference.
    n_words : ndarray of int64, shape (groups,)
        How many words carry data in each group.
    """

    estimates: Floats
    draws: Floats
    n_words: NDArray[np.int64]

    def interval(self, group: int, confidence: float = 0.95) -> tuple[float, float]:
        """Interval of one group's statistic; NaN where fewer than two words carry data."""
        return self.percentiles(self.draws[:, group], int(self.n_words[group]), confidence)

    def difference(self, a: int, b: int, confidence: float = 0.95) -> tuple[float, float, float]:
        """Group `b` minus group `a`, paired by word: the difference and its interval."""
        words = int(min(self.n_words[a], self.n_words[b]))
        low, high = self.percentiles(self.draws[:, b] - self.draws[:, a], words, confidence)
        return float(self.estimates[b] - self.estimates[a]), low, high

    @staticmethod
    def percentiles(draws: Floats, n_words: int, confidence: float) -> tuple[float, float]:
        finite = draws[np.isfinite(draws)]
        if n_words < 2 or finite.size == 0:
            return math.nan, math.nan
        low, high = np.quantile(finite, percentile_levels(n_words, confidence))
        return float(low), float(high)


def percentile_levels(n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Quantiles of the bootstrap distribution that make up an interval for `n` independent words.

    The plain percentile interval is too narrow for few words (ten digits), because the bootstrap divides by n and
    knows no t distribution. The expanded percentile interval corrects both; with many words the two are the same.

    Parameters
    ----------
    n : int
        Number of independent words, at least 2.
    confidence : float, default 0.95
        Wanted coverage, in (0, 1).

    Returns
    -------
    tuple of float
        Lower and upper quantile, in [0, 1].

    References
    ----------
    .. [1] T. C. Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69 (2015),
       371-386, section 5.3 (expanded percentile interval).

    Examples
    --------
    >>> [round(level, 3) for level in percentile_levels(10_000)]
    [0.025, 0.975]
    >>> percentile_levels(10)[0] < 0.01
    True
    """
    from scipy.special import ndtr, stdtrit

    t = float(stdtrit(n - 1, 0.5 + confidence / 2))
    tail = float(ndtr(-math.sqrt(n / (n - 1)) * t))
    return tail, 1.0 - tail


def bootstrap_words(
    sums: Floats,
    counts: Floats,
    groups: NDArray[Any],
    *,
    n_groups: int,
    seed: int = 0,
    resamples: int = 2000,
    repeats: NDArray[Any] | None = None,
) -> Bootstrap:
    """Resample words with replacement and recompute every group's mean.

    Words are the independent units: recordings of one word share its difficulty, so a drawn word brings all of its
    recordings with it. A group may have several columns (one per training seed); its statistic is the mean over
    columns of (sum of the drawn words' values) / (number of the drawn words' recordings).

    Parameters
    ----------
    sums, counts : ndarray of float64, shape (words, columns)
        Sum of the measure over a word's recordings, and how many there are. A word without data counts 0.
    groups : ndarray of int, shape (columns,)
        Group of every column, in [0, n_groups).
    n_groups : int
        Number of groups.
    seed : int, default 0
        Seed of the draws; the same seed and data give the same draws.
    resamples : int, default 2000
        Number of resamples, at least 100.
    repeats : ndarray of int, shape (columns,), optional
        Training seed of every column. Where there are several, seeds are drawn with replacement too, the same ones in
        every group, so that the interval is also about other trainings. A column below 0 belongs to no seed.

    Returns
    -------
    Bootstrap

    Raises
    ------
    InputError
        For fewer than 100 resamples.
    """
    if resamples < 100:
        raise InputError(f"resamples={resamples} is too few for a 95 % interval; use at least 100 (default 2000).")
    groups = np.asarray(groups)
    used = counts.sum(axis=1) > 0
    sums, counts = sums[used], counts[used]
    n = sums.shape[0]
    has_data = np.zeros((n, n_groups), dtype=bool)
    for column, group in enumerate(groups):
        has_data[:, group] |= counts[:, column] > 0
    both = np.concatenate([sums, counts], axis=1)
    estimates = _group_means(both.sum(axis=0, keepdims=True), groups, n_groups)[0]
    draws = np.full((resamples, n_groups), np.nan)
    rng = np.random.default_rng(seed)
    for start in range(0, resamples if n else 0, _BLOCK):
        rows = min(_BLOCK, resamples - start)
        drawn = rng.integers(0, n, size=(rows, n)) + np.arange(rows)[:, None] * n
        weights = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)
        times = None if repeats is None else _drawn_repeats(np.asarray(repeats), rows, seed, start)
        draws[start : start + rows] = _group_means(weights @ both, groups, n_groups, times)
    return Bootstrap(estimates, draws, has_data.sum(axis=0).astype(np.int64))


def _drawn_repeats(repeats: NDArray[Any], rows: int, seed: int, start: int) -> Floats:
    """How often each column's seed is drawn in every resample, shape (rows, columns); its own stream of numbers."""
    known, codes = np.unique(repeats, return_inverse=True)
    first = int((known < 0).sum())  # codes below it belong to no seed: once in every resample
    n = len(known) - first
    if n < 2:
        return np.ones((rows, len(repeats)))
    drawn = np.random.default_rng([seed, start]).integers(0, n, size=(rows, n)) + first
    times: Floats = (drawn[:, :, None] == codes).sum(axis=1).astype(np.float64)
    times[:, codes < first] = 1.0
    return times


def _group_means(totals: Floats, groups: NDArray[Any], n_groups: int, times: Floats | None = None) -> Floats:
    """Mean over each group's columns of sum / count, columns weighted by `times`; those without data are left out."""
    columns = groups.size
    sums, counts = totals[:, :columns], totals[:, columns:]
    present = (counts > 0).astype(np.float64) if times is None else (counts > 0) * times
    ratio = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0) * present
    result = np.full((totals.shape[0], n_groups), np.nan)
    for group in range(n_groups):
        mine = groups == group
        n_columns = present[:, mine].sum(axis=1)
        total = ratio[:, mine].sum(axis=1)
        result[:, group] = np.divide(total, n_columns, out=np.full_like(total, np.nan), where=n_columns > 0)
    return result
