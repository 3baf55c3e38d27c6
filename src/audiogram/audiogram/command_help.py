"""Help pages that teach: what a command does, examples, then its options in groups, each with unit and default."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

__all__ = ["TaughtCommand", "TaughtGroup", "program"]

# Options that many commands have stand under the same heading everywhere; a `rich_help_panel` of an option's own wins.
_GROUPS = {
    "Which clips": (
        "--splits", "--max-samples", "--balance", "--text-pattern", "--text-map", "--split-column", "--test",
        "--validation", "--max-seconds",
    ),
    "Parts and speed": (
        "--batch-size", "--device", "--workers", "--num-workers", "--num-threads", "--shard",
        "--rows-per-part", "--max-failures",
    ),
    "What is printed": ("--json", "--quiet", "--log-level", "--debug", "--version", "--help"),
    "Completion": ("--install-completion", "--show-completion"),
}  # fmt: skip
_GROUP_OF = {option: heading for heading, options in _GROUPS.items() for option in options}
_SENTENCE = 200  # characters: room for the whole first sentence of a command, on several lines
_COMPUTED = re.compile(r"\[default: \(([^()]+)\)")  # how a default is shown that is no literal


def program(help: str, *, name: str | None = None) -> typer.Typer:
    """Make a program, or a group of commands of one: plain help pages, shell completion, no tracebacks by Typer.

    Parameters
    ----------
    help : str
        What it is for, with examples.
    name : str, optional
        Its name.

    Returns
    -------
    typer.Typer
        Commands are to be added with ``cls=TaughtCommand``.
    """
    return typer.Typer(
        name=name,
        help=help,
        cls=TaughtGroup,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )


class TaughtCommand(TyperCommand):
    """A command whose help lists its arguments, and then its options under headings."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_parameters(self.get_params(ctx), ctx, formatter)


class TaughtGroup(TyperGroup):
    """A program whose help lists its commands under their `rich_help_panel`, before its own options."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        self.format_commands(ctx, formatter)
        _write_parameters(self.get_params(ctx), ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                heading = getattr(command, "rich_help_panel", None) or "Commands"
                groups.setdefault(str(heading), []).append((name, command.get_short_help_str(_SENTENCE)))
        _write(groups, formatter)


def _write_parameters(parameters: Sequence[Any], ctx: Any, formatter: Any) -> None:
    groups: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    last: dict[str, list[tuple[str, str]]] = {heading: [] for heading in _GROUPS}
    for parameter in parameters:
        record = parameter.get_help_record(ctx)
        if record is None:
            continue
        name, text = record
        text = _COMPUTED.sub(r"[default: \1", text)
        if parameter.param_type_name == "argument":
            groups["Arguments"].append((name.split(" <")[0], text))  # its metavar says what it is
            continue
        panel = getattr(parameter, "rich_help_panel", None)
        common = next((_GROUP_OF[option] for option in parameter.opts if option in _GROUP_OF), None)
        if panel is None and common is not None:
            last[common].append((name, text))
        else:
            groups.setdefault(str(panel or "Options"), []).append((name, text))
    _write(groups | {heading: records for heading, records in last.items() if heading not in groups}, formatter)


def _write(groups: dict[str, list[tuple[str, str]]], formatter: Any) -> None:
    for heading, records in groups.items():
        if records:
            with formatter.section(heading):
                formatter.write_dl(records)
