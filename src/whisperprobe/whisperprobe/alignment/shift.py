"""`measure_shift`: how much later than they are said an aligner finds words, measured where that is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from audiogram.errors import InputError
from whisperprobe.alignment.gaps import check_boundaries

if TYPE_CHECKING:
    from whisperprobe.alignment.stage_work import Aligner

__all__ = ["measure_shift"]


def measure_shift(
    aligner: Aligner,
    waveforms: Sequence[np.ndarray[Any, Any]],
    texts: Sequence[str],
    boundaries: Sequence[Sequence[float]],
) -> float:
    """Return the median difference between word boundaries that an aligner finds and those that are known.

    A CTC model is trained to name characters in order, not in time, and may do so a constant time late. What this
    returns is the `shift` of `align_corpus`.

    Parameters
    ----------
    aligner : CTCAligner or WhisperAligner
        Which is measured.
    waveforms : sequence of float32 arrays, shape (samples,)
        Clips at its sample rate; some dozens of sentences, none of which is to be tested on.
    texts : sequence of str
        What is said in each.
    boundaries : sequence of sequence of float
        For each clip the times, in s, at which one word ends and the next begins: one less than it has words.

    Returns
    -------
    float
        In s; above 0 where words are found late.

    Raises
    ------
    InputError
        No boundary at all, or a clip that cannot be aligned or whose boundaries are not one less than its words.
    """
    late: list[float] = []
    for number, (words, times) in enumerate(zip(aligner(waveforms, texts), boundaries, strict=True)):
        if isinstance(words, InputError):
            raise InputError(f"clip {number} cannot be aligned: {words}")
        check_boundaries(number, texts[number], len(words), times)
        late += [(a.end + b.start) / 2 - t for a, b, t in zip(words[:-1], words[1:], times, strict=True)]
    if not late:
        raise InputError("no clip has two words or more, so there is no boundary to measure by.")
    return float(np.median(late))
