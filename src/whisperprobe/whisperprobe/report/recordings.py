"""Every recording in numbers: what each model made of it under each condition, as packed columns for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from whisperprobe.comparison.listeners import WHISPER, describe_measure
from whisperprobe.comparison.naming import BASE, model_name
from whisperprobe.comparison.result import Comparison
from whisperprobe.comparison.words import as_numbers
from whisperprobe.report.choosing import voices_of
from whisperprobe.report.packing import Dictionary, Numbers, Texts

__all__ = ["NOTHING", "Recordings", "recordings_of"]

NOTHING = "(nothing)"


@dataclass(frozen=True, eq=False)
class Recordings:
    """All recordings as columns, one entry each.

    Parameters
    ----------
    ids, words : tuple of str
        Clip ids, in alphabetical order of the word, then of the id; the word of each, None for a pseudoword.
    columns : tuple of Texts or Numbers
        `recording`, `word`, `voice`, `text`, and for cell k `answer_k`, `correct_k` (per cent, over seeds), `value_k`
        (the listener's first measure) and `rank_k`.
    cells : list of dict
        What cell k is: model, who (its name in words), condition, measure (in words), tuned (whether it is the model
        tuned on that condition), base.
    several : bool
        Whether the table of recordings says more than that of words: some word has several, or none.
    """

    ids: tuple[str, ...]
    words: tuple[str | None, ...]
    columns: tuple[Texts | Numbers, ...]
    cells: list[dict[str, Any]]
    several: bool


def recordings_of(comparison: Comparison, order: Sequence[str]) -> Recordings:
    """Lay out all recordings of a comparison."""
    clips = comparison.clips
    first = clips.drop_duplicates("clip_id")
    first = first.assign(sort=first["word"].fillna("").astype(str)).sort_values(["sort", "clip_id"], kind="stable")
    ids = first["clip_id"].astype(str).tolist()
    place = {clip_id: i for i, clip_id in enumerate(ids)}
    spoken = [w if isinstance(w, str) else None for w in first["word"]]
    texts = [t if isinstance(t, str) else None for t in first["text"]]
    voices = voices_of(comparison)
    named = [voices[i] or None for i in ids]
    columns: list[Texts | Numbers] = [
        Texts("recording", ids, Dictionary.of("recordings", ids)),
        Texts("word", spoken, Dictionary.of("words", spoken)),
        Texts("text", texts, Dictionary.of("texts", texts)),
        Texts("voice", named, Dictionary.of("voices", named)),
    ]
    cells, answers, numbers = [], [], []
    for number, (model, condition) in enumerate(comparison.cells):
        mine = clips[(clips["model"] == model) & (clips["condition"] == condition)]
        at = mine["clip_id"].astype(str).map(place).to_numpy()
        measures = comparison.measures_of(model)
        lead = measures[1] if len(measures) > 1 else "word_surprisal"
        cells.append(
            {
                "model": model, "who": model_name(model, order), "condition": condition,
                "measure": "bits" if lead == "word_surprisal" else describe_measure(lead),
                "base": model == BASE, "tuned": model == condition,
                "listener": comparison.listener(model), "whisper": comparison.listener(model) == WHISPER,
            }
        )  # fmt: skip
        answers.append(_answers(mine["prediction"], at, len(ids)))
        numbers.append(Numbers(f"correct_{number}", 100 * _means(as_numbers(mine["correct"]), at, len(ids))))
        numbers.append(Numbers(f"value_{number}", _means(as_numbers(mine[lead]), at, len(ids)), 2))
        numbers.append(Numbers(f"rank_{number}", _means(as_numbers(mine["word_mean_rank"]), at, len(ids)), 1))
    shared = Dictionary.of("answers", [a for one in answers for a in one])
    columns += [Texts(f"answer_{k}", one, shared) for k, one in enumerate(answers)]
    sizes = first["word"].value_counts()
    several = bool((sizes > 1).any() or first["word"].isna().any())
    return Recordings(tuple(ids), tuple(spoken), (*columns, *numbers), cells, several)


def _answers(predictions: pd.Series[Any], at: NDArray[Any], n: int) -> list[str | None]:
    """What was written down for every recording; several seeds' answers side by side, each once."""
    found: list[str | None] = [None] * n
    for i, prediction in zip(at, predictions, strict=True):
        answer = prediction.strip() or NOTHING if isinstance(prediction, str) else NOTHING
        before = found[i]
        if before is None:
            found[i] = answer
        elif answer not in before.split(" / "):
            found[i] = f"{before} / {answer}"
    return found


def _means(values: NDArray[np.float64], at: NDArray[Any], n: int) -> NDArray[np.float64]:
    known = np.isfinite(values) | np.isposinf(values)
    total = np.bincount(at[known], weights=values[known], minlength=n)
    count = np.bincount(at[known], minlength=n)
    means: NDArray[np.float64] = np.divide(total, count, out=np.full(n, np.nan), where=count > 0)
    return means
