"""What was found, in plain sentences with the numbers in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from audiogram.errors import unknown_name
from whisperprobe.comparison.agreement import first_models
from whisperprobe.comparison.effects import reference_condition
from whisperprobe.comparison.listener_summary import (
    agreement_sentences,
    answer_sentences,
    lexicon_sentences,
    who_listened,
)
from whisperprobe.comparison.naming import BASE, lexicon_of
from whisperprobe.comparison.people_summary import effect_sentences, people_sentences, severity_sentences
from whisperprobe.comparison.result import Cell, Comparison
from whisperprobe.comparison.words import and_between, count_of, percent

__all__ = ["Recovery", "recovery", "reference_condition", "summarise", "worst_words"]

_LISTED = 6  # words named per condition
_RECOVERED = ((0.995, "all"), (0.5, "most"), (0.05, "some"), (0.0, "hardly any"))  # from which share on, in words


@dataclass(frozen=True)
class Recovery:
    """Share of the drop under a condition that fine-tuning on it won back, with its 95 % interval over words."""

    share: float
    low: float
    high: float


def recovery(comparison: Comparison, condition: str, reference: str) -> Recovery | None:
    """How much of the unadapted model's drop in accuracy the model tuned on `condition` won back.

    1 is all of it: as accurate under the condition as the unadapted model under the reference. None where a cell is
    missing, or where the words do not settle that there is a drop: a share of nothing is no number.
    """
    cells: list[Cell] = [(BASE, reference), (BASE, condition), (condition, condition)]
    if condition == reference or any(cell not in comparison.cells for cell in cells):
        return None
    best, impaired, tuned = (comparison.cells.index(cell) for cell in cells)
    boot = comparison.bootstrap("correct")
    drop = boot.estimates[best] - boot.estimates[impaired]
    drops = boot.draws[:, best] - boot.draws[:, impaired]
    if not drop > 0 or boot.percentiles(drops, int(boot.n_words[best]), 0.95)[0] <= 0:
        return None
    gains = boot.draws[:, tuned] - boot.draws[:, impaired]
    shares = np.divide(gains, drops, out=np.full_like(gains, np.nan), where=drops > 0)
    low, high = boot.percentiles(shares, int(boot.n_words[best]), 0.95)
    return Recovery(float((boot.estimates[tuned] - boot.estimates[impaired]) / drop), low, high)


def worst_words(comparison: Comparison, condition: str, reference: str, model: str = BASE) -> pd.DataFrame:
    """Words by how much they suffered under a condition: loss of accuracy first, then rise of surprisal.

    Returns
    -------
    DataFrame
        word, accuracy_reference, accuracy, lost (share), surprisal_reference, surprisal, rise (bits), confusion;
        worst first.
    """
    table = comparison.words()
    table = table[table["model"] == model].set_index("word")
    before = table[table["condition"] == reference]
    after = table[table["condition"] == condition]
    frame = pd.DataFrame(
        {
            "accuracy_reference": before["accuracy"],
            "accuracy": after["accuracy"],
            "surprisal_reference": before["surprisal"],
            "surprisal": after["surprisal"],
            "confusion": after["confusion"],
        }
    )
    frame["lost"] = frame["accuracy_reference"] - frame["accuracy"]
    frame["rise"] = frame["surprisal"] - frame["surprisal_reference"]
    frame = frame.rename_axis("word").reset_index()
    return frame.sort_values(["lost", "rise", "word"], ascending=[False, False, True], kind="stable", ignore_index=True)


def summarise(comparison: Comparison, condition_order: Sequence[str] | None = None) -> list[str]:
    """Say what was found: accuracy, drop, recovery, transfer; other listeners; words and sounds that suffered; people.

    Parameters
    ----------
    comparison : Comparison
        Probe runs joined clip by clip.
    condition_order : sequence of str, optional
        Order of the conditions; default that of the comparison. The reference is `normal` where it is among them,
        else the first.

    Returns
    -------
    list of str
        Plain sentences, each standing for itself. Intervals are 95 % bootstrap intervals over words.

    Raises
    ------
    InputError
        For a condition that was not probed.
    """
    order = list(condition_order or comparison.conditions)
    for name in order:
        if name not in comparison.conditions:
            raise unknown_name("condition", name, comparison.conditions)
    reference = reference_condition(order)
    others = [c for c in order if c != reference]
    return [
        _scope(comparison),
        *_unadapted(comparison, reference, others),
        *answer_sentences(comparison, others),
        *(s for c in others for s in _adapted(comparison, c, reference)),
        *_transfer(comparison, order),
        *lexicon_sentences(comparison, order),
        *agreement_sentences(comparison),
        *(s for c in others for s in _suffering(comparison, c, reference)),
        *effect_sentences(comparison, first_models(comparison)[:1]),
        *people_sentences(comparison),
        *severity_sentences(comparison),
    ]


def _scope(comparison: Comparison) -> str:
    clips = comparison.clips["clip_id"].nunique()
    words = comparison.clips["word"].nunique()
    seeds = comparison.clips["seed"].nunique()
    repeated = f", averaged over {seeds} seeds" if seeds > 1 else ""
    text = (
        f"{who_listened(comparison)} heard {count_of(clips, 'recording')} of {count_of(words, 'word')} "
        f"under {count_of(len(comparison.conditions), 'condition')}{repeated}."
    )
    if comparison.left_out:
        text += f" {count_of(len(comparison.left_out), 'recording')} that not every run holds were left out."
    return text


def _unadapted(comparison: Comparison, reference: str, others: Sequence[str]) -> list[str]:
    cells = comparison.cells
    if (BASE, reference) not in cells:
        return []
    best = cells.index((BASE, reference))
    accuracy, surprisal = comparison.bootstrap("correct"), comparison.bootstrap("word_surprisal")
    before = _bits(surprisal.estimates[best])
    sentences = [
        f"Under {reference}, the unadapted model understood {percent(accuracy.estimates[best])} of the recordings"
        f"{_range(*accuracy.interval(best))}; the mean surprisal of the spoken word was {before}."
    ]
    for condition in others:
        if (BASE, condition) not in cells:
            continue
        here = cells.index((BASE, condition))
        sentences.append(
            f"Under {condition}, it understood {percent(accuracy.estimates[here])}"
            f"{_range(*accuracy.interval(here))}, {_change(*accuracy.difference(best, here))}; mean surprisal went "
            f"from {before} to {_bits(surprisal.estimates[here])}."
        )
    return sentences


def _change(change: float, low: float, high: float) -> str:
    if not math.isfinite(change):
        return "which cannot be compared"
    if change == low == high == 0:
        return "no more and no less"
    points = abs(100 * change)
    size = f"{points:.1f}" if points >= 0.05 else "under 0.1"
    text = (
        f"{size} percentage points {'less' if change < 0 else 'more'}" if change else "no more and no less on average"
    )
    if not math.isfinite(low):
        return f"{text} (too few words for an interval)"
    if low == high:
        return text  # every word changed alike: an interval without width says nothing
    if low <= 0 <= high:
        unsettled = ", a difference that these words do not settle" if change else ""
        return f"{text}{unsettled} ({_signed(100 * low)} to {_signed(100 * high)})"
    bounds = sorted((abs(100 * low), abs(100 * high)))
    return f"{text} ({bounds[0]:.1f} to {bounds[1]:.1f})"


def _adapted(comparison: Comparison, condition: str, reference: str) -> list[str]:
    if (condition, condition) not in comparison.cells:
        return []
    here = comparison.cells.index((condition, condition))
    accuracy = comparison.bootstrap("correct")
    surprisal = comparison.bootstrap("word_surprisal").estimates[here]
    text = (
        f"Fine-tuned on {condition}, the model understood {percent(accuracy.estimates[here])} of what it heard "
        f"through {condition}{_range(*accuracy.interval(here))}, at {_bits(surprisal)} of surprisal"
    )
    won = recovery(comparison, condition, reference)
    if won is None:
        return [text + "."]
    return [f"{text}: {_won_back(won)}"]


def _won_back(won: Recovery) -> str:
    if won.share <= 0:
        return "nothing of the drop was recovered."
    bounds = f", {_whole(100 * won.low)} to {_whole(100 * won.high)} %" if won.low < won.high else ""
    unsettled = ", which these words do not settle" if won.low <= 0 < won.high else ""
    much = next(word for least, word in _RECOVERED if won.share >= least)
    return f"{much} of the drop was recovered ({_whole(100 * won.share)} %{bounds}){unsettled}."


def _transfer(comparison: Comparison, order: Sequence[str]) -> list[str]:
    """What each adapted model makes of the conditions that it was not tuned on."""
    accuracy = comparison.bootstrap("correct")
    sentences = []
    for model in (m for m in comparison.models if m != BASE and lexicon_of(m, comparison.conditions) is None):
        parts = []
        for condition in (c for c in order if c != model and (model, c) in comparison.cells):
            part = f"{percent(accuracy.estimates[comparison.cells.index((model, condition))])} under {condition}"
            if (BASE, condition) in comparison.cells and comparison.listener(model) == comparison.listener(BASE):
                first, here = (comparison.cells.index((m, condition)) for m in (BASE, model))
                change, low, high = (100 * v for v in accuracy.difference(first, here))
                points = f"; difference {_signed(change)}, {_signed(low)} to {_signed(high)}" if low < high else ""
                part += f" (unadapted: {percent(accuracy.estimates[first])}{points})"
            parts.append(part)
        if parts:
            if model in comparison.conditions:
                sentences.append(f"Transfer: the model tuned on {model} understood {and_between(parts)}.")
            else:
                sentences.append(f"The model {model} understood {and_between(parts)}.")
    return sentences


def _suffering(comparison: Comparison, condition: str, reference: str) -> list[str]:
    if any((BASE, c) not in comparison.cells for c in (condition, reference)):
        return []
    table = worst_words(comparison, condition, reference)
    by = "rise" if table["rise"].notna().any() else "lost"  # at 0 %, accuracy no longer tells words apart
    table = table[table[by] > 0].sort_values(by, ascending=False, kind="stable").head(_LISTED)
    if table.empty:
        return [f"No word was understood worse under {condition} than under {reference}."]
    words = []
    columns = (table[name] for name in ("word", "accuracy_reference", "accuracy", "rise", "confusion"))
    for word, before, after, rise, confusion in zip(*columns, strict=True):
        bits = f"{_signed(rise)} bits, " if by == "rise" else ""
        heard = f", heard as “{confusion}”" if isinstance(confusion, str) else ""
        words.append(f"“{word}” ({bits}{100 * before:.0f} % to {100 * after:.0f} %{heard})")
    return [f"The words that suffered most under {condition}: {and_between(words)}."]


def _signed(points: float) -> str:
    """A number of percentage points or bits with its sign, −0.0 without.

    Examples
    --------
    >>> _signed(1.26), _signed(-0.52), _signed(-0.01)
    ('+1.3', '−0.5', '0.0')
    """
    text = f"{points:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def _whole(percent: float) -> str:
    return f"{round(percent)}".replace("-", "−")


def _bits(value: float) -> str:
    return f"{value:.1f} bits" if math.isfinite(value) else "an unknown amount"


def _range(low: float, high: float) -> str:
    return f" (95 % interval {100 * low:.1f} to {100 * high:.1f})" if low < high else ""
