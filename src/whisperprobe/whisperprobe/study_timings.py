"""What the stages of a study really took: one small file for each task, and a machine's factors from them."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from audiogram.corpus import stage_parts
from audiogram.corpus.layout import Part, Shard
from audiogram.errors import InputError
from whisperprobe.ranks import under_torchrun
from whisperprobe.study_costs import Machine, expected_cost
from whisperprobe.study_plan import Plan, StagePlan
from whisperprobe.study_progress import PARTED, clips_done

__all__ = ["FOLDER", "Factors", "machine_factors", "timed"]

FOLDER = "timings"
Factors = dict[tuple[str, bool], tuple[float, float]]  # (kind, on a GPU) -> measured over expected: seconds, bytes


@contextlib.contextmanager
def timed(
    stage: StagePlan, planned: Plan, shard: str | tuple[int, int] | None = None, workers: int | None = None
) -> Iterator[float]:
    """Time a stage; where it ends well and has done something, leave what it took in the results folder."""
    before, begun = clips_done(stage, shard), time.monotonic()
    fresh = not (stage.kind == "finetune" and Path(stage.outputs[0]).exists())  # a resumed one has done a part before
    yield begun
    seconds = time.monotonic() - begun
    done = clips_done(stage, shard) - before
    if done <= 0 or not fresh or (under_torchrun() and os.environ["RANK"] != "0"):
        return
    share = Shard.parse(shard)
    if stage.kind == "mask":
        machine = Machine(cores=max(1, min(workers or stage.options.get("workers", 1), len(_parts(stage, share)))))
    else:
        machine = Machine(cores=_threads(), gpus=_gpus())
    cost = expected_cost(stage, done, machine)
    record = {
        "stage": stage.name, "kind": stage.kind, "clips": done, "seconds": seconds,
        "expected_seconds": cost.start + cost.seconds, "bytes": _size(stage, share),
        "expected_bytes": cost.bytes, "cores": machine.cores, "gpus": machine.gpus,
    }  # fmt: skip
    file = Path(planned.out) / FOLDER / f"{stage.name}{f'-{share.index}-of-{share.of}' if shard else ''}.json"
    file.parent.mkdir(exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    temporary.replace(file)


def machine_factors(*folders: str | Path) -> Factors:
    """Read how much longer, and how much larger, stages were than expected; from results folders of studies.

    Parameters
    ----------
    *folders : path
        Results of studies, this one's or others' on the same machine. A folder without timings says nothing.

    Returns
    -------
    dict
        (kind of stage, whether on a GPU) to the factors of seconds and bytes, the geometric mean over stages; more
        recent folders do not weigh more.

    Raises
    ------
    InputError
        A file of timings cannot be read.
    """
    logs: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    for file in (file for folder in folders for file in sorted((Path(folder) / FOLDER).glob("*.json"))):
        try:
            record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            ratios = (
                math.log(record["seconds"] / record["expected_seconds"]),
                math.log(record["bytes"] / record["expected_bytes"]),
            )
            logs.setdefault((record["kind"], bool(record["gpus"])), []).append(ratios)
        except (OSError, ValueError, KeyError, ZeroDivisionError) as error:
            raise InputError(f"{file} is no record of a stage's time ({error}). Remove it.") from None
    return {
        key: (math.exp(sum(t for t, _ in pairs) / len(pairs)), math.exp(sum(b for _, b in pairs) / len(pairs)))
        for key, pairs in logs.items()
    }


def _parts(stage: StagePlan, share: Shard) -> list[Part]:
    return list(share.take(stage_parts(stage.outputs[0])))


def _size(stage: StagePlan, share: Shard) -> int:
    """Bytes of what a stage, or one share of it, has written."""
    if stage.kind in PARTED:
        stems = [part.stem for part in _parts(stage, share)]
        files = [file for out in stage.outputs for stem in stems for file in Path(out).glob(f"*/{stem}.*")]
    else:
        files = [file for out in map(Path, stage.outputs) for file in ([out] if out.is_file() else out.rglob("*"))]
    return sum(file.stat().st_size for file in files if file.is_file())


def _threads() -> int:
    import torch

    return int(torch.get_num_threads())


def _gpus() -> int:
    import torch

    return int(torch.cuda.device_count()) if torch.cuda.is_available() else 0
