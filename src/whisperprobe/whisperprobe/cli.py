"""The command `whisperprobe`. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import os
import sys

import typer

from audiogram.console import run_app
from whisperprobe.cli_alignment import align, words
from whisperprobe.cli_commonvoice import commonvoice
from whisperprobe.cli_compare import compare_runs
from whisperprobe.cli_corpora import extract, logmel, verify
from whisperprobe.cli_doctor import doctor
from whisperprobe.cli_export import export
from whisperprobe.cli_finetune import finetune_model
from whisperprobe.cli_groups import GroupedCommand
from whisperprobe.cli_ldl import ldl
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
app.command("compare", cls=GroupedCommand)(compare_runs)
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


def main() -> None:
    """Run the command line and end the process with its exit code."""
    # OpenMP's threads spin while they wait. On shared cores that costs torch's small models two thirds of their speed
    # (38 against 103 clips/s of fine-tuning beside one other process); with short spinning idle cores lose a tenth.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    sys.exit(run_app(app))


if __name__ == "__main__":
    main()
