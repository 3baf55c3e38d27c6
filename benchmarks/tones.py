"""What the study's conditions do to pure tones: attenuation measured beside the threshold that was asked for.

    python benchmarks/tones.py            # prints
    python benchmarks/tones.py --write    # and puts the tables into RESULTS.md

Tones of 2 s at the audiogram's frequencies; level of the middle second after the filter, before normalisation, below
that of the tone. At 16 kHz, 8 kHz is the Nyquist frequency, where a tone has no level of its own; hence 44.1 kHz too.
A window of 2048 samples hears to both sides, 16 Hz at 16 kHz and 43 Hz at 44.1 kHz, so that where thresholds change
steeply with frequency a tone comes out a little above or below its threshold.
"""

from __future__ import annotations

import argparse

import numpy as np
import results

import audiogram
from audiogram.filters.attenuation import Attenuation

RATES = (16_000, 44_100)


def attenuation(one: Attenuation, frequency: float) -> float:
    """Attenuation of a tone in dB."""
    rate = int(one.sample_rate)
    tone = np.sin(2 * np.pi * frequency * np.arange(2 * rate) / rate)
    middle = slice(rate // 2, rate // 2 + rate)
    return float(-20 * np.log10(np.std(one(tone)[middle]) / np.std(tone[middle])))


def table(rate: int) -> list[str]:
    """Rows of one sampling rate: nominal and effective attenuation in dB, per condition and method."""
    names = audiogram.conditions()
    header = ["tone (Hz)"]
    for name in names:
        header += [f"{name}: threshold (dB HL)", "attenuated by (dB), stft", "fir"]
    rows = []
    for frequency in audiogram.preset("normal").frequencies:
        cells = [f"{frequency:g}"]
        for name in names:
            options = dict(audiogram.condition(name).options)
            cells.append(f"{float(audiogram.preset(name).at(frequency, options['interpolation'])):g}")
            for method in ("stft", "fir"):
                one = Attenuation(audiogram.preset(name), sample_rate=rate, **{**options, "method": method})
                cells.append("Nyquist" if 2 * frequency >= rate else f"{attenuation(one, frequency):.2f}")
        rows.append(cells)
    return [f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/RESULTS.md")
    arguments = parser.parse_args()
    lines = [
        "## tones.py: effective attenuation of the study's conditions on pure tones",
        "",
        results.machine("numpy"),
        "",
    ]
    for rate in RATES:
        lines += [f"{rate} Hz:", "", *table(rate), ""]
    text = "\n".join(lines)
    results.show(text, write=arguments.write)


if __name__ == "__main__":
    main()
