"""Sound of a clip as a model takes it: at its rate, no longer than its window, through a condition."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from audiogram.errors import InputError, StoppedError, WorkError
from whisperprobe.features import WindowSpec

if TYPE_CHECKING:
    from audiogram.corpus import Clip, Corpus
    from audiogram.listening import Condition

__all__ = ["at_rate", "check_unfiltered", "heard_sound", "listening_versions", "through"]


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
    return x if condition is None else through(x, window.sample_rate, condition, clip.id)


def through(x: np.ndarray[Any, Any], rate: int, condition: Condition, id: str) -> np.ndarray[Any, Any]:
    """Sound of the clip `id` as a condition makes it, float32; InputError where it makes none."""
    try:
        y = np.asarray(condition(x, rate, keys=id), dtype=np.float32)
    except (InputError, WorkError, StoppedError, MemoryError):
        raise
    except Exception as error:  # a filter may raise anything: the clip is a failure, with the reason
        raise InputError(f"the condition {condition.name!r}: {type(error).__name__}: {error}") from error
    if not np.isfinite(y).all():
        raise InputError(f"the condition {condition.name!r} made it NaN or infinite.")
    return y


def check_unfiltered(corpus: Corpus, hearing: Condition | None) -> None:
    """Raise `InputError` where a corpus that a condition has filtered would be filtered once more."""
    masked = (corpus.manifest or {}).get("condition")
    if masked and hearing is not None:
        raise InputError(
            f"{corpus.root} is filtered already (condition {masked.get('name')!r}), and condition {hearing.name!r} "
            "would filter it again. Give the unfiltered corpus, or no condition."
        )


def listening_versions(condition: Condition | None) -> dict[str, str]:
    """Return the versions that decide what is computed from sound that is heard through a condition."""
    import torch

    found = {"whisperprobe": importlib.metadata.version("whisperprobe"), "torch": str(torch.__version__)}
    if condition is not None:
        plugin = condition.versions()
        for one in (plugin, *plugin.get("parts", {}).values()):
            found[str(one["distribution"])] = str(one["version"])
    return found
