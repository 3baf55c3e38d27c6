"""The command `whisperprobe`. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from audiogram.console import configure, run_app
from whisperprobe.cli_alignment import align, words
from whisperprobe.cli_commonvoice import commonvoice
from whisperprobe.cli_corpora import extract, logmel, verify
from whisperprobe.cli_doctor import doctor
from whisperprobe.cli_export import export
from whisperprobe.cli_finetune import finetune_model
from whisperprobe.cli_groups import GroupedCommand
from whisperprobe.cli_ldl import ldl
from whisperprobe.cli_options import (
    Debug,
    LogLevel,
    Quiet,
    Seed,
    say,
)
from whisperprobe.cli_plot_training import plot_training_curves
from whisperprobe.cli_probe import probe_source
from whisperprobe.cli_slurm import submit
from whisperprobe.cli_study import demo, plan_study, report, run_study_file

__all__ = ["app", "main"]

app = typer.Typer(
    name="whisperprobe",
    help="Whisper as a listener: fine-tune it on filtered speech, probe every token, compare conditions and models.\n\n"
    "Start with: whisperprobe demo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

app.command("demo")(demo)
app.command("run")(run_study_file)
app.command("plan")(plan_study)
app.command("submit")(submit)


app.command("finetune", cls=GroupedCommand)(finetune_model)
app.command("plot-training")(plot_training_curves)
app.command("probe")(probe_source)


@app.command("compare")
def compare_runs(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Probe runs: folders, or MODEL:CONDITION[@SEED]=folder.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder to save the comparison in.")
    ] = None,
    resamples: Annotated[int, typer.Option("--resamples", help="Bootstrap resamples, at least 100.")] = 2000,
    common: Annotated[
        bool, typer.Option("--common", help="Compare the clips that all runs hold, leave out the rest.")
    ] = False,
    seed: Seed = 0,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare probe runs over the same clips, and say what was found.

    \b
    Examples:
      whisperprobe compare probes/base-normal probes/base-hfloss --out comparison
      whisperprobe compare base:normal=probes/a base:hfloss=probes/b hfloss:hfloss=probes/c --out comparison

    MODEL is base for the unadapted model, else the condition that it was fine-tuned on: the findings and the report
    word it so. Without labels, the model is named after its folder and the condition is read from the run.
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from whisperprobe.comparison.conditions import compare
    from whisperprobe.comparison.summary import summarise

    labelled = [_labelled(run) for run in runs]
    comparison = compare(labelled, out=out, seed=seed, resamples=resamples, clips="common" if common else "same")
    say(*summarise(comparison))
    if out is not None:
        say(f"comparison: {out}")


app.command("export")(export)
app.command("align")(align)
app.command("words")(words)
app.command("logmel")(logmel)
app.command("extract")(extract)
app.command("verify")(verify)
app.command("report")(report)
app.command("doctor")(doctor)
app.add_typer(commonvoice, name="commonvoice")
app.add_typer(ldl, name="ldl")


def _labelled(run: str) -> Any:
    """Read ``MODEL:CONDITION[@SEED]=folder``; a folder alone stays as it is."""
    import re

    from whisperprobe.comparison.conditions import ProbeRun

    match = re.fullmatch(r"([\w.-]+):([\w.-]+)(?:@(\d+))?=(.+)", run)
    if match is None:
        return run
    return ProbeRun(match[4], match[1], match[2], int(match[3]) if match[3] else None)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    # OpenMP's threads spin while they wait. On shared cores that costs torch's small models two thirds of their speed
    # (38 against 103 clips/s of fine-tuning beside one other process); with short spinning idle cores lose a tenth.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    sys.exit(run_app(app))


if __name__ == "__main__":
    main()
