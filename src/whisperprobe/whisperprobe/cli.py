"""The command `whisperprobe`. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from audiogram.command_help import TaughtCommand, program
from audiogram.command_options import version_option
from audiogram.console import run_app
from whisperprobe.cli_alignment import align, words
from whisperprobe.cli_commonvoice import commonvoice
from whisperprobe.cli_compare import compare_runs
from whisperprobe.cli_corpora import extract, logmel, verify
from whisperprobe.cli_doctor import doctor
from whisperprobe.cli_export import export
from whisperprobe.cli_finetune import finetune_model
from whisperprobe.cli_ldl import ldl
from whisperprobe.cli_plot_training import plot_training_curves
from whisperprobe.cli_probe import probe_source
from whisperprobe.cli_slurm import submit
from whisperprobe.cli_study import demo, plan_study, report, run_study_file
from whisperprobe.ranks import note_stop

__all__ = ["app", "main"]

app = program(
    """Whisper as a listener: fine-tune it on filtered speech, probe every token, compare conditions and models.

    \b
    Examples:
      whisperprobe demo                     # a whole study on speech that comes along: CPU, minutes, no network
      whisperprobe run study.toml           # your own
      whisperprobe doctor                   # where something does not work
      whisperprobe --install-completion     # names and options with the Tab key, in bash, zsh and fish

    Every command says more: whisperprobe probe --help.
    """,
    name="whisperprobe",
)
_COMMANDS: dict[str, dict[str, Callable[..., None] | typer.Typer]] = {
    "A whole study": {
        "demo": demo, "run": run_study_file, "plan": plan_study, "submit": submit, "report": report,
    },
    "Its steps, one by one": {
        "finetune": finetune_model, "plot-training": plot_training_curves, "probe": probe_source,
        "compare": compare_runs, "export": export, "ldl": ldl,
    },
    "Corpora": {
        "commonvoice": commonvoice, "align": align, "words": words, "logmel": logmel, "extract": extract,
        "verify": verify,
    },
    "This machine": {"doctor": doctor},
}  # fmt: skip
for _heading, _group in _COMMANDS.items():
    for _name, _command in _group.items():
        if isinstance(_command, typer.Typer):
            app.add_typer(_command, name=_name, rich_help_panel=_heading)
        else:
            app.command(_name, cls=TaughtCommand, rich_help_panel=_heading)(_command)


@app.callback()
def _program(version: Annotated[bool, version_option("whisperprobe", "audiogram")] = False) -> None:
    pass


def main() -> None:
    """Run the command line and end the process with its exit code."""
    # OpenMP's threads spin while they wait. On shared cores that costs torch's small models two thirds of their speed
    # (38 against 103 clips/s of fine-tuning beside one other process); with short spinning idle cores lose a tenth.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    sys.exit(note_stop(run_app(app)))


if __name__ == "__main__":
    main()
