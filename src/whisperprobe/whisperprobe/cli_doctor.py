"""The command `whisperprobe doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from audiogram.console import configure
from whisperprobe.cli_options import Debug, LogLevel, Quiet, say

__all__ = ["doctor"]


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Look at this machine and say what stands in the way of a run, and what to do about it.

    \b
    Examples:
      whisperprobe doctor
      whisperprobe doctor --json

    Looks at versions, at torch and torchaudio, the graphics card, the sound formats, the filters, disk and memory.
    No network. Exit code 1 where something will fail.
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from whisperprobe.doctor import examine
    from whisperprobe.doctor_page import described, exit_code

    findings = examine()
    say(described(findings, as_json=as_json))
    raise typer.Exit(exit_code(findings))
