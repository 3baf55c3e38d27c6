"""The output side of a model: its embedding, and what the vocabulary says about each row of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from whisperprobe import measures
from whisperprobe.probing.decode import Suppression, at_least_float32
from whisperprobe.probing.vocabulary import Vocabulary

__all__ = ["CHUNK_BYTES", "Head", "chunks", "group_logits"]

CHUNK_BYTES = {"cpu": 1 << 24, "cuda": 1 << 29}
"""Size of one buffer of logits: on a CPU what its caches still hold, on a GPU what keeps it busy."""


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
    word_ends : bool tensor, shape (V,)
        Tokens that end a word.
    groups, group_order : int64 tensors, shape (V,)
        See `Vocabulary`.
    suppressed, suppressed_at_begin : bool tensor, shape (V,), or None
        What the decode may not choose.
    """

    embedding: torch.Tensor
    inverse_norms: torch.Tensor
    vocabulary: Vocabulary
    word_ends: torch.Tensor
    groups: torch.Tensor
    group_order: torch.Tensor
    suppressed: torch.Tensor | None
    suppressed_at_begin: torch.Tensor | None

    @classmethod
    def of(cls, model: Any, vocabulary: Vocabulary, suppression: Suppression) -> Head:
        """Prepare a model's output side once."""
        return cls.of_embedding(model.get_output_embeddings().weight.detach(), vocabulary, suppression)

    @classmethod
    def of_embedding(cls, embedding: torch.Tensor, vocabulary: Vocabulary, suppression: Suppression) -> Head:
        """The same from the output embedding alone, `(V, d)`, in the precision that the model runs in."""
        embedding = at_least_float32(embedding)
        device, size = embedding.device, embedding.shape[0]
        return cls(
            embedding=embedding,
            inverse_norms=measures.inverse_norms(embedding),
            vocabulary=vocabulary,
            word_ends=torch.from_numpy(vocabulary.word_ends).to(device),
            groups=torch.from_numpy(vocabulary.groups.astype(np.int64)).to(device),
            group_order=torch.from_numpy(vocabulary.group_order).to(device),
            suppressed=suppression.mask(size, at_begin=False, device=device),
            suppressed_at_begin=suppression.mask(size, at_begin=True, device=device),
        )


def group_logits(z: torch.Tensor, head: Head) -> torch.Tensor:
    """Return ln Σ exp z over the members of each normalised group, `(n, groups)`.

    Groups are summed as rectangular blocks of one size each: no scatter, hence no atomics and one order of summation.
    """
    ordered = z[:, head.group_order]
    blocks, start = [], 0
    for size, count in head.vocabulary.group_sizes:
        block = ordered[:, start : start + size * count]
        blocks.append(block if size == 1 else block.reshape(-1, count, size).logsumexp(-1))
        start += size * count
    return torch.cat(blocks, dim=1)


def chunks(n: int, embedding: torch.Tensor) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) over n rows of logits, each chunk within the device's buffer size."""
    budget = CHUNK_BYTES.get(embedding.device.type, CHUNK_BYTES["cpu"])
    step = max(1, budget // (embedding.shape[0] * embedding.element_size()))
    for start in range(0, n, step):
        yield start, min(start + step, n)
