"""Row stages: long work from a corpus to folders, in parts, that loses nothing however it ends.

A stage plans its parts from the input and the options alone, does them in any number of processes or tasks, writes
each part whole or not at all, and marks it as done by its failures file, which is always written and always last.
Killed at any moment and started again it redoes only what is unfinished and ends with the same bytes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiogram.console import Progress, check_stop, stop_on_signals
from audiogram.corpus.files import Held, lock
from audiogram.corpus.layout import FAILURES, Part, Shard, plan_parts
from audiogram.corpus.manifest import (
    Card,
    is_complete,
    prepare_out,
    read_manifest,
    stage_manifests,
    stage_parts,
    sweep,
    write_card,
)
from audiogram.corpus.suspects import find_deadly
from audiogram.corpus.workers import each
from audiogram.corpus.writer import PartWriter, writing
from audiogram.errors import InputError, WorkError

if TYPE_CHECKING:
    import pyarrow as pa

    from audiogram.corpus.clips import Clip
    from audiogram.corpus.sources import Corpus

__all__ = [
    "Part",
    "PartWriter",
    "Shard",
    "StageReport",
    "is_complete",
    "read_manifest",
    "run_stage",
    "stage_parts",
]

Work = Callable[[Part, Iterable["Clip"], PartWriter], None]

_log = logging.getLogger("audiogram.corpus")
_BUSY_SECONDS = 5.0  # how long the death of a worker of a killed run may take


@dataclass(frozen=True)
class StageReport:
    """What a stage has done, over the parts of this call's shard.

    Parameters
    ----------
    rows_in : int
        Clips: `rows_out` + `failed`.
    rows_out : int
        Clips that became rows.
    failed : int
        Clips that did not; with several folders, in at least one of them.
    parts_done : int
        Parts that this call has finished.
    parts_skipped : int
        Parts that were done before.
    """

    rows_in: int
    rows_out: int
    failed: int
    parts_done: int
    parts_skipped: int


@stop_on_signals()
def run_stage(
    name: str,
    *,
    options: Mapping[str, Any],
    corpus: Corpus,
    outs: Sequence[str | Path],
    work: Work,
    schemas: Mapping[str, pa.Schema] | None = None,
    rows_per_part: int = 256,
    shard: str | tuple[int, int] | None = None,
    workers: int = 1,
    splits: Sequence[str] | None = None,
    max_failures: float = 0.05,
    extra_manifest: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    versions: Mapping[str, str] | None = None,
    readme: Card | None = None,
    label: str | None = None,
) -> StageReport:
    """Do a row stage: every clip of a corpus becomes rows in the output folders, or a failure with its reason.

    Parameters
    ----------
    name : str
        Name of the stage, for the manifest.
    options : mapping
        All that decides the result, JSON-able. A folder begun with other options is refused.
    corpus : Corpus
        The input.
    outs : sequence of path
        Output folders; each gets its own manifest, tables and failures.
    work : callable
        ``work(part, clips, writer)`` writes rows, vectors and failures for the clips of one part. With `workers` > 1
        it is sent to other processes: an instance of an importable class, or a function.
    schemas : mapping of str to pyarrow.Schema, optional
        Columns by table; the first table is the main one, in which every clip that does not fail has a row.
    rows_per_part : int, default 256
        How many clips are redone at most after an interruption, per worker.
    shard : str or (int, int), optional
        ``"I/N"``: only the parts whose number is I modulo N.
    workers : int, default 1
        Processes; 1 works in this one.
    splits : sequence of str, optional
        Which splits; default all.
    max_failures : float, default 0.05
        Highest share of failures in a split, 0 to 1, above which the stage ends with `WorkError`.
    extra_manifest : mapping or sequence of mappings, optional
        More entries of the manifest, for all folders or one mapping for each. They count as options.
    versions : mapping, optional
        More versions to record, e.g. of filter plugins.
    readme : callable, optional
        ``readme(manifest)`` gives the text of the dataset card, Markdown without front matter.
    label : str, optional
        What the progress display says; default `name`.

    Returns
    -------
    StageReport

    Raises
    ------
    InputError
        Options differ from those of the folder, a split is unknown, or an argument is out of range.
    WorkError
        Too many failures, a disk that is full, a worker that died, a part in the hands of another process. What was
        written stays.
    StoppedError
        A signal asked to stop.
    """
    folders = tuple(Path(out) for out in outs)
    check_stage(folders, workers, max_failures, corpus)
    share = Shard.parse(shard)
    rows = stage_rows(corpus, splits)
    everything = plan_parts(rows, rows_per_part)
    manifests = stage_manifests(
        name, options, corpus.describe(), rows, rows_per_part, schemas, extra_manifest, versions, len(folders)
    )
    for out, manifest in zip(folders, manifests, strict=True):
        prepare_out(out, manifest)
        write_card(out, manifest, readme)
    mine = list(share.take(everything))
    todo = [part for part in mine if not part.done(folders)]
    job = _PartJob(work, folders, dict(schemas) if schemas else None)
    done = 0
    check_stop()
    with Progress(label or name, sum(map(len, mine)), done=sum(map(len, mine)) - sum(map(len, todo))) as bar:
        busy = []
        for outcome in _outcomes(job, todo, corpus, workers, bar):
            done += outcome.done
            busy += [] if outcome.held else [outcome.part]
        done += _wait_for_others(job, busy, corpus, folders, bar)
        check_stop()
    for out, manifest in zip(folders, manifests, strict=True):
        write_card(out, manifest, readme)
        sweep(out)
    report = _report(folders, mine, done)
    for out in folders:
        check_failures(out, everything, max_failures)
    if report.failed:
        where = ", ".join(str(out / FAILURES) for out in folders)
        first = next(_first_failure(out, part) for out in folders for part in mine if _failed(out, part))
        _log.warning(
            "%s: %d of %d clips failed; the first: %s All reasons are in %s",
            name, report.failed, report.rows_in, first, where,
        )  # fmt: skip
    return report


@dataclass(frozen=True)
class _Outcome:
    part: Part
    held: bool  # False: another process holds the part
    done: bool


@dataclass(frozen=True)
class _PartJob:
    """Does one part; what a worker process holds."""

    work: Work
    outs: tuple[Path, ...]
    schemas: dict[str, Any] | None
    on_clip: Callable[[], None] | None = None

    def __call__(self, task: tuple[Part, Any]) -> _Outcome:
        part, reader = task
        with ExitStack() as locks:
            died = False  # whether an earlier attempt did
            for out in sorted(self.outs):
                held = locks.enter_context(lock(out / FAILURES / f".{part.stem}.lock"))
                died = died or held is Held.LEFT
                if not held:
                    _log.warning("part %s of %s is being worked on by another process.", part.stem, out)
                    return _Outcome(part, held=False, done=False)
            if part.done(self.outs):  # by another process, since the plan was made
                return _Outcome(part, held=True, done=False)
            deadly = find_deadly(reader, len(part)) if died else {}
            ids: list[str] = []
            with writing(part, self.outs, self.schemas) as writer:
                try:
                    self.work(part, self._clips(reader, deadly, ids), writer)
                except MemoryError as error:
                    raise WorkError(
                        f"out of memory in part {part.stem}; use fewer --workers, or smaller batches, and start the "
                        "same command again: finished parts stay and are not redone."
                    ) from error
                if len(ids) != len(part):
                    raise WorkError(f"part {part.stem}: {len(ids)} of {len(part)} clips were read.")
                if writer.failed:
                    reader.check_source()
                writer.commit(ids)
        return _Outcome(part, held=True, done=True)

    def _clips(self, reader: Any, deadly: Mapping[int, str], ids: list[str]) -> Iterator[Clip]:
        for number, clip in enumerate(reader):
            check_stop()
            ids.append(clip.id)
            yield replace(clip, problem=clip.problem or deadly[number]) if number in deadly else clip
            if self.on_clip is not None:
                self.on_clip()


def _outcomes(job: _PartJob, todo: Sequence[Part], corpus: Corpus, workers: int, bar: Progress) -> Iterator[_Outcome]:
    tasks = ((part, corpus.reader(part.split, part.start, part.stop)) for part in todo)
    if workers == 1 or len(todo) < 2:
        here = replace(job, on_clip=bar.advance)
        for task in tasks:
            check_stop()
            yield here(task)
        return
    for outcome in each(job, tasks, min(workers, len(todo))):
        bar.advance(len(outcome.part) if outcome.held else 0)
        yield outcome


def _wait_for_others(job: _PartJob, busy: Sequence[Part], corpus: Corpus, outs: Sequence[Path], bar: Progress) -> int:
    """Give the holders of `busy` parts a moment to end; do what they, dying, have left. Returns the parts done."""
    done = 0
    until = time.monotonic() + _BUSY_SECONDS
    for part in busy:
        while not part.done(outs):
            check_stop()
            outcome = job((part, corpus.reader(part.split, part.start, part.stop)))
            if outcome.held:
                done += outcome.done
            elif time.monotonic() > until:
                raise WorkError(
                    f"part {part.stem} of {outs[0]} is being worked on by another process; let it end, then start the "
                    "same command again (or use --shard to share the work)."
                )
            else:
                time.sleep(0.1)
        bar.advance(len(part))
    return done


def check_stage(outs: Sequence[Path], workers: int, max_failures: float, corpus: Corpus) -> None:
    """Raise `InputError` where a stage cannot be done so."""
    if not outs or len({out.resolve() for out in outs}) != len(outs):
        raise InputError(f"output folders must be distinct, received {[str(out) for out in outs]}.")
    if workers < 1:
        raise InputError(f"--workers {workers}: at least 1.")
    if not 0 <= max_failures <= 1:
        raise InputError(f"--max-failures {max_failures}: a share between 0 and 1; 0.05 is 5 percent.")
    source = corpus.root.resolve()
    for out in outs:
        target = out.resolve()
        if target == source or source in target.parents or target in source.parents:
            raise InputError(
                f"the output folder {out} and the source {corpus.root} lie within each other; choose another."
            )


def stage_rows(corpus: Corpus, splits: Sequence[str] | None) -> dict[str, int]:
    """Number of clips of each split that a stage is to do."""
    for split in splits or ():
        if split not in corpus.splits:
            raise InputError(
                f"the corpus has no split {split!r}; it has {', '.join(corpus.splits)}. Name those that you want: "
                "--splits, or splits= in Python."
            )
    rows = {split: corpus.count(split) for split in corpus.splits if splits is None or split in splits}
    if not sum(rows.values()):
        raise InputError(f"no clips to work on in {corpus.root}, splits {', '.join(rows) or 'none'}.")
    return rows


def _failed(out: Path, part: Part) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(part.failures(out)).num_rows)


def _report(outs: Sequence[Path], parts: Sequence[Part], done: int) -> StageReport:
    import pyarrow.parquet as pq

    rows = sum(map(len, parts))
    failed = 0  # clips that failed in one folder or more
    for part in parts:
        files = [part.failures(out) for out in outs if _failed(out, part)]
        failed += len({id for file in files for id in pq.read_table(file, columns=["id"])["id"].to_pylist()})
    return StageReport(rows, rows - failed, failed, done, len(parts) - done)


def check_failures(out: Path, parts: Sequence[Part], limit: float) -> None:
    """Raise `WorkError` where more than a share of the clips of a split failed, in the parts that are done."""
    for split in dict.fromkeys(part.split for part in parts):
        here = [part for part in parts if part.split == split and part.done([out])]
        rows, failed = sum(map(len, here)), sum(_failed(out, part) for part in here)
        if failed > limit * rows:
            part = next(part for part in here if _failed(out, part))
            raise WorkError(
                f"{failed} of {rows} clips of split {split!r} failed, more than --max-failures {limit:g}; the first: "
                f"{_first_failure(out, part)} All reasons are in {out / FAILURES}; what was written stays."
            )


def _first_failure(out: Path, part: Part) -> str:
    import pyarrow.parquet as pq

    first = pq.read_table(part.failures(out)).slice(0, 1).to_pylist()[0]
    return f"{first['id']}: {first['error']}"
