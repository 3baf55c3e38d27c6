"""The command `whisperprobe export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audiogram.console import configure
from whisperprobe.cli_options import Debug, LogLevel, Quiet, among, say

__all__ = ["export"]


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished probe run.")],
    format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help="legacy-json or csv.",
            autocompletion=among("legacy-json", "csv"),
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder to write; default RUN-FORMAT, beside RUN.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="M", help="Where the run's model is now; default: where it was."),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            "--top-k",
            metavar="K",
            help="legacy-json: most probable tokens listed; default as many as the run kept.",
        ),
    ] = None,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write a probe run for other programs: the JSON of older scripts, or one CSV file per table.

    \b
    Examples:
      whisperprobe export probes/base-hfloss --format csv
      whisperprobe export probes/base-hfloss --format legacy-json --out json --top-k 100

    legacy-json needs hidden states (probe --vectors greedy, the default) and the model, whose output embedding makes
    the distributions again.
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from whisperprobe.probing.export import export_run

    say(f"exported: {export_run(run, out, format=format, model=model, top_k=top_k)}")
