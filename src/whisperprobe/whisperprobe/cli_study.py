"""The commands about whole studies: demo, run, plan, report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audiogram.console import configure
from whisperprobe.cli_corpora import Shard
from whisperprobe.cli_options import AsJson, Debug, LogLevel, Quiet, among, print_json, say

if TYPE_CHECKING:
    from whisperprobe.study import StudyResult

__all__ = ["demo", "plan_study", "report", "run_study_file"]

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file.")]
StudySource = Annotated[
    Path | None, typer.Option("--source", metavar="SOURCE", help="The corpus; default the one in the study file.")
]
OnlyStage = Annotated[
    str | None,
    typer.Option(
        "--only",
        metavar="STAGE",
        help="A kind of stages, or one stage that `plan` names.",
        autocompletion=among("mask", "finetune", "probe", "ldl-train", "ldl-evaluate", "compare", "report"),
    ),
]
StudyOut = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder of all results; default NAME-results.")
]


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of all results.")] = Path(
        "whisperprobe-demo"
    ),
    as_json: AsJson = False,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Run a whole study on the speech and the model that ship with this package.

    \b
    Examples:
      whisperprobe demo
      whisperprobe demo --out results/demo
      whisperprobe demo --quiet --json > found.json

    No network, no account, no GPU; minutes on a laptop. Spoken words are heard through three audiograms by a small
    Whisper, which is then fine-tuned on each. Ends by saying what was found and where the report is.
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from importlib.resources import as_file, files

    from whisperprobe.study import run_study

    start = time.monotonic()
    with as_file(files("whisperprobe.demo")) as folder:
        _close(run_study(folder / "study.toml", out), time.monotonic() - start, as_json)


def run_study_file(
    study: StudyFile,
    out: StudyOut = None,
    source: StudySource = None,
    only: OnlyStage = None,
    shard: Shard = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", "-j", metavar="N", help="Processes that filter and make cues; default the study's."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is left, its time and disk; compute and write nothing.")
    ] = False,
    as_json: AsJson = False,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Run a study: mask, fine-tune, probe, learn, compare, report. Started again, it goes on where it stopped.

    \b
    Examples:
      whisperprobe run study.toml
      whisperprobe run study.toml --dry-run
      whisperprobe run study.toml --out results
      whisperprobe run study.toml --source recordings --only mask
      whisperprobe run study.toml --only probe.base.hfloss --shard 0/8
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from whisperprobe.study import plan, read_study, run_study

    if dry_run:
        from dataclasses import asdict

        from whisperprobe.study_forecast import describe_expected, expected_stages

        planned = plan(read_study(study, source=source), out)
        rows = expected_stages(planned, only=only, workers=workers)
        if as_json:
            print_json({"results": planned.out, "stages": [asdict(row) for row in rows]})
        else:
            say(*describe_expected(rows, planned))
        return
    start = time.monotonic()
    result = run_study(read_study(study, source=source), out, only=only, shard=shard, workers=workers)
    _close(result, time.monotonic() - start, as_json)


def plan_study(
    study: StudyFile,
    out: StudyOut = None,
    source: StudySource = None,
    as_json: AsJson = False,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show the stages of a study, what each writes and what it waits for. Computes nothing.

    \b
    Examples:
      whisperprobe plan study.toml
      whisperprobe plan study.toml --json > plan.json
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from whisperprobe.study import plan, read_study

    planned = plan(read_study(study, source=source), out)
    if as_json:
        print_json(planned.to_dict())
    else:
        say(planned.describe())


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Results of `run` or `demo`, or of `compare --out`.")],
    title: Annotated[str | None, typer.Option("--title", metavar="TEXT", help="Title; default the study's.")] = None,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write the report of a study, or of a comparison, again.

    \b
    Examples:
      whisperprobe report whisperprobe-demo
      whisperprobe report digits-results --title "Digits through three audiograms"
      whisperprobe report my-comparison
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from whisperprobe.study import report_again

    say(f"report: {report_again(folder, title=title)}")


def _close(result: StudyResult, seconds: float, as_json: bool) -> None:
    found: list[str] = []
    if result.comparison is not None:
        from whisperprobe.comparison.summary import summarise

        found = summarise(result.comparison)
    if as_json:
        print_json({"findings": found, "report": result.report, "results": result.out, "seconds": result.seconds})
        return
    if found:
        say("", "What was found", *(f"- {sentence}" for sentence in found), "")
    if result.report is not None:
        say(f"report: {result.report}")
    say(f"results: {result.out}", f"wall time: {seconds:.0f} s")
