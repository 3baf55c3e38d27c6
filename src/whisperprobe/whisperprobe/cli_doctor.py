"""The command `whisperprobe doctor`."""

from __future__ import annotations

import sys

import typer

from audiogram.console import configure, shows_colours
from whisperprobe.cli_options import AsJson, Debug, LogLevel, Quiet, print_json, say

__all__ = ["doctor"]


def doctor(
    as_json: AsJson = False,
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
    if as_json:
        print_json(findings)
    else:
        say(described(findings, coloured=shows_colours(sys.stdout)))
    raise typer.Exit(exit_code(findings))
