"""A corpus masked as by a script of the day: the reference for speed.

`librosa.load` at the rate of the recogniser, a short-time transform, mask and inverse per condition, `soundfile.write`
of one file for each; no parts, no counting, no going on after a stop.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import librosa
import soundfile
from reference.librosa_conditions import THRESHOLDS, hear

RATE = 16_000


def mask(clips: Iterable[Path], out: Path) -> None:
    """Write ``OUT/{condition}/{name}.flac`` for every clip and condition."""
    for name in THRESHOLDS:
        (out / name).mkdir(parents=True, exist_ok=True)
    for clip in clips:
        x, _ = librosa.load(clip, sr=RATE)
        for name in THRESHOLDS:
            soundfile.write(out / name / f"{clip.stem}.flac", hear(x, RATE, name), RATE, subtype="PCM_24")
