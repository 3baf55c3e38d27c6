"""Fine-tuning Whisper: data, augmentation, tokenizer, trainer, metrics; names are loaded when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whisperprobe.training.augment import Augmentation
    from whisperprobe.training.metrics import text_scores
    from whisperprobe.training.tokenizer import train_tokenizer
    from whisperprobe.training.trainer import FinetuneResult, finetune

_HOMES = {
    "Augmentation": "augment",
    "FinetuneResult": "trainer",
    "finetune": "trainer",
    "text_scores": "metrics",
    "train_tokenizer": "tokenizer",
}

__all__ = ["Augmentation", "FinetuneResult", "finetune", "text_scores", "train_tokenizer"]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'whisperprobe.training' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"whisperprobe.training.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
