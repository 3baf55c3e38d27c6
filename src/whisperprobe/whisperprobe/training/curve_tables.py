"""The tables of a run that grow step by step, and how they are cut back to the step that a run goes on from."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from audiogram.corpus.files import write_whole

__all__ = [
    "EVALUATION", "EVALUATIONS", "EVALUATION_COLUMNS", "TENSORBOARD", "TRAINING", "TRAINING_COLUMNS", "StepTable",
    "drop_hypotheses", "remove_curves",
]  # fmt: skip

TRAINING, EVALUATION, EVALUATIONS, TENSORBOARD = "training.csv", "evaluation.csv", "evaluations", "tensorboard"
TRAINING_COLUMNS = ("step", "epoch", "loss", "learning_rate", "grad_norm", "clips_per_second", "memory_gb")
EVALUATION_COLUMNS = (
    "step", "epoch", "loss", "wer", "cer", "word_accuracy", "sentence_accuracy", "n_clips", "n_words",
)  # fmt: skip


class StepTable:
    """A CSV file of one row per step, in the order of steps.

    Parameters
    ----------
    file : Path
        Where it is.
    columns : sequence of str
        Its heading; the first is `step`.
    """

    def __init__(self, file: Path, columns: Sequence[str]) -> None:
        self.file, self.columns, self.last = file, tuple(columns), 0

    def cut(self, step: int) -> None:
        """Drop what lies behind a step and what a kill left half written; write the heading where there is none."""
        rows: list[list[str]] = []
        if step > 0 and self.file.is_file():
            with self.file.open(newline="", encoding="utf-8") as stream:
                for row in csv.DictReader(stream):
                    whole = None not in row and None not in row.values() and row["step"].isdigit()
                    if whole and int(row["step"]) <= step:
                        rows.append([row.get(name) or "" for name in self.columns])
        whole = io.StringIO()
        csv.writer(whole, lineterminator="\n").writerows([list(self.columns), *rows])
        write_whole(self.file, whole.getvalue().encode())
        self.last = int(rows[-1][0]) if rows else 0

    def add(self, row: Mapping[str, Any], *, durably: bool = False) -> None:
        """Append one row, in place of one of the same step; `durably`: return once it lies on the disk."""
        if row["step"] <= self.last:
            self.cut(row["step"] - 1)
        self.last = row["step"]
        values = [row.get(name) for name in self.columns]
        with self.file.open("a", newline="", encoding="utf-8") as stream:
            csv.writer(stream, lineterminator="\n").writerow(
                ["" if v is None else f"{v:.8g}" if isinstance(v, float) else v for v in values]
            )
            if durably:
                stream.flush()
                os.fsync(stream.fileno())


def drop_hypotheses(folder: Path, step: int) -> None:
    """Remove the tables of hypotheses of later steps than one."""
    for file in (folder / EVALUATIONS).glob("step-*.csv"):
        if int(file.stem.removeprefix("step-")) > step:
            file.unlink()


def remove_curves(folder: Path) -> None:
    """Forget a run's tables and event files."""
    for name in (TRAINING, EVALUATION):
        (folder / name).unlink(missing_ok=True)
    for name in (EVALUATIONS, TENSORBOARD):
        shutil.rmtree(folder / name, ignore_errors=True)
