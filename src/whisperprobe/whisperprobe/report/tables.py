"""The large tables of the page: which columns they show, and the words' and the recordings' data behind them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from whisperprobe.comparison.listeners import WHISPER
from whisperprobe.comparison.naming import BASE, model_name
from whisperprobe.comparison.result import Cell, Comparison
from whisperprobe.comparison.word_changes import word_changes
from whisperprobe.comparison.words import as_numbers
from whisperprobe.report.cells import Cell as Shown
from whisperprobe.report.cells import SmallTable, number
from whisperprobe.report.infinite import infinite_note, surprisal_by_cell
from whisperprobe.report.packing import Dictionary, Numbers, Texts
from whisperprobe.report.recordings import Recordings

__all__ = ["Large", "matrix_table", "recording_table", "shown_cells", "versions_table", "word_table_of"]


@dataclass(frozen=True, eq=False)
class Large:
    """A table that the page fills from packed columns.

    Parameters
    ----------
    groups : list of (str, int)
        Heading and width of every group of columns.
    columns : list of dict
        key (of the packed column, and of the CSV file), title, kind: text, percent, bits, count or change, whose
        `low` and `high` are keys of the ends of its interval.
    data : list of Texts or Numbers
        The packed columns; empty where another table's are shown.
    notes : tuple of str
        What a reader of the numbers is to know, as sentences.
    """

    groups: list[tuple[str, int]]
    columns: list[dict[str, str]]
    data: list[Texts | Numbers]
    notes: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """What the page's script needs to know beside the data."""
        return {"groups": self.groups, "columns": self.columns}


def shown_cells(comparison: Comparison, condition: str) -> list[Cell]:
    """The cells of a condition that the large tables show: the unadapted and the tuned model, else every Whisper."""
    here = [cell for cell in comparison.cells if cell[1] == condition]
    chosen = [cell for cell in here if cell[0] in (BASE, condition)]
    return chosen or [cell for cell in here if comparison.listener(cell[0]) == WHISPER] or here


def word_table_of(comparison: Comparison, order: Sequence[str], reference: str) -> Large:
    """One row per word: what the conditions changed, then accuracy, surprisal and confusion under each condition."""
    table = comparison.words()
    sizes = comparison.clips[comparison.clips["word"].notna()].groupby("word")["clip_id"].nunique()
    words = [str(w) for w in sizes.index]
    spoken = Dictionary.of("words", words)
    groups = [("", 2)]
    columns = [_column("word", "Word", "text"), _column("recordings", "n", "count")]
    data: list[Texts | Numbers] = [
        Texts("word", words, spoken),
        Numbers("recordings", sizes.to_numpy(dtype=np.float64)),
    ]
    changes = [
        c for c in order if c != reference and {(BASE, c), (BASE, reference)} <= set(comparison.cells)
        and np.isfinite(comparison.values("word_surprisal")).any()
    ]  # fmt: skip
    for condition in changes:
        found = word_changes(comparison, "word_surprisal", (BASE, reference), (BASE, condition))
        rows = found.set_index("word").reindex(words)
        keys = {name: f"{name}_{condition}" for name in ("change", "low", "high")}
        data += [Numbers(key, as_numbers(rows[name]), 2) for name, key in keys.items()]
        ends = {"low": keys["low"], "high": keys["high"]}
        columns.append(_column(keys["change"], f"to {condition}", "change") | ends)
    if changes:
        groups.append((f"change of bits from {reference}", len(changes)))
    confusions = Dictionary.of("confusions", [c if isinstance(c, str) else None for c in table["confusion"]])
    for condition in order:
        width = 0
        for model, _ in shown_cells(comparison, condition):
            rows = table[(table["model"] == model) & (table["condition"] == condition)].set_index("word").reindex(words)
            who, says = _who(model, condition, order)
            columns.append(_column(f"accuracy_{who}_{condition}", f"{says}correct %", "percent"))
            data.append(Numbers(f"accuracy_{who}_{condition}", 100 * as_numbers(rows["accuracy"]), 1))
            width += 1
            if rows["surprisal"].notna().any():  # other listeners than Whisper have none
                columns.append(_column(f"surprisal_{who}_{condition}", f"{says}bits", "bits"))
                data.append(Numbers(f"surprisal_{who}_{condition}", as_numbers(rows["surprisal"]), 2))
                width += 1
            if model != condition:
                key = f"confusion_{who}_{condition}"
                columns.append(_column(key, f"{says}heard as", "text"))
                data.append(Texts(key, [c if isinstance(c, str) else None for c in rows["confusion"]], confusions))
                width += 1
        groups.append((f"hearing {condition}", width))
    note = infinite_note(comparison, order)
    return Large([g for g in groups if g[1]], columns, data, (note,) if note else ())


def recording_table(comparison: Comparison, recordings: Recordings, order: Sequence[str]) -> Large:
    """One row per recording: what the shown models wrote under each condition, and how sure they were of the word."""
    columns = [_column("recording", "Recording", "text"), _column("word", "Word", "text")]
    if any(isinstance(c, Texts) and c.key == "voice" and any(c.values) for c in recordings.columns):
        columns.append(_column("voice", "Voice", "text"))
    groups = [("", len(columns))]
    for condition in order:
        cells = shown_cells(comparison, condition)
        for cell in cells:
            k = comparison.cells.index(cell)
            _, says = _who(cell[0], condition, order)
            columns += [
                _column(f"answer_{k}", f"{says}answer", "text"),
                _column(f"value_{k}", f"{says}{recordings.cells[k]['measure']}", "bits"),
            ]
        groups.append((f"hearing {condition}", 2 * len(cells)))
    return Large([g for g in groups if g[1]], columns, [])


def matrix_table(comparison: Comparison, order: Sequence[str]) -> SmallTable:
    """The cross-condition matrix in numbers, for readers of tables and screen readers."""
    accuracy, surprisal = comparison.by_cell("correct"), surprisal_by_cell(comparison)
    cells = [(m, c) for m in comparison.models for c in order if (m, c) in comparison.cells]
    repeated = any(accuracy[cell]["n_seeds"] > 1 for cell in cells)
    rows = []
    for cell in cells:
        answers = accuracy[cell]["n_clips"]
        seeds = (_seeds(accuracy[cell]),) if repeated else ()
        rows.append(
            (
                model_name(cell[0], order), cell[1], _interval(accuracy[cell], 100, " %"),
                _interval(surprisal[cell], 1, " bits"), *seeds, number(f"{int(answers):,}", answers),
            )
        )  # fmt: skip
    seeds_title = ("Accuracy, lowest to highest seed",) if repeated else ()
    return SmallTable(
        "matrix-table",
        "Word accuracy and mean surprisal of the spoken word, with 95\u00a0% intervals over words.",
        ("Model", "Hearing", "Word accuracy", "Surprisal", *seeds_title, "Answers"),
        tuple(rows),
    )


def versions_table(versions: Mapping[str, str]) -> SmallTable:
    """Versions of the software."""
    caption = "Versions of the software that wrote this report."
    return SmallTable("version-table", caption, ("Package", "Version"), tuple(versions.items()))


def _column(key: str, title: str, kind: str) -> dict[str, str]:
    return {"key": key, "title": title, "kind": kind}


def _who(model: str, condition: str, order: Sequence[str]) -> tuple[str, str]:
    """How a model is called in the keys and the headings of columns, the unadapted one without a word."""
    if model == BASE:
        return "unadapted", ""
    return ("tuned", "tuned ") if model == condition else (model, f"{model_name(model, order)} ")


def _interval(row: Any, scale: float, unit: str) -> Shown:
    if not math.isfinite(row["mean"]):
        return number("∞" if row["mean"] > 0 else "–")
    mean, low, high = (scale * row[name] for name in ("mean", "low", "high"))
    text = f"{mean:.1f}{unit}"
    if low < high:
        text += f" ({low:.1f} to {high:.1f})"
    return number(text, mean, low, high)


def _seeds(row: Any) -> Shown:
    if row["n_seeds"] <= 1:
        return number("")
    low, high = 100 * row["seed_min"], 100 * row["seed_max"]
    return number(f"{low:.1f} to {high:.1f} %", low, low, high)
