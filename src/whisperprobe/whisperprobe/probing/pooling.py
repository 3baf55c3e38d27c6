"""One row per clip: what was predicted, how surely, and how well the ground truth was heard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from whisperprobe import measures
from whisperprobe.probing.head import Head
from whisperprobe.probing.packing import Rows
from whisperprobe.probing.vocabulary import KINDS

__all__ = ["pool_greedy", "pool_words"]

_TEXT = KINDS.index("text")


def pool_greedy(
    rows: Rows,
    columns: dict[str, np.ndarray],
    hidden: torch.Tensor,
    targets: Sequence[Sequence[int]],
    head: Head,
    n_clips: int,
) -> dict[str, np.ndarray]:
    """Pool each clip's greedy text tokens, also when there is only one; punctuation and the end token do not count.

    Parameters
    ----------
    rows : Rows
        What was scored.
    columns : dict
        `Scores.rows`.
    hidden : tensor, shape (states, d)
        From `score.hidden_states`.
    targets : per clip, sequence of int
        Tokens g of the ground truth; empty for a clip without text.
    head : Head
        Output side of the model.
    n_clips : int
        Clips in the batch.

    Returns
    -------
    dict of str to array, shape (n_clips,)
        `n_tokens` and `log_probability` (joint) to `semantic_density` of the `clips` table; NaN where a clip has no
        text token, or, for cosine and correlation with the mean E[g], no text.
    """
    kinds = head.vocabulary.kinds[rows.token_id]
    chosen = np.flatnonzero(rows.greedy & (kinds == _TEXT))
    clip = rows.clip[chosen]
    counts = np.bincount(clip, minlength=n_clips)
    out: dict[str, np.ndarray] = {"n_tokens": counts}
    mean_log = measures.clip_means(columns["log_probability"][chosen], clip, n_clips)
    out["log_probability"] = np.where(
        counts > 0, measures.clip_sums(columns["log_probability"][chosen], clip, n_clips), np.nan
    )
    out["mean_rank"] = measures.clip_means(columns["rank"][chosen], clip, n_clips)
    out["mean_probability"] = measures.clip_means(columns["probability"][chosen], clip, n_clips)
    out["geometric_mean_probability"] = np.exp(mean_log)
    out["mean_entropy"] = measures.clip_means(columns["entropy"][chosen], clip, n_clips)

    device = head.embedding.device
    states = hidden[torch.from_numpy(rows.state[chosen]).to(device)].to(head.embedding.dtype)
    mean_h = measures.clip_means(states.cpu().numpy(), clip, n_clips)
    ids = np.array([i for own in targets for i in own], dtype=np.int64)
    target_clip = np.repeat(np.arange(n_clips), [len(own) for own in targets])
    spoken = head.embedding[torch.from_numpy(ids).to(device)].cpu().numpy()
    mean_g = measures.clip_means(spoken, target_clip, n_clips)
    both = (counts > 0) & np.array([len(own) > 0 for own in targets], dtype=bool)
    for name, similarity in (
        ("cosine_similarity", measures.cosine_similarity),
        ("correlation", measures.correlation),
    ):
        out[name] = np.full(n_clips, np.nan)
        out[name][both] = similarity(mean_h[both], mean_g[both])
    out["semantic_density"] = np.full(n_clips, np.nan)
    if (counts > 0).any():
        pooled = torch.from_numpy(mean_h[counts > 0]).to(device=device, dtype=head.embedding.dtype)
        density = measures.semantic_density(pooled, head.embedding, inverse=head.inverse_norms)
        out["semantic_density"][counts > 0] = density.cpu().numpy()
    return out


def pool_words(rows: Rows, columns: dict[str, np.ndarray], n_clips: int) -> dict[str, np.ndarray]:
    """Join the forced variants of each clip into the probability of its ground truth.

    `prefix_log_probability` is ln Σ_variants Π p and `word_log_probability` the same with the mass of what may follow
    a finished word; `word_surprisal` is −log2 of the latter. Mean rank and mean entropy are those of the best variant,
    the one that adds most to `word_log_probability`.

    Returns
    -------
    dict of str to array, shape (n_clips,)
        NaN for clips without forced rows.
    """
    forced = np.flatnonzero(~rows.greedy)
    new = (np.diff(rows.clip[forced], prepend=-1) != 0) | (np.diff(rows.variant[forced], prepend=-2) != 0)
    sequence = np.cumsum(new) - 1
    n = int(sequence[-1]) + 1 if len(sequence) else 0
    log_p = measures.clip_sums(columns["log_probability"][forced], sequence, n)
    last = np.flatnonzero(np.append(new[1:], True)) if n else np.empty(0, dtype=np.int64)
    word_log_p = log_p + columns["log_word_end"][forced[last]]
    ranks = measures.clip_means(columns["rank"][forced], sequence, n)
    entropies = measures.clip_means(columns["entropy"][forced], sequence, n)

    table = np.full((2, n_clips, max(1, int(np.max(rows.variant, initial=-1)) + 1)), -np.inf)
    of = np.zeros(table.shape[1:], dtype=np.int64)
    where = (rows.clip[forced[last]], rows.variant[forced[last]])
    table[0][where], table[1][where], of[where] = log_p, word_log_p, np.arange(n)
    joint = measures.log_normaliser(table)
    spoken = np.zeros(n_clips, dtype=bool)
    spoken[where[0]] = True
    best = of[np.arange(n_clips), table[1].argmax(-1)]
    out = {
        "word_log_probability": joint[1],
        "prefix_log_probability": joint[0],
        "word_surprisal": measures.surprisal(joint[1]),
        "word_mean_rank": ranks[best] if n else np.full(n_clips, np.nan),
        "word_mean_entropy": entropies[best] if n else np.full(n_clips, np.nan),
    }
    return {name: np.where(spoken, x, np.nan) for name, x in out.items()}
