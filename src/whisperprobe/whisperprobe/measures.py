"""Each number of a probe, defined once, for NumPy arrays and torch tensors alike.

Shapes: `z` are logits, `(..., V)` over the whole vocabulary; `ids` are token ids that broadcast with the leading
axes, `(...)`; `h` are decoder states, `(..., d)`; `E` is the output embedding, `(V, d)`. Logarithms are natural
and entropies in nats; surprisal is in bits. A function returns the kind of array it was given, on its device and in
its precision; it never lowers the precision, and half precision should be widened by the caller.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np

__all__ = [
    "clip_means",
    "clip_sums",
    "correlation",
    "cosine_similarity",
    "entropy",
    "group_embeddings",
    "inverse_norms",
    "log_mass",
    "log_normaliser",
    "log_probability",
    "rank",
    "semantic_density",
    "surprisal",
    "ties",
]

Array = Any
"""A NumPy array or a torch tensor."""

DENSITY_NEIGHBOURS = 10
"""Rows of the embedding that semantic density averages over."""

_LN2 = math.log(2.0)


def _namespace(x: Array) -> ModuleType:
    """Return torch for a tensor, else NumPy; torch is looked at only where the caller already uses it."""
    if type(x).__module__.partition(".")[0] == "torch":
        import torch

        return torch
    return np


def _take(z: Array, ids: Array) -> Array:
    """Pick one entry of the last axis for every leading position: `z[..., ids]`."""
    xp = _namespace(z)
    if xp is np:
        return np.take_along_axis(z, np.asarray(ids)[..., None], axis=-1)[..., 0]
    return z.gather(-1, ids[..., None])[..., 0]


def log_normaliser(z: Array) -> Array:
    """Return ln Σ_v exp z_v, `(...)`: what is taken from a logit to make it a log-probability.

    Examples
    --------
    >>> log_normaliser(np.zeros(4)) == np.log(4)
    np.True_
    """
    xp = _namespace(z)
    if xp is not np:
        return z.logsumexp(-1)
    peak = z.max(-1, keepdims=True, initial=-np.inf)
    peak = np.where(np.isfinite(peak), peak, 0.0)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(z - peak).sum(-1)) + peak[..., 0]


def log_probability(z: Array, ids: Array, log_norm: Array | None = None) -> Array:
    """Return ln p(ids), `(...)`, of p = softmax(z).

    Parameters
    ----------
    z : array, shape (..., V)
        Logits.
    ids : integer array, shape (...)
        Token ids, 0 to V - 1.
    log_norm : array, shape (...), optional
        `log_normaliser(z)` where it is known already.

    Examples
    --------
    >>> np.exp(log_probability(np.zeros(4), np.array(1)))
    np.float64(0.25)
    """
    return _take(z, ids) - (log_normaliser(z) if log_norm is None else log_norm)


def surprisal(log_p: Array) -> Array:
    """Return −log2 p in bits, from ln p.

    Examples
    --------
    >>> surprisal(np.log(0.25))
    np.float64(2.0)
    """
    return -log_p / _LN2


def rank(z: Array, ids: Array) -> Array:
    """Return 1 + #{v : z_v > z_ids}, `(...)`, int64: 1 is the most probable.

    Examples
    --------
    >>> int(rank(np.array([3.0, 1.0, 2.0]), np.array(2)))
    2
    """
    return 1 + _count(z, ">", _take(z, ids)[..., None])


def ties(z: Array, ids: Array) -> Array:
    """Return how many *other* entries have exactly the same logit, `(...)`, int64.

    Examples
    --------
    >>> int(ties(np.array([3.0, 1.0, 3.0]), np.array(2)))
    1
    """
    return _count(z, "==", _take(z, ids)[..., None]) - 1


def _count(z: Array, comparison: str, x: Array) -> Array:
    """Count the entries of the last axis that are greater than, or equal to, `x`, `(..., 1)`; int64."""
    xp = _namespace(z)
    if xp is np:
        return (z > x if comparison == ">" else z == x).sum(-1)
    # summed as float32, exact up to 2**24: torch's sums of truth values are five times as slow on a CPU
    hits = xp.empty(z.shape, dtype=xp.float32, device=z.device)
    return (xp.gt if comparison == ">" else xp.eq)(z, x, out=hits).sum(-1).long()


def entropy(z: Array, log_norm: Array | None = None) -> Array:
    """Return −Σ_v p ln p in nats, `(...)`, 0 to ln V; a logit of −inf counts as p = 0.

    Examples
    --------
    >>> round(float(entropy(np.zeros(8)) / np.log(2)), 12)
    3.0
    """
    xp = _namespace(z)
    log_p = z - (log_normaliser(z) if log_norm is None else log_norm)[..., None]
    p = xp.exp(log_p)
    if xp is np:
        return -(p * np.where(p > 0, log_p, 0.0)).sum(-1)
    # in place: at a vocabulary of 50,000 every further buffer costs as much as the arithmetic
    return -p.mul_(log_p.clamp_min_(_finite_floor(log_p))).sum(-1)


def _finite_floor(x: Array) -> float:
    """Return the finite value that stands for ln 0 where it is multiplied by p = 0."""
    import torch

    return float(torch.finfo(x.dtype).min)


def log_mass(z: Array, members: Array, log_norm: Array | None = None) -> Array:
    """Return ln of the probability of a set of tokens, `(...)`; in logarithms, so a tiny mass is not rounded to 0.

    Parameters
    ----------
    z : array, shape (..., V)
        Logits.
    members : integer array, shape (members,), or boolean array, shape (V,)
        Which tokens belong to the set.
    log_norm : array, shape (...), optional
        `log_normaliser(z)` where it is known already.
    """
    xp = _namespace(z)
    if xp is np:
        inside = z[..., members]
    else:  # what is left out is not made -inf: exp of that is slow on a CPU
        inside = z.index_select(-1, members.nonzero()[:, 0] if members.dtype == xp.bool else members)
    return log_normaliser(inside) - (log_normaliser(z) if log_norm is None else log_norm)


def _norms(x: Array) -> Array:
    return _namespace(x).sqrt((x * x).sum(-1))


def inverse_norms(x: Array) -> Array:
    """Return 1 / ‖x‖ over the last axis, 0 for a zero vector, so that its cosine with anything counts as 0.

    Examples
    --------
    >>> inverse_norms(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [0.2, 0.0]
    """
    xp = _namespace(x)
    norms = _norms(x)
    return xp.where(norms > 0, 1.0 / xp.where(norms > 0, norms, xp.ones_like(norms)), xp.zeros_like(norms))


def cosine_similarity(a: Array, b: Array) -> Array:
    """Return the cosine of two vectors over the last axis, −1 to 1; 0 where one of them is zero.

    Examples
    --------
    >>> cosine_similarity(np.array([1.0, 0.0]), np.array([2.0, 0.0]))
    np.float64(1.0)
    """
    return (a * b).sum(-1) * inverse_norms(a) * inverse_norms(b)


def correlation(a: Array, b: Array) -> Array:
    """Return Pearson's correlation of two vectors over the last axis, −1 to 1; 0 where one of them is constant.

    Examples
    --------
    >>> round(float(correlation(np.array([1.0, 2.0, 3.0]), np.array([5.0, 7.0, 9.0]))), 12)
    1.0
    """
    xp = _namespace(a)
    mean = xp.mean
    return cosine_similarity(a - mean(a, axis=-1)[..., None], b - mean(b, axis=-1)[..., None])


def semantic_density(
    h: Array, E: Array, *, k: int = DENSITY_NEIGHBOURS, logits: Array | None = None, inverse: Array | None = None
) -> Array:
    """Return the mean cosine of `h` with its `k` nearest rows of `E`, `(...)`.

    Parameters
    ----------
    h : array, shape (..., d)
        Decoder states.
    E : array, shape (V, d)
        Output embedding; a zero row counts as cosine 0.
    k : int, default 10
        How many rows; all of them where the vocabulary is smaller.
    logits : array, shape (..., V), optional
        `h @ E.T` where it is known already.
    inverse : array, shape (V,), optional
        `inverse_norms(E)` where it is known already.
    """
    xp = _namespace(h)
    scaled = (h @ E.T if logits is None else logits) * (inverse_norms(E) if inverse is None else inverse)
    k = min(k, scaled.shape[-1])
    # the norm of h is the same for every row: it does not change which rows are nearest
    nearest = np.partition(scaled, scaled.shape[-1] - k, axis=-1)[..., -k:] if xp is np else _largest(scaled, k)
    return nearest.mean(-1) * inverse_norms(h)


def _largest(x: Array, k: int, block: int = 64) -> Array:
    """Return the `k` largest entries of a tensor's last axis, in any order.

    They lie in the `k` blocks with the largest maxima, or in the rest that fills no block: `topk` over everything
    takes four times as long on a CPU.
    """
    import torch

    whole = x.shape[-1] // block * block
    if whole < 4 * k * block:
        return x.topk(k, dim=-1, sorted=False).values
    blocks = x[..., :whole].unflatten(-1, (-1, block))
    best = blocks.amax(-1).topk(k, dim=-1, sorted=False).indices
    inside = blocks.gather(-2, best[..., None].expand(*best.shape, block)).flatten(-2)
    return torch.cat([inside, x[..., whole:]], -1).topk(k, dim=-1, sorted=False).values


def group_embeddings(z: Array, E: Array, members: Array) -> tuple[Array, Array, Array]:
    """Return three embeddings of a group of tokens: probability-weighted mean, plain mean, most probable row.

    Parameters
    ----------
    z : array, shape (V,)
        Logits of one position.
    E : array, shape (V, d)
        Output embedding.
    members : integer array, shape (m,)
        Token ids of the group.
    """
    xp = _namespace(z)
    inside, rows = z[members], E[members]
    weights = xp.exp(inside - log_normaliser(inside))
    return weights @ rows, rows.mean(0), rows[inside.argmax()]


def clip_sums(x: np.ndarray, clip: np.ndarray, n_clips: int) -> np.ndarray:
    """Sum rows by clip in float64, `(n_clips, ...)`; a clip's sum depends on its own rows only.

    Parameters
    ----------
    x : array, shape (rows,) or (rows, d)
        One value or vector per row.
    clip : integer array, shape (rows,)
        Which clip a row belongs to, 0 to n_clips - 1, ascending.
    n_clips : int
        How many clips there are; those without rows get 0.
    """
    out = np.zeros((n_clips, *x.shape[1:]), dtype=np.float64)
    if len(x):
        present, starts = np.unique(clip, return_index=True)
        out[present] = np.add.reduceat(np.asarray(x, dtype=np.float64), starts, axis=0)
    return out


def clip_means(x: np.ndarray, clip: np.ndarray, n_clips: int) -> np.ndarray:
    """Average rows by clip in float64, `(n_clips, ...)`; NaN for a clip without rows. Parameters as `clip_sums`."""
    counts = np.bincount(clip, minlength=n_clips).astype(np.float64)
    counts[counts == 0] = np.nan
    return clip_sums(x, clip, n_clips) / counts.reshape(-1, *([1] * (x.ndim - 1)))
