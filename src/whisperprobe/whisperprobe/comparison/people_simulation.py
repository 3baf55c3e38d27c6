"""Made-up responses with known effects: what a comparison with people would find, and how often it would be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from audiogram.errors import InputError

__all__ = ["ResponseModel", "simulate_responses"]


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
