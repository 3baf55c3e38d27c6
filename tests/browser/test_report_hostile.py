"""A report of names that are HTML, formulas and percent signs, and of endless numbers: shown, saved, nothing run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import expect

import whisperprobe
from whisperprobe.comparison import ProbeRun, compare
from whisperprobe.report import write_report

# DataTables takes text for HTML where there is an & in it.
RUN = "a & <img src=x onerror=window.run=1>"
FORMULA = "-2+3+cmd|' /C calc'!A0"
LONG = "x" * 500


@pytest.fixture(scope="module")
def hostile(demo, tmp_path_factory) -> Path:
    """The demo's unadapted model, some of whose words and one of whose conditions have other names."""
    root = tmp_path_factory.mktemp("hostile")
    runs = []
    for run in whisperprobe.load_comparison(demo.comparison).runs:
        if run["model"] != "base" or run["condition"] == "lfloss":
            continue
        folder = root / str(run["condition"])
        shutil.copytree(run["folder"], folder)
        for part in sorted((folder / "clips").glob("*.parquet")):
            table = pd.read_parquet(part)
            spoken = dict(zip(table["text"].unique(), (RUN, FORMULA, LONG, "-ing"), strict=False))
            if run["condition"] != "normal":
                table.loc[table["text"].map(spoken).eq(LONG), "word_surprisal"] = float("inf")
            table[["text", "prediction"]] = table[["text", "prediction"]].replace(spoken)
            table.to_parquet(part)
        runs.append(ProbeRun(folder, "base", "normal" if run["condition"] == "normal" else RUN))
    comparison = compare(runs, resamples=100)
    return write_report(comparison, root / "report.html", title=RUN, conditions=[], corpora={})


@pytest.fixture
def page(hostile, visit):
    page = visit(hostile)
    page.locator("html[data-ready=yes]").wait_for(state="attached")
    return page


def test_no_name_is_run(page):
    for search in page.locator(".dt-search input").all():
        search.evaluate("(box) => { box.value = 'img'; box.dispatchEvent(new Event('input')); }")
    rows = page.locator("#word-table tbody tr")
    expect(page.locator("#word-table_wrapper .dt-info")).to_contain_text("(of ")
    expect(rows.locator("a", has_text=RUN)).to_have_count(1)
    assert RUN in page.locator("#word-table thead").text_content()
    assert page.evaluate("window.run") is None


def test_a_long_word_stays_within_the_page(page):
    page.evaluate("(word) => { location.hash = '#word=' + word; }", LONG)
    expect(page.locator("#clip-title")).to_have_text(f"“{LONG}”")
    assert page.evaluate("document.documentElement.scrollWidth") == 1280


def test_no_word_is_a_formula_in_the_file(page, download):
    words = set(download(page, "word-table")["word"])
    assert {w for w in words if w.startswith(("-", "'", "="))} == {f"'{FORMULA.lower()}", "-ing"}


def test_an_infinite_surprisal_is_shown_and_saved_as_one(page, download):
    page.locator("#word-table_wrapper input[type=search]").fill(LONG)
    expect(page.locator("#word-table_wrapper .dt-info")).to_contain_text("(of ")
    expect(page.locator("#word-table tbody tr td", has_text="∞")).to_have_count(1)
    saved = download(page, "word-table").set_index("word").loc[LONG].filter(like="surprisal_")
    assert sorted(saved == float("inf")) == [False, True]
    expect(page.locator("#matrix-section .note").first).to_contain_text("infinite")


@pytest.mark.parametrize("address", ["100%", "no%20such%E0"])
def test_an_address_that_leads_nowhere_is_told(address, hostile, visit):
    page = visit(hostile, anchor=f"#clip={address}")
    page.locator("html[data-ready=yes]").wait_for(state="attached")
    expect(page.locator("#clip-found")).to_have_text(f"There is no recording “{address}” here.")
    expect(page.locator("#trouble")).to_be_hidden()
