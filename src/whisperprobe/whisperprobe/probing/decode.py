"""Batched greedy decoding that keeps nothing but token ids and the cross-attention cache.

It is what `generate` does for short-form Whisper, without the bookkeeping: the same prompt, the same suppression, the
same arg max. `generate` itself would switch to long-form decoding on over-length input, so it is not used; callers
refuse such input before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from whisperprobe.probing.timestamps import TimestampRules
from whisperprobe.probing.trimming import trimmed_states

__all__ = ["Decoded", "Suppression", "at_least_float32", "encode", "greedy_decode", "room_for_text"]


@dataclass(frozen=True)
class Suppression:
    """Which tokens a decode may not choose.

    Attributes
    ----------
    always : tuple of int
        At every position (`suppress_tokens` of the generation config).
    at_begin : tuple of int
        At the first position too (`begin_suppress_tokens`).
    """

    always: tuple[int, ...] = ()
    at_begin: tuple[int, ...] = ()

    @classmethod
    def of(cls, generation_config: Any, size: int) -> Suppression:
        """Read the suppression of a checkpoint.

        Ids outside the vocabulary can never be chosen and are left out: `WhisperConfig` names two of OpenAI's by
        default, whatever the vocabulary. The prompt is all that is forced: `forced_decoder_ids`, the older way to
        write it, is superseded by it, as in transformers.
        """
        lists = {}
        for name in ("suppress_tokens", "begin_suppress_tokens"):
            ids = {int(i) for i in getattr(generation_config, name, None) or ()}
            lists[name] = tuple(sorted(i for i in ids if 0 <= i < size))
        return cls(
            lists["suppress_tokens"], tuple(sorted({*lists["suppress_tokens"], *lists["begin_suppress_tokens"]}))
        )

    def mask(self, size: int, *, at_begin: bool, device: Any) -> torch.Tensor | None:
        """Return which tokens are suppressed, bool `(V,)`, or None where there are none."""
        ids = self.at_begin if at_begin else self.always
        if not ids:
            return None
        out = torch.zeros(size, dtype=torch.bool, device=device)
        out[list(ids)] = True
        return out


@dataclass(frozen=True)
class Decoded:
    """A decoded batch.

    Attributes
    ----------
    token_ids : tuple of tuple of int
        Per clip, without the prompt; the clip's own first end token is included and nothing after it.
    ended : tuple of bool
        Whether the end token came before the limit.
    processed : tuple of tuple of float, or None
        With timestamps: ln p of every token under suppression and the rules of timestamps.
    """

    token_ids: tuple[tuple[int, ...], ...]
    ended: tuple[bool, ...]
    processed: tuple[tuple[float, ...], ...] | None = None


def at_least_float32(x: torch.Tensor) -> torch.Tensor:
    """Widen half precision; float32 and float64 stay."""
    return x.float() if x.element_size() < 4 else x


def room_for_text(model: Any, prompt: list[int]) -> int:
    """Return how many tokens the decoder's positions leave for text behind the prompt."""
    return int(model.config.max_target_positions) - len(prompt)


def encode(model: Any, features: torch.Tensor, positions: int | None = None) -> tuple[torch.Tensor, Any]:
    """Run the encoder once, over its first `positions` or all of them.

    Returns
    -------
    tensor, shape (clips, positions, d)
        Its last states.
    transformers.DynamicCache
        A fresh cross-attention cache.
    """
    from transformers.cache_utils import DynamicCache

    weight = model.get_output_embeddings().weight
    features = features.to(device=weight.device, dtype=weight.dtype)
    if positions is None:
        return model.model.encoder(features).last_hidden_state, DynamicCache()
    return trimmed_states(model, features, positions), DynamicCache()


def greedy_decode(
    model: Any,
    states: torch.Tensor,
    cross_cache: Any,
    prompt: list[int],
    suppression: Suppression,
    *,
    end_id: int,
    max_new_tokens: int,
    rules: TimestampRules | None = None,
) -> Decoded:
    """Decode every clip of a batch greedily.

    Parameters
    ----------
    model : WhisperForConditionalGeneration
        In evaluation mode.
    states : tensor, shape (clips, positions, d)
        Encoder output.
    cross_cache : transformers.DynamicCache
        Filled with the cross-attention's keys and values, for use by the scoring pass.
    prompt : list of int
        The same for every clip.
    suppression : Suppression
        Tokens that may not be chosen.
    end_id : int
        End token; it is the padding token too, so a row is over at its *first* end token.
    max_new_tokens : int
        Longest output, end token included.
    rules : TimestampRules, optional
        With timestamps: what may follow what.

    Returns
    -------
    Decoded
    """
    from transformers.cache_utils import DynamicCache, EncoderDecoderCache

    n = states.shape[0]
    limit = min(max_new_tokens, room_for_text(model, prompt))
    cache = EncoderDecoderCache(DynamicCache(), cross_cache)
    suppressed = torch.tensor(suppression.at_begin, dtype=torch.int64, device=states.device)
    later = torch.tensor(suppression.always, dtype=torch.int64, device=states.device)
    step = torch.tensor(prompt, device=states.device).expand(n, -1)
    finished = torch.zeros(n, dtype=torch.bool, device=states.device)
    chosen: list[torch.Tensor] = []
    processed: list[torch.Tensor] = []
    while len(chosen) < limit:
        hidden = model.model.decoder(
            input_ids=step, encoder_hidden_states=states, past_key_values=cache, use_cache=True
        ).last_hidden_state[:, -1]
        logits = at_least_float32(model.get_output_embeddings()(hidden)).index_fill_(1, suppressed, -torch.inf)
        suppressed = later
        if rules is not None:
            logits = rules(torch.stack(chosen, 1) if chosen else step[:, :0], logits)
        token = logits.argmax(-1)
        if rules is not None:
            processed.append(logits.amax(-1) - logits.logsumexp(-1))
        token = torch.where(finished, end_id, token)
        chosen.append(token)
        finished |= token == end_id
        if bool(finished.all()):
            break
        step = token[:, None]
    ids = torch.stack(chosen, 1).cpu().numpy()
    ends = ids == end_id
    lengths = [int(row.argmax()) + 1 if row.any() else len(row) for row in ends]
    rows = tuple(tuple(row[:length].tolist()) for row, length in zip(ids, lengths, strict=True))
    ended = tuple(bool(row.any()) for row in ends)
    if rules is None:
        return Decoded(rows, ended)
    log_p = torch.stack(processed, 1).double().cpu().numpy()
    return Decoded(rows, ended, tuple(tuple(p[: len(own)].tolist()) for p, own in zip(log_p, rows, strict=True)))
