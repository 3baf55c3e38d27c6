"""What a stage of a study is expected to cost, in seconds and bytes: counts of operations over measured rates.

The rates come from `benchmarks/RESULTS.md` (Intel Xeon, one core) where it has them. Rates of GPUs were never measured
there: a GPU's is its peak times an assumed share. Both are corrected by what earlier stages took (`study_timings`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whisperprobe.json_files import read_json
from whisperprobe.study_graph import StagePlan

__all__ = ["Cost", "Machine", "Shape", "expected_cost", "model_shape"]

START = {  # s: imports, the model
    "mask": 4.0, "finetune": 9.0, "probe": 9.0, "ldl-train": 5.0, "ldl-evaluate": 5.0, "compare": 3.0, "report": 5.0,
}  # fmt: skip
MASK = 0.001, 0.00054  # s of one core per clip and condition, and per s of sound (corpus.py: 11.1 ms for 3 of 5 s)
HANDLING = {"finetune": 0.003, "probe": 0.015}  # s per clip beside the model: sound in, tables out (probe.py)
CPU = 8e10  # operations/s of a core (probe.py: encoder of whisper-tiny, 0.39 s for 3.7e10)
GPU = 3e14  # operations/s of an H100: 30 % of its peak in bfloat16, an assumption
SOUND = {"flac24": 30_000, "flac16": 18_000, "wav": 32_000, "wav32f": 64_000}  # bytes per s at 16 kHz (spoken words)
PROBE = 30_000, 700  # bytes of a part's tables, and of a clip's rows, beside vectors (the demo's runs)
CUES = {"cfbsf": (0.002, 0.003), "log-mel": (0.002, 0.0005)}  # s of one core per word, and per s of it (ldl_cues.py)
CHUNKS = 5  # of C-FBSF cues per second
DIMENSIONS = 300  # of fastText's vectors
UNDERSTOOD = 15_000, 180  # bytes of a part's tables of what a lexicon understood, and of a word's rows
POSITIONS = 50  # encoder positions per second


@dataclass(frozen=True)
class Clips:
    """What a stage goes through: how many clips, in how many parts; `seconds` and `characters` of one on average."""

    count: int
    parts: int = 1
    seconds: float = 5.0
    characters: float = 40.0

    @property
    def tokens(self) -> float:
        """Of one clip as Whisper writes it, end token included; the prompt left out."""
        return self.characters / 4 + 1.5


@dataclass(frozen=True)
class Machine:
    """What one task of a stage works with: `cores` processes that filter, or `gpus`."""

    cores: int = 1
    gpus: int = 0


@dataclass(frozen=True)
class Shape:
    """A Whisper's size: width, layers, feed-forward width, vocabulary, seconds of its window."""

    width: int
    encoder_layers: int
    decoder_layers: int
    feed_forward: int
    vocabulary: int
    window: float = 30.0

    @property
    def parameters(self) -> int:
        """Number of weights, biases and norms left out."""
        own, cross = 4 * self.width**2, 4 * self.width**2
        wide = 2 * self.width * self.feed_forward
        return (
            self.encoder_layers * (own + wide)
            + self.decoder_layers * (own + cross + wide)
            + self.width * (self.vocabulary + round(self.window * POSITIONS) + 448)
        )

    def operations(self, tokens: float) -> float:
        """Of hearing one clip and reading its text: the encoder over the whole window, the decoder token by token."""
        positions = self.window * POSITIONS
        layer = 4 * self.width**2 + 2 * self.width * self.feed_forward
        encoder = self.encoder_layers * (2 * layer * positions + 4 * positions**2 * self.width)
        keys = 4 * self.width**2 * positions * self.decoder_layers
        text = 2 * tokens * (self.decoder_layers * (layer + 2 * self.width**2) + self.width * self.vocabulary)
        return encoder + keys + text


@dataclass(frozen=True)
class Cost:
    """`seconds` of all of a stage's tasks together, `start` of which every task has once; `bytes` that stay."""

    seconds: float
    start: float
    bytes: float

    def scaled(self, time: float, space: float) -> Cost:
        """The same with a machine's factors."""
        return Cost(self.seconds * time, self.start * time, self.bytes * space)


# Width, layers, vocabulary of OpenAI's models; their feed-forward width is four times the width.
_PUBLISHED = {
    "tiny": (384, 4, 4, 51865), "base": (512, 6, 6, 51865), "small": (768, 12, 12, 51865),
    "medium": (1024, 24, 24, 51865), "large": (1280, 32, 32, 51866), "turbo": (1280, 32, 4, 51866),
}  # fmt: skip


def model_shape(model: str | None, config: Mapping[str, Any] | None = None) -> Shape:
    """Size of a model: from its folder, from the shape of a new one, or by the name that OpenAI gave it."""
    if model is not None and (Path(model) / "config.json").is_file():
        config = read_json(Path(model) / "config.json", "copy the model folder again")
    if config is not None:
        heard = config.get("max_source_positions")
        width, layers = int(config.get("d_model", 384)), int(config.get("encoder_layers", 4))
        return Shape(
            width=width,
            encoder_layers=layers,
            decoder_layers=int(config.get("decoder_layers", 4)),
            feed_forward=int(config.get("encoder_ffn_dim") or config.get("ffn_dim") or 4 * width),
            vocabulary=int(config.get("vocab_size") or config.get("vocabulary_size") or 512),
            window=heard / POSITIONS if heard else float(config.get("window_seconds", 30)),
        )
    known = next((name for name in ("turbo", *_PUBLISHED) if name in str(model)), "large")
    width, encoder, decoder, vocabulary = _PUBLISHED[known]
    return Shape(width, encoder, decoder, 4 * width, vocabulary)


def _lexicon_cost(stage: StagePlan, clips: Clips, machine: Machine, dimensions: int) -> Cost:
    """Of learning a lexicon, or of listening with one: cues of every word, then products with the weights."""
    options, start, n = stage.options, START[stage.kind], clips.count
    kind = stage.name.split(".")[1]
    each, per_second = CUES[kind]
    cues = 50_048 if kind == "log-mel" else 630 * math.ceil(CHUNKS * clips.seconds)
    hearing = (each + per_second * clips.seconds) / machine.cores
    speed = GPU * machine.gpus if machine.gpus else CPU * math.sqrt(machine.cores)
    if stage.kind == "ldl-evaluate":
        part, row = UNDERSTOOD
        return Cost(n * (hearing + 2 * cues * dimensions / speed), start, clips.parts * part + n * row)
    ways, epochs = 1 + options.get("production", True), options.get("epochs", 1)
    learning = 4.0 * n * cues * dimensions * ways  # passes over the weights, and as many back
    if options["rule"] in ("endstate", "fil"):
        least = min(n, cues)
        learning = 2.0 * least * n * cues + least**3 / 3
    stored = 4 * (128 * 100 if kind == "log-mel" else 630 * CHUNKS) * clips.seconds
    return Cost(n / epochs * hearing + learning / speed, start, 4.0 * ways * cues * dimensions + n / epochs * stored)


def expected_cost(stage: StagePlan, clips: Clips, machine: Machine, shape: Shape | None = None) -> Cost:
    """Expect what a stage takes and writes, on the machine of the benchmarks.

    Parameters
    ----------
    stage : StagePlan
        The stage.
    clips : Clips
        What it goes through; of a fine-tuning all that it hears, epoch after epoch.
    machine : Machine
        Of one task.
    shape : Shape, optional
        Of the model, where its folder is yet to be made.

    Returns
    -------
    Cost
    """
    options, start, n = stage.options, START[stage.kind], clips.count
    if stage.kind == "mask":
        heard, (each, per_second) = n * len(options["conditions"]), MASK
        sound = SOUND[options.get("format", "flac24")] * clips.seconds
        return Cost(heard * (each + per_second * clips.seconds) / machine.cores, start, heard * sound)
    if stage.kind == "compare":
        return Cost(n * 0.0005, start, 5e4 + n * 130)
    if stage.kind == "report":
        return Cost(0.0, start, 6e6)
    if stage.command == "ldl":
        return _lexicon_cost(stage, clips, machine, shape.width if shape is not None else DIMENSIONS)
    shape = shape or model_shape(options.get("model"), options.get("from_config"))
    speed = GPU * machine.gpus if machine.gpus else CPU * math.sqrt(machine.cores)
    each, operations = HANDLING[stage.kind] / max(machine.gpus, 1), shape.operations(clips.tokens)
    if stage.kind == "finetune":  # backward takes twice as long as forward
        return Cost(n * (each + 3 * operations / speed), start, 4.0 * shape.parameters + 85 * shape.vocabulary)
    kept = 0 if options.get("vectors") == "none" else 4 * shape.width + 5 * min(options["top_k"], shape.vocabulary)
    part, row = PROBE
    return Cost(n * (each + operations / speed), start, clips.parts * part + n * (row + clips.tokens * kept))
