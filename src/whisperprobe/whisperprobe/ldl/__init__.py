"""Linear discriminative learning, the second listener: cues, meanings, learning, measures; loaded when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audiogram.lazy_names import lazy_names

if TYPE_CHECKING:
    from whisperprobe.ldl.chunks import chunk_boundaries, smoothed_envelope
    from whisperprobe.ldl.chunks_plot import plot_chunks
    from whisperprobe.ldl.cues_corpus import write_cues
    from whisperprobe.ldl.cues_matrix import CueMatrix, CueShape, cue_matrix
    from whisperprobe.ldl.cues_reading import CueRows, StoredCues, open_cues
    from whisperprobe.ldl.cues_summaries import cfbsf
    from whisperprobe.ldl.evaluate import evaluate_corpus
    from whisperprobe.ldl.fit import train_corpus
    from whisperprobe.ldl.learning import learn
    from whisperprobe.ldl.measures import Lexicon, MeaningMeasures, form_support, functional_loads, meaning_measures
    from whisperprobe.ldl.model import LdlModel, load_ldl_model
    from whisperprobe.ldl.results import LdlResult, load_ldl
    from whisperprobe.ldl.semantics import Semantics, WordVectors, open_semantics
    from whisperprobe.ldl.solutions import endstate, frequency_informed

__all__ = [
    "CueMatrix",
    "CueRows",
    "CueShape",
    "LdlModel",
    "LdlResult",
    "Lexicon",
    "MeaningMeasures",
    "Semantics",
    "StoredCues",
    "WordVectors",
    "cfbsf",
    "chunk_boundaries",
    "cue_matrix",
    "endstate",
    "evaluate_corpus",
    "form_support",
    "frequency_informed",
    "functional_loads",
    "learn",
    "load_ldl",
    "load_ldl_model",
    "meaning_measures",
    "open_cues",
    "open_semantics",
    "plot_chunks",
    "smoothed_envelope",
    "train_corpus",
    "write_cues",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "chunks": ["chunk_boundaries", "smoothed_envelope"],
        "chunks_plot": ["plot_chunks"],
        "cues_corpus": ["write_cues"],
        "cues_matrix": ["CueMatrix", "CueShape", "cue_matrix"],
        "cues_reading": ["CueRows", "StoredCues", "open_cues"],
        "cues_summaries": ["cfbsf"],
        "evaluate": ["evaluate_corpus"],
        "fit": ["train_corpus"],
        "learning": ["learn"],
        "measures": ["Lexicon", "MeaningMeasures", "form_support", "functional_loads", "meaning_measures"],
        "model": ["LdlModel", "load_ldl_model"],
        "results": ["LdlResult", "load_ldl"],
        "semantics": ["Semantics", "WordVectors", "open_semantics"],
        "solutions": ["endstate", "frequency_informed"],
    },
)
