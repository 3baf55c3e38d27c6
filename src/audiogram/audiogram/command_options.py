"""Options that the commands of both programs share, completion of their values, and how answers are printed."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from audiogram.console import LEVELS, is_quiet

__all__ = [
    "AsJson",
    "Debug",
    "LogLevel",
    "Quiet",
    "SoundFormat",
    "among",
    "conditions_named",
    "filters_named",
    "presets_named",
    "print_json",
    "say",
    "version_option",
]


def among(*names: str) -> Callable[[str], list[str]]:
    """Complete an option's value with these names; what the shell calls when Tab is pressed."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


def conditions_named(incomplete: str) -> list[str]:
    """Complete the name of a built-in condition."""
    from audiogram.listening import conditions

    return [name for name in conditions() if name.startswith(incomplete)]


def presets_named(incomplete: str) -> list[str]:
    """Complete the name of an audiogram."""
    from audiogram.standard_audiograms import presets

    return [name for name in presets() if name.startswith(incomplete)]


def filters_named(incomplete: str) -> list[str]:
    """Complete the name of an installed filter."""
    from audiogram.filters.registry import list_filters

    return [found.name for found in list_filters() if found.name and found.name.startswith(incomplete)]


LogLevel = Annotated[
    str,
    typer.Option(
        "--log-level",
        metavar="LEVEL",
        help="What the log on standard error holds: debug, info, warning or error.",
        autocompletion=among(*LEVELS),
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors and warnings only, and what --json asks for.")]
SoundFormat = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="flac24, flac16, wav or wav32f.",
        autocompletion=among("flac24", "flac16", "wav", "wav32f"),
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as one JSON document, for scripts.")]


def version_option(*distributions: str) -> Any:
    """Make the option `--version` of a program, which says what is installed.

    Parameters
    ----------
    *distributions : str
        Whose versions are said, the program's own first.
    """

    def show(asked: bool) -> None:
        if asked:
            from importlib.metadata import version

            for name in distributions:
                typer.echo(f"{name} {version(name)}")
            raise typer.Exit

    return typer.Option("--version", callback=show, is_eager=True, help="Say which version this is.")


def say(*lines: str) -> None:
    """Print results for people, a line each; nothing under `--quiet`."""
    if not is_quiet():
        for line in lines:
            typer.echo(line)


def print_json(value: Any) -> None:
    """Print an answer for scripts, under `--quiet` too: one JSON document, indented.

    Parameters
    ----------
    value : object
        Made of dataclasses, mappings, sequences, paths, strings and numbers, NumPy's too. What JSON has no number for,
        NaN and infinities, becomes null.
    """
    typer.echo(json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):  # a number of NumPy's
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
