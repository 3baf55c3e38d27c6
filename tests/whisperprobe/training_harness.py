"""What tests of training share: tones as words, a small shape, faults at a given step, and how to compare runs."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

RATE = 16_000
PITCHES = {"low": 200, "mid": 700, "high": 2000, "top": 5000}
SHAPE = {"d_model": 64, "encoder_layers": 1, "decoder_layers": 1, "window_seconds": 1, "max_target_positions": 32}
SHORT = {"batch_size": 8, "max_steps": 10, "save_every": 4, "learning_rate": 1e-3, "warmup_steps": 2, "evaluate": False}
# processes of a test share two cores with everything else, and find each other on this machine alone
QUIET = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}


def word(name: str, rng: np.random.Generator, seconds: float | None = None) -> np.ndarray:
    """A tone of a word's pitch, 0.3 to 0.9 s long."""
    n = round(RATE * (rng.uniform(0.3, 0.9) if seconds is None else seconds))
    tone = 0.3 * np.sin(2 * np.pi * PITCHES[name] * rng.uniform(0.95, 1.05) * np.arange(n) / RATE)
    return (tone + 0.005 * rng.standard_normal(n)).astype(np.float32)


def write_clips(folder: Path, clips: Sequence[tuple[np.ndarray, str]], split: str = "train") -> Path:
    """Write one split of a folder of audio, with its texts."""
    (folder / split).mkdir(parents=True)
    rows = ["file_name,text"]
    for i, (x, text) in enumerate(clips):
        soundfile.write(folder / split / f"{i:02}.wav", x, RATE, subtype="FLOAT")
        rows.append(f"{i:02}.wav,{text}")
    (folder / split / "metadata.csv").write_text("\n".join(rows) + "\n")
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a model folder."""
    return load_file(folder / "model.safetensors")


def same_weights(a: Path, b: Path) -> bool:
    """Whether two models are equal to the last bit."""
    left, right = weights(a), weights(b)
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def curve(folder: Path, table: str = "training.csv") -> list[dict[str, str]]:
    """Rows of a run's table, without what depends on the machine."""
    with (folder / table).open() as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row.pop("memory_gb", None)
    return rows


def same_curves(a: Path, b: Path, table: str = "training.csv") -> bool:
    """Whether two runs wrote the same rows, speed aside."""
    left, right = curve(a, table), curve(b, table)
    for row in [*left, *right]:
        row.pop("clips_per_second", None)
    return left == right


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], None]) -> None:
    """Do something right after an optimiser step."""
    from whisperprobe.training.watching import Manners

    plain = Manners.on_step_end

    def wrapped(self: Any, args: Any, state: Any, control: Any, **given: Any) -> None:
        if state.global_step == step:
            act()
        plain(self, args, state, control, **given)

    monkeypatch.setattr(Manners, "on_step_end", wrapped)


class Killed(BaseException):
    """Stands for the end of the process: nothing in the library catches it."""


def kill() -> None:
    """End the process, as far as the library can tell."""
    raise Killed
