"""`plan_mask`: what masking a corpus would do, and about how long and how large, from a few of its clips."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from audiogram.amounts import duration, size
from audiogram.corpus.clips import MAX_SECONDS
from audiogram.corpus.layout import MANIFEST, Part, Shard, plan_parts
from audiogram.corpus.manifest import refuse_differences, stage_manifests
from audiogram.corpus.mask import MaskJob, mask_job
from audiogram.corpus.selection import SplitRule
from audiogram.corpus.sources import Corpus
from audiogram.corpus.stages import check_stage, stage_rows
from audiogram.corpus.workers import cores

if TYPE_CHECKING:
    from audiogram.corpus.writer import PartWriter
    from audiogram.listening import Condition

__all__ = ["MaskPlan", "plan_mask"]


@dataclass(frozen=True)
class MaskPlan:
    """What `mask_corpus` would do.

    Attributes
    ----------
    source : str
        The corpus.
    rows, parts : dict of str to int
        Clips and files of each split.
    left : int
        Clips that are yet to be done, of this call's shard.
    folders : dict of str to Path
        The folder of each condition.
    bytes : dict of str to int
        About how large each folder will be, where the probed clips say it.
    seconds : float
        About how long this call takes with its workers, in s.
    probed, failed : int
        Clips that were tried, and how many of them could not be used.
    reason : str or None
        Why the first of these could not.
    workers : int
        Processes.
    free : int
        Free space where the folders are to be, in bytes.
    """

    source: str
    rows: dict[str, int]
    parts: dict[str, int]
    left: int
    folders: dict[str, Path]
    bytes: dict[str, int]
    seconds: float
    probed: int
    failed: int
    reason: str | None
    workers: int
    free: int

    def lines(self) -> list[str]:
        """Return the plan in words."""
        out = [f"{self.source}: {sum(self.rows.values())} clips, {self.left} to do"]
        out += [f"  {split}: {count} clips in {self.parts[split]} parts" for split, count in self.rows.items()]
        for name, folder in self.folders.items():
            about = f", about {size(self.bytes[name])}" if name in self.bytes else ""
            out.append(f"{name}: {folder}{about}")
        needed = sum(self.bytes.values())
        space = "" if needed <= self.free else ", which is not enough"
        out.append(
            f"time: about {duration(self.seconds)} with --workers {self.workers}; free: {size(self.free)}{space}"
            if self.probed > self.failed
            else "time and size: unknown, for no clip of the probe could be used"
        )
        if self.failed:
            out.append(f"{self.failed} of {self.probed} clips of the probe could not be used; the first: {self.reason}")
        return [*out, f"estimated from {self.probed} clips; nothing was written"]


def plan_mask(
    source: str | Path | Corpus,
    out_base: str | Path | None = None,
    conditions: Sequence[str | Condition] | None = None,
    *,
    probe: int = 8,
    workers: int = 1,
    shard: str | tuple[int, int] | None = None,
    splits: Sequence[str] | None = None,
    max_samples: int | None = None,
    balance: str | None = None,
    sample_rate: int = 16_000,
    format: str = "flac24",
    seed: int = 0,
    max_failures: float = 0.05,
    max_seconds: float = MAX_SECONDS,
    rows_per_part: int = 256,
    text_pattern: str | None = None,
    text_map: Mapping[Any, str] | None = None,
    split: SplitRule | None = None,
) -> MaskPlan:
    """Say what `mask_corpus`, called alike, would do; a few clips are masked in memory, nothing is written.

    Parameters
    ----------
    source, out_base, conditions, workers, shard, splits, max_samples, balance, sample_rate, format, seed, max_failures
    max_seconds, rows_per_part, text_pattern, text_map, split
        As for `mask_corpus`.
    probe : int, default 8
        How many clips of each split are tried, drawn by `seed`.

    Returns
    -------
    MaskPlan

    Raises
    ------
    InputError
        Whatever `mask_corpus` would refuse.
    """
    job = mask_job(
        source, out_base, conditions, max_samples=max_samples, balance=balance, sample_rate=sample_rate, format=format,
        seed=seed, max_seconds=max_seconds, text_pattern=text_pattern, text_map=text_map, split=split,
    )  # fmt: skip
    outs = list(job.folders.values())
    check_stage(outs, workers, max_failures, job.corpus)
    rows = stage_rows(job.corpus, splits)
    _refuse_others(job, rows, rows_per_part)
    everything = plan_parts(rows, rows_per_part)
    todo = [part for part in Shard.parse(shard).take(everything) if not part.done(outs)]
    seconds, probed, tally = _probe(job, list(rows), probe, seed)
    sizes, reasons = tally.sizes, list(tally.reasons.values())
    used = probed - len(reasons)
    left = sum(map(len, todo))
    return MaskPlan(
        source=str(job.corpus.root),
        rows=rows,
        parts={split: sum(part.split == split for part in everything) for split in rows},
        left=left,
        folders=job.folders,
        bytes={name: round(size / max(probed, 1) * sum(rows.values())) for name, size in sizes.items()} if used else {},
        seconds=seconds / max(probed, 1) * left / max(1, min(workers, len(todo), cores())),
        probed=probed,
        failed=len(reasons),
        reason=next(iter(reasons), None),
        workers=workers,
        free=shutil.disk_usage(_existing(outs[0])).free,
    )


def _refuse_others(job: MaskJob, rows: Mapping[str, int], rows_per_part: int) -> None:
    for condition in job.conditions:
        out = job.folders[condition.name]
        if (out / MANIFEST).is_file():
            stage = job.stage([condition])
            said = stage["corpus"].describe()
            (manifest,) = stage_manifests(
                stage["name"], stage["options"], said, rows, rows_per_part, stage["schemas"], stage["extra_manifest"],
                None, 1,
            )  # fmt: skip
            refuse_differences(out, manifest)


def _probe(job: MaskJob, splits: Sequence[str], count: int, seed: int) -> tuple[float, int, _Tally]:
    """Mask some clips of every split as the stage does: seconds, how many there were, and what came of them."""
    work = job.work(job.conditions)
    few = job.corpus.sample(count, seed)
    clips = [clip for split in splits for clip in few.read(split)]
    part = Part(splits[0], 0, 1, 0, len(clips))
    # The first call compiles, which is no part of a clip's time.
    work(part, clips[:1], cast("PartWriter", _Tally(list(job.folders))))
    tally = _Tally(list(job.folders))
    begun = time.perf_counter()
    work(part, clips, cast("PartWriter", tally))
    return time.perf_counter() - begun, len(clips), tally


class _Tally:
    """Stands where a stage's writer does, and keeps sizes and reasons only."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self.sizes = dict.fromkeys(names, 0)
        self.reasons: dict[str, str] = {}

    def add(self, table: str, rows: Sequence[Mapping[str, Any]], out: int = 0) -> None:
        """Count a stored clip."""
        self.sizes[self._names[out]] += sum(len(row["audio"]["bytes"]) for row in rows)

    def fail(self, id: str, error: object, out: int | None = None) -> None:
        """Keep why a clip could not be used."""
        self.reasons.setdefault(id, f"{id}: {error}")


def _existing(path: Path) -> Path:
    whole = path.resolve()
    return next(folder for folder in (whole, *whole.parents) if folder.exists())
