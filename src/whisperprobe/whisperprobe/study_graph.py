"""A study as stages: plain data that one process executes here, or that a cluster's queue is given.

Every stage says what it does (`kind`, `options`), which folders it reads and writes, and which stages come before it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from audiogram.errors import unknown_name

__all__ = ["Plan", "StagePlan"]


@dataclass(frozen=True)
class StagePlan:
    """One stage of a study, as plain data.

    Parameters
    ----------
    name : str
        Unique within the plan, e.g. ``probe.base.lfloss.seed-1``.
    kind : str
        ``mask``, ``finetune``, ``probe``, ``ldl-train``, ``ldl-evaluate``, ``compare`` or ``report``.
    options : dict
        What the stage needs to know; goes through JSON unchanged.
    inputs, outputs : tuple of str
        Files and folders that it reads and writes.
    after : tuple of str
        Names of the stages that must be done before.
    """

    name: str
    kind: str
    options: dict[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    after: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """The command whose work it is, and its recipe on a cluster: ``ldl`` of ``ldl-train``."""
        return self.kind.partition("-")[0]


@dataclass(frozen=True)
class Plan:
    """All stages of a study, each after those that it needs.

    Parameters
    ----------
    study : str
        Name of the study.
    out : str
        Folder of all results.
    stages : tuple of StagePlan
        In an order in which they can be run one after another.
    """

    study: str
    out: str
    stages: tuple[StagePlan, ...]

    def stage(self, name: str) -> StagePlan:
        """Return the stage of that name."""
        return next(s for s in self.stages if s.name == name)

    def chosen(self, only: str | None) -> list[StagePlan]:
        """Return the stages that `only` names: one, those of a kind or of a command; all for None.

        Raises
        ------
        InputError
            There is no such stage.
        """
        stages = [stage for stage in self.stages if only in (None, stage.kind, stage.command, stage.name)]
        if not stages:
            names = [name for stage in self.stages for name in (stage.kind, stage.command, stage.name)]
            raise unknown_name("stage", only, dict.fromkeys(names))
        return stages

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain data: dicts, lists, text and numbers."""
        return {
            "study": self.study,
            "out": self.out,
            "stages": [
                {**asdict(s), "inputs": list(s.inputs), "outputs": list(s.outputs), "after": list(s.after)}
                for s in self.stages
            ],
        }

    def describe(self) -> str:
        """Say in a few lines per kind what will be done and where it is written."""
        width = max(len(s.name) for s in self.stages)
        lines = [f"study {self.study}: {len(self.stages)} stages, written to {self.out}", ""]
        for number, stage in enumerate(self.stages, 1):
            outputs = ", ".join(_under(o, self.out) for o in stage.outputs)
            after = f"   after {_few(stage.after)}" if stage.after else ""
            lines.append(f"{number:3d}  {stage.name:<{width}}  -> {outputs}{after}")
        return "\n".join(lines)


def _under(path: str, out: str) -> str:
    return str(Path(path).relative_to(out)) if Path(path).is_relative_to(out) else path


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 2 else f"{names[0]} and {len(names) - 1} more"
