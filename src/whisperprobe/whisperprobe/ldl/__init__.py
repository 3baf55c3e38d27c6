"""Linear discriminative learning, the second listener: cues, meanings, learning, measures; loaded when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audiogram.lazy_names import lazy_names

if TYPE_CHECKING:
    from whisperprobe.ldl.chunks import chunk_boundaries, smoothed_envelope
    from whisperprobe.ldl.cues_matrix import CueMatrix, CueShape, cue_matrix
    from whisperprobe.ldl.cues_summaries import cfbsf
    from whisperprobe.ldl.learning import learn
    from whisperprobe.ldl.semantics import Semantics, WordVectors, open_semantics
    from whisperprobe.ldl.solutions import endstate, frequency_informed

__all__ = [
    "CueMatrix",
    "CueShape",
    "Semantics",
    "WordVectors",
    "cfbsf",
    "chunk_boundaries",
    "cue_matrix",
    "endstate",
    "frequency_informed",
    "learn",
    "open_semantics",
    "smoothed_envelope",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "chunks": ["chunk_boundaries", "smoothed_envelope"],
        "cues_matrix": ["CueMatrix", "CueShape", "cue_matrix"],
        "cues_summaries": ["cfbsf"],
        "learning": ["learn"],
        "semantics": ["Semantics", "WordVectors", "open_semantics"],
        "solutions": ["endstate", "frequency_informed"],
    },
)
