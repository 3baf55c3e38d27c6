"""What each token of a vocabulary is: its text, its kind, its normalised group; whether it ends a word.

Tokens of a byte-level vocabulary are bytes, not text: some hold a fraction of a character. They are read from their
bytes, never through a decoder that would turn them all into the same replacement character.
"""

from __future__ import annotations

import unicodedata
import weakref
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from audiogram.errors import InputError

__all__ = ["KINDS", "SPECIAL_GROUP_TEXT", "Vocabulary", "normal_form", "vocabulary_of"]

KINDS = ("text", "punctuation", "timestamp", "end", "special")
"""Kinds of token; `special` is any other token that is not text, which a decode meets only where nothing suppresses
it."""

SPECIAL_GROUP_TEXT = "<|special|>"
"""What `normalised_text` says for the one group that holds every special token."""

_TEXT, _PUNCTUATION, _TIMESTAMP, _END, _SPECIAL = range(5)


def normal_form(text: str) -> str:
    """Return the key that tokens are grouped by: without white space at the ends, case folded.

    Examples
    --------
    >>> normal_form(" Straße")
    'strasse'
    """
    return text.strip().casefold()


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """A vocabulary, token by token; every array has one entry per id of the model, `(V,)`.

    Attributes
    ----------
    tokens : tuple of str
        Text of each token, white space kept; bytes that are not UTF-8 alone are written `\\xe4`.
    kinds : uint8 array
        Index into `KINDS`.
    word_ends : bool array
        Whether the token says that the word before it is over: the end token, punctuation, or a token that begins
        with a space.
    groups : int32 array
        Number of the normalised group. Groups are numbered by size, then by their first token.
    group_texts : tuple of str
        Normalised text of each group.
    group_order : int64 array
        All ids, ordered by group.
    group_sizes : tuple of (int, int)
        `(size, how many groups)`, ascending: with `group_order`, the groups as a few rectangular blocks.
    end_id : int
        The end token.
    """

    tokens: tuple[str, ...]
    kinds: np.ndarray
    word_ends: np.ndarray
    groups: np.ndarray
    group_texts: tuple[str, ...]
    group_order: np.ndarray
    group_sizes: tuple[tuple[int, int], ...]
    end_id: int
    _by_key: dict[str, int] = field(repr=False)

    def __len__(self) -> int:
        return len(self.tokens)

    def group_of(self, text: str) -> int | None:
        """Return the number of the group that a text belongs to, or None; the same key as for tokens."""
        return self._by_key.get(normal_form(text))

    def members(self, group: int) -> np.ndarray:
        """Return the token ids of a group, ascending."""
        return np.flatnonzero(self.groups == group)


def _byte_of_character() -> dict[str, int]:
    """The byte that each character of a byte-level vocabulary file stands for (GPT-2's table)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(b): b for b in plain}
    others = (b for b in range(256) if b not in set(plain))
    table.update({chr(256 + n): b for n, b in enumerate(others)})
    return table


def _is_punctuation(text: str) -> bool:
    """Whether a text has nothing but punctuation (Unicode P) and white space."""
    return all(c.isspace() or unicodedata.category(c).startswith("P") for c in text)


def vocabulary_of(tokenizer: Any, size: int, *, end_id: int | None = None) -> Vocabulary:
    """Read the vocabulary of a tokenizer; built once per tokenizer and kept.

    Parameters
    ----------
    tokenizer : WhisperTokenizer
        A byte-level tokenizer.
    size : int
        How many tokens the model has; ids that the tokenizer does not know join the special group.
    end_id : int, optional
        The end token; default the tokenizer's.

    Raises
    ------
    InputError
        The tokenizer has more tokens than the model, so the two do not belong together.
    """
    end = int(tokenizer.eos_token_id if end_id is None else end_id)
    known = _cache.setdefault(tokenizer, {})
    if (size, end) not in known:
        known[size, end] = _build(tokenizer, size, end)
    return known[size, end]


_cache: weakref.WeakKeyDictionary[Any, dict[tuple[int, int], Vocabulary]] = weakref.WeakKeyDictionary()


def _build(tokenizer: Any, size: int, end: int) -> Vocabulary:
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    added: dict[str, int] = tokenizer.get_added_vocab()
    if vocabulary and max(vocabulary.values()) >= size:
        raise InputError(
            f"the tokenizer has ids up to {max(vocabulary.values())}, but the model has {size} tokens. "
            "They come from different checkpoints; give the tokenizer that was saved with the model."
        )
    no_timestamps = added.get("<|notimestamps|>", size)
    byte_of = _byte_of_character()
    tokens = [f"<|unused-{i}|>" for i in range(size)]
    kinds = np.full(size, _SPECIAL, dtype=np.uint8)
    word_ends = np.zeros(size, dtype=bool)
    keys: list[tuple[int, str]] = [(0, "")] * size  # (0, ""): the special group
    for token, i in vocabulary.items():
        if token in added or i == end:
            tokens[i] = token
            if i == end:
                kinds[i], word_ends[i] = _END, True
            elif i > no_timestamps:
                kinds[i] = _TIMESTAMP
            continue
        if not all(c in byte_of for c in token):
            raise InputError(f"the token {token!r} is not made of bytes: this is not the tokenizer of a Whisper.")
        raw = bytes(byte_of[c] for c in token)
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:  # a fraction of a character: its own group, whatever else it holds
            tokens[i] = raw.decode("utf-8", "backslashreplace")
            kinds[i], keys[i] = _TEXT, (2, token)
        else:
            tokens[i] = text
            kinds[i] = _PUNCTUATION if _is_punctuation(text) else _TEXT
            keys[i] = (1, normal_form(text))
        word_ends[i] = raw.startswith(b" ") or kinds[i] == _PUNCTUATION
    members: dict[tuple[int, str], list[int]] = {}
    for i, key in enumerate(keys):
        members.setdefault(key, []).append(i)
    ordered = sorted(members, key=lambda key: len(members[key]))  # stable, so within a size the first token decides
    group_texts = [
        SPECIAL_GROUP_TEXT if form == 0 else text if form == 1 else tokens[members[form, text][0]]
        for form, text in ordered
    ]
    order = np.array([i for key in ordered for i in members[key]], dtype=np.int64)
    sizes = np.array([len(members[key]) for key in ordered])
    groups = np.empty(size, dtype=np.int32)
    groups[order] = np.repeat(np.arange(len(ordered), dtype=np.int32), sizes)
    blocks = tuple((int(s), int(c)) for s, c in zip(*np.unique(sizes, return_counts=True), strict=True))
    by_key = {text: n for n, (form, text) in enumerate(ordered) if form == 1}
    return Vocabulary(
        tuple(tokens), kinds, word_ends, groups, tuple(group_texts), order, blocks, end_id=end, _by_key=by_key
    )
