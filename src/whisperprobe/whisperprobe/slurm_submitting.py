"""Submitting a study: every stage a job that waits for those it needs, and a record of what was submitted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from audiogram.corpus import stage_parts
from audiogram.corpus.files import write_whole
from audiogram.corpus.layout import Shard
from audiogram.errors import AudiogramError, InputError, WorkError
from whisperprobe.slurm import Job
from whisperprobe.slurm_queue import Task, cancel, live_tasks, submit_recipe
from whisperprobe.slurm_settings import ClusterSettings
from whisperprobe.study_graph import Plan
from whisperprobe.study_progress import progress_of, unfinished

__all__ = ["FOLDER", "Submitted", "live_of", "log_of", "read_submitted", "render_flags", "submit_jobs", "tasks_left"]

FOLDER = "slurm"  # in the results: jobs.json and logs/


@dataclass(frozen=True)
class Submitted:
    """A job that was submitted: its number, its stage, its tasks of how many (both empty where it is no array)."""

    job: int
    stage: str
    shards: int = 0
    tasks: tuple[int, ...] = field(default=())


def submit_jobs(
    jobs: Sequence[Job],
    planned: Plan,
    settings: ClusterSettings,
    arguments: Sequence[str],
    *,
    resume: bool = False,
) -> list[Submitted]:
    """Submit the jobs of a study, each after those that it needs; all of them, or none.

    Parameters
    ----------
    jobs : sequence of Job
        Of the stages that are wanted, in the plan's order.
    planned : Plan
        The whole study.
    settings : ClusterSettings
        Whose jobs they are.
    arguments : sequence of str
        What `whisperprobe` is to be given besides the stage: ``run STUDY.toml --out DIR``.
    resume : bool, default False
        Go on with a study that was submitted before: finished stages, finished parts and tasks that are in the queue
        are left out.

    Returns
    -------
    list of Submitted
        Empty where nothing is left to do.

    Raises
    ------
    InputError
        The study has begun already and `resume` was not asked for, or a stage lacks what it needs.
    WorkError
        Slurm refuses a job; those of this call that it had taken are cancelled. A stage has done all of its parts,
        and more of its clips failed than may.
    """
    out = Path(planned.out)
    before = read_submitted(out)
    live = live_of(out)
    begun = [job.stage.name for job in jobs if job.stage.name in live or progress_of(job.stage).parts_done]
    if begun and not resume:
        raise InputError(
            f"{out} holds results or waits for jobs of {begun[0]} already. --status says how far it is, --resume "
            f"submits what is unfinished, --cancel ends its jobs."
        )
    waits = {stage: [task.id for task in tasks] for stage, tasks in live.items()}
    new: list[Submitted] = []
    (out / FOLDER / "logs").mkdir(parents=True, exist_ok=True)
    try:
        for job in jobs:
            after = [one for name in job.stage.after for one in waits.get(name, [])]
            _check_needed(job, planned, waits)
            if {one.stage for one in new} & {*job.stage.after}:  # what waits for the attempt before would be cancelled
                cancel(task.id for task in live.pop(job.stage.name, []))
                waits.pop(job.stage.name, None)
            busy = [task.index for task in live.get(job.stage.name, []) if task.index is not None]
            tasks = [task for task in tasks_left(job) if task not in busy]
            if job.shards and not tasks:
                if not busy:
                    _check_failures(job)
                continue
            if not job.shards and (job.stage.name in live or (progress_of(job.stage).done and not after)):
                continue
            number = submit_recipe(
                settings.folder,
                render_flags(job, planned, settings, after, tasks),
                job.recipe,
                [*arguments, "--only", job.stage.name],
                {"CLUSTER_DIR": str(settings.folder), "SHARDS": str(job.shards or "")},
            )
            new.append(Submitted(number, job.stage.name, job.shards, tuple(tasks)))
            waits.setdefault(job.stage.name, []).append(str(number))
            _write(out, [*before, *new])
    except AudiogramError:
        cancel(str(one.job) for one in new)
        _write(out, before)
        raise
    return new


def render_flags(
    job: Job, planned: Plan, settings: ClusterSettings, after: Sequence[str] = (), tasks: Sequence[int] = ()
) -> list[str]:
    """Render what sbatch is told about a job: whose, where, how large, after what, which tasks of its array."""
    log = log_of(planned, job.stage.name, "%A_%a" if job.shards else "%j")
    flags = {"job-name": f"{planned.study}.{job.stage.name}", **settings.whose(), **job.resources, "output": str(log)}
    flags["export"] = "ALL"
    if job.shards:
        flags["array"] = f"{_ranges(tasks or range(job.shards))}%{job.at_once}"
    if after:
        flags["dependency"] = "afterok:" + ":".join(after)
        flags["kill-on-invalid-dep"] = "yes"
    return [f"--{name}={value}" for name, value in flags.items()]


def tasks_left(job: Job) -> list[int]:
    """Those tasks of a job's array that have unfinished parts; for a job that is no array, none."""
    if not job.shards:
        return []
    folders = [Path(path) for path in job.stage.outputs]
    if not all((folder / "manifest.json").is_file() for folder in folders):
        return list(range(job.shards))
    parts = stage_parts(folders[0])
    return [
        index
        for index in range(job.shards)
        if any(not part.done(folders) for part in Shard(index, job.shards).take(parts))
    ]


def live_of(out: Path) -> dict[str, list[Task]]:
    """Tasks of the study that are waiting or running, by stage."""
    submitted = {one.job: one.stage for one in read_submitted(out)}
    found: dict[str, list[Task]] = {}
    for task in live_tasks(submitted):
        found.setdefault(submitted[task.job], []).append(task)
    return found


def log_of(planned: Plan, stage: str, job: str) -> Path:
    """Where a job, or a task of an array (``JOB_INDEX``), says what it does."""
    return Path(planned.out) / FOLDER / "logs" / f"{stage}-{job}.log"


def read_submitted(out: Path) -> list[Submitted]:
    """What was submitted for the results in a folder, oldest first."""
    file = out / FOLDER / "jobs.json"
    if not file.is_file():
        return []
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
        return [Submitted(**{**row, "tasks": tuple(row["tasks"])}) for row in rows]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{file} cannot be read ({error}). Remove it when `squeue --me` shows no job of this study."
        ) from None


def _write(out: Path, submitted: Iterable[Submitted]) -> None:
    rows = ",\n".join(json.dumps(asdict(one)) for one in submitted)
    write_whole(out / FOLDER / "jobs.json", f"[\n{rows}\n]\n".encode())


def _check_needed(job: Job, planned: Plan, waits: Mapping[str, Sequence[str]]) -> None:
    for name in job.stage.after:
        if name not in waits and not progress_of(planned.stage(name)).done:
            raise InputError(
                f"stage {job.stage.name} needs stage {name}, which is neither finished nor in the queue. "
                f"Submit it first, or the whole study."
            )


def _check_failures(job: Job) -> None:
    """Refuse to go on from a stage that has written all parts and failed: too many of its clips did."""
    for path in job.stage.outputs:
        for said in unfinished(job.stage, path):
            raise WorkError(
                f"stage {job.stage.name} failed: {said}. Mend the corpus and remove {path}, or raise max_failures in "
                f"the study file."
            )


def _ranges(numbers: Iterable[int]) -> str:
    """Numbers as Slurm writes them.

    Examples
    --------
    >>> _ranges([0, 1, 2, 5, 7, 8])
    '0-2,5,7-8'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number])
    return ",".join("-".join(map(str, run)) for run in runs)
