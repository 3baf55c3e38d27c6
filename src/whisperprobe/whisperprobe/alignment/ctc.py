"""CTC forced alignment: the most probable way through a model's frames that spells the transcript."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from audiogram.errors import InputError
from whisperprobe.alignment.ctc_model import CTCModel, emissions, load_ctc_model
from whisperprobe.alignment.gaps import AlignedWord, check_score, refuse_unlikely
from whisperprobe.alignment.spoken import SpokenWord, spoken_words
from whisperprobe.alignment.torchaudio_here import torchaudio_module

__all__ = ["STAR", "CTCAligner", "align_emission", "spell"]

STAR = -1
"""In a spelling: something that the model has no character for, whatever it sounds like."""

_APOSTROPHES = str.maketrans(dict.fromkeys("’‘ʼ`´", "'"))


class CTCAligner:
    """Aligns transcripts with sound by a CTC model of characters.

    Parameters
    ----------
    model : CTCModel
        From `load_ctc_model`.
    unknown : {"fail", "star"}, default "fail"
        What becomes of digits and letters that the model does not know: the clip is refused, or they are aligned
        with whatever is there.
    min_score : float, default 0.0
        Clips whose words score less in the mean are refused: what is said there is not the transcript.
    batch_size : int, default 8
        Clips, or pieces of long ones, that are heard together.
    """

    method = "ctc"
    max_seconds: float | None = None

    def __init__(self, model: CTCModel, *, unknown: str = "fail", min_score: float = 0.0, batch_size: int = 8) -> None:
        if unknown not in ("fail", "star"):
            raise InputError(f"unknown is {unknown!r}; 'fail', or 'star' to align such characters with anything.")
        self.model, self.unknown, self.batch_size = model, unknown, batch_size
        self.sample_rate, self.min_score = model.sample_rate, check_score(min_score)
        self._align = torchaudio_module("functional").forced_align

    @classmethod
    def from_pretrained(cls, path: str | Path, *, device: str = "auto", **options: Any) -> CTCAligner:
        """Load a model by `load_ctc_model`; options as for the class."""
        return cls(load_ctc_model(path, device=device), **options)

    def describe(self) -> dict[str, Any]:
        """Return what decides the result, JSON-able."""
        return {**self.model.about, "unknown": self.unknown, "min_score": self.min_score}

    def __call__(
        self, waveforms: Sequence[np.ndarray[Any, Any]], texts: Sequence[str]
    ) -> list[list[AlignedWord] | InputError]:
        """Align clips with their transcripts.

        Parameters
        ----------
        waveforms : sequence of float32 arrays, shape (samples,)
            At `sample_rate`.
        texts : sequence of str
            What is said in each.

        Returns
        -------
        list of (list of AlignedWord, or InputError)
            For each clip its words, or why it cannot be aligned.
        """
        found: list[list[AlignedWord] | InputError] = []
        spelt: list[list[tuple[SpokenWord, tuple[int, ...]]] | None] = []
        for waveform, text in zip(waveforms, texts, strict=True):
            try:
                spelling = spell_all(text, self.model, self.unknown)
                if self.model.frames(len(waveform)) < 1:
                    raise InputError(f"{len(waveform)} samples are less than one frame of the model.")
            except InputError as error:
                found.append(error)
                spelt.append(None)
            else:
                found.append([])
                spelt.append(spelling)
        usable = [i for i, spelling in enumerate(spelt) if spelling is not None]
        heard = emissions(self.model, [waveforms[i] for i in usable], batch_size=self.batch_size)
        for i, emission in zip(usable, heard, strict=True):
            try:
                words = align_emission(emission, spelt[i] or [], self.model, self._align)
                if self.min_score:
                    refuse_unlikely(words, texts[i], most_probable(emission, self.model), self.min_score)
                found[i] = words
            except InputError as error:
                found[i] = error
        return found


def spell_all(text: str, model: CTCModel, unknown: str) -> list[tuple[SpokenWord, tuple[int, ...]]]:
    """The words of a transcript with the labels of their characters; InputError where one cannot be spelt."""
    spelling = [(word, spell(word.word, model.characters)) for word in spoken_words(text)]
    if not spelling:
        raise InputError(f"no word is said in the transcript {text!r}.")
    if unknown == "fail":
        for word, labels in spelling:
            if STAR in labels:
                lost = sorted({c for c in word.word if STAR in spell(c, model.characters)})
                raise InputError(
                    f"the model has no character {' '.join(lost)} of the word {word.word!r}: write numbers and signs "
                    "as words, or align them with whatever is there (unknown='star', --unknown star)."
                )
    return spelling


def spell(word: str, characters: Mapping[str, int]) -> tuple[int, ...]:
    """Return the labels of a word's characters.

    Case is the model's; apostrophes are one; accents go where the model has none; punctuation that it does not know
    is not said. What is left, digits and foreign letters, becomes `STAR`, once in a row.

    Examples
    --------
    >>> spell("Café's", {"a": 1, "c": 2, "f": 3, "e": 4, "s": 5})
    (2, 1, 3, 4, 5)
    >>> spell("A4", {"A": 1})
    (1, -1)
    """
    labels: list[int] = []
    for character in unicodedata.normalize("NFC", word.translate(_APOSTROPHES)):
        found = _known(character, characters)
        if found is None:
            if unicodedata.category(character)[0] in "PMZC" and character not in "%&@#§":
                continue
            found = (STAR,)
        labels += found if found != (STAR,) or labels[-1:] != [STAR] else ()
    return tuple(labels)


def _known(character: str, characters: Mapping[str, int]) -> tuple[int, ...] | None:
    plain = "".join(c for c in unicodedata.normalize("NFKD", character) if unicodedata.category(c)[0] != "M")
    for form in (character, character.lower(), character.upper(), plain, plain.lower(), plain.upper()):
        if form and all(c in characters for c in form):
            return tuple(characters[c] for c in form)
    return None


def align_emission(
    emission: torch.Tensor,
    spelling: Sequence[tuple[SpokenWord, Sequence[int]]],
    model: CTCModel,
    forced_align: Any,
) -> list[AlignedWord]:
    """Find the words of a spelling in the frames of one clip.

    Parameters
    ----------
    emission : tensor, shape (frames, labels)
        From `emissions`.
    spelling : sequence of (SpokenWord, labels)
        What is said.
    model : CTCModel
        What the labels and frames mean.
    forced_align : callable
        `torchaudio.functional.forced_align`.

    Returns
    -------
    list of AlignedWord
        From the first frame of a word's first character to the end of the last frame of its last; the score is the
        mean probability of its characters in their frames.

    Raises
    ------
    InputError
        There are more characters than frames, or the model's probabilities are no numbers.
    """
    star = emission.shape[1]
    labels: list[int] = []
    first: list[int] = []
    last: list[int] = []
    for word, own in spelling:
        if not own:
            raise InputError(f"nothing of the word {word.word!r} can be spelt with the model's characters.")
        if labels and model.delimiter is not None:
            labels.append(model.delimiter)
        first.append(len(labels))
        labels += [star if label == STAR else label for label in own]
        last.append(len(labels) - 1)
    needed = len(labels) + sum(a == b for a, b in itertools.pairwise(labels))
    if needed > len(emission):
        raise InputError(
            f"the transcript needs {needed} frames, the sound has {len(emission)} "
            f"({model.time(len(emission)):.2f} s): it cannot be what is said there."
        )
    if not bool(torch.isfinite(emission).all()):
        raise InputError("the model's probabilities are NaN or infinite. Are its weights damaged?")
    with_star = torch.nn.functional.pad(emission, (0, 1))  # what can be anything costs nothing: ln 1
    path, scores = forced_align(
        with_star[None], torch.tensor([labels], dtype=torch.int32, device=emission.device), blank=model.blank
    )
    steps, probability = path[0].cpu().numpy(), scores[0].exp().cpu().numpy().astype(np.float64)
    said = steps != model.blank
    begins = said & np.concatenate([[True], steps[1:] != steps[:-1]])
    owner = np.where(said, np.cumsum(begins) - 1, -1)  # which label each frame is given to
    words = []
    for (word, _), a, b in zip(spelling, first, last, strict=True):
        frames = np.flatnonzero((owner >= a) & (owner <= b))
        words.append(
            AlignedWord(
                word.word,
                max(0.0, model.time(int(frames[0]))),
                model.time(int(frames[-1]) + 1),
                float(probability[frames].mean()),
            )
        )
    return words


def most_probable(emission: torch.Tensor, model: CTCModel) -> str:
    """What the model hears: the most probable label of each frame, repetitions and blanks left out."""
    named = {label: character for character, label in model.characters.items()}
    labels = torch.unique_consecutive(emission.argmax(dim=-1)).tolist()
    return "".join(" " if label == model.delimiter else named.get(label, "") for label in labels).strip()
