"""The comparison with other packages: what it says of this library is run here, and stands on the page.

What it says of the others is held to them in `tests/peers/test_comparison_page.py`, where they are installed.
"""

import importlib
import importlib.util
import re
import sys
from pathlib import Path

import pytest

import audiogram as ag

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "comparison.md"


def load(name):
    """A module of `scripts/comparison`, which no distribution has."""
    if "comparison" not in sys.modules:
        folder = ROOT / "scripts" / "comparison"
        spec = importlib.util.spec_from_file_location(
            "comparison", folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        sys.modules["comparison"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["comparison"])
    return importlib.import_module(f"comparison.{name}")


ROWS = load("rows").ROWS
claim = load("ours").claim


@pytest.fixture(scope="module")
def said():
    """The first answer of each question on the page, which is this library's."""
    lines = [re.split(r"(?<!\\)\|", line) for line in PAGE.read_text(encoding="utf-8").splitlines()]
    return {line[1].strip(): line[2].strip() for line in lines if len(line) == 6}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_what_the_page_says_of_this_library_is_so(row, said):
    assert claim.find(row.id, row.pattern).cell() == said[row.question]


def test_no_claim_is_left_out():
    assert set(claim.probes) <= {row.id for row in ROWS}
    assert len({row.question for row in ROWS}) == len(ROWS)


def test_every_name_of_the_library_is_compared():
    told = " ".join(name for _, names, _ in claim.probes.values() for name in names)
    known = [name for name in ag.__all__ if not name.startswith("_")]
    for cls in (ag.Audiogram, ag.Listener, ag.Condition):
        known += [f"{cls.__name__}.{name}" for name in vars(cls) if not name.startswith("_")]
        known += cls.__dataclass_fields__
    missing = [name for name in known if not re.search(rf"\b{re.escape(name.rpartition('.')[-1])}\b", told)]
    assert not missing


def test_a_plain_no_has_to_be_true():
    with pytest.raises(AssertionError, match="names match: bone"):
        load("claims").Claims("audiogram", ["audiogram"], ["audiogram"]).find("bones", "^bone$")


def test_names_are_looked_up():
    one = load("claims").Claims("audiogram", ["audiogram"], ["audiogram"])
    one("a", "yes", "Audiogram.at(interpolation)")(lambda: None)
    one("b", "yes", "Audiogram.at(colour)")(lambda: None)
    one("c", "yes", "Audiogram.draw")(lambda: None)
    assert one.find("a", "").cell() == "**yes** `Audiogram.at(interpolation)`"
    with pytest.raises(AssertionError, match="colour"):
        one.find("b", "")
    with pytest.raises(AttributeError):
        one.find("c", "")
