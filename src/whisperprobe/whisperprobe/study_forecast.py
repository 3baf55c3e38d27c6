"""What a study still has to do on this machine, and what that is expected to take: `whisperprobe run --dry-run`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audiogram.amounts import duration, size
from whisperprobe.slurm_estimates import StudyClips, machine_factors
from whisperprobe.study_costs import START, Machine, expected_cost
from whisperprobe.study_graph import Plan
from whisperprobe.study_progress import progress_of

__all__ = ["Expected", "describe_expected", "expected_stages"]

_IN_PROCESSES = ("mask", "ldl-evaluate")  # as many clips at a time as there are workers


@dataclass(frozen=True)
class Expected:
    """One stage, and what is expected of it.

    Attributes
    ----------
    stage : str
        Its name.
    clips : int
        Clips that it goes through; of a training, all that it hears.
    left : float
        Share that is not done yet, from 0 to 1.
    seconds, bytes : float
        Of what is left; imports and the model's loading, once for all stages, not counted.
    """

    stage: str
    clips: int
    left: float
    seconds: float
    bytes: float


def expected_stages(planned: Plan, *, only: str | None = None, workers: int | None = None) -> list[Expected]:
    """Expect what is left of a study to take, in one process after another. Opens corpora to count their clips.

    Parameters
    ----------
    planned : Plan
        The study.
    only, workers
        As for `run_study`.

    Raises
    ------
    InputError
        `only` names no stage, a corpus cannot be opened, or a record in the results cannot be read.
    """
    import torch

    factors, through = machine_factors(planned.out), StudyClips(planned)
    gpus = int(torch.cuda.device_count()) if torch.cuda.is_available() else 0
    rows = []
    for stage in planned.chosen(only):
        clips, progress = through.of(stage), progress_of(stage)
        cores = workers or stage.options.get("workers", 1)
        own = 0 if stage.kind in _IN_PROCESSES or stage.options.get("device") == "cpu" else gpus
        machine = Machine(cores if stage.kind in _IN_PROCESSES else int(torch.get_num_threads()), own)
        cost = expected_cost(stage, clips, machine, through.shape(stage))
        cost = cost.scaled(*factors.get((stage.kind, machine.gpus > 0), (1.0, 1.0)))
        left = 0.0 if progress.done else 1.0 - progress.clips_done / progress.clips if progress.clips else 1.0
        rows.append(Expected(stage.name, clips.count, left, left * cost.seconds, left * cost.bytes))
    return rows


def describe_expected(rows: Sequence[Expected], planned: Plan) -> list[str]:
    """Return the table of the stages, and their sum."""
    shown = [("stage", "clips", "time", "disk")]
    for row in rows:
        amounts = (duration(row.seconds), size(row.bytes)) if row.left else ("done", "")
        shown.append((row.stage, str(row.clips), *amounts))
    widths = [max(len(row[column]) for row in shown) for column in range(4)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in shown]
    total = sum(row.bytes for row in rows)
    there = next(one for one in (Path(planned.out), *Path(planned.out).parents) if one.exists())
    free = shutil.disk_usage(there).free
    left = sum(row.left > 0 for row in rows)
    lines = [f"study {planned.study}: {left} of {len(rows)} stages left, written to {planned.out}", "", *lines, ""]
    start = max(START.values()) if left else 0.0
    lines.append(
        f"about {duration(start + sum(row.seconds for row in rows))} and {size(total)} of disk on this machine"
    )
    if total > free:
        lines.append(f"warning: only {size(free)} are free there")
    return lines
