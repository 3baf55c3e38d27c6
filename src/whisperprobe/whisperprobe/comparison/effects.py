"""What each condition does to each measure of each listener, against the reference condition, paired by word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from whisperprobe.comparison.result import Comparison

__all__ = ["condition_effects", "reference_condition"]


def reference_condition(conditions: Sequence[str]) -> str:
    """The condition that the others are measured against: `normal` where there is one, else the first."""
    return "normal" if "normal" in conditions else conditions[0]


def condition_effects(comparison: Comparison) -> pd.DataFrame:
    """Change of every measure from the reference condition to each other, for each model.

    Parameters
    ----------
    comparison : Comparison
        Runs of any listeners.

    Returns
    -------
    DataFrame
        listener, model, condition, reference, measure, mean_reference, mean, difference, low, high (95 % bootstrap
        interval over words and, where there are several, training seeds), n_words, n_seeds.
    """
    reference = reference_condition(comparison.conditions)
    cells = comparison.cells
    rows = []
    for model in comparison.models:
        if (model, reference) not in cells:
            continue
        before = cells.index((model, reference))
        n_seeds = max(1, int(comparison.clips.loc[comparison.clips["model"] == model, "seed"].nunique()))
        for measure in comparison.measures_of(model):
            boot = comparison.bootstrap(measure, seeds=n_seeds > 1)
            for condition in comparison.conditions:
                if condition == reference or (model, condition) not in cells:
                    continue
                here = cells.index((model, condition))
                difference, low, high = boot.difference(before, here)
                rows.append(
                    {
                        "listener": comparison.listener(model), "model": model, "condition": condition,
                        "reference": reference, "measure": measure, "mean_reference": float(boot.estimates[before]),
                        "mean": float(boot.estimates[here]), "difference": difference, "low": low, "high": high,
                        "n_words": int(min(boot.n_words[before], boot.n_words[here])),
                        "n_seeds": n_seeds,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows, columns=_COLUMNS).round(10)


_COLUMNS = (
    "listener", "model", "condition", "reference", "measure", "mean_reference", "mean", "difference", "low", "high",
    "n_words", "n_seeds",
)  # fmt: skip
