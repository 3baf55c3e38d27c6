"""Made-up responses with known effects: what a comparison with people would find, and how often it would be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from audiogram.errors import InputError

if TYPE_CHECKING:
    from whisperprobe.comparison.people import PeopleComparison

__all__ = ["ResponseModel", "simulate_responses", "simulate_study"]


@dataclass(frozen=True)
class ResponseModel:
    """Variance of ln reaction times in auditory lexical decision: defaults of the size that large studies report.

    Parameters
    ----------
    mean : float
        Mean of ln RT; 6.8 is 900 ms.
    subject_sd, word_sd, noise_sd : float
        Standard deviations in ln RT, 0 or more: of subjects, of words (beyond their predictors), of single responses.
    heard : float
        Share of the words that each subject responds to, above 0 and at most 1.
    errors : float
        Share of wrong answers, 0 up to 1.
    """

    mean: float = 6.8
    subject_sd: float = 0.15
    word_sd: float = 0.08
    noise_sd: float = 0.25
    heard: float = 1.0
    errors: float = 0.05

    def __post_init__(self) -> None:
        if min(self.subject_sd, self.word_sd, self.noise_sd) < 0:
            raise InputError("standard deviations of a ResponseModel are 0 or more.")
        if not 0 < self.heard <= 1 or not 0 <= self.errors < 1:
            raise InputError(f"heard={self.heard} and errors={self.errors} of a ResponseModel are shares.")


def simulate_responses(
    words: pd.DataFrame,
    effects: Mapping[str, float],
    *,
    subjects: int,
    seed: int,
    model: ResponseModel | None = None,
) -> pd.DataFrame:
    """Draw responses of people to words: ln RT = mean + subject + word + effects of predictors + noise.

    Parameters
    ----------
    words : DataFrame
        word, and one column per predictor.
    effects : mapping of str to float
        Change of ln RT for one standard deviation of each predictor.
    subjects : int
        How many people, at least 1.
    seed : int
        Seed of the draws.
    model : ResponseModel, optional
        The rest.

    Returns
    -------
    DataFrame
        Subject, Item, RT (ms), ACC (TRUE or FALSE): one row per response, as MALD's response table has them.

    Examples
    --------
    >>> words = pd.DataFrame({"word": ["cat", "dog"], "surprisal": [1.0, 3.0]})
    >>> simulate_responses(words, {"surprisal": 0.02}, subjects=3, seed=0).shape
    (6, 4)
    """
    model = model or ResponseModel()
    rng = np.random.default_rng(seed)
    n = len(words)
    expected = model.mean + rng.normal(0, model.word_sd, n)
    for name, effect in effects.items():
        x = words[name].to_numpy(dtype=np.float64)
        expected = expected + effect * (x - x.mean()) / x.std()
    people = rng.normal(0, model.subject_sd, subjects)
    values = people[:, None] + expected + rng.normal(0, model.noise_sd, (subjects, n))
    wrong = rng.random((subjects, n)) < model.errors
    subject, word = np.nonzero(rng.random((subjects, n)) < model.heard)
    return pd.DataFrame(
        {
            "Subject": np.char.add("s", subject.astype(str)),
            "Item": words["word"].to_numpy(dtype=object)[word],
            "RT": np.exp(values[subject, word]),
            "ACC": np.where(wrong[subject, word], "FALSE", "TRUE"),
        }
    )


def simulate_study(
    seed: int, *, effect: float, subjects: int, words: int, model: ResponseModel | None = None, splits: int = 5
) -> PeopleComparison:
    """Make a study up and compare it with people, to see what such a study would find.

    Words have a frequency, which is in the baseline (effect -0.04 for one standard deviation), and two measures: "true"
    has the given effect on ln RT, "empty" has none but goes with frequency (r = 0.6), as useless measures often do.

    Parameters
    ----------
    seed : int
        Seed of the study.
    effect : float
        Change of ln RT for one standard deviation of "true"; 0.02 is 18 ms at 900 ms.
    subjects, words : int
        How many.
    model : ResponseModel, optional
        Variances, share of the words that each subject responds to, and share of errors.
    splits : int, default 5
        Random splits for the reliability.

    Returns
    -------
    PeopleComparison
        Rows "true" and "empty" in its `measures`.

    Examples
    --------
    >>> found = simulate_study(1, effect=0.05, subjects=20, words=100)
    >>> found.measures["measure"].tolist()
    ['true', 'empty']
    """
    from whisperprobe.comparison.people import compare_with_people
    from whisperprobe.comparison.people_data import people_from_trials
    from whisperprobe.comparison.result import Comparison

    rng = np.random.default_rng([seed, 1])
    table = pd.DataFrame({"word": [f"w{i}" for i in range(words)], "frequency": rng.normal(size=words)})
    table["true"] = rng.normal(size=words)
    table["empty"] = 0.6 * table["frequency"] + 0.8 * rng.normal(size=words)
    effects = {"frequency": -0.04, "true": effect}
    trials = simulate_responses(table, effects, subjects=subjects, seed=seed, model=model)
    counted = trials[trials["ACC"] == "TRUE"]
    people = people_from_trials(
        pd.DataFrame({"word": counted["Item"], "subject": counted["Subject"], "response": np.log(counted["RT"])}),
        {"frequency": table.set_index("word")["frequency"]},
    )
    clips = table.assign(
        listener="whisper", model="base", condition="normal", seed=pd.array([pd.NA] * words, dtype="Int64"),
        clip_id=table["word"], correct=True,
    )  # fmt: skip
    comparison = Comparison(clips, ("base",), ("normal",), measures={"whisper": ("true", "empty")}, seed=seed)
    return compare_with_people(comparison, people, measures=("true", "empty"), splits=splits)
