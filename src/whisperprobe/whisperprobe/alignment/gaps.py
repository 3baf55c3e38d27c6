"""Words with times, and what becomes of the silence between them: split, not cut off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audiogram.errors import InputError

__all__ = ["EDGES", "AlignedWord", "check_boundaries", "check_edges", "check_score", "refuse_unlikely", "split_gaps"]

EDGES = 0.1  # s; an onset found a little late is whole, a second of silence stays behind


@dataclass(frozen=True)
class AlignedWord:
    """A word and where an aligner found it.

    Attributes
    ----------
    word : str
        As the transcript writes it, without punctuation around it.
    start, end : float
        In s from the beginning of the clip.
    score : float or None
        How sure the aligner is, 0 to 1; None where it does not say.
    """

    word: str
    start: float
    end: float
    score: float | None = None


def check_edges(edges: float) -> float:
    """Return `edges` where it is a length of silence, 0 to infinity."""
    if isinstance(edges, bool) or not isinstance(edges, int | float) or math.isnan(edges) or edges < 0:
        raise InputError(f"edges is {edges!r}; a length of silence in s, 0 or more, inf for all of it.")
    return float(edges)


def check_score(score: float) -> float:
    """Return a lowest mean score where it is one, 0 to 1."""
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise InputError(f"min_score is {score!r}; a probability, 0 (everything passes) to 1.")
    return float(score)


def split_gaps(
    starts: Sequence[float] | npt.NDArray[np.float64],
    ends: Sequence[float] | npt.NDArray[np.float64],
    seconds: float,
    edges: float = EDGES,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Give every word half of the silence on each side of it.

    Parameters
    ----------
    starts, ends : sequence of float, shape (words,)
        Where each word was found, in s, in order. Words that overlap are parted in the middle of the overlap.
    seconds : float
        Length of the clip, in s.
    edges : float, default 0.1
        How much of the silence before the first word and behind the last goes with them, in s; ``inf`` for all of
        it: then the words tile the clip.

    Returns
    -------
    starts, ends : float64 arrays, shape (words,)
        Each word ends where the next begins.

    Raises
    ------
    InputError
        A word ends before it begins, or the words are not in order, or one lies outside of the clip.

    Examples
    --------
    >>> starts, ends = split_gaps([0.5, 1.0], [0.8, 1.5], 2.0, edges=0.2)
    >>> starts.tolist(), ends.tolist()
    ([0.3, 0.9], [0.9, 1.7])
    """
    check_edges(edges)
    s, e = np.asarray(starts, dtype=np.float64), np.asarray(ends, dtype=np.float64)
    if s.ndim != 1 or s.shape != e.shape or not len(s):
        raise InputError(f"starts and ends are of shapes {s.shape} and {e.shape}; give one of each for every word.")
    if not (np.isfinite(s).all() and np.isfinite(e).all()):
        raise InputError("a word begins or ends at no finite time.")
    for wrong, what in (
        (e < s, "ends before it begins"),
        (np.append(np.diff(s) < 0, False) | np.append(np.diff(e) < 0, False), "comes behind its successor"),
        ((s < 0) | (e > seconds + 1e-3), f"lies outside of the clip of {seconds:.3f} s"),  # times are rounded to 1 ms
    ):
        if wrong.any():
            at = int(wrong.argmax())
            raise InputError(f"word number {at + 1}, {s[at]:.3f} to {e[at]:.3f} s, {what}.")
    e = np.minimum(e, seconds)
    cuts = (e[:-1] + s[1:]) / 2
    first, last = max(0.0, s[0] - edges), min(float(seconds), e[-1] + edges)
    return np.concatenate([[first], cuts]), np.concatenate([cuts, [last]])


def refuse_unlikely(words: Sequence[AlignedWord], text: str, heard: str, min_score: float) -> None:
    """Raise `InputError`, naming transcript and what was heard, where the mean score of the words is below a limit."""
    score = float(np.mean([word.score for word in words if word.score is not None]))
    if not score >= min_score:
        raise InputError(
            f"the sound does not match the transcript: score {score:.3f}, below {min_score:g}. The transcript says "
            f"{text!r}, the model hears {heard!r}."
        )


def check_boundaries(number: int, text: str, words: int, times: Sequence[float]) -> None:
    """Raise `InputError` unless the known boundaries of clip `number` are one less than its words."""
    if len(times) != words - 1:
        raise InputError(
            f"clip {number}: {words} words, {text!r}, have {words - 1} boundaries between them, received {len(times)}."
        )
