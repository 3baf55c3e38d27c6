"""Numbers of the speech intelligibility index: ANSI S3.5-1997, tables 3 and 4 and annex B.

They were taken from two independent implementations that agree in every figure (the R package SII 1.1 and Google's
speech_intelligibility_index) and not from the standard itself, which is sold; the standard's published examples are
reproduced with them (tests/audiogram/test_intelligibility.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["EFFORT_LEVELS", "PROCEDURES", "Bands", "Effort", "Importance", "Procedure"]

Effort = Literal["normal", "raised", "loud", "shout"]
Procedure = Literal["third-octave", "octave"]
Importance = Literal["average", "nonsense-syllables", "cid-w22", "nu6", "drt", "short-passages", "spin"]

EFFORT_LEVELS: dict[str, float] = {"normal": 62.35, "raised": 68.34, "loud": 74.85, "shout": 82.30}
"""Overall level in dB SPL of the standard speech spectra, 1 m in front of the talker."""


@dataclass(frozen=True, eq=False)
class Bands:
    """One procedure's table: an entry per band.

    Parameters
    ----------
    centres : ndarray, shape (bands,)
        Nominal centre frequencies in Hz.
    internal_noise : ndarray, shape (bands,)
        Spectrum level of the reference internal noise, dB SPL per Hz.
    speech : dict of str to ndarray, shape (bands,)
        Standard speech spectrum level of each vocal effort, dB SPL per Hz.
    importance : dict of str to ndarray, shape (bands,)
        Band importance functions; each sums to 1 within the rounding of the printed table.
    """

    centres: npt.NDArray[np.float64]
    internal_noise: npt.NDArray[np.float64]
    speech: dict[str, npt.NDArray[np.float64]]
    importance: dict[str, npt.NDArray[np.float64]]


# Table 3. Hz, importance of average speech, speech spectrum level at normal, raised, loud and shouted effort, internal
# noise. The last six columns are table B.2: nonsense syllables, CID W-22, NU-6, DRT, short passages, SPIN.
_THIRD_OCTAVES = np.array(
    [
        [160, 0.0083, 32.41, 33.81, 35.29, 30.77, 0.6, 0.0000, 0.0365, 0.0168, 0.0000, 0.0114, 0.0000],
        [200, 0.0095, 34.48, 33.92, 37.76, 36.65, -1.7, 0.0000, 0.0279, 0.0130, 0.0240, 0.0153, 0.0255],
        [250, 0.0150, 34.75, 38.98, 41.55, 42.50, -3.9, 0.0153, 0.0405, 0.0211, 0.0330, 0.0179, 0.0256],
        [315, 0.0289, 33.98, 38.57, 43.78, 46.51, -6.1, 0.0284, 0.0500, 0.0344, 0.0390, 0.0558, 0.0360],
        [400, 0.0440, 34.59, 39.11, 43.30, 47.40, -8.2, 0.0363, 0.0530, 0.0517, 0.0571, 0.0898, 0.0362],
        [500, 0.0578, 34.27, 40.15, 44.85, 49.24, -9.7, 0.0422, 0.0518, 0.0737, 0.0691, 0.0944, 0.0514],
        [630, 0.0653, 32.06, 38.78, 45.55, 51.21, -10.8, 0.0509, 0.0514, 0.0658, 0.0781, 0.0709, 0.0616],
        [800, 0.0711, 28.30, 36.37, 44.05, 51.44, -11.9, 0.0584, 0.0575, 0.0644, 0.0751, 0.0660, 0.0770],
        [1000, 0.0818, 25.01, 33.86, 42.16, 51.31, -12.5, 0.0667, 0.0717, 0.0664, 0.0781, 0.0628, 0.0718],
        [1250, 0.0844, 23.00, 31.89, 40.53, 49.63, -13.5, 0.0774, 0.0873, 0.0802, 0.0811, 0.0672, 0.0718],
        [1600, 0.0882, 20.15, 28.58, 37.70, 47.65, -15.4, 0.0893, 0.0902, 0.0987, 0.0961, 0.0747, 0.1075],
        [2000, 0.0898, 17.32, 25.32, 34.39, 44.32, -17.7, 0.1104, 0.0938, 0.1171, 0.0901, 0.0755, 0.0921],
        [2500, 0.0868, 13.18, 22.35, 30.98, 40.80, -21.2, 0.1120, 0.0928, 0.0932, 0.0781, 0.0820, 0.1026],
        [3150, 0.0844, 11.55, 20.15, 28.21, 38.13, -24.2, 0.0981, 0.0678, 0.0783, 0.0691, 0.0808, 0.0922],
        [4000, 0.0771, 9.33, 16.78, 25.41, 34.41, -25.9, 0.0867, 0.0498, 0.0562, 0.0480, 0.0483, 0.0719],
        [5000, 0.0527, 5.31, 11.47, 18.35, 28.24, -23.6, 0.0728, 0.0312, 0.0337, 0.0330, 0.0453, 0.0461],
        [6300, 0.0364, 2.59, 7.67, 13.87, 23.45, -15.8, 0.0551, 0.0215, 0.0177, 0.0270, 0.0274, 0.0306],
        [8000, 0.0185, 1.13, 5.07, 11.39, 20.72, -7.1, 0.0000, 0.0253, 0.0176, 0.0240, 0.0145, 0.0000],
    ]
)
_MATERIALS = ("nonsense-syllables", "cid-w22", "nu6", "drt", "short-passages", "spin")
# Table 4: the same for octaves; spectrum levels at these frequencies are those of table 3. Annex B's octave columns are
# left out: two of the six, as they are tabulated, do not sum to 1.
_OCTAVES = (250, 500, 1000, 2000, 4000, 8000)
_OCTAVE_IMPORTANCE = (0.0617, 0.1671, 0.2373, 0.2648, 0.2142, 0.0549)


def _bands(table: npt.NDArray[np.float64], importance: dict[str, npt.NDArray[np.float64]]) -> Bands:
    speech = {effort: table[:, 2 + i] for i, effort in enumerate(EFFORT_LEVELS)}
    return Bands(table[:, 0], table[:, 6], speech, importance)


_THIRD_IMPORTANCE = {"average": _THIRD_OCTAVES[:, 1]} | {
    name: _THIRD_OCTAVES[:, 7 + i] for i, name in enumerate(_MATERIALS)
}
PROCEDURES: dict[str, Bands] = {
    "third-octave": _bands(_THIRD_OCTAVES, _THIRD_IMPORTANCE),
    "octave": _bands(
        _THIRD_OCTAVES[np.isin(_THIRD_OCTAVES[:, 0], _OCTAVES)], {"average": np.array(_OCTAVE_IMPORTANCE)}
    ),
}
"""The tables of the third-octave (18 bands, 160 Hz to 8 kHz) and the octave procedure (6 bands, 250 Hz to 8 kHz)."""
