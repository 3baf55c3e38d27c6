"""Words that sound alike, from a list: an answer that differs in spelling only was heard right."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from audiogram.errors import InputError
from whisperprobe import labels

__all__ = ["Homophones"]


@dataclass(frozen=True, eq=False)
class Homophones:
    """Sets of words that sound alike.

    Attributes
    ----------
    sets : tuple of tuple of str
        The sets, as given. A word may be in several ("read" with "red", and with "reed"), which joins none of them.
    """

    sets: tuple[tuple[str, ...], ...]
    _normalise: Callable[[str], str] = field(repr=False)
    _of: dict[str, frozenset[int]] = field(repr=False)

    @classmethod
    def of(cls, words: str | Path | Iterable[Sequence[str]], normalise: Callable[[str], str]) -> Homophones:
        """Read a list.

        Parameters
        ----------
        words : path or iterable of sequences of str
            The sets. A file is UTF-8 text with one set per line, its words with white space or commas between them.
        normalise : callable
            The text normaliser that `correct` uses; words are compared as it leaves them ("two" as "2").

        Raises
        ------
        InputError
            No sets, a set of fewer than two words, a word that is none, or a file that cannot be read.
        """
        listed = _read(words) if isinstance(words, str | Path) else list(words)
        of: dict[str, set[int]] = {}
        sets = []
        for number, own in enumerate(listed):
            if isinstance(own, str) or len(own) < 2 or not all(isinstance(w, str) and w.strip() for w in own):
                raise InputError(
                    f"the homophones hold {own!r}; give sets of at least two words that sound alike, in a file one set "
                    "per line, e.g. two too to."
                )
            for word in own:
                of.setdefault(_key(word, normalise), set()).add(number)
            sets.append(tuple(own))
        if not sets:
            raise InputError("the list of homophones is empty; give at least one set of words that sound alike.")
        return cls(tuple(sets), normalise, {word: frozenset(numbers) for word, numbers in of.items()})

    def same(self, prediction: str, text: str) -> bool:
        """Whether two texts are equal under the normaliser, but for words that sound alike."""
        if labels.same_text(prediction, text, self._normalise):
            return True
        left, right = _key(prediction, self._normalise), _key(text, self._normalise)
        if self._alike(left, right):
            return True
        one, other = left.split(), right.split()
        return len(one) == len(other) and all(map(self._alike, one, other))

    def _alike(self, one: str, other: str) -> bool:
        return one == other or not self._of.get(one, frozenset()).isdisjoint(self._of.get(other, ()))

    def describe(self) -> dict[str, object]:
        """Return what identifies the list, for a manifest."""
        content = "\n".join("\t".join(own) for own in self.sets)
        return {"sets": len(self.sets), "sha256": hashlib.sha256(content.encode()).hexdigest()}


def _key(text: str, normalise: Callable[[str], str]) -> str:
    return normalise(text) or text.strip().casefold()


def _read(path: str | Path) -> list[list[str]]:
    file = Path(path)
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"the homophones {file} cannot be read ({error.strerror}); name a text file.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"the homophones {file} are not UTF-8 text ({error.reason}); save them as UTF-8.") from None
    return [own for line in lines if (own := [word for word in re.split(r"[\s,]+", line) if word])]
