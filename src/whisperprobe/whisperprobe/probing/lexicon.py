"""A closed list of words as a prefix trie of their spellings: what a clip's words compete in.

The spellings of a word are those that are forced for a ground truth (`labels.text_variants`), so that a word's score
over the trie is its `word_log_probability`.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from audiogram.errors import AudiogramWarning, InputError
from whisperprobe import labels

__all__ = ["Lexicon", "read_words"]


@dataclass(frozen=True, eq=False)
class Lexicon:
    """A word list and the trie of its spellings, in the tokens of one model.

    Nodes are the distinct prefixes of all spellings, numbered so that a prefix comes before what continues it and a
    subtree is one run of numbers.

    Attributes
    ----------
    words : tuple of str
        The words, in the order given.
    tokens, parents, depths : int64 array, shape (nodes,)
        Last token of each prefix, its prefix without that (−1 for none), and how many tokens stand before it.
    ends : int64 array, shape (words, spellings)
        Node at which each spelling of a word ends, −1 where it has fewer spellings.
    is_end : bool array, shape (nodes,)
        Whether a spelling ends there.
    first_child, children : int64 array
        The children of node n are ``children[first_child[n + 1] : first_child[n + 2]]``; n = −1 is the root.
    """

    words: tuple[str, ...]
    tokens: np.ndarray
    parents: np.ndarray
    depths: np.ndarray
    ends: np.ndarray
    is_end: np.ndarray
    first_child: np.ndarray
    children: np.ndarray
    _by_key: dict[str, int] = field(repr=False)

    @classmethod
    def of(cls, words: str | Path | Sequence[str], tokenizer: Any, *, room: int) -> Lexicon:
        """Build the trie of a word list.

        Parameters
        ----------
        words : path or sequence of str
            A file as for `read_words`, or the words. A word that is there already, up to case and outer punctuation,
            is left out with a warning: the two would share their spellings and be counted twice.
        tokenizer : WhisperTokenizer
            Whose tokens.
        room : int
            How many tokens the decoder has room for.

        Raises
        ------
        InputError
            No words, or a word that is none, has a tab or line break, cannot be written in the model's tokens, or
            has too many of them.
        """
        listed = read_words(words) if isinstance(words, str | Path) else list(words)
        by_key: dict[str, int] = {}
        kept: list[str] = []
        double: list[str] = []
        for word in listed:
            if not isinstance(word, str) or not word.strip() or any(c in word for c in "\t\r\n"):
                raise InputError(f"the lexicon holds {word!r}; give words, each without tab and line break.")
            key = labels.word_of(word)
            if key is None:
                raise InputError(f"the lexicon holds {word!r}, which is punctuation only; leave it out.")
            if key in by_key:
                double.append(word)
                continue
            by_key[key] = len(kept)
            kept.append(word.strip())
        if not kept:
            raise InputError("the lexicon is empty; give at least one word, in a file one per line.")
        if double:
            warnings.warn(
                f"the lexicon names {len(double)} words twice, up to case and outer punctuation (first {double[0]!r}); "
                "each is counted once, as first written.",
                AudiogramWarning,
                stacklevel=2,
            )
        spellings = [_spellings(word, tokenizer, room) for word in kept]
        return cls._build(tuple(kept), spellings, by_key)

    @classmethod
    def _build(
        cls, words: tuple[str, ...], spellings: Sequence[Sequence[tuple[int, ...]]], by_key: dict[str, int]
    ) -> Lexicon:
        tokens: list[int] = []
        parents: list[int] = []
        depths: list[int] = []
        node_of: dict[tuple[int, ...], int] = {}
        path: list[int] = []
        last: tuple[int, ...] = ()
        for ids in sorted({ids for own in spellings for ids in own}):  # in order, hence subtree by subtree
            shared = next(
                (n for n, (a, b) in enumerate(zip(last, ids, strict=False)) if a != b), min(len(last), len(ids))
            )
            del path[shared:]
            for depth in range(shared, len(ids)):
                parents.append(path[-1] if path else -1)
                path.append(len(tokens))
                tokens.append(ids[depth])
                depths.append(depth)
            node_of[ids], last = path[-1], ids
        ends = np.full((len(words), max(map(len, spellings))), -1, dtype=np.int64)
        for word, own in enumerate(spellings):
            ends[word, : len(own)] = [node_of[ids] for ids in own]
        is_end = np.zeros(len(tokens), dtype=bool)
        is_end[ends[ends >= 0]] = True
        children = np.argsort(parents, kind="stable")
        first_child = np.searchsorted(np.array(parents)[children], np.arange(-1, len(tokens) + 1))
        token, parent, depth = np.array([tokens, parents, depths], dtype=np.int64)
        return cls(words, token, parent, depth, ends, is_end, first_child, children, by_key)

    def __len__(self) -> int:
        return len(self.words)

    def find(self, text: str | None) -> int | None:
        """Return the number of the word that a text stands for, up to case and outer punctuation, or None."""
        key = labels.word_of(text)
        return None if key is None else self._by_key.get(key)

    def above(self, nodes: np.ndarray) -> np.ndarray:
        """Return all prefixes of some nodes and the nodes themselves, ascending; −1 among them does not count."""
        found = np.zeros(len(self.tokens), dtype=bool)
        at = np.unique(nodes)
        while (at := at[at >= 0]).size:
            found[at] = True
            at = np.unique(self.parents[at])
        return np.flatnonzero(found)

    def sha256(self) -> str:
        """Hash of the words, in order."""
        return hashlib.sha256("\n".join(self.words).encode()).hexdigest()


def read_words(path: str | Path) -> list[str]:
    """Read a word list: UTF-8 text, one word per line; what stands behind a tab is ignored, as are empty lines.

    Raises
    ------
    InputError
        No such file, not UTF-8, or no words.
    """
    file = Path(path)
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise InputError(f"the lexicon {file} cannot be read ({error.strerror}); name a text file.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"the lexicon {file} is not UTF-8 text ({error.reason}); save it as UTF-8.") from None
    words = [word for line in lines if (word := line.partition("\t")[0].strip())]
    if not words:
        raise InputError(f"the lexicon {file} holds no words; it needs one per line.")
    return words


def _spellings(word: str, tokenizer: Any, room: int) -> list[tuple[int, ...]]:
    try:
        variants = labels.text_variants(word, tokenizer)
        readable = all(tokenizer.decode(list(v.token_ids)).strip() == v.text.strip() for v in variants)
    except (TypeError, UnicodeEncodeError):  # half of a surrogate pair
        variants, readable = [], False
    if not variants or not readable:
        raise InputError(f"the word {word!r} of the lexicon cannot be written in the model's tokens; leave it out.")
    longest = max(len(v.token_ids) for v in variants)
    if longest > room:
        raise InputError(
            f"the word {word[:40]!r} of the lexicon has {longest} tokens; the decoder has room for {room}."
        )
    return [v.token_ids for v in variants]
