"""What the conditions of a study do and do not model, said from the conditions themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from whisperprobe.comparison.severity import severity_note
from whisperprobe.comparison.words import and_between

__all__ = ["limits"]

_FILTERS = {
    "threshold_noise": (
        "attenuates nothing: it adds noise that just hides what lies below the threshold at the presentation level. "
        "What is hidden is gone for good, and what is above is as loud as ever. Loudness that grows too fast and "
        "blurred frequencies are not modelled."
    ),
    "recruitment": (
        "makes soft sounds soft and leaves loud ones loud, channel by channel, at the presentation level: loudness "
        "recruitment. Neighbouring frequencies do not blur."
    ),
    "smearing": (
        "blurs neighbouring frequencies, as broadened auditory filters would. It lowers no level: what is too soft to "
        "be heard with the loss can still be heard here."
    ),
    "msbg": (
        "is the Cambridge model: smearing of the spectrum and loudness recruitment behind the outer and middle ear, at "
        "the presentation level. Poor timing, dead regions, two ears and getting used to a loss are not modelled."
    ),
    "conductive": (
        "attenuates linearly by the gap between air and bone conduction, before a cochlea that its option `cochlear` "
        "stands for. A louder presentation makes up for the gap."
    ),
}
"""What each filter of this library models and does not, as the rest of a sentence."""


def limits(conditions: Sequence[Any]) -> list[str]:
    """What the conditions do and do not model; every sentence follows from these conditions."""
    flat = [c.name for c in conditions if c.filter == "attenuation" and len(set(c.audiogram.thresholds)) == 1]
    peak = [c.name for c in conditions if c.normalise == "peak"]
    notes = [
        f"“{name}” has the same threshold at every frequency, so its filter only changes the level, and peak "
        "normalisation undoes that: up to scale, it is the identity. It is the unimpaired reference, not a model of "
        "normal hearing."
        for name in flat
        if name in peak
    ]
    shaped = [c.name for c in conditions if c.filter == "attenuation" and c.name not in flat]
    if shaped:
        notes.append(
            f"The filter “attenuation” ({and_between(shaped)}) is a fixed linear gain at every frequency. In the "
            "sound, nothing is lost that a linear filter could not restore, and a model can learn to undo it; only "
            "what falls more than 80 dB below a recording's loudest spot is cut off by the log-mel spectrogram that "
            "Whisper hears. A real hearing loss also destroys information: sounds below threshold are gone, loudness "
            "grows too fast above it, and neighbouring frequencies blur. Recovery after fine-tuning here says that "
            "enough was left in the signal to tell these words apart, not that a listener with such a loss would "
            "recover."
        )
    for name, says in _FILTERS.items():
        used = [c.name for c in conditions if c.filter == name]
        if used:
            notes.append(f"The filter “{name}” ({and_between(used)}) {says}")
    unknown = {c.filter: c.name for c in conditions if c.filter != "attenuation" and c.filter not in _FILTERS}
    notes += [
        f"The filter “{name}” ({condition}) comes from elsewhere; what it models, its own documentation must say."
        for name, condition in unknown.items()
    ]
    if peak:
        notes.append(
            f"Peak normalisation ({and_between(peak)}) brings every clip to full scale after the filter. The "
            "conditions thus model the shape of a loss, not the loss of audibility."
        )
    if len({c.normalise for c in conditions}) > 1:
        kinds = and_between([f"{c.name}: {c.normalise}" for c in conditions])
        notes.append(
            f"The conditions are not normalised alike ({kinds}), so they differ in level as well as in what is heard. "
            "A difference between them confounds the two."
        )
    severity = severity_note(conditions)
    if severity is not None:
        notes.append(severity)
    return notes
