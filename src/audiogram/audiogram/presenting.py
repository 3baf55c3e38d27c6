"""What happens to sound before a filter and after it: noise, presentation level, normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from audiogram.filters.protocol import is_tensor
from audiogram.levels import active_rms
from audiogram.maskers import make_noise
from audiogram.random_streams import row_keys

if TYPE_CHECKING:
    from audiogram.listening import Condition

__all__ = ["REFERENCE_DBSPL", "normaliser", "presented"]

REFERENCE_DBSPL = 100.0
"""Full scale in dB SPL while a clip is scaled to a given speech level; taken back afterwards."""


def presented(x: Any, rate: float, one: Condition, keys: str | Sequence[str] | None) -> tuple[Any, Any]:
    """Sound as it reaches the filter of a condition.

    Parameters
    ----------
    x : ndarray or Tensor, shape (..., samples)
        Sound, full scale 1.
    rate : float
        Sampling rate in Hz.
    one : Condition
        Its `noise` is added and its `level` set.
    keys : str or sequence of str, optional
        Ids of the clips; see `Condition.__call__`.

    Returns
    -------
    tuple
        The sound, and a scale (..., 1) to divide the filter's output by, or None.
    """
    if one.noise is None and one.level is None:
        return x, None
    rows = _rows(x)
    presented = x
    if one.noise is not None:
        names = row_keys(x, keys)
        added = np.stack([make_noise(r, rate, one.noise, k) for r, k in zip(rows, names, strict=True)])
        presented = x + _like(x, added.reshape(x.shape))
    if one.level is None or "speech_dbspl" not in one.level:
        return presented, None
    # what the level of the speech is, is measured without the noise
    levels = np.array([active_rms(r, rate) for r in rows]).reshape(*x.shape[:-1], 1)
    full_scale = one.level.get("full_scale_dbspl", REFERENCE_DBSPL)
    wanted = 10 ** ((one.level["speech_dbspl"] - full_scale) / 20)
    gains = _like(x, wanted / np.where(levels == 0, wanted, levels))
    return presented * gains, None if "full_scale_dbspl" in one.level else gains


def _rows(x: Any) -> list[np.ndarray[Any, np.dtype[Any]]]:
    values = x.detach().cpu().double().numpy() if is_tensor(x) else x
    return list(values.reshape(-1, x.shape[-1]))


def _like(x: Any, values: np.ndarray[Any, np.dtype[Any]]) -> Any:
    if is_tensor(x):
        import torch

        return torch.as_tensor(values, dtype=x.dtype, device=x.device)
    return values.astype(x.dtype)


def normaliser(y: Any, x: Any, normalise: str) -> Any:
    """What to divide output by, per clip, to normalise it.

    Parameters
    ----------
    y, x : ndarray or Tensor, shape (..., samples)
        Output of a filter, and the clip as it was given.
    normalise : {"peak", "rms", "input"}
        See `Condition`.

    Returns
    -------
    ndarray or Tensor, shape (..., 1)
        1 where a clip is silent.
    """
    if normalise == "peak":
        value = _peak(y)
    elif normalise == "input":
        value = _peak(x)
    else:
        before, after = _rms(x), _rms(y)
        value = after / _where_zero(before, 1.0)
        if is_tensor(value):
            value = value.masked_fill(before == 0, 0.0)
        else:
            value = np.where(before == 0, np.zeros_like(value), value)
    return _where_zero(value, 1.0)


def _where_zero(value: Any, other: float) -> Any:
    if is_tensor(value):
        return value.masked_fill(value == 0, other)
    return value if value.all() else np.where(value == 0, value.dtype.type(other), value)


def _peak(x: Any) -> Any:
    if is_tensor(x):
        return x.abs().amax(dim=-1, keepdim=True)
    return np.maximum(x.max(axis=-1, keepdims=True), -x.min(axis=-1, keepdims=True))  # abs() would copy the sound


def _rms(x: Any) -> Any:
    # of the clip brought to a peak of 1: squares leave the range of half precision already at -60 dB
    peak = _where_zero(_peak(x), 1.0)
    if is_tensor(x):
        import torch

        scaled = (x / peak).to(torch.promote_types(x.dtype, torch.float32))
        return (scaled.square().mean(dim=-1, keepdim=True).sqrt() * peak).to(x.dtype)
    scaled = np.divide(x, peak, dtype=np.promote_types(x.dtype, np.float32))
    return (np.sqrt(np.mean(np.square(scaled), axis=-1, keepdims=True)) * peak).astype(x.dtype)
