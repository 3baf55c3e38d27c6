"""A whole study from one TOML file, in one process: mask, fine-tune, probe, learn, compare, report; resumable."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiogram.console import check_stop, stop_on_signals
from audiogram.corpus.layout import Shard
from audiogram.errors import InputError, WorkError
from whisperprobe.study_file import Study, read_study
from whisperprobe.study_graph import Plan, StagePlan
from whisperprobe.study_plan import plan
from whisperprobe.study_progress import PARTED, unfinished
from whisperprobe.study_record import RECORD, claim, read_record
from whisperprobe.study_timings import timed

if TYPE_CHECKING:
    from whisperprobe.comparison.conditions import Comparison

__all__ = ["Plan", "StagePlan", "Study", "StudyResult", "plan", "read_study", "report_again", "run_study", "study_of"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyResult:
    """What a study left behind.

    Parameters
    ----------
    out : Path
        Folder of all results.
    comparison : Comparison or None
        Models and conditions, clip by clip; None where the comparison was not among the stages.
    report : Path or None
        The report; None where it was not among the stages.
    seconds : dict of str to float
        Wall time of every stage that was run, in s.
    """

    out: Path
    comparison: Comparison | None
    report: Path | None
    seconds: Mapping[str, float] = field(default_factory=dict)


def run_study(
    study: str | Path | Study,
    out: str | Path | None = None,
    *,
    only: str | None = None,
    shard: str | tuple[int, int] | None = None,
    workers: int | None = None,
) -> StudyResult:
    """Run a study, or go on with one that was interrupted.

    Parameters
    ----------
    study : path or Study
        The study file.
    out : path, optional
        Folder of all results; default ``NAME-results`` in the current folder.
    only : str, optional
        A kind of stages ("mask", "finetune", "probe", "ldl", "compare", "report") or the name of one stage of the
        plan; default all. What they need must have been made. Several processes may each run stages of their own.
    shard : str or (int, int), optional
        ``"I/N"``: of the stages that work in parts, only the parts whose number is I modulo N, from 0; one task of a
        queue's array each. Needs `only`.
    workers : int, optional
        Processes that filter and make cues, instead of the study's.

    Returns
    -------
    StudyResult
        The comparison, the report's path and the stages' wall times.

    Raises
    ------
    InputError
        Where the study file is wrong, or `out` belongs to another study or cannot be written.
    WorkError
        Where a stage fails, or another process is at work on the same folder.
    StoppedError
        On SIGTERM or SIGUSR1; the same call goes on from there.
    """
    from whisperprobe.study_stages import check_splits, run_stage_plan

    given = read_study(study)
    planned = plan(given, out)
    stages = planned.chosen(only)
    if shard is not None:
        _check_shard(stages, shard, only)
    folder = Path(planned.out)
    seconds: dict[str, float] = {}
    loaded: dict[str, Any] = {}
    check_splits(stages)
    with claim(planned, given, shared=only is not None), stop_on_signals():
        for number, stage in enumerate(stages, 1):
            check_stop()
            _check_inputs(stage, planned)
            _LOG.info("%d of %d  %s%s", number, len(stages), stage.name, "" if shard is None else f", shard {shard}")
            with timed(stage, planned, shard, workers) as begun:
                run_stage_plan(stage, loaded, shard=shard, workers=workers)
            seconds[stage.name] = time.monotonic() - begun
            _LOG.info("%d of %d  %s: %.1f s", number, len(stages), stage.name, seconds[stage.name])
    kinds = {stage.kind for stage in stages}
    comparison = None
    if "compare" in kinds:
        from whisperprobe.comparison.conditions import load_comparison

        comparison = load_comparison(folder / "comparison")
    return StudyResult(folder, comparison, folder / "report.html" if "report" in kinds else None, seconds)


def study_of(out: str | Path) -> Study:
    """Return the study whose results a folder holds, from the record that `run_study` keeps there.

    Raises
    ------
    InputError
        Where the folder holds no study's results.
    """
    record = read_record(Path(out))
    if record is None:
        raise InputError(f"{out} holds no results of a study (no {RECORD}). Name the folder that `run` wrote to.")
    return Study.from_dict(record["study"], record["directory"], record["file"])


def report_again(folder: str | Path, *, title: str | None = None) -> Path:
    """Write the report anew, of a study's results or of a comparison alone.

    Parameters
    ----------
    folder : path
        What `run_study` or `compare(..., out=folder)` wrote.
    title : str, optional
        The report's title; default the study's, or the folder's name.

    Returns
    -------
    Path
        The report: ``report.html`` in a study's folder, beside the folder of a comparison.

    Raises
    ------
    InputError
        Where the folder is neither.
    """
    from whisperprobe.study_stages import run_stage_plan, write_comparison_report

    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder. Name what `run`, `demo` or `compare --out` wrote.")
    if read_record(folder) is None and (folder / "comparison.json").is_file():
        return write_comparison_report(folder, title or folder.name)
    stage = plan(study_of(folder), folder, check=False).stage("report")  # results may be read where the speech is not
    if not Path(stage.options["comparison"]).is_dir():
        raise InputError(f"{folder} holds no comparison yet. Finish the study first, with `whisperprobe run`.")
    run_stage_plan(replace(stage, options=stage.options | ({"title": title} if title else {})))
    return Path(stage.options["out"])


def _check_shard(stages: list[StagePlan], shard: str | tuple[int, int], only: str | None) -> None:
    Shard.parse(shard)
    whole = sorted({stage.kind for stage in stages} - PARTED)
    if whole:
        raise InputError(
            f"--shard {shard} with {'--only ' + only if only else 'no --only'}: {', '.join(whole)} cannot be shared "
            f"out in parts. Name a stage that can with --only: {' or '.join(sorted(PARTED))}."
        )


def _check_inputs(stage: StagePlan, planned: Plan) -> None:
    """Refuse to build on a stage that is not whole, as when a task of an array has failed."""
    for path in stage.inputs:
        made_by = next((s for s in planned.stages if path in s.outputs), None)
        if made_by is None:
            continue
        if not Path(path).exists():
            raise InputError(f"stage {stage.name} needs {path}, which stage {made_by.name} makes. Run that one first.")
        missing = unfinished(made_by, path)
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise WorkError(
                f"stage {stage.name} needs {path}, which is not finished: {missing[0]}{more}. "
                f"Run stage {made_by.name} again; it does only what is missing."
            )
