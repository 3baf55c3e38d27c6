"""What is done with the clips of one part of an alignment: words found, silence between them split, rows written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from audiogram.errors import InputError
from whisperprobe.alignment.gaps import AlignedWord, split_gaps
from whisperprobe.alignment.table import TABLE

if TYPE_CHECKING:
    from audiogram.corpus import Clip, Part, PartWriter
    from whisperprobe.alignment.textgrid import TextGrids

__all__ = ["Aligner", "GridWork", "ModelWork"]


class Aligner(Protocol):
    """What `align_corpus` aligns by: `CTCAligner`, `WhisperAligner`, or one of your own."""

    method: str
    sample_rate: int
    batch_size: int
    max_seconds: float | None

    def __call__(
        self, waveforms: Sequence[np.ndarray[Any, Any]], texts: Sequence[str]
    ) -> list[list[AlignedWord] | InputError]:
        """Align clips with their transcripts."""

    def describe(self) -> dict[str, Any]:
        """Return what decides the result, JSON-able."""


@dataclass
class _Work:
    """Writes the words of a part, clip by clip."""

    edges: float
    shift: float
    names: dict[str, str]

    def write(self, clip: Clip, words: Sequence[AlignedWord], seconds: float, method: str, writer: PartWriter) -> None:
        found = np.array([(w.start, w.end) for w in words]) - self.shift
        spoken = found.clip(0, seconds) if self.shift else found
        starts, ends = split_gaps(spoken[:, 0], spoken[:, 1], seconds, self.edges)
        beside_it = {new: clip.metadata.get(old) for old, new in self.names.items()}
        rows = [
            {
                "clip_id": clip.id,
                "word_index": number,
                "word": word.word,
                "start": float(start),
                "end": float(end),
                "score": word.score,
                "method": method,
                "spoken_start": float(spoken[number, 0]),
                "spoken_end": float(spoken[number, 1]),
                "text": clip.text,
                **beside_it,
            }
            for number, (word, start, end) in enumerate(zip(words, starts, ends, strict=True))
        ]
        writer.add(TABLE, rows)


@dataclass
class GridWork(_Work):
    grids: TextGrids

    def __call__(self, part: Part, clips: Iterable[Clip], writer: PartWriter) -> None:
        for clip in clips:
            try:
                words, seconds = self.grids.align(clip.id, _transcript(clip))
                self.write(clip, words, seconds, self.grids.method, writer)
            except InputError as error:
                writer.fail(clip.id, error)


@dataclass
class ModelWork(_Work):
    """Batch by batch; no batch reaches over a part, so a part is redone alike."""

    aligner: Aligner
    max_seconds: float

    def __call__(self, part: Part, clips: Iterable[Clip], writer: PartWriter) -> None:
        ready: list[tuple[Clip, np.ndarray[Any, Any]]] = []
        for clip in clips:
            try:
                _transcript(clip)
                ready.append((clip, self._sound(clip)))
            except InputError as error:
                writer.fail(clip.id, error)
            if len(ready) == self.aligner.batch_size:
                self._align(ready, writer)
                ready = []
        if ready:
            self._align(ready, writer)

    def _sound(self, clip: Clip) -> np.ndarray[Any, Any]:
        from audiogram import sound

        x, rate = clip.audio(self.max_seconds)
        longest = self.aligner.max_seconds
        if longest is not None and len(x) > longest * rate:
            raise InputError(
                f"{len(x) / rate:.2f} s do not fit the model's window of {longest:g} s. Method 'ctc' takes any length."
            )
        x = np.ascontiguousarray(sound.resample(x, rate, self.aligner.sample_rate), dtype=np.float32)
        if not x.any():
            raise InputError("silent: every sample is 0, so there is nothing to align.")
        return x

    def _align(self, ready: Sequence[tuple[Clip, np.ndarray[Any, Any]]], writer: PartWriter) -> None:
        found = self.aligner([x for _, x in ready], [_transcript(clip) for clip, _ in ready])
        for (clip, x), words in zip(ready, found, strict=True):
            try:
                if isinstance(words, InputError):
                    raise words
                self.write(clip, words, len(x) / self.aligner.sample_rate, self.aligner.method, writer)
            except InputError as error:
                writer.fail(clip.id, error)


def _transcript(clip: Clip) -> str:
    if clip.problem is not None:
        raise InputError(clip.problem)
    if clip.text is None or not clip.text.strip():
        raise InputError("the clip has no transcript to be aligned with.")
    return clip.text
