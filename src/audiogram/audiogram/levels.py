"""Levels of sound: of speech while it is active, and of its presentation in dB SPL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from audiogram.errors import InputError, unknown_name

__all__ = ["active_rms", "check_full_scale", "check_level", "checked_mapping", "checked_number"]

Array = npt.NDArray[np.float64]
_FRAME_SECONDS = 0.02
_ACTIVE_RANGE_DB = 30.0
_LEVELS = (-100.0, 200.0)  # dB SPL


def active_rms(x: npt.ArrayLike, sample_rate: float) -> float:
    """RMS of speech while it is active.

    Parameters
    ----------
    x : array_like, shape (samples,)
        Sound, full scale 1.
    sample_rate : float
        Sampling rate in Hz.

    Returns
    -------
    float
        RMS over the frames of 20 ms whose energy lies within 30 dB of the strongest frame's, so that pauses and padding
        do not lower the level; 0 for silence.

    Examples
    --------
    >>> tone = np.sin(np.arange(16000))
    >>> active_rms(np.concatenate([tone, np.zeros(16000)]), 16000).__round__(3)
    0.707
    """
    samples = np.asarray(x, dtype=np.float64)
    size = max(1, min(len(samples), round(_FRAME_SECONDS * sample_rate)))
    count = -(-len(samples) // size)
    padded = np.zeros(count * size)
    padded[: len(samples)] = samples
    energy = np.square(padded.reshape(count, size)).sum(axis=1)
    lengths = np.full(count, size)
    lengths[-1] = len(samples) - (count - 1) * size
    power = energy / lengths
    active = power >= power.max() * 10 ** (-_ACTIVE_RANGE_DB / 10)
    return float(np.sqrt(energy[active].sum() / lengths[active].sum()))


def check_level(level: Any) -> dict[str, float] | None:
    """Validate a presentation level.

    Parameters
    ----------
    level : mapping or None
        `full_scale_dbspl`: level in dB SPL of a signal whose RMS is 1; `speech_dbspl`: level in dB SPL that the active
        speech of every clip is presented at. With both, the clip is scaled so that both hold.

    Returns
    -------
    dict or None
        The same with floats.

    Raises
    ------
    InputError
        For other keys or values.
    """
    if level is None:
        return None
    known = ("full_scale_dbspl", "speech_dbspl")
    plain = checked_mapping("level", level, known)
    if not plain:
        raise InputError(f"level is empty; give {' or '.join(known)} in dB SPL.")
    return {key: checked_number(f"level.{key}", value, *_LEVELS) for key, value in plain.items()}


def check_full_scale(level: Any) -> float:
    """Level in dB SPL of a signal whose RMS is 1, as a filter takes it.

    Raises
    ------
    InputError
        Unless it is a number between -100 and 200.
    """
    return checked_number("level, the dB SPL of a signal whose RMS is 1,", level, *_LEVELS)


def checked_mapping(label: str, value: Any, known: tuple[str, ...]) -> dict[str, Any]:
    """A mapping as a dict, `InputError` unless all its keys are known."""
    if not isinstance(value, Mapping):
        raise InputError(f"{label} is a mapping with {', '.join(known)}, got {value!r}.")
    for key in value:
        if key not in known:
            raise unknown_name(f"{label} key", key, known)
    return dict(value)


def checked_number(label: str, value: Any, low: float, high: float) -> float:
    """A number as a float, `InputError` unless it lies between two others."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | np.integer | np.floating)
        or not low <= value <= high
    ):
        raise InputError(f"{label} is a number between {low:g} and {high:g}, got {value!r}.")
    return float(value)
