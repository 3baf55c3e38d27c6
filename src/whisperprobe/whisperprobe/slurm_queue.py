"""Talking to Slurm: sbatch, squeue, sacct, scancel, and what they answer."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from audiogram.errors import InputError, WorkError

__all__ = ["Task", "cancel", "ended_badly", "live_tasks", "require_slurm", "submit_recipe"]


@dataclass(frozen=True)
class Task:
    """A job in the queue, or one task of an array: the array's `job`, its number or None, and its `state`."""

    job: int
    index: int | None
    state: str
    reason: str = ""

    @property
    def id(self) -> str:
        """As sbatch and scancel take it."""
        return str(self.job) if self.index is None else f"{self.job}_{self.index}"

    @property
    def running(self) -> bool:
        """Whether it is at work now."""
        return self.state in ("RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED")


def require_slurm() -> None:
    """Raise `InputError` where there is no Slurm."""
    if shutil.which("sbatch") is None:
        raise InputError(
            "there is no sbatch here: jobs are submitted on a cluster's login node. The plan can be had anywhere with "
            "--dry-run, and `whisperprobe run` does a study on one machine."
        )


def submit_recipe(
    folder: Path, flags: Sequence[str], recipe: str, arguments: Sequence[str], variables: Mapping[str, str]
) -> int:
    """Submit a recipe from its folder with variables for its job; return the number of the job.

    Raises
    ------
    WorkError
        Slurm refuses: wrong partition, account or qos, more than the partition has; in Slurm's own words.
    """
    call = ["sbatch", "--parsable", *flags, recipe, *arguments]
    environment = {**os.environ, **variables}  # not in --export, which a comma in a path would cut
    ended = subprocess.run(call, cwd=folder, capture_output=True, text=True, env=environment)
    if ended.returncode != 0:
        said = " ".join(line.removeprefix("sbatch: ").removeprefix("error: ") for line in ended.stderr.splitlines())
        raise WorkError(f"Slurm refuses {recipe}: {said.strip().rstrip('.')}. {_remedy(said)}")
    return int(ended.stdout.strip().partition(";")[0])


def _remedy(said: str) -> str:
    if "artition" in said:
        ended = subprocess.run(["sinfo", "--noheader", "--format=%R"], capture_output=True, text=True)
        there = ", ".join(dict.fromkeys(ended.stdout.split())) or "none"
        return f"Correct SBATCH_PARTITION in .env.local; partitions here: {there}."
    if "violates" in said or "imit" in said:
        return "That is more than you may submit, or for longer: fewer tasks (--resource probe.tasks=8), less time."
    if "ccount" in said or "qos" in said.lower() or "QOS" in said:
        return "Correct SBATCH_ACCOUNT and SBATCH_QOS in .env.local; `sacctmgr show user $USER withassoc` lists yours."
    return "Change the resources with --resource or in .env.local, e.g. --resource probe.gres=gpu:1."


def live_tasks(jobs: Iterable[int]) -> list[Task]:
    """Those of the jobs, and of their arrays' tasks, that are waiting or running."""
    wanted = set(jobs)
    if not wanted:
        return []
    numbers = ",".join(map(str, sorted(wanted)))  # whoever submitted them: people may share a study
    call = ["squeue", "--noheader", "--array", f"--jobs={numbers}", "--format=%F|%K|%T|%r"]
    ended = subprocess.run(call, capture_output=True, text=True)
    if "Invalid job id" in ended.stderr:  # what it says of a single job that it has forgotten
        return []
    if ended.returncode != 0:
        said = next(iter(ended.stderr.strip().splitlines()), "nothing said")
        raise WorkError(f"squeue does not answer ({said}). Try again when Slurm is back.")
    found = []
    for line in ended.stdout.splitlines():
        job, index, state, reason = line.strip().split("|", 3)
        if int(job) in wanted:
            found.append(Task(int(job), int(index) if index.isdigit() else None, state, reason))
    return found


def ended_badly(jobs: Iterable[int]) -> dict[str, str]:
    """How jobs and tasks ended that did not end well, where Slurm keeps accounts; else nothing."""
    numbers = ",".join(str(job) for job in sorted(set(jobs)))
    if not numbers or shutil.which("sacct") is None:
        return {}
    call = ["sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={numbers}", "--format=JobID,State,ExitCode"]
    ended = subprocess.run(call, capture_output=True, text=True)
    if ended.returncode != 0:  # accounting is off on many small clusters
        return {}
    states = {}
    for line in ended.stdout.splitlines():
        task, state, code = line.split("|")
        if state.split()[0] not in ("COMPLETED", "RUNNING", "PENDING", "REQUEUED"):
            states[task] = f"{state.split()[0].lower().replace('_', ' ')}, exit code {code.partition(':')[0]}"
    return states


def cancel(tasks: Iterable[str]) -> None:
    """Cancel jobs or tasks."""
    named = list(tasks)
    if named:
        ended = subprocess.run(["scancel", *named], capture_output=True, text=True)
        if ended.returncode != 0:
            raise WorkError(f"scancel: {ended.stderr.strip()}")
