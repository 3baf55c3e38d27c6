"""What a batch of a probe is made of: which rows are kept, what is looked up, and what comes out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from audiogram.errors import InputError, unknown_name
from whisperprobe.probing.packing import Rows
from whisperprobe.probing.score import Targets

__all__ = [
    "DECODINGS",
    "VECTORS",
    "Batch",
    "NotFiniteError",
    "check_asked",
    "check_choice",
    "end_id_of",
    "exact",
    "rows_to_keep",
    "targets_of",
]

DECODINGS = ("greedy", "forced")
VECTORS = ("greedy", "both", "none")


@dataclass(frozen=True, eq=False)
class Batch:
    """What one batch gives: rows of its tables, by name, and vectors, of the kept rows or one per clip."""

    tables: dict[str, pa.Table]
    vectors: dict[str, np.ndarray]


class NotFiniteError(InputError):
    """The model's states of some clips are NaN or infinite, so nothing measured of them would be a number.

    Parameters
    ----------
    ids : sequence of str
        The clips.
    dtype : torch.dtype
        What the model runs in.

    Attributes
    ----------
    reason : str
        What is wrong with each of them.
    """

    def __init__(self, ids: Sequence[str], dtype: torch.dtype) -> None:
        self.ids = frozenset(ids)
        self.reason = "the model's states are NaN or infinite: " + (
            "float16 overflows here; run the model in bfloat16 or float32."
            if dtype == torch.float16
            else "the sound is far louder than full scale (±1), or the weights are damaged."
        )
        others = len(self.ids) - 1
        super().__init__(f"{ids[0]}{f' and {others} more' if others else ''}: {self.reason}")


@contextlib.contextmanager
def exact() -> Iterator[None]:
    """No gradients and no TF32: float32 means float32 on a GPU too."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    try:
        with torch.inference_mode():
            yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def check_choice(kind: str, value: str, known: Sequence[str]) -> str:
    """Return the value, or raise the error for a name that is not known."""
    if value not in known:
        raise unknown_name(kind, value, known)
    return value


def check_asked(decodings: Sequence[str], vectors: str, top_k: int) -> set[str]:
    """Return the decodings that are wanted, or raise the error for what none of these can be."""
    wanted = {check_choice("decoding", name, DECODINGS) for name in decodings}
    if not wanted:
        raise InputError("decodings is empty; name greedy, forced, or both.")
    check_choice("vectors", vectors, VECTORS)
    if isinstance(top_k, bool) or not isinstance(top_k, int | np.integer) or top_k < 0:
        raise InputError(f"top_k is {top_k!r}; give a whole number, 0 for none.")
    return wanted


def end_id_of(settings: Any, tokenizer: Any) -> int:
    """Return the end token of a generation config, or of the tokenizer where that names none."""
    end = getattr(settings, "eos_token_id", None)
    if isinstance(end, list | tuple):
        end = end[0] if end else None
    return int(tokenizer.eos_token_id if end is None else end)


def rows_to_keep(rows: Rows, vectors: str) -> np.ndarray:
    """Return the rows whose vectors are kept."""
    if vectors == "none":
        return np.empty(0, dtype=np.int64)
    return np.arange(len(rows)) if vectors == "both" else np.flatnonzero(rows.greedy)


def targets_of(rows: Rows, spoken: Sequence[Sequence[int]]) -> Targets:
    """Pair every greedy row of a clip with every token of its ground truth."""
    greedy = np.flatnonzero(rows.greedy)
    counts = np.array([len(g) for g in spoken], dtype=np.int64)
    flat = np.array([i for g in spoken for i in g], dtype=np.int64)
    starts = np.cumsum(counts) - counts
    per_row = counts[rows.clip[greedy]]
    row = np.repeat(greedy, per_row)
    index = np.arange(len(row)) - np.repeat(np.cumsum(per_row) - per_row, per_row)
    return Targets(row, index, flat[starts[rows.clip[row]] + index] if len(row) else np.empty(0, dtype=np.int64))
