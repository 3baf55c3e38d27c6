"""Meanings of words as vectors: fastText, text, tables, or the embedding of a Whisper model's own tokens."""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from audiogram.errors import InputError
from whisperprobe.ldl.fasttext import FastTextFile
from whisperprobe.ldl.semantics_tables import from_mapping, read_table
from whisperprobe.ldl.semantics_text import TextVectors

__all__ = ["Semantics", "WordVectors", "open_semantics"]

WHISPER = "whisper:"
TABLES = (".csv", ".tsv", ".parquet", ".npz")
TEXTS = (".vec", ".txt")
_SAMPLE = 1 << 20  # bytes at either end of a file that tell it from others; a model is gigabytes


class _Store(Protocol):
    """Where vectors come from."""

    @property
    def dimensions(self) -> int: ...
    def vector(self, word: str) -> np.ndarray | None: ...
    def from_subwords(self, word: str) -> np.ndarray | None: ...


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Vectors of words, and how each was found.

    Attributes
    ----------
    words : tuple of str
        As they were asked for.
    vectors : ndarray of float32, shape (words, dimensions)
        Zeros where a word has none.
    found : ndarray of str, shape (words,)
        `exact`; `lower` or `capitalised`, where only that spelling has a vector; `subword`, where the vector is made of
        the word's parts; `missing`.
    """

    words: tuple[str, ...]
    vectors: np.ndarray
    found: np.ndarray

    @property
    def missing(self) -> list[str]:
        """Words without a vector, each once, in order."""
        return list(dict.fromkeys(w for w, how in zip(self.words, self.found, strict=True) if how == "missing"))

    @property
    def counts(self) -> dict[str, int]:
        """How many words were found in which way."""
        return dict(sorted(collections.Counter(self.found.tolist()).items()))


class Semantics:
    """A semantic space. Made by `open_semantics`.

    Attributes
    ----------
    name : str
        For tables and figures, e.g. "cc.en.300".
    kind : str
        `fasttext`, `text`, `table`, `whisper` or `mapping`.
    """

    def __init__(self, name: str, kind: str, store: _Store, source: str, fingerprint: str) -> None:
        self.name, self.kind, self._store = name, kind, store
        self._source, self._fingerprint = source, fingerprint

    @property
    def dimensions(self) -> int:
        """Numbers of a vector."""
        return self._store.dimensions

    def look_up(self, words: Iterable[str]) -> WordVectors:
        """Return the vectors of words.

        Parameters
        ----------
        words : iterable of str
            Each is looked up as it is, then in lower case, then capitalised; then, in a fastText model, it is made of
            its subwords. White space at its ends does not count.

        Returns
        -------
        WordVectors
            In the order of `words`.

        Raises
        ------
        InputError
            A vector that was found is not finite.
        """
        if isinstance(words, str):
            raise InputError(f"look_up received the text {words!r}; give a list of words, [{words!r}].")
        asked = tuple(words)
        strange = [word for word in asked if not isinstance(word, str)]
        if strange:
            raise InputError(f"look_up received {strange[0]!r} among the words; words are text.")
        vectors = np.zeros((len(asked), self.dimensions), dtype=np.float32)
        known: dict[str, tuple[np.ndarray | None, str]] = {}
        found = []
        for word, row in zip(asked, vectors, strict=True):
            if word not in known:
                known[word] = self._find(word.strip())
            vector, how = known[word]
            found.append(how)
            if vector is not None:
                row[:] = vector
        if not np.isfinite(vectors).all():
            bad = asked[int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])]
            raise InputError(
                f"{self._source}: the vector of {bad!r} holds NaN or infinite numbers; look at its source."
            )
        return WordVectors(asked, vectors, np.array(found, dtype="U11"))

    def describe(self) -> dict[str, Any]:
        """Return what a run says about its semantic space, JSON-able."""
        return {
            "name": self.name,
            "kind": self.kind,
            "dimensions": self.dimensions,
            "source": self._source,
            "fingerprint": self._fingerprint,
        }

    def _find(self, word: str) -> tuple[np.ndarray | None, str]:
        if not word:
            return None, "missing"
        lower = word.lower()
        for spelling, how in ((word, "exact"), (lower, "lower"), (lower[:1].upper() + lower[1:], "capitalised")):
            vector = self._store.vector(spelling)
            if vector is not None:
                return vector, how
        vector = self._store.from_subwords(word)
        return vector, "missing" if vector is None else "subword"

    def __repr__(self) -> str:
        return f"<semantics {self.name}: {self.kind}, {self.dimensions} dimensions>"


def open_semantics(source: str | Path | Mapping[str, Any] | Semantics) -> Semantics:
    """Open a semantic space.

    Parameters
    ----------
    source : path, str, mapping or Semantics
        - a fastText model, `.bin`: words, and any other word by its subwords;
        - vectors as text, `.vec` (fastText) or `.txt` (GloVe): a word and its numbers in each line;
        - a table, `.csv`, `.tsv` or `.parquet`: a column `word` and one for each dimension; or `.npz` with arrays
          `words` and `vectors`;
        - ``"whisper:MODEL"``, a model folder or hub name: the mean of the output embedding's rows for the tokens of the
          word as Whisper's ground truth has it, first letter capitalised, no leading space;
        - a mapping from words to vectors.

    Returns
    -------
    Semantics

    Raises
    ------
    InputError
        It is not there, of no known kind, damaged or quantised.

    Examples
    --------
    >>> space = open_semantics({"ship": [1.0, 0.0], "Chip": [0.0, 1.0]})
    >>> found = space.look_up(["ship", "chip", "fish"])
    >>> found.vectors.tolist(), found.found.tolist(), found.missing
    ([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], ['exact', 'capitalised', 'missing'], ['fish'])
    """
    if isinstance(source, Semantics):
        return source
    if isinstance(source, Mapping):
        if not source:
            raise InputError("the mapping of word vectors is empty.")
        table = from_mapping(source)
        digest = hashlib.sha256("\0".join(map(str, source)).encode(errors="surrogatepass"))
        digest.update(table.vectors.tobytes())
        return Semantics("mapping", "mapping", table, "a mapping", digest.hexdigest())
    if str(source).startswith(WHISPER):
        from whisperprobe.ldl.semantics_tokens import TokenVectors

        model = whisper_model(str(source))
        tokens = TokenVectors(model)
        return Semantics(f"{WHISPER}{Path(model).name}", "whisper", tokens, model, tokens.fingerprint)
    if not isinstance(source, str | Path):
        raise InputError(
            f"open_semantics received {type(source).__name__}; give a file, {WHISPER}MODEL or a mapping from words to "
            "vectors."
        )
    path = Path(source)
    if not path.is_file():
        raise InputError(
            f"there is no file {str(source)!r} of word vectors. Give a fastText .bin or .vec, a .csv, .tsv, .parquet "
            f"or .npz, or {WHISPER}MODEL for the embedding of a Whisper model."
        )
    kind, store = _open(path)
    return Semantics(path.name.removesuffix(path.suffix), kind, store, str(path), _fingerprint(path))


def whisper_model(source: str) -> str:
    """Return the model that ``"whisper:MODEL"`` names.

    Raises
    ------
    InputError
        There is nothing behind the colon.
    """
    model = source.removeprefix(WHISPER)
    if not model.strip():
        raise InputError(
            f"{source!r} names no model behind the colon; give {WHISPER}MODEL with a model's folder or hub name, e.g. "
            f"{WHISPER}openai/whisper-small."
        )
    return model


def _open(path: Path) -> tuple[str, _Store]:
    suffix = path.suffix.lower()
    if suffix == ".bin" or suffix == ".ftz":
        return "fasttext", FastTextFile(path)
    if suffix in TEXTS:
        return "text", TextVectors(path)
    if suffix in TABLES:
        return "table", read_table(path)
    raise InputError(
        f"{path} ends in {path.suffix or 'nothing'}, so what it holds is unknown. Word vectors end in .bin or .vec "
        "(fastText), .txt (GloVe), .csv, .tsv, .parquet or .npz" + ("; unpack it first." if suffix == ".gz" else ".")
    )


def _fingerprint(path: Path) -> str:
    """SHA-256 of a file's size and both its ends."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with open(path, "rb") as file:
        digest.update(file.read(_SAMPLE))
        file.seek(max(0, size - _SAMPLE))
        digest.update(file.read())
    return digest.hexdigest()
