"""Token sequences that share prefixes, each prefix read by the decoder once.

A tree grows behind the prompt: every token that is fed names the token it follows, and a mask lets it see the prompt
and its own path only. Keys and values of what was read stay in the cache, those of the cross-attention are the
decode's own and are shared by all branches of a clip, where `generate` would copy them for every beam.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

__all__ = ["TokenTree", "cache_of_clips"]


class TokenTree:
    """A tree of tokens per clip, or one tree that all clips share.

    Parameters
    ----------
    model : WhisperForConditionalGeneration
        In evaluation mode.
    states : tensor, shape (clips, positions, d)
        Encoder output.
    cross_cache : transformers.DynamicCache
        Cross-attention keys and values of these clips, or empty: then they are made here.
    prompt : sequence of int
        The root, the same for every clip.

    Attributes
    ----------
    root : tensor, shape (clips, d)
        State that predicts the first token, after the final layer norm.
    """

    def __init__(self, model: Any, states: torch.Tensor, cross_cache: Any, prompt: Sequence[int]) -> None:
        from transformers.cache_utils import DynamicCache, EncoderDecoderCache

        self._decoder, self._states, self._n_prompt = model.model.decoder, states, len(prompt)
        self._cache = EncoderDecoderCache(DynamicCache(), cross_cache)
        self._parents = np.empty((1, 0), dtype=np.int64)
        ids = torch.tensor(list(prompt), device=states.device).expand(len(states), -1)
        self.root: torch.Tensor = self._decoder(
            input_ids=ids, encoder_hidden_states=states, past_key_values=self._cache, use_cache=True
        ).last_hidden_state[:, -1]

    def __len__(self) -> int:
        return self._parents.shape[1]

    def clear(self) -> None:
        """Forget everything but the prompt."""
        if len(self):
            self._cache.self_attention_cache.crop(-len(self))
        self._parents = np.empty((1, 0), dtype=np.int64)

    def feed(self, tokens: np.ndarray, parents: np.ndarray) -> torch.Tensor:
        """Read tokens, each behind the one it follows.

        Parameters
        ----------
        tokens : int64 array, shape (trees, new)
            One tree per clip, or one tree for all; the same number for every feed since `clear`.
        parents : int64 array, shape (trees, new)
            Which token each follows: numbers count all tokens fed since `clear`, in order, and a token may follow an
            earlier one of the same call; −1 is the prompt.

        Returns
        -------
        tensor, shape (clips, new, d)
            State after each token, after the final layer norm.
        """
        n_trees, n_new = tokens.shape
        known = len(self)
        self._parents = np.concatenate([np.broadcast_to(self._parents, (n_trees, known)), parents], axis=1)
        # walk from every new token to the prompt: column 0 of `seen` is where the walks that have ended stay
        seen = np.zeros((n_trees, n_new, 1 + known + n_new), dtype=bool)
        tree, column = np.arange(n_trees)[:, None], np.arange(n_new)[None]
        at = np.broadcast_to(known + column, tokens.shape)
        position = np.full(tokens.shape, self._n_prompt - 1, dtype=np.int64)
        while (at >= 0).any():
            seen[tree, column, at + 1] = True
            position += at >= 0
            at = np.where(at >= 0, self._parents[tree, at], -1)
        device, dtype = self._states.device, self._states.dtype
        hidden = torch.from_numpy(~seen[:, None, :, 1:]).to(device)
        mask = torch.zeros((n_trees, 1, n_new, self._n_prompt + known + n_new), dtype=dtype, device=device)
        mask[..., self._n_prompt :].masked_fill_(hidden, torch.finfo(dtype).min)
        shape = (len(self._states), n_new)
        out: torch.Tensor = self._decoder(
            input_ids=torch.from_numpy(np.ascontiguousarray(tokens)).to(device).expand(shape),
            position_ids=torch.from_numpy(position).to(device).expand(shape),
            attention_mask=mask.expand(len(self._states), -1, -1, -1),
            encoder_hidden_states=self._states,
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state
        return out


def cache_of_clips(cross_cache: Any, start: int, stop: int) -> Any:
    """Return the cross-attention cache of some clips of a batch; of an empty cache an empty one."""
    from transformers.cache_utils import DynamicCache

    out = DynamicCache()
    for number, layer in enumerate(cross_cache.layers):
        out.update(layer.keys[start:stop], layer.values[start:stop], number)
    return out
