"""A tiny study: tones as words, voices as pitches, a model of a few thousand parameters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from whisperprobe.study import StudyResult, run_study

WORDS = {"low": (1, 2), "high": (9, 12), "rise": (2, 11), "fall": (11, 2)}  # harmonics of the two halves
VOICES = {"ann": 180.0, "bob": 220.0, "cat": 200.0}

TINY = """
name = "tones"
seeds = [1]

[corpus]
source = "speech"
text_pattern = '(?P<text>[a-z]+)_(?P<voice>[a-z]+)'
split = { column = "voice", test = ["cat"], validation = 0 }

[conditions]
use = ["normal", "hfloss"]

[model.from_scratch]
d_model = 16
encoder_layers = 1
decoder_layers = 1
attention_heads = 2
ffn_dim = 32
window_seconds = 1
max_target_positions = 16
vocabulary_size = 300
max_steps = 8
batch_size = 8
learning_rate = 1e-2

[finetune]
max_steps = 2
learning_rate = 1e-3

[probe]
top_k = 5

[compare]
resamples = 200
"""


def write_speech(folder: Path) -> Path:
    """Write 4 words in 3 voices, 0.3 s each, named word_voice.wav."""
    folder.mkdir(parents=True)
    time = np.arange(2400) / 16_000
    for word, harmonics in WORDS.items():
        for voice, pitch in VOICES.items():
            halves = [np.sin(2 * np.pi * pitch * h * time) + 0.5 * np.sin(2 * np.pi * pitch * time) for h in harmonics]
            soundfile.write(folder / f"{word}_{voice}.wav", 0.3 * np.concatenate(halves), 16_000)
    return folder


@pytest.fixture(scope="session")
def tiny_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the study file, with its recordings beside it."""
    folder = tmp_path_factory.mktemp("tiny")
    write_speech(folder / "speech")
    (folder / "study.toml").write_text(TINY, encoding="utf-8")
    return folder / "study.toml"


@pytest.fixture(scope="session")
def finished(tiny_study: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    """Run the tiny study once."""
    return run_study(tiny_study, tmp_path_factory.mktemp("finished") / "out")
