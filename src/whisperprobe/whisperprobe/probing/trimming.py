"""The encoder over the first part of its window only: what is trimmed is silence behind the clip, a margin stays.

Whisper was trained on padded windows and its encoder attends to the silence too, so a trimmed run of such a model is an
approximation: `agreement` says how good a one. A model that was trained on trimmed windows hears as it has learnt.
Written by hand because transformers' encoder refuses input that is not a window long.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import dropout, gelu

__all__ = ["hidden_behind", "trimmed_encoder", "trimmed_states"]


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
    return trimmed_encoder(model.model.encoder, features, [positions] * len(features))


def trimmed_encoder(encoder: Any, features: torch.Tensor, positions: Sequence[int]) -> torch.Tensor:
    """Run an encoder over the first positions of each clip, in training as in evaluation.

    Parameters
    ----------
    encoder : WhisperEncoder
        Its dropout and layer drop are those of its own forward.
    features : tensor, shape (clips, bands, frames)
        Log-mel spectrograms, of whole windows or at least the two frames behind the longest clip's last position.
    positions : sequence of int
        Of each clip, 1 to the encoder's.

    Returns
    -------
    tensor, shape (clips, max(positions), d)
        States; those behind a clip's own positions mean nothing, and no state of its own depends on them.
    """
    longest = max(positions)
    # the last position's convolutions see two frames beyond it: silence that is there, not the zeros of an edge
    heard = features[..., : 2 * longest + 2]
    x = gelu(encoder.conv2(gelu(encoder.conv1(heard)))).transpose(1, 2)[:, :longest]
    x = dropout(x + encoder.embed_positions.weight[:longest], p=encoder.dropout, training=encoder.training)
    mask = hidden_behind(positions, x, encoder.config)
    for layer in encoder.layers:
        if not (encoder.training and encoder.layerdrop > 0 and float(torch.rand([])) < encoder.layerdrop):
            x = layer(x, mask)
    out: torch.Tensor = encoder.layer_norm(x)
    return out


def hidden_behind(positions: Sequence[int], like: torch.Tensor, config: Any) -> torch.Tensor | None:
    """Return the attention mask that hides the positions behind each clip's own; None where there are none.

    Parameters
    ----------
    positions : sequence of int
        Of each clip.
    like : tensor
        Whose device and, for attention that adds its mask, whose dtype it has.
    config : WhisperConfig
        Which attention is used: `sdpa` takes a mask of what may be seen, `eager` adds one.

    Returns
    -------
    tensor, shape (clips, 1, 1, max(positions)), or None
    """
    longest = max(positions)
    if min(positions) == longest:
        return None
    seen = _seen(tuple(positions), like.device)
    if config._attn_implementation == "sdpa":
        return seen
    return torch.zeros_like(seen, dtype=like.dtype).masked_fill_(~seen, torch.finfo(like.dtype).min)


@functools.lru_cache(maxsize=4)
def _seen(positions: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """What each clip may see, made once for all layers: (clips, 1, 1, max(positions))."""
    with torch.inference_mode(False):  # a tensor made in inference mode could not take part in training later
        own = torch.tensor(positions, device=device)[:, None]
        return (torch.arange(max(positions), device=device) < own)[:, None, None]
