"""README and the pages on audiograms and filters: their examples run, and give what the comments say.

`expression  # → text` in an example means that the value prints as the text. Examples of a page follow one another in
one folder, where there are sound files to read.
"""

import ast
import contextlib
import inspect
import io
import re
import shlex
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import audiogram as ag
from audiogram.cli import app
from audiogram.errors import AudiogramWarning
from audiogram.filters.registry import GROUP, filter_flags

ROOT = Path(__file__).parents[2]
README, FILTERS, AUDIOGRAMS = ROOT / "src/audiogram/README.md", ROOT / "docs/filters.md", ROOT / "docs/audiograms.md"
RATE = 16_000
OWN = [one.name for one in ag.list_filters() if one.distribution == "audiogram"]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def section(page, heading):
    parts = re.split(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[heading]


def table(text):
    """First column of each row of the tables in a text, with the others; without headings."""
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in text.splitlines() if "|" in line]
    return {row[0].strip("`"): row[1:] for row in rows if row and row[0].startswith("`")}


def run(code, names):
    """Run an example statement by statement; how many results it showed."""
    lines = code.splitlines()
    shown = 0
    for statement in ast.parse(code).body:
        source = ast.unparse(statement)
        said = re.search(r"# → (.*)$", lines[statement.end_lineno - 1])
        if said is None:
            exec(source, names)
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            value = eval(source, names)
        texts = {printed.getvalue().strip()} if value is None else {repr(value), str(value)}
        assert said[1] in texts, f"{source} gives {texts}, not {said[1]}"
        shown += 1
    return shown


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where examples find `speech.wav` and a folder of recordings."""
    rng, at = np.random.default_rng(0), np.arange(RATE) / RATE
    (tmp_path / "recordings").mkdir()
    for name in ("speech.wav", "recordings/seven.wav", "recordings/three.wav"):
        sound = 0.05 * rng.standard_normal(RATE) * (1 + np.sin(2 * np.pi * 4 * at))
        ag.write(tmp_path / name, sound, RATE, "wav")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("page", "at_least"), [(README, 8), (FILTERS, 12), (AUDIOGRAMS, 15)], ids=lambda p: str(p)[-12:]
)
def test_examples_run_and_give_what_they_say(page, at_least, folder):
    names, shown = {}, 0
    for code in blocks(page, "python"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AudiogramWarning)  # the pages speak of bounds, which warn
            shown += run(code, names)
    assert shown >= at_least
    assert page.read_text(encoding="utf-8").count("# →") == shown


def test_a_wrong_result_on_a_page_is_found():
    assert run("x = 2\nx + 1  # → 3\nprint('a', x)  # → a 2", {}) == 2
    with pytest.raises(AssertionError, match="gives"):
        run("1 + 1  # → 3", {})


@pytest.mark.parametrize("page", [README])
def test_commands_run(page, folder):
    commands = [line for block in blocks(page, "sh") for line in block.splitlines() if line.startswith("audiogram ")]
    assert len(commands) >= 5
    for command in commands:
        done = CliRunner().invoke(app, shlex.split(command, comments=True)[1:])
        assert done.exit_code == 0, f"{command}: {done.output}{done.exception}"


@pytest.mark.parametrize("name", OWN)
def test_every_option_of_every_filter_is_described_with_its_default(name):
    described = table(section(FILTERS, name))
    parameters = list(inspect.signature(ag.get_filter(name)).parameters.values())[1:]
    options = {one.name: one.default for one in parameters if one.name != "sample_rate"}
    assert list(described) == list(options)
    for key, default in options.items():
        said = described[key][0]
        assert said == ("needed" if default is inspect.Parameter.empty else f"`{default!r}`".replace("'", '"')), key


def test_the_table_of_flags_is_that_of_the_filters():
    text = section(FILTERS, "Which one")
    rows = {name: cells for name, cells in table(text).items() if len(cells) == 3}
    assert set(rows) == set(OWN)
    for name, cells in rows.items():
        if "cochlear filter" in cells[0]:
            assert hasattr(ag.get_filter(name), "flags")
            continue
        flags = filter_flags(name, {})
        assert [one == "yes" for one in cells] == [flags.linear, flags.level_dependent, flags.adds_noise], name
    assert all(f"`{name}`" in text.split("linear")[0] for name in OWN), "say when to choose it"


def test_the_files_of_the_page_are_a_condition_and_a_plugin():
    condition, distribution = (tomllib.loads(block) for block in blocks(FILTERS, "toml"))
    assert distribution["project"]["entry-points"] == {GROUP: {"muffled": "my_package.muffled:Muffled"}}
    assert ag.Condition.from_dict(condition | {"name": "x", "audiogram": "hfloss"}).filter == "msbg"


def test_every_field_of_an_audiogram_is_described():
    assert set(ag.Audiogram.__dataclass_fields__) <= set(table(section(AUDIOGRAMS, "Audiograms")))
