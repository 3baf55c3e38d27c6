"""How many consonants would be right by chance: a model's answers shuffled among the recordings, then aligned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pandas as pd

from audiogram.random_streams import generator
from whisperprobe.comparison.confusions import align_nearest
from whisperprobe.comparison.phonemes import ARPABET
from whisperprobe.comparison.pronunciations import Pronunciations
from whisperprobe.comparison.words import as_numbers

__all__ = ["MOST_RECORDINGS", "SHUFFLES", "right_by_chance"]

SHUFFLES = 5
MOST_RECORDINGS = 1000  # aligned of a shuffle: 5,000 in all leave an error of about half a percentage point
_KEYS = ["model", "condition"]

_Aligned = Callable[[str, str], Counter[tuple[str, bool]]]


def right_by_chance(clips: pd.DataFrame, pronunciations: Pronunciations, seed: int) -> pd.DataFrame:
    """Share of consonants that would be right if a model's answers had nothing to do with what it heard.

    The answers of each model under each condition are shuffled among its recordings, within a seed, and aligned with
    the words spoken: `SHUFFLES` times, each time at most `MOST_RECORDINGS` of them, drawn at random. A model that
    gives few answers, whatever it hears, has some sounds right by chance.

    Parameters
    ----------
    clips : DataFrame
        model, condition, word, prediction, correct, and seed where there are several: one row per clip and run.
    pronunciations : Pronunciations
        Of words and answers; rows that lack one of either are left out, as in `count_confusions`.
    seed : int
        Of the shuffles, 0 or more.

    Returns
    -------
    DataFrame
        model, condition, manner (as in `confusion_classes`), right_by_chance (share, 0 to 1).
    """
    frame = _answered(clips, pronunciations)
    count = _counter(frame, pronunciations)
    rows = []
    for (model, condition), cell in frame.groupby(_KEYS, sort=True):
        found: Counter[tuple[str, bool]] = Counter()
        for (word, answer), n in _shuffled(cell, generator(seed, f"{model}\n{condition}", "chance")).items():
            for key, times in count(word, answer).items():
                found[key] += n * times
        for manner in sorted({manner for manner, _ in found}):
            right, wrong = found[manner, True], found[manner, False]
            rows.append((model, condition, manner, right / (right + wrong)))
    return pd.DataFrame(rows, columns=[*_KEYS, "manner", "right_by_chance"])


def _answered(clips: pd.DataFrame, pronunciations: Pronunciations) -> pd.DataFrame:
    """Words and answers that have a pronunciation: model, condition, seed, word, answer."""
    known = clips[clips["word"].notna()]
    frame = pd.DataFrame({name: known[name].astype(str) for name in (*_KEYS, "word")})
    frame["seed"] = known["seed"].fillna(-1).astype(np.int64) if "seed" in known else -1
    right = as_numbers(known["correct"]) == 1
    frame["answer"] = known["prediction"].where(known["prediction"].notna(), "").astype(str)
    frame["answer"] = frame["answer"].where(~right, frame["word"])
    said = {text for name in ("word", "answer") for text in frame[name].unique() if pronunciations.first(text)}
    return frame[frame["word"].isin(said) & frame["answer"].isin(said)]


def _shuffled(cell: pd.DataFrame, rng: np.random.Generator) -> Counter[tuple[str, str]]:
    """How often each word meets each answer when a cell's answers are shuffled within each seed."""
    words, answers, seeds = (cell[name].to_numpy() for name in ("word", "answer", "seed"))
    groups = [np.flatnonzero(seeds == one) for one in np.unique(seeds)]
    pairs: Counter[tuple[str, str]] = Counter()
    for _ in range(SHUFFLES):
        order = np.empty(len(cell), dtype=np.int64)
        for rows in groups:
            order[rows] = rng.permutation(rows)
        drawn = rng.permutation(len(cell))[:MOST_RECORDINGS]
        pairs.update(zip(words[drawn], answers[order[drawn]], strict=True))
    return pairs


def _counter(frame: pd.DataFrame, pronunciations: Pronunciations) -> _Aligned:
    """A function of a word and an answer: how many consonants of each manner are right (True) and wrong in it."""
    spoken = {word: pronunciations.first(word) or () for word in frame["word"].unique()}
    heard = {answer: tuple(filter(None, pronunciations.all(answer))) for answer in frame["answer"].unique()}
    known: dict[object, Counter[tuple[str, bool]]] = {}

    def count(word: str, answer: str) -> Counter[tuple[str, bool]]:
        key = (spoken[word], heard[answer])
        if key not in known:
            known[key] = Counter()
            for a, b in align_nearest(spoken[word], heard[answer]):
                if a in ARPABET and not ARPABET[a].vowel:
                    known[key].update([("all", a == b), (ARPABET[a].manner, a == b)])
        return known[key]

    return count
