"""From tokens to words and times: which word a token is part of, and when the path along the sound comes to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from audiogram.errors import InputError
from whisperprobe.alignment.cross_attention import SAMPLES_PER_POSITION, Reading
from whisperprobe.alignment.following import Following, attention_matrix
from whisperprobe.alignment.gaps import AlignedWord
from whisperprobe.alignment.spoken import SpokenWord
from whisperprobe.alignment.time_warping import warp_path

__all__ = ["timed_words", "token_times", "token_words"]


def token_words(
    tokenizer: Any, text: str, words: Sequence[SpokenWord], *, leading_space: bool = True
) -> tuple[list[int], list[int]]:
    """Return the tokens of a text and, for each, which word it is part of.

    Parameters
    ----------
    tokenizer : WhisperTokenizer
        Byte-level: a token may be part of a character, and begin with the space before a word.
    text : str
        The text.
    words : sequence of SpokenWord
        Its words, from `spoken_words`.
    leading_space : bool, default True
        Whether the text is read with a space before it.

    Returns
    -------
    ids : list of int
        Its tokens, nothing added.
    owner : list of int
        Number of the word, from 0, or -1 for tokens of punctuation and white space alone.
    """
    shift = int(leading_space)
    coded = tokenizer(
        " " * shift + text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
    )
    word_at = np.full(len(text) + shift, -1)
    for number, word in enumerate(words):
        word_at[word.start + shift : word.end + shift] = number
    owner = [int(word_at[a:b].max(initial=-1)) for a, b in coded["offset_mapping"]]
    return list(coded["input_ids"]), owner


def timed_words(
    words: Sequence[SpokenWord], owner: Sequence[int], reading: Reading, lead: int, how: Following, seconds: float
) -> list[AlignedWord]:
    """Words with their times: from where the path comes to a word's first token to where it leaves its last."""
    if not bool(reading.weights.isfinite().all()):
        raise InputError("the model's attention is NaN or infinite. Are its weights damaged, or too wide for float16?")
    begins = token_times(-attention_matrix(reading, lead, how).double().numpy(), seconds)
    own = np.asarray(owner)
    timed = []
    for number, word in enumerate(words):
        tokens = np.flatnonzero(own == number)
        if not len(tokens):
            raise InputError(f"the tokenizer gives the word {word.word!r} no token of its own; it cannot be placed.")
        score = float(reading.probability[torch.from_numpy(tokens)].mean())
        timed.append(AlignedWord(word.word, float(begins[tokens[0]]), float(begins[tokens[-1] + 1]), score))
    return timed


def token_times(cost: np.ndarray[Any, Any], seconds: float) -> np.ndarray[Any, Any]:
    """When the path through a matrix of costs comes to each of its rows, in s, (rows,)."""
    rows, columns = warp_path(cost)
    first = columns[np.concatenate([[True], np.diff(rows) > 0])]
    # Position k stands for the sound around k times 20 ms, so between two of them the border lies half-way.
    times: np.ndarray[Any, Any] = np.clip((first - 0.5) * SAMPLES_PER_POSITION / 16_000, 0, seconds)
    return times
