"""`--help` teaches: every command of both programs has examples that would run, and no option is left undescribed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
import typer

import audiogram.cli
import whisperprobe.cli
from audiogram.console import run_app

PROGRAMS = {"audiogram": audiogram.cli.app, "whisperprobe": whisperprobe.cli.app}

# Options without which nothing of their kind is done: there is no default that could be said.
NOTHING_WITHOUT: dict[str, set[str]] = {
    "audiogram mask": {"balance", "text_pattern", "text_map", "test"},
    "audiogram simulate": {"audiogram", "condition", "option", "full_scale", "speech_level", "noise", "snr"},
    "whisperprobe align": {"model", "textgrids", "text_pattern"},
    "whisperprobe compare": {
        "human", "items", "response", "baseline", "log", "pronunciation", "pronunciations",
    },
    "whisperprobe finetune": {
        "model", "from_config", "recipe", "max_steps", "freeze", "lora_rank", "augment", "patience", "text_pattern",
    },
    "whisperprobe probe": {"model", "layers", "lexicon", "homophones", "text_pattern"},
    "whisperprobe run": {"only"},
    "whisperprobe submit": {"only", "resource", "rates"},
    "whisperprobe words": {"balance", "text_pattern"},
    "whisperprobe ldl train": {"shape", "frequencies", "text_pattern"},
    "whisperprobe ldl evaluate": {"semantics", "text_pattern"},
    "whisperprobe ldl cues": {"text_pattern"},
    "whisperprobe extract": {"text_pattern"},
    "whisperprobe logmel": {"text_pattern"},
}  # fmt: skip


def below(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from below(f"{path} {name}", child)


COMMANDS = {
    path: command for name, app in PROGRAMS.items() for path, command in below(name, typer.main.get_command(app))
}
LEAVES = {path: command for path, command in COMMANDS.items() if not getattr(command, "commands", {})}


def context(path: str) -> Any:
    """What click knows of a command while it writes its help."""
    words, around = path.split(), None
    for i in range(len(words)):
        command = COMMANDS[" ".join(words[: i + 1])]
        around = command.context_class(command, info_name=words[i], parent=around)
    return around


def examples(command: Any) -> list[str]:
    """The calls under "Examples:", those on several lines as one."""
    block = re.search(r"\x08\nExamples:\n(.*?)(?:\n\n|\Z)", command.help, re.DOTALL)
    assert block is not None, command.help
    found: list[str] = []
    for line in block[1].splitlines():
        if line.startswith("    "):
            found[-1] += " " + line.strip()
        else:
            found.append(line.strip())
    return found


def test_both_programs_are_walked() -> None:
    assert len(LEAVES) >= 25
    assert {"audiogram mask", "whisperprobe ldl evaluate", "whisperprobe commonvoice import"} <= set(LEAVES)


@pytest.mark.parametrize("path", COMMANDS)
def test_examples_come_first_and_would_run(path: str) -> None:
    summary, block, *_ = COMMANDS[path].help.split("\n\n")
    assert summary[0].isupper()
    assert summary.rstrip()[-1] == "."
    assert block.startswith("\b\nExamples:\n")
    called = []
    for example in examples(COMMANDS[path]):
        words = shlex.split(re.split(r" (?:>|&&|#) ", re.sub(r"^torchrun .*? -m ", "", example))[0], comments=True)
        if words[0] == "export":
            continue
        name = max((name for name in COMMANDS if words[: len(name.split())] == name.split()), key=len)
        called.append(name)
        rest = words[len(name.split()) :]
        if name in PROGRAMS:  # an option of the program itself, which ends it
            assert {option for one in COMMANDS[name].get_params(context(name)) for option in one.opts} >= set(rest)
            continue
        assert LEAVES[name].make_context(name, rest).params  # refuses options that do not exist, and missing arguments
    assert any(f"{name} ".startswith(f"{path} ") for name in called)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_is_described_with_unit_and_default(path: str) -> None:
    command, ctx = COMMANDS[path], context(path)
    for one in command.get_params(ctx):
        assert one.help, f"{path}: {one.opts} has no help text"
        assert one.help[-1] in ".,)", f"{path}: {one.opts}: a help text is a sentence"
        takes_value = one.param_type_name == "argument" or not one.is_flag
        if takes_value:
            assert one.metavar, f"{path}: {one.opts} does not say of which unit or kind its value is"
        if one.param_type_name == "argument" or one.required or not takes_value:
            continue
        if one.name not in NOTHING_WITHOUT.get(path, ()):
            assert "default" in one.get_help_record(ctx)[1].lower(), f"{path}: {one.opts} does not say its default"


def test_exceptions_are_of_options_that_are() -> None:
    for path, names in NOTHING_WITHOUT.items():
        of = {one.name: one for one in COMMANDS[path].params}
        assert all(of[name].default in (None, ()) for name in names), path


@pytest.mark.parametrize("path", LEAVES)
def test_options_stand_in_groups_and_the_common_ones_last(path: str) -> None:
    shown = COMMANDS[path].get_help(context(path))
    headings = re.findall(r"^(\w.*):$", shown, re.MULTILINE)
    assert headings[-1] == "What is printed"
    last = shown[shown.index("\nWhat is printed:\n") :]
    assert all(f"--{name}" in last for name in ("quiet", "log-level", "debug", "help"))
    options = {option for one in COMMANDS[path].get_params(context(path)) for option in getattr(one, "opts", ())}
    assert all(f"  {option}" in shown or f", {option}" in shown for option in options if option.startswith("--"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_version_is_said(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(PROGRAMS[program], ["--version"]) == 0
    lines = [
        f"{name} {version(name)}" for name in ("whisperprobe", "audiogram") if name == program or program != "audiogram"
    ]
    assert capsys.readouterr().out.splitlines() == lines
