"""What a discriminative lexicon understood of each spoken word: each number once, in float64, block by block.

A word is heard as its cues c; its predicted meaning is ŝ = c F. It is compared with the meanings of all word types by
Pearson's correlation r. `w` is the word that was said, s its meaning, ŝ and s of `dimensions` values each.

References
----------
.. [1] E. Shafaei-Bajestan, M. Moradipour-Tari, P. Uhrig and R. H. Baayen, "LDL-AURIS: a computational model, grounded
   in error-driven learning, for the comprehension of single spoken words", Language, Cognition and Neuroscience 38
   (2023), 509-536: comprehension as the nearest neighbour by correlation.
.. [2] M. Saito, "Enhancement effects of frequency: an explanation from the perspective of discriminative learning",
   PhD thesis, University of Tübingen (2022): uncertainty, functional load.
.. [3] S. Gahl and R. H. Baayen, "Time and thyme again: Connecting English spoken word duration to models of the mental
   lexicon", Language 100 (2024), 623-670: semantic support for form, semantics-to-form precision.
.. [4] S. Stein and I. Plag, "Morpho-phonetic effects in speech production: modeling the acoustic duration of English
   derived words with linear discriminative learning", Frontiers in Psychology 12 (2021), 678712: semantic density,
   target correlation, vector length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from audiogram.errors import InputError
from whisperprobe.measures import correlation, inverse_norms

__all__ = ["NEIGHBOURS", "Lexicon", "MeaningMeasures", "form_support", "functional_loads", "meaning_measures"]

Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]

NEIGHBOURS = 10
"""Word types that the density of the semantic neighbourhood averages over."""

_BLOCK = 2**22  # correlations at a time: 32 MB


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Word types and their meanings.

    Parameters
    ----------
    words : sequence of str
        The word types, each once.
    vectors : array, shape (types, dimensions)
        Their meanings; a constant one, zeros say, correlates with nothing.

    Raises
    ------
    InputError
        No words, one twice, vectors that do not fit or are not finite.
    """

    words: tuple[str, ...]
    vectors: np.ndarray[Any, Any]

    def __init__(self, words: Sequence[str], vectors: Any) -> None:
        object.__setattr__(self, "words", tuple(words))
        try:
            given = np.asarray(vectors)
        except ValueError as error:
            raise InputError(f"the vectors of a lexicon are of one length: {error}.") from error
        if given.size and given.dtype.kind not in "fiub":
            raise InputError(f"the vectors of a lexicon hold {given.dtype}; they are real numbers.")
        object.__setattr__(self, "vectors", given)
        if not self.words or self.vectors.ndim != 2 or len(self.vectors) != len(self.words):
            raise InputError(
                f"a lexicon needs one vector per word; received {len(self.words)} words and vectors of shape "
                f"{self.vectors.shape}."
            )
        if len(self.index) != len(self.words):
            twice = next(word for i, word in enumerate(self.words) if self.index[word] != i)
            raise InputError(f"the word {twice!r} is in the lexicon twice; give every word type once.")
        if not np.isfinite(self.vectors).all():
            raise InputError("the lexicon has vectors that are NaN or infinite.")

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def index(self) -> dict[str, int]:
        """Number of every word."""
        return {word: i for i, word in enumerate(self.words)}

    @cached_property
    def _directions(self) -> tuple[Floats, Integers]:
        """Centred meanings of length 1, each different one once, and which of them is each word's.

        Words that share a vector must correlate alike to the last bit, or rounding decides which comes first.
        """
        different, which = np.unique(np.asarray(self.vectors, np.float64), axis=0, return_inverse=True)
        return _standardised(different), np.asarray(which).reshape(-1)

    def correlations(self, predicted: Any) -> Floats:
        """Return Pearson's r of predicted meanings, `(events, dimensions)`, with all words: `(events, types)`."""
        directions, which = self._directions
        return np.asarray((_standardised(np.asarray(predicted, np.float64)) @ directions.T)[:, which])


@dataclass(frozen=True, eq=False)
class MeaningMeasures:
    """What `meaning_measures` found, one entry per event.

    Attributes
    ----------
    targets : ndarray of int64, shape (events,)
        w, its number in the lexicon; −1 where it is unknown.
    nearest : ndarray of int64, shape (events, k)
        The words whose meanings correlate most with ŝ, best first; words that correlate alike in the lexicon's order.
        −1 where ŝ is constant: nothing was understood.
    nearest_correlations : ndarray of float64, shape (events, k)
        Their r.
    rank : ndarray of int64, shape (events,)
        1 + how many words have a larger r than w; 0 where w is unknown.
    ties : ndarray of int64, shape (events,)
        How many other words have the same r as w; 0 where w is unknown.
    target_correlation : ndarray of float64, shape (events,)
        r of ŝ and s; NaN where w is unknown.
    semantic_neighbourhood_density : ndarray of float64, shape (events,)
        Mean r of the 10 nearest words (all, where there are fewer), w among them or not. Not Whisper's
        `semantic_density`, which is a mean cosine of a decoder state with output embeddings.
    l1_norm, l2_norm : ndarray of float64, shape (events,)
        Σ|ŝ| and √Σŝ²: how strongly any meaning is activated.
    uncertainty : ndarray of float64, shape (events,)
        Σ_v n_v q_v over all words, n_v the r of word v scaled to [0, 1] over the words of this event, q_v its place
        among them from 0, the smallest r, on. High where many words are nearly as good as the best; it grows with the
        square of the lexicon's size. 0 where all words correlate alike.
    """

    targets: Integers
    nearest: Integers
    nearest_correlations: Floats
    rank: Integers
    ties: Integers
    target_correlation: Floats
    semantic_neighbourhood_density: Floats
    l1_norm: Floats
    l2_norm: Floats
    uncertainty: Floats

    def accuracy(self, k: int = 1) -> float:
        """Share of the events with a known word in which it is among the `k` nearest, at most as many as there are."""
        known = self.targets >= 0
        found = (self.nearest[:, :k] == self.targets[:, None]).any(axis=1)
        return float(found[known].mean()) if known.any() else float("nan")


def meaning_measures(predicted: Any, targets: Any, lexicon: Lexicon, *, k: int = 10) -> MeaningMeasures:
    """Compare predicted meanings with a lexicon.

    Parameters
    ----------
    predicted : array, shape (events, dimensions)
        ŝ of every event.
    targets : integer array, shape (events,)
        Number of the word that was said, in the lexicon; −1 where it is unknown.
    lexicon : Lexicon
        The word types.
    k : int, default 10
        How many nearest words to return, at least 1; all, where the lexicon has fewer.

    Returns
    -------
    MeaningMeasures

    Raises
    ------
    InputError
        Shapes that do not fit, words that the lexicon does not have, predictions that are NaN or infinite.

    Examples
    --------
    >>> lexicon = Lexicon(["cat", "dog", "owl"], np.eye(3))
    >>> found = meaning_measures(np.array([[0.1, 0.9, 0.0]]), [0], lexicon, k=2)
    >>> [lexicon.words[i] for i in found.nearest[0]], int(found.rank[0])
    (['dog', 'cat'], 2)
    """
    s_hat, said = np.asarray(predicted), np.asarray(targets)
    if s_hat.ndim != 2 or s_hat.shape[1] != lexicon.vectors.shape[1] or said.shape != s_hat.shape[:1]:
        raise InputError(
            f"predicted meanings of shape {s_hat.shape} with targets of shape {said.shape} do not fit a lexicon of "
            f"{lexicon.vectors.shape[1]} dimensions."
        )
    if said.size and (said.dtype.kind not in "iu" or said.min() < -1 or said.max() >= len(lexicon)):
        raise InputError(f"targets must be numbers of words, from -1 (unknown) to {len(lexicon) - 1}.")
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise InputError(f"k is {k!r}; give a whole number of nearest words, at least 1.")
    strange = np.flatnonzero(~np.isfinite(s_hat).all(axis=1))
    if strange.size:
        raise InputError(
            f"the predicted meaning of event {strange[0]} is NaN or infinite; look at its cues and weights."
        )
    blocks = [_of_block(s_hat[rows], said[rows], lexicon, k) for rows in _blocks(len(s_hat), len(lexicon))]
    if not blocks:
        blocks = [_of_block(s_hat, said, lexicon, k)]
    return MeaningMeasures(*(np.concatenate([getattr(b, f.name) for b in blocks]) for f in fields(MeaningMeasures)))


def _of_block(predicted: np.ndarray[Any, Any], said: Integers, lexicon: Lexicon, k: int) -> MeaningMeasures:
    r = lexicon.correlations(predicted)
    best_first = np.argsort(-r, axis=1, kind="stable")
    falling = np.take_along_axis(r, best_first, axis=1)
    known = said >= 0
    own = np.take_along_axis(r, np.where(known, said, 0)[:, None], axis=1)
    spread = falling[:, :1] - falling[:, -1:]
    scaled = (falling - falling[:, -1:]) / np.where(spread > 0, spread, 1.0)
    nothing = (falling[:, :1] == 0) & (falling[:, -1:] == 0)
    wide = np.asarray(predicted, np.float64)
    return MeaningMeasures(
        targets=said.astype(np.int64),
        nearest=np.where(nothing, -1, best_first[:, :k]),
        nearest_correlations=falling[:, :k],
        rank=np.where(known, 1 + (r > own).sum(axis=1), 0),
        ties=np.where(known, (r == own).sum(axis=1) - 1, 0),
        target_correlation=np.where(known, own[:, 0], np.nan),
        semantic_neighbourhood_density=falling[:, :NEIGHBOURS].mean(axis=1),
        l1_norm=np.abs(wide).sum(axis=1),
        l2_norm=np.sqrt((wide * wide).sum(axis=1)),
        uncertainty=scaled @ np.arange(len(lexicon) - 1, -1, -1, dtype=np.float64),
    )


def functional_loads(C: Any, F: Any, targets: Any, width: int) -> tuple[Floats, Floats]:
    """Return ŝ, and how much each stretch of a word's cues says about what the word means.

    The functional load of a stretch is Pearson's r of what its cues alone predict, Σ_j c_j F_j over them, with s. With
    one cue that is there or not it is the r of that cue's row of F with s, as Saito defines it for letter trigrams.

    Parameters
    ----------
    C : array, shape (events, cues)
        Cues.
    F : array, shape (cues, dimensions)
        Comprehension weights.
    targets : array, shape (events, dimensions)
        s of every event; a row of NaN where it is unknown.
    width : int
        Cues of a stretch, e.g. the 630 of a chunk; the last one may have fewer.

    Returns
    -------
    predicted : ndarray of float64, shape (events, dimensions)
        ŝ = C F.
    loads : ndarray of float64, shape (events, stretches)
        −1 to 1; 0 for a stretch of silence; NaN where s is unknown.
    """
    s = np.asarray(targets, np.float64)
    predicted, loads = np.zeros((len(C), F.shape[1])), []
    for low in range(0, F.shape[0], width):
        part = np.asarray(C[:, low : low + width] @ F[low : low + width], np.float64)
        predicted += part
        loads.append(correlation(part, s))
    return predicted, np.stack(loads, axis=1)


def form_support(C: Any, targets: Any, G: Any) -> tuple[Floats, Floats]:
    """Return how well meanings produce the forms that were heard: semantic support for form, and form correlation.

    With ĉ = s G, the support is Σ_j ĉ_j c_j. For cues that are there or not that is the sum of ĉ over the word's own
    cues, as Gahl and Baayen define it; for cues of any strength it weighs them by their strength, so loud words have
    more. The correlation is Pearson's r of ĉ and c (their precision of the mapping from meaning to form), which does
    not see how loud a word is.

    Parameters
    ----------
    C : array, shape (events, cues)
        c of every event.
    targets : array, shape (events, dimensions)
        s of every event; a row of NaN where it is unknown.
    G : array, shape (dimensions, cues)
        Production weights.

    Returns
    -------
    support, form_correlation : ndarray of float64, shape (events,)
        NaN where s is unknown.
    """
    known = np.isfinite(np.asarray(targets)).all(axis=1)
    support, precision = np.full(len(known), np.nan), np.full(len(known), np.nan)
    rows = np.flatnonzero(known)
    for part in (rows[block] for block in _blocks(len(rows), max(1, G.shape[1]))):
        c_hat = np.asarray(np.asarray(targets)[part].astype(G.dtype) @ G, np.float64)
        c = np.asarray(C[part], np.float64)
        support[part] = (c_hat * c).sum(axis=1)
        precision[part] = correlation(c_hat, c)
    return support, precision


def _standardised(x: Floats) -> Floats:
    """Centre rows and bring them to length 1; a constant row becomes zeros."""
    centred = x - x.mean(axis=-1, keepdims=True)
    # what is left of a constant row is rounding
    centred[np.abs(centred).max(axis=-1) <= 1e-14 * np.abs(x).max(axis=-1)] = 0.0
    return np.asarray(centred * inverse_norms(centred)[:, None])


def _blocks(rows: int, each: int) -> Iterator[slice]:
    size = max(1, _BLOCK // each)
    return (slice(low, low + size) for low in range(0, rows, size))
