"""Speech to train on: read once, checked, kept in memory where it fits, handed out batch by batch."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from audiogram.errors import InputError
from whisperprobe.corpora.clip_sound import at_rate
from whisperprobe.corpora.log_mel_reading import is_log_mel, open_log_mel
from whisperprobe.features import WindowSpec, log_mel
from whisperprobe.labels import Labels
from whisperprobe.training.augment import Augmentation, draw

if TYPE_CHECKING:
    from audiogram import Condition
    from whisperprobe.corpora.clip_sound import at_rate
from whisperprobe.corpora.log_mel_reading import LogMels

__all__ = ["EpochSampler", "Labels", "SpeechDataset", "open_speech", "read_speech", "training_split"]

CACHE_BYTES = 2 * 2**30  # log-mels or sound up to this size stay in memory
MOST_EXCLUDED = 0.05


@dataclass
class Speech:
    """One split, as far as it can be trained on."""

    ids: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    labels: list[list[int]] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)  # samples at the window's rate
    rows: list[int] = field(default_factory=list)  # where in the corpus
    waveforms: list[np.ndarray[Any, Any]] | None = field(default_factory=list)
    excluded: dict[str, int] = field(default_factory=dict)
    load: Callable[[Sequence[int]], list[np.ndarray[Any, Any]]] | None = None
    load_features: Callable[[Sequence[int]], torch.Tensor] | None = None  # of a corpus of log-mels, which has no sound

    def sound(self, indices: Sequence[int]) -> list[np.ndarray[Any, Any]]:
        """Sound of some clips, from memory or from the corpus."""
        if self.waveforms is not None:
            return [self.waveforms[i] for i in indices]
        assert self.load is not None
        return self.load([self.rows[i] for i in indices])

    def features(self, indices: Sequence[int]) -> torch.Tensor:
        """Log-mels of some clips of a corpus of log-mels."""
        assert self.load_features is not None
        return self.load_features([self.rows[i] for i in indices])


def open_speech(source: Any, **options: Any) -> Any:
    """Open a corpus of sound, with the options of `audiogram.corpus.open_corpus`, or of log-mels, which takes none."""
    if not is_log_mel(source):
        from audiogram.corpus import open_corpus

        return open_corpus(source, **options)
    given = sorted(name for name, value in options.items() if value)
    if given:
        raise InputError(f"{source} is a corpus of log-mels, which takes no {given[0]}; give it to logmel instead.")
    return open_log_mel(source)


def training_split(corpus: Any) -> str:
    """Name of the split to train on; InputError where there is none."""
    if "train" not in corpus.splits or corpus.count("train") == 0:
        found = ", ".join(f"{name} ({corpus.count(name)} clips)" for name in corpus.splits) or "no clips at all"
        raise InputError(
            f"the corpus has no training split: it has {found}. Name the folder 'train', or say how to split it "
            "(split = {column = ..., test = [...]})."
        )
    return "train"


def read_speech(
    corpus: Any, split: str, window: WindowSpec, labels: Labels, *, cache_bytes: int = CACHE_BYTES
) -> Speech:
    """Read a split: check every clip, keep the sound while it fits in memory.

    Parameters
    ----------
    corpus : audiogram.corpus.Corpus or LogMels
        Anything with a corpus's `count` and `read`, or what `whisperprobe.open_log_mel` opens.
    split : str
        Which split.
    window : WindowSpec
        Of the model.
    labels : Labels
        How transcripts become token ids.
    cache_bytes : int
        How much sound is kept, float32; beyond it every batch reads its own.

    Returns
    -------
    Speech

    Raises
    ------
    InputError
        Where more than 5 % of the clips are unreadable, without text, or too long for encoder or decoder.
    """
    if is_log_mel(corpus):
        return _read_log_mels(corpus, split, window, labels)
    speech, size = Speech(), 0
    examples: dict[str, str] = {}  # the first clip of each reason
    for row, clip in enumerate(corpus.read(split, range(corpus.count(split)))):
        reason, detail, waveform, length = None, "", None, 0
        if not (clip.text or "").strip():
            reason = "without text"
        elif len(ids := labels(clip.text)) > labels.longest:
            reason = f"with a transcript of more tokens than the decoder's {labels.longest} positions"
        else:
            try:
                if speech.waveforms is None:
                    length = _samples(clip, window.sample_rate)
                else:
                    waveform = at_rate(clip, window.sample_rate)
                    length = len(waveform)
            except InputError as error:
                reason, detail = "unreadable", f": {error}"
        if reason is None and length > window.n_samples:
            reason = f"longer than the model's window of {window.seconds:g} s"
        if reason is not None:
            speech.excluded[reason] = speech.excluded.get(reason, 0) + 1
            examples.setdefault(reason, f"{clip.id!r}{detail}")
            continue
        speech.ids.append(clip.id)
        speech.texts.append(clip.text.strip())
        speech.labels.append(ids)
        speech.lengths.append(length)
        speech.rows.append(row)
        if waveform is not None and speech.waveforms is not None:
            size += waveform.nbytes
            speech.waveforms.append(waveform)
            if size > cache_bytes:
                speech.waveforms = None
    _check_excluded(speech, examples, corpus.count(split), split)

    def load(rows: Sequence[int]) -> list[np.ndarray[Any, Any]]:
        return [at_rate(clip, window.sample_rate) for clip in corpus.read(split, rows)]

    speech.load = load
    return speech


def _read_log_mels(corpus: LogMels, split: str, window: WindowSpec, labels: Labels) -> Speech:
    """A split of a corpus of log-mels; what its own stage could not use is not in it any more."""
    if corpus.window != window:
        made, wanted = corpus.window, window
        raise InputError(
            f"{corpus.root} has log-mels of {made.n_mels} bands for windows of {made.seconds:g} s; the model takes "
            f"{wanted.n_mels} bands and {wanted.seconds:g} s. Write them anew with logmel's --model."
        )
    speech = Speech(waveforms=None, load_features=lambda rows: corpus.features(split, rows))
    examples: dict[str, str] = {}
    own = corpus.manifest["options"]["labels"] == labels.describe()
    for row, clip in enumerate(corpus.table(split).to_pylist()):
        text = (clip["text"] or "").strip()
        ids = [] if not text else clip["labels"] if own else labels(text)
        reason = None
        if not text:
            reason = "without text"
        elif len(ids) > labels.longest:
            reason = f"with a transcript of more tokens than the decoder's {labels.longest} positions"
        if reason is not None:
            speech.excluded[reason] = speech.excluded.get(reason, 0) + 1
            examples.setdefault(reason, repr(clip["id"]))
            continue
        speech.ids.append(clip["id"])
        speech.texts.append(text)
        speech.labels.append(ids)
        speech.lengths.append(clip["samples"])
        speech.rows.append(row)
    _check_excluded(speech, examples, corpus.count(split), split)
    return speech


def _check_excluded(speech: Speech, examples: dict[str, str], total: int, split: str) -> None:
    excluded = sum(speech.excluded.values())
    if not speech.ids or excluded > MOST_EXCLUDED * total:
        reasons = "; ".join(f"{n} {reason} (the first: {examples[reason]})" for reason, n in speech.excluded.items())
        raise InputError(
            f"{excluded} of the {total} clips of split {split!r} cannot be trained on, more than {MOST_EXCLUDED:.0%}: "
            f"{reasons or 'the split is empty'}. Cut or remove them, or take a model that fits."
        )


def _samples(clip: Any, wanted: int) -> int:
    """Length from the file's header alone: nothing is decoded that will not be kept."""
    import soundfile

    try:
        header = soundfile.info(io.BytesIO(clip.encoded))
    except soundfile.SoundFileError as error:
        raise InputError(f"clip {clip.id!r} cannot be read: {error}") from error
    frames: float = header.frames * wanted / header.samplerate
    return round(frames)


class EpochSampler(Sampler[tuple[int, int]]):
    """Clips in an order drawn from (seed, epoch), each with its epoch, which the augmentation needs.

    Parameters
    ----------
    n : int
        Number of clips.
    seed : int
        Of the run.
    """

    def __init__(self, n: int, seed: int) -> None:
        self.n, self.seed, self.epoch = n, seed, 0

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch
        for i in draw(self.seed, epoch, "order").permutation(self.n):
            yield epoch, int(i)


class SpeechDataset(Dataset[Any]):
    """Batches of log-mels and labels, computed once where nothing changes from epoch to epoch.

    Parameters
    ----------
    speech : Speech
        From `read_speech`.
    window : WindowSpec
        Of the model.
    condition : audiogram.Condition, optional
        Applied to the sound, after the augmentation: the talker varies, the hearing does not.
    augment : Augmentation, optional
        For training only.
    seed : int, default 0
        Of the run.
    cache_bytes : int
        How much log-mel is kept in memory.
    """

    def __init__(
        self,
        speech: Speech,
        window: WindowSpec,
        *,
        condition: Condition | None = None,
        augment: Augmentation | None = None,
        seed: int = 0,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.speech, self.window, self.condition, self.augment, self.seed = speech, window, condition, augment, seed
        self.varies = augment is not None and augment.needs_waveform
        self.label_lengths = torch.tensor([len(ids) for ids in speech.labels])
        # By length and never by id: padding and end token share an id.
        self.labels = torch.full((len(speech.ids), int(self.label_lengths.max())), -100)
        for row, ids in zip(self.labels, speech.labels, strict=True):
            row[: len(ids)] = torch.tensor(ids)
        self.features: torch.Tensor | None = None
        if speech.load_features is not None and (condition is not None or self.varies):
            what = f"condition {condition.name!r}" if condition is not None else "augmentation of the sound"
            raise InputError(
                f"{what} needs sound, and a corpus of log-mels holds none. Give the corpus that they were made from"
                + ("." if condition is not None else ", or augment='masks'.")
            )
        size = 4 * len(speech.ids) * window.n_mels * window.n_frames
        if speech.load_features is not None:
            if size <= cache_bytes:
                self.features = speech.features(range(len(speech.ids)))
        elif not self.varies and speech.waveforms is not None:
            if condition is not None:
                speech.waveforms = [self._filtered(x, i) for i, x in enumerate(speech.waveforms)]
            if size <= cache_bytes:
                self.features = log_mel(speech.waveforms, window)
                speech.waveforms = None  # not needed any more, and as large as the log-mels

    def __len__(self) -> int:
        return len(self.speech.ids)

    def __getitem__(self, pair: tuple[int, int]) -> dict[str, torch.Tensor]:
        return self.__getitems__([pair])

    def __getitems__(self, pairs: Sequence[tuple[int, int]]) -> dict[str, torch.Tensor]:
        """One batch: `input_features` (clips, bands, frames) and `labels` (clips, tokens), padded with -100."""
        indices = [i for _, i in pairs]
        rows = torch.tensor(indices)
        heard = [1 + self.speech.lengths[i] // self.window.hop_length for i in indices]
        if self.features is not None:
            features = self.features[rows]
        elif self.speech.load_features is not None:
            features = self.speech.features(indices)
        else:
            sounds = self.speech.sound(indices)
            if self.varies or self.speech.waveforms is None:
                sounds = [self._changed(x, *pair) for x, pair in zip(sounds, pairs, strict=True)]
            features = log_mel(sounds, self.window)
            heard = [1 + len(x) // self.window.hop_length for x in sounds]
        if self.augment is not None and (self.augment.time_masks or self.augment.band_masks):
            for one, frames, (epoch, i) in zip(features, heard, pairs, strict=True):
                rng = draw(self.seed, epoch, f"masks/{self.speech.ids[i]}")
                self.augment.mask(one, min(frames, self.window.n_frames), rng)
        return {"input_features": features, "labels": self.labels[rows, : int(self.label_lengths[rows].max())]}

    def _changed(self, x: np.ndarray[Any, Any], epoch: int, index: int) -> np.ndarray[Any, Any]:
        if self.augment is not None and self.varies:
            rng = draw(self.seed, epoch, self.speech.ids[index])
            x = self.augment.waveform(x, rng, sample_rate=self.window.sample_rate, longest=self.window.n_samples)
        return self._filtered(x, index) if self.condition is not None else x

    def _filtered(self, x: np.ndarray[Any, Any], index: int) -> np.ndarray[Any, Any]:
        assert self.condition is not None
        # Noise is drawn by the clip's id, as in a masked corpus: both ways of filtering hear the same sound.
        heard = self.condition(x, self.window.sample_rate, keys=self.speech.ids[index])
        return np.asarray(heard, dtype=np.float32)


def collate(batch: Any) -> Any:
    """What the data loader does with a batch that is one already: nothing."""
    return batch
