"""Do two listeners lose the same words? What a condition took from each, word by word, and how that goes together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from whisperprobe.comparison.effects import reference_condition
from whisperprobe.comparison.listeners import WHISPER
from whisperprobe.comparison.naming import lexicon_of
from whisperprobe.comparison.phonemes import MAKE_UP
from whisperprobe.comparison.regression import correlate, correlate_ranks_beyond
from whisperprobe.comparison.word_changes import word_changes

if TYPE_CHECKING:
    from whisperprobe.comparison.result import Comparison

__all__ = ["LOSSES", "Counterpart", "Loss", "counterparts", "first_models", "listener_agreement", "losses_by_word"]


class Loss(NamedTuple):
    """What it means that a listener suffers, by one measure: which way that goes, and how it is said and drawn."""

    sign: int
    said: str
    axis: str
    unit: str


LOSSES = {
    "word_surprisal": Loss(1, "rise of surprisal", "Rise of surprisal (bits)", " bits of surprisal"),
    "target_correlation": Loss(
        -1,
        "fall of the correlation with the word's vector",
        "Loss of correlation with the meaning",
        " of correlation lost",
    ),
}
"""Of each listener's first measure."""

_FEWEST = 4  # words that a correlation with an interval needs
_WORDS_PER_FEATURE = 5  # of a word's make-up, that it may be taken out


class Counterpart(NamedTuple):
    """A model of Whisper's and one of another listener that know the same condition, and the first measure of each."""

    model: str
    measure: str
    other: str
    other_measure: str


def first_models(comparison: Comparison) -> list[str]:
    """The first model of every listener: the unadapted one, for Whisper."""
    first: dict[str, str] = {}
    for model in comparison.models:
        first.setdefault(comparison.listener(model), model)
    return list(first.values())


def counterparts(comparison: Comparison) -> list[Counterpart]:
    """Whisper's first model beside every other listener's that knows the reference condition as it does."""
    reference = reference_condition(comparison.conditions)
    first = first_models(comparison)
    whisper = next((m for m in first if comparison.listener(m) == WHISPER), None)
    mine = None if whisper is None else _first_measure(comparison, whisper)
    if whisper is None or mine is None:
        return []
    found = []
    for model in comparison.models:
        lexicon = lexicon_of(model, comparison.conditions)
        knows = model in first if lexicon is None else lexicon.learnt == reference
        if comparison.listener(model) != WHISPER and knows and (theirs := _first_measure(comparison, model)):
            found.append(Counterpart(whisper, mine, model, theirs))
    return found


def losses_by_word(comparison: Comparison, pair: Counterpart, condition: str) -> pd.DataFrame:
    """What a condition took from both models of every word.

    Parameters
    ----------
    comparison : Comparison
        Runs of two listeners or more.
    pair : Counterpart
        One of `counterparts(comparison)`.
    condition : str
        Any but the reference.

    Returns
    -------
    DataFrame
        word, loss, other_loss: the change of each one's measure from the reference condition, paired by recording, in
        the measure's unit and turned so that more is worse. Only words that both have.
    """
    reference = reference_condition(comparison.conditions)
    columns = {}
    for name, model, measure in (("loss", pair.model, pair.measure), ("other_loss", pair.other, pair.other_measure)):
        changes = word_changes(comparison, measure, (model, reference), (model, condition))
        columns[name] = LOSSES[measure].sign * changes.set_index("word")["change"]
    return pd.DataFrame(columns).dropna().rename_axis("word").reset_index()


def listener_agreement(comparison: Comparison) -> pd.DataFrame:
    """How far two listeners lose the same words: rank correlation, over words, of what a condition took from each.

    Parameters
    ----------
    comparison : Comparison
        Runs of any listeners.

    Returns
    -------
    DataFrame
        model, measure, other, other_measure, reference, condition, n_words, spearman, low, high (95 %; standard error
        of Bonett and Wright, 2000), p. Positive: the words that one loses, the other loses too. beyond_sounds,
        beyond_low, beyond_high: the same with the make-up of the words' sounds taken out of both ranks; NaN without
        pronunciations, or with fewer than 60 words. Without rows where one kind of listener listened, and for
        conditions that changed all words alike or were heard by one only.
    """
    reference, rows = reference_condition(comparison.conditions), []
    for pair in counterparts(comparison):
        for condition in comparison.conditions:
            cells = {(m, c) for m in (pair.model, pair.other) for c in (reference, condition)}
            if condition == reference or not cells <= set(comparison.cells):
                continue
            table = losses_by_word(comparison, pair, condition)
            x, y = (table[name].to_numpy(dtype=np.float64) for name in ("loss", "other_loss"))
            if len(table) < _FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
                continue
            found, beyond = correlate(x, y, "spearman"), _beyond_sounds(comparison, table)
            rows.append([*pair, reference, condition, len(table), found.r, found.low, found.high, found.p, *beyond])
    return pd.DataFrame(rows, columns=_COLUMNS)


_COLUMNS = [
    "model", "measure", "other", "other_measure", "reference", "condition", "n_words", "spearman", "low", "high", "p",
    "beyond_sounds", "beyond_low", "beyond_high",
]  # fmt: skip


def _beyond_sounds(comparison: Comparison, table: pd.DataFrame) -> tuple[float, float, float]:
    """The correlation with the make-up of the words' sounds taken out; NaN where that is unknown or words are few."""
    unknown = (float("nan"), float("nan"), float("nan"))
    if comparison.sounds is None:
        return unknown
    both = table.merge(comparison.sounds.make_up, on="word")
    features = both[list(MAKE_UP)].to_numpy(dtype=np.float64)
    if len(both) < _WORDS_PER_FEATURE * len(MAKE_UP):
        return unknown
    found = correlate_ranks_beyond(both["loss"].to_numpy(), both["other_loss"].to_numpy(), features)
    return found.r, found.low, found.high


def _first_measure(comparison: Comparison, model: str) -> str | None:
    """The measure that tells most of a model, where it is known which way is worse."""
    measures = [m for m in comparison.measures_of(model) if m in LOSSES]
    return measures[0] if measures else None
