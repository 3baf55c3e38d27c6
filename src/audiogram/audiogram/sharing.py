"""Several conditions on the same sound: those of one filter class that hear the same share work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from audiogram.errors import AudiogramError, FilterPluginError
from audiogram.filters.protocol import is_tensor
from audiogram.filters.registry import filter_flags, filter_info, get_filter
from audiogram.frozen_mapping import FrozenMapping
from audiogram.presenting import REFERENCE_DBSPL, normaliser, presented
from audiogram.random_streams import row_keys

if TYPE_CHECKING:
    from audiogram.listening import Condition

__all__ = ["hear_together"]


@dataclass(frozen=True)
class _Group:
    """Conditions that have filter class, level and noise in common.

    Attributes
    ----------
    members : tuple of int
        Their places among all conditions.
    first : Condition
        One of them.
    filters : tuple
        Their filters.
    normalise : tuple of str
        Their normalisations.
    """

    members: tuple[int, ...]
    first: Condition
    filters: tuple[Any, ...]
    normalise: tuple[str, ...]

    def hear(self, x: Any, given: Any, keys: str | Sequence[str] | None) -> Any:
        """Sound through every filter.

        Parameters
        ----------
        x : ndarray or Tensor, shape (..., samples)
            The sound as it is presented.
        given : ndarray or Tensor, shape (..., samples)
            The clips as they were given.
        keys : str or sequence of str, optional
            Ids of the clips, for filters that add noise; by default their samples as they were given, which are the
            same in an array and in a tensor, as those after a gain are not.

        Returns
        -------
        ndarray, Tensor or list
            One result per member.

        Raises
        ------
        AudiogramError
            What a filter raises on purpose.
        FilterPluginError
            Where it raises anything else, or changes the kind, shape or dtype.
        """
        together = getattr(type(self.filters[0]), "together", None)
        extra = {"keys": row_keys(given, keys)} if any(one.adds_noise for one in self.filters) else {}
        try:
            if together is not None:
                results = together(self.filters, x, **extra)
            else:
                results = [one(x, **extra) for one in self.filters]
        except (AudiogramError, MemoryError):
            raise
        except Exception as cause:
            raise FilterPluginError(
                f"{_whose(self.first)} failed on sound of shape {tuple(x.shape)}: {type(cause).__name__}: {cause}. "
                "Ask its makers to run audiogram.filters.conformance."
            ) from cause
        problem = _problem(results, len(self.filters), x)
        if problem:
            raise FilterPluginError(
                f"{_whose(self.first)} made {problem}; a filter keeps it. "
                "Ask its makers to run audiogram.filters.conformance."
            )
        return results


def _problem(results: Any, count: int, x: Any) -> str:
    """What is wrong with the results of `count` filters on `x`; nothing where each is of its kind, shape and dtype."""
    try:
        if len(results) != count:
            return f"{len(results)} sounds of {count}"
    except TypeError:
        return f"a {type(results).__name__} of {count} sounds"
    kind = "a torch tensor" if is_tensor(x) else "a NumPy array"
    for one in results:
        if not (is_tensor(one) if is_tensor(x) else isinstance(one, np.ndarray)):
            return f"a {type(one).__name__} of {kind}"
        if one.shape != x.shape:
            return f"sound of shape {tuple(one.shape)} from {tuple(x.shape)}"
        if one.dtype != x.dtype:
            return f"{one.dtype} of {x.dtype}"
    return ""


@lru_cache(maxsize=64)
def _groups(conditions: tuple[Condition, ...], rate: float) -> tuple[_Group, ...]:
    """Conditions in groups, with the filters of each made for a sampling rate in Hz; kept for the next clip."""
    shared: dict[Any, list[int]] = {}
    for i, one in enumerate(conditions):
        shared.setdefault((one.filter, one.level, one.noise), []).append(i)
    return tuple(
        _Group(
            tuple(members),
            conditions[members[0]],
            tuple(_filter(conditions[i], rate) for i in members),
            tuple(conditions[i].normalise for i in members),
        )
        for members in shared.values()
    )


def _filter(one: Condition, rate: float) -> Any:
    cls = get_filter(one.filter)
    extra: dict[str, Any] = {}
    if filter_flags(one.filter, one.options).level_dependent:
        level = one.level or {}
        extra["level"] = level.get("full_scale_dbspl", REFERENCE_DBSPL)
    try:
        return cls(one.audiogram, sample_rate=rate, **FrozenMapping(one.options).plain(), **extra)
    except (AudiogramError, MemoryError):
        raise
    except Exception as cause:
        raise FilterPluginError(
            f"{_whose(one)} cannot be made for {rate:g} Hz: {type(cause).__name__}: {cause}. "
            "Ask its makers to run audiogram.filters.conformance."
        ) from cause


def _whose(one: Condition) -> str:
    info = filter_info(one.filter)
    return f"filter {one.filter!r} of {info.distribution} {info.version}"


def hear_together(x: Any, rate: float, conditions: tuple[Condition, ...], keys: str | Sequence[str] | None) -> Any:
    """Sound under several conditions, checked before; see `listening.apply_conditions`."""
    plan = _groups(conditions, rate)
    heard: list[Any] = [None] * len(conditions)
    for group in plan:
        sound, scale = presented(x, rate, group.first, keys)
        results = group.hear(sound, x, keys)
        if scale is None and len(plan) == 1 and len(set(group.normalise)) == 1 and isinstance(results, np.ndarray):
            # all conditions at once, and in place unless a filter hands back the sound it was given
            if group.normalise[0] == "none":
                return results
            divisor = normaliser(results, x, group.normalise[0])
            return np.divide(results, divisor, out=None if np.may_share_memory(results, x) else results)
        for i, result, normalise in zip(group.members, results, group.normalise, strict=True):
            unscaled = result if scale is None else result / scale
            heard[i] = unscaled if normalise == "none" else unscaled / normaliser(unscaled, x, normalise)
    if is_tensor(x):
        import torch

        return torch.stack(heard)
    return np.stack(heard)
