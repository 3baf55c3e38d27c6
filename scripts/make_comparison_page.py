"""Write docs/comparison.md: this library beside the package `audiogram` 0.1.0 of PyPI and pyclarity.

    pip install -c constraints.txt -r tests/peers/requirements.txt
    python scripts/make_comparison_page.py

pip installs the package of PyPI, which has our name, into a folder of its own; every package is asked in a process of
its own (`scripts/comparison`). A claim that is not true of what is installed ends the run with its traceback.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comparison.claims import Finding
from comparison.rows import TOPICS

SCRIPTS = Path(__file__).parent
PAGE = SCRIPTS.parent / "docs" / "comparison.md"
PEER = "audiogram==0.1.0"
HEADER = ("this library", "audiogram 0.1.0", "pyclarity 0.9")

INTRODUCTION = """\
# This library beside others

Written by `scripts/make_comparison_page.py`; do not edit. Compared are

- **this library**, `audiogram` {ours};
- **[audiogram](https://pypi.org/project/audiogram/) {pypi}** of PyPI, an object model of clinical audiograms, which has
  the same name and is otherwise unrelated;
- **[pyclarity](https://pypi.org/project/pyclarity/) {clarity}**, tools of the Clarity challenges: of it `Audiogram` and
  `Listener` (`clarity.utils.audiogram`), the hearing-loss simulator MSBG (`Ear` and its parts in
  `clarity.evaluator.msbg`) and its approximation in torch, `MSBGHearingModel` (`clarity.predictor.torch_msbg`).

Every answer was checked against the installed packages when the page was written, and is checked again by the tests:
names by introspection, behaviour by running it. A **no** without more words means that none of the package's names
matches the pattern under [What was searched for](#what-was-searched-for). Names are those of all its source: modules,
classes, functions, parameters, fields, variables and texts of one word; {pypi_names:,} in audiogram {pypi},
{clarity_names:,} in pyclarity, of which all of `clarity` and `recipes` was read and not these modules alone. A dash
means that the question does not arise: audiogram {pypi} has nothing to do with sound. Everything ran on a CPU; nothing
here was tried on a GPU.

## Which to choose

For clinical records alone, speech audiometry and aided thresholds among them, without any other package: audiogram
{pypi}. For hearing-aid processing, measures of its quality, or results to stand beside those of the Clarity challenges
to the last digit: pyclarity, whose simulator is the reference for our `msbg`. For filtering speech through losses,
corpora and training: this library.

Where the others do more than this library:

"""


@dataclass(frozen=True)
class Report:
    """What one package answers."""

    version: str
    names: int
    findings: dict[str, Finding]
    unmentioned: list[str]


def ask(module: str, folder: Path | None = None, python: str = sys.executable) -> Report:
    """Run the claims of a module of `comparison`, with a folder before all others to import from."""
    paths = [*([str(folder)] if folder else []), str(SCRIPTS)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    command = [python, "-W", "ignore", "-m", f"comparison.{module}"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"comparison.{module}: a claim does not hold, or the package is not installed.\n{done.stderr}")
    plain: dict[str, Any] = json.loads(done.stdout)
    findings = {row: Finding(one[0], tuple(one[1]), one[2]) for row, one in plain["findings"].items()}
    return Report(plain["version"], plain["names"], findings, plain["unmentioned"])


def install_peer(folder: Path) -> None:
    """Install the package of PyPI into a folder."""
    options = ["--no-deps", "--disable-pip-version-check", "--quiet", "--target", str(folder)]
    done = subprocess.run([sys.executable, "-m", "pip", "install", *options, PEER], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{PEER} cannot be installed; it has to come from a package index.\n{done.stderr}")


def page(ours: Report, pypi: Report, clarity: Report) -> str:
    """The page in Markdown."""
    reports = (ours, pypi, clarity)
    parts = [
        INTRODUCTION.format(
            ours=ours.version,
            pypi=pypi.version,
            clarity=clarity.version,
            pypi_names=pypi.names,
            clarity_names=clarity.names,
        )
    ]
    parts += [f"- {HEADER[i]}: {better(reports[i], ours)}\n" for i in (1, 2)]
    for topic, rows in TOPICS.items():
        parts.append(f"\n## {topic}\n\n| question | {' | '.join(HEADER)} |\n| --- | --- | --- | --- |\n")
        parts += [
            f"| {row.question} | {' | '.join(one.findings[row.id].cell() for one in reports)} |\n" for row in rows
        ]
    parts.append(
        "\n## Named by no answer\n\nPublic functions, classes, methods and properties of the others' modules.\n\n"
    )
    for i in (1, 2):
        parts.append(f"- {HEADER[i]}: " + ", ".join(f"`{name}`" for name in reports[i].unmentioned) + "\n")
    parts.append(
        "\n## What was searched for\n\nRegular expressions, found anywhere in a name, in any case. Questions that are "
        "not here have an answer that was probed in every package.\n\n| question | pattern |\n| --- | --- |\n"
    )
    for row in (row for rows in TOPICS.values() for row in rows if row.pattern):
        parts.append("| {} | `{}` |\n".format(row.question, row.pattern.replace("|", r"\|")))
    return "".join(parts)


def better(other: Report, ours: Report) -> str:
    """Questions that another package answers better than ours, in words."""
    order = {"none": 0, "no": 0, "partly": 1, "fact": 1, "yes": 2}
    rows = [row for rows in TOPICS.values() for row in rows]
    found = [
        row.question for row in rows if order[other.findings[row.id].verdict] > order[ours.findings[row.id].verdict]
    ]
    return "; ".join(f"*{question}*" for question in found) + "."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=PAGE)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        install_peer(Path(folder))
        pypi = ask("pypi_audiogram", Path(folder))
    out.write_text(page(ask("ours"), pypi, ask("pyclarity")), encoding="utf-8")


if __name__ == "__main__":
    main()
