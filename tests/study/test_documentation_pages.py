"""The pages hold what the code offers: every public name, every command, every option that an example uses."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

import audiogram
import whisperprobe
from audiogram.cli import app as audiogram_app
from whisperprobe.cli import app as whisperprobe_app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("src/*/README.md")),
    *sorted(DOCS.glob("*.md")),
]
APPS = {"audiogram": audiogram_app, "whisperprobe": whisperprobe_app}


def loaded(path: Path) -> Any:
    """A script that no package holds."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


generate_pages = loaded(DOCS / "generate_pages.py")
COMMANDS = {
    (program, *path): command for program, app in APPS.items() for path, command in generate_pages.commands(app)
}


@pytest.mark.parametrize("module", generate_pages.MODULES)
def test_every_public_name_is_in_the_reference(module: str) -> None:
    page = generate_pages.api_page(module)
    listed = re.findall(r"^   (\w+)$", page, re.MULTILINE)
    elsewhere = re.findall(r"\{py:obj\}`[\w.]+\.(\w+)`", page)
    assert sorted(listed + elsewhere) == sorted(
        n for n in importlib.import_module(module).__all__ if n != "__version__"
    )
    assert all(name in generate_pages.handed_on(module) for name in elsewhere)
    assert f"generated/api-{module}\n" in (DOCS / "reference.md").read_text(encoding="utf-8")


def test_classes_and_functions_that_differ_in_case_have_files_of_their_own() -> None:
    files = generate_pages.clashing_files()
    assert files["audiogram.Condition"] == "audiogram.Condition-class"
    assert "audiogram.condition" not in files


@pytest.mark.parametrize("program", APPS)
def test_every_command_is_in_the_reference_with_its_help(program: str) -> None:
    page = generate_pages.command_page(program)
    for path in (path for path in COMMANDS if path[0] == program and len(path) > 1):
        assert f"## `{' '.join(path)}`" in page
        assert f"Usage: {' '.join(path)} " in page
    assert f"generated/command-{program}\n" in (DOCS / "reference.md").read_text(encoding="utf-8")


def test_every_page_is_in_a_table_of_contents() -> None:
    found = {"index"}
    for page in DOCS.glob("*.md"):
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            lines = [line.strip() for line in tree.splitlines() if line.strip() and not line.startswith(":")]
            found |= {re.sub(r".*<(.*)>", r"\1", line) for line in lines}
    assert {page.stem for page in DOCS.glob("*.md")} == {name for name in found if not name.startswith("generated/")}


def commands_of(page: Path) -> list[str]:
    """Every line of a page's shell blocks that calls one of the two programs; continued lines are joined."""
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    shell = r"^```(?:bash|sh|\{code-cell\} python\n%%bash -e)\n(.*?)^```"
    blocks = re.findall(shell, text, re.DOTALL | re.MULTILINE)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.split(" ")[0] in APPS]


@pytest.mark.parametrize("page", [page for page in PAGES if commands_of(page)], ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_of_the_pages_exist_with_their_options(page: Path) -> None:
    for line in commands_of(page):
        words = shlex.split(line.replace("|", ";"), comments=True)
        path = tuple(words[:1])
        while path + tuple(words[len(path) : len(path) + 1]) in COMMANDS and len(path) < len(words):
            path += (words[len(path)],)
        command = COMMANDS[path]
        assert not hasattr(command, "commands") or len(words) == len(path) or words[len(path)].startswith("--"), line
        known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help", "-h"}
        options = [re.split("=", word)[0] for word in words[len(path) :] if re.match(r"--?[a-zA-Z]", word)]
        assert set(options) <= known, line


def test_options_that_older_ones_became_exist() -> None:
    page = (DOCS / "howto-older-scripts.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## Options: `([^`]*)`\n(.*?)(?=^## )", page, re.DOTALL | re.MULTILINE)
    assert len(sections) == 4
    for called, text in sections:
        known = {name for one in COMMANDS[tuple(called.split())].params for name in (*one.opts, *one.secondary_opts)}
        rows = [line.split("|") for line in text.splitlines() if line.startswith("| ")][2:]
        told = {name for row in rows for name in re.findall(r"(?<!sbatch )(--[a-z-]+)", row[2] + row[3])}
        assert len(told) > 4
        assert told <= known, called
    for called in re.findall(r"`((?:audiogram|whisperprobe) [a-z -]+?)(?= [A-Z]|`| --)", page):
        assert tuple(called.split()) in COMMANDS, called


@pytest.mark.parametrize("notebook", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_notebooks_are_stored_without_outputs_and_are_pages(notebook: Path) -> None:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 5
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    assert f"generated/notebooks/{notebook.stem}\n" in (DOCS / "notebooks.md").read_text(encoding="utf-8")


def test_citation_names_the_version() -> None:
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert cited is not None
    assert {audiogram.__version__, whisperprobe.__version__} == {cited[1]}
    page = (DOCS / "citation.md").read_text(encoding="utf-8")
    assert f"version {cited[1]}" in page
    assert f"version = {{{cited[1]}}}" in page


def test_glossary_is_in_the_order_of_the_alphabet() -> None:
    terms = re.findall(r"^(\w.*)\n  \S", (DOCS / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(terms) > 60
    assert terms == sorted(terms, key=str.casefold)
