"""Whole distributions again, from stored hidden states: `ProbeResult.distribution`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from audiogram.errors import InputError
from whisperprobe import measures
from whisperprobe.probing.head import Head

__all__ = ["distribution", "logits_of", "vector_rows"]


def vector_rows(rows: Any) -> npt.NDArray[np.int64]:
    """Rows of the stored vectors that are meant.

    Parameters
    ----------
    rows : int, sequence of int, or DataFrame
        Values of `tokens.vector_row`, or rows of the table `tokens` themselves.

    Returns
    -------
    ndarray of int64, shape (n,)

    Raises
    ------
    InputError
        Rows that kept no vectors, or that are no row numbers.
    """
    values = rows["vector_row"] if hasattr(rows, "columns") and "vector_row" in rows else rows
    if hasattr(values, "isna"):
        missing = int(values.isna().sum())
        if missing:
            raise InputError(
                f"{missing} of {len(values)} tokens kept no hidden state (vector_row is missing): by default forced "
                "rows do not. Leave them out, or probe again with vectors='both'."
            )
        values = values.to_numpy(dtype=np.int64)
    chosen = np.atleast_1d(np.asarray(values))
    if chosen.size == 0:
        return np.empty(0, dtype=np.int64)
    if chosen.dtype.kind not in "iu" or chosen.ndim != 1:
        raise InputError(
            f"rows are values of tokens.vector_row or rows of tokens, received {chosen.dtype} {chosen.shape}."
        )
    return chosen.astype(np.int64)


def logits_of(hidden: npt.NDArray[Any], head: Head) -> torch.Tensor:
    """Logits over the whole vocabulary, `(n, V)`, from decoder states `(n, d)` after the final layer norm."""
    states = torch.from_numpy(np.ascontiguousarray(hidden))
    with torch.inference_mode():
        return states.to(head.embedding) @ head.embedding.T


def distribution(hidden: Any, rows: npt.NDArray[np.int64], head: Head, chunk: int = 256) -> npt.NDArray[np.float32]:
    """Log-probabilities of every token, `(rows, V)`, natural, before any suppression.

    Parameters
    ----------
    hidden : array, shape (stored, d)
        Decoder states; read from disk row by row where they lie there.
    rows : ndarray of int64, shape (n,)
        Which of them.
    head : Head
        Output side of the model.
    chunk : int, default 256
        Rows at once.
    """
    out = np.empty((len(rows), head.embedding.shape[0]), dtype=np.float32)
    for start in range(0, len(rows), chunk):
        z = logits_of(hidden[rows[start : start + chunk]], head)
        out[start : start + chunk] = (z - measures.log_normaliser(z)[:, None]).cpu().numpy()
    return out
