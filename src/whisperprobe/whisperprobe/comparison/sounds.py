"""What the sounds of words have to do with how they were heard: effects by make-up, and sounds taken for others."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from audiogram.errors import InputError
from whisperprobe.comparison.agreement import LOSSES
from whisperprobe.comparison.chance import right_by_chance
from whisperprobe.comparison.confusions import confusion_classes, count_confusions
from whisperprobe.comparison.effects import reference_condition
from whisperprobe.comparison.phonemes import MAKE_UP, make_up
from whisperprobe.comparison.pronunciations import Pronunciations
from whisperprobe.comparison.regression import holm, least_squares
from whisperprobe.comparison.words import as_numbers

if TYPE_CHECKING:
    from whisperprobe.comparison.result import Comparison

__all__ = ["Sounds", "compare_sounds", "make_up_effects", "read_sounds", "turn_worse"]

_TABLES = ("make_up", "effects", "confusions", "classes", "coverage")
_EFFECT = ["listener", "model", "condition", "reference", "measure"]


@dataclass(frozen=True, eq=False, repr=False)
class Sounds:
    """Phonological analyses of a comparison.

    Parameters
    ----------
    make_up : DataFrame
        word, phonemes, and the columns of `phonemes.MAKE_UP`.
    effects : DataFrame
        What `make_up_effects` gives.
    confusions, coverage : DataFrame
        What `count_confusions` gives.
    classes : DataFrame
        What `confusion_classes` gives, and right_by_chance (share, see `right_by_chance`; NaN where it was not found).
    source : str
        Where the pronunciations come from.
    unknown : tuple of str
        Words without a pronunciation.
    """

    make_up: pd.DataFrame
    effects: pd.DataFrame
    confusions: pd.DataFrame
    classes: pd.DataFrame
    coverage: pd.DataFrame
    source: str
    unknown: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Sounds of {len(self.make_up)} words>"

    def write(self, folder: Path) -> None:
        """Write the tables as CSV, and the rest as JSON."""
        folder.mkdir()
        for name in _TABLES:
            getattr(self, name).to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
        about = {"source": self.source, "unknown": self.unknown}
        (folder / "sounds.json").write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_sounds(folder: Path) -> Sounds:
    """Read what `Sounds.write` wrote."""
    text = dict.fromkeys([*_EFFECT, "word", "phonemes", "spoken", "heard", "manner", "feature"], str)
    tables = {
        name: pd.read_csv(folder / f"{name}.csv", dtype=text, keep_default_na=False, na_values=[""]) for name in _TABLES
    }
    if "right_by_chance" not in tables["classes"]:  # a comparison of an earlier version
        tables["classes"]["right_by_chance"] = np.nan
    about = json.loads((folder / "sounds.json").read_text(encoding="utf-8"))
    return Sounds(**tables, source=about["source"], unknown=tuple(about["unknown"]))


def compare_sounds(comparison: Comparison, pronunciations: Pronunciations) -> Sounds:
    """Describe the words of a comparison by their sounds, and what these have to do with how they were heard.

    Parameters
    ----------
    comparison : Comparison
        Runs joined clip by clip.
    pronunciations : Pronunciations
        What words sound like, see `open_pronunciations`.

    Returns
    -------
    Sounds
        Make-up of every word, its effects, confusions of sounds.

    Raises
    ------
    InputError
        No word has a pronunciation.
    """
    words = sorted(comparison.clips["word"].dropna().astype(str).unique())
    found = {word: pronunciations.first(word) for word in words}
    known = {word: phonemes for word, phonemes in found.items() if phonemes}
    if not known:
        shown = ", ".join(f"“{w}”" for w in words[:10])
        raise InputError(
            f"none of the {len(words)} words has a pronunciation in {pronunciations.source} ({shown}). Give a table "
            "with the columns Word and Pronunciation (ARPABET) with pronunciations (--pronunciations)."
        )
    table = pd.DataFrame([{"word": w, "phonemes": " ".join(p), **make_up(p)} for w, p in known.items()])
    confusions, coverage = count_confusions(comparison.clips, pronunciations)
    unknown = tuple(word for word in words if word not in known)
    effects = make_up_effects(comparison, table)
    chance = right_by_chance(comparison.clips, pronunciations, comparison.seed)
    classes = confusion_classes(confusions).merge(chance, on=["model", "condition", "manner"], how="left")
    return Sounds(table, effects, confusions, classes, coverage, pronunciations.source, unknown)


def turn_worse(effects: pd.DataFrame) -> pd.DataFrame:
    """Turn the slopes of effects so that above 0 is worse: a word with more of the feature suffered more.

    Parameters
    ----------
    effects : DataFrame
        As `make_up_effects` gives them.

    Returns
    -------
    DataFrame
        The same with slope, low and high turned, and known: whether it is known of the measure which way is worse.
        Where it is not, the row is left as it is.
    """
    worse = effects["measure"].map({name: loss.sign for name, loss in LOSSES.items()} | {"correct": -1})
    sign = worse.fillna(1).astype(np.float64)
    turned = effects.assign(slope=effects["slope"] * sign, known=worse.notna())
    turned["low"] = (effects["low"] * sign).where(sign > 0, effects["high"] * sign)
    turned["high"] = (effects["high"] * sign).where(sign > 0, effects["low"] * sign)
    return turned


def make_up_effects(comparison: Comparison, words: pd.DataFrame) -> pd.DataFrame:
    """Regress each condition's effect on each word on what the word is made of.

    The effect is the word's mean under the condition minus that under the reference. Each feature of the make-up has a
    regression of its own, by ordinary least squares with intervals that allow for unequal variances (HC3), beside the
    number of phonemes: shares exclude each other, so that all at once would have no unique answer.

    Parameters
    ----------
    comparison : Comparison
        Runs of any listeners.
    words : DataFrame
        word and the columns of `phonemes.MAKE_UP`.

    Returns
    -------
    DataFrame
        listener, model, condition, reference, measure (`correct` and the listener's first), feature, n (words), slope
        (change of the effect from a share of 0 to one of 1, or per phoneme), low, high, p, p_holm (over the features
        of an effect). Features that do not vary, and effects on fewer than 6 words, have no row.
    """
    reference = reference_condition(comparison.conditions)
    features = words.set_index("word")
    rows: list[dict[str, Any]] = []
    for model in comparison.models:
        for measure in comparison.measures_of(model)[:2]:
            means = _means(comparison, model, measure)
            for condition in comparison.conditions:
                if condition == reference or not {condition, reference} <= set(means):
                    continue
                effect = (means[condition] - means[reference]).dropna()
                effect = effect[effect.index.isin(features.index)]
                found = _regressions(effect, features.loc[effect.index])
                key = dict(
                    zip(_EFFECT, (comparison.listener(model), model, condition, reference, measure), strict=True)
                )
                rows += [key | row for row in found]
    return pd.DataFrame(rows, columns=[*_EFFECT, "feature", "n", "slope", "low", "high", "p", "p_holm"])


def _means(comparison: Comparison, model: str, measure: str) -> dict[str, pd.Series[Any]]:
    rows = comparison.clips[(comparison.clips["model"] == model) & comparison.clips["word"].notna()]
    values = pd.Series(as_numbers(rows[measure]), index=rows.index)
    return {str(c): part.groupby(rows.loc[part.index, "word"]).mean() for c, part in values.groupby(rows["condition"])}


def _regressions(effect: pd.Series[Any], features: pd.DataFrame) -> list[dict[str, Any]]:
    y = effect.to_numpy(dtype=np.float64)
    if len(y) < 6 or np.ptp(y) == 0:
        return []
    length = features["n_phonemes"].to_numpy(dtype=np.float64)
    rows = []
    for name in MAKE_UP:
        x = features[name].to_numpy(dtype=np.float64)
        columns = [np.ones(len(y)), x] if name == "n_phonemes" else [np.ones(len(y)), x, length]
        design = np.column_stack(columns)
        if np.ptp(length) == 0 and name != "n_phonemes":
            design = design[:, :2]
        if np.linalg.matrix_rank(design - design.mean(axis=0) * [0, *[1] * (design.shape[1] - 1)]) < design.shape[1]:
            continue
        leverage = np.einsum("ij,ji->i", design, np.linalg.pinv(design))
        if leverage.max() > 1 - 1e-8:  # a word that alone carries a feature is fitted exactly: no variance to judge by
            continue
        fit = least_squares(y, design).fit(cov_type="HC3", use_t=True)
        low, high = fit.conf_int()[1]
        rows.append(
            {
                "feature": name, "n": len(y), "slope": float(fit.params[1]), "low": float(low), "high": float(high),
                "p": float(fit.pvalues[1]),
            }
        )  # fmt: skip
    adjusted = holm(np.array([row["p"] for row in rows]))
    return [row | {"p_holm": float(p)} for row, p in zip(rows, adjusted, strict=True)]
