"""What every command of `whisperprobe` takes: log level, quiet, debug; and how results are printed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audiogram.console import is_quiet

__all__ = [
    "ConditionName",
    "Debug",
    "Device",
    "Language",
    "LogLevel",
    "MaxSamples",
    "Model",
    "Out",
    "Quiet",
    "Seed",
    "Source",
    "TextPattern",
    "say",
]

LogLevel = Annotated[str, typer.Option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to write to.")]
TextPattern = Annotated[
    str | None,
    typer.Option("--text-pattern", metavar="REGEX", help="Columns from file names: named groups, one of them 'text'."),
]

Source = Annotated[str, typer.Argument(metavar="SOURCE", help="A folder of audio, or a Parquet corpus.")]
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="M", help="Folder of a model, or its hub name, e.g. openai/whisper-small."),
]
ConditionName = Annotated[
    str | None,
    typer.Option(
        "--condition",
        "-c",
        metavar="NAME",
        help="Filter the speech on the fly: normal, lfloss or hfloss; default: as it is.",
    ),
]
MaxSamples = Annotated[
    int | None, typer.Option("--max-samples", metavar="N", help="A seeded random sample of N clips, not the first N.")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of all random choices.")]
Language = Annotated[str, typer.Option("--language", metavar="CODE", help="Language of the speech.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...")]


def say(*lines: str) -> None:
    """Print results, unless the user asked for errors only."""
    if not is_quiet():
        for line in lines:
            typer.echo(line)
