"""Comparison: runs of listeners side by side and against people, with intervals, and what was found in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audiogram.lazy_names import lazy_names

if TYPE_CHECKING:
    from whisperprobe.comparison.agreement import listener_agreement
    from whisperprobe.comparison.conditions import Comparison, ProbeRun, compare, load_comparison
    from whisperprobe.comparison.effects import condition_effects
    from whisperprobe.comparison.people import PeopleComparison, compare_with_people
    from whisperprobe.comparison.people_data import HumanSource, People, people_from_trials, read_people
    from whisperprobe.comparison.people_simulation import ResponseModel, simulate_responses, simulate_study
    from whisperprobe.comparison.pronunciations import Pronunciations, open_pronunciations
    from whisperprobe.comparison.reliability import Reliability, split_half
    from whisperprobe.comparison.result import PairedChange
    from whisperprobe.comparison.sounds import Sounds, compare_sounds
    from whisperprobe.comparison.summary import summarise

__all__ = [
    "Comparison",
    "HumanSource",
    "PairedChange",
    "People",
    "PeopleComparison",
    "ProbeRun",
    "Pronunciations",
    "Reliability",
    "ResponseModel",
    "Sounds",
    "compare",
    "compare_sounds",
    "compare_with_people",
    "condition_effects",
    "listener_agreement",
    "load_comparison",
    "open_pronunciations",
    "people_from_trials",
    "read_people",
    "simulate_responses",
    "simulate_study",
    "split_half",
    "summarise",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "agreement": ["listener_agreement"],
        "conditions": ["Comparison", "ProbeRun", "compare", "load_comparison"],
        "effects": ["condition_effects"],
        "people": ["PeopleComparison", "compare_with_people"],
        "people_data": ["HumanSource", "People", "people_from_trials", "read_people"],
        "people_simulation": ["ResponseModel", "simulate_responses", "simulate_study"],
        "pronunciations": ["Pronunciations", "open_pronunciations"],
        "reliability": ["Reliability", "split_half"],
        "result": ["PairedChange"],
        "sounds": ["Sounds", "compare_sounds"],
        "summary": ["summarise"],
    },
)
