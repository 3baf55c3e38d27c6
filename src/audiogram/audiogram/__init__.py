"""Audiograms, and fast, differentiable, pluggable hearing-loss filters for sound and corpora of speech.

Everything public is here, loaded when first used: `import audiogram` imports no numerical library but NumPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "1.0.0"

if TYPE_CHECKING:
    from audiogram.corpus.mask import mask_corpus
    from audiogram.corpus.sources import open_corpus
    from audiogram.filters.registry import get_filter, list_filters
    from audiogram.listening import Condition, apply_conditions, condition, conditions
    from audiogram.sound import read, resample, write
    from audiogram.standard_audiograms import preset, presets
    from audiogram.thresholds import Audiogram

_HOMES = {
    "Audiogram": "audiogram.thresholds",
    "Condition": "audiogram.listening",
    "apply_conditions": "audiogram.listening",
    "condition": "audiogram.listening",
    "conditions": "audiogram.listening",
    "get_filter": "audiogram.filters.registry",
    "list_filters": "audiogram.filters.registry",
    "mask_corpus": "audiogram.corpus.mask",
    "open_corpus": "audiogram.corpus.sources",
    "preset": "audiogram.standard_audiograms",
    "presets": "audiogram.standard_audiograms",
    "read": "audiogram.sound",
    "resample": "audiogram.sound",
    "write": "audiogram.sound",
}

__all__ = [
    "Audiogram",
    "Condition",
    "__version__",
    "apply_conditions",
    "condition",
    "conditions",
    "get_filter",
    "list_filters",
    "mask_corpus",
    "open_corpus",
    "preset",
    "presets",
    "read",
    "resample",
    "write",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'audiogram' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
