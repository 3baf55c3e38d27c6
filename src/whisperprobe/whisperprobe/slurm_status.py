"""How a submitted study is doing: parts on the disk, tasks in the queue, what failed and where its log is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from audiogram.corpus import stage_parts
from audiogram.corpus.layout import Shard
from whisperprobe.slurm import Job
from whisperprobe.slurm_queue import Task, ended_badly
from whisperprobe.slurm_submitting import Submitted, live_of, log_of, read_submitted
from whisperprobe.study_plan import Plan, StagePlan
from whisperprobe.study_progress import PARTED, StageProgress, progress_of

__all__ = ["StageStatus", "describe_jobs", "describe_status", "study_status"]


@dataclass(frozen=True)
class StageStatus:
    """One stage of a submitted study.

    Attributes
    ----------
    name : str
        The stage.
    progress : StageProgress
        What lies on the disk.
    running, waiting : int
        Its tasks in the queue.
    failed : tuple of str
        What each task that ended without finishing left undone, why, and its log.
    seconds_left : float or None
        At the rate so far; None where nothing runs, or nothing is known yet.
    """

    name: str
    progress: StageProgress
    running: int
    waiting: int
    failed: tuple[str, ...]
    seconds_left: float | None


def study_status(planned: Plan) -> list[StageStatus]:
    """Look how far the stages of a study are."""
    out = Path(planned.out)
    live, submitted = live_of(out), read_submitted(out)
    reasons = ended_badly(one.job for one in submitted)
    found = []
    for stage in planned.stages:
        progress, tasks = progress_of(stage), live.get(stage.name, [])
        running = sum(task.running for task in tasks)
        own = [one for one in submitted if one.stage == stage.name]
        failed = () if progress.done else _failed(planned, stage, own, tasks, reasons)
        left = (progress.clips - progress.clips_done) / progress.rate if progress.rate and running else None
        found.append(StageStatus(stage.name, progress, running, len(tasks) - running, failed, left))
    return found


def describe_status(status: Sequence[StageStatus]) -> list[str]:
    """Return the table of the stages, and what failed."""
    rows = [("stage", "parts", "clips", "running", "waiting", "failed", "rate", "left")]
    for one in status:
        p = one.progress
        rows.append(
            (
                one.name,
                "done" if p.done else f"{p.parts_done}/{p.parts}" if p.parts else "-",
                f"{p.clips_done}/{p.clips}" if p.clips > 1 else "",
                str(one.running or ""),
                str(one.waiting or ""),
                str(len(one.failed) or ""),
                f"{p.rate:.3g}/s" if p.rate and not p.done else "",
                duration(one.seconds_left) if one.seconds_left is not None else "",
            )
        )
    lines = _table(rows)
    failed = [line for one in status for line in one.failed]
    if failed:
        lines += ["", "failed:", *(f"  {line}" for line in failed), "`--resume` submits what is unfinished."]
    return lines


def describe_jobs(jobs: Sequence[Job], planned: Plan, free: int | None = None) -> list[str]:
    """Return the plan as a table of jobs, with what each asks for and is expected to take."""
    rows = [("job", "tasks", "parts", "clips", "asks for", "time", "disk", "after")]
    for job in jobs:
        array = f"{job.tasks} (%{job.at_once})" if job.shards else "1"
        asks = ", ".join(f"{name}={value}" for name, value in job.resources.items() if name in _SHOWN)
        after = ", ".join(job.stage.after[:2]) + (f" and {len(job.stage.after) - 2} more" * (len(job.stage.after) > 2))
        rows.append(
            (
                job.stage.name,
                array,
                str(job.parts or ""),
                str(job.clips) if job.stage.kind in (*PARTED, "finetune") else "",
                asks,
                duration(job.task_seconds),
                size(job.cost.bytes),
                after,
            )
        )
    total = sum(job.cost.bytes for job in jobs)
    lines = [f"study {planned.study}: {len(jobs)} jobs, written to {planned.out}", "", *_table(rows), ""]
    cores = sum(job.task_seconds * job.machine.cores for job in jobs) / 3600
    gpus = sum(job.task_seconds * job.machine.gpus for job in jobs) / 3600
    lines.append(
        f"about {duration(_longest(jobs))} where nothing waits, {cores:.3g} core hours, {gpus:.3g} GPU hours, "
        f"{size(total)} of disk"
    )
    if free is not None and total > free:
        lines.append(f"warning: only {size(free)} are free there")
    return lines


_SHOWN = ("nodes", "cpus-per-task", "mem", "gres", "time", "partition")


def duration(seconds: float) -> str:
    """Say a duration as people do.

    Examples
    --------
    >>> duration(42), duration(600), duration(7200)
    ('42 s', '10 min', '2.0 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Say a number of bytes as people do.

    Examples
    --------
    >>> size(1500), size(2.5e9)
    ('1.5 kB', '2.5 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _longest(jobs: Sequence[Job]) -> float:
    """Seconds of the longest chain of jobs that wait for each other."""
    ends: dict[str, float] = {}
    for job in jobs:
        ends[job.stage.name] = job.seconds + max((ends.get(name, 0.0) for name in job.stage.after), default=0.0)
    return max(ends.values(), default=0.0)


def _failed(
    planned: Plan, stage: StagePlan, own: Sequence[Submitted], live: Sequence[Task], reasons: Mapping[str, str]
) -> tuple[str, ...]:
    """One line for every task that is no longer in the queue and has not done its share."""
    there = {task.id for task in live}
    last: dict[int | None, Submitted] = {}
    for one in own:  # only the newest attempt counts
        last |= dict.fromkeys(one.tasks or (None,), one)
    folders = [Path(path) for path in stage.outputs]
    lines = []
    for index, one in last.items():
        name = str(one.job) if index is None else f"{one.job}_{index}"
        if name in there:
            continue
        missing = stage.name
        if index is not None:
            begun = all((folder / "manifest.json").is_file() for folder in folders)
            parts = Shard(index, one.shards).take(stage_parts(folders[0])) if begun else ()
            left = [part.stem for part in parts if not part.done(folders)]
            if begun and not left:
                continue
            missing = f"{stage.name} task {index}" + (f": part {left[0]}" if left else "")
            missing += f" and {len(left) - 1} more" if len(left) > 1 else ""
        why = f" ({reasons[name]})" if name in reasons else ""
        log = log_of(planned, stage.name, name)
        lines.append(f"{missing}{why}; log: {log}" if log.exists() else f"{missing}{why}: it never started")
    return tuple(lines)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    kept = [i for i in range(len(rows[0])) if any(row[i] for row in rows[1:])]
    widths = {i: max(len(row[i]) for row in rows) for i in kept}
    return ["  ".join(row[i].ljust(widths[i]) for i in kept).rstrip() for row in rows]
