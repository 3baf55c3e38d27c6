"""What is handed to a probe in memory: waveforms, texts and names, checked before any model runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from audiogram.errors import InputError
from whisperprobe.features import WindowSpec

__all__ = ["checked_waveform", "named_clips"]


def named_clips(
    waveforms: Any, texts: Sequence[str | None] | None, ids: Sequence[str] | None
) -> tuple[list[str], list[Any], list[str | None]]:
    """Return names, waveforms and texts, one of each per clip; a single waveform is one clip.

    Raises
    ------
    InputError
        Their numbers differ, a text is none or one string for several clips, or a name is given twice.
    """
    single = getattr(waveforms, "ndim", None) == 1
    clips = [waveforms] if single else list(waveforms)
    if single and isinstance(texts, str):
        texts = [texts]
    names = [str(i) for i in range(len(clips))] if ids is None else [str(i) for i in ids]
    said: list[Any] = [None] * len(clips) if texts is None else list(texts)
    if isinstance(texts, str):
        raise InputError(f"texts is one string, {texts[:40]!r}, for several waveforms; give a list, one text each.")
    if not len(clips) == len(names) == len(said):
        raise InputError(
            f"{len(clips)} waveforms, {len(said)} texts and {len(names)} ids were given; give one of each per clip."
        )
    if len(set(names)) != len(names):
        raise InputError("ids must name each clip once; two of them are equal.")
    return names, clips, [_text(text, name) for text, name in zip(said, names, strict=True)]


def _text(text: Any, name: str) -> str | None:
    """A text, or None; a missing value of a pandas column is none."""
    if isinstance(text, str):
        return str(text)
    if text is None or (isinstance(text, float) and math.isnan(text)) or type(text).__name__ == "NAType":
        return None
    raise InputError(f"{name}: the text is {text!r}; give a string, or None where nothing is known to be said.")


def checked_waveform(
    waveform: Any, sample_rate: int, window: WindowSpec, *, name: str, any_length: bool = False
) -> np.ndarray:
    """Return a clip as float32 at the model's rate, no longer than its window unless of `any_length`.

    Raises
    ------
    InputError
        The sound is empty, not mono, not finite or longer than the window.
    """
    x = np.asarray(waveform.detach().cpu() if isinstance(waveform, torch.Tensor) else waveform)
    if x.ndim != 1 or not np.issubdtype(x.dtype, np.floating):
        raise InputError(f"{name}: expected mono floating-point sound (samples,), received {x.dtype} {x.shape}.")
    if len(x) == 0:
        raise InputError(f"{name}: the sound is empty (0 samples).")
    if not np.isfinite(x).all():
        raise InputError(f"{name}: the sound holds NaN or infinite samples.")
    x = x.astype(np.float32, copy=False)
    if sample_rate != window.sample_rate:
        from audiogram import sound

        x = sound.resample(x, sample_rate, window.sample_rate)
    if len(x) > window.n_samples and not any_length:
        raise InputError(
            f"{name}: {len(x) / window.sample_rate:.2f} s of sound do not fit the model's window of "
            f"{window.seconds:g} s. Cut the clip, use a model with a longer window, or have it heard in windows "
            "(long_audio='windows', --long-audio windows)."
        )
    return x
