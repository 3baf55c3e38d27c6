"""A study's plan as Slurm jobs: which recipe each stage runs by, how many tasks share its parts, what it asks for."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from audiogram.errors import InputError, unknown_name
from whisperprobe.slurm_estimates import Factors, StudyClips
from whisperprobe.slurm_settings import ClusterSettings
from whisperprobe.study_costs import Cost, Machine, expected_cost
from whisperprobe.study_graph import Plan, StagePlan
from whisperprobe.study_progress import PARTED

__all__ = ["Job", "plan_jobs"]

LAUNCH = 4.0  # s that a task takes beside its stage: Slurm, bash, an interpreter
_TASK_SECONDS = 1800  # shorter tasks cost a scheduler more than they gain
_MOST_TASKS = 1000  # Slurm's own default: MaxArraySize 1001
_AT_ONCE = 16  # polite on a shared cluster
_NOTICE = 300  # s: --signal of every recipe
_SAME = (  # options of sbatch that ask for one thing in several ways
    {"mem", "mem-per-cpu", "mem-per-gpu"},
    {"gres", "gpus", "gpus-per-node", "gpus-per-task"},
)


@dataclass(frozen=True)
class Job:
    """One stage as a job of Slurm.

    Attributes
    ----------
    stage : StagePlan
        What it does.
    resources : dict of str to str
        Options of sbatch, by their long names: the recipe's, with the settings' and the caller's instead.
    parts : int
        Files that it writes; 0 where it does not work in parts.
    shards : int
        Tasks that share them; 0 where it is no array.
    at_once : int
        How many tasks may run at once.
    clips : int
        Clips that it goes through; of a fine-tuning, all that it hears.
    cost : Cost
        Seconds of all tasks together, and bytes.
    """

    stage: StagePlan
    resources: Mapping[str, str]
    parts: int
    shards: int
    at_once: int
    clips: int
    cost: Cost

    @property
    def recipe(self) -> str:
        """Name of the recipe's file."""
        return f"{self.stage.command}.sbatch"

    @property
    def tasks(self) -> int:
        """How many tasks there are; 1 where it is no array."""
        return max(1, self.shards)

    @property
    def machine(self) -> Machine:
        """What one task works with."""
        return _machine(self.resources)

    @property
    def seconds(self) -> float:
        """From its start to its end, in s, where as many tasks run at once as may."""
        rounds = math.ceil(self.tasks / self.at_once)
        return rounds * (LAUNCH + self.cost.start + self.cost.seconds / self.tasks)

    @property
    def task_seconds(self) -> float:
        """Of all tasks together, in s: what is paid for."""
        return self.tasks * (LAUNCH + self.cost.start) + self.cost.seconds


def plan_jobs(
    planned: Plan,
    settings: ClusterSettings,
    *,
    resources: Mapping[str, str] | None = None,
    factors: Factors | None = None,
    shards: Mapping[str, int] | None = None,
) -> tuple[Job, ...]:
    """Turn the stages of a study into jobs. Opens corpora to count their clips; computes nothing.

    Parameters
    ----------
    planned : Plan
        The study.
    settings : ClusterSettings
        Whose jobs they are, and the folder of the recipes.
    resources : mapping of str to str, optional
        ``{"probe.gres": "gpu:1", "mask.tasks": "8"}``: RECIPE.OPTION, instead of the recipe's and the settings'.
    factors : dict, optional
        Of this machine; see `whisperprobe.slurm_estimates.machine_factors`.
    shards : mapping of str to int, optional
        How many tasks share the parts of a stage, where that is settled already.

    Returns
    -------
    tuple of Job
        In the plan's order.

    Raises
    ------
    InputError
        A resource of no recipe, a number that is none, a time limit that leaves no time to work.
    """
    given = _by_recipe(resources or {}, planned)
    counted = StudyClips(planned)
    jobs = []
    for stage in planned.stages:
        name = stage.command
        recipe = recipe_resources(settings.folder / f"{name}.sbatch")
        asked = _asked(recipe, settings.resources(name), given.get(name, {}))
        tasks = _number(name, "tasks", asked.pop("tasks", None))
        at_once = _number(name, "at-once", asked.pop("at-once", None)) or _AT_ONCE
        _number(name, "cpus-per-task", asked.get("cpus-per-task"))
        _check_time(name, asked)
        machine = _machine(asked)
        clips = counted.of(stage)
        cost = expected_cost(stage, clips, machine, counted.shape(stage))
        cost = cost.scaled(*(factors or {}).get((stage.kind, machine.gpus > 0), (1.0, 1.0)))
        number = _shards(stage, tasks, clips.parts, machine, cost) if stage.kind in PARTED else 0
        number = (shards or {}).get(stage.name, number)
        jobs.append(Job(stage, asked, clips.parts if number else 0, number, at_once, clips.count, cost))
    return tuple(jobs)


def recipe_resources(recipe: Path) -> dict[str, str]:
    """Read what a recipe asks for in its ``#SBATCH`` lines, by long option; its array is the plan's business."""
    if not recipe.is_file():
        raise InputError(f"there is no recipe {recipe}. Is the folder of recipes whole?")
    lines = [line for line in recipe.read_text(encoding="utf-8").splitlines() if line.startswith("#SBATCH")]
    found = dict(re.findall(r"--([\w-]+)=(\S+)", " ".join(lines)))
    return {
        name: value
        for name, value in found.items()
        if name not in ("job-name", "array", "output", "open-mode", "signal")
    }


def _asked(*layers: Mapping[str, str]) -> dict[str, str]:
    """Options of sbatch: each layer's instead of those before, and of those that ask for the same otherwise."""
    asked: dict[str, str] = {}
    for layer in layers:
        instead = {name for group in _SAME if group & layer.keys() for name in group}
        asked = {name: value for name, value in asked.items() if name not in instead} | dict(layer)
    return asked


def _machine(resources: Mapping[str, str]) -> Machine:
    """What one task has, on all of its nodes together."""
    nodes = int(found[0]) if (found := re.match(r"\d+", resources.get("nodes", "1"))) else 1
    gpus = re.fullmatch(r"gpu(?::[\w.-]+?)??(?::(\d+))?", resources.get("gres", ""))
    each = int(gpus[1] or 1) if gpus else 0
    for name in ("gpus-per-task", "gpus-per-node", "gpus"):  # a number, or kind:number
        if name in resources and (found := re.search(r"\d+$", resources[name])):
            each = int(found[0]) if name != "gpus" else math.ceil(int(found[0]) / nodes)
    return Machine(cores=nodes * int(resources.get("cpus-per-task", 1)), gpus=nodes * each)


def _check_time(recipe: str, resources: Mapping[str, str]) -> None:
    """Refuse a time limit within which a job is told to stop as soon as it starts: it would requeue for ever."""
    limit, signal = _seconds(resources.get("time", "")), re.search(r"@(\d+)$", resources.get("signal", ""))
    notice = int(signal[1]) if signal else _NOTICE
    if limit and limit <= notice:
        raise InputError(
            f"{recipe}.time={resources['time']} leaves no time to work: jobs are told to stop {notice} s before their "
            f"limit. Ask for longer, e.g. 30 (minutes), or for later notice: {recipe}.signal=B:USR1@60."
        )


def _seconds(limit: str) -> int | None:
    """Read a time limit as sbatch does: M, M:S, H:M:S, D-H, D-H:M or D-H:M:S; None where it is none of them.

    Examples
    --------
    >>> [_seconds(limit) for limit in ("90", "4:30", "08:00:00", "1-0", "1-12:30")]
    [5400, 270, 28800, 86400, 131400]
    """
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", limit)
    if found is None:
        return None
    days, *rest = (int(number or 0) for number in found.groups())
    if found[1] is None and found[4] is None:  # minutes come first
        rest = [0, *rest[:2]]
    return ((days * 24 + rest[0]) * 60 + rest[1]) * 60 + rest[2]


def _by_recipe(resources: Mapping[str, str], planned: Plan) -> dict[str, dict[str, str]]:
    known = list(dict.fromkeys(stage.command for stage in planned.stages))
    found: dict[str, dict[str, str]] = {}
    for name, value in resources.items():
        recipe, dot, option = name.partition(".")
        if not dot or not option:
            raise InputError(
                f"--resource {name}={value} is not of the form RECIPE.OPTION=VALUE, e.g. probe.gres=gpu:1."
            )
        if recipe not in known:
            raise unknown_name("recipe of this study:", recipe, known)
        found.setdefault(recipe, {})[option] = value
    return found


def _shards(stage: StagePlan, tasks: int | None, parts: int, machine: Machine, cost: Cost) -> int:
    """How many tasks share the parts: as asked, or so that each is worth its start and has parts for its cores."""
    if tasks is not None:
        return max(1, min(tasks, parts, _MOST_TASKS))
    at_a_time = machine.cores if stage.kind in ("mask", "ldl-evaluate") else 1
    return max(1, min(math.ceil(cost.seconds / _TASK_SECONDS), math.ceil(parts / at_a_time), _MOST_TASKS))


def _number(recipe: str, option: str, value: str | None) -> int | None:
    if value is None:
        return None
    if not value.isdigit() or int(value) < 1:
        raise InputError(f"{recipe}.{option} is {value!r}; give a whole number of at least 1.")
    return int(value)
