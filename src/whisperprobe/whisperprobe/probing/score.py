"""One teacher-forced pass over everything that is scored, and every measure of it, on the device.

Hidden states come from the packed pass; the logits of each distinct state are made once, in chunks that bound memory,
and every number of `whisperprobe.measures` is taken from them there. Nothing is done per token in Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from whisperprobe import measures
from whisperprobe.probing.decode import at_least_float32
from whisperprobe.probing.head import Head, group_logits, logits_of, pieces
from whisperprobe.probing.packing import Packed

__all__ = ["Scores", "Targets", "hidden_states", "score"]


@dataclass(frozen=True, eq=False)
class Targets:
    """Ground-truth tokens to be looked up under states, `(pairs,)` each: rows of the `ground_truth` table.

    Attributes
    ----------
    row : int64 array
        Greedy row.
    index : int64 array
        Which token of the ground truth, from 0.
    token_id : int64 array
        That token.
    """

    row: np.ndarray
    index: np.ndarray
    token_id: np.ndarray


@dataclass(eq=False)
class Scores:
    """What was measured: `rows` and `targets` hold one array per column, NumPy, in the order of their tables.

    Attributes
    ----------
    rows, targets : dict of str to array
        Columns of `tokens` and `ground_truth` that are measured; floating point in float64.
    vectors : dict of str to array
        `hidden` (float32, `(kept, d)`), `top_k_ids`, `top_k_log_probabilities` (float16), for the rows in `kept`.
    kept : int64 array
        Rows whose vectors were kept, in order.
    """

    rows: dict[str, np.ndarray]
    targets: dict[str, np.ndarray]
    vectors: dict[str, np.ndarray] = field(default_factory=dict)
    kept: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))


def hidden_states(model: Any, packed: Packed, encoder_states: torch.Tensor, cross_cache: Any) -> torch.Tensor:
    """Run the packed pass; return the states that matter, `(states, d)`, after the final layer norm.

    Parameters
    ----------
    model : WhisperForConditionalGeneration
        In evaluation mode.
    packed : Packed
        What to read.
    encoder_states : tensor, shape (clips, positions, d)
        Encoder output.
    cross_cache : transformers.DynamicCache
        Cross-attention keys and values of the decode, or empty: then they are made here.
    """
    from transformers.cache_utils import DynamicCache, EncoderDecoderCache

    device = encoder_states.device
    mask = torch.zeros(packed.visible.shape, dtype=encoder_states.dtype, device=device)
    mask.masked_fill_(~torch.from_numpy(packed.visible).to(device), torch.finfo(encoder_states.dtype).min)
    hidden = model.model.decoder(
        input_ids=torch.from_numpy(packed.input_ids).to(device),
        position_ids=torch.from_numpy(packed.position_ids).to(device),
        attention_mask=mask[:, None],
        encoder_hidden_states=encoder_states,
        past_key_values=EncoderDecoderCache(DynamicCache(), cross_cache),
        use_cache=True,
    ).last_hidden_state
    states: torch.Tensor = hidden.reshape(-1, hidden.shape[-1])[torch.from_numpy(packed.states).to(device)]
    return states


def score(
    hidden: torch.Tensor, packed: Packed, targets: Targets, head: Head, *, keep: np.ndarray, top_k: int
) -> Scores:
    """Measure every row and every target.

    Parameters
    ----------
    hidden : tensor, shape (states, d)
        From `hidden_states`.
    packed : Packed
        Whose rows are scored.
    targets : Targets
        Ground-truth tokens to look up.
    head : Head
        Output side of the model.
    keep : int64 array
        Rows whose hidden state and top k are kept.
    top_k : int
        How many tokens to keep.

    Returns
    -------
    Scores
    """
    rows, n_clips = packed.rows, len(packed.input_ids)
    device = head.embedding.device
    h = at_least_float32(hidden).to(head.embedding.dtype)
    of_rows = _Lookup(rows.state, rows.token_id, ("logit", "rank", "ties", "group_logit", "group_rank"))
    of_targets = _Lookup(rows.state[targets.row], targets.token_id, ("logit", "rank"))

    k = min(top_k, head.embedding.shape[0])
    kept_states, kept_of = np.unique(rows.state[keep], return_inverse=True)
    per_state: dict[str, list[torch.Tensor]] = {}
    top: list[tuple[torch.Tensor, torch.Tensor]] = []
    for start, stop, z in logits_of(h, head):
        log_norm = measures.log_normaliser(z)
        density = measures.semantic_density(h[start:stop], head.embedding, logits=z, inverse=head.inverse_norms)
        by_group = group_logits(z, head)
        for name, value in {
            "entropy": measures.entropy(z, log_norm),
            "semantic_density": density,
            "log_word_end": measures.log_mass(z, head.word_ends, log_norm),
            "normalised_entropy": measures.entropy(by_group, log_norm),
            "log_norm": log_norm,
            "log_processed": _log_processed(z, max(0, min(stop, n_clips) - start), head, log_norm),
        }.items():
            per_state.setdefault(name, []).append(value)
        low, high = np.searchsorted(kept_states, [start, stop])
        if k and high > low:
            wanted = torch.from_numpy(kept_states[low:high] - start).to(device)
            best = z[wanted].topk(k, dim=-1)
            top.append((best.indices, best.values - log_norm[wanted, None]))
        for at, token in of_rows.within(start, stop, head):
            z_at, group, grouped_at = z[at], head.groups[token], by_group[at]
            of_rows.note(
                logit=z_at.gather(1, token[:, None])[:, 0],
                rank=measures.rank(z_at, token),
                ties=measures.ties(z_at, token),
                group_logit=grouped_at.gather(1, group[:, None])[:, 0],
                group_rank=measures.rank(grouped_at, group),
            )
        for at, token in of_targets.within(start, stop, head):
            z_at = z[at]
            of_targets.note(logit=z_at.gather(1, token[:, None])[:, 0], rank=measures.rank(z_at, token))

    states = {name: torch.cat(parts).cpu().numpy() for name, parts in per_state.items()}
    out = Scores(
        _row_columns(packed, head, states, of_rows.columns()),
        _target_columns(
            states["log_norm"], of_targets.state, of_targets.columns(), _similarities(h, packed, targets, head)
        ),
        kept=keep,
    )
    out.vectors = _vectors(h, top, kept_states, kept_of, k)
    return out


class _Lookup:
    """Tokens to be looked up under states, in whatever order; the states come by once, ascending."""

    def __init__(self, state: np.ndarray, token: np.ndarray, names: Sequence[str]) -> None:
        self.state = state
        self._order = np.argsort(state, kind="stable")
        self._state, self._token = state[self._order], token[self._order]
        self._found: dict[str, list[torch.Tensor]] = {name: [] for name in names}

    def within(self, start: int, stop: int, head: Head) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield (state less `start`, token) of those that fall to these states, in pieces."""
        low, high = np.searchsorted(self._state, [start, stop])
        device = head.embedding.device
        at = torch.from_numpy(self._state[low:high] - start).to(device)
        token = torch.from_numpy(self._token[low:high]).to(device)
        for a, b in pieces(len(at), head.embedding):
            yield at[a:b], token[a:b]

    def note(self, **values: torch.Tensor) -> None:
        """Keep what was found."""
        for name, value in values.items():
            self._found[name].append(value)

    def columns(self) -> dict[str, np.ndarray]:
        """What was found, in the order that was given."""
        out = {name: np.empty(len(self._order)) for name in self._found}
        for name, parts in self._found.items():
            if parts:
                found = torch.cat(parts).cpu().numpy()
                out[name] = np.empty_like(found)
                out[name][self._order] = found
        return out


def _log_processed(z: torch.Tensor, n_begin: int, head: Head, log_norm: torch.Tensor) -> torch.Tensor:
    """Log-normaliser after suppression; the first `n_begin` states are those that predict a first token."""
    out = log_norm.clone()
    if n_begin and head.allowed_at_begin is not None:
        out[:n_begin] = measures.log_normaliser(z[:n_begin].index_select(-1, head.allowed_at_begin))
    if n_begin < len(z) and head.allowed is not None:
        out[n_begin:] = measures.log_normaliser(z[n_begin:].index_select(-1, head.allowed))
    return out


def _similarities(h: torch.Tensor, packed: Packed, targets: Targets, head: Head) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and correlation of h_t with E[g_j], per target."""
    state = torch.from_numpy(packed.rows.state[targets.row]).to(h.device)
    token = torch.from_numpy(targets.token_id).to(h.device)
    cosine, correlation = [], []
    for a in range(0, len(state), 1 << 14):
        left, right = h[state[a : a + (1 << 14)]], head.embedding[token[a : a + (1 << 14)]]
        cosine.append(measures.cosine_similarity(left, right))
        correlation.append(measures.correlation(left, right))
    if not cosine:
        return np.empty(0), np.empty(0)
    return torch.cat(cosine).cpu().numpy(), torch.cat(correlation).cpu().numpy()


def _row_columns(
    packed: Packed, head: Head, states: dict[str, np.ndarray], pairs: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The measured columns of `tokens`, in float64 from here on."""
    rows, wide = packed.rows, np.float64
    states = {name: x.astype(wide) for name, x in states.items()}
    logit, group_logit = pairs["logit"].astype(wide), pairs["group_logit"].astype(wide)
    log_p = logit - states["log_norm"][rows.state]
    processed = logit - states["log_processed"][rows.state]
    for suppressed, where in (
        (head.suppressed, rows.state >= len(packed.input_ids)),
        (head.suppressed_at_begin, rows.state < len(packed.input_ids)),  # states of the prompts come first
    ):
        if suppressed is not None:
            processed[where & suppressed.cpu().numpy()[rows.token_id]] = -np.inf
    has_next = rows.next_state >= 0
    return {
        "log_probability": log_p,
        "processed_log_probability": processed,
        "probability": np.exp(log_p),
        "surprisal": measures.surprisal(log_p),
        "rank": pairs["rank"].astype(np.int64),
        "ties": pairs["ties"].astype(np.int64),
        "entropy": states["entropy"][rows.state],
        "semantic_density": states["semantic_density"][rows.state],
        "normalised_probability": np.exp(group_logit - states["log_norm"][rows.state]),
        "normalised_rank": pairs["group_rank"].astype(np.int64),
        "normalised_entropy": states["normalised_entropy"][rows.state],
        "log_word_end": np.where(has_next, states["log_word_end"][rows.next_state], np.nan),
    }


def _target_columns(
    log_norm: np.ndarray, state: np.ndarray, pairs: dict[str, np.ndarray], similarity: tuple[np.ndarray, np.ndarray]
) -> dict[str, np.ndarray]:
    return {
        "rank": pairs["rank"].astype(np.int64),
        "probability": np.exp(pairs["logit"].astype(np.float64) - log_norm[state].astype(np.float64)),
        "cosine_similarity": similarity[0].astype(np.float64),
        "correlation": similarity[1].astype(np.float64),
    }


def _vectors(
    h: torch.Tensor,
    top: list[tuple[torch.Tensor, torch.Tensor]],
    kept_states: np.ndarray,
    kept_of: np.ndarray,
    k: int,
) -> dict[str, np.ndarray]:
    """Hidden states and top k of the kept rows, in their order."""
    hidden = h[torch.from_numpy(kept_states).to(h.device)].float().cpu().numpy()[kept_of]
    if top:
        ids = torch.cat([i for i, _ in top]).cpu().numpy()[kept_of]
        log_p = torch.cat([p for _, p in top]).cpu().numpy()[kept_of]
    else:
        ids, log_p = np.empty((len(kept_of), k), dtype=np.int64), np.empty((len(kept_of), k), dtype=np.float32)
    return {"hidden": hidden, "top_k_ids": ids, "top_k_log_probabilities": log_p.astype(np.float16)}
