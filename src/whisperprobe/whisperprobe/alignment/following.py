"""How a Whisper's attention is followed: whose heads, on which scale, how much smoothed; and where that is written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from audiogram.errors import InputError, unknown_name
from whisperprobe.alignment.cross_attention import Reading

__all__ = ["FLOOR", "MEDIAN_WIDTH", "NAMES", "SCALINGS", "Following", "attention_matrix", "read_following", "scaled"]

SCALINGS = ("standardised", "log")
MEDIAN_WIDTH = 7  # positions of 20 ms, as in OpenAI's Whisper
FLOOR = 0.01
"""Attention below which it does not matter how much less it is."""
NAMES = {"heads": "alignment_heads", "scaling": "alignment_scaling", "median_width": "alignment_median_width"}
"""Their names in a generation config; the first is transformers' own."""


@dataclass(frozen=True)
class Following:
    """How attention is followed; None is the default of the model or of this library.

    Attributes
    ----------
    heads : tuple of (layer, head), or None
        Whose attention.
    scaling : {"standardised", "log"} or None
        See `scaled`.
    median_width : int or None
        Positions, of 20 ms each, over which it is smoothed; odd.
    """

    heads: tuple[tuple[int, int], ...] | None = None
    scaling: str | None = None
    median_width: int | None = None

    def __post_init__(self) -> None:
        if self.scaling is not None and self.scaling not in SCALINGS:
            raise unknown_name("scaling", self.scaling, SCALINGS)
        width = self.median_width
        if width is not None and (isinstance(width, bool) or not isinstance(width, int) or width < 1 or not width % 2):
            raise InputError(f"median_width is {width!r}; an odd number of positions, e.g. 7.")

    def on(self, model: Any) -> Following:
        """Fill in, for a model, what is not given: first what its generation config says, then the defaults.

        OpenAI's models name their heads; `save_alignment_heads` writes all three. Without, heads are all of the upper
        half of the decoder's layers.
        """
        settings, (layers, per_layer) = model.generation_config, decoder_shape(model)
        upper = tuple((layer, head) for layer in range(layers // 2, layers) for head in range(per_layer))
        heads = self.heads if self.heads is not None else getattr(settings, NAMES["heads"], None) or upper
        return Following(
            check_heads(heads, layers, per_layer),
            self.scaling or getattr(settings, NAMES["scaling"], None) or "standardised",
            self.median_width or getattr(settings, NAMES["median_width"], None) or MEDIAN_WIDTH,
        )


def decoder_shape(model: Any) -> tuple[int, int]:
    """Layers of a decoder, and heads in each."""
    return int(model.config.decoder_layers), int(model.config.decoder_attention_heads)


def check_heads(heads: Any, layers: int, per_layer: int) -> tuple[tuple[int, int], ...]:
    """Return pairs (layer, head) of a decoder, checked."""
    try:
        pairs = tuple((int(layer), int(head)) for layer, head in heads)
    except (TypeError, ValueError) as error:
        raise InputError(f"heads are pairs of layer and head, e.g. [[2, 1], [3, 0]], received {heads!r}.") from error
    bad = [pair for pair in pairs if not (0 <= pair[0] < layers and 0 <= pair[1] < per_layer)]
    if bad or not pairs or len(set(pairs)) != len(pairs):
        what = f"{list(bad[0])} is not among" if bad else "give each once, and one at least, of"
        raise InputError(
            f"alignment heads {[list(p) for p in pairs][:6]}: {what} this decoder's {layers} layers of {per_layer} "
            "heads, counted from 0. Do they belong to another model?"
        )
    return pairs


def read_following(path: str | Path) -> Following:
    """Read what `save_alignment_heads` has written to a file of its own."""
    try:
        said = json.loads(Path(path).read_text(encoding="utf-8"))
        heads = tuple((int(layer), int(head)) for layer, head in said[NAMES["heads"]])
        return Following(heads, said.get(NAMES["scaling"]), said.get(NAMES["median_width"]))
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} cannot be read as alignment heads ({error}); it is JSON such as "
            '{"alignment_heads": [[2, 1], [3, 0]]}, as save_alignment_heads writes it.'
        ) from error


def scaled(weights: torch.Tensor, scaling: str | None, width: int | None) -> torch.Tensor:
    """Make attention comparable between tokens, then smooth it along the positions by a median.

    Parameters
    ----------
    weights : tensor, shape (..., tokens, positions)
        Attention.
    scaling : {"standardised", "log"}
        Every position brought to mean 0 and variance 1 over the tokens, as OpenAI does; or the logarithm of attention
        and `FLOOR`, by which positions that no token looks at say nothing, where attention is sharp.
    width : int
        Positions under the median, odd; clips that are shorter than half of it are not smoothed.
    """
    if scaling == "log":
        even = torch.log(weights + FLOOR)
    else:
        deviation, mean = torch.std_mean(weights, dim=-2, keepdim=True, unbiased=False)
        even = (weights - mean) / deviation.clamp_min(1e-12)  # where no token looks there is nothing to tell apart
    width = width or MEDIAN_WIDTH
    side = width // 2
    if even.shape[-1] <= side or width == 1:
        return even
    flat = even.reshape(1, -1, even.shape[-1])
    padded = torch.nn.functional.pad(flat, (side, side), mode="reflect")
    return padded.unfold(-1, width, 1).median(dim=-1).values.reshape(even.shape)


def attention_matrix(reading: Reading, lead: int, how: Following) -> torch.Tensor:
    """Return how well each token fits each position, (text tokens + 1, positions); the last row is the end token."""
    return scaled(reading.weights, how.scaling, how.median_width).mean(dim=0)[lead - 1 : -1]
