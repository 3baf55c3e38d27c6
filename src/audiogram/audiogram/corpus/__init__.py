"""Corpora of sound: sources, row stages that lose nothing, masked corpora. Loaded when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audiogram.lazy_names import lazy_names

if TYPE_CHECKING:
    from audiogram.corpus.clips import MAX_SECONDS, Clip
    from audiogram.corpus.layout import Part, Shard, plan_parts
    from audiogram.corpus.manifest import is_complete, read_manifest, stage_parts
    from audiogram.corpus.mask import mask_corpus
    from audiogram.corpus.selection import SplitRule
    from audiogram.corpus.sources import Corpus, open_corpus
    from audiogram.corpus.stages import StageReport, run_stage
    from audiogram.corpus.writer import PartWriter

__all__ = [
    "MAX_SECONDS",
    "Clip",
    "Corpus",
    "Part",
    "PartWriter",
    "Shard",
    "SplitRule",
    "StageReport",
    "is_complete",
    "mask_corpus",
    "open_corpus",
    "plan_parts",
    "read_manifest",
    "run_stage",
    "stage_parts",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "clips": ["MAX_SECONDS", "Clip"],
        "layout": ["Part", "Shard", "plan_parts"],
        "manifest": ["is_complete", "read_manifest", "stage_parts"],
        "mask": ["mask_corpus"],
        "selection": ["SplitRule"],
        "sources": ["Corpus", "open_corpus"],
        "stages": ["StageReport", "run_stage"],
        "writer": ["PartWriter"],
    },
)
