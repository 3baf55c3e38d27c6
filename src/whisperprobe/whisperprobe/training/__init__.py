"""Fine-tuning Whisper: data, augmentation, tokenizer, trainer, metrics; names are loaded when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audiogram.lazy_names import lazy_names

if TYPE_CHECKING:
    from whisperprobe.training.augment import Augmentation
    from whisperprobe.training.metrics import text_scores
    from whisperprobe.training.tokenizer import train_tokenizer
    from whisperprobe.training.trainer import FinetuneResult, finetune

__all__ = ["Augmentation", "FinetuneResult", "finetune", "text_scores", "train_tokenizer"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "augment": ["Augmentation"],
        "metrics": ["text_scores"],
        "tokenizer": ["train_tokenizer"],
        "trainer": ["FinetuneResult", "finetune"],
    },
)
