"""pyclarity 0.9's hearing-loss simulator (MSBG), with what a comparison needs: its parts, its delays, its levels.

"At equal cochlear level" means here: both simulators hear the same samples at the same level in dB SPL. pyclarity first
turns every sound down, so that the RMS of its loud frames becomes what the RMS of all of it was; `presented_gain` is
that gain, and the other simulator is given the sound times it. What reaches the cochlea is then the same in both.

Band levels are those of the base-10 third-octaves (IEC 61260-1) from 25 Hz to 16 kHz over a whole clip, in dB SPL, from
the power of its transform between the bands' edges; `level` is the dB SPL of a signal whose RMS is 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from clarity.evaluator.msbg.cochlea import Cochlea
from clarity.evaluator.msbg.msbg import Ear
from clarity.evaluator.msbg.msbg_utils import measure_rms
from clarity.utils.audiogram import Audiogram
from scipy.signal import lfilter

Array = npt.NDArray[np.float64]

RATE = 44_100
"""The only sampling rate that it takes, in Hz."""

# Samples that its ear filters (each), its smearing and its last low-pass delay by.
_EAR, _SMEARING, _LOW_PASS = 507, 192, 66

CENTRES = 1000.0 * 10 ** (np.arange(-16, 13) / 10)
"""Centre frequencies of the bands in Hz, 25 Hz to 16 kHz."""

_FULL = (125, 250, 500, 750, 1000, 1500, 2000, 3000, 4000, 6000, 8000, 10_000, 12_000, 14_000, 16_000)
_BISGAARD = (250, 375, 500, 750, 1000, 1500, 2000, 3000, 4000, 6000)
LOSSES: dict[str, tuple[Sequence[float], Sequence[float]]] = {
    "no loss": (_BISGAARD, (0,) * 10),
    "mild": (_FULL, (5, 10, 15, 18, 19, 22, 25, 28, 31, 35, 38, 40, 40, 45, 50)),
    "moderate": (_FULL, (15, 20, 20, 22.5, 25, 30, 35, 40, 45, 50, 55, 55, 60, 65, 65)),
    "moderate-severe": (_FULL, (19, 19, 28, 35, 40, 47, 52, 56, 58, 58, 63, 70, 75, 80, 80)),
    "Bisgaard N2": (_BISGAARD, (20, 20, 20, 22.5, 25, 30, 35, 40, 45, 50)),
    "Bisgaard N3": (_BISGAARD, (35, 35, 35, 35, 40, 45, 50, 55, 60, 65)),
    "Bisgaard N4": (_BISGAARD, (55, 55, 55, 55, 55, 60, 65, 70, 75, 80)),
    "Bisgaard S1": (_BISGAARD, (10, 10, 10, 10, 10, 10, 15, 30, 55, 70)),
    "Bisgaard N6": (_BISGAARD, (75, 77.5, 80, 82.5, 85, 90, 90, 95, 100, 100)),
}
"""Frequencies in Hz and thresholds in dB HL; mild to moderate-severe are the reference losses that pyclarity brings.

It warns of losses above 80 dB HL, as of Bisgaard N6, and takes them as they are.
"""


def audiogram_of(loss: str) -> Audiogram:
    """pyclarity's object of a loss; its `severity` is `NOTHING`, `MILD`, `MODERATE` or `SEVERE`."""
    frequencies, levels = LOSSES[loss]
    return Audiogram(levels=np.array(levels, float), frequencies=np.array(frequencies, float))


@lru_cache(maxsize=32)
def simulator(loss: str, level: float) -> Ear:
    """Its simulator of a loss, frontal free field, for sound whose RMS of 1 is `level` dB SPL."""
    ear = Ear(src_pos="ff", sample_rate=RATE, equiv_0db_spl=level, ahr=0.0)
    ear.set_audiogram(audiogram_of(loss))
    return ear


def presented_gain(x: Array) -> float:
    """Gain that it applies to sound (samples,) before anything else."""
    padded = _padded(x)
    loud, *_ = measure_rms(padded, RATE, -12)
    return float(np.sqrt(np.mean(np.square(padded))) / loud)


def hear(x: Array, loss: str, level: float) -> Array:
    """The whole simulation of sound (samples,), its delay taken off."""
    ear = simulator(loss, level)
    return _cut(ear.process(_padded(x))[0], len(x), 2 * _EAR + _LOW_PASS + _smearing_delay(ear.cochlea))


def to_cochlea(x: Array, inverse: bool = False) -> Array:
    """The ear's filter alone."""
    return _cut(Ear.src_to_cochlea_filt(_padded(x), Ear.get_src_correction("ff"), RATE, inverse), len(x), _EAR)


def smear(x: Array, loss: str) -> Array:
    """Smearing alone, for a loss that has some."""
    smearer = simulator(loss, 100.0).cochlea.smearer
    return smearer.smear(np.pad(x, (0, 1000)))[_SMEARING : _SMEARING + len(x)]


def at_cochlea(x: Array, loss: str, level: float) -> Array:
    """Smearing, filterbank and recruitment of sound at the cochlea."""
    cochlea = simulator(loss, level).cochlea
    delay = _smearing_delay(cochlea)
    return cochlea.simulate(np.pad(x, (0, 2000)), level)[delay : delay + len(x)]


def _smearing_delay(cochlea: Cochlea) -> int:
    return 0 if cochlea.smearer is None else _SMEARING


def _padded(x: Array) -> Array:
    return np.pad(np.asarray(x, np.float64), (0, 2000))


def _cut(y: Array, samples: int, delay: int) -> Array:
    return y[delay : delay + samples]


def band_levels(x: Array, level: float) -> Array:
    """Levels of sound (samples,) in the bands at `CENTRES`, in dB SPL, shape (29,)."""
    power = np.square(np.abs(np.fft.rfft(x))) * 2 / len(x) ** 2
    hz = np.fft.rfftfreq(len(x), 1 / RATE)
    edges = np.searchsorted(hz, np.append(CENTRES * 10**-0.05, CENTRES[-1] * 10**0.05))
    sums = np.array([power[a:b].sum() for a, b in itertools.pairwise(edges)])
    return level + 10 * np.log10(np.maximum(sums, 1e-30))


def deviations(found: Array, wanted: Array, level: float) -> dict[int, float]:
    """By how many dB `found` exceeds `wanted` in each band that has more than 0 dB SPL in either of them."""
    ours, theirs = band_levels(found, level), band_levels(wanted, level)
    return {
        round(hz): a - b
        for hz, a, b in zip(CENTRES.tolist(), ours.tolist(), theirs.tolist(), strict=True)
        if max(a, b) > 0
    }


def speech(seconds: float, seed: int = 0) -> Array:
    """Sound like speech at 44.1 kHz: voiced syllables with gliding pitch and formants, fricatives, bursts and pauses.

    Its RMS is 0.05, with a floor of noise 50 dB below, so that there is some sound in every band. There is silence of
    0.1 s at both ends, since what rings on after a clip is cut off at other places in simulators with other delays.
    """
    rng = np.random.default_rng(seed)
    out = []
    while sum(map(len, out)) < seconds * RATE:
        samples = int(rng.uniform(0.12, 0.3) * RATE)
        at = np.arange(samples) / RATE
        envelope = np.minimum(1, np.minimum(at, at[::-1]) / 0.03)
        if rng.random() < 0.65:
            pitch = rng.uniform(90, 220) * np.exp(rng.uniform(-0.8, 0.8) * at)
            phase = np.cumsum(pitch) / RATE
            source = np.diff(np.floor(phase), prepend=0.0) + 0.02 * rng.standard_normal(samples)
            sound = lfilter([1], [1, -0.96], source)
            for formant, width in zip(
                rng.uniform([300, 900, 2200, 3300], [800, 2200, 3000, 4200]), (70, 110, 160, 250), strict=True
            ):
                radius = np.exp(-np.pi * width / RATE)
                sound = lfilter([1 - radius], [1, -2 * radius * np.cos(2 * np.pi * formant / RATE), radius**2], sound)
            sound = sound / np.std(sound)
        else:
            centre = rng.uniform(2500, 8000)
            radius = np.exp(-np.pi * 0.5 * centre / RATE)
            sound = lfilter(
                [1, 0, -1],
                [1, -2 * radius * np.cos(2 * np.pi * centre / RATE), radius**2],
                rng.standard_normal(samples),
            )
            sound = 0.25 * sound / np.std(sound)
        out += [envelope * sound * 10 ** rng.uniform(-0.5, 0.2), np.zeros(int(rng.choice([0, 0.02, 0.15]) * RATE))]
    quiet = int(0.1 * RATE)
    x = np.concatenate(out)[: int(seconds * RATE) - 2 * quiet]
    x = x / np.std(x) + 10 ** (-50 / 20) * rng.standard_normal(len(x))
    ramp = np.minimum(1, np.arange(len(x)) / (0.02 * RATE))
    x = np.pad(x * ramp * ramp[::-1], quiet)
    return 0.05 * x / np.std(x)
