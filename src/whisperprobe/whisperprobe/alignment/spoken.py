"""What of a transcript is said: its words, and their letters."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

__all__ = ["SpokenWord", "letters", "spoken_words"]

_SAID = frozenset("%&@#§")  # punctuation to Unicode, words to a speaker


@dataclass(frozen=True)
class SpokenWord:
    """A word of a transcript.

    Attributes
    ----------
    word : str
        As written, without punctuation around it.
    start, end : int
        Its characters within the transcript, end exclusive.
    """

    word: str
    start: int
    end: int


def spoken_words(text: str) -> tuple[SpokenWord, ...]:
    """Return the words of a transcript: what stands between white space, without punctuation around it.

    Parameters
    ----------
    text : str
        The transcript. Pieces of punctuation alone are no words.

    Returns
    -------
    tuple of SpokenWord
        In order.

    Examples
    --------
    >>> [w.word for w in spoken_words('"Don’t," she said – 5% of it…')]
    ['Don’t', 'she', 'said', '5%', 'of', 'it']
    """
    words: list[SpokenWord] = []
    at = 0
    for piece in text.split():
        start = text.index(piece, at)
        at = end = start + len(piece)
        while start < end and not _is_said(text[start]):
            start += 1
        while end > start and not _is_said(text[end - 1]):
            end -= 1
        if start < end:
            words.append(SpokenWord(text[start:end], start, end))
    return tuple(words)


def letters(text: str) -> str:
    """Return what two spellings of the same words have in common: letters, digits and signs, case folded.

    Examples
    --------
    >>> letters("Well-known"), letters("O’Neill's")
    ('wellknown', 'oneills')
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in unicodedata.normalize("NFC", folded) if _is_said(c))


def _is_said(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNMS" or character in _SAID
