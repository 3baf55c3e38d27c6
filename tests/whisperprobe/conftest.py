"""Synthetic probe runs, with made-up numbers that tests can reason about; tones as words, and a model of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # training_harness, for the tests of training

if TYPE_CHECKING:
    from whisperprobe.training.trainer import FinetuneResult

WORDS = ["sick", "thick", "fish", "ship", "chip", "moon", "noon", "bed", "bad", "five", "nine", "three"]
ACCURACY = {
    ("base", "normal"): 0.98, ("base", "lfloss"): 0.25, ("base", "hfloss"): 0.15,
    ("normal", "normal"): 0.99, ("normal", "lfloss"): 0.25, ("normal", "hfloss"): 0.15,
    ("lfloss", "normal"): 0.30, ("lfloss", "lfloss"): 0.95, ("lfloss", "hfloss"): 0.10,
    ("hfloss", "normal"): 0.20, ("hfloss", "lfloss"): 0.12, ("hfloss", "hfloss"): 0.93,
}  # fmt: skip


def write_run(folder: Path, clips: pd.DataFrame, *, manifest: Mapping[str, Any] | None = None) -> Path:
    """Write a finished probe run with one part of one split."""
    part = "test-00000-of-00001.parquet"
    tokens = pd.DataFrame({"clip_id": clips["clip_id"], "decoding": "greedy", "position": 0, "surprisal": 1.0})
    truth = pd.DataFrame({"clip_id": clips["clip_id"], "position": 0, "target_index": 0, "rank": 1})
    failures = pa.table({"id": pa.array([], pa.string()), "error": pa.array([], pa.string())})
    for name, table in {"clips": clips, "tokens": tokens, "ground_truth": truth}.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        if len(table):
            pq.write_table(pa.Table.from_pandas(table, preserve_index=False), folder / name / part)
    (folder / "failures").mkdir(exist_ok=True)
    pq.write_table(failures, folder / "failures" / part)
    about = {
        "stage": "probe",
        "options": {"model": "models/base", "condition": None, "vectors": "none", "top_k": 10},
        "versions": {"whisperprobe": "1.0.0"},
        "plan": {"rows": {"test": len(clips)}, "rows_per_part": max(256, len(clips))},
    }
    (folder / "manifest.json").write_text(json.dumps({**about, **(manifest or {})}))
    return folder


def make_clips(accuracy: float, *, seed: int = 0, words: Sequence[str] = tuple(WORDS), voices: int = 6) -> pd.DataFrame:
    """Every word spoken by every voice, understood with the given probability."""
    rng = np.random.default_rng([seed, round(1000 * accuracy)])
    rows = []
    for word in words:
        chance = np.clip(accuracy + rng.normal(0, 0.1), 0, 1)
        for voice in range(voices):
            right = bool(rng.random() < chance)
            rows.append(
                {
                    "clip_id": f"voice{voice}/{word}",
                    "text": word,
                    "prediction": word if right else words[(words.index(word) + 1) % len(words)],
                    "correct": right,
                    "n_tokens": 3,
                    "word_surprisal": float(rng.gamma(2, 0.1 if right else 4)),
                    "word_mean_rank": float(1 if right else 1 + rng.integers(1, 400)),
                    "voice": f"voice{voice}",
                }
            )
    return pd.DataFrame(rows)


@pytest.fixture
def write_probe_run() -> Callable[..., Path]:
    """`write_probe_run(folder, clips, manifest=None)`: a finished probe run on disk."""
    return write_run


@pytest.fixture
def synthetic_clips() -> Callable[..., pd.DataFrame]:
    """`synthetic_clips(accuracy, seed=0, words=..., voices=6)`: the clips table of a made-up run."""
    return make_clips


@pytest.fixture(scope="session")
def study_runs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, str, str, int]]:
    """A whole synthetic study on disk, two seeds: (folder, model, condition, seed) of every run."""
    root = tmp_path_factory.mktemp("study")
    runs = []
    for seed in (1, 2):
        for (model, condition), accuracy in ACCURACY.items():
            folder = root / f"seed-{seed}" / "probes" / model / condition
            runs.append((write_run(folder, make_clips(accuracy, seed=seed)), model, condition, seed))
    return runs


@pytest.fixture(scope="session")
def tone_words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four words that are told apart by pitch: 60 clips to learn from, 12 to validate with."""
    import training_harness as harness

    folder, rng = tmp_path_factory.mktemp("speech"), np.random.default_rng(0)
    for split, count in (("train", 60), ("validation", 12)):
        names = [list(harness.PITCHES)[i % 4] for i in range(count)]
        harness.write_clips(folder, [(harness.word(name, rng), name) for name in names], split)
    return folder


@pytest.fixture(scope="session")
def tone_listener(tone_words: Path, tmp_path_factory: pytest.TempPathFactory) -> FinetuneResult:
    """A model that has learnt the four words from random weights. Not to be written to."""
    from training_harness import SHAPE

    from whisperprobe.training.trainer import finetune

    out = tmp_path_factory.mktemp("models") / "base"
    return finetune(
        tone_words, out, from_config=SHAPE, vocabulary_size=300, max_steps=80, learning_rate=3e-3,
        warmup_steps=10, batch_size=16, scheduler="cosine",
    )  # fmt: skip
