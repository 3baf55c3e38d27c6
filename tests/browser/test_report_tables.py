"""Tables of the report: sorted, searched, filtered, turned over and downloaded, with the comparison as the judge."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect

import whisperprobe

WORST = "surprisal_unadapted_hfloss"


@pytest.fixture(scope="module")
def words(study) -> pd.DataFrame:
    """What the table of words has to show, by column."""
    table = whisperprobe.load_comparison(study.comparison).words()
    columns = {}
    for condition in ("normal", "lfloss", "hfloss"):
        for model, who in (("base", "unadapted"), (condition, "tuned")):
            rows = table[(table["model"] == model) & (table["condition"] == condition)].set_index("word")
            if len(rows):
                columns[f"accuracy_{who}_{condition}"] = 100 * rows["accuracy"]
                columns[f"surprisal_{who}_{condition}"] = rows["surprisal"]
    columns["confusion_unadapted_hfloss"] = table[
        (table["model"] == "base") & (table["condition"] == "hfloss")
    ].set_index("word")["confusion"]
    return pd.DataFrame(columns)


@pytest.fixture
def page(study, reports) -> Page:
    """The report with all words in alphabetical order, and the first page of them."""
    page = reports(study)
    page.locator("#word-table_wrapper input[type=search]").fill("")
    page.locator("#word-table_wrapper .dt-length select").select_option("25")
    column, _ = heading(page, "word")
    while (order := column.get_attribute("aria-sort")) != "ascending":
        column.click()
        page.wait_for_function(
            "([th, was]) => th.getAttribute('aria-sort') !== was", arg=[column.element_handle(), order]
        )
    expect(rows_of(page)).to_have_text(re.compile("^1 to 25 of [0-9,]+ words$"))
    return page


def heading(page: Page, key: str):
    """The heading of a column of the table of words, and its number."""
    spec = json.loads(page.locator("#word-table-columns").text_content())
    number = [column["key"] for column in spec["columns"]].index(key)
    return page.locator("#word-table thead tr").last.locator("th").nth(number), number


def shown(page: Page, number: int, table: str = "word-table") -> list[str]:
    return page.locator(f"#{table} tbody tr td:nth-child({number + 1})").all_inner_texts()


def figures(texts: list[str]) -> list[float]:
    return [math.nan if t == "–" else float(t.replace("−", "-").replace(",", "")) for t in texts]


def rows_of(page: Page):
    return page.locator("#word-table_wrapper .dt-info")


def test_a_heading_sorts_up_and_down(words, page):
    expect(rows_of(page)).to_have_text(f"1 to 25 of {len(words):,} words")
    column, number = heading(page, WORST)
    column.click()
    expect(column).to_have_attribute("aria-sort", "ascending")
    values = words[WORST].sort_values(na_position="first").to_numpy()
    assert figures(shown(page, number)) == pytest.approx(list(values[:25]), abs=0.006, nan_ok=True)
    column.click()
    expect(column).to_have_attribute("aria-sort", "descending")
    assert figures(shown(page, number)) == pytest.approx(list(values[::-1][:25]), abs=0.006, nan_ok=True)


def test_pages_are_turned(words, page):
    first = shown(page, 0)
    assert first == sorted(words.index)[:25]
    pages = page.locator("#word-table_wrapper .dt-paging")
    pages.get_by_label("Next").click()
    expect(rows_of(page)).to_have_text(f"26 to 50 of {len(words):,} words")
    assert shown(page, 0) == sorted(words.index)[25:50]
    pages.get_by_label("Last").click()
    expect(rows_of(page)).to_contain_text(f"{len(words):,} of {len(words):,} words")
    assert shown(page, 0)[-1] == max(words.index)
    page.locator("#word-table_wrapper .dt-length select").select_option("100")
    pages.get_by_label("First").click()
    expect(rows_of(page)).to_have_text(f"1 to 100 of {len(words):,} words")
    assert shown(page, 0) == sorted(words.index)[:100]


def test_a_search_leaves_the_words_that_match(study, words, page):
    wanted = words.index[len(words) // 2]
    page.locator("#word-table_wrapper input[type=search]").fill(wanted)
    table = whisperprobe.load_comparison(study.comparison).words()
    table = table[table["model"] == "base"]
    texts = table["word"] + " " + table["confusion"].fillna("")
    expected = table.loc[texts.str.contains(wanted, regex=False), "word"].unique()
    expect(rows_of(page)).to_contain_text(f"of {len(expected)} words")
    assert sorted(shown(page, 0)) == sorted(expected)[:25]
    page.locator("#word-table_wrapper input[type=search]").fill("no such word")
    expect(page.locator("#word-table tbody")).to_contain_text("Nothing matches")


def test_a_filter_and_its_download(words, page, download):
    everything = download(page, "word-table")
    assert list(everything["word"]) == sorted(words.index)
    for key in words.columns.drop("confusion_unadapted_hfloss"):
        expected = words[key].reindex(everything["word"]).to_numpy()
        np.testing.assert_allclose(everything[key], expected, atol=0.051 if "accuracy" in key else 0.0051)
    confusions = words["confusion_unadapted_hfloss"].reindex(everything["word"])
    assert list(everything["confusion_unadapted_hfloss"].fillna("")) == list(confusions.fillna(""))

    limit = float(np.nanquantile(words[WORST], 0.9).round())
    page.locator("#word-table_wrapper summary").click()
    form = page.locator("form[data-filter=word-table]")
    form.locator("select[name=column]").select_option(label="hearing hfloss: bits")
    form.locator("select[name=relation]").select_option(label="at least")
    form.locator("input[name=value]").fill(str(limit))
    expected = everything[everything[WORST] >= limit]
    assert 0 < len(expected) < len(words)
    expect(rows_of(page)).to_contain_text(f"of {len(expected):,} words")
    column, _ = heading(page, WORST)
    column.click()
    expect(column).to_have_attribute("aria-sort", "ascending")
    filtered = download(page, "word-table")
    assert set(filtered["word"]) == set(expected["word"])
    assert filtered[WORST].is_monotonic_increasing
    form.get_by_role("button", name="Clear").click()
    expect(rows_of(page)).to_contain_text(f"of {len(words):,} words")


def test_every_table_is_downloaded_as_it_is_shown(page, download):
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    names = page.locator("table[data-table]").evaluate_all("(tables) => tables.map((table) => table.id)")
    assert {"matrix-table", "word-table", "conditions-table", "answer-table", "token-table"} <= set(names)
    for name in names:
        table = download(page, name)
        assert len(table), name
        assert table.columns.is_unique, name
        first = page.locator(f"#{name} tbody tr").first.locator("th, td").first.inner_text()
        assert str(table.iloc[0, 0]) == first, name


def test_probabilities_are_shown_with_two_decimals_and_saved_in_full(page, download):
    page.locator("#token-table_wrapper .dt-length select").select_option("500")
    titles = page.locator("#token-table thead th").all_inner_texts()
    texts = shown(page, [title.strip(" ↕↑↓\u2009") for title in titles].index("p"), "token-table")
    saved = download(page, "token-table")["probability"]
    assert len(texts) == len(saved)
    for text, value in zip(texts, saved, strict=True):
        if value >= 0.01:
            assert text == f"{value:.2f}" or abs(float(text) - value) < 0.0051
            assert re.fullmatch(r"[01]\.\d\d", text)
        elif "·10−" in text:
            digits, power = text.split("·10−")
            assert float(f"{digits}e-{power}") == pytest.approx(value, rel=0.06)
        else:
            assert float(text) == pytest.approx(value, rel=0.06)
