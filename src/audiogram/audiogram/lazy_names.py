"""Public names of a package that are loaded when first used, so that importing the package stays fast."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make a package's `__getattr__` and `__dir__`.

    Parameters
    ----------
    package : str
        The package's `__name__`.
    homes : mapping of str to sequence of str
        Module below the package, and the names that it defines.

    Returns
    -------
    tuple of two callables
        `__getattr__` and `__dir__` for the package's `__init__.py`.

    Examples
    --------
    >>> get, names = lazy_names("audiogram", {"thresholds": ["Audiogram"]})
    >>> names(), get("Audiogram").__name__
    (['Audiogram'], 'Audiogram')
    """
    module_of = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{module_of[name]}"), name)
        setattr(sys.modules[package], name, value)  # found without this detour from now on
        return value

    def names() -> list[str]:
        return sorted(module_of)

    return get, names
