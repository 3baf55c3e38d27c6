"""SpecAugment's masks on a batch of log-mels: what was drawn for each clip, set to its mean, on any device."""

from __future__ import annotations

from collections.abc import Sequence

import torch

__all__ = ["hide"]


def hide(features: torch.Tensor, frames: Sequence[int], spans: torch.Tensor, time_masks: int) -> torch.Tensor:
    """Set stretches of time and of bands of each clip to its mean.

    Parameters
    ----------
    features : tensor, shape (clips, bands, frames)
        Log-mels.
    frames : sequence of int
        How many frames of each clip are sound; the mean is over these, and no mask reaches beyond.
    spans : tensor of int64, shape (clips, masks, 2)
        First frame or band and the one behind the last, from `Augmentation.spans`.
    time_masks : int
        How many of the masks are of time; they come first.

    Returns
    -------
    tensor, shape (clips, bands, frames)
        `features` itself is left as it is.

    Examples
    --------
    >>> x = torch.arange(6.0).reshape(1, 2, 3)
    >>> hide(x, [2], torch.tensor([[[1, 2]]]), 1).tolist()
    [[[0.0, 2.0, 2.0], [3.0, 2.0, 5.0]]]
    """
    _, bands, length = features.shape
    heard = torch.tensor(frames, device=features.device).clamp_(max=length)
    inside = torch.arange(length, device=features.device) < heard[:, None]
    in_time = _covered(spans[:, :time_masks], length) & inside
    in_bands = _covered(spans[:, time_masks:], bands)
    sums = torch.where(inside[:, None], features, 0.0).sum(dim=(1, 2))
    mean = (sums / (heard * bands)).to(features.dtype)
    hidden = in_time[:, None] | (in_bands[:, :, None] & inside[:, None])
    return torch.where(hidden, mean[:, None, None], features)


def _covered(spans: torch.Tensor, size: int) -> torch.Tensor:
    """Which of `size` places lie in one of the spans of each clip, bool (clips, size)."""
    places = torch.arange(size, device=spans.device)[None, None]
    return ((places >= spans[..., :1]) & (places < spans[..., 1:])).any(dim=1)
