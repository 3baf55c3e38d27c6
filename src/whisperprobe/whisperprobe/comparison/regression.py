"""What a measure says about people's responses: correlations, and what it adds to a regression on a baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audiogram.errors import InputError

__all__ = ["Correlation", "Gain", "correlate", "gain_over_baseline", "holm", "least_squares"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Correlation:
    """A correlation over words with its interval; `p` is for the hypothesis of none."""

    r: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Gain:
    """What a measure adds to a linear regression of the responses on a baseline.

    Attributes
    ----------
    n : int
        Words.
    slope, slope_low, slope_high : float
        Change of the response for one standard deviation of the measure, with its 95 % interval.
    f, df, p : float
        F of the measure with 1 and `df` degrees of freedom, and its p.
    delta_log_likelihood, p_likelihood_ratio : float
        Log-likelihood with the measure minus without, at least 0, and the p of twice that as χ² with 1 degree.
    delta_aic : float
        AIC without the measure minus with it: above 0 the measure is worth its parameter.
    delta_aic_low, delta_aic_high : float
        The same for the ends of the interval of the partial correlation.
    partial_r, partial_low, partial_high : float
        Correlation of measure and response, the baseline taken out of both.
    """

    n: int
    slope: float
    slope_low: float
    slope_high: float
    f: float
    df: int
    p: float
    delta_log_likelihood: float
    p_likelihood_ratio: float
    delta_aic: float
    delta_aic_low: float
    delta_aic_high: float
    partial_r: float
    partial_low: float
    partial_high: float


def least_squares(response: Floats, design: Floats) -> Any:
    """Return statsmodels' ordinary least squares for a design, to be fitted."""
    from statsmodels.regression.linear_model import OLS  # takes a second, which most commands need not spend

    return OLS(response, design)


def correlate(x: Floats, y: Floats, method: str = "pearson", confidence: float = 0.95) -> Correlation:
    """Correlation of two lists of numbers with its interval.

    Parameters
    ----------
    x, y : ndarray of float64, shape (n,)
        Finite numbers, at least 4 of them and neither constant.
    method : {"pearson", "spearman"}
        Pearson's r, with Fisher's interval (standard error 1 / sqrt(n - 3) of atanh r), or Spearman's rho, with the
        standard error sqrt((1 + rho² / 2) / (n - 3)) [1]_.
    confidence : float, default 0.95
        Coverage of the interval, in (0, 1).

    Returns
    -------
    Correlation

    References
    ----------
    .. [1] D. G. Bonett and T. A. Wright, "Sample size requirements for estimating Pearson, Kendall and Spearman
       correlations", Psychometrika 65 (2000), 23-28.

    Examples
    --------
    >>> import numpy as np
    >>> found = correlate(np.arange(8.0), np.array([1.0, 0, 2, 4, 3, 6, 5, 7]))
    >>> round(found.r, 3), round(found.low, 3), round(found.high, 3)
    (0.929, 0.648, 0.987)
    """
    from scipy.stats import pearsonr, spearmanr

    if len(x) < 4:
        raise InputError(f"{len(x)} words are too few for a correlation with an interval; 4 are needed.")
    result = pearsonr(x, y) if method == "pearson" else spearmanr(x, y)
    r, p = float(result.statistic), float(result.pvalue)
    widening = 1.0 if method == "pearson" else 1 + r * r / 2
    low, high = _fisher(r, len(x) - 3, confidence, widening)
    return Correlation(r, low, high, p)


def correlate_ranks_beyond(x: Floats, y: Floats, others: Floats) -> Correlation:
    """Rank correlation of two lists of numbers with what other predictors explain taken out of both ranks.

    Parameters
    ----------
    x, y : ndarray of float64, shape (n,)
        Finite numbers, neither constant.
    others : ndarray of float64, shape (n, k)
        What is taken out, by least squares; columns may determine each other. `n` is at least 4 above their rank.

    Returns
    -------
    Correlation
        Its interval has the standard error sqrt((1 + rho² / 2) / (n - 3 - rank)).

    Examples
    --------
    >>> import numpy as np
    >>> z = np.arange(40.0)
    >>> x, y = z + 3 * np.sin(1.3 * z), z + 3 * np.cos(2.1 * z)
    >>> round(correlate(x, y, "spearman").r, 2), round(correlate_ranks_beyond(x, y, z[:, None]).r, 2)
    (0.97, 0.06)
    """
    from scipy.special import stdtr
    from scipy.stats import rankdata

    design = np.column_stack([np.ones(len(x)), others])
    rank = int(np.linalg.matrix_rank(design)) - 1
    if len(x) < rank + 4:
        raise InputError(f"{len(x)} words are too few to take {rank} predictors out of them; {rank + 4} are needed.")
    ranks = np.column_stack([rankdata(x), rankdata(y)])
    rest = ranks - design @ np.linalg.lstsq(design, ranks, rcond=None)[0]
    sizes = np.sqrt((rest**2).sum(axis=0))
    r = float(rest[:, 0] @ rest[:, 1] / (sizes[0] * sizes[1])) if sizes.min() > 1e-9 else 0.0
    low, high = _fisher(r, len(x) - 3 - rank, 0.95, 1 + r * r / 2)
    df = len(x) - 2 - rank
    t = r * math.sqrt(df / max(1 - r * r, 1e-15))
    return Correlation(r, low, high, float(2 * stdtr(df, -abs(t))))


def gain_over_baseline(measure: Floats, response: Floats, baseline: Mapping[str, Floats] | None = None) -> Gain:
    """Fit the responses with and without a measure, by ordinary least squares over words.

    Parameters
    ----------
    measure, response : ndarray of float64, shape (words,)
        Finite numbers. The measure enters as standard scores.
    baseline : mapping of str to ndarray of float64, shape (words,), optional
        Other predictors, in both fits.

    Returns
    -------
    Gain

    Raises
    ------
    InputError
        For fewer words than parameters and two, a constant measure, one that the baseline determines, and a baseline
        whose columns determine each other.
    """
    columns = dict(baseline or {})
    n, parameters = len(response), 2 + len(columns)
    if n < parameters + 2:
        raise InputError(
            f"{n} words are too few for a regression with {parameters} parameters (intercept, measure"
            f"{''.join(f', {name}' for name in columns)}); {parameters + 2} are needed. Join more words, or leave "
            "columns of the baseline out."
        )
    base = np.column_stack([np.ones(n), *(standard_scores(values, name) for name, values in columns.items())])
    z = standard_scores(measure, "the measure")
    if np.linalg.matrix_rank(base) < base.shape[1]:
        raise InputError(f"the columns of the baseline determine each other: {', '.join(columns)}. Leave one out.")
    rest = z - base @ np.linalg.lstsq(base, z, rcond=None)[0]
    if np.sqrt(np.mean(rest**2)) < 1e-7:
        raise InputError(f"the measure is determined by the baseline ({', '.join(columns)}); it cannot add to it.")
    without = least_squares(response, base).fit()
    with_it = least_squares(response, np.column_stack([base, z])).fit()
    f, p, _ = with_it.compare_f_test(without)
    ratio, p_ratio, _ = with_it.compare_lr_test(without)
    df = int(with_it.df_resid)
    t = float(with_it.tvalues[-1])
    partial = t / math.sqrt(t * t + df)
    low, high = _fisher(partial, df - 1, 0.95)  # n - 3 less the columns of the baseline
    bounds = with_it.conf_int()[-1]
    worst, best = (0.0 if low <= 0 <= high else min(abs(low), abs(high))), max(abs(low), abs(high))
    return Gain(
        n=n, slope=float(with_it.params[-1]), slope_low=float(bounds[0]), slope_high=float(bounds[1]),
        f=float(f), df=df, p=float(p),
        delta_log_likelihood=float(ratio) / 2, p_likelihood_ratio=float(p_ratio),
        delta_aic=float(without.aic - with_it.aic),
        delta_aic_low=_aic_of_partial(worst, n), delta_aic_high=_aic_of_partial(best, n),
        partial_r=partial, partial_low=low, partial_high=high,
    )  # fmt: skip


def holm(p: Floats) -> Floats:
    """Adjust the p of several tests so that the chance of any false finding stays at the level (Holm, 1979).

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def standard_scores(values: Floats, name: str) -> Floats:
    """(x - mean) / standard deviation; a column that does not vary is refused by its name."""
    deviation = float(np.std(values))
    if deviation <= 1e-12 * max(1.0, float(np.abs(values).max(initial=0.0))):
        raise InputError(f"{name} is the same for all {len(values)} words ({values[0]:g}); it can explain nothing.")
    return np.asarray((values - values.mean()) / deviation)


def _fisher(r: float, weight: float, confidence: float, widening: float = 1.0) -> tuple[float, float]:
    from scipy.special import ndtri

    if weight <= 0:
        return -1.0, 1.0
    if abs(r) >= 1:
        return r, r
    half = float(ndtri(0.5 + confidence / 2)) * math.sqrt(widening / weight)
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)


def _aic_of_partial(partial: float, n: int) -> float:
    """Gain in AIC of one parameter, from the partial correlation: -n ln(1 - r²) - 2."""
    return -n * math.log1p(-min(partial * partial, 1 - 1e-15)) - 2
