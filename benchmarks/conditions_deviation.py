"""Largest deviation of the three built-in conditions from the plain librosa way, in float64, on real recordings.

    python benchmarks/conditions_deviation.py SOURCE [--n 500]

Every clip is heard whole, and cut to odd lengths and to 0.2 s. Deviations are relative to full scale, which is the
peak of every result (peak normalisation).
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import sys
from pathlib import Path

import numpy as np

import audiogram

sys.path.insert(0, str(Path(__file__).parent))
from reference.librosa_conditions import THRESHOLDS, hear_all

RATE = 16_000
LENGTHS = (None, 3_200, 3_201, 4_799, 7_777, 11_113)  # None: the whole clip; 3200 samples: 0.2 s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="folder of audio or corpus")
    parser.add_argument("--n", type=int, default=500, help="clips per split, a seeded sample")
    arguments = parser.parse_args()
    corpus = audiogram.open_corpus(arguments.source).sample(arguments.n, seed=0)
    names = list(THRESHOLDS)
    worst = {(kind, length): np.zeros(len(names)) for kind in ("float32", "float64") for length in LENGTHS}
    counts = dict.fromkeys(LENGTHS, 0)
    for split in corpus.splits:
        for clip in corpus.read(split):
            whole = audiogram.resample(*clip.audio(), RATE)
            for length in LENGTHS:
                x = whole[:length]
                if length is not None and len(x) < length:
                    continue
                counts[length] += 1
                plain = np.stack(hear_all(x.astype(np.float64), RATE))
                for kind in ("float32", "float64"):
                    ours = audiogram.apply_conditions(x.astype(kind), RATE, names)
                    worst[kind, length] = np.maximum(worst[kind, length], np.abs(ours - plain).max(axis=1))
    print(f"{dt.date.today()}, {platform.machine()}, {os.cpu_count()} cores, numpy {np.__version__}")
    print(
        f"| samples at {RATE} Hz | clips | "
        + " | ".join(f"{n}, {k}" for k in ("float32", "float64") for n in names)
        + " |"
    )
    print("|" + " --- |" * (2 + 2 * len(names)))
    for length in LENGTHS:
        cells = [f"{v:.1e}" for kind in ("float32", "float64") for v in worst[kind, length]]
        print(f"| {length or 'whole clip'} | {counts[length]} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
