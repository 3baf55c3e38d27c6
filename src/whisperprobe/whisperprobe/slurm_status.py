"""How a submitted study is doing: parts on the disk, tasks in the queue, what failed and where its log is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audiogram.amounts import duration, size
from audiogram.corpus import stage_parts
from audiogram.corpus.layout import Shard
from whisperprobe.slurm import Job
from whisperprobe.slurm_queue import Task, ended_badly
from whisperprobe.slurm_submitting import Submitted, live_of, log_of, read_submitted
from whisperprobe.study_graph import Plan, StagePlan
from whisperprobe.study_progress import PARTED, StageProgress, progress_of, unfinished

__all__ = ["StageStatus", "describe_jobs", "describe_status", "job_data", "job_totals", "study_status"]


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
        if progress.parts and progress.parts == progress.parts_done and not progress.done and stage.kind in PARTED:
            failed = tuple(f"{stage.name}: {said}" for path in stage.outputs for said in unfinished(stage, path))
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
                str(job.clips) if job.stage.kind in (*PARTED, "finetune", "ldl-train") else "",
                asks,
                duration(job.task_seconds),
                size(job.cost.bytes),
                after,
            )
        )
    totals = job_totals(jobs)
    total = totals["bytes"]
    lines = [f"study {planned.study}: {len(jobs)} jobs, written to {planned.out}", "", *_table(rows), ""]
    lines.append(
        f"about {duration(totals['seconds'])} where nothing waits, {totals['core_hours']:.3g} core hours, "
        f"{totals['gpu_hours']:.3g} GPU hours, {size(total)} of disk"
    )
    if free is not None and total > free:
        lines.append(f"warning: only {size(free)} are free there")
    return lines


def job_totals(jobs: Sequence[Job]) -> dict[str, float]:
    """Add up what jobs are expected to take: seconds where nothing waits, core hours, GPU hours, bytes."""
    return {
        "seconds": _longest(jobs),
        "core_hours": sum(job.task_seconds * job.machine.cores for job in jobs) / 3600,
        "gpu_hours": sum(job.task_seconds * job.machine.gpus for job in jobs) / 3600,
        "bytes": sum(job.cost.bytes for job in jobs),
    }


def job_data(job: Job) -> dict[str, Any]:
    """Return a job as plain data: what `describe_jobs` says in a line."""
    return {
        "stage": job.stage.name,
        "kind": job.stage.kind,
        "after": list(job.stage.after),
        "tasks": job.tasks,
        "at_once": job.at_once,
        "parts": job.parts,
        "clips": job.clips,
        "resources": dict(job.resources),
        "seconds": job.seconds,
        "task_seconds": job.task_seconds,
        "bytes": job.cost.bytes,
    }


_SHOWN = ("nodes", "cpus-per-task", "mem", "gres", "time", "partition")


def _longest(jobs: Sequence[Job]) -> float:
    """Seconds of the longest chain of jobs that wait for each other."""
    ends: dict[str, float] = {}
    for job in jobs:
        ends[job.stage.name] = job.seconds + max((ends.get(name, 0.0) for name in job.stage.after), default=0.0)
    return max(ends.values(), default=0.0)


def _failed(
    planned: Plan, stage: StagePlan, own: Sequence[Submitted], live: Sequence[Task], reasons: Mapping[str, str]
) -> tuple[str, ...]:
    """One line for every task that is no longer in the queue and has not done its share, one for all not begun."""
    there = {task.id for task in live}
    newest: dict[int | None, Submitted] = {}  # only the last attempt of each task counts
    for one in own:
        newest |= dict.fromkeys(one.tasks or (None,), one)
    folders = [Path(path) for path in stage.outputs]
    begun = all((folder / "manifest.json").is_file() for folder in folders)
    lines, waited = [], 0
    for index, one in newest.items():
        name = str(one.job) if index is None else f"{one.job}_{index}"
        if name in there:
            continue
        missing = stage.name if index is None else f"{stage.name} task {index}"
        if index is not None and begun:
            parts = Shard(index, one.shards).take(stage_parts(folders[0]))
            left = [part.stem for part in parts if not part.done(folders)]
            if not left:
                continue
            missing += f": part {left[0]}" + (f" and {len(left) - 1} more" if len(left) > 1 else "")
        log = log_of(planned, stage.name, name)
        if log.exists():
            lines.append(f"{missing}{f' ({reasons[name]})' if name in reasons else ''}; log: {log}")
        else:
            waited += 1
    if waited:
        lines.append(f"{stage.name} never started: what it waited for failed, or it was cancelled")
    return tuple(lines)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    kept = [i for i in range(len(rows[0])) if any(row[i] for row in rows[1:])]
    widths = {i: max(len(row[i]) for row in rows) for i in kept}
    return ["  ".join(row[i].ljust(widths[i]) for i in kept).rstrip() for row in rows]
