"""How well a study's time and disk were estimated: what `whisperprobe submit` expected against what the jobs took.

    python benchmarks/cluster_estimate.py study.toml --out results/small-results
    python benchmarks/cluster_estimate.py study.toml --out results/small-results --rates results/trial-results --write

The study has run, by `submit` or by `run`; with --rates the estimate is that which an earlier study's timings give.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

from results import machine, show, table

from whisperprobe.slurm import plan_jobs
from whisperprobe.slurm_estimates import machine_factors
from whisperprobe.slurm_settings import ClusterSettings
from whisperprobe.study_plan import plan
from whisperprobe.study_timings import read_timings

RECIPES = Path(__file__).parents[1] / "cluster"


def main() -> None:
    """Print the table; --write adds it to RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="results of the study")
    parser.add_argument("--rates", type=Path, action="append", default=[], help="results of an earlier study")
    parser.add_argument("--write", action="store_true", help="add to RESULTS.md")
    given = parser.parse_args()

    planned = plan(given.study, given.out)
    timings = read_timings(given.out)
    took: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for timing in timings:
        took[timing.stage] = [a + b for a, b in zip(took[timing.stage], (1, timing.seconds, timing.bytes), strict=True)]
    asked = {"gres": "none", "cpus-per-task": str(max((timing.cores for timing in timings), default=1))}
    resources = {f"{stage.kind}.{name}": value for stage in planned.stages for name, value in asked.items()}
    jobs = plan_jobs(
        planned,
        ClusterSettings(RECIPES, {}),
        resources=resources,
        factors=machine_factors(*given.rates),
        shards={name: int(tasks) for name, (tasks, _, _) in took.items() if tasks > 1},
    )
    rows, sums = [], [0.0] * 4
    for job in jobs:
        if job.stage.name not in took:
            continue
        tasks, seconds, size = took[job.stage.name]
        numbers = [tasks * job.cost.start + job.cost.seconds, seconds, job.cost.bytes, size]
        sums = [a + b for a, b in zip(sums, numbers, strict=True)]
        rows.append([job.stage.name, f"{tasks:.0f}", *_shown(numbers)])
    rows.append(["all", "", *_shown(sums)])
    header = [
        "stage",
        "tasks",
        "expected, s",
        "took, s",
        "ratio (0.5 to 2)",
        "expected, MB",
        "took, MB",
        "ratio (0.5 to 2)",
    ]
    by = f", by the timings of {', '.join(path.name for path in given.rates)}" if given.rates else ", by default rates"
    text = f"## cluster_estimate.py: study {planned.study}{by}\n\n{machine()}\n\n" + "\n".join(table(header, rows))
    show(text, write=given.write)


def _shown(numbers: list[float]) -> list[str]:
    expected, took, size, there = numbers
    return [
        f"{expected:.1f}", f"{took:.1f}", f"{expected / took:.2f}",
        f"{size / 1e6:.2f}", f"{there / 1e6:.2f}", f"{size / there:.2f}",
    ]  # fmt: skip


if __name__ == "__main__":
    main()
