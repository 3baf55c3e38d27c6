"""Comparison: probe runs side by side, with intervals over words, and what was found in plain sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audiogram.lazy_names import lazy_names

if TYPE_CHECKING:
    from whisperprobe.comparison.conditions import Comparison, ProbeRun, compare, load_comparison
    from whisperprobe.comparison.result import PairedChange
    from whisperprobe.comparison.summary import summarise

__all__ = ["Comparison", "PairedChange", "ProbeRun", "compare", "load_comparison", "summarise"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "conditions": ["Comparison", "ProbeRun", "compare", "load_comparison"],
        "result": ["PairedChange"],
        "summary": ["summarise"],
    },
)
