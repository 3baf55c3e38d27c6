"""Linear discriminative learning, the second listener: cues, meanings, learning, measures; loaded when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audiogram.lazy_names import lazy_names

if TYPE_CHECKING:
    from whisperprobe.ldl.chunks import chunk_boundaries, smoothed_envelope
    from whisperprobe.ldl.cues_corpus import write_cues
    from whisperprobe.ldl.cues_matrix import CueMatrix, CueShape, cue_matrix
    from whisperprobe.ldl.cues_reading import CueRows, StoredCues, open_cues
    from whisperprobe.ldl.cues_summaries import cfbsf
    from whisperprobe.ldl.learning import learn
    from whisperprobe.ldl.semantics import Semantics, WordVectors, open_semantics
    from whisperprobe.ldl.solutions import endstate, frequency_informed

__all__ = [
    "CueMatrix",
    "CueRows",
    "CueShape",
    "Semantics",
    "StoredCues",
    "WordVectors",
    "cfbsf",
    "chunk_boundaries",
    "cue_matrix",
    "endstate",
    "frequency_informed",
    "learn",
    "open_cues",
    "open_semantics",
    "smoothed_envelope",
    "write_cues",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "chunks": ["chunk_boundaries", "smoothed_envelope"],
        "cues_corpus": ["write_cues"],
        "cues_matrix": ["CueMatrix", "CueShape", "cue_matrix"],
        "cues_reading": ["CueRows", "StoredCues", "open_cues"],
        "cues_summaries": ["cfbsf"],
        "learning": ["learn"],
        "semantics": ["Semantics", "WordVectors", "open_semantics"],
        "solutions": ["endstate", "frequency_informed"],
    },
)
