"""Corpora of sound: sources, row stages that lose nothing, masked corpora. Loaded when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from audiogram.corpus.clips import MAX_SECONDS, Clip
    from audiogram.corpus.layout import Part, Shard, plan_parts
    from audiogram.corpus.manifest import is_complete, read_manifest, stage_parts
    from audiogram.corpus.mask import mask_corpus
    from audiogram.corpus.selection import SplitRule
    from audiogram.corpus.sources import Corpus, open_corpus
    from audiogram.corpus.stages import StageReport, run_stage
    from audiogram.corpus.writer import PartWriter

_HOMES = {
    "MAX_SECONDS": "clips",
    "Clip": "clips",
    "Corpus": "sources",
    "Part": "layout",
    "PartWriter": "writer",
    "Shard": "layout",
    "SplitRule": "selection",
    "StageReport": "stages",
    "is_complete": "manifest",
    "mask_corpus": "mask",
    "open_corpus": "sources",
    "plan_parts": "layout",
    "read_manifest": "manifest",
    "run_stage": "stages",
    "stage_parts": "manifest",
}

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


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'audiogram.corpus' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"audiogram.corpus.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
