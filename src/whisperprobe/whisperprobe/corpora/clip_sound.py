"""Sound of a clip as a model takes it: at its rate, no longer than its window, through a condition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from audiogram.errors import InputError, StoppedError, WorkError
from whisperprobe.features import WindowSpec

if TYPE_CHECKING:
    from audiogram.corpus import Clip
    from audiogram.listening import Condition

__all__ = ["at_rate", "heard_sound"]


def at_rate(clip: Any, wanted: int) -> np.ndarray[Any, Any]:
    """Sound of a clip, float32, at a sample rate in Hz."""
    samples, rate = clip.audio()
    if rate != wanted:
        from audiogram import sound

        samples = sound.resample(samples, rate, wanted)
    return np.ascontiguousarray(samples, dtype=np.float32)


def heard_sound(clip: Clip, window: WindowSpec, condition: Condition | None) -> np.ndarray[Any, Any]:
    """Sound of a clip at the model's rate, as it is heard; InputError where the model cannot hear it."""
    x = at_rate(clip, window.sample_rate)
    if len(x) > window.n_samples:  # before it is filtered, which could take long
        raise InputError(f"{len(x) / window.sample_rate:.2f} s do not fit the model's window of {window.seconds:g} s.")
    if condition is None:
        return x
    try:
        y = np.asarray(condition(x, window.sample_rate, keys=clip.id), dtype=np.float32)
    except (InputError, WorkError, StoppedError, MemoryError):
        raise
    except Exception as error:  # a filter may raise anything: the clip is a failure, with the reason
        raise InputError(f"the condition {condition.name!r}: {type(error).__name__}: {error}") from error
    if not np.isfinite(y).all():
        raise InputError(f"the condition {condition.name!r} made it NaN or infinite.")
    return y
