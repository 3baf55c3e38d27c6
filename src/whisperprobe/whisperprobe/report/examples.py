"""Recordings to listen to: which ones, their sound and their spectrograms under every condition."""

from __future__ import annotations

import base64
import io
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from audiogram.errors import InputError
from whisperprobe.comparison.naming import BASE, model_name
from whisperprobe.comparison.result import Comparison
from whisperprobe.report.choosing import fair_order, telling_clips, voices_of
from whisperprobe.report.sources import HeardThrough, SoundReader, SoundSource

__all__ = ["Example", "Heard", "collect_recordings", "media_of", "spectrogram_db"]

SOUND_BUDGET = 5_000_000  # characters of sounds and pictures in a page that stays under 15 MB with plotly's 5 MB
_BATCH = 16  # recordings read at a time
_RANGE_DB = 70.0
_ROWS, _COLUMNS = 128, 220  # pixels of a spectrogram


@dataclass(frozen=True)
class Heard:
    """What one model made of an example under one condition; several seeds' answers side by side."""

    model: str
    answer: str
    correct: bool | None
    surprisal: float


@dataclass(frozen=True)
class Rendered:
    """One condition of an example: sound and picture as data URIs, and what the models heard."""

    condition: str
    audio: str
    picture: str
    heard: tuple[Heard, ...]


@dataclass(frozen=True)
class Example:
    """One recording in every condition."""

    clip_id: str
    text: str
    seconds: float
    top_khz: float
    conditions: tuple[Rendered, ...]


def collect_recordings(
    comparison: Comparison, order: Sequence[str], reference: str, sources: Mapping[str, SoundSource], examples: int
) -> tuple[list[Example], list[Example]]:
    """Read recordings in every condition and render them, as many as the page's size allows.

    Parameters
    ----------
    comparison : Comparison
        What was compared.
    order : sequence of str
        The conditions, in the order of the page.
    reference : str
        The condition that the others are measured against.
    sources : mapping of str to path or HeardThrough
        Where the sound of each condition lies.
    examples : int
        How many telling recordings the page shows without being asked.

    Returns
    -------
    examples, others : list of Example
        The telling ones, and those that can be looked up, all words and voices by turns.

    Raises
    ------
    InputError
        If a corpus does not exist, is not one, or holds none of the clips that were compared.
    """
    shown = [c for c in order if c in sources]
    if not shown:
        return [], []
    readers = {condition: SoundReader(sources[condition]) for condition in shown}
    clips = comparison.clips.drop_duplicates("clip_id")
    for condition, reader in readers.items():
        if not any(clip_id in reader for clip_id in clips["clip_id"]):
            raise InputError(
                f"the corpus {_place(sources[condition])} given for {condition!r} holds none of the compared clips, "
                f"e.g. {clips['clip_id'].iloc[0]!r}. Give the corpus that the probes heard."
            )
    clips = clips[[all(clip_id in reader for reader in readers.values()) for clip_id in clips["clip_id"]]]
    ids = [str(i) for i in clips["clip_id"]]
    telling = telling_clips(comparison, order, reference, examples, ids)
    voices = voices_of(comparison)
    words = [w if isinstance(w, str) else None for w in clips["word"]]
    queue = fair_order(words, ids, [voices[i] for i in ids], first=telling)
    rendered: list[Example] = []
    spent = 0
    while batch := list(itertools.islice(queue, _BATCH)):
        sounds = {c: readers[c].read(batch) for c in shown}
        for clip_id in batch:
            if any(clip_id not in sounds[c] for c in shown):
                continue
            one = _render(comparison, clip_id, {c: sounds[c][clip_id] for c in shown})
            spent += sum(len(r.audio) + len(r.picture) for r in one.conditions)
            if spent > SOUND_BUDGET:
                queue = iter(())
                break
            rendered.append(one)
    first = set(telling)
    return [e for e in rendered if e.clip_id in first], [e for e in rendered if e.clip_id not in first]


def media_of(recordings: Sequence[Example]) -> dict[str, Any]:
    """Sounds and pictures as the page's script looks them up: by clip id, then by condition."""
    return {
        e.clip_id: {
            "seconds": round(e.seconds, 3), "khz": e.top_khz,
            "conditions": {r.condition: {"audio": r.audio, "picture": r.picture} for r in e.conditions},
        }
        for e in recordings
    }  # fmt: skip


def _place(source: SoundSource) -> str:
    return str(source.corpus if isinstance(source, HeardThrough) else source)


def spectrogram_db(x: np.ndarray[Any, Any], rate: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Power in dB (re an arbitrary constant) over frequency and time, for a picture.

    Parameters
    ----------
    x : ndarray, shape (samples,)
        Waveform.
    rate : int
        Sample rate in Hz.

    Returns
    -------
    ndarray, shape (rows, columns)
        Low frequencies first; 25-ms Hann windows, about `columns` of them over the clip, however long it is.
    """
    size = 2 * max(_ROWS, 1 << math.ceil(math.log2(max(0.025 * rate, 2)) - 1))
    window = np.hanning(round(0.025 * rate) + 2)[1:-1]
    x = np.asarray(x, dtype=np.float64)
    padded = np.pad(x, len(window) // 2 + 1)
    starts = np.unique(np.linspace(0, max(len(padded) - len(window), 0), min(_COLUMNS, len(x) + 1)).astype(int))
    frames = np.stack([padded[s : s + len(window)] for s in starts]) * window
    power = np.abs(np.fft.rfft(frames, size, axis=1)[:, : size // 2]) ** 2
    power = power.reshape(len(starts), _ROWS, -1).mean(axis=2)
    return np.asarray(10 * np.log10(power.T + 1e-20))


def _encode(x: np.ndarray[Any, Any], rate: int) -> bytes:
    """FLAC, 16 bit: every current browser plays it, and what one hears is what the model heard."""
    from audiogram import sound

    peak = float(np.max(np.abs(x), initial=0.0))
    return sound.encode(x / peak if peak > 1 else x, rate, "flac16")


def _render(comparison: Comparison, clip_id: str, sounds: Mapping[str, tuple[Any, int]]) -> Example:
    levels = {c: spectrogram_db(x, rate) for c, (x, rate) in sounds.items()}
    loudest = max(float(v.max()) for v in levels.values())
    rows = comparison.clips[comparison.clips["clip_id"] == clip_id]
    rendered = tuple(
        Rendered(
            condition,
            _uri("audio/flac", _encode(*sounds[condition])),
            _uri("image/png", _picture(levels[condition], loudest)),
            tuple(_heard(rows[rows["condition"] == condition], comparison.models, condition)),
        )
        for condition in sounds
    )
    x, rate = next(iter(sounds.values()))
    text = rows["text"].dropna()
    return Example(clip_id, str(text.iloc[0]) if len(text) else "", len(x) / rate, rate / 2000, rendered)


def _heard(rows: pd.DataFrame, models: Iterable[str], condition: str) -> Iterable[Heard]:
    """The unadapted model's answer and that of the model tuned on the condition."""
    for model in (m for m in models if m in (BASE, condition)):
        mine = rows[rows["model"] == model].sort_values("seed")
        if mine.empty:
            continue
        answers = [p.strip() or "(nothing)" if isinstance(p, str) else "(nothing)" for p in mine["prediction"]]
        right = pd.to_numeric(mine["correct"], errors="coerce").dropna()
        surprisal = pd.to_numeric(mine["word_surprisal"], errors="coerce").mean()
        yield Heard(
            model_name(model, (condition,)),
            " / ".join(dict.fromkeys(answers)),
            None if right.empty else bool((right == 1).all()),
            float(surprisal),
        )


def _picture(level: np.ndarray[Any, Any], loudest: float) -> bytes:
    """A palette PNG, high frequencies on top; black is 70 dB below the loudest spot of any condition."""
    from matplotlib import colormaps
    from PIL import Image  # matplotlib's own image library; a palette takes a third of matplotlib's RGBA

    shade = np.clip((level - loudest) / _RANGE_DB + 1, 0, 1)
    image = Image.fromarray((shade[::-1] * 63).astype(np.uint8), mode="P")
    colours = colormaps["magma"](np.linspace(0, 1, 64))[:, :3]
    image.putpalette((255 * colours).astype(np.uint8).tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
