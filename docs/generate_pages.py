"""Reference pages made from the code itself: every public name, every command. Written when the docs are built."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

MODULES = {
    "audiogram": "Ears, filters, conditions, sound and corpora of sound.",
    "audiogram.corpus": "Corpora of sound and row stages: the reader and writer that all commands share.",
    "audiogram.filters.base": "What built-in filters stand on, for authors of plugins.",
    "audiogram.filters.conformance": "The suite that every filter must pass, for authors of plugins.",
    "audiogram.errors": "What both packages raise, and the warning that they give.",
    "whisperprobe": "Fine-tuning, probes, alignment, comparison, report, studies.",
    "whisperprobe.ldl": "The second listener: cues, meanings, learning, measures.",
    "whisperprobe.training": "What fine-tuning is made of: tokenizer, augmentation, scores.",
    "whisperprobe.comparison": "Listeners beside each other, beside people, and word by word.",
    "whisperprobe.report": "The report, and its matrix as a still picture.",
}
PROGRAMS = {"audiogram": "audiogram.cli", "whisperprobe": "whisperprobe.cli"}
_HELP_WIDTH = "100"


def public_names(module: str) -> list[str]:
    """What a module offers, without its version."""
    return [name for name in importlib.import_module(module).__all__ if not name.startswith("__")]


def handed_on(module: str) -> dict[str, str]:
    """Full names, by name, of what a module offers and one before it in the reference offers too."""
    earlier = list(MODULES)[: list(MODULES).index(module)]
    known = {
        id(getattr(importlib.import_module(one), name)): f"{one}.{name}"
        for one in reversed(earlier)
        for name in public_names(one)
    }
    here = {name: getattr(importlib.import_module(module), name) for name in public_names(module)}
    return {name: known[id(thing)] for name, thing in here.items() if callable(thing) and id(thing) in known}


def clashing_files() -> dict[str, str]:
    """File names for classes whose page would differ from a function's in upper and lower case only."""
    taken: dict[str, str] = {}
    for module in MODULES:
        names = public_names(module)
        twins = {name.casefold() for name in names if sum(other.casefold() == name.casefold() for other in names) > 1}
        taken |= {f"{module}.{n}": f"{module}.{n}-class" for n in names if n.casefold() in twins and n[0].isupper()}
    return taken


def api_page(module: str) -> str:
    """Page that lists a module's public names, each with a page of its own, which is the first module's that has it."""
    elsewhere = handed_on(module)
    lines = [f"   {name}" for name in public_names(module) if name not in elsewhere]
    listing = "\n".join([f".. currentmodule:: {module}", "", ".. autosummary::", "   :toctree: api", "", *lines])
    also = ", ".join(f"{{py:obj}}`{full}`" for full in elsewhere.values())
    return (
        f"# `{module}`\n\n{MODULES[module]}\n\n```{{eval-rst}}\n{listing}\n```\n"
        + (f"\nAlso here: {also}.\n" if also else "")
    )  # fmt: skip


def commands(app: typer.Typer) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command of a program with the words that call it, groups before what is in them."""

    def below(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
        yield path, command
        for name, child in getattr(command, "commands", {}).items():
            yield from below((*path, name), child)

    yield from below((), typer.main.get_command(app))


def help_of(app: typer.Typer, path: tuple[str, ...]) -> str:
    """What `--help` prints."""
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": _HELP_WIDTH, "TERMINAL_WIDTH": _HELP_WIDTH})
    if result.exit_code:
        raise RuntimeError(f"{' '.join(path)} --help ended with {result.exit_code}: {result.output}")
    return result.output.rstrip()


def command_page(program: str) -> str:
    """Page with the help of every command of a program."""
    app = importlib.import_module(PROGRAMS[program]).app
    parts = [f"# The command `{program}`\n"]
    for path, _ in commands(app):
        heading = f"## `{' '.join((program, *path))}`\n\n" if path else ""
        parts.append(f"{heading}```text\n{help_of(app, path)}\n```\n")
    return "\n".join(parts)


def pages() -> dict[str, str]:
    """Every generated page by the name of its file, without the ending."""
    found = {f"api-{module}": api_page(module) for module in MODULES}
    return found | {f"command-{program}": command_page(program) for program in PROGRAMS}


def write_pages(docs: Path) -> None:
    """Write them under DOCS/generated and bring the notebooks there; what is unchanged keeps its date.

    Pages of names that are gone, left by an earlier build, are removed.
    """
    folder = docs / "generated"
    os.makedirs(folder / "notebooks", exist_ok=True)
    for name, text in pages().items():
        file = folder / f"{name}.md"
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
    files = clashing_files()
    offered = {f"{m}.{name}" for m in MODULES for name in public_names(m) if name not in handed_on(m)}
    for left in set(folder.glob("api/*.rst")) - {folder / "api" / f"{files.get(one, one)}.rst" for one in offered}:
        left.unlink()
    for notebook in sorted((docs.parent / "notebooks").glob("*.ipynb")):
        shutil.copy2(notebook, folder / "notebooks" / notebook.name)
