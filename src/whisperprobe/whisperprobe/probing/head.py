"""The output side of a model: its embedding, and what the vocabulary says about each row of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from whisperprobe import measures
from whisperprobe.probing.decode import Suppression, at_least_float32
from whisperprobe.probing.vocabulary import KINDS, Vocabulary

__all__ = ["CHUNK_BYTES", "Head", "group_logits", "logits_of", "pieces"]

CHUNK_BYTES = {"cpu": 1 << 25, "cuda": 1 << 29}
"""Size of one product of states and embedding, which is read once for each."""

PIECE_BYTES = {"cpu": 1 << 21, "cuda": 1 << 29}
"""Size of what is measured at once: many passes go over it, on a CPU within the cache of each core that works."""


@dataclass(frozen=True, eq=False)
class Head:
    """The output side of a model, on its device and in float32 or better, whatever the model runs in.

    Attributes
    ----------
    embedding : tensor, shape (V, d)
        Output embedding E.
    inverse_norms : tensor, shape (V,)
        1 / ‖E_v‖, 0 for zero rows.
    vocabulary : Vocabulary
        The tokens.
    word_ends : int64 tensor
        Tokens that end a word.
    groups : int64 tensor, shape (V,)
        See `Vocabulary`.
    group_order : int64 tensor, shape (V,)
        All ids by size of group; within a size first members, then second members, and so on.
    suppressed, suppressed_at_begin : bool tensor, shape (V,), or None
        What the decode may not choose.
    allowed, allowed_at_begin : int64 tensor, or None
        What it may choose.
    """

    embedding: torch.Tensor
    inverse_norms: torch.Tensor
    vocabulary: Vocabulary
    word_ends: torch.Tensor
    groups: torch.Tensor
    group_order: torch.Tensor
    suppressed: torch.Tensor | None
    suppressed_at_begin: torch.Tensor | None
    allowed: torch.Tensor | None
    allowed_at_begin: torch.Tensor | None

    @classmethod
    def of(cls, model: Any, vocabulary: Vocabulary, suppression: Suppression, *, timestamps: bool = False) -> Head:
        """Prepare a model's output side once; with `timestamps` these end a word too."""
        embedding = model.get_output_embeddings().weight.detach()
        return cls.of_embedding(embedding, vocabulary, suppression, timestamps=timestamps)

    @classmethod
    def of_embedding(
        cls, embedding: torch.Tensor, vocabulary: Vocabulary, suppression: Suppression, *, timestamps: bool = False
    ) -> Head:
        """The same from the output embedding alone, `(V, d)`, in the precision that the model runs in."""
        embedding = at_least_float32(embedding)
        device, size = embedding.device, embedding.shape[0]
        masks = [suppression.mask(size, at_begin=at_begin, device=device) for at_begin in (False, True)]
        allowed = [None if mask is None else (~mask).nonzero()[:, 0] for mask in masks]
        word_ends = vocabulary.word_ends
        if timestamps:
            word_ends = word_ends | (vocabulary.kinds == KINDS.index("timestamp"))
        return cls(
            embedding=embedding,
            inverse_norms=measures.inverse_norms(embedding),
            vocabulary=vocabulary,
            word_ends=torch.from_numpy(np.flatnonzero(word_ends)).to(device),
            groups=torch.from_numpy(vocabulary.groups.astype(np.int64)).to(device),
            group_order=torch.from_numpy(_member_by_member(vocabulary)).to(device),
            suppressed=masks[0],
            suppressed_at_begin=masks[1],
            allowed=allowed[0],
            allowed_at_begin=allowed[1],
        )


def _member_by_member(vocabulary: Vocabulary) -> np.ndarray:
    """The ids of each size of group, `(groups, size)`, transposed: sums over members then run along memory."""
    blocks, start = [], 0
    for size, count in vocabulary.group_sizes:
        blocks.append(vocabulary.group_order[start : start + size * count].reshape(count, size).T.reshape(-1))
        start += size * count
    return np.concatenate(blocks)


def group_logits(z: torch.Tensor, head: Head) -> torch.Tensor:
    """Return ln Σ exp z over the members of each normalised group, `(n, groups)`.

    Groups are summed as rectangular blocks of one size each: no scatter, hence no atomics and one order of summation.
    """
    ordered = z.index_select(1, head.group_order)
    blocks, start = [], 0
    for size, count in head.vocabulary.group_sizes:
        block = ordered[:, start : start + size * count]
        blocks.append(block if size == 1 else block.reshape(-1, size, count).logsumexp(1))
        start += size * count
    return torch.cat(blocks, dim=1)


def _cut(n: int, embedding: torch.Tensor, sizes: Mapping[str, int], times: int = 1) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) over n rows of logits, as many at once as the device's size holds."""
    size = times * sizes.get(embedding.device.type, sizes["cpu"])
    step = max(1, size // (embedding.shape[0] * embedding.element_size()))
    for start in range(0, n, step):
        yield start, min(start + step, n)


def pieces(n: int, embedding: torch.Tensor) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) over n rows of logits: what is measured at once."""
    return _cut(n, embedding, PIECE_BYTES, torch.get_num_threads() if embedding.device.type == "cpu" else 1)


def logits_of(h: torch.Tensor, head: Head) -> Iterator[tuple[int, int, torch.Tensor]]:
    """Yield (start, stop, logits of these states), piece by piece.

    Parameters
    ----------
    h : tensor, shape (states, d)
        Decoder states in the precision of the embedding.
    head : Head
        Output side of the model.
    """
    for first, last in _cut(len(h), head.embedding, CHUNK_BYTES):
        z = h[first:last] @ head.embedding.T
        for start, stop in pieces(last - first, head.embedding):
            yield first + start, first + stop, z[start:stop]
