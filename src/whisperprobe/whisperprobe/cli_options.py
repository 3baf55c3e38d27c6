"""Options that several commands of `whisperprobe` have; those of both programs are handed on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audiogram.command_options import AsJson, Debug, LogLevel, Quiet, among, conditions_named, print_json, say

if TYPE_CHECKING:
    from audiogram.listening import Condition

__all__ = [
    "AsJson",
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
    "Task",
    "TextPattern",
    "among",
    "grouped",
    "heard_through",
    "print_json",
    "say",
]


def grouped(heading: str, *flags: str, default: str | bool = False, names: tuple[str, ...] = (), **more: Any) -> Any:
    """Make an option that stands under a heading of its command's help.

    Parameters
    ----------
    heading : str
        Of the group.
    *flags : str
        As for `typer.Option`, which takes all else.
    default : str or bool, default False
        What is said of the default, where it is decided elsewhere.
    names : tuple of str
        What completes its value.
    """
    completed = among(*names) if names else None
    return typer.Option(*flags, rich_help_panel=heading, show_default=default, autocompletion=completed, **more)


def heard_through(given: str | None) -> Condition | None:
    """Return the condition that `--condition` names, or that its file holds; None where it was left out."""
    if given is None:
        return None
    from audiogram.condition_files import named_condition

    return named_condition(given)


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
        metavar="NAME|FILE",
        help="Filter the speech on the fly: normal, lfloss, hfloss, or a .toml or .json file with a condition; "
        "default: as it is.",
        autocompletion=conditions_named,
    ),
]
MaxSamples = Annotated[
    int | None,
    typer.Option("--max-samples", metavar="N", help="A seeded sample of N clips, not the first N; default: all."),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of all random choices.")]
Language = Annotated[str, typer.Option("--language", metavar="CODE", help="Language of the speech.")]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="What the model runs on: auto, cpu, cuda, cuda:1, ...",
        autocompletion=among("auto", "cpu", "cuda"),
    ),
]
Task = Annotated[
    str,
    typer.Option(
        "--task",
        metavar="TASK",
        help="transcribe, or translate into English.",
        autocompletion=among("transcribe", "translate"),
    ),
]
