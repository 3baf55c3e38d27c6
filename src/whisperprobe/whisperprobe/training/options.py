"""Options of a training run: which values they may have."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from audiogram.errors import InputError, unknown_name

__all__ = ["SCHEDULERS", "check_numbers"]

SCHEDULERS = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}
"""What the learning rate does after its warm-up, and transformers' name for it."""

_RANGES: dict[str, tuple[type | tuple[type, ...], Callable[[Any], bool], str]] = {
    "max_steps": (int, lambda v: v >= 1, "a whole number of at least 1"),
    "epochs": ((int, float), lambda v: 0 < v < math.inf, "a number above 0"),
    "learning_rate": ((int, float), lambda v: 0 < v < math.inf, "a number above 0"),
    "warmup_steps": (int, lambda v: v >= 0, "a whole number, 0 or more"),
    "batch_size": (int, lambda v: v >= 1, "a whole number of at least 1"),
    "weight_decay": ((int, float), lambda v: 0 <= v < math.inf, "a number, 0 or more"),
    "clip_gradient": ((int, float), lambda v: 0 < v < math.inf, "a number above 0"),
    "seed": (int, lambda v: v >= 0, "a whole number, 0 or more"),
    "save_every": (int, lambda v: v >= 1, "a whole number of at least 1"),
    "threads": (int, lambda v: v >= 1, "a whole number of at least 1"),
    "max_samples": (int, lambda v: v >= 1, "a whole number of at least 1"),
}
_OPTIONAL = ("max_steps", "epochs", "save_every", "threads", "max_samples")


def check_numbers(given: Mapping[str, Any]) -> None:
    """Refuse what cannot be: numbers out of range, two lengths of one run, an unknown schedule."""
    for name, (kind, fits, wanted) in _RANGES.items():
        value = given[name]
        if value is None and name in _OPTIONAL:
            continue
        if isinstance(value, bool) or not isinstance(value, kind) or not fits(value):
            raise InputError(f"{name} is {value!r}; give {wanted}.")
    if given["max_steps"] is not None and given["epochs"] is not None:
        raise InputError("max_steps and epochs both say how long to train; give one of the two.")
    if given["scheduler"] not in SCHEDULERS:
        raise unknown_name("scheduler", given["scheduler"], SCHEDULERS)
