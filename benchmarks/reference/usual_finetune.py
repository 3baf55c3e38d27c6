"""The usual way to fine-tune Whisper: log-mel features saved with `datasets`, padded by a collator, the stock trainer.

What notebooks and blog posts on the subject do, with nothing of this project: the extractor's features of whole windows
lie in a saved dataset, `datasets` hands them out as lists, the collator makes arrays of them and pads the labels.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, load_from_disk
from transformers import (
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    TrainerCallback,
    WhisperForConditionalGeneration,
    WhisperProcessor,
)


def save_features(
    waveforms: Sequence[np.ndarray], texts: Sequence[str], processor: WhisperProcessor, folder: Path
) -> None:
    """Compute the features of every clip and save them as a dataset of `input_features` and `labels`."""
    sound = Dataset.from_dict({"row": list(range(len(texts)))})

    def features(row: dict[str, Any]) -> dict[str, Any]:
        x = waveforms[row["row"]]
        made = processor.feature_extractor(x, sampling_rate=16_000)
        return {
            "input_features": made.input_features[0],
            "labels": processor.tokenizer(texts[row["row"]]).input_ids,
        }

    sound.map(features, remove_columns=["row"]).save_to_disk(folder)


@dataclass
class Collator:
    """Features as a batch; labels padded, their padding set to -100, their start token cut off: the model adds it."""

    processor: WhisperProcessor
    start: int

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        extractor, tokenizer = self.processor.feature_extractor, self.processor.tokenizer
        batch = extractor.pad([{"input_features": row["input_features"]} for row in rows], return_tensors="pt")
        padded = tokenizer.pad([{"input_ids": row["labels"]} for row in rows], return_tensors="pt")
        labels = padded["input_ids"].masked_fill(padded.attention_mask.ne(1), -100)
        if bool((labels[:, 0] == self.start).all()):
            labels = labels[:, 1:]
        return {**batch, "labels": labels}


class _Clock(TrainerCallback):
    def __init__(self, every: int) -> None:
        self.every, self.stamps, self.losses = every, [], []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.stamps.append(time.monotonic())

    def on_log(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if "loss" in given["logs"]:
            self.stamps.append(time.monotonic())
            self.losses.append(given["logs"]["loss"])


def train(
    model: Path, features: Path, order: Sequence[int], *, steps: int, batch_size: int, learning_rate: float,
    log_every: int, device: str, workers: int = 0, bf16: bool = False,
) -> tuple[float, list[float]]:  # fmt: skip
    """Fine-tune on rows of the saved dataset in a given order; returns clips per second and the logged losses."""
    whisper: Any = WhisperForConditionalGeneration.from_pretrained(model)
    processor: Any = WhisperProcessor.from_pretrained(model)
    whisper.config.use_cache = False
    data = load_from_disk(str(features)).select(list(order))
    clock = _Clock(log_every)
    with tempfile.TemporaryDirectory() as out:
        arguments = Seq2SeqTrainingArguments(
            output_dir=out, per_device_train_batch_size=batch_size, max_steps=steps, learning_rate=learning_rate,
            logging_steps=log_every, save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=device == "cpu",
            train_sampling_strategy="sequential", dataloader_num_workers=workers, bf16=bf16, log_level="error",
            remove_unused_columns=False,
        )  # fmt: skip
        trainer = Seq2SeqTrainer(
            model=whisper, args=arguments, train_dataset=data, processing_class=processor.feature_extractor,
            data_collator=Collator(processor, whisper.config.decoder_start_token_id), callbacks=[clock],
        )  # fmt: skip
        trainer.train()
    each = [b - a for a, b in zip(clock.stamps[1:-1], clock.stamps[2:], strict=True)]
    return batch_size * log_every / statistics.median(each), clock.losses
