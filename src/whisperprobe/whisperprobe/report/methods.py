"""What was done and what the conditions do and do not model, said from the conditions themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from whisperprobe.comparison.result import BASE, Comparison
from whisperprobe.comparison.severity import pta4, severities, severity_note
from whisperprobe.comparison.words import and_between

__all__ = ["describe_condition", "limits", "methods_text"]


def describe_condition(condition: Any) -> dict[str, str]:
    """One row of the table of conditions: its audiogram and its filter in words."""
    ear = condition.audiogram
    pairs = ", ".join(f"{_frequency(f)}:\u00a0{t:g}" for f, t in zip(ear.frequencies, ear.thresholds, strict=True))
    options = dict(condition.options or {})
    level, noise = getattr(condition, "level", None), getattr(condition, "noise", None)
    return {
        "name": condition.name,
        "thresholds": pairs,
        "pta": "–" if (pta := pta4(ear)) is None else f"{pta:.1f}",
        "sii": "–" if (sii := severities([condition])[0].sii) is None else f"{sii:.2f}",
        "grade": "–" if pta is None else str(ear.grade()),
        "filter": condition.filter,
        "options": ", ".join(f"{k} = {v}" for k, v in options.items()) or "–",
        "level": _words(level) or "not modelled",
        "noise": _words(noise) or "none",
        "normalise": condition.normalise,
    }


def limits(conditions: Sequence[Any]) -> list[str]:
    """What the conditions do and do not model; every sentence follows from these conditions."""
    flat = [c.name for c in conditions if len(set(c.audiogram.thresholds)) == 1]
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
            "the cues were still in the signal, not that a listener with such a loss would recover."
        )
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


def methods_text(comparison: Comparison, versions: Mapping[str, str]) -> list[str]:
    """Paragraphs for a methods section."""
    clips = comparison.clips
    seeds = sorted({int(s) for s in clips["seed"].dropna()})
    tuned = [m for m in comparison.models if m in comparison.conditions]
    listeners = and_between(
        (["the unadapted model"] if BASE in comparison.models else [])
        + ([f"models fine-tuned on {and_between(tuned)}"] if tuned else [])
        + [f"the model {m}" for m in comparison.models if m != BASE and m not in tuned]
    )
    repeated = f" The study was repeated with seeds {and_between([str(s) for s in seeds])}." if len(seeds) > 1 else ""
    software = and_between([f"{name} {version}" for name, version in versions.items()])
    return [
        f"Speech was filtered through the audiograms above, and {listeners} transcribed "
        f"{clips['clip_id'].nunique():,} recordings of {clips['word'].nunique():,} words under "
        f"{and_between(list(comparison.conditions))}."
        f"{repeated} An answer counts as correct when it equals the spoken word after Whisper's text normalisation. "
        "Surprisal is −log₂ of the probability of the spoken word, read in by teacher forcing, summed over its "
        "spelling variants (lower case, capitalised, with and without leading space), the end of the word included.",
        f"Intervals are 95 % bootstrap intervals over words: {comparison.resamples:,} resamples of words (seed "
        f"{comparison.seed}), each word with all of its recordings; seeds are averaged; percentiles are expanded for "
        "few words (Hesterberg, 2015, The American Statistician 69, 371–386). The same resamples serve all cells, so "
        "differences between cells are paired by word. The intervals say how far the result would carry over to other "
        "words of the same kind, not to other voices, models or trainings. Where a cell is at 0 or 100 % for every "
        "word, resampling cannot show the remaining uncertainty and the interval has no width.",
        f"Software: {software}." if software else "",
    ]


def _frequency(hertz: float) -> str:
    return f"{hertz / 1000:g}\u00a0kHz" if hertz >= 1000 else f"{hertz:g}\u00a0Hz"


def _words(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{k} = {v}" for k, v in value.items())
    return f"{value:g} dB SPL" if isinstance(value, int | float) else str(value)
