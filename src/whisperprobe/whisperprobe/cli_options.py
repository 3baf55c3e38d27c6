"""What every command of `whisperprobe` takes: log level, quiet, debug; and how results are printed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audiogram.console import is_quiet

__all__ = ["Debug", "LogLevel", "Out", "Quiet", "TextPattern", "say"]

LogLevel = Annotated[str, typer.Option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to write to.")]
TextPattern = Annotated[
    str | None,
    typer.Option("--text-pattern", metavar="REGEX", help="Columns from file names: named groups, one of them 'text'."),
]


def say(*lines: str) -> None:
    """Print results, unless the user asked for errors only."""
    if not is_quiet():
        for line in lines:
            typer.echo(line)
