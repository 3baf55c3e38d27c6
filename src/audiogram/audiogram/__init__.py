"""Audiograms, and fast, differentiable, pluggable hearing-loss filters for sound and corpora of speech.

Everything public is here, loaded when first used: `import audiogram` imports no numerical library but NumPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from audiogram.lazy_names import lazy_names

__version__ = "1.0.0"

if TYPE_CHECKING:
    from audiogram.audiogram_tables import from_table, to_table
    from audiogram.bounds import AtLeast, AtMost
    from audiogram.corpus.mask import mask_corpus
    from audiogram.corpus.sources import open_corpus
    from audiogram.fhir import from_fhir, to_fhir
    from audiogram.filters.registry import get_filter, list_filters
    from audiogram.hearing_by_age import iso7029
    from audiogram.intelligibility import matched
    from audiogram.interchange import read_json, write_json
    from audiogram.kernels.threads import get_threads, set_threads
    from audiogram.listener import Listener
    from audiogram.listening import Condition, apply_conditions, condition, conditions
    from audiogram.plotting import plot_audiogram
    from audiogram.plotting_sound import plot_gain, plot_spectrograms
    from audiogram.sampling import random_audiogram, random_audiograms
    from audiogram.sound import read, resample, write
    from audiogram.standard_audiograms import preset, presets
    from audiogram.thresholds import Audiogram

__all__ = [
    "AtLeast",
    "AtMost",
    "Audiogram",
    "Condition",
    "Listener",
    "__version__",
    "apply_conditions",
    "condition",
    "conditions",
    "from_fhir",
    "from_table",
    "get_filter",
    "get_threads",
    "iso7029",
    "list_filters",
    "mask_corpus",
    "matched",
    "open_corpus",
    "plot_audiogram",
    "plot_gain",
    "plot_spectrograms",
    "preset",
    "presets",
    "random_audiogram",
    "random_audiograms",
    "read",
    "read_json",
    "resample",
    "set_threads",
    "to_fhir",
    "to_table",
    "write",
    "write_json",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "audiogram_tables": ["from_table", "to_table"],
        "bounds": ["AtLeast", "AtMost"],
        "corpus.mask": ["mask_corpus"],
        "corpus.sources": ["open_corpus"],
        "fhir": ["from_fhir", "to_fhir"],
        "filters.registry": ["get_filter", "list_filters"],
        "hearing_by_age": ["iso7029"],
        "intelligibility": ["matched"],
        "interchange": ["read_json", "write_json"],
        "listener": ["Listener"],
        "kernels.threads": ["get_threads", "set_threads"],
        "listening": ["Condition", "apply_conditions", "condition", "conditions"],
        "sampling": ["random_audiogram", "random_audiograms"],
        "plotting": ["plot_audiogram"],
        "plotting_sound": ["plot_gain", "plot_spectrograms"],
        "sound": ["read", "resample", "write"],
        "standard_audiograms": ["preset", "presets"],
        "thresholds": ["Audiogram"],
    },
)
