"""Which of a run's evaluations was the best, and whether it is time to stop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from audiogram.errors import InputError

__all__ = ["best_evaluation", "evaluations_in", "is_exhausted"]

_PREFIX = "eval_"


def evaluations_in(history: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Evaluations among the entries of a trainer's log: `step` and scores without their prefix."""
    found = []
    for entry in history:
        scores = {name.removeprefix(_PREFIX): value for name, value in entry.items() if name.startswith(_PREFIX)}
        if scores:
            found.append({"step": int(entry["step"]), **scores})
    return found


def best_evaluation(evaluations: Sequence[Mapping[str, Any]], metric: str) -> Mapping[str, Any] | None:
    """The best of some evaluations, None where there are none.

    Of equal ones the one with the lower loss, then the first: a model that has only begun to learn gets every word
    wrong, one that knows a small corpus gets none wrong, and neither says much.

    Parameters
    ----------
    evaluations : sequence of mapping
        From `evaluations_in`, in the order of their steps.
    metric : str
        Name of a score. Of accuracies the highest is best, of everything else the lowest; NaN is never best.

    Raises
    ------
    InputError
        Where the evaluations have no such score; names those that they have.

    Examples
    --------
    >>> found = [{"step": 10, "wer": 0.5, "loss": 1.0}, {"step": 20, "wer": 0.2, "loss": 0.9}]
    >>> best_evaluation([*found, {"step": 30, "wer": 0.2, "loss": 1.1}], "wer")["step"]
    20
    """
    best: Mapping[str, Any] | None = None
    for scores in evaluations:
        if metric not in scores:
            known = sorted(name for name in scores if name != "step" and not name.startswith("n_"))
            raise InputError(f"best_metric {metric!r} is not measured on the validation split; give one of {known}.")
        if scores[metric] != scores[metric]:
            continue
        if best is None or _rank(metric, scores) < _rank(metric, best):
            best = scores
    return best


def is_exhausted(evaluations: Sequence[Mapping[str, Any]], metric: str, patience: int | None) -> bool:
    """Whether the last `patience` evaluations brought nothing better."""
    best = best_evaluation(evaluations, metric)
    if patience is None or best is None:
        return patience is not None and len(evaluations) >= patience
    return sum(bool(scores["step"] > best["step"]) for scores in evaluations) >= patience


def _rank(metric: str, scores: Mapping[str, Any]) -> tuple[float, float]:
    """Smaller is better."""
    value = float(scores[metric])
    return (-value if "accuracy" in metric else value), float(scores["loss"])
