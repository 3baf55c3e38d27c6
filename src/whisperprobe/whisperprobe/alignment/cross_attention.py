"""Where a Whisper looks while it reads a transcript: its cross-attention over the frames of a clip."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from audiogram.errors import InputError
from whisperprobe.probing.decode import encode

__all__ = [
    "SAMPLES_PER_POSITION",
    "Reading",
    "attention_matrix",
    "default_heads",
    "read_heads",
    "read_transcripts",
    "standardised",
]

SAMPLES_PER_POSITION = 320  # of the encoder: two hops of 10 ms at 16 kHz

Heads = Sequence[tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Reading:
    """What a model did while a transcript was read in.

    Attributes
    ----------
    weights : float32 tensor, shape (heads, tokens, positions)
        Attention of each head in the step at which each token is read; over the positions of the clip it adds to 1.
    probability : float64 tensor, shape (text tokens,)
        Of each token of the text, before it was read.
    answer : tuple of int
        The most probable token in the place of each.
    """

    weights: torch.Tensor
    probability: torch.Tensor
    answer: tuple[int, ...]


def default_heads(model: Any) -> tuple[tuple[int, int], ...]:
    """Return the heads (layer, head) that show when words are said.

    Those that the generation config names (OpenAI's models say them; `choose_alignment_heads` finds them), else all
    heads of the upper half of the decoder's layers.
    """
    named = getattr(model.generation_config, "alignment_heads", None)
    layers, heads = int(model.config.decoder_layers), int(model.config.decoder_attention_heads)
    if named:
        return check_heads(named, layers, heads)
    return tuple((layer, head) for layer in range(layers // 2, layers) for head in range(heads))


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


def read_heads(path: str | Path) -> list[list[int]]:
    """Read the heads that `save_alignment_heads` has written."""
    try:
        said = json.loads(Path(path).read_text(encoding="utf-8"))
        return [[int(layer), int(head)] for layer, head in said["alignment_heads"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read as alignment heads ({error}); it is JSON such as "
            '{"alignment_heads": [[2, 1], [3, 0]]}, as save_alignment_heads writes it.'
        ) from error


def read_transcripts(
    model: Any,
    features: torch.Tensor,
    samples: Sequence[int],
    tokens: Sequence[Sequence[int]],
    lead: int,
    heads: Heads,
    positions: int | None = None,
) -> list[Reading]:
    """Read transcripts in by one pass each over encoder and decoder, and note where the model looks.

    Parameters
    ----------
    model : WhisperForConditionalGeneration
        In evaluation mode.
    features : tensor, shape (clips, bands, frames)
        Log-mel spectrograms of whole windows.
    samples : sequence of int
        Length of each clip; what lies behind it is not looked at.
    tokens : sequence of sequence of int
        Prompt, text and end token of each clip.
    lead : int
        Tokens of the prompt.
    heads : sequence of (layer, head)
        Whose attention.
    positions : int, optional
        The encoder's first positions, of a model that was trained on so much of its window; default all.

    Returns
    -------
    list of Reading
        One per clip.
    """
    weight = model.get_output_embeddings().weight
    longest = max(map(len, tokens))
    end = tokens[0][-1]
    ids = torch.tensor([[*one, *[end] * (longest - len(one))] for one in tokens], device=weight.device)
    with torch.inference_mode(), _listening(model, heads) as looks:
        states, _ = encode(model, features, positions)
        output = model(encoder_outputs=(states,), decoder_input_ids=ids, use_cache=False)
        log_p = torch.log_softmax(output.logits.double(), dim=-1)
        found = []
        for row, (own, length) in enumerate(zip(tokens, samples, strict=True)):
            of_clip = max(1, min(length // SAMPLES_PER_POSITION, states.shape[1]))
            scores = torch.stack([looks[head][row, : len(own), :of_clip] for head in heads])
            places = slice(lead - 1, len(own) - 2)  # a token is predicted where the one before it is read
            text = ids[row, lead : len(own) - 1]
            found.append(
                Reading(
                    torch.softmax(scores.float(), dim=-1).cpu(),
                    log_p[row, places].gather(1, text[:, None])[:, 0].exp().cpu(),
                    tuple(log_p[row, places].argmax(-1).tolist()),
                )
            )
    return found


@contextmanager
def _listening(model: Any, heads: Heads) -> Iterator[dict[tuple[int, int], torch.Tensor]]:
    """Fill a dict with the scores (clips, tokens, positions), before the softmax, of some heads of every pass.

    The heads' scores are made a second time beside the model's own attention, which keeps none of them: eager
    attention would, but of all heads of all layers, for a long transcript gigabytes.
    """
    looks: dict[tuple[int, int], torch.Tensor] = {}
    handles = []
    for layer in sorted({layer for layer, _ in heads}):
        wanted = [head for at, head in heads if at == layer]

        def note(
            module: Any, args: Any, kwargs: Any, output: Any, *, layer: int = layer, wanted: Sequence[int] = wanted
        ) -> None:
            states = args[0] if args else kwargs["hidden_states"]
            keys = kwargs["key_value_states"] if "key_value_states" in kwargs else args[1]
            size = module.head_dim
            query = module.q_proj(states) * module.scaling
            key = module.k_proj(keys)
            for head in wanted:
                columns = slice(head * size, (head + 1) * size)
                looks[layer, head] = query[..., columns] @ key[..., columns].transpose(1, 2)

        attention = model.model.decoder.layers[layer].encoder_attn
        handles.append(attention.register_forward_hook(note, with_kwargs=True))
    try:
        yield looks
    finally:
        for handle in handles:
            handle.remove()


def standardised(weights: torch.Tensor, width: int) -> torch.Tensor:
    """Bring every position to mean 0 and variance 1 over the tokens, then smooth along the positions by a median.

    Parameters
    ----------
    weights : tensor, shape (..., tokens, positions)
        Attention.
    width : int
        Positions under the median, odd; clips that are shorter than half of it are left as they are.
    """
    deviation, mean = torch.std_mean(weights, dim=-2, keepdim=True, unbiased=False)
    even = (weights - mean) / deviation.clamp_min(1e-12)  # where no token looks there is nothing to tell apart
    side = width // 2
    if even.shape[-1] <= side or width == 1:
        return even
    flat = even.reshape(1, -1, even.shape[-1])
    padded = torch.nn.functional.pad(flat, (side, side), mode="reflect")
    return padded.unfold(-1, width, 1).median(dim=-1).values.reshape(even.shape)


def attention_matrix(reading: Reading, lead: int, width: int) -> torch.Tensor:
    """Return how well each token fits each position, (text tokens + 1, positions); the last row is the end token."""
    return standardised(reading.weights, width).mean(dim=0)[lead - 1 : -1]
