"""Where the benchmarks keep what they found: RESULTS.md, one section a benchmark, the newest run in its place."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

__all__ = ["machine", "show", "table"]

RESULTS = Path(__file__).with_name("RESULTS.md")


def show(text: str, *, write: bool, file: Path = RESULTS) -> None:
    """Print a section, and with `write` put it into RESULTS.md, where it replaces the one of the same heading.

    Parameters
    ----------
    text : str
        Markdown that begins with its heading, ``## script.py: what was measured``; machine and date stand below it.
    write : bool
        Whether the file is changed too.
    file : Path
        Which file.

    Raises
    ------
    ValueError
        Where the text does not begin with a heading of the second level, or holds another one.
    """
    text = text.strip() + "\n"
    if not text.startswith("## ") or len(re.findall(r"^##? ", text, re.MULTILINE)) != 1:
        raise ValueError(f"a section begins with its only '## ' heading, received {text[:60]!r}")
    print(text)
    if write:
        heading = text.splitlines()[0]
        before = re.split(r"^(?=## )", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        sections = [part.strip() + "\n" for part in before if part.strip() and part.splitlines()[0] != heading]
        file.write_text("\n".join([*sections, text]), encoding="utf-8")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows]]


def machine(*packages: str) -> str:
    """Date, processor, Python and the versions of some packages, how busy it is."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    versions = ", ".join([f"Python {platform.python_version()}", *(f"{p} {version(p)}" for p in packages)])
    return f"{dt.date.today().isoformat()}; {model}, {os.cpu_count()} cores; {versions}; load {os.getloadavg()[0]:.1f}"
