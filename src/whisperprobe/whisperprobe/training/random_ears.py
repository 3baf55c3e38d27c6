"""Each clip of a batch through an ear of its own, drawn at random: what `ears` of `Augmentation` does."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch

from whisperprobe.features import WindowSpec

__all__ = ["through_ears"]

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
