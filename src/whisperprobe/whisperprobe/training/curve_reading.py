"""Curves of finished or running trainings: this project's tables, or TensorBoard event files that others wrote."""

from __future__ import annotations

import contextlib
import csv
import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audiogram.errors import InputError
from whisperprobe.json_files import read_json
from whisperprobe.training.curve_tables import EVALUATION, TRAINING

__all__ = ["Curve", "RunCurves", "quiet_loggers", "read_runs"]

_log = logging.getLogger("whisperprobe")
MEASURES = {
    "loss": "train", "learning_rate": "train", "grad_norm": "train",
    "eval_loss": "eval", "wer": "eval", "cer": "eval", "word_accuracy": "eval", "sentence_accuracy": "eval",
}  # fmt: skip
"""What is drawn, and whether it is known of training or of evaluation."""


@dataclass(frozen=True, eq=False)
class Curve:
    """One number over optimiser steps.

    Attributes
    ----------
    steps : int64 array, shape (points,)
        Increasing.
    values : float64 array, shape (points,)
        Finite.
    """

    steps: np.ndarray[Any, np.dtype[np.int64]]
    values: np.ndarray[Any, np.dtype[np.float64]]

    @classmethod
    def of(cls, points: Iterable[tuple[int, float]]) -> Curve:
        """From points in any order; of several at one step the last counts, and those that are not finite none."""
        kept = dict(sorted(points, key=lambda point: point[0]))
        kept = {step: value for step, value in kept.items() if math.isfinite(value)}
        return cls(np.array(list(kept), dtype=np.int64), np.array(list(kept.values()), dtype=np.float64))


@dataclass(frozen=True, eq=False)
class RunCurves:
    """The curves of one run.

    Attributes
    ----------
    name : str
        As the legend has it.
    curves : mapping of str to Curve
        By name of `MEASURES`; at least one.
    best_step : int or None
        The step whose weights were kept; for a run that does not say, that of the lowest word error rate, or without
        one of the lowest loss on the validation split.
    """

    name: str
    curves: Mapping[str, Curve]
    best_step: int | None


def read_runs(runs: Sequence[str | Path]) -> list[RunCurves]:
    """Read runs: run folders, event files, or folders in which such lie, each of which is a run.

    Parameters
    ----------
    runs : sequence of str or Path
        Where they are; `NAME=PATH` names a run for the legend.

    Raises
    ------
    InputError
        For a path without curves, for two runs of one name, or for event files where TensorBoard is not installed.
    """
    if isinstance(runs, str | Path):
        runs = [runs]
    found: list[tuple[str | None, Path]] = []
    for run in runs:
        name, path = _named(run)
        places = _places(path)
        if not places:
            raise InputError(_nothing(path))
        if name is not None and len(places) > 1:
            within = ", ".join(str(p.relative_to(path)) for p in places[:3])
            raise InputError(f"{path} holds {len(places)} runs ({within}, ...), which cannot all be named {name!r}.")
        found += [(name, place) for place in places]
    if not found:
        raise InputError("no run was given; name the folder of one.")
    unnamed = iter(_distinct([place for name, place in found if name is None]))
    names = [next(unnamed) if name is None else name for name, _ in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"two runs are named {twice[0]!r}; name them apart: NAME=PATH.")
    return [_read(name, place) for name, (_, place) in zip(names, found, strict=True)]


@contextlib.contextmanager
def quiet_loggers(*names: str) -> Iterator[None]:
    """Keep what other packages note by the way out of this project's output."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _named(run: str | Path) -> tuple[str | None, Path]:
    if isinstance(run, str) and "=" in run and not Path(run).exists():
        name, _, path = run.partition("=")
        if name.strip():
            return name.strip(), Path(path)
    return None, Path(run)


def _places(path: Path) -> list[Path]:
    """Folders or files below a path that are a run each."""
    if path.is_file():
        return [path] if _is_events(path.name) or path.name == TRAINING else []
    places = []
    for folder, inner, files in os.walk(path):
        if TRAINING in files:
            inner.clear()  # its own event files say the same
            places.append(Path(folder))
        elif any(map(_is_events, files)):
            places.append(Path(folder))
        inner.sort()
    return places


def _is_events(name: str) -> bool:
    return "tfevents" in name and not name.startswith(".")


def _nothing(path: Path) -> str:
    if not path.exists():
        return f"{path} does not exist; give the folder of a run."
    if path.is_file():
        return f"{path} is neither a {TRAINING} nor a TensorBoard event file; give the folder of a run."
    holds = ", ".join(sorted(p.name for p in path.iterdir())[:4]) or "nothing"
    return (
        f"{path} has no curves: neither {TRAINING} nor TensorBoard event files (*tfevents*) lie in it or below (it "
        f"holds {holds}). Give the folder that finetune wrote, or the one that TensorBoard is shown."
    )


def _distinct(places: Sequence[Path]) -> list[str]:
    """The shortest ends of paths that tell them apart."""
    parts = [place.resolve().parts for place in places]
    if len(set(parts)) < len(parts):
        again = next(place for place, own in zip(places, parts, strict=True) if parts.count(own) > 1)
        raise InputError(f"{again} was given twice.")
    names = []
    for own in parts:
        for n in range(1, len(own) + 1):
            if sum(other[-n:] == own[-n:] for other in parts) == 1:
                break
        names.append("/".join(own[-n:]))
    return names


def _read(name: str, place: Path) -> RunCurves:
    own = place if place.is_dir() else place.parent
    if place.name == TRAINING or (place / TRAINING).is_file():
        points = {**_table(own / TRAINING, ""), **_table(own / EVALUATION, "eval_")}
        best = _best_of(own)
    else:
        points, best = _events(place), None
    curves = {measure: Curve.of(points[measure]) for measure in MEASURES if measure in points}
    curves = {measure: curve for measure, curve in curves.items() if len(curve.steps)}
    if not curves:
        raise InputError(f"{place} has no curve yet: no row or event says anything of {', '.join(MEASURES)}.")
    if best is None:
        best = next((_lowest(curves[m]) for m in ("wer", "eval_loss") if m in curves), None)
    return RunCurves(name, curves, best)


def _lowest(curve: Curve) -> int:
    return int(curve.steps[int(curve.values.argmin())])


def _best_of(folder: Path) -> int | None:
    """The step that the run itself kept, where it is done and says so."""
    file = folder / "results.json"
    if not file.is_file():
        return None
    results = read_json(file, "copy the run again")
    step = (results.get("best") or {}).get("step")
    return None if step is None else int(step)


def _table(file: Path, kind: str) -> dict[str, list[tuple[int, float]]]:
    """Columns of one of a run's tables; the loss of evaluation.csv becomes `eval_loss`."""
    if not file.is_file():
        return {}
    points: dict[str, list[tuple[int, float]]] = {}
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            rows = csv.DictReader(stream)
            if not {"step", "loss"} <= set(rows.fieldnames or ()):
                raise InputError(f"{file} has columns {rows.fieldnames}; curves need step and loss.")
            for row in rows:
                for name, value in row.items():
                    if name != "step" and value and row["step"]:
                        points.setdefault(f"{kind}{name}" if name == "loss" else name, []).append(
                            (int(row["step"]), float(value))
                        )
    except (ValueError, TypeError, csv.Error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file} is damaged ({error}); copy the run again.") from error
    return points


def _events(place: Path) -> dict[str, list[tuple[int, float]]]:
    """Scalars under the names that transformers' trainer gives them: `train/loss`, `eval/wer`, ..."""
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from tensorboard.util import tensor_util
    except ModuleNotFoundError as error:
        raise InputError(
            f"{place} holds TensorBoard event files, and the package that reads them is not installed: pip install "
            "'whisperprobe[tensorboard]'."
        ) from error
    read: Any = EventAccumulator(str(place), size_guidance={"scalars": 0, "tensors": 0})
    with quiet_loggers("tensorboard"):
        read.Reload()
    points: dict[str, list[tuple[int, float]]] = {}
    tags = read.Tags()
    for measure, kind in MEASURES.items():
        tag = f"{kind}/{measure.removeprefix('eval_')}"
        if tag in tags["scalars"]:
            points[measure] = [(event.step, event.value) for event in read.Scalars(tag)]
        elif tag in tags["tensors"]:  # as TensorFlow 2 and JAX write scalars
            points[measure] = [
                (event.step, float(tensor_util.make_ndarray(event.tensor_proto))) for event in read.Tensors(tag)
            ]
    if not points:
        there = ", ".join(sorted([*tags["scalars"], *tags["tensors"]])[:6]) or "none"
        raise InputError(
            f"the event files of {place} have no tag that transformers' trainer writes (train/loss, eval/loss, "
            f"eval/wer, train/learning_rate, train/grad_norm, ...); theirs: {there}."
        )
    for measure in ("wer", "cer", "word_accuracy", "sentence_accuracy"):
        # Some recipes log 100 times the rate. No run that is worth a picture errs in more than 150 % of words.
        values = [value for _, value in points.get(measure, ()) if math.isfinite(value)]
        if values and float(np.median(values)) > 1.5:
            _log.info("%s: %s is read as per cent, from %g to %g", place, measure, min(values), max(values))
            points[measure] = [(step, value / 100) for step, value in points[measure]]
    return points
