"""A corpus and its alignment as a corpus of words: every word is a clip, cut out of what its sentence sounds like."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audiogram.corpus import MAX_SECONDS, Clip, Corpus
from audiogram.errors import InputError
from whisperprobe.alignment.spoken import letters
from whisperprobe.alignment.table import alignment_table
from whisperprobe.corpora.clip_sound import through
from whisperprobe.corpora.columns import beside
from whisperprobe.corpora.word_times import words_fingerprint

if TYPE_CHECKING:
    from audiogram.listening import Condition

__all__ = ["COLUMNS", "Cutting", "WordClip", "WordCorpus"]

COLUMNS = pa.schema(
    [
        ("source_clip", pa.string()),
        ("word_index", pa.int32()),
        ("start", pa.float64()),
        ("end", pa.float64()),
        ("score", pa.float32()),
        ("method", pa.string()),
        ("utterance", pa.string()),
    ]
)
_OF_WORD = ("word_index", "word", "start", "end", "score", "method", "text")
_log = logging.getLogger("whisperprobe")


@dataclass(frozen=True)
class Cutting:
    """How words are cut out.

    Parameters
    ----------
    sample_rate : int
        In Hz, at which sentences are filtered and words cut.
    condition : Condition or None
        What sentences are heard through before words are cut from them.
    padding : float
        What is kept around each word, in s, as far as the clip reaches.
    max_seconds : float
        Longest sentence.
    """

    sample_rate: int = 16_000
    condition: Condition | None = None
    padding: float = 0.0
    max_seconds: float = MAX_SECONDS


class _Sentence:
    """A clip of the source, decoded and filtered once for all of its words."""

    def __init__(self, clip: Clip, cutting: Cutting) -> None:
        self._clip, self._cutting = clip, cutting
        self._heard: npt.NDArray[np.float32] | InputError | None = None

    def sound(self) -> npt.NDArray[np.float32]:
        if self._heard is None:
            try:
                self._heard = self._hear()
            except InputError as error:
                self._heard = error
        if isinstance(self._heard, InputError):
            raise InputError(str(self._heard))
        return self._heard

    def _hear(self) -> npt.NDArray[np.float32]:
        from audiogram import sound

        cutting = self._cutting
        x, rate = self._clip.audio(cutting.max_seconds)
        x = np.asarray(sound.resample(x, rate, cutting.sample_rate), dtype=np.float32)
        return x if cutting.condition is None else through(x, cutting.sample_rate, cutting.condition, self._clip.id)


@dataclass(frozen=True)
class WordClip(Clip):
    """A word of a clip; its sound is cut when it is asked for."""

    sentence: _Sentence | None = field(default=None, repr=False)
    cutting: Cutting = Cutting()

    def audio(self, max_seconds: float = MAX_SECONDS) -> tuple[npt.NDArray[np.float32], int]:
        """Cut the word out; as for `Clip`.

        Raises
        ------
        InputError
            The sentence cannot be heard, or the word lies outside of it or is shorter than one sample.
        """
        if self.problem is not None or self.sentence is None:
            raise InputError(self.problem or f"the word {self.id!r} belongs to no clip.")
        x, rate, padding = self.sentence.sound(), self.cutting.sample_rate, self.cutting.padding
        start, end = self.metadata["start"], self.metadata["end"]
        if end > len(x) / rate + 0.1:
            raise InputError(
                f"the alignment does not fit the sound: the word {self.text!r} ends at {end:.3f} s, the clip "
                f"{self.metadata['source_clip']!r} at {len(x) / rate:.3f} s. Was it aligned with another recording?"
            )
        cut = x[max(0, round((start - padding) * rate)) : max(0, round((end + padding) * rate))]
        if not round((end - start) * rate) or not len(cut):
            raise InputError(f"the word {self.text!r} has no length: {start:.3f} to {end:.3f} s.")
        if len(cut) > max_seconds * rate:
            raise InputError(f"{len(cut) / rate:.1f} s are longer than the {max_seconds:g} s that are decoded.")
        return cut, rate


class WordCorpus:
    """What `Corpus` reads words from: a source, and when each of its words is said.

    Words come in the order of the source, whose splits they have. Clips of the source without an alignment, and
    aligned clips that the source has not, have none.

    Parameters
    ----------
    source : Corpus
        Where the sound comes from; it may be filtered, and aligned when it was not.
    alignment : path
        Output of `align_corpus`.
    cutting : Cutting
        How to cut.
    min_seconds : float
        Shorter words are left out.
    """

    kind = "words"

    def __init__(self, source: Corpus, alignment: str | Path, cutting: Cutting, min_seconds: float = 0.0) -> None:
        self.source, self.root, self.cutting = source, source.root, cutting
        self.alignment, self.min_seconds = Path(alignment), min_seconds
        self.splits = source.splits
        self.names = beside(["id", "audio", "text", *COLUMNS.names], source.columns)
        self.columns = (*COLUMNS.names, *self.names.values())
        table = alignment_table(alignment, ["clip_id", *_OF_WORD])
        self._words = table.select(list(_OF_WORD)).combine_chunks()
        length = self._words["end"].to_numpy() - self._words["start"].to_numpy()
        ids = table["clip_id"].to_pylist()
        begins = [i for i, id in enumerate(ids) if not i or id != ids[i - 1]]
        rows = {ids[a]: range(a, b) for a, b in zip(begins, [*begins[1:], len(ids)], strict=True)}
        # Of each split: where in the source each word's clip is, and where in the alignment the word.
        self._clip: dict[str, npt.NDArray[np.int64]] = {}
        self._row: dict[str, npt.NDArray[np.int64]] = {}
        self._source_ids: dict[str, list[str]] = {}
        found: set[str] = set()
        without = 0
        for split in self.splits:
            names = source.ids(split)
            aligned = [(i, rows[id]) for i, id in enumerate(names) if id in rows]
            found.update(names[i] for i, _ in aligned)
            without += len(names) - len(aligned)
            row = np.fromiter((r for _, own in aligned for r in own), dtype=np.int64)
            clip = np.repeat(np.array([i for i, _ in aligned], np.int64), [len(own) for _, own in aligned])
            kept = length[row] >= min_seconds
            self._row[split], self._clip[split], self._source_ids[split] = row[kept], clip[kept], names
        if not found:
            some = next((names[0] for names in self._source_ids.values() if names), "none")
            raise InputError(
                f"the alignment {alignment} has no clip of the source {source.root}: it names {ids[0]!r}, the source "
                f"{some!r}. Give the alignment of this corpus, or of the one that it was filtered from."
            )
        if without or len(rows) > len(found):
            _log.warning(
                "%d clips of %s have no alignment, and %d aligned clips are not among them; no word of them is cut.",
                without, source.root, len(rows) - len(found),
            )  # fmt: skip

    @property
    def manifest(self) -> dict[str, Any] | None:
        """The source's own manifest."""
        return self.source.manifest

    def count(self, split: str) -> int:
        """Number of words of a split."""
        return len(self._row[split])

    def schema(self) -> pa.Schema:
        """Types of all columns but the sound."""
        kinds = self.source.schema()
        own = [pa.field("id", pa.string()), pa.field("text", pa.string()), *COLUMNS]
        return pa.schema([*own, *(pa.field(new, kinds.field(old).type) for old, new in self.names.items())])

    def ids(self, split: str, indices: Sequence[int]) -> list[str]:
        """Ids of words: the clip's, and the word's number in it."""
        at = np.asarray(indices, dtype=np.int64)
        numbers = self._words["word_index"].to_numpy()[self._row[split][at]]
        names = self._source_ids[split]
        return [f"{names[c]}/{n:03d}" for c, n in zip(self._clip[split][at], numbers, strict=True)]

    def records(self, split: str, indices: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Yield ``id``, ``text`` and all columns, without the sound."""
        for clip in self.reader(split, indices, split):
            yield {"id": clip.id, "text": clip.text, **clip.metadata}

    def reader(self, split: str, indices: Sequence[int], name: str) -> WordReader:
        """What reads these words, possibly in another process."""
        at = np.asarray(indices, dtype=np.int64)
        clips, words = self._clip[split][at], self._words.take(pa.array(self._row[split][at]))
        new = np.flatnonzero(np.diff(clips, prepend=-1) != 0)  # words of one clip stand together
        return WordReader(
            self.source.reader_of(split, clips[new].tolist()),
            np.diff(np.append(new, len(clips))).tolist(),
            words,
            name,
            self.names,
            self.cutting,
        )

    def fingerprint(self) -> str:
        """Digest of the source and its alignment."""
        return words_fingerprint(self.source.describe()["fingerprint"], self.alignment)


class WordReader:
    """Words of a split, in order; can be sent to another process."""

    def __init__(
        self, clips: Any, counts: Sequence[int], words: pa.Table, split: str, names: dict[str, str], cutting: Cutting
    ) -> None:
        self._clips, self._counts, self._words = clips, list(counts), words
        self._split, self._names, self._cutting = split, names, cutting

    def __iter__(self) -> Iterator[WordClip]:
        words = iter(self._words.to_pylist())
        for clip, count in zip(self._clips, self._counts, strict=True):
            sentence = _Sentence(clip, self._cutting)
            rest = {new: clip.metadata.get(old) for old, new in self._names.items()}
            for _, word in zip(range(count), words, strict=False):
                own = {name: word[name] for name in ("word_index", "start", "end", "score", "method")}
                metadata = {"source_clip": clip.id, **own, "utterance": word["text"], **rest}
                yield WordClip(
                    f"{clip.id}/{word['word_index']:03d}", self._split, word["word"], metadata,
                    problem=clip.problem or _mismatch(clip, word["text"]), sentence=sentence, cutting=self._cutting,
                )  # fmt: skip

    def check_source(self) -> None:
        """Raise `WorkError` where the source has gone."""
        self._clips.check_source()


def _mismatch(clip: Clip, aligned: str) -> str | None:
    if clip.text is None or letters(clip.text) == letters(aligned):
        return None
    return (
        f"the alignment does not match the transcript: of clip {clip.id!r} it aligns {aligned!r}, the transcript is "
        f"{clip.text!r}."
    )
