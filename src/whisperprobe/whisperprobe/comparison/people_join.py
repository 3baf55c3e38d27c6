"""Joining what listeners and people heard, by word, and saying why when few words meet."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

from audiogram.errors import AudiogramWarning, InputError
from whisperprobe.comparison.people_data import People

__all__ = ["Join", "join_words"]

_FEW = 0.5  # below this share of the listeners' words a join is suspicious
_SHOWN = 10


@dataclass(frozen=True)
class Join:
    """Which words listeners and people share.

    Attributes
    ----------
    matched, missed : tuple of str
        Words of the listeners that people responded to, and those that they did not; sorted.
    n_people : int
        Words that people responded to.
    why : str
        The likely cause where few words meet, else "".
    """

    matched: tuple[str, ...]
    missed: tuple[str, ...]
    n_people: int
    why: str = ""

    def describe(self) -> str:
        """How many words meet and, where some do not, ten of them."""
        total = len(self.matched) + len(self.missed)
        text = f"{len(self.matched):,} of the {total:,} words that were heard have responses of people"
        if not self.missed:
            return f"{text}."
        shown = ", ".join(f"“{word}”" for word in _spread(self.missed))
        more = f" and {len(self.missed) - _SHOWN:,} more" if len(self.missed) > _SHOWN else ""
        return f"{text}; {len(self.missed):,} have none: {shown}{more}."


def join_words(words: Iterable[str], people: People) -> Join:
    """Find the words that listeners and people share; case and outer punctuation do not count.

    Parameters
    ----------
    words : iterable of str
        Words of the clips, as `join_key` has them.
    people : People
        People's responses.

    Returns
    -------
    Join

    Raises
    ------
    InputError
        No word is shared; says how many there are, shows ten, and names the likely cause.

    Warns
    -----
    AudiogramWarning
        Fewer than half of the clips' words are shared.
    """
    heard, responded = set(words), set(people.words["word"])
    if not heard:
        raise InputError(
            "no clip of these runs has both a text and one of the measures. Were measures asked for that belong to "
            "another listener? Each run's columns are in its clips table; without --measure, its own are taken."
        )
    matched, missed = sorted(heard & responded), sorted(heard - responded)
    few = len(matched) < _FEW * len(heard)
    join = Join(tuple(matched), tuple(missed), len(responded), _cause(missed, responded, people) if few else "")
    if not matched:
        raise InputError(
            f"no word is common: {join.describe()} People responded to {len(responded):,} words, e.g. "
            f"{', '.join(f'“{w}”' for w in _spread(sorted(responded))[:5])}. {join.why}"
        )
    if few:
        warnings.warn(f"few words meet: {join.describe()} {join.why}", AudiogramWarning, stacklevel=2)
    return join


def _cause(missed: list[str], responded: set[str], people: People) -> str:
    def most(test: Iterable[bool], of: int = len(missed)) -> bool:
        return sum(test) > of / 2

    file = re.compile(r"[_/\\]|\.\w{3,4}$")
    if most(w in people.uncounted for w in missed):
        return (
            "Most of them are in the file, but with no response that counts: pseudowords, wrong answers or no times. "
            "Check the columns of correctness and of IsWord."
        )
    if most(w.isdigit() for w in missed):
        return 'Likely cause: the clips\' texts are numerals; write them as words with text_map = { 7 = "seven" }.'
    if most(bool(file.search(w)) for w in missed):
        return "Likely cause: the clips' texts are names of files; say with text_pattern which part is the word."
    if most((bool(file.search(w)) for w in responded), len(responded)):
        return "Likely cause: the people's column holds names of files; name the column of words with word (--word)."
    if most((w.replace(".", "").isdigit() for w in responded), len(responded)):
        return "Likely cause: the people's column holds numbers; name the column of words with word (--word)."
    if most(" " in w for w in missed):
        return "Likely cause: the clips hold several words each; cut them first, with `whisperprobe words`."
    if most(re.sub(r"\W*\d+$", "", w) in responded for w in missed):
        return "Likely cause: the clips' texts end in numbers; say with text_pattern which part is the word."
    plain = {_unaccented(w) for w in responded}
    if most(_unaccented(w) in plain for w in missed):
        return "Likely cause: accents are written in one place and left out in the other."
    return "Likely cause: people heard other words, or word (--word) names another column than that of the words."


def _unaccented(word: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))


def _spread(words: Iterable[str]) -> list[str]:
    """Ten words from all over the alphabet, for the first ten might all be of one kind."""
    listed = list(words)
    step = max(1, len(listed) // _SHOWN)
    return listed[::step][:_SHOWN]
