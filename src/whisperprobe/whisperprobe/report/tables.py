"""The table of words: its columns and rows as plain data for DataTables, and the matrix in numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from whisperprobe.comparison.result import BASE, Comparison, model_name

__all__ = ["matrix_rows", "word_columns"]


def word_columns(comparison: Comparison, order: Sequence[str]) -> dict[str, Any]:
    """One row per word; per condition the unadapted model's accuracy, surprisal and confusion, and the tuned model's.

    Returns
    -------
    dict
        `groups` (heading and width of every group of columns), `columns` (key, title, kind: text, percent, bits or
        count) and `rows` (lists; None where there is no value).
    """
    table = comparison.words()
    sizes = comparison.clips[comparison.clips["word"].notna()].groupby("word")["clip_id"].nunique()
    columns = [("word", "Word", "text"), ("recordings", "n", "count")]
    words = [str(w) for w in sizes.index]
    data: list[list[Any]] = [list(words), [int(n) for n in sizes]]
    groups = [("", 2)]
    for condition in order:
        width = 0
        for model in (BASE, condition):
            rows = table[(table["model"] == model) & (table["condition"] == condition)].set_index("word").reindex(words)
            if (model, condition) not in comparison.cells:
                continue
            who = "unadapted" if model == BASE else "tuned"
            columns.append(
                (f"accuracy_{who}_{condition}", "correct %" if model == BASE else "tuned correct %", "percent")
            )
            data.append([_rounded(100 * v, 1) for v in rows["accuracy"]])
            columns.append((f"surprisal_{who}_{condition}", "bits" if model == BASE else "tuned bits", "bits"))
            data.append([_rounded(v, 2) for v in rows["surprisal"]])
            width += 2
            if model == BASE:
                columns.append((f"confusion_{who}_{condition}", "heard as", "text"))
                data.append([c if isinstance(c, str) else None for c in rows["confusion"]])
                width += 1
        groups.append((f"hearing {condition}", width))
    return {
        "groups": [g for g in groups if g[1]],
        "columns": [{"key": key, "title": title, "kind": kind} for key, title, kind in columns],
        "rows": [list(row) for row in zip(*data, strict=True)],
    }


def matrix_rows(comparison: Comparison, order: Sequence[str]) -> list[dict[str, Any]]:
    """The cross-condition matrix in numbers, for readers of tables and screen readers."""
    accuracy, surprisal = comparison.by_cell("correct"), comparison.by_cell("word_surprisal")
    return [
        {
            "model": model_name(model, order),
            "condition": condition,
            "accuracy": _interval(accuracy[model, condition], 100, " %"),
            "surprisal": _interval(surprisal[model, condition], 1, " bits"),
            "seeds": _seeds(accuracy[model, condition]),
            "answers": f"{int(accuracy[model, condition]['n_clips']):,}",
        }
        for model in comparison.models
        for condition in order
        if (model, condition) in comparison.cells
    ]


def _interval(row: Any, scale: float, unit: str) -> str:
    if not math.isfinite(row["mean"]):
        return "–"
    text = f"{scale * row['mean']:.1f}{unit}"
    if row["low"] < row["high"]:
        text += f" ({scale * row['low']:.1f} to {scale * row['high']:.1f})"
    return text


def _seeds(row: Any) -> str:
    return f"{100 * row['seed_min']:.1f} to {100 * row['seed_max']:.1f} %" if row["n_seeds"] > 1 else ""


def _rounded(value: float, digits: int) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None
