"""Compile loops with Numba, keeping the machine code for later processes wherever it can be kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["compiled", "compiled_reordering"]

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile `function` in nopython mode, cached on disk beside it or in the user's cache folder.

    Where neither can be written (a read-only installation without a home), it is compiled anew in every process.
    """
    return _compile(function)


def compiled_reordering(function: F) -> F:
    """As `compiled`, for loops whose sums may be taken in any order, so that several terms are added at once."""
    return _compile(function, fastmath={"reassoc", "nsz", "contract"})


def _compile(function: F, **options: Any) -> F:
    try:
        result: Any = numba.njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:  # numba: "no locator available for file", i.e. nowhere to keep the code
        result = numba.njit(nogil=True, **options)(function)
    return cast(F, result)
