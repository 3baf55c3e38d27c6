"""The pages on the study file and on the columns say what the code says, and no link in the docs is broken."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from whisperprobe.comparison.result import MEASURES
from whisperprobe.probing.schemas import CORRECT_HOMOPHONE, ENCODER_ROW, LEXICON, N_WINDOWS, SCHEMAS
from whisperprobe.study_file import Study
from whisperprobe.study_schema import ARCHITECTURE, TABLES

ROOT = Path(__file__).parents[2]
STUDY_FILE, COLUMNS = ROOT / "docs" / "study-file.md", ROOT / "docs" / "probe-columns.md"
PAGES = [
    ROOT / "README.md",
    ROOT / "cluster" / "README.md",
    *sorted(ROOT.glob("src/*/README.md")),
    *sorted(ROOT.glob("docs/*.md")),
]


def section(page: Path, heading: str) -> str:
    """What stands under a heading, up to the next one."""
    parts = re.split(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[heading]


def described(text: str) -> dict[str, str]:
    """First column of every table row, name by name, with the second."""
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("| `")]
    return {name: row[1].strip() for row in rows for name in re.findall(r"`(\w+)`", row[0])}


@pytest.mark.parametrize("table", [name for name in TABLES if name])
def test_study_file_page_has_every_key_and_its_default(table: str) -> None:
    found, keys = described(section(STUDY_FILE, f"[{table}]")), TABLES[table]
    if table == "model.from_scratch":  # its other keys are listed in words, and under [finetune]
        assert all(f"`{name}`" in section(STUDY_FILE, f"[{table}]") for name in ARCHITECTURE)
        keys = {name: key for name, key in keys.items() if name not in {*ARCHITECTURE, *TABLES["finetune"]}}
    assert set(found) == set(keys)
    for name, key in keys.items():
        if key.default is not None:
            value = tomllib.loads("x = " + found[name].split("`")[1])["x"] if "`" in found[name] else found[name]
            assert value == key.default or f'"{key.default}"' in found[name], name


def test_study_of_the_page_is_a_study() -> None:
    page = STUDY_FILE.read_text(encoding="utf-8")
    study = Study.from_dict(tomllib.loads(re.search(r"```toml\n(.*?)```", page, re.DOTALL)[1]))
    assert [c.normalise for c in study.conditions] == ["peak"] * 3


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        *((name, schema.names) for name, schema in SCHEMAS.items()),
        ("clips with a lexicon", LEXICON.names),
        ("clips with encoder states", [ENCODER_ROW.name]),
        ("clips with homophones", [CORRECT_HOMOPHONE.name]),
        ("clips in windows", [N_WINDOWS.name]),
    ],
)
def test_columns_page_has_every_column_in_order(heading: str, names: list[str]) -> None:
    assert list(described(section(COLUMNS, heading))) == names


def test_columns_page_has_the_measures_of_the_matrix() -> None:
    assert all(f"`{name}`" in section(COLUMNS, "Tables of a comparison") for name in MEASURES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http", "#", "mailto:")):
            assert (page.parent / target.split("#")[0]).exists(), target
