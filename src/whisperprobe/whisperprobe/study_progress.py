"""How far the stages of a study are, read from what lies on the disk: the only record that a killed job leaves."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audiogram.corpus import stage_parts
from audiogram.corpus.layout import Part, Shard
from audiogram.errors import InputError, WorkError
from whisperprobe.json_files import read_json
from whisperprobe.study_graph import StagePlan

__all__ = ["PARTED", "StageProgress", "clips_done", "progress_of", "unfinished"]

PARTED = frozenset({"mask", "probe", "ldl-evaluate"})  # kinds of stages that work in parts, which can be shared out
_BORNE = 0.05  # share of failures, where the study says nothing
_LAST = {  # what a stage writes last of all
    "finetune": "results.json", "ldl-train": "results.json", "compare": "comparison.json", "report": "",
}  # fmt: skip


@dataclass(frozen=True)
class StageProgress:
    """How far one stage is.

    Attributes
    ----------
    parts, parts_done : int
        Files to write and files written; a stage that does not work in parts is one part. `parts` is 0 where the
        stage has not begun.
    clips, clips_done : int
        The same in clips; of a fine-tuning in optimiser steps, 0 of 0 where it has not begun.
    done : bool
        Whether the stage is finished.
    left : tuple of str
        Names of the unfinished parts, in order.
    rate : float or None
        Clips (steps) per second over what was written so far; None where that says nothing yet.
    """

    parts: int
    parts_done: int
    clips: int
    clips_done: int
    done: bool
    left: tuple[str, ...] = ()
    rate: float | None = None


def progress_of(stage: StagePlan) -> StageProgress:
    """Look on the disk how far a stage is."""
    if stage.kind in PARTED:
        return _of_parts(stage)
    done = all(not unfinished(stage, path) and Path(path).exists() for path in stage.outputs)
    steps, rate = _steps(Path(stage.outputs[0])) if stage.kind == "finetune" else (int(done), None)
    total = int(stage.options.get("max_steps") or (steps if done else 0)) if stage.kind == "finetune" else 1
    return StageProgress(1, int(done), total, total if done else steps, done, () if done else (stage.name,), rate)


def unfinished(stage: StagePlan, path: str | Path) -> tuple[str, ...]:
    """What is missing in one output of a stage, or that too many of its clips failed; empty where it is whole."""
    path = Path(path)
    if stage.kind not in PARTED:
        last = path / _LAST[stage.kind]
        return () if last.exists() else (str(last),)
    try:
        parts = stage_parts(path)
    except InputError:  # not begun
        return (str(path),)
    missing = tuple(f"part {part.stem}" for part in parts if not part.done([path]))
    return missing or _failures(stage, path, parts)


def _failures(stage: StagePlan, path: Path, parts: Sequence[Part]) -> tuple[str, ...]:
    """Say why a stage that has written all of its parts has failed all the same."""
    from audiogram.corpus.stages import check_failures

    try:
        check_failures(path, parts, stage.options.get("max_failures", _BORNE))
    except WorkError as error:
        return (str(error).rstrip("."),)
    return ()


def clips_done(stage: StagePlan, shard: str | tuple[int, int] | None = None) -> int:
    """Count the clips that a stage, or one share of it, has finished; a fine-tuning's are those that it heard."""
    folders = [Path(path) for path in stage.outputs]
    if stage.kind not in PARTED:
        return 0 if unfinished(stage, folders[0]) else _heard(stage)
    if not (folders[0] / "manifest.json").is_file():
        return 0
    return sum(len(part) for part in Shard.parse(shard).take(stage_parts(folders[0])) if part.done(folders))


def _of_parts(stage: StagePlan) -> StageProgress:
    folders = [Path(path) for path in stage.outputs]
    begun = [folder for folder in folders if (folder / "manifest.json").is_file()]
    if not begun:
        return StageProgress(0, 0, 0, 0, done=False)
    parts = stage_parts(begun[0])
    written = [part for part in parts if part.done(folders)]
    times = sorted((part.failures(folders[0]).stat().st_mtime, len(part)) for part in written)
    span = times[-1][0] - times[0][0] if times else 0.0
    return StageProgress(
        parts=len(parts),
        parts_done=len(written),
        clips=sum(map(len, parts)),
        clips_done=sum(map(len, written)),
        done=not any(unfinished(stage, folder) for folder in folders),
        left=tuple(part.stem for part in parts if not part.done(folders)),
        rate=sum(clips for _, clips in times[1:]) / span if span > 0 else None,
    )


def _heard(stage: StagePlan) -> int:
    folder = Path(stage.outputs[0])
    if stage.kind == "ldl-train":
        found = read_json(folder / "results.json", "remove it and run its stage again")
        return int(found["events"]) * int(stage.options.get("epochs", 1))
    if stage.kind != "finetune":
        return 1
    steps, _ = _steps(folder)
    options = read_json(folder / "finetune.json", "remove the folder and run its stage again")
    return steps * int(options.get("global_batch", 1))


def _steps(folder: Path) -> tuple[int, float | None]:
    """Optimiser steps so far, and steps per second."""
    try:
        with (folder / "training.csv").open(newline="", encoding="utf-8") as stream:
            rows = [row for row in csv.DictReader(stream) if (row.get("step") or "").isdigit()]
    except OSError:
        return 0, None
    if not rows:
        return 0, None
    step = int(rows[-1]["step"])
    begun = (folder / "finetune.json").stat().st_mtime if (folder / "finetune.json").is_file() else None
    seconds = (folder / "training.csv").stat().st_mtime - begun if begun is not None else 0.0
    return step, step / seconds if seconds > 0 else None
