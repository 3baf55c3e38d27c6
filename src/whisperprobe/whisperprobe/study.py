"""A whole study from one TOML file, in one process: mask, fine-tune, probe, compare, report; resumable."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiogram.console import check_stop, stop_on_signals
from audiogram.errors import InputError, WorkError, unknown_name
from whisperprobe.study_file import Study, read_study
from whisperprobe.study_plan import Plan, StagePlan, plan

if TYPE_CHECKING:
    from whisperprobe.comparison.conditions import Comparison

__all__ = ["Plan", "StagePlan", "Study", "StudyResult", "plan", "read_study", "report_again", "run_study", "study_of"]

_LOG = logging.getLogger(__name__)
_RECORD = "study.json"
# May change between two runs of one study: what is made anew every time, and what no result depends on.
_FREE = ("report.", "compare.", "corpus.workers", "probe.device", "finetune.device", "finetune.threads", "seeds")


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


def run_study(study: str | Path | Study, out: str | Path | None = None, *, only: str | None = None) -> StudyResult:
    """Run a study, or go on with one that was interrupted.

    Parameters
    ----------
    study : path or Study
        The study file.
    out : path, optional
        Folder of all results; default ``NAME-results`` in the current folder.
    only : str, optional
        A kind of stages ("mask", "finetune", "probe", "compare", "report") or the name of one stage of the plan;
        default all. What they need must have been made.

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
    given = read_study(study)
    planned = plan(given, out)
    stages = _chosen(planned, only)
    folder = Path(planned.out)
    seconds: dict[str, float] = {}
    loaded: dict[str, Any] = {}
    with _claim(folder, given), stop_on_signals():
        for number, stage in enumerate(stages, 1):
            check_stop()
            _check_inputs(stage, planned)
            _LOG.info("%d of %d  %s", number, len(stages), stage.name)
            seconds[stage.name] = _run(stage, loaded)
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
    record = _record(Path(out))
    if record is None:
        raise InputError(f"{out} holds no results of a study (no {_RECORD}). Name the folder that `run` wrote to.")
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
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder. Name what `run`, `demo` or `compare --out` wrote.")
    if _record(folder) is None and (folder / "comparison.json").is_file():
        from whisperprobe.study_stages import write_comparison_report

        return write_comparison_report(folder, title or folder.name)
    stage = plan(study_of(folder), folder).stage("report")
    if not Path(stage.options["comparison"]).is_dir():
        raise InputError(f"{folder} holds no comparison yet. Finish the study first, with `whisperprobe run`.")
    _run(replace(stage, options=stage.options | ({"title": title} if title else {})))
    return Path(stage.options["out"])


def _run(stage: StagePlan, loaded: dict[str, Any] | None = None) -> float:
    from whisperprobe.study_stages import run_stage_plan

    start = time.monotonic()
    run_stage_plan(stage, loaded)
    return time.monotonic() - start


def _chosen(planned: Plan, only: str | None) -> list[StagePlan]:
    stages = [s for s in planned.stages if only in (None, s.kind, s.name)]
    if not stages:
        names = [*dict.fromkeys(s.kind for s in planned.stages), *(s.name for s in planned.stages)]
        raise unknown_name("stage", only, names)
    return stages


def _check_inputs(stage: StagePlan, planned: Plan) -> None:
    for path in stage.inputs:
        made_by = next((s.name for s in planned.stages if path in s.outputs), None)
        if made_by is not None and not Path(path).exists():
            raise InputError(f"stage {stage.name} needs {path}, which stage {made_by} makes. Run that one first.")


@contextlib.contextmanager
def _claim(folder: Path, study: Study) -> Iterator[None]:
    """Hold the results folder for this study and this process; write the resolved study into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_strangers(folder)  # before the lock, which would be one more file in somebody's folder
        lock = (folder / ".lock").open("a")
    except OSError as error:
        raise InputError(f"cannot write results to {folder} ({error.strerror}). Choose another --out.") from None
    with lock:
        _lock(lock.fileno(), folder)
        _refuse_strangers(folder)
        record = _record(folder)
        if record is not None:
            _check_same(record["study"], study, folder)
        _write_record(folder, study)
        yield


def _refuse_strangers(folder: Path) -> None:
    if (folder / _RECORD).exists():
        return
    others = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
    if others:
        raise InputError(
            f"{folder} is not empty and holds no study's results (found {', '.join(others[:3])}). "
            f"Choose an empty or new folder with --out."
        )


def _lock(handle: int, folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # no such locks on this system; parts have their own
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise WorkError(f"another process is at work on {folder}. Wait for it, or choose another --out.") from None


def _record(folder: Path) -> dict[str, Any] | None:
    path = folder / _RECORD
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or not {"study", "directory", "file"} <= record.keys():
            raise ValueError("it lacks the study")
    except ValueError as error:
        raise InputError(f"{path} cannot be read ({error}). It names the study the folder belongs to; "
                         f"restore it, or choose another --out.") from None  # fmt: skip
    return record


def _write_record(folder: Path, study: Study) -> None:
    record = {"study": study.to_dict(), "directory": str(study.directory), "file": study.file}
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    path, temporary = folder / _RECORD, folder / f".{_RECORD}.{os.getpid()}"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _check_same(before: Mapping[str, Any], study: Study, folder: Path) -> None:
    """Refuse a folder whose results were made with other settings; further seeds may be added."""
    old, new = _flat(before), _flat(json.loads(json.dumps(study.to_dict())))
    differing = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    differing = [key for key in differing if not key.startswith(_FREE)]
    if not set(before["seeds"]) <= set(study.seeds):
        differing.append("seeds")
        old["seeds"], new["seeds"] = before["seeds"], list(study.seeds)
    if differing:
        shown = "; ".join(f"{k}: there {_show(old, k)}, here {_show(new, k)}" for k in differing[:3])
        more = f"; and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise InputError(
            f"{folder} belongs to another study. {shown}{more}. Choose another --out, or the first settings."
        )


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _show(values: Mapping[str, Any], key: str) -> str:
    return repr(values[key]) if key in values else "nothing"
