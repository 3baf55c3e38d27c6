"""What the pages of a comparison are made of: reports of packages, tables, lists."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comparison.claims import Finding
from comparison.rows import Row

SCRIPTS = Path(__file__).parents[1]
ORDER = {"none": 0, "no": 0, "partly": 1, "fact": 1, "yes": 2}
Topics = dict[str, tuple[Row, ...]]


@dataclass(frozen=True)
class Report:
    """What one package answers."""

    version: str
    names: int
    findings: dict[str, Finding]
    unmentioned: list[str]


def ask(module: str, folder: Path | None = None) -> Report:
    """Run the claims of a module of `comparison`, with a folder before all others to import from."""
    paths = [*([str(folder)] if folder else []), str(SCRIPTS)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    command = [sys.executable, "-W", "ignore", "-m", f"comparison.{module}"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"comparison.{module}: a claim does not hold, or the package is not installed.\n{done.stderr}")
    plain: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    findings = {row: Finding(one[0], tuple(one[1]), one[2]) for row, one in plain["findings"].items()}
    return Report(plain["version"], plain["names"], findings, plain["unmentioned"])


@dataclass(frozen=True)
class Comparison:
    """Questions, and what packages answer; ours is the first.

    Parameters
    ----------
    topics : dict from str to tuple of Row
        The questions.
    header : sequence of str
        What each package is called.
    reports : sequence of Report
        What each answers.
    """

    topics: Topics
    header: Sequence[str]
    reports: Sequence[Report]

    def rows(self) -> list[Row]:
        return [row for rows in self.topics.values() for row in rows]

    def tables(self, level: str = "##") -> str:
        """A table for each topic."""
        lines = []
        rule = " | ".join(["---"] * (len(self.header) + 1))
        for topic, rows in self.topics.items():
            lines.append(f"\n{level} {topic}\n\n| question | {' | '.join(self.header)} |\n| {rule} |\n")
            for row in rows:
                cells = " | ".join(one.findings[row.id].cell() for one in self.reports)
                lines.append(f"| {row.question} | {cells} |\n")
        return "".join(lines)

    def better(self) -> str:
        """Questions that others answer better than ours, a line each."""
        ours, *others = self.reports
        lines = []
        for name, other in zip(self.header[1:], others, strict=True):
            found = [
                f"*{row.question}*"
                for row in self.rows()
                if ORDER[other.findings[row.id].verdict] > ORDER[ours.findings[row.id].verdict]
            ]
            lines.append(f"- {name}: {'; '.join(found) or 'nothing that is asked here'}.\n")
        return "".join(lines)

    def unmentioned(self, methods: bool = True) -> str:
        """Names of the others that no answer has, a line each."""
        lines = []
        for name, report in list(zip(self.header, self.reports, strict=True))[1:]:
            said = {one.partition(".")[0] for finding in report.findings.values() for one in finding.names}
            found = [one for one in report.unmentioned if methods or ("." not in one and one not in said)]
            lines += ["- {}: {}\n".format(name, ", ".join(f"`{one}`" for one in found))] if found else []
        return "".join(lines)

    def patterns(self) -> str:
        """What was searched for."""
        rows = [row for row in self.rows() if row.pattern]
        return "".join("| {} | `{}` |\n".format(row.question, row.pattern.replace("|", r"\|")) for row in rows)
