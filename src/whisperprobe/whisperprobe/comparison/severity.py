"""How severe the losses compared are: a difference between conditions may be one of more and less, not of shape."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from audiogram.errors import AudiogramWarning, InputError
from whisperprobe.comparison.words import and_between

if TYPE_CHECKING:
    from audiogram.listening import Condition

__all__ = ["Severity", "conditions_heard", "pta4", "severities", "severity_note"]

_PTA = 1.0  # dB; below this two losses are taken to be equally severe
_SII = 0.02


@dataclass(frozen=True)
class Severity:
    """How severe a condition's loss is.

    Attributes
    ----------
    name : str
        The condition.
    pta4 : float or None
        Average threshold over 500, 1000, 2000 and 4000 Hz in dB HL; None where the audiogram lacks one of them.
    sii : float or None
        Speech intelligibility index (ANSI S3.5) of the audiogram for normal speech in quiet, 0 to 1.
    flat : bool
        Whether all thresholds are the same: then the condition is no loss of a shape.
    """

    name: str
    pta4: float | None
    sii: float | None
    flat: bool


def pta4(ear: Any) -> float | None:
    """The average threshold, which may be a bound, or None where the audiogram lacks one of its frequencies."""
    from audiogram.measures import PTA4_FREQUENCIES

    average: float | None = ear.pta() if set(PTA4_FREQUENCIES) <= set(ear.frequencies) else None
    return average


def severities(conditions: Iterable[Condition]) -> list[Severity]:
    """Measure the severity of every condition's audiogram; what filter, level and noise do is not in it."""
    found = []
    for condition in conditions:
        ear = condition.audiogram
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AudiogramWarning)  # a bound is good enough for a comparison
            average = pta4(ear)
            try:
                index = float(ear.sii())
            except InputError:
                index = None
        found.append(
            Severity(condition.name, None if average is None else float(average), index, len(set(ear.thresholds)) == 1)
        )
    return found


def severity_note(conditions: Iterable[Condition]) -> str | None:
    """Warn where the losses compared differ in severity; None where they do not.

    Conditions with one threshold throughout are references and left out.
    """
    losses = [s for s in severities(conditions) if not s.flat]
    averages = {s.name: s.pta4 for s in losses if s.pta4 is not None}
    indices = {s.name: s.sii for s in losses if s.sii is not None}
    parts = []
    if len(averages) > 1 and max(averages.values()) - min(averages.values()) > _PTA:
        listed = and_between([f"{name} {value:.1f} dB" for name, value in averages.items()])
        parts.append(f"the average threshold over 500, 1000, 2000 and 4000 Hz (PTA4) is {listed}")
    if len(indices) > 1 and max(indices.values()) - min(indices.values()) > _SII:
        listed = and_between([f"{name} {value:.2f}" for name, value in indices.items()])
        parts.append(
            f"the speech intelligibility index (SII) for speech of normal effort (62.35 dB SPL) in quiet is {listed}"
        )
    if not parts:
        return None
    return (
        f"The losses differ in severity, not only in shape: {'; '.join(parts)}. A difference between these conditions "
        "confounds the two; audiogram.matched makes one as severe as the other."
    )


def conditions_heard(runs: Iterable[Mapping[str, Any]]) -> list[Condition]:
    """Return the conditions that runs heard, from their manifests, each once and in order; built-in ones by name."""
    import audiogram
    from whisperprobe.probing.store import condition_of

    found: dict[str, Condition] = {}
    for run in runs:
        name, heard = run["condition"], condition_of(run["manifest"])
        if name in found:
            continue
        if isinstance(heard, Mapping) and "audiogram" in heard:
            found[name] = audiogram.Condition.from_dict(heard)
        elif name in audiogram.conditions():
            found[name] = audiogram.condition(name)
    return list(found.values())
