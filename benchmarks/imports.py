"""Time to import `audiogram`, beside NumPy's, which it cannot do without, and what else it brings along.

    python benchmarks/imports.py            # prints
    python benchmarks/imports.py --write    # and puts the tables into RESULTS.md

Fresh interpreters take turns; the time of an interpreter that imports nothing is taken off. `python -X importtime` says
where it goes.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

import results

HEAVY = ("torch", "datasets", "matplotlib", "numba", "scipy", "scipy.fft", "pandas", "pyarrow", "soundfile", "soxr")
WAYS = {
    "nothing": "pass",
    "numpy": "import numpy",
    "audiogram": "import audiogram",
    "audiogram, and a preset's grade": "import audiogram; audiogram.preset('hfloss').grade()",
    "audiogram --help": "import runpy, sys; sys.argv = ['audiogram', '--help']; runpy.run_module('audiogram')",
}


def seconds(code: str) -> float:
    """Time of one interpreter in seconds."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/RESULTS.md")
    parser.add_argument("--n", type=int, default=15, help="interpreters per row")
    arguments = parser.parse_args()
    for code in WAYS.values():
        seconds(code)  # byte code is written and files are in memory from here on
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(arguments.n):
        for name, code in WAYS.items():
            times[name].append(seconds(code))
    median = {name: statistics.median(values) for name, values in times.items()}
    header = ["import", "median (s)", "fastest to slowest (s)", "beside numpy"]
    rows = []
    for name, values in times.items():
        own = [value - median["nothing"] * (name != "nothing") for value in values]
        beside = "" if name == "nothing" else f"{statistics.median(own) / (median['numpy'] - median['nothing']):.2f}"
        rows.append([name, f"{statistics.median(own):.3f}", f"{min(own):.3f} to {max(own):.3f}", beside])
    code = f"import sys, audiogram; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    brought = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    text = "\n".join(
        [
            "## imports.py: fresh interpreters, without the time of one that imports nothing; budget 0.3 s",
            "",
            f"{results.machine()}; {arguments.n} of each",
            "",
            *results.table(header, rows),
            "",
            f"Of {', '.join(HEAVY)}, `import audiogram` imports: {brought or 'none'}.",
            "",
        ]
    )
    results.show(text, write=arguments.write)


if __name__ == "__main__":
    main()
