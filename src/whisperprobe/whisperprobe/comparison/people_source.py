"""People's responses: where they are, and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from audiogram.errors import InputError, unknown_name
from whisperprobe.comparison.words import word_of

__all__ = ["HumanSource", "People", "join_key"]


@dataclass(frozen=True)
class HumanSource:
    """Where people's responses are and which columns mean what; names of columns are found in any case.

    Parameters
    ----------
    file : path
        Text table of responses: one row per trial (with a column of subjects) or one row per word.
    items : path, optional
        Second table with one row per word, e.g. MALD's item table: IsWord, duration, frequency, pronunciation.
    word : str, optional
        Column of words, joined with what the clips say; default Item, Word, Text, Stimulus or Target.
    subject, rt, accuracy, is_word : str, optional
        Columns of subjects, reaction times, correctness, and whether the item is a word; default Subject or
        Participant, RT, ACC or Accuracy or Correct, and IsWord, where the tables have them.
    response : str, optional
        Column that holds the response as it is, e.g. a rating. Default: ln of the reaction time of correct responses.
    baseline : sequence of str
        Columns that a measure must beat, e.g. duration and frequency.
    log : sequence of str
        Columns of the baseline that enter as ln(1 + x), e.g. a frequency count.
    pronunciation : str, optional
        Column of pronunciations in ARPABET, e.g. "K AE1 T".
    decimal : {".", ","}, default "."
        Decimal mark of numbers.

    Raises
    ------
    InputError
        For a value of the wrong kind.
    """

    file: str | Path
    items: str | Path | None = None
    word: str | None = None
    subject: str | None = None
    rt: str | None = None
    accuracy: str | None = None
    is_word: str | None = None
    response: str | None = None
    baseline: Sequence[str] = ()
    log: Sequence[str] = ()
    pronunciation: str | None = None
    decimal: str = "."

    def __post_init__(self) -> None:
        for name in ("baseline", "log"):
            value = getattr(self, name)
            if isinstance(value, str) or not all(isinstance(v, str) and v.strip() for v in value):
                raise InputError(f"{name}={value!r}; give a list of names of columns, e.g. ['Duration'].")
            object.__setattr__(self, name, tuple(value))
        for name in self.log:
            if name.casefold() not in [b.casefold() for b in self.baseline]:
                raise unknown_name("column of the baseline in log:", name, self.baseline)
        if self.decimal not in (".", ","):
            raise InputError(f"decimal={self.decimal!r}; numbers are written with '.' or ','.")

    def describe(self) -> dict[str, Any]:
        """Return the source as plain data, without what was left out."""
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(self).items() if v not in (None, ())}
        return {k: str(v) if isinstance(v, Path) else v for k, v in plain.items()}


@dataclass(frozen=True, eq=False, repr=False)
class People:
    """People's responses, one row per word and, where the file has trials, one per response that counts.

    Parameters
    ----------
    words : DataFrame
        word (the key of the join), response, n_responses, n_subjects, the columns of `baseline`, pronunciation.
    trials : DataFrame or None
        word, subject, rt, response (before subjects are centred), centred, and the columns that differ within a word.
    baseline : tuple of str
        Columns of `words` that a measure must beat.
    what : str
        What the response is, in words.
    unit : str
        Its axis label.
    counts : dict
        How many rows were read and why rows were left out.
    source : dict
        `HumanSource` as plain data.
    offered : tuple of str
        Columns named duration or frequency that the tables have and the baseline lacks.
    uncounted : frozenset of str
        Words that have rows but no response that counts.
    """

    words: pd.DataFrame
    trials: pd.DataFrame | None
    baseline: tuple[str, ...]
    what: str
    unit: str
    counts: Mapping[str, int] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    offered: tuple[str, ...] = ()
    uncounted: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"<People: {self.what} to {len(self.words)} words>"


def join_key(text: object) -> str | None:
    """The form in which words of clips and of people are compared: case, outer punctuation and accents' coding aside.

    Examples
    --------
    >>> join_key(" Don’t. ") == join_key("DON'T")
    True
    """
    if not isinstance(text, str):
        return None
    return word_of(text.replace("’", "'"))
