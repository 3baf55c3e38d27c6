"""What a training run starts from: a device, a corpus, a tokenizer, a model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiogram.errors import InputError
from whisperprobe.devices import chosen_device

if TYPE_CHECKING:
    from audiogram import Condition
    from whisperprobe.training.model_folder import Listener

__all__ = ["corpus_of", "device_of", "listener_of", "tokenizer_digest"]


def device_of(name: str) -> str:
    """Resolve the option: "cpu", or "cuda" for the GPU that belongs to this process."""
    if name.startswith("cuda:"):
        number = name.partition(":")[2]
        raise InputError(
            f"finetune trains on the first GPU that it sees, and device is {name!r}. Set CUDA_VISIBLE_DEVICES={number} "
            "and give device 'cuda'; for several GPUs start it by torchrun --nproc-per-node N."
        )
    return chosen_device(name)


def corpus_of(
    source: Any, hearing: Condition | None, max_samples: int | None, seed: int, reading: Mapping[str, Any]
) -> tuple[Any, Any]:
    """The corpus to train on, and the condition that it was masked with, if it was."""
    from whisperprobe.training.data import open_speech, training_split

    corpus = open_speech(source, **reading)
    if max_samples is not None:
        corpus = corpus.sample(max_samples, seed)
    training_split(corpus)
    masked = (corpus.manifest or {}).get("condition")
    if masked and hearing is not None:
        name = masked.get("name") if isinstance(masked, Mapping) else masked
        raise InputError(
            f"the corpus is filtered already (condition {name!r}), and condition {hearing.name!r} would filter it "
            "again. Give the unfiltered corpus, or no condition."
        )
    return corpus, masked


def tokenizer_digest(folder: str | Path | None) -> str | None:
    """SHA-256 of a given tokenizer; None where none is given."""
    if folder is None:
        return None
    file = Path(folder) / "tokenizer.json"
    if not file.is_file():
        raise InputError(f"{folder} has no tokenizer.json; give the folder of a WhisperTokenizer.")
    return hashlib.sha256(file.read_bytes()).hexdigest()


def listener_of(
    corpus: Any, model: Any, shape: Any, vocabulary_size: int, tokenizer: Any, language: str, task: str, seed: int
) -> Listener:
    """The model to train further, or a new one with a tokenizer that is given or learnt from the texts."""
    from whisperprobe.labels import language_code
    from whisperprobe.training.model_folder import load_listener, new_listener

    if model is not None:
        return load_listener(model)
    code = language_code(language)
    if tokenizer is not None:
        from transformers import WhisperTokenizer

        words = WhisperTokenizer.from_pretrained(str(tokenizer))
    else:
        from whisperprobe.training.tokenizer import train_tokenizer

        texts = (row["text"] or "" for row in corpus.rows("train"))
        words = train_tokenizer(texts, vocabulary_size, languages=[code], task=task)
    return new_listener(shape, words, language=code, task=task, seed=seed)
