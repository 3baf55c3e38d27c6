"""What the checks of `conformance` are made of: filters and sound to try, and how close is equal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from audiogram.filters.registry import get_filter
from audiogram.filters.signatures import Flags, flags_of

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
]

Array = npt.NDArray[Any]
Options = Mapping[str, Any]

RATES = (16_000, 44_100)
TOLERANCE: dict[np.dtype[Any], float] = {
    np.dtype(np.float32): 2e-5,
    np.dtype(np.float64): 1e-10,
}  # relative to the largest output value
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
    """A filter for `ears`, at a level if it depends on one."""
    cls = class_of(filter)
    extra = {"level": level} if flags(filter, options).level_dependent else {}
    return cls(ears, sample_rate=rate, **extra, **(options or {}))


def sound_of(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Noise from a fixed seed."""
    return (0.1 * np.random.default_rng(0).standard_normal(shape)).astype(dtype)


def assert_close(found: Array, wanted: Array, dtype: np.dtype[Any], what: str) -> None:
    """Raise `AssertionError` unless both are equal within the precision."""
    scale = max(float(np.abs(wanted).max()), 1e-12)
    worst = float(np.abs(found - wanted).max()) / scale
    assert worst <= TOLERANCE[dtype], f"{what}: differs by {worst:.3g} of the largest value"
