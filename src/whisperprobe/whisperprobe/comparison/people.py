"""Listeners against people: what each measure of each run says about people's responses, word by word."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from audiogram.errors import InputError
from whisperprobe.comparison.people_data import People, join_key
from whisperprobe.comparison.people_join import Join, join_words
from whisperprobe.comparison.regression import correlate, gain_over_baseline, holm
from whisperprobe.comparison.reliability import Reliability, split_half
from whisperprobe.comparison.words import as_numbers

if TYPE_CHECKING:
    from whisperprobe.comparison.result import Comparison

__all__ = ["PeopleComparison", "compare_with_people", "read_people_comparison"]

_CELL = ["listener", "model", "condition"]
_MOST_MISSING = 0.2  # a measure that more words lack is left out, instead of these words


@dataclass(frozen=True, eq=False, repr=False)
class PeopleComparison:
    """How every measure of every run goes with people's responses.

    Parameters
    ----------
    measures : DataFrame
        One row per listener, model, condition and measure: n (words), pearson and spearman with low, high and p; slope,
        F, p, delta_log_likelihood, delta_aic, partial_r ... (see `regression.Gain`), p_holm over all rows.
    words : DataFrame
        One row per listener, model, condition and word: response, n_responses, baseline, measures.
    trials : DataFrame or None
        One row per response that counts.
    reliability : Reliability or None
        Split-half reliability of the responses to the words compared.
    join : Join
        Which words met.
    about : dict
        what, unit, baseline, source, counts.
    notes : tuple of str
        What was left out and why, in sentences.
    """

    measures: pd.DataFrame
    words: pd.DataFrame
    trials: pd.DataFrame | None
    reliability: Reliability | None
    join: Join
    about: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<PeopleComparison: {len(self.measures)} measures, {len(self.join.matched)} words>"

    @property
    def baseline(self) -> tuple[str, ...]:
        """Columns of `words` that a measure had to beat."""
        return tuple(self.about["baseline"])

    def write(self, folder: Path) -> None:
        """Write the tables as CSV, and the rest as JSON."""
        folder.mkdir()
        self.measures.to_csv(folder / "measures.csv", index=False, lineterminator="\n")
        self.words.to_csv(folder / "words.csv", index=False, lineterminator="\n")
        if self.trials is not None:
            self.trials.to_csv(folder / "trials.csv", index=False, lineterminator="\n")
        about = {
            **self.about,
            "reliability": None if self.reliability is None else asdict(self.reliability),
            "join": asdict(self.join),
            "notes": self.notes,
        }
        text = json.dumps(about, indent=1, ensure_ascii=False, sort_keys=True)
        (folder / "people.json").write_text(text + "\n", encoding="utf-8")


def read_people_comparison(folder: Path) -> PeopleComparison:
    """Read what `PeopleComparison.write` wrote."""
    about = json.loads((folder / "people.json").read_text(encoding="utf-8"))
    reliability, join, notes = (about.pop(name) for name in ("reliability", "join", "notes"))
    text = dict.fromkeys((*_CELL, "word", "measure", "subject"), str)
    tables = {
        name: pd.read_csv(folder / f"{name}.csv", dtype=text, keep_default_na=False, na_values=[""])
        for name in ("measures", "words", "trials")
        if (folder / f"{name}.csv").is_file()
    }
    return PeopleComparison(
        tables["measures"],
        tables["words"],
        tables.get("trials"),
        None if reliability is None else Reliability(**reliability),
        Join(tuple(join["matched"]), tuple(join["missed"]), join["n_people"], join["why"]),
        about,
        tuple(notes),
    )


def compare_with_people(
    comparison: Comparison, people: People, *, measures: Sequence[str] | None = None, splits: int = 100
) -> PeopleComparison:
    """Correlate every measure of every run with people's responses, and regress these on it, over words.

    A word's value is its mean over recordings and seeds. All rows of the result are about the same words: those that
    people responded to and for which no predictor is missing.

    Parameters
    ----------
    comparison : Comparison
        Runs of any listeners.
    people : People
        Responses, from `read_people`.
    measures : sequence of str, optional
        Columns of the runs' clips; default those of each listener (`listeners.LISTENERS`) and ``correct``.
    splits : int, default 100
        Random splits of the responses for their reliability.

    Returns
    -------
    PeopleComparison

    Raises
    ------
    InputError
        For an unknown measure, one asked for that is constant, no word in common, fewer words than the regression
        needs, and a baseline that is constant or determines itself.

    Warns
    -----
    AudiogramWarning
        Where fewer than half of the words meet.
    """
    asked = tuple(measures or ())
    cells = _means(comparison, asked)
    join = join_words(cells["word"].unique(), people)
    cells = cells[cells["word"].isin(join.matched)]
    wide = cells.pivot_table(index="word", columns=[*_CELL, "measure"], values="value", sort=False)
    wide, left_out = _usable(wide, bool(asked))
    wide, words, incomplete = _complete(wide, people)
    trials = None if people.trials is None else people.trials[people.trials["word"].isin(set(wide.index))]
    about = {
        "what": people.what,
        "unit": people.unit,
        "baseline": _baseline(words),
        "source": dict(people.source),
        "counts": dict(people.counts),
        "n_subjects": None if trials is None else int(trials["subject"].nunique()),
        "n_responses": int(words["n_responses"].sum()),
    }
    return PeopleComparison(
        _table(wide, words),
        _tidy(cells, words),
        trials,
        None if trials is None else split_half(trials, splits=splits, seed=comparison.seed),
        join,
        about,
        (*_counted_out(people), *left_out, *incomplete, *_offer(people)),
    )


def _means(comparison: Comparison, asked: Sequence[str]) -> pd.DataFrame:
    """Mean of every measure over each word's recordings and seeds: listener, model, condition, word, measure, value."""
    clips = comparison.clips[comparison.clips["word"].notna()]
    if clips.empty:
        raise InputError("no clip has a text, so there is no word to join with people's responses.")
    for name in asked:
        comparison.values(name)  # refuses what is unknown or text
    keys = clips["word"].map({word: join_key(word) for word in clips["word"].unique()})
    parts = []
    for listener, rows in clips.groupby("listener", sort=False):
        names = asked or ("correct", *comparison.measures[str(listener)])
        values = {name: as_numbers(rows[name]) for name in names if name in rows and rows[name].notna().any()}
        frame = rows[_CELL].assign(word=keys[rows.index], **values)
        means = frame.groupby([*_CELL, "word"], sort=False)[list(values)].mean().reset_index()
        parts.append(means.melt(id_vars=[*_CELL, "word"], var_name="measure", value_name="value"))
    return pd.concat(parts, ignore_index=True)


def _complete(wide: pd.DataFrame, people: People) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """The words that lack nothing, what people said to them, and how many words lack what."""
    words = people.words.set_index("word").reindex(wide.index).drop(columns="pronunciation", errors="ignore")
    words = words.rename(
        columns={c: f"people_{c}" for c in words if c in set(wide.columns.get_level_values("measure"))}
    )
    complete = wide.notna().all(axis=1) & words.notna().all(axis=1)
    if complete.all():
        return wide, words, []
    lacking = [f"{name}: {n}" for name, n in words.isna().sum().items() if n]
    where = f" ({', '.join(lacking)})" if lacking else ""
    note = f"{int((~complete).sum()):,} words that lack a predictor{where} are left out of all rows."
    if not complete.any():
        raise InputError(f"no word is left: {note} Check the baseline's columns.")
    return wide[complete], words[complete], [note]


def _baseline(words: pd.DataFrame) -> list[str]:
    return [str(c) for c in words if c not in ("response", "n_responses", "n_subjects")]


def _table(wide: pd.DataFrame, words: pd.DataFrame) -> pd.DataFrame:
    base = {name: words[name].to_numpy(dtype=np.float64) for name in _baseline(words)}
    response = words["response"].to_numpy(dtype=np.float64)
    rows = [_row(tuple(key), wide[key].to_numpy(dtype=np.float64), response, base) for key in wide.columns]
    table = pd.DataFrame(rows)
    table["p_holm"] = holm(table["p"].to_numpy(dtype=np.float64))
    return table


def _tidy(cells: pd.DataFrame, words: pd.DataFrame) -> pd.DataFrame:
    """One row per listener, model, condition and word: response, baseline, then the measures."""
    keys = [*_CELL, "word"]
    cells = cells[cells["word"].isin(set(words.index))]
    tidy = cells.pivot_table(index=keys, columns="measure", values="value", sort=False)
    tidy = tidy.rename_axis(columns=None).reset_index().merge(words.reset_index(), on="word", how="left")
    return tidy[[*keys, *words.columns, *(c for c in tidy if c not in {*keys, *words.columns})]]


def _offer(people: People) -> list[str]:
    if people.baseline or not people.offered:
        return []
    return [
        f"Nothing is in the baseline; the file has {', '.join(people.offered)}. Responses go with these too: name them "
        "in the baseline to see what a measure adds."
    ]


def _usable(wide: pd.DataFrame, asked: bool) -> tuple[pd.DataFrame, list[str]]:
    """Leave out measures that say nothing: missing for many words, or the same for all."""
    notes = []
    missing = wide.isna().mean()
    many = [key for key in wide.columns if missing[key] > _MOST_MISSING]
    if many:
        listed = ", ".join(f"{_name(key)} ({100 * missing[key]:.0f} %)" for key in many)
        notes.append(f"Left out, for being missing for too many words: {listed}.")
    rest = wide.drop(columns=many)
    spread = rest.max() - rest.min()
    constant = [key for key in rest.columns if not spread[key] > 1e-12 * max(1.0, float(rest[key].abs().max()))]
    if constant and asked:
        raise InputError(
            f"{_name(constant[0])} is the same for all {len(rest)} words ({rest[constant[0]].iloc[0]:g}); it can "
            "explain nothing. Ask for other measures."
        )
    if constant:
        notes.append(f"Left out, for being the same for all words: {', '.join(map(_name, constant))}.")
    rest = rest.drop(columns=constant)
    if rest.shape[1] == 0:
        raise InputError(
            f"no measure can be compared with people's responses to {len(wide)} words: each is constant or missing. "
            "Join more words, or check the runs."
        )
    return rest, notes


def _row(key: tuple[str, ...], values: Any, response: Any, base: Mapping[str, Any]) -> dict[str, Any]:
    try:
        gain = asdict(gain_over_baseline(values, response, base))
        pearson, spearman = correlate(values, response), correlate(values, response, "spearman")
    except InputError as error:
        raise InputError(f"{_name(key)}: {error}") from None
    row: dict[str, Any] = dict(zip([*_CELL, "measure"], key, strict=True)) | {"n": gain.pop("n")}
    for name, found in (("pearson", pearson), ("spearman", spearman)):
        row |= {name: found.r, f"{name}_low": found.low, f"{name}_high": found.high, f"{name}_p": found.p}
    return row | gain


def _counted_out(people: People) -> list[str]:
    counts = dict(people.counts)
    rows = counts.pop("rows", None)
    if rows is None:
        return []
    out = ", ".join(f"{reason}: {n:,}" for reason, n in counts.items() if n)
    return [f"Of {rows:,} rows of responses, those left out are {out}."] if out else []


def _name(key: Sequence[str]) -> str:
    return f"{key[3]} of {key[1]} hearing {key[2]}"
