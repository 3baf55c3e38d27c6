"""Where a Whisper looks while it reads a transcript: its cross-attention over the frames of a clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from whisperprobe.probing.decode import encode

__all__ = ["SAMPLES_PER_POSITION", "Reading", "read_transcripts"]

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
