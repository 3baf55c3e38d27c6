"""What the checks of `conformance` are made of: filters and sound to try, and how close is equal."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from audiogram.errors import AudiogramWarning
from audiogram.filters.registry import get_filter
from audiogram.filters.signatures import Flags, flags_of
from audiogram.thresholds import Audiogram

__all__ = [
    "LEVEL",
    "RATES",
    "TOLERANCE",
    "Array",
    "Options",
    "assert_close",
    "class_of",
    "flags",
    "keys_for",
    "made",
    "sound_of",
    "with_bone",
]

Array = npt.NDArray[Any]
Options = Mapping[str, Any]

RATES = (16_000, 44_100)
TOLERANCE: dict[np.dtype[Any], float] = {
    np.dtype(np.float32): 2e-5,
    np.dtype(np.float64): 1e-10,
}  # relative to the largest output value
_BONE = Audiogram([250, 500, 1000, 2000, 4000], [5.3, 8.1, 14.9, 21.7, 30.1])
LEVEL = 100.0  # dB SPL at an RMS of 1, for filters that depend on level


def class_of(filter: str | type[Any]) -> Any:
    """Class of a filter given by name or class."""
    return get_filter(filter) if isinstance(filter, str) else filter


def flags(filter: str | type[Any], options: Options | None) -> Flags:
    """What the filter says that it is."""
    return flags_of(class_of(filter), options or {})


def keys_for(filter: str | type[Any], options: Options | None, rows: int) -> dict[str, list[str]]:
    """Keys to call a filter with on so many rows, where it takes them."""
    return {"keys": [f"clip {row}" for row in range(rows)]} if flags(filter, options).adds_noise else {}


def made(
    filter: str | type[Any], options: Options | None, ears: Any, rate: int = RATES[0], level: float = LEVEL
) -> Any:
    """A filter for `ears`, which have bone conduction, at a level if it depends on one."""
    cls = class_of(filter)
    ears = with_bone(ears) if isinstance(ears, Audiogram) else [with_bone(ear) for ear in ears]
    extra = {"level": level} if flags(filter, options).level_dependent else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AudiogramWarning)  # the suite's ears may lie beyond what a filter is made for
        return cls(ears, sample_rate=rate, **extra, **(options or {}))


def with_bone(ear: Audiogram) -> Audiogram:
    """The ear with bone conduction, the same for all, below and above its air conduction; most filters ignore it."""
    return replace(ear, bone=ear.bone or _BONE)


def sound_of(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Noise from a fixed seed."""
    return (0.1 * np.random.default_rng(0).standard_normal(shape)).astype(dtype)


def assert_close(found: Array, wanted: Array, dtype: np.dtype[Any], what: str) -> None:
    """Raise `AssertionError` unless both are equal within the precision."""
    scale = max(float(np.abs(wanted).max()), 1e-12)
    worst = float(np.abs(found - wanted).max()) / scale
    assert worst <= TOLERANCE[dtype], f"{what}: differs by {worst:.3g} of the largest value"
