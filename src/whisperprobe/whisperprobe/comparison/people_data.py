"""People's responses word by word: which rows count, how subjects are made comparable, what a word's response is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from audiogram.errors import InputError, unknown_name
from whisperprobe.comparison.people_source import HumanSource, People, join_key
from whisperprobe.comparison.people_table import TextTable, read_text_table

__all__ = ["HumanSource", "People", "join_key", "people_from_trials", "read_people"]

_WORD = ("Item", "Word", "Text", "Stimulus", "Target")
_SUBJECT = ("Subject", "Participant")
_RT = ("RT", "ReactionTime", "ResponseTime")
_ACCURACY = ("ACC", "Accuracy", "Correct")
_IS_WORD = ("IsWord",)


def read_people(source: HumanSource | Mapping[str, Any] | str | Path) -> People:
    """Read people's responses.

    Parameters
    ----------
    source : HumanSource, mapping of its fields, or path
        Where they are.

    Returns
    -------
    People

    Raises
    ------
    InputError
        For a file that is no table, a column that is missing (with close matches) or holds something else, and where
        no response is left.
    """
    if isinstance(source, Mapping):
        fields = HumanSource.__dataclass_fields__
        strange = next((name for name in source if name not in fields), None)
        if strange is not None:
            raise unknown_name("field of the people's data", str(strange), fields)
        if "file" not in source:
            raise InputError(f"people's data have no file: {dict(source)!r}. Give {{'file': 'responses.txt', ...}}.")
        source = HumanSource(**source)
    elif not isinstance(source, HumanSource | str | Path):
        raise InputError(f"people's data are {type(source).__name__}; give a file, or a mapping with 'file'.")
    elif not isinstance(source, HumanSource):
        source = HumanSource(source)
    table = read_text_table(source.file)
    items = None if source.items is None else read_text_table(source.items)
    word = _word_column(table, source.word)
    subject = table.column(source.subject) if source.subject else table.find(*_SUBJECT)
    sieve = _Sieve(pd.DataFrame({"word": _keys(table, word)}))
    if subject is not None:
        sieve.frame["subject"] = table.text(subject)
        sieve.drop("without a subject", sieve.frame["subject"].isna())
    sieve.drop("without a word", sieve.frame["word"].isna())
    descriptions = _descriptions(source, table, items, word)
    is_word = descriptions.pop("is_word", None)
    if is_word is not None:
        known = sieve.frame["word"].map(is_word)
        sieve.drop("not in the items", known.isna())
        sieve.drop("pseudowords", ~known.fillna(False).astype(bool))
    what, unit, used = _responses(source, table, sieve, subject is not None)
    if not sieve.keep.any():
        reasons = ", ".join(f"{reason}: {n}" for reason, n in sieve.counts.items() if n)
        raise InputError(f"no row of {table.name} counts as a response ({reasons}). Check which columns mean what.")
    if subject is not None:
        rest = [c for c in table.columns if c not in (word, subject, *used)]
        sieve.frame = pd.concat([sieve.frame, _within_words(table.frame[rest], sieve.frame["word"])], axis=1)
    pronunciations = descriptions.pop("pronunciation", None)
    people = people_from_trials(sieve.frame[sieve.keep], descriptions, what=what, unit=unit)
    words = people.words
    if pronunciations is not None:
        words = words.assign(pronunciation=words["word"].map(pronunciations).astype(object))
    usual = [c for t in (table, items) if t is not None for c in t.columns if _is_usual(c)]
    lacking = [c for c in dict.fromkeys(usual) if c.casefold() not in [b.casefold() for b in source.baseline]]
    uncounted = frozenset(sieve.frame["word"].dropna()) - frozenset(words["word"])
    return replace(
        people, words=words, counts=sieve.counts, source=source.describe(), offered=tuple(lacking), uncounted=uncounted
    )


class _Sieve:
    """Rows of a table, which of them are kept, and why the others are not."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame
        self.keep = pd.Series(True, index=frame.index)
        self.counts = {"rows": len(frame)}

    def drop(self, reason: str, bad: pd.Series[Any]) -> None:
        """Leave rows out; a row that is out already is not counted again."""
        self.counts[reason] = int((self.keep & bad).sum())
        self.keep &= ~bad


def _responses(source: HumanSource, table: TextTable, sieve: _Sieve, trials: bool) -> tuple[str, str, list[str]]:
    """Put the column `response` into the sieve's frame; what it is, its axis label, and the columns that it took."""
    if source.response is not None:
        column = table.column(source.response)
        sieve.frame["response"] = table.numbers(column, source.decimal)
        sieve.drop("without a response", sieve.frame["response"].isna())
        return column, f"Mean {column}", [column]
    rt = table.column(source.rt) if source.rt else table.find(*_RT)
    if rt is None:
        raise InputError(
            f"{table.name} has no column of reaction times (RT). Name it with rt, or the column that holds the "
            f"response with response (--response). Its columns: {', '.join(table.columns)}."
        )
    what, used = "log reaction time", [rt]
    accuracy = table.column(source.accuracy) if source.accuracy else table.find(*_ACCURACY)
    if accuracy is not None and trials:  # in a table of words, accuracy is a share and no reason to leave a word out
        correct = table.truths(accuracy)
        sieve.drop("without accuracy", correct.isna())
        sieve.drop("wrong answers", ~correct.fillna(False).astype(bool))
        what, used = f"{what} of correct responses", [rt, accuracy]
    sieve.frame["rt"] = table.numbers(rt, source.decimal)
    sieve.drop("without a reaction time", sieve.frame["rt"].isna())
    sieve.drop("reaction time of 0 or less", sieve.frame["rt"] <= 0)
    sieve.frame["response"] = np.log(sieve.frame["rt"].where(sieve.frame["rt"] > 0))
    return what, f"Mean ln {rt}", used


def people_from_trials(
    trials: pd.DataFrame,
    baseline: Mapping[str, Mapping[str, float] | pd.Series[Any]] | None = None,
    *,
    what: str = "response",
    unit: str = "Mean response",
) -> People:
    """Average responses word by word, after taking each subject's mean off.

    Parameters
    ----------
    trials : DataFrame
        word and response; with subject, subjects are centred: response − the subject's mean + the mean of all.
    baseline : mapping of str to mapping of word to number, optional
        Columns that a measure must beat.
    what, unit : str
        What the response is, and how an axis says so.

    Returns
    -------
    People
        With trials where there is a column of subjects.
    """
    trials = trials.reset_index(drop=True)
    trials = trials.assign(word=_joined(trials["word"]))
    values = trials["response"]
    centred = values
    if "subject" in trials:
        centred = values - values.groupby(trials["subject"]).transform("mean") + values.mean()
    trials = trials.assign(centred=centred)
    grouped = trials.groupby("word", sort=True)
    words = pd.DataFrame({"response": grouped["centred"].mean(), "n_responses": grouped.size()})
    if "subject" in trials:
        words["n_subjects"] = grouped["subject"].nunique()
    for name, column in (baseline or {}).items():
        words[name] = pd.Series(column, dtype=float).reindex(words.index)
    return People(
        words.rename_axis("word").reset_index(),
        trials if "subject" in trials else None,
        tuple(baseline or ()),
        what,
        unit,
    )


def _word_column(table: TextTable, word: str | None) -> str:
    if word is not None:
        return table.column(word)
    found = table.find(*_WORD)
    if found is None:
        raise InputError(
            f"{table.name} has no column {', '.join(_WORD[:-1])} or {_WORD[-1]}; name the column of words "
            f"(--word). Its columns: {', '.join(table.columns)}."
        )
    return found


def _keys(table: TextTable, word: str) -> pd.Series[Any]:
    return _joined(table.text(word))


def _joined(text: pd.Series[Any]) -> pd.Series[Any]:
    return text.map({spelling: join_key(spelling) for spelling in text.dropna().unique()})


def _descriptions(
    source: HumanSource, table: TextTable, items: TextTable | None, word: str
) -> dict[str, pd.Series[Any]]:
    """What is known of every word (baseline, is_word, pronunciation), from the items or else from the responses."""
    tables = [(table, _keys(table, word))]
    if items is not None:
        own = items.find(source.word or word) or _word_column(items, None)
        tables.insert(0, (items, _keys(items, own)))

    found: dict[str, pd.Series[Any]] = {}

    def where(names: Sequence[str]) -> tuple[TextTable, pd.Series[Any], str] | None:
        for candidate, key in tables:
            column = candidate.find(*names)
            if column is not None:
                return candidate, key, column
        return None

    def needed(name: str) -> tuple[TextTable, pd.Series[Any], str]:
        place = where([name])
        if place is None:
            known = {c for t, _ in tables for c in t.columns}
            raise unknown_name(f"column in {' and '.join(t.name for t, _ in tables)}:", name, known)
        return place

    logged = [name.casefold() for name in source.log]
    for name in source.baseline:
        t, key, column = needed(name)
        values = pd.Series(t.numbers(column, source.decimal))
        if name.casefold() in logged:
            if (values < 0).any():
                raise InputError(f"{t.name}, column {column!r} has values below 0; leave it out of log.")
            values, column = pd.Series(np.log1p(values.to_numpy())), f"log_{column}"
        if column in found:
            raise InputError(f"the baseline names {column!r} twice.")
        found[column] = values.groupby(key).mean()
    place = needed(source.is_word) if source.is_word else where(_IS_WORD)
    if place is not None:
        t, key, column = place
        found["is_word"] = t.truths(column).groupby(key).max()
    if source.pronunciation is not None:
        t, key, column = needed(source.pronunciation)
        found["pronunciation"] = t.text(column).groupby(key).first()
    return found


def _within_words(columns: pd.DataFrame, key: pd.Series[Any]) -> pd.DataFrame:
    """The columns that are about a trial or a subject, such as HearingScore: those that differ within a word."""
    different = columns.groupby(key).nunique(dropna=False).max() > 1
    kept = columns[[c for c in columns if different.get(c, False)]]
    taken = {"word", "subject", "rt", "response", "centred"}
    return kept.rename(columns={c: f"source_{c}" for c in kept if c in taken})


def _is_usual(column: str) -> bool:
    return column.casefold().startswith(("duration", "freq"))
