"""Beam search: the N best answers to a clip, over the cross-attention cache of the decode.

It gives what transformers' `generate(num_beams=N, num_return_sequences=N)` gives with its defaults. That is not used
because Whisper's own goes over to long-form decoding on long input, and the generic one copies the cross-attention's
keys and values N times; here the beams of a clip are branches of one tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from whisperprobe.probing.decode import Suppression, at_least_float32, room_for_text
from whisperprobe.probing.head import Head
from whisperprobe.probing.timestamps import TimestampRules
from whisperprobe.probing.tree import TokenTree

__all__ = ["Alternative", "n_best"]


@dataclass(frozen=True)
class Alternative:
    """One answer to a clip.

    Attributes
    ----------
    token_ids : tuple of int
        Without the prompt, end token included.
    log_probability : float
        Σ ln p of all its tokens, before suppression.
    score : float
        The same per token: what answers are ordered by.
    """

    token_ids: tuple[int, ...]
    log_probability: float
    score: float


@dataclass
class _Beams:
    """Answers side by side, arrays `(clips, beams)`; `ids` is `(clips, beams, tokens)`, `length` counts them."""

    log_p: np.ndarray
    ids: np.ndarray
    length: np.ndarray

    @property
    def score(self) -> np.ndarray:
        return np.asarray(self.log_p / np.maximum(self.length, 1))

    def best(self, other: _Beams, n: int) -> _Beams:
        """Return the best `n` of these and others; of equals those that are here first."""
        log_p, length = np.concatenate([self.log_p, other.log_p], 1), np.concatenate([self.length, other.length], 1)
        width = other.ids.shape[2] - self.ids.shape[2]
        ids = np.concatenate([np.pad(self.ids, ((0, 0), (0, 0), (0, width))), other.ids], 1)
        order = np.argsort(-(log_p / np.maximum(length, 1)), axis=1, kind="stable")[:, :n]
        take = np.take_along_axis
        return _Beams(take(log_p, order, 1), take(ids, order[..., None], 1), take(length, order, 1))


def n_best(
    model: Any,
    states: torch.Tensor,
    cross_cache: Any,
    prompt: Sequence[int],
    suppression: Suppression,
    head: Head,
    *,
    end_id: int,
    max_new_tokens: int,
    n: int,
    rules: TimestampRules | None = None,
) -> list[list[Alternative]]:
    """Return the best `n` answers to every clip, best first.

    Parameters
    ----------
    model, states, cross_cache, prompt
        As for `TokenTree`.
    suppression : Suppression
        Tokens that may not be chosen.
    head : Head
        Output side of the model.
    end_id : int
        End token.
    max_new_tokens : int
        Longest answer, end token included.
    n : int
        Width of the beam, at least 1 and at most half the vocabulary.
    rules : TimestampRules, optional
        With timestamps: what may follow what.

    Returns
    -------
    per clip, list of Alternative
        `n` of them, fewer only where the vocabulary allows no more.
    """
    tree = TokenTree(model, states, cross_cache, prompt)
    clips, size, device = len(states), len(head.embedding), states.device
    limit = min(max_new_tokens, room_for_text(model, list(prompt)))
    suppressed = suppression.mask(size, at_begin=True, device=device)
    later = suppression.mask(size, at_begin=False, device=device)
    none = np.full((clips, n), -np.inf)
    done = _Beams(none, np.zeros((clips, n, 0), np.int64), np.zeros((clips, n), np.int64))
    hidden, running = tree.root[:, None], np.zeros((clips, 1))
    ids, slots = np.zeros((clips, 1, 0), np.int64), np.full((clips, 1), -1)
    improving = np.ones(clips, dtype=bool)
    for length in range(1, limit + 1):
        z = at_least_float32(hidden).to(head.embedding.dtype) @ head.embedding.T
        log_p = z.log_softmax(-1)
        if suppressed is not None:
            log_p = log_p.masked_fill(suppressed, -torch.inf)
        suppressed = later
        if rules is not None:
            read = torch.from_numpy(ids.reshape(ids.shape[0] * ids.shape[1], -1 if length > 1 else 0)).to(device)
            log_p = rules(read, log_p.flatten(0, 1)).view_as(log_p)
        log_p = log_p + torch.from_numpy(running).to(log_p)[..., None]
        top = log_p.flatten(1).topk(min(2 * n, log_p[0].numel()))
        value, index = top.values.double().cpu().numpy(), top.indices.cpu().numpy()
        beam, token = index // size, index % size
        grown = np.concatenate([np.take_along_axis(ids, beam[..., None], 1), token[..., None]], 2)
        over = (token == end_id) | (length == limit)
        # an answer is complete only if it is among the best n of its step; the other n are in reserve
        ending = np.where((over & (np.arange(over.shape[1]) < n)) & improving[:, None], value, -np.inf)
        done = done.best(_Beams(ending, grown, np.full(over.shape, length)), n)
        order = np.argsort(np.where(over, np.inf, -value), axis=1, kind="stable")[:, :n]
        running = np.take_along_axis(np.where(over, -np.inf, value), order, 1)
        ids = np.take_along_axis(grown, order[..., None], 1)
        above = np.take_along_axis(np.take_along_axis(slots, beam, 1), order, 1)
        improving &= running.max(1) / length > done.score.min(1)
        if length == limit or not improving.any():
            break
        slots = np.broadcast_to(len(tree) + np.arange(order.shape[1]), order.shape)
        hidden = tree.feed(ids[..., -1], above)
    return [
        [
            Alternative(tuple(done.ids[c, b, : done.length[c, b]].tolist()), float(done.log_p[c, b]), float(score))
            for b, score in enumerate(own)
            if np.isfinite(score)
        ]
        for c, own in enumerate(done.score)
    ]
