"""Listeners against people: 500 simulated studies, how often a planted effect is found and an empty one believed.

python benchmarks/people.py [--studies 500]
python benchmarks/people.py --write              # and puts the table into RESULTS.md
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
import results

from whisperprobe.comparison.people_simulation import ResponseModel, simulate_study

DESIGNS = {
    "200 words, 30 people, half each": (0.03, 30, 200, ResponseModel(heard=0.5)),
    "80 words, 40 people, all": (0.04, 40, 80, ResponseModel()),
    "1,000 words, 60 people, a tenth each": (0.015, 60, 1000, ResponseModel(heard=0.1)),
}
"""Effect for one standard deviation (ln RT), people, words, and the rest, by name."""


def study_design(name: str, studies: int) -> list[str]:
    """One row of the table: all studies of one design."""
    effect, subjects, words, model = DESIGNS[name]
    found = {"true": [], "empty": []}
    covered, reliabilities = [], []
    begun = time.process_time()
    for seed in range(studies):
        study = simulate_study(seed, effect=effect, subjects=subjects, words=words, model=model)
        for row in study.measures.to_dict("records"):
            found[row["measure"]].append((row["p"], row["slope"], row["delta_aic"]))
            if row["measure"] == "true":
                covered.append(row["slope_low"] <= effect <= row["slope_high"])
        reliabilities.append(study.reliability.value)
    seconds = time.process_time() - begun
    true, empty = (np.array(found[measure]) for measure in ("true", "empty"))
    variance = model.word_sd**2 + effect**2 + 0.04**2
    noise = model.noise_sd**2 / (subjects * model.heard * (1 - model.errors))
    return [
        name,
        f"{effect:g}",
        f"{(true[:, 0] < 0.05).mean():.3f}",
        f"{(empty[:, 0] < 0.05).mean():.3f} ± {math.sqrt(0.05 * 0.95 / studies):.3f}",
        f"{(empty[:, 2] > 0).mean():.3f}",
        f"{true[:, 1].mean():.4f}",
        f"{np.mean(covered):.3f}",
        f"{np.mean(reliabilities):.2f} ({variance / (variance + noise):.2f})",
        f"{1000 * seconds / studies:.0f}",
    ]


def main() -> None:
    """Run all designs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=500, help="simulated studies of each design")
    parser.add_argument("--write", action="store_true", help="also put the table into RESULTS.md")
    options = parser.parse_args()
    header = [
        "design", "planted effect", "found at p < 0.05", "empty measure at p < 0.05",
        "empty: ΔAIC > 0 (0.157 expected)", "mean slope", "slope's interval covers", "reliability (equal numbers)",
        "CPU ms per study",
    ]  # fmt: skip
    text = "\n".join(
        [
            f"## people.py: {options.studies} simulated studies of each design",
            "",
            results.machine("statsmodels", "scipy", "pandas"),
            "",
            "The empty measure has no effect but goes with word frequency (r = 0.6), which is in the baseline.",
            "",
            *results.table(header, [study_design(name, options.studies) for name in DESIGNS]),
        ]
    )
    results.show(text, write=options.write)


if __name__ == "__main__":
    main()
