"""What listeners are probed with: the demo's model and speech, and random models of OpenAI's and of text."""

from __future__ import annotations

import socket
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

import whisperprobe
from audiogram import sound
from audiogram.corpus import open_corpus

DEMO = Path(whisperprobe.__file__).parent / "demo"
RATE = 16_000
torch.set_num_threads(1)


def offline() -> None:
    """Whatever a package would fetch, it fails to."""

    def refuse(self: socket.socket, address: Any) -> None:
        raise OSError(f"a claim wants to connect to {address}")

    socket.socket.connect = refuse  # type: ignore[method-assign, assignment]


offline()


@cache
def speech(clips: int = 4) -> tuple[list[np.ndarray], list[str]]:
    """Clips of the demo's test speech at 16 kHz, and what is said in them."""
    found = list(open_corpus(DEMO / "speech").sample(clips, seed=1).read("test"))
    return [sound.resample(*clip.audio(), RATE).astype(np.float32) for clip in found], [str(c.text) for c in found]


def murmur(seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    """Noise, float32: a random model makes of it what it will."""
    return (0.1 * np.random.default_rng(seed).standard_normal(int(RATE * seconds))).astype(np.float32)


@cache
def openai_model() -> Any:
    """An openai-whisper model of random weights over OpenAI's multilingual vocabulary, with windows of 30 s."""
    import whisper

    torch.manual_seed(0)
    model = whisper.model.Whisper(
        whisper.model.ModelDimensions(
            n_mels=80, n_audio_ctx=1500, n_audio_state=32, n_audio_head=2, n_audio_layer=2, n_vocab=51_865,
            n_text_ctx=448, n_text_state=32, n_text_head=2, n_text_layer=2,
        )
    )  # fmt: skip
    with torch.no_grad():  # else it answers with one token over and over
        model.decoder.positional_embedding.normal_(0, 0.5)
    return model.eval()
