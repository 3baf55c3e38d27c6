"""What the stages of a study really took: a small file for each task, in the results."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from audiogram.corpus import stage_parts
from audiogram.corpus.layout import Part, Shard
from audiogram.errors import InputError
from whisperprobe.ranks import under_torchrun
from whisperprobe.study_costs import Machine
from whisperprobe.study_graph import Plan, StagePlan
from whisperprobe.study_progress import PARTED, clips_done

__all__ = ["Timing", "read_timings", "timed"]

_FOLDER = "timings"


@dataclass(frozen=True)
class Timing:
    """What one task of a stage did in one go.

    Attributes
    ----------
    stage, kind : str
        The stage.
    clips, parts : int
        What it went through and wrote; of a fine-tuning, all clips that it heard.
    seconds : float
        From the beginning of the stage to its end; starting the program is not counted.
    bytes : int
        Of the files that it wrote.
    cores, gpus : int
        What it had.
    """

    stage: str
    kind: str
    clips: int
    parts: int
    seconds: float
    bytes: int
    cores: int
    gpus: int

    @property
    def machine(self) -> Machine:
        """What it had."""
        return Machine(self.cores, self.gpus)


@contextlib.contextmanager
def timed(
    stage: StagePlan, planned: Plan, shard: str | tuple[int, int] | None = None, workers: int | None = None
) -> Iterator[float]:
    """Time a stage; where it ends well and has done all of its share, leave what that took in the results folder."""
    fresh = not clips_done(stage, shard) if stage.kind in PARTED else not Path(stage.outputs[0]).exists()
    begun = time.monotonic()
    yield begun
    seconds, done = time.monotonic() - begun, clips_done(stage, shard)
    if not fresh or not done or (under_torchrun() and os.environ["RANK"] != "0"):
        return  # one that went on where another had stopped says nothing about the whole
    share = Shard.parse(shard)
    parts = _parts(stage, share)
    cores, gpus = 1, 0
    if stage.kind in ("mask", "ldl-evaluate"):
        cores = min(workers or stage.options.get("workers", 1), len(parts))
    elif stage.kind in ("finetune", "probe", "ldl-train"):
        cores, gpus = _threads_and_gpus()
        if stage.options.get("device") == "cpu":
            gpus = 0
    timing = Timing(stage.name, stage.kind, done, max(1, len(parts)), seconds, _size(stage, parts), cores, gpus)
    file = Path(planned.out) / _FOLDER / f"{stage.name}{f'-{share.index}-of-{share.of}' if shard else ''}.json"
    file.parent.mkdir(exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(json.dumps(asdict(timing), indent=2) + "\n", encoding="utf-8")
    temporary.replace(file)


def read_timings(folder: str | Path) -> list[Timing]:
    """Read what the stages of the study in a results folder took; nothing where there is nothing.

    Raises
    ------
    InputError
        A file of timings cannot be read.
    """
    found = []
    for file in sorted((Path(folder) / _FOLDER).glob("*.json")):
        try:
            found.append(Timing(**json.loads(file.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{file} is no record of what a stage took ({error}). Remove it.") from None
    return found


def _parts(stage: StagePlan, share: Shard) -> list[Part]:
    return list(share.take(stage_parts(stage.outputs[0]))) if stage.kind in PARTED else []


def _size(stage: StagePlan, parts: list[Part]) -> int:
    """Bytes of what a stage, or these parts of it, has written."""
    if stage.kind in PARTED:
        files = [file for out in stage.outputs for part in parts for file in Path(out).glob(f"*/{part.stem}.*")]
    else:
        files = [file for out in map(Path, stage.outputs) for file in ([out] if out.is_file() else out.rglob("*"))]
    return sum(file.stat().st_size for file in files if file.is_file())


def _threads_and_gpus() -> tuple[int, int]:
    import torch

    return int(torch.get_num_threads()), int(torch.cuda.device_count()) if torch.cuda.is_available() else 0
