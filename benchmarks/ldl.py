"""LDL learning: blocks against the sequential rule, deviation and speed; endstate against a pseudo-inverse; FIL.

python benchmarks/ldl.py                     # deviations, solutions, speed at 50,048 x 300 with 1 and 2 threads
python benchmarks/ldl.py --part speed --events 512 --threads 1
python benchmarks/ldl.py --write             # and puts the tables into RESULTS.md

Budget: at least 50 times the NumPy rule, 12 times BLAS rank-1 updates; deviation at most 1e-5 in float32 and 1e-12 in
float64, of the largest weight.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import results

from whisperprobe import ldl
from whisperprobe.ldl.learning import chosen_block

sys.path.insert(0, str(Path(__file__).with_name("reference")))
from sequential_delta import blas_rule, numpy_rule

CUES, DIMENSIONS = 50_048, 300
BLOCKS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
Matrix = np.ndarray[Any, Any]


def events(count: int, dimensions: int, dtype: type, seed: int = 0) -> tuple[Matrix, Matrix]:
    """Cues between 0 and 1 that correlate as spectra do, each word a mixture of 20 patterns; random meanings."""
    rng = np.random.default_rng(seed)
    patterns = rng.random((20, CUES), dtype=np.float32)
    mixed = rng.dirichlet(np.ones(20), count).astype(np.float32) @ patterns
    C = np.clip(mixed + 0.1 * rng.standard_normal((count, CUES), dtype=np.float32), 0, 1)
    return C.astype(dtype), rng.standard_normal((count, dimensions)).astype(dtype)


def deviations(count: int) -> list[str]:
    """Largest deviation of a weight from the sequential rule, as a share of the largest weight."""
    lines = []
    for dtype in (np.float32, np.float64):
        C, S = events(count, 30, dtype)
        largest = float((C.astype(np.float64) ** 2).sum(axis=1).max())
        rows = []
        rules = (("nlms", 0.1), ("nlms", 1.0), ("lms", 0.1 / largest), ("lms", 1.0 / largest))
        found: dict[int, list[str]] = {block: [] for block in BLOCKS}
        for rule, rate in rules:
            exact = blas_rule(C.astype(np.float64), S.astype(np.float64), rule, rate, np.zeros((CUES, 30)))
            same = blas_rule(C, S, rule, rate, np.zeros((CUES, 30), dtype))
            top = np.abs(exact).max()
            for block in BLOCKS:
                W = ldl.learn(C, S, rule=rule, rate=rate, block=block)
                from_exact, from_same = (float(np.abs(W - other).max() / top) for other in (exact, same))
                found[block].append(f"{from_exact:.1e}" + (f" ({from_same:.1e})" if dtype is np.float32 else ""))
            rows.append(f"{float(np.abs(same - exact).max() / top):.1e}")
        header = ["block", *(f"{r}, rate {x if r == 'nlms' else f'{x * largest:.1f}/max‖c‖²'}" for r, x in rules)]
        body = [[str(block), *cells] for block, cells in found.items()]
        if dtype is np.float32:
            body.append(["sequential, float32", *rows])
        lines += ["", f"{dtype.__name__}, from the sequential rule in float64" +
                  (" (in float32)" if dtype is np.float32 else "") + ":", "", *results.table(header, body)]  # fmt: skip
    return lines


def seconds(call: Callable[..., Any], *given: Any, repeats: int = 3, **options: Any) -> float:
    """Shortest of some runs."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        call(*given, **options)
        times.append(time.perf_counter() - begun)
    return min(times)


def speed(count: int) -> list[str]:
    """Milliseconds per event at 50,048 x 300, and how many times as long the references take."""
    rows = []
    for dtype in (np.float32, np.float64):
        C, S = events(count, DIMENSIONS, dtype)
        W = np.zeros((CUES, DIMENSIONS), dtype)
        few = max(8, count // 32)
        plain = seconds(numpy_rule, C[:few], S[:few], "nlms", 0.1, W, repeats=2) / few
        rank1 = seconds(blas_rule, C[: 4 * few], S[: 4 * few], "nlms", 0.1, W) / (4 * few)
        for block in (1, 8, 32, 64, 128, 256, 512):
            some = min(count, max(64, 2 * block))
            ours = seconds(ldl.learn, C[:some], S[:some], block=block, W0=W, repeats=2) / some
            rows.append([dtype.__name__, str(block), ours, plain, rank1])
        ours = seconds(ldl.learn, C, S) / count
        rows.append([dtype.__name__, f"default, {chosen_block(DIMENSIONS)}, {count} events", ours, plain, rank1])
    return results.table(
        ["precision", "block", "ms per event", "NumPy rule, ms", "BLAS rank-1, ms", "NumPy / ours (≥ 50)",
         "BLAS / ours (≥ 12)"],
        [[kind, block, f"{1e3 * ours:.3f}", f"{1e3 * plain:.1f}", f"{1e3 * rank1:.2f}", f"{plain / ours:.1f}",
          f"{rank1 / ours:.1f}"] for kind, block, ours, plain, rank1 in rows],
    )  # fmt: skip


def solutions() -> list[str]:
    """Endstate against NumPy's pseudo-inverse; FIL against endstate with repeated rows."""
    rng = np.random.default_rng(0)
    rows = []
    for words, cues in ((2000, 630), (500, 2520), (200, 50_048)):
        C, S = rng.random((words, cues)), rng.standard_normal((words, 30))
        begun = time.perf_counter()
        exact = np.linalg.pinv(C) @ S
        theirs = time.perf_counter() - begun
        begun = time.perf_counter()
        W = ldl.endstate(C, S, ridge=0)
        ours = time.perf_counter() - begun
        fitted, default = C @ exact, C @ ldl.endstate(C, S)
        f = rng.integers(0, 6, words)
        repeated = np.repeat(np.arange(words), f)
        informed = ldl.frequency_informed(C, S, f)
        again = ldl.endstate(C[repeated], S[repeated])
        rows.append([
            f"{words} × {cues}", "CᵀC" if cues <= words else "CCᵀ",
            f"{np.abs(W - exact).max() / np.abs(exact).max():.1e}",
            f"{np.abs(default - fitted).max() / np.abs(fitted).max():.1e}", f"{theirs:.2f} / {ours:.2f}",
            f"{np.abs(informed - again).max() / np.abs(again).max():.1e}",
        ])  # fmt: skip
    return results.table(
        ["events × cues", "solved", "endstate, ridge 0, against pinv", "predictions at the default ridge",
         "seconds, pinv / ours", "FIL against repeated rows"], rows,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("all", "deviations", "solutions", "speed"), default="all")
    parser.add_argument("--events", type=int, default=1024)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--write", action="store_true", help="put into benchmarks/RESULTS.md")
    options = parser.parse_args()
    if options.part != "all":
        parts = {"deviations": lambda: deviations(options.events), "solutions": solutions,
                 "speed": lambda: speed(options.events)}  # fmt: skip
        print("\n".join(parts[options.part]()))
        return
    for part, threads in (("deviations", [1]), ("solutions", [1]), ("speed", options.threads)):
        lines = [f"## ldl.py: {TITLES[part]}", "", results.machine("numpy", "scipy")]
        for count in threads:  # BLAS takes its number of threads from the environment, once
            call = [sys.executable, __file__, "--part", part, "--events", str(options.events)]
            env = os.environ | {"OMP_NUM_THREADS": str(count), "OPENBLAS_NUM_THREADS": str(count)}
            said = subprocess.run(call, env=env, capture_output=True, text=True, check=True).stdout
            lines += ["", f"{count} thread(s):", "", said.strip()]
        results.show("\n".join(lines), write=options.write)


TITLES = {
    "deviations": "block learning against the sequential rule, 50,048 cues, largest deviation as a share of max|W|",
    "solutions": "endstate and frequency-informed learning, largest deviations",
    "speed": "NLMS at 50,048 cues × 300 dimensions",
}

if __name__ == "__main__":
    main()
