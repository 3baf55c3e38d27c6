"""What is done to the sound of a batch on the model's device: a random ear for each clip, and the run's condition."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from audiogram.errors import InputError
from whisperprobe.features import WindowSpec

if TYPE_CHECKING:
    from audiogram import Condition

__all__ = ["filtered", "through_ears"]

_N_FFT = 2048


def through_ears(
    sound: torch.Tensor, samples: Sequence[int], thresholds: torch.Tensor, source: str, window: WindowSpec
) -> torch.Tensor:
    """Filter every clip by the thresholds of its own ear, at the RMS that it had.

    Parameters
    ----------
    sound : tensor, shape (clips, samples)
        Zero behind each clip.
    samples : sequence of int
        Lengths of the clips.
    thresholds : tensor, shape (clips, frequencies)
        dB HL, at the frequencies that `audiogram.random_audiogram` draws from that source.
    source : {"iso7029", "bisgaard"}
        Where they were drawn from.
    window : WindowSpec
        Whose sample rate it is.

    Returns
    -------
    tensor, shape (clips, samples)
        Zero behind each clip, as before. What a clip becomes does not depend on the others.
    """
    module = _module(source, window.sample_rate).to(sound.device)
    # a window of silence behind the longest: every frame that touches a clip is there whatever the batch
    padded = torch.nn.functional.pad(sound, (0, _N_FFT))
    heard: torch.Tensor = module(padded, thresholds)[:, : sound.shape[1]]
    own = torch.arange(sound.shape[1], device=sound.device) < torch.tensor(samples, device=sound.device)[:, None]
    heard = torch.where(own, heard, 0.0)
    before, after = (one.square().sum(dim=1, keepdim=True).sqrt() for one in (sound, heard))
    return heard * torch.where(after > 0, before / after, 1.0)


@functools.lru_cache(maxsize=8)
def _module(source: Any, rate: int) -> Any:
    """The filter, without thresholds of its own that matter; its frequencies are those of the source."""
    from audiogram import Audiogram, get_filter, random_audiogram

    grid = random_audiogram(0, source).frequencies
    sloping = Audiogram(grid, [float(i) for i in range(len(grid))])  # one with equal thresholds would be a gain alone
    return get_filter("attenuation")(sloping, sample_rate=rate, n_fft=_N_FFT).module()


def filtered(rows: list[torch.Tensor], condition: Condition, rate: int, ids: Sequence[str]) -> list[torch.Tensor]:
    """Hear clips through a condition, each at its own length: what is behind a clip is no part of it.

    Parameters
    ----------
    rows : list of tensor, each of shape (samples,)
        Sound; on the CPU the filter's NumPy path hears it, on another device its torch path.
    condition : Condition
        Whose noise is drawn by the clip's id, as in a masked corpus: both ways of filtering hear the same sound.
    rate : int
        Hz.
    ids : sequence of str
        Of the clips.

    Returns
    -------
    list of tensor
        Float32, shapes and device of `rows`.
    """
    alike: dict[int, list[int]] = {}
    for k, row in enumerate(rows):
        alike.setdefault(len(row), []).append(k)
    heard = list(rows)
    for members in alike.values():
        x: Any = torch.stack([rows[k] for k in members])
        on_cpu = x.device.type == "cpu"
        y = condition(x.numpy() if on_cpu else x, rate, keys=[ids[k] for k in members])
        found = torch.from_numpy(np.asarray(y, dtype=np.float32)) if on_cpu else y.float()
        if not bool(torch.isfinite(found).all()):
            bad = next(ids[k] for k, one in zip(members, found, strict=True) if not bool(torch.isfinite(one).all()))
            raise InputError(f"clip {bad!r}: the condition {condition.name!r} made it NaN or infinite.")
        for k, one in zip(members, found, strict=True):
            heard[k] = one
    return heard
