"""A comparison: every clip heard by every model under every condition, and the numbers drawn from it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from audiogram.errors import InputError, WorkError, unknown_name
from whisperprobe.comparison.agreement import listener_agreement
from whisperprobe.comparison.effects import condition_effects
from whisperprobe.comparison.folds import replace_folder
from whisperprobe.comparison.intervals import Bootstrap, bootstrap_words
from whisperprobe.comparison.listeners import LISTENERS
from whisperprobe.comparison.people import PeopleComparison, read_people_comparison
from whisperprobe.comparison.sounds import Sounds, read_sounds
from whisperprobe.comparison.words import as_numbers, word_table

__all__ = ["Cell", "Comparison", "PairedChange", "read_comparison"]

MARKER = "comparison.json"
FORMAT = 2
MEASURES = ("correct", "word_surprisal", "word_mean_rank")
_WHISPER = {LISTENERS["probe"].name: tuple(LISTENERS["probe"].measures)}

Cell = tuple[str, str]


@dataclass(frozen=True, eq=False)
class PairedChange:
    """Change of one measure from cell `a` to cell `b`, paired by word.

    Parameters
    ----------
    measure : str
        Of what.
    a, b : tuple of str
        The two cells, (model, condition).
    mean : float
        Difference of their means, b minus a.
    low, high : float
        Its 95 % interval over words.
    words : DataFrame
        word, n_clips, a, b, difference: one row per word.
    """

    measure: str
    a: Cell
    b: Cell
    mean: float
    low: float
    high: float
    words: pd.DataFrame


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Runs of listeners joined clip by clip.

    Parameters
    ----------
    clips : DataFrame
        One row per clip and run: listener, model, condition, seed, clip_id, word, text, prediction, correct,
        word_surprisal, word_mean_rank (missing where the listener has no probabilities), ... and every column of the
        source.
    models, conditions : tuple of str
        Row and column order of the cross-condition matrix.
    runs : tuple of dict
        Label, manifest and folder of every run.
    seed, resamples : int
        Of the bootstrap.
    left_out : tuple of str
        Ids that not every run holds, where `clips="common"` allowed that.
    measures : mapping of str to tuple of str
        Measures of every listener beside `correct`, the most telling first.
    people : PeopleComparison, optional
        How the measures go with people's responses.
    sounds : Sounds, optional
        Effects by phonological make-up, and which sounds were taken for which.
    """

    clips: pd.DataFrame
    models: tuple[str, ...]
    conditions: tuple[str, ...]
    runs: tuple[dict[str, Any], ...] = ()
    seed: int = 0
    resamples: int = 2000
    left_out: tuple[str, ...] = ()
    measures: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict(_WHISPER))
    people: PeopleComparison | None = None
    sounds: Sounds | None = None
    _bootstraps: dict[tuple[str, bool], Bootstrap] = field(default_factory=dict, init=False)
    _tables: dict[str, pd.DataFrame] = field(default_factory=dict, init=False)  # by measure; "": words

    def __repr__(self) -> str:
        models, conditions = ", ".join(self.models), ", ".join(self.conditions)
        return f"<Comparison of {models} hearing {conditions}: {len(self.clips)} rows>"

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The (model, condition) pairs that were probed, row by row of the matrix."""
        pairs = self.clips[["model", "condition"]].drop_duplicates()
        present = set(zip(pairs["model"], pairs["condition"], strict=True))
        return tuple((m, c) for m in self.models for c in self.conditions if (m, c) in present)

    @cached_property
    def agreement(self) -> pd.DataFrame:
        """How far two listeners lose the same words: `listener_agreement` of this comparison (computed once)."""
        return listener_agreement(self)

    def values(self, measure: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """One measure of every row of `clips` as float64, NaN where the probe has no value."""
        names = {"accuracy": "correct", "surprisal": "word_surprisal", "rank": "word_mean_rank"}
        name = measure if measure in self.clips.columns else names.get(measure, measure)
        if name not in self.clips.columns:
            numeric = [c for c in self.clips.columns if pd.api.types.is_numeric_dtype(self.clips[c])]
            raise unknown_name("measure", measure, {*MEASURES, *numeric})
        values = as_numbers(self.clips[name])
        if len(values) and self.clips[name].notna().any() and np.isnan(values).all():
            raise InputError(f"column {measure!r} is text, not a number: {self.clips[name].dropna().iloc[0]!r}.")
        return values

    def bootstrap(self, measure: str, *, seeds: bool = False) -> Bootstrap:
        """Estimates and paired bootstrap draws of every cell, in the order of `cells` (computed once).

        Words are drawn, and with `seeds` the training seeds too.
        """
        if (measure, seeds) not in self._bootstraps:
            values = self.values(measure)
            used = np.isfinite(values) & self.clips["word"].notna().to_numpy()
            frame = self.clips.loc[used, ["model", "condition", "seed", "word"]]
            words, word_names = pd.factorize(frame["word"], sort=True)
            models = pd.Categorical(frame["model"], categories=self.models).codes.astype(np.int64)
            conditions = pd.Categorical(frame["condition"], categories=self.conditions).codes.astype(np.int64)
            lookup = np.zeros((len(self.models), len(self.conditions)), dtype=np.int64)
            for i, (model, condition) in enumerate(self.cells):
                lookup[self.models.index(model), self.conditions.index(condition)] = i
            repeats, seed_names = pd.factorize(frame["seed"].fillna(-1).astype(np.int64), sort=True)
            columns, codes = np.unique(lookup[models, conditions] * len(seed_names) + repeats, return_inverse=True)
            shape = (len(word_names), len(columns))
            flat = words * shape[1] + codes
            size = shape[0] * shape[1]
            sums = np.bincount(flat, weights=values[used], minlength=size).reshape(shape).astype(np.float64)
            counts = np.bincount(flat, minlength=size).reshape(shape).astype(np.float64)
            self._bootstraps[measure, seeds] = bootstrap_words(
                sums,
                counts,
                columns // max(len(seed_names), 1),
                n_groups=len(self.cells),
                seed=self.seed,
                resamples=self.resamples,
                repeats=seed_names[columns % max(len(seed_names), 1)] if seeds else None,
            )
        return self._bootstraps[measure, seeds]

    def matrix(self, measure: str = "correct") -> pd.DataFrame:
        """Mean of a measure in every cell, with its 95 % bootstrap interval over words.

        Parameters
        ----------
        measure : str, default "correct"
            A numeric column of `clips`: "correct" (word accuracy, a share), "word_surprisal" (bits) ...

        Returns
        -------
        DataFrame
            model, condition, mean, low, high, n_clips, n_words, n_seeds, seed_min, seed_max: seeds are averaged;
            the last two are the lowest and the highest seed's mean.
        """
        if measure not in self._tables:
            self._tables[measure] = self._matrix(measure)
        return self._tables[measure].copy()

    def _matrix(self, measure: str) -> pd.DataFrame:
        boot = self.bootstrap(measure)
        values = pd.Series(self.values(measure), index=self.clips.index)
        keep = values.notna() & self.clips["word"].notna()
        keys = [self.clips.loc[keep, "model"], self.clips.loc[keep, "condition"]]
        counts = values[keep].groupby(keys).size()
        by_seed = values[keep].groupby([*keys, self.clips.loc[keep, "seed"].fillna(-1)]).mean()
        rows = []
        for i, (model, condition) in enumerate(self.cells):
            low, high = boot.interval(i)
            heard = (model, condition) in counts.index
            seeds = by_seed.loc[(model, condition)] if heard else pd.Series(dtype=float)
            rows.append(
                {
                    "model": model,
                    "condition": condition,
                    "mean": round(float(boot.estimates[i]), 10),
                    "low": round(low, 10),
                    "high": round(high, 10),
                    "n_clips": int(counts[(model, condition)]) if heard else 0,
                    "n_words": int(boot.n_words[i]),
                    "n_seeds": len(seeds),
                    "seed_min": round(float(seeds.min()), 10) if heard else float("nan"),
                    "seed_max": round(float(seeds.max()), 10) if heard else float("nan"),
                }
            )
        return pd.DataFrame(rows)

    def listener(self, model: str) -> str:
        """Which kind of listener a model is: whisper, ldl, ..."""
        return str(self.clips.loc[self.clips["model"] == model, "listener"].iloc[0])

    def measures_of(self, model: str) -> tuple[str, ...]:
        """Measures that a model's runs hold: `correct`, then those of its listener, the most telling first."""
        rows = self.clips[self.clips["model"] == model]
        return tuple(
            name
            for name in ("correct", *self.measures.get(self.listener(model), ()))
            if name in rows and rows[name].notna().any()
        )

    def by_cell(self, measure: str) -> dict[Cell, dict[str, Any]]:
        """The rows of `matrix(measure)` by (model, condition)."""
        rows = self.matrix(measure).to_dict("records")
        return {(str(row["model"]), str(row["condition"])): {str(k): v for k, v in row.items()} for row in rows}

    def words(self) -> pd.DataFrame:
        """Every word under every model and condition: accuracy, surprisal, rank, most frequent confusion."""
        if "" not in self._tables:
            self._tables[""] = word_table(self.clips)
        return self._tables[""].copy()

    def paired(self, measure: str, a: Cell, b: Cell) -> PairedChange:
        """Change of a measure from cell `a` to cell `b`, each a (model, condition), word by word.

        Raises
        ------
        InputError
            If one of the cells was not probed.
        """
        cells = self.cells
        for cell in (a, b):
            if tuple(cell) not in cells:
                raise unknown_name("cell", "/".join(cell), ["/".join(c) for c in cells])
        mean, low, high = self.bootstrap(measure).difference(cells.index(a), cells.index(b))
        values = pd.Series(self.values(measure), index=self.clips.index)
        keys = [self.clips["model"], self.clips["condition"], self.clips["word"]]
        means = values.groupby(keys).mean()
        sizes = values.groupby(keys).count()
        table = pd.DataFrame({"n_clips": sizes[a], "a": means[a], "b": means[b]})
        table["difference"] = table["b"] - table["a"]
        table = table.rename_axis("word").reset_index()
        return PairedChange(measure, a, b, mean, low, high, table)

    def save(self, folder: str | Path) -> Path:
        """Write the comparison as a folder, replaced whole: clips.parquet, comparison.json and tables as CSV."""
        return replace_folder(Path(folder), MARKER, self._write)

    def _write(self, folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pandas(self.clips, preserve_index=False), folder / "clips.parquet")
        matrices = [self.matrix(measure).assign(measure=measure) for measure in self._measured()]
        matrix = pd.concat(matrices)
        matrix[(matrix["n_words"] > 0) | matrix["measure"].isin(MEASURES)].to_csv(
            folder / "matrix.csv", index=False, lineterminator="\n"
        )
        condition_effects(self).to_csv(folder / "effects.csv", index=False, lineterminator="\n")
        if len(self.agreement):
            self.agreement.round(10).to_csv(folder / "agreement.csv", index=False, lineterminator="\n")
        self.words().round(10).to_csv(folder / "words.csv", index=False, lineterminator="\n")
        about = {
            "format": FORMAT,
            "models": self.models,
            "conditions": self.conditions,
            "seed": self.seed,
            "resamples": self.resamples,
            "left_out": self.left_out,
            "measures": self.measures,
            "runs": [_moved(run, folder, relative=True) for run in self.runs],
        }
        if self.people is not None:
            self.people.write(folder / "people")
        if self.sounds is not None:
            self.sounds.write(folder / "sounds")
        text = json.dumps(about, indent=1, ensure_ascii=False, sort_keys=True, default=str)
        (folder / MARKER).write_text(text + "\n", encoding="utf-8")

    def _measured(self) -> list[str]:
        """Every measure that some model's runs hold, and those of Whisper that a report shows, if empty."""
        found = [name for model in self.models for name in self.measures_of(model)]
        return list(dict.fromkeys([*(m for m in MEASURES if m in self.clips), *found]))


def read_comparison(folder: str | Path) -> Comparison:
    """Read what `Comparison.save` wrote."""
    folder = Path(folder)
    if not (folder / MARKER).is_file():
        raise InputError(f"{folder} is not a comparison: it has no {MARKER}. Make one with `whisperprobe compare`.")
    try:
        about: Mapping[str, Any] = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        clips = pd.read_parquet(folder / "clips.parquet")
        if about["format"] != FORMAT:
            raise InputError(f"{folder} has format {about['format']}; this version reads {FORMAT}. Compare again.")
        names: Sequence[tuple[str, ...]] = [tuple(about[k]) for k in ("models", "conditions", "left_out")]
        return Comparison(
            clips.astype({"seed": "Int64"}), names[0], names[1],
            tuple(_moved(run, folder, relative=False) for run in about["runs"]),
            about["seed"], about["resamples"], names[2],
            {listener: tuple(measures) for listener, measures in about["measures"].items()},
            read_people_comparison(folder / "people") if (folder / "people").is_dir() else None,
            read_sounds(folder / "sounds") if (folder / "sounds").is_dir() else None,
        )  # fmt: skip
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkError(f"{folder} is damaged ({type(error).__name__}: {error}). Make the comparison again.") from error


def _moved(run: Mapping[str, Any], comparison: Path, *, relative: bool) -> dict[str, Any]:
    """A run whose folder is kept as seen from the comparison's, so that both may be moved together."""
    if "folder" not in run:
        return dict(run)
    base, folder = os.path.abspath(comparison), str(run["folder"])
    try:
        folder = os.path.relpath(folder, base) if relative else os.path.normpath(os.path.join(base, folder))
    except ValueError:  # another drive: no way leads there
        folder = os.path.abspath(folder)
    return {**run, "folder": Path(folder).as_posix() if relative else folder}
