"""Speech intelligibility index of the standard audiograms, with check values.

    python benchmarks/sii.py            # prints
    python benchmarks/sii.py --write    # and puts the tables into RESULTS.md

Speech at 65 dB SPL with the standard spectrum of normal effort (ANSI S3.5-1997), in quiet and in speech-shaped noise 5
dB below it. The check values are printed in the standard's annex C and in the test files of the working group's
program kit (sii.to).
"""

from __future__ import annotations

import argparse

import results

import audiogram as ag
from audiogram.intelligibility import sii
from audiogram.intelligibility_tables import PROCEDURES

LEVEL, NOISE = 65.0, 60.0
NAMES = ["normal", "lfloss", "hfloss", *(f"bisgaard-n{i}" for i in range(1, 8))]

OCTAVES, THIRDS = (PROCEDURES[name].centres for name in ("octave", "third-octave"))
_OCTAVE = {"speech_level": [50, 40, 40, 30, 20, 0], "noise": [70, 65, 45, 25, 1, -15], "procedure": "octave"}
_THIRD = {
    "speech_level": [90, 5, *[40] * 12, *[-10] * 4],
    "noise": [10, -10, -10, 75, *[-10] * 10, *[10] * 4],
}
CHECKS = [
    ("annex C, example C.1 (octaves)", ag.Audiogram([1000], [0]), _OCTAVE, 0.504),
    ("OCTAVE.TST", ag.Audiogram(OCTAVES, [0, 0, 0, 0, 0, 7.1]), _OCTAVE, 0.491),
    ("TO.TST (third octaves)", ag.Audiogram(THIRDS, [90, *[0] * 17]), _THIRD, 0.445),
    (
        "TO_1.TST (own band importance)",
        ag.Audiogram(THIRDS, [90, *[0] * 17]),
        _THIRD | {"importance": [*[0] * 9, *[0.1] * 7, 0.3, 0]},
        0.438,
    ),
]


def index(ear: ag.Audiogram) -> list[str]:
    """Third octaves and octaves in quiet, third octaves in noise."""
    values = (sii(ear, LEVEL), sii(ear, LEVEL, procedure="octave"), sii(ear, LEVEL, NOISE))
    return [f"{value:.3f}" for value in values]


def main() -> None:
    """Compute and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/RESULTS.md")
    arguments = parser.parse_args()
    checks = [[name, f"{value:.3f}", f"{sii(ear, **given):.4f}"] for name, ear, given, value in CHECKS]
    ears = [ag.preset(name) for name in NAMES]
    low, high = ag.preset("lfloss"), ag.preset("hfloss")
    ears += [ag.matched(high, low), ag.matched(high, low, "sii", speech_level=LEVEL)]
    rows = [[ear.name, f"{ear.pta():.1f}", ear.grade(), *index(ear)] for ear in ears]
    header = [
        "audiogram",
        "PTA4 (dB HL)",
        "WHO grade",
        "SII, third octaves",
        "SII, octaves",
        "SII in noise 5 dB below (third octaves)",
    ]
    text = "\n".join(
        [
            "## sii.py: speech intelligibility index (ANSI S3.5-1997), speech at 65 dB SPL",
            "",
            results.machine(),
            "",
            *results.table(["check", "published", "ours"], checks),
            "",
            *results.table(header, rows),
            "",
        ]
    )
    results.show(text, write=arguments.write)


if __name__ == "__main__":
    main()
