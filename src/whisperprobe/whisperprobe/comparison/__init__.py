"""Comparison: probe runs side by side, with intervals over words, and what was found in plain sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whisperprobe.comparison.conditions import Comparison, ProbeRun, compare, load_comparison
    from whisperprobe.comparison.result import PairedChange
    from whisperprobe.comparison.summary import summarise

__all__ = ["Comparison", "PairedChange", "ProbeRun", "compare", "load_comparison", "summarise"]

_HOMES = {"PairedChange": "result", "summarise": "summary"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'whisperprobe.comparison' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"whisperprobe.comparison.{_HOMES.get(name, 'conditions')}"), name)
