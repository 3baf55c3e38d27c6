"""The encoder over the first part of its window only: what is trimmed is silence behind the clip, a margin stays.

Whisper was trained on padded windows and its encoder attends to the silence too, so a trimmed run is an approximation:
`agreement` says how good a one. Written by hand because transformers' encoder refuses input that is not a window long.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import gelu

__all__ = ["trimmed_states"]


def trimmed_states(model: Any, features: torch.Tensor, positions: int) -> torch.Tensor:
    """Return the encoder's last states over its first positions, after its final layer norm.

    Parameters
    ----------
    model : WhisperForConditionalGeneration
        In evaluation mode.
    features : tensor, shape (clips, bands, frames)
        Log-mel spectrograms of whole windows.
    positions : int
        How many positions, 1 to the encoder's; each covers two frames, 20 ms.

    Returns
    -------
    tensor, shape (clips, positions, d)
        With all positions, what the model's own encoder returns.
    """
    encoder = model.model.encoder
    # the last position's convolutions see two frames beyond it: silence that is there, not the zeros of an edge
    heard = features[..., : 2 * positions + 2]
    x = gelu(encoder.conv2(gelu(encoder.conv1(heard)))).transpose(1, 2)[:, :positions]
    x = x + encoder.embed_positions.weight[:positions]
    for layer in encoder.layers:
        x = layer(x, None)
    out: torch.Tensor = encoder.layer_norm(x)
    return out
