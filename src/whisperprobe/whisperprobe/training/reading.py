"""Speech to train on, read once: every clip checked, its labels made, its sound kept where it fits in memory."""

from __future__ import annotations

import io
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from audiogram.errors import InputError
from whisperprobe.corpora.clip_sound import at_rate
from whisperprobe.corpora.log_mel_reading import is_log_mel, open_log_mel
from whisperprobe.features import WindowSpec
from whisperprobe.labels import Labels

if TYPE_CHECKING:
    from whisperprobe.corpora.log_mel_reading import LogMels

__all__ = ["CACHE_BYTES", "MOST_EXCLUDED", "Speech", "TokenLists", "open_speech", "read_speech", "training_split"]

CACHE_BYTES = 2 * 2**30  # log-mels or sound up to this size stay in memory
MOST_EXCLUDED = 0.05

Sound = np.ndarray[Any, Any]


class TokenLists(Sequence[list[int]]):
    """Lists of token ids, one behind the other: a million of Python's own lists would take half a gigabyte.

    Parameters
    ----------
    lists : iterable of sequences of int
        The lists to begin with.

    Examples
    --------
    >>> ids = TokenLists([[3, 1], []])
    >>> ids.append([4])
    >>> ids[2], ids[-3], len(ids), ids.lengths()
    ([4], [3, 1], 3, [2, 0, 1])
    """

    def __init__(self, lists: Sequence[Sequence[int]] = ()) -> None:
        self._ids, self._stops = array("i"), array("q", [0])
        for one in lists:
            self.append(one)

    def append(self, ids: Sequence[int]) -> None:
        """Add a list at the end."""
        self._ids.extend(ids)
        self._stops.append(len(self._ids))

    def lengths(self) -> list[int]:
        """Return how many ids each list has."""
        return np.diff(np.array(self._stops)).tolist()  # type: ignore[no-any-return]

    def __len__(self) -> int:
        return len(self._stops) - 1

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = range(len(self))[index]
        return self._ids[self._stops[i] : self._stops[i + 1]].tolist()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it can grow


@dataclass
class Speech:
    """One split, as far as it can be trained on."""

    ids: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    labels: Sequence[list[int]] = field(default_factory=TokenLists)
    lengths: Sequence[int] = field(default_factory=lambda: array("q"))  # samples at the window's rate
    rows: Sequence[int] = field(default_factory=lambda: array("q"))  # where in the corpus
    waveforms: list[Sound] | None = field(default_factory=list)
    excluded: dict[str, int] = field(default_factory=dict)
    load: Callable[[Sequence[int]], Iterator[Sound | InputError]] | None = None  # sound of rows, or why there is none
    # of a corpus of log-mels, which has no sound: those of rows, (frames, bands) each, and what follows their frames
    load_features: Callable[[Sequence[int]], tuple[list[Sound], list[float]]] | None = None

    def sound(self, indices: Sequence[int]) -> list[Sound | InputError]:
        """Sound of some clips, from memory or from the corpus, or why it cannot be used any more."""
        if self.waveforms is not None:
            return [self.waveforms[i] for i in indices]
        assert self.load is not None
        order = sorted(
            range(len(indices)), key=lambda k: self.rows[indices[k]]
        )  # neighbours in a file are read at once
        found: list[Any] = [None] * len(indices)
        for k, x in zip(order, self.load([self.rows[indices[k]] for k in order]), strict=True):
            found[k] = x
        return found

    def log_mels(self, indices: Sequence[int]) -> tuple[list[torch.Tensor], list[float]]:
        """Log-mels `(bands, frames)` of some clips of a corpus of log-mels, and what their windows hold behind them."""
        assert self.load_features is not None
        arrays, padding = self.load_features([self.rows[i] for i in indices])
        return [torch.from_numpy(np.ascontiguousarray(one)).T for one in arrays], padding


def open_speech(source: Any, **options: Any) -> Any:
    """Open a corpus of sound, with the options of `audiogram.corpus.open_corpus`, or of log-mels, which takes none."""
    if not is_log_mel(source):
        from audiogram.corpus import SplitRule, open_corpus

        if isinstance(options.get("split"), Mapping):  # as in a study file
            options["split"] = SplitRule.from_dict(options["split"])
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
        How much sound is kept, float32; beyond it every batch reads its own, and of a clip its header alone is checked.

    Returns
    -------
    Speech

    Raises
    ------
    InputError
        Where more than 5 % of the clips are unreadable, silent, without text, or too long for encoder or decoder.
    """
    if is_log_mel(corpus):
        return _read_log_mels(corpus, split, window, labels)
    speech, size = Speech(), 0
    examples: dict[str, str] = {}  # the first clip of each reason
    for row, clip in enumerate(corpus.read(split, range(corpus.count(split)))):
        ids, reason = _checked_text(clip.text, labels)
        detail, waveform, length = "", None, 0
        if reason is None:
            try:
                if speech.waveforms is None:
                    length = _samples(clip, window.sample_rate)
                else:
                    waveform = _heard(clip, window.sample_rate)
                    length = len(waveform)
            except InputError as error:
                reason, detail = "unreadable", f": {error}"
        if reason is None and length > window.n_samples:
            reason = f"longer than the model's window of {window.seconds:g} s"
        if reason is not None:
            _exclude(speech, examples, reason, f"{clip.id!r}{detail}")
            continue
        _keep(speech, clip.id, clip.text.strip(), ids, length, row)
        if waveform is not None and speech.waveforms is not None:
            size += waveform.nbytes
            speech.waveforms.append(waveform)
            if size > cache_bytes:
                speech.waveforms = None
    _check_excluded(speech, examples, corpus.count(split), split)

    def load(rows: Sequence[int]) -> Iterator[Sound | InputError]:
        for clip in corpus.read(split, rows):
            try:
                x = _heard(clip, window.sample_rate)
                yield x[: window.n_samples]  # a header may be a few samples off
            except InputError as error:
                yield error

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
    speech = Speech(waveforms=None, load_features=lambda rows: corpus.heard(split, rows))
    examples: dict[str, str] = {}
    own = corpus.manifest["options"]["labels"] == labels.describe()
    row = -1
    for part in corpus.table(split).to_batches(max_chunksize=4096):
        for clip in part.to_pylist():
            row += 1
            ids, reason = _checked_text(clip["text"], labels, clip["labels"] if own else None)
            if reason is None:
                _keep(speech, clip["id"], clip["text"].strip(), ids, clip["samples"], row)
            else:
                _exclude(speech, examples, reason, repr(clip["id"]))
    _check_excluded(speech, examples, corpus.count(split), split)
    return speech


def _checked_text(text: str | None, labels: Labels, known: list[int] | None = None) -> tuple[list[int], str | None]:
    """Token ids of a transcript, or why it cannot be learnt; `known` are ids that were made in the same way before."""
    if not (text or "").strip():
        return [], "without text"
    ids = labels(str(text)) if known is None else known
    if len(ids) > labels.longest:
        return [], f"with a transcript of more tokens than the decoder's {labels.longest} positions"
    return ids, None


def _keep(speech: Speech, id: str, text: str, ids: list[int], length: int, row: int) -> None:
    lists: tuple[tuple[Any, Any], ...] = (
        (speech.ids, id), (speech.texts, text), (speech.labels, ids), (speech.lengths, length), (speech.rows, row)
    )  # fmt: skip
    for one, value in lists:
        one.append(value)


def _exclude(speech: Speech, examples: dict[str, str], reason: str, example: str) -> None:
    speech.excluded[reason] = speech.excluded.get(reason, 0) + 1
    examples.setdefault(reason, example)


def _check_excluded(speech: Speech, examples: dict[str, str], total: int, split: str) -> None:
    excluded = sum(speech.excluded.values())
    if not speech.ids or excluded > MOST_EXCLUDED * total:
        reasons = "; ".join(f"{n} {reason} (the first: {examples[reason]})" for reason, n in speech.excluded.items())
        raise InputError(
            f"{excluded} of the {total} clips of split {split!r} cannot be trained on, more than {MOST_EXCLUDED:.0%}: "
            f"{reasons or 'the split is empty'}. Cut or remove them, or take a model that fits."
        )


def _heard(clip: Any, rate: int) -> Sound:
    """Sound of a clip at a rate; InputError where there is nothing to hear."""
    x = at_rate(clip, rate)
    if not x.any():
        raise InputError("silent: every sample is 0, so there is nothing to hear.")
    return x


def _samples(clip: Any, wanted: int) -> int:
    """Length from the file's header alone: nothing is decoded that will not be kept."""
    import soundfile

    try:
        header = soundfile.info(io.BytesIO(clip.encoded))
    except soundfile.SoundFileError as error:
        raise InputError(f"clip {clip.id!r} cannot be read: {error}") from error
    frames: float = header.frames * wanted / header.samplerate
    return round(frames)
