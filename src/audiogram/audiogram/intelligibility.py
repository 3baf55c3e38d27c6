"""Speech intelligibility index: how much of the information in speech an ear can hear.

The index of ANSI S3.5-1997 runs from 0 (nothing audible) to 1 (everything that matters is audible, at a comfortable
level). It speaks of audibility alone: a damaged cochlea understands less than its index says.

References
----------
.. [1] ANSI S3.5-1997 (R2024), Methods for calculation of the speech intelligibility index. Sections and equations are
   those of the standard.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from audiogram.bounds import AtMost
from audiogram.errors import AudiogramWarning, InputError, unknown_name
from audiogram.intelligibility_tables import EFFORT_LEVELS, PROCEDURES, Bands, Effort, Importance, Procedure
from audiogram.thresholds import Audiogram

__all__ = ["matched", "sii", "speech_spectrum"]

Array = npt.NDArray[np.float64]
Measure = Literal["pta4", "sii"]

_QUIET = -50.0  # spectrum level that stands for no noise (section 4.2, note)


def speech_spectrum(
    level: float | None = None, effort: Effort = "normal", procedure: Procedure = "third-octave"
) -> Array:
    """Standard speech spectrum (tables 3 and 4), shifted to an overall level.

    Parameters
    ----------
    level : float, optional
        Overall level in dB SPL, -100 to 150. By default that of the effort 1 m in front of the talker: 62.35 normal,
        68.34 raised, 74.85 loud, 82.30 shout.
    effort : {"normal", "raised", "loud", "shout"}, default "normal"
        Vocal effort, which gives the spectrum its shape.
    procedure : {"third-octave", "octave"}, default "third-octave"
        The bands.

    Returns
    -------
    ndarray of float64, shape (18,) or (6,)
        Spectrum level at the band centres, dB SPL in a band of 1 Hz.

    Raises
    ------
    InputError
        For a level out of range and unknown names.

    Examples
    --------
    >>> float(speech_spectrum()[8])  # 1 kHz
    25.01
    >>> float((speech_spectrum(72.35) - speech_spectrum())[0].round(9))
    10.0
    """
    bands = _bands(procedure)
    if effort not in EFFORT_LEVELS:
        raise unknown_name("vocal effort", effort, get_args(Effort))
    spectrum = bands.speech[effort].copy()
    if level is not None:
        spectrum += _level("speech level", level) - EFFORT_LEVELS[effort]
    return spectrum


def sii(
    ear: Audiogram,
    speech_level: npt.ArrayLike | None = None,
    noise: npt.ArrayLike | None = None,
    *,
    effort: Effort = "normal",
    procedure: Procedure = "third-octave",
    importance: Importance | npt.ArrayLike = "average",
) -> float:
    """Speech intelligibility index of one ear, ANSI S3.5-1997.

    Parameters
    ----------
    ear : Audiogram
        Thresholds in dB HL, read at the band centres: straight lines over log2 frequency, the outermost held. Where
        bone conduction is given, the air-bone gap counts as conductive loss (annex A): it keeps loud speech from
        distorting.
    speech_level : float or array_like, optional
        Level of the speech at the listener. A number: overall level in dB SPL, -100 to 150, of speech with the
        standard spectrum of `effort`. A list: spectrum level of every band, dB SPL in 1 Hz. By default the level of
        `effort` at 1 m, 62.35 dB SPL for normal effort.
    noise : float or array_like, optional
        Level of the noise at the listener. A number: overall level in dB SPL of noise with the standard spectrum of
        `effort`, so that `speech_level - noise` is the signal-to-noise ratio. A list: spectrum level of every band, dB
        SPL in 1 Hz. Default: quiet.
    effort : {"normal", "raised", "loud", "shout"}, default "normal"
        Vocal effort whose spectrum shapes what is given as a number.
    procedure : {"third-octave", "octave"}, default "third-octave"
        18 bands from 160 Hz to 8 kHz, with self-speech masking and upward spread of masking, or 6 octaves from 250 Hz
        to 8 kHz, without (section 4.3.1).
    importance : str or array_like, default "average"
        Band importance function: `average` speech; with third octaves also `nonsense-syllables`, `cid-w22`, `nu6`,
        `drt`, `short-passages`, `spin` (annex B); or one weight per band, 0 or more, summing to 1.

    Returns
    -------
    float
        The index, 0 to 1. An ear with no-response thresholds hears at most what is computed from the highest levels
        presented: then an `AtMost`, with an `AudiogramWarning`.

    Raises
    ------
    InputError
        For levels that are not finite or out of range, lists of another length than the bands, unknown names.

    Examples
    --------
    >>> ear = Audiogram([250, 500, 1000, 2000, 4000, 8000], [10, 15, 20, 40, 60, 70])
    >>> round(sii(ear, 65), 3)
    0.572
    >>> round(sii(ear, 65, noise=60), 3)  # speech-shaped noise 5 dB below the speech
    0.407
    """
    if not isinstance(ear, Audiogram):
        raise InputError(f"ear is an Audiogram, got {type(ear).__name__}; a Listener has two, ask each.")
    bands = _bands(procedure)
    speech = _spectrum("speech_level", speech_level, effort, procedure)
    quiet = np.full(len(bands.centres), _QUIET)
    masker = quiet if noise is None else _spectrum("noise", noise, effort, procedure)
    weights = _importance(importance, procedure, bands)

    thresholds = ear.at(bands.centres)
    masking = masker if procedure == "octave" else _masking(speech, masker, bands.centres)[-1]
    disturbance = np.maximum(masking, bands.internal_noise + thresholds)  # 4.4 (eq. 10), 4.5
    distortion = (speech - bands.speech["normal"] - 10 - _conductive(ear, bands.centres)) / 160
    audibility = np.clip(1 - distortion, 0, 1) * np.clip((speech - disturbance + 15) / 30, 0, 1)  # eq. 11 to 13
    index = float(np.clip(weights @ audibility, 0, 1))  # eq. 14; the printed weights sum to 1 within 1e-4
    if not ear.no_response:
        return index
    warnings.warn(
        f"no response at {', '.join(f'{f:g}' for f in ear.no_response)} Hz: the thresholds there are at least the "
        f"levels presented, so the speech intelligibility index is {AtMost(index):.2f}.",
        AudiogramWarning,
        stacklevel=2,
    )
    return AtMost(index)


def _masking(speech: Array, noise: Array, centres: Array) -> tuple[Array, Array, Array]:
    """Larger of noise and self-speech masking B, its slope C, equivalent masking spectrum level Z (section 4.3.2)."""
    b = np.maximum(noise, speech - 24)  # eq. 5 and 4.3.2.2
    c = -80 + 0.6 * (b + 10 * np.log10(centres) - 6.353)  # eq. 7: dB per octave
    spread = b[:, None] + 3.32 * c[:, None] * np.log10(0.89 * centres / centres[:, None])  # from row k to column i
    power = np.where(centres[:, None] < centres, 10 ** (spread / 10), 0.0).sum(axis=0)
    z = 10 * np.log10(10 ** (noise / 10) + power)  # eq. 9
    z[0] = b[0]  # 4.3.2.4
    return b, c, z


def _conductive(ear: Audiogram, centres: Array) -> Array:
    """Conductive part of the loss, dB, 0 or more (annex A)."""
    if ear.bone is None:
        return np.zeros(len(centres))
    if ear.no_response or ear.bone.no_response:
        return np.full(len(centres), np.inf)  # the gap is unknown, and the index is to be an upper bound
    return np.maximum(ear.at(centres) - ear.bone.at(centres), 0)


def matched(
    ear: Audiogram,
    other: Audiogram,
    measure: Measure = "pta4",
    *,
    speech_level: npt.ArrayLike | None = None,
    noise: npt.ArrayLike | None = None,
) -> Audiogram:
    """Scale one ear's loss until it is as severe as another's.

    Two losses of different shape differ in severity too, so that "low against high" is confounded with "less against
    more"; against a matched one only the shape differs.

    Parameters
    ----------
    ear : Audiogram
        The loss to be scaled: all its thresholds, bone conduction too, are multiplied by one factor, 0 or more, so
        the shape stays in dB.
    other : Audiogram
        The loss to be matched.
    measure : {"pta4", "sii"}, default "pta4"
        What is to be equal: the pure-tone average of 500, 1000, 2000 and 4000 Hz, or the speech intelligibility index.
    speech_level, noise : optional
        As of `sii`; for `measure="sii"` only.

    Returns
    -------
    Audiogram
        Named after both; which thresholds were masked is not kept, for nobody measured these.

    Raises
    ------
    InputError
        Where no factor reaches it within -40 to 160 dB HL, with the range that is reached; where `other` hears
        nothing, which every greater loss matches; and where no-response thresholds make the measure a bound.

    Examples
    --------
    >>> from audiogram import preset
    >>> ear = matched(preset("hfloss"), preset("lfloss"))
    >>> ear.pta(), ear.thresholds[0]
    (47.5, 7.6)
    """
    from scipy.optimize import brentq

    if measure not in get_args(Measure):
        raise unknown_name("measure", measure, get_args(Measure))
    if measure == "pta4" and not (speech_level is None and noise is None):
        raise InputError("speech_level and noise are for measure='sii'; a pure-tone average has neither.")
    value: Callable[[Audiogram], float]
    value = Audiogram.pta if measure == "pta4" else lambda one: sii(one, speech_level, noise)
    label = "PTA4" if measure == "pta4" else "SII"
    for one in (ear, other):
        if not isinstance(one, Audiogram):
            raise InputError(f"two Audiograms are matched, got {type(one).__name__}; preset(name) gives one.")
        _check_exact(one, value, label)
    largest = min([(160 if t > 0 else -40) / t for t in (*ear.thresholds, *_bone_thresholds(ear)) if t], default=0.0)
    target, low, high = value(other), value(_scaled(ear, 0.0)), value(_scaled(ear, largest))
    if measure == "sii" and target == 0:
        raise InputError("the other ear hears nothing of this speech (SII 0), which any great enough loss matches.")
    if not min(low, high) <= target <= max(low, high):
        raise InputError(
            f"no scaling of {ear.name or 'the ear'} reaches {label} {target:.4g}: from no loss to the greatest within "
            f"-40 to 160 dB HL it runs from {low:.4g} to {high:.4g}. Scale the other ear instead."
        )
    if low == high:
        return _scaled(ear, 1.0)
    factor = brentq(lambda k: value(_scaled(ear, k)) - target, 0.0, largest, xtol=1e-13)
    name = f"{ear.name or 'ear'} as {other.name or 'other'}"
    return _scaled(ear, float(factor), name=f"{name} ({label})")


def _scaled(ear: Audiogram, factor: float, name: str = "") -> Audiogram:
    bone = None if ear.bone is None else _scaled(ear.bone, factor)
    thresholds = [float(np.clip(factor * t, -40, 160)) for t in ear.thresholds]
    return Audiogram(ear.frequencies, thresholds, ear=ear.ear, name=name, no_response=ear.no_response, bone=bone)


def _bone_thresholds(ear: Audiogram) -> tuple[float, ...]:
    return () if ear.bone is None else ear.bone.thresholds


def _check_exact(ear: Audiogram, value: Callable[[Audiogram], float], label: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AudiogramWarning)  # said below, as an error
        exact = type(value(ear)) is float
    if not exact:
        raise InputError(
            f"{ear.name or 'the ear'} has no-response thresholds, so its {label} is a bound and cannot be matched; "
            "leave those frequencies out, or take the other measure."
        )


def _bands(procedure: str) -> Bands:
    if procedure not in PROCEDURES:
        raise unknown_name("procedure", procedure, PROCEDURES)
    return PROCEDURES[procedure]


def _spectrum(label: str, level: npt.ArrayLike | None, effort: Effort, procedure: Procedure) -> Array:
    if level is None or np.ndim(level) == 0:
        return speech_spectrum(None if level is None else _level(label, level), effort, procedure)
    return np.array([_level(label, one) for one in _per_band(label, level, procedure)])


def _per_band(label: str, values: npt.ArrayLike, procedure: str) -> Array:
    bands = PROCEDURES[procedure]
    try:
        result = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{label} is a number or one number per band, got {values!r}.") from None
    if result.shape != bands.centres.shape:
        raise InputError(
            f"{label} has {result.size} values; the {procedure} procedure has {len(bands.centres)} bands, "
            f"{bands.centres[0]:g} to {bands.centres[-1]:g} Hz."
        )
    return result


def _importance(importance: Importance | npt.ArrayLike, procedure: str, bands: Bands) -> Array:
    if isinstance(importance, str):
        if importance not in bands.importance:
            error = unknown_name(f"band importance function ({procedure})", importance, bands.importance)
            raise InputError(f"{error} Or give one weight per band.")
        return bands.importance[importance]
    weights = _per_band("importance", importance, procedure)
    if not (weights >= 0).all() or not math.isclose(weights.sum(), 1, abs_tol=1e-3):
        raise InputError(f"band importances are 0 or more and sum to 1, got a sum of {weights.sum():g}.")
    return weights


def _level(label: str, level: npt.ArrayLike) -> float:
    try:
        value = float(np.asarray(level, dtype=np.float64))
    except (TypeError, ValueError):
        value = math.nan
    if isinstance(level, bool | str) or not -100 <= value <= 150:
        raise InputError(f"{label} is in dB SPL, from -100 to 150, got {level!r}.")
    return value
