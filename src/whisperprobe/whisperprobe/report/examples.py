"""Recordings to listen to: which ones, their sound and their spectrograms under every condition."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from audiogram.errors import InputError
from whisperprobe.comparison.result import BASE, Comparison, model_name
from whisperprobe.comparison.summary import worst_words

if TYPE_CHECKING:
    from audiogram.corpus.clips import Clip

__all__ = ["Example", "Heard", "choose_clips", "collect_examples", "spectrogram_db"]

AUDIO_BUDGET = 6_000_000  # bytes of sound in a page that stays under 15 MB with plotly's 5 MB
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


def choose_clips(comparison: Comparison, order: Sequence[str], reference: str, examples: int) -> list[str]:
    """Clip ids to show, telling ones first: words that the unadapted model lost, condition by condition in turn.

    Of each word the recording is taken in which most conditions changed the answer, the first id where several do.
    Where too few words suffered, the others follow in alphabetical order.
    """
    clips = comparison.clips[comparison.clips["word"].notna()]
    base = clips[clips["model"] == BASE]
    base = base if len(base) else clips
    right = pd.Series(pd.to_numeric(base["correct"], errors="coerce"), index=base.index)
    shares = right.groupby([base["word"], base["clip_id"], base["condition"]]).mean().unstack("condition")
    before = shares.get(reference, pd.Series(1.0, index=shares.index))
    lost = shares.drop(columns=reference, errors="ignore").rsub(before, axis=0).sum(axis=1)
    telling = lost.reset_index(name="lost").sort_values(["lost", "clip_id"], ascending=[False, True], kind="stable")
    best = telling.drop_duplicates("word").set_index("word")["clip_id"]
    queues = [
        list(worst_words(comparison, c, reference)["word"])
        for c in order
        if c != reference and {(BASE, c), (BASE, reference)} <= set(comparison.cells)
    ]
    ranked = [word for layer in zip(*queues, strict=False) for word in layer] + sorted(best.index)
    chosen = list(dict.fromkeys(word for word in ranked if word in best.index))
    return [str(best[word]) for word in chosen[: max(examples, 0)]]


def collect_examples(
    comparison: Comparison, order: Sequence[str], reference: str, corpora: Mapping[str, str | Path], examples: int
) -> list[Example]:
    """Read the chosen clips in every condition and render them, as many as the page's size allows.

    Raises
    ------
    InputError
        If a corpus does not exist, is not one, or holds none of the clips that were compared.
    """
    shown = [c for c in order if c in corpora]
    if not shown or examples <= 0:
        return []
    ids = choose_clips(comparison, order, reference, examples)
    found = {condition: _read(corpora[condition], ids, condition) for condition in shown}
    result: list[Example] = []
    spent = 0
    for clip_id in ids:
        if any(clip_id not in found[c] for c in shown):
            continue
        sounds = {c: found[c][clip_id].audio() for c in shown}
        encoded = {c: _encode(*sounds[c]) for c in shown}
        spent += sum(map(len, encoded.values())) * 4 // 3
        if spent > AUDIO_BUDGET:
            break
        result.append(_render(comparison, clip_id, sounds, encoded))
    return result


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


def _read(source: str | Path, ids: Sequence[str], condition: str) -> dict[str, Clip]:
    from audiogram import open_corpus

    corpus = open_corpus(source)
    wanted = set(ids)
    found: dict[str, Clip] = {}
    for split in corpus.splits:
        at = [i for i, row in enumerate(corpus.rows(split)) if row["id"] in wanted and row["id"] not in found]
        found.update((clip.id, clip) for clip in corpus.read(split, at))
    if ids and not found:
        raise InputError(
            f"the corpus {source} given for {condition!r} holds none of the compared clips, e.g. {ids[0]!r}. "
            "Give the corpus that the probes heard."
        )
    return found


def _encode(x: np.ndarray[Any, Any], rate: int) -> bytes:
    """FLAC, 16 bit: every current browser plays it, and what one hears is what the model heard."""
    from audiogram import sound

    peak = float(np.max(np.abs(x), initial=0.0))
    return sound.encode(x / peak if peak > 1 else x, rate, "flac16")


def _render(
    comparison: Comparison, clip_id: str, sounds: Mapping[str, tuple[Any, int]], encoded: Mapping[str, bytes]
) -> Example:
    levels = {c: spectrogram_db(x, rate) for c, (x, rate) in sounds.items()}
    loudest = max(float(v.max()) for v in levels.values())
    rows = comparison.clips[comparison.clips["clip_id"] == clip_id]
    rendered = tuple(
        Rendered(
            condition,
            _uri("audio/flac", encoded[condition]),
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
