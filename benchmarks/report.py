"""The report of 27,000 words in Chromium: its size, and how long it takes to open, to sort, to search, to show a word.

python benchmarks/report.py                      # a synthetic study: 27,000 words, three models, three conditions
python benchmarks/report.py --words 2000
python benchmarks/report.py --report FILE.html   # a report that is there already
python benchmarks/report.py --write              # and puts the table into RESULTS.md

Times are medians, measured in the page by its own clock, from the call to the end of layout. Needs playwright, and a
Chromium (`--chromium`).
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

import results
from playwright.sync_api import Page, sync_playwright
from synthetic_study import make_report

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
MARKS = """
window.marks = {};
new MutationObserver(() => {
  for (const name of ["words", "ready"]) {
    if (document.documentElement?.dataset[name]) marks[name] ??= performance.now();
  }
}).observe(document, { attributes: true, subtree: true, attributeFilter: ["data-words", "data-ready"] });
"""
ACTIONS = {
    "sort": """document.querySelectorAll('#word-table thead tr:last-child th')[given]
        .querySelector('.dt-column-order').click()""",
    "page": "document.querySelector('#word-table_wrapper .dt-paging button.next').click()",
    "search": """const box = document.querySelector('#word-table_wrapper input[type=search]');
        box.value = given; box.dispatchEvent(new Event('input', { bubbles: true }))""",
    "show": "location.hash = document.querySelectorAll('#word-table tbody a')[given].getAttribute('href')",
}
"""What a reader does, as the page's script is told to."""


def measure(page: Page, action: str, given: list[Any]) -> list[float]:
    """Milliseconds until what the action changes has changed and is laid out, once for each of what it is given."""
    watched = "#clip-title" if action == "show" else "#word-table tbody"
    script = f"""
        (given) => new Promise((done) => {{
          const begun = performance.now();
          const observer = new MutationObserver(() => {{
            observer.disconnect();
            setTimeout(() => {{ document.body.offsetHeight; done(performance.now() - begun); }});
          }});
          const every = {{ childList: true, characterData: true, subtree: true }};
          observer.observe(document.querySelector("{watched}"), every);
          {ACTIONS[action]};
        }})
    """
    return [float(page.evaluate(script, one)) for one in given]


def opening(browser: Any, file: Path) -> tuple[Page, dict[str, float]]:
    """A fresh profile opens the file; ms until something is seen, the table of words can be used, all is set up."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.add_init_script(MARKS)
    page.goto(file.resolve().as_uri())
    page.wait_for_selector("html[data-ready=yes]", state="attached", timeout=120_000)
    found = page.evaluate(
        "({ ...marks, seen: performance.getEntriesByName('first-contentful-paint')[0].startTime,"
        " heap: performance.memory.usedJSHeapSize })"
    )
    return page, found


def bench(file: Path, chromium: str, turns: int) -> list[list[str]]:
    """Rows of the table: what, median, slowest."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        pages = [opening(browser, file) for _ in range(turns)]
        page = pages[-1][0]
        rows = [
            [what, *_told([found[name] for _, found in pages])]
            for what, name in (
                ("open: first words of the page are seen", "seen"),
                ("open: the table of words can be used", "words"),
                ("open: everything is set up", "ready"),
            )
        ]
        headings = page.locator("#word-table thead tr:last-child th").all_inner_texts()
        text, number = 0, next(i for i, h in enumerate(headings) if "bits" in h)
        for what, column in (("text", text), ("number", number)):
            rows.append([f"sort by a column, {what}", *_told(measure(page, "sort", [column] * 4 * turns))])
        every = measure(page, "sort", list(range(len(headings))))
        rows.append([f"sort by each of the {len(headings)} columns, first click", *_told(every)])
        rows.append(["next page", *_told(measure(page, "page", [None] * 2 * turns))])
        rows.append(["search, the first time", *_told(measure(page, "search", ["st"]))])
        rows.append(["search, later", *_told(measure(page, "search", ["sta", "st", "", "oo", "oon", ""] * 2))])
        rows.append(
            ["show another word: players, answers, tokens", *_told(measure(page, "show", list(range(2 * turns))))]
        )
        rows.append(["memory of the page's script, MB", f"{pages[-1][1]['heap'] / 1e6:.0f}", ""])
        browser.close()
    return rows


def _told(values: list[float]) -> list[str]:
    return [f"{statistics.median(values):.0f}", f"{max(values):.0f}"]


def main() -> None:
    """Make the report, measure it, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--words", type=int, default=27_000, help="words of the synthetic study")
    parser.add_argument("--report", type=Path, help="a report that is there already")
    parser.add_argument("--turns", type=int, default=5, help="how often each is done")
    parser.add_argument("--chromium", default=shutil.which("chromium") or "chromium", help="the browser's program")
    parser.add_argument("--write", action="store_true", help="also put the table into RESULTS.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = options.report or make_report(folder, words=options.words)
        rows = bench(file, options.chromium, options.turns)
        size = file.stat().st_size / 1e6
    what = options.report.name if options.report else f"{options.words:,} words, three models, three conditions"
    text = "\n".join(
        [
            f"## report.py: a report of {what}, in Chromium",
            "",
            results.machine("plotly", "itables", "playwright"),
            "",
            f"The page has {size:.1f} MB. Times in the page's own clock, medians of {options.turns} or more turns.",
            "",
            *results.table(["what", "ms", "slowest"], rows),
        ]
    )
    results.show(text, write=options.write)


if __name__ == "__main__":
    main()
