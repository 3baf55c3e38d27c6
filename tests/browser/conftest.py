"""Chromium with the demo's report, a report of 27,000 words and the documentation, as readers open them: from files."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

try:
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Route, sync_playwright
except ImportError as missing:
    raise pytest.UsageError(
        f"{missing}: the tests in a browser need `pip install -c constraints.txt -r tests/browser/requirements.txt`."
    ) from missing

LEFT = pytest.StashKey[Counter[str]]()
MATCHES = "(element, selector) => element.matches(selector)"
ROOT = Path(__file__).parents[2]
# axe-core would fetch style sheets, which a page opened from a file may not; what passed is not described.
OPTIONS: dict[str, Any] = {"preload": False, "resultTypes": ["violations"]}
ELSEWHERE = re.compile(r"^(?!file:|data:|blob:)")  # whatever is not part of the page or beside it


def pytest_addoption(parser: pytest.Parser) -> None:
    """What earlier steps of the gate made, so that it is not made twice."""
    group = parser.getgroup("browser")
    group.addoption("--demo", type=Path, help="what `whisperprobe demo` wrote; without it, the demo is run (2 min)")
    group.addoption(
        "--large", type=Path, help="what benchmarks/synthetic_study.py wrote; without it, it is run (1 min)"
    )
    group.addoption("--site", type=Path, help="the built documentation; without it, it is built (3 min)")
    group.addoption("--shots", type=Path, help="folder for screenshots to look at; default: a temporary one")


@dataclass(frozen=True)
class Study:
    """A report, and what it was made from."""

    name: str
    report: Path
    comparison: Path
    corpora: Mapping[str, Path]


class Visits:
    """Pages as readers open them. What they said to the console and asked of a network is kept."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.complaints: list[str] = []
        self.requests: list[str] = []

    def __call__(self, file: Path, *, width: int = 1280, height: int = 900, anchor: str = "", **reader: Any) -> Page:
        """Open a file; `reader` is what Playwright calls a context's options, e.g. color_scheme="dark"."""
        context = self._browser.new_context(viewport={"width": width, "height": height}, **reader)
        self._contexts.append(context)
        context.set_default_timeout(60_000)
        context.route(ELSEWHERE, self._refuse)
        context.on("console", self._listen)
        context.on("weberror", lambda error: self.complaints.append(f"{error.page and error.page.url}: {error.error}"))
        page = context.new_page()
        page.on("request", self._count)
        page.on("websocket", lambda socket: self.requests.append(socket.url))
        page.goto(file.resolve().as_uri() + anchor)
        return page

    def close(self) -> None:
        """Close all pages; none has asked for a network, and none has complained."""
        for context in self._contexts:
            context.close()
        assert not self.requests, f"asked of a network: {sorted(set(self.requests))}"
        assert not self.complaints, "\n".join(["said to the console:", *self.complaints])

    def _refuse(self, route: Route) -> None:
        route.abort()

    def _count(self, request: Request) -> None:
        if ELSEWHERE.match(request.url):
            self.requests.append(request.url)

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            self.complaints.append(f"{message.type}: {message.text} ({message.location.get('url', '')[:200]})")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window and without names of hosts."""
    program = shutil.which("chromium")
    if program is None:
        pytest.fail("no chromium: these tests need a real browser (apt-get install chromium).", pytrace=False)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--host-resolver-rules=MAP * ~NOTFOUND"])
        yield started
        started.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visits]:
    """`visit(file, width=1280, ...)`: a page that is closed with the test."""
    visits = Visits(browser)
    yield visits
    visits.close()


@pytest.fixture(scope="session")
def shots(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for screenshots."""
    folder: Path = request.config.getoption("--shots") or tmp_path_factory.mktemp("shots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def made(request: pytest.FixtureRequest, option: str, folder: Path, file: str, *command: str | Path) -> Path:
    """The folder that an option names, else one that a command has just written."""
    given: Path | None = request.config.getoption(option)
    if given is None:
        subprocess.run([sys.executable, *command], check=True)
    elif not (given / file).is_file():
        pytest.fail(f"{option} {given} has no {file}; leave the option out, and it will be made.", pytrace=False)
    return given or folder


@pytest.fixture(scope="session")
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The demo's report: 136 words, several recordings of each."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    root = made(request, "--demo", folder, "report.html", "-m", "whisperprobe", "demo", "--out", folder)
    corpora = {name: root / f"corpus_{name}" for name in ("normal", "lfloss", "hfloss")}
    return Study("demo", root / "report.html", root / "comparison", corpora)


@pytest.fixture(scope="session")
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A made-up study's report: 27,000 words, one recording each, few of which have their sound in the page."""
    folder = tmp_path_factory.mktemp("large")
    root = made(request, "--large", folder, "report.html", ROOT / "benchmarks" / "synthetic_study.py", folder)
    corpora = {name: root / "sounds" / name for name in ("normal", "lfloss", "hfloss")}
    return Study("large", root / "report.html", root / "comparison", corpora)


@pytest.fixture(scope="module", params=["demo", "large"])
def study(request: pytest.FixtureRequest) -> Study:
    """Each of both."""
    found: Study = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def reports(browser: Browser) -> Iterator[Callable[[Study], Page]]:
    """`reports(study)`: a report that the tests of a file share, each leaving it as it likes."""
    visits, pages = Visits(browser), dict[Path, Page]()

    def opened(study: Study) -> Page:
        if study.report not in pages:
            pages[study.report] = visits(study.report)
            pages[study.report].locator("html[data-ready=yes]").wait_for(state="attached")
        return pages[study.report]

    yield opened
    visits.close()


@pytest.fixture
def read(visit: Visits) -> Callable[..., Page]:
    """`read(study, ...)`: its report when nothing is left to be set up; options as those of `visit`."""

    def opened(study: Study, **options: Any) -> Page:
        page = visit(study.report, **options)
        page.locator("html[data-ready=yes]").wait_for(state="attached")
        return page

    return opened


@pytest.fixture
def download(tmp_path: Path) -> Callable[[Page, str], pd.DataFrame]:
    """`download(page, "word-table")`: the CSV file that the button of a table gives."""

    def downloaded(page: Page, table: str) -> pd.DataFrame:
        with page.expect_download() as coming:
            page.locator(f"button[data-csv={table}]").click()
        file = tmp_path / coming.value.suggested_filename
        assert file.name.startswith(table.removesuffix("-table"))
        assert file.suffix == ".csv"
        coming.value.save_as(file)
        return pd.read_csv(file, keep_default_na=False, na_values=[""])

    return downloaded


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built documentation."""
    folder = tmp_path_factory.mktemp("site")
    return made(request, "--site", folder, "index.html", "-m", "sphinx", "-q", "-b", "html", ROOT / "docs", folder)


@pytest.fixture(scope="session")
def audit(pytestconfig: pytest.Config) -> Callable[..., str]:
    """`audit(page)`: axe-core's violations as one reads them in a log, or nothing.

    Every rule that is on by default, best practice included, and the one of WCAG 2.2 that is not; contrast, which takes
    most of the time, is left out of "structure", and alone in "contrast". `theirs` are selectors of what others made,
    by rule: what is found there is counted, and told when the tests have ended.
    Inside a chart axe-core cannot tell what text stands on; test_report_looks computes that.
    """
    axe = Axe()
    left = pytestconfig.stash.setdefault(LEFT, Counter())

    def run(page: Page, what: str = "all", *, theirs: Mapping[str, str] | None = None) -> str:
        rules = {"target-size": {"enabled": True}, "color-contrast": {"enabled": what == "all"}}
        options = {"runOnly": ["color-contrast"]} if what == "contrast" else {"rules": rules}
        found = axe.run(page, {"exclude": [[".plot svg"]]}, OPTIONS | options).response
        assert found["passes"], "axe-core looked at nothing"
        lines = []
        for rule in found["violations"]:
            nodes = rule["nodes"]
            if theirs and rule["id"] in theirs:
                selector = theirs[rule["id"]]
                nodes = [n for n in nodes if not page.locator(n["target"][-1]).first.evaluate(MATCHES, selector)]
                left[f"{rule['id']} at {selector}"] += len(rule["nodes"]) - len(nodes)
            if nodes:
                lines.append(f"{rule['id']} ({rule['impact']}, {len(nodes)} places): {rule['help']}")
                lines += [f"  {' '.join(map(str, n['target']))}: {n['failureSummary']}" for n in nodes[:5]]
        return "\n".join(lines)

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Barriers that are not ours, in numbers."""
    for what, count in config.stash.get(LEFT, Counter()).items():
        terminalreporter.write_line(f"axe-core, left to those who made it: {count} times {what}")
