"""Every link within the built pages leads somewhere, and no page loads anything from a network.

python docs/check_links.py FOLDER, the folder that sphinx-build wrote; exit code 1 and a list where something is amiss.
Links to other sites are counted, not followed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADED = {  # what a browser fetches by itself: elements, and the attributes that name it
    "audio": ("src",), "embed": ("src",), "iframe": ("src",), "image": ("href", "xlink:href"), "img": ("src", "srcset"),
    "input": ("src",), "object": ("data",), "script": ("src",), "source": ("src", "srcset"), "track": ("src",),
    "use": ("href", "xlink:href"), "video": ("src", "poster"),
}  # fmt: skip
_FETCHED_LINKS = {
    "stylesheet", "icon", "preload", "modulepreload", "prefetch", "manifest", "preconnect", "dns-prefetch",
}  # fmt: skip
_IN_CSS = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)")


@dataclass
class Page(HTMLParser):
    """What one page offers as a target, links to, and loads."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    _style: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what an element says about targets and links."""
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if given.get(name)}
        self._style = tag == "style"
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link":
            fetched = _FETCHED_LINKS & set(given.get("rel", "").lower().split())
            (self.loads if fetched else self.links).append(given.get("href", ""))
        for name in _LOADED.get(tag, ()):
            if name in given:
                several = given[name].split(",") if name == "srcset" else [given[name]]
                self.loads.extend(one.split()[0] for one in several if one.strip())
        if "style" in given:
            self.loads.extend(in_css(given["style"]))

    def handle_data(self, data: str) -> None:
        """Keep what a style sheet within the page loads."""
        if self._style:
            self.loads.extend(in_css(data))

    def handle_endtag(self, tag: str) -> None:
        """Style sheets end."""
        self._style = False


def in_css(text: str) -> Iterator[str]:
    """Addresses that a style sheet loads."""
    for match in _IN_CSS.finditer(text):
        yield match[1] or match[2]


def read(path: Path) -> Page:
    """Read one page."""
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def is_outside(target: str) -> bool:
    """Whether an address leads to another machine or program (`https:`, `mailto:`, `//host`)."""
    parts = urlsplit(target)
    return bool(parts.netloc) or (bool(parts.scheme) and parts.scheme not in ("data", "file"))


def problem(folder: Path, path: Path, target: str, pages: dict[Path, Page]) -> str | None:
    """Say what is wrong with an address within the pages; None where it leads somewhere."""
    parts = urlsplit(target)
    if parts.scheme == "data":
        return None
    if parts.scheme == "file" or parts.path.startswith("/"):
        return "is an address on the machine that built the pages"
    there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if there.is_dir():
        there /= "index.html"
    if not there.is_relative_to(folder):
        return "leaves the folder of the pages"
    if not there.is_file():
        return "does not exist"
    if parts.fragment and there in pages and unquote(parts.fragment) not in pages[there].ids | {"top"}:
        return "has no such anchor"
    return None


def problems(folder: Path) -> tuple[list[str], dict[str, int]]:
    """Everything amiss in a folder of pages, and how much was looked at."""
    folder = folder.resolve()
    ours = (path for path in sorted(folder.rglob("*.html")) if "_static" not in path.relative_to(folder).parts)
    pages = {path: read(path) for path in ours}  # not the templates that the theme leaves among its files
    found: list[str] = []
    counts = {"pages": len(pages), "anchors": sum(len(page.ids) for page in pages.values())}
    counts |= {"links within": 0, "links outside": 0, "files loaded": 0}
    for path, page in pages.items():
        for target in page.links:
            outside = is_outside(target)
            counts["links outside" if outside else "links within"] += 1
            if not outside and (wrong := problem(folder, path, target, pages)):
                found.append(f"{path.relative_to(folder)}: {target} {wrong}")
    loads = {path: page.loads for path, page in pages.items()}
    loads |= {sheet: [*in_css(sheet.read_text(encoding="utf-8"))] for sheet in sorted(folder.rglob("*.css"))}
    for path, targets in loads.items():
        for target in targets:
            counts["files loaded"] += 1
            wrong = "is loaded from a network" if is_outside(target) else problem(folder, path, target, pages)
            if wrong:
                found.append(f"{path.relative_to(folder)}: {target[:80]} {wrong}")
    return found, counts


def main(arguments: list[str]) -> int:
    """Check a folder and print what is amiss."""
    if len(arguments) != 1 or not (Path(arguments[0]) / "index.html").is_file():
        sys.stderr.write("usage: python docs/check_links.py FOLDER, with the index.html that sphinx-build wrote\n")
        return 2
    found, counts = problems(Path(arguments[0]))
    said = ", ".join(f"{number:,} {what}" for what, number in counts.items())
    sys.stdout.write("\n".join([*found, f"{said}; {len(found)} problems"]) + "\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
