"""`choose_alignment_heads`: which heads of a decoder look where the words are said, found on clips of known times."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from audiogram.corpus.files import write_whole
from audiogram.errors import InputError
from whisperprobe.alignment.cross_attention import Reading
from whisperprobe.alignment.following import NAMES, decoder_shape, scaled
from whisperprobe.alignment.gaps import check_boundaries
from whisperprobe.alignment.whisper_dtw import WhisperAligner
from whisperprobe.alignment.word_tokens import token_times

__all__ = ["AlignmentHeads", "choose_alignment_heads", "save_alignment_heads"]

MOST_HEADS = 6
_SCALES = (("standardised", 7), ("standardised", 3), ("log", 3), ("log", 1))  # scaling and median that are tried


@dataclass(frozen=True)
class AlignmentHeads:
    """Heads that were chosen, and how their attention is followed best.

    Attributes
    ----------
    heads : tuple of (layer, head)
        The best first; each of the others made the mean of those before it better.
    scaling : {"standardised", "log"}
        How attention is made comparable.
    median_width : int
        Positions over which it is smoothed.
    error : float
        Mean absolute error of word boundaries with all of them, in s, on the clips that they were chosen on.
    alone : dict of (layer, head) to float
        The same error for every head of the decoder alone.
    clips : int
        On how many clips.
    """

    heads: tuple[tuple[int, int], ...]
    scaling: str
    median_width: int
    error: float
    alone: dict[tuple[int, int], float]
    clips: int


def choose_alignment_heads(
    aligner: WhisperAligner,
    waveforms: Sequence[np.ndarray[Any, Any]],
    texts: Sequence[str],
    boundaries: Sequence[Sequence[float]],
    *,
    most: int = MOST_HEADS,
) -> AlignmentHeads:
    """Choose the heads by which word boundaries are found best: the best one, then what makes it better.

    Both scalings of attention, more and less smoothed, are tried; the best of all is chosen.

    Parameters
    ----------
    aligner : WhisperAligner
        Whose heads; it is left as it is.
    waveforms : sequence of float32 arrays, shape (samples,)
        Clips at its sample rate; some dozens of sentences, none of which is to be tested on.
    texts : sequence of str
        What is said in each.
    boundaries : sequence of sequence of float
        For each clip the times, in s, at which one word ends and the next begins: one less than it has words.
    most : int, default 6
        At most so many heads.

    Returns
    -------
    AlignmentHeads

    Raises
    ------
    InputError
        No boundary at all, or a clip that cannot be read or whose boundaries are not one less than its words.
    """
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise InputError(f"most is {most!r}; a whole number of heads, at least 1.")
    layers, per_layer = decoder_shape(aligner.model)
    every = [(i, j) for i in range(layers) for j in range(per_layer)]
    known: list[_Known] = []
    read = aligner.read(waveforms, texts, every)
    for number, ((words, owner, reading), times) in enumerate(zip(read, boundaries, strict=True)):
        if isinstance(reading, InputError):
            raise InputError(f"clip {number} cannot be read: {reading}")
        check_boundaries(number, texts[number], len(words), times)
        if len(words) > 1:
            known.append(_Known.of(reading, owner, len(words), times, aligner.lead))
    if not known:
        raise InputError("no clip has two words or more, so there is no boundary to choose heads by.")

    found = [_chosen(every, known, scaling, width, most) for scaling, width in _SCALES]
    return min(found, key=lambda one: one.error)


def _chosen(
    every: Sequence[tuple[int, int]], known: Sequence[_Known], scaling: str, width: int, most: int
) -> AlignmentHeads:
    """Choose heads on one scale, forward: the best, then in turn the one that makes the mean of all best."""
    fits = [scaled(one.weights, scaling, width)[:, one.rows].numpy() for one in known]

    def error(heads: Sequence[int]) -> float:
        return float(
            np.concatenate([one.errors(fit[list(heads)]) for one, fit in zip(known, fits, strict=True)]).mean()
        )

    alone = {pair: error([number]) for number, pair in enumerate(every)}
    chosen = [min(range(len(every)), key=lambda number: alone[every[number]])]
    best = alone[every[chosen[0]]]
    while len(chosen) < min(most, len(every)):
        tried = {number: error([*chosen, number]) for number in range(len(every)) if number not in chosen}
        number = min(tried, key=tried.__getitem__)
        if tried[number] >= best:
            break
        chosen.append(number)
        best = tried[number]
    return AlignmentHeads(tuple(every[number] for number in chosen), scaling, width, best, alone, len(known))


@dataclass(frozen=True, eq=False)
class _Known:
    """A clip whose boundaries are known, and every head's view of it."""

    weights: torch.Tensor  # (heads, tokens, positions)
    rows: slice  # of the tokens, those of the text and the end token
    first: np.ndarray[Any, Any]  # first token of each word but the first
    last: np.ndarray[Any, Any]  # the token behind the last of each word but the last
    times: np.ndarray[Any, Any]

    @classmethod
    def of(cls, reading: Reading, owner: Sequence[int], words: int, times: Sequence[float], lead: int) -> _Known:
        own = np.asarray(owner)
        first = np.array([np.flatnonzero(own == number)[0] for number in range(1, words)])
        last = np.array([np.flatnonzero(own == number)[-1] + 1 for number in range(words - 1)])
        return cls(reading.weights, slice(lead - 1, -1), first, last, np.asarray(times, dtype=np.float64))

    def errors(self, fit: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        begins = token_times(-fit.mean(axis=0), np.inf)
        found: np.ndarray[Any, Any] = np.abs((begins[self.first] + begins[self.last]) / 2 - self.times)
        return found


def save_alignment_heads(heads: AlignmentHeads | Sequence[Sequence[int]], path: str | Path) -> Path:
    """Write heads to a model's generation config, where every alignment by it finds them, or to a file of their own.

    Parameters
    ----------
    heads : AlignmentHeads, or sequence of (layer, head)
        What to write.
    path : path
        The model's folder, or a JSON file for `WhisperAligner.from_pretrained` and ``--heads``.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    InputError
        The folder has no generation_config.json.
    """
    pairs = [list(map(int, pair)) for pair in (heads.heads if isinstance(heads, AlignmentHeads) else heads)]
    file = Path(path)
    said: dict[str, Any] = {}
    if file.is_dir():
        file = file / "generation_config.json"
        try:
            said = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{file} cannot be read ({error}), so the heads cannot be added to it. Give the model's folder, or a "
                "JSON file to write."
            ) from error
    elif isinstance(heads, AlignmentHeads):
        said = {"boundary_error_ms": round(1000 * heads.error, 3), "clips": heads.clips}
    said[NAMES["heads"]] = pairs
    if isinstance(heads, AlignmentHeads):
        said |= {NAMES["scaling"]: heads.scaling, NAMES["median_width"]: heads.median_width}
    said.pop(
        "_from_model_config", None
    )  # of a config that follows from the model's, transformers reads no more than that
    write_whole(file, (json.dumps(said, indent=2) + "\n").encode())
    return file
