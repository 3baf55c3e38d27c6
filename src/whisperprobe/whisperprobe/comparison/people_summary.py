"""What was found about people and about the sounds of words, in plain sentences with the numbers in them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from whisperprobe.comparison.agreement import LOSSES, first_models
from whisperprobe.comparison.confusions import FEW_WRONG
from whisperprobe.comparison.listeners import describe_measure
from whisperprobe.comparison.naming import model_name
from whisperprobe.comparison.phonemes import MAKE_UP
from whisperprobe.comparison.severity import conditions_heard, severity_note
from whisperprobe.comparison.sounds import turn_worse
from whisperprobe.comparison.words import and_between, percent

if TYPE_CHECKING:
    import pandas as pd

    from whisperprobe.comparison.people import PeopleComparison
    from whisperprobe.comparison.result import Comparison

__all__ = ["effect_sentences", "people_sentences", "severity_sentences", "sound_sentences"]


def severity_sentences(comparison: Comparison) -> list[str]:
    """A caution where the conditions compared differ in severity, else nothing."""
    note = severity_note(conditions_heard(comparison.runs))
    return [] if note is None else [f"Caution: {note[0].lower()}{note[1:]}"]


def people_sentences(comparison: Comparison) -> list[str]:
    """How the measures go with people's responses; nothing where there are none."""
    found = comparison.people
    if found is None:
        return []
    return [_responses(found), found.join.describe() + _why(found), *_gains(found), *_best(comparison, found)]


def _responses(found: PeopleComparison) -> str:
    about = found.about
    who = f" of {about['n_subjects']:,} people" if about.get("n_subjects") else ""
    text = (
        f"People: {about['what']}, {about['n_responses']:,} responses{who} to the {int(found.measures['n'].max()):,} "
        "words compared"
    )
    if found.reliability is None:
        return f"{text}. Their reliability cannot be told from these data, so there is no ceiling."
    value = found.reliability
    return (
        f"{text}. Their split-half reliability is {value.value:.2f} (Spearman-Brown): not even a perfect measure would "
        f"correlate more than {value.ceiling:.2f} with them."
    )


def _why(found: PeopleComparison) -> str:
    return f" {found.join.why}" if found.join.why else ""


def _gains(found: PeopleComparison) -> list[str]:
    table = found.measures
    good = int((table["p_holm"] < 0.05).sum())
    beyond = f" beyond {and_between(list(found.baseline))}" if found.baseline else ""
    tested = f"{len(table)} measure{'s were' if len(table) != 1 else ' was'} tested; {good or 'none'} predicted"
    return [f"{tested} the responses{beyond} at p < 0.05 after Holm's correction for that many tests."]


def _best(comparison: Comparison, found: PeopleComparison) -> list[str]:
    sentences = []
    for listener, rows in found.measures.groupby("listener", sort=False):
        row = rows.sort_values("delta_aic", ascending=False, kind="stable").to_dict("records")[0]
        who = model_name(str(row["model"]), comparison.conditions)
        r, gain = (
            f"{_signed(row[name])} ({_signed(row[f'{end}_low'])} to {_signed(row[f'{end}_high'])})"
            for name, end in (("pearson", "pearson"), ("delta_aic", "delta_aic"))
        )
        sentences.append(
            f"Best of {listener}'s measures: the {describe_measure(str(row['measure']))} ({who}, hearing "
            f"{row['condition']}), r = {r}, ΔAIC {gain}, p {_p(row['p_holm'])} after correction."
        )
    return sentences


def sound_sentences(comparison: Comparison) -> list[str]:
    """What the sounds of words have to do with how they were heard, and which were mistaken, by first models."""
    if comparison.sounds is None:
        return []
    models = first_models(comparison)
    return [*effect_sentences(comparison, models), *(s for model in models for s in _confusions(comparison, model))]


def effect_sentences(comparison: Comparison, models: Sequence[str]) -> list[str]:
    """Which kinds of sounds made words suffer more, and which less, under each condition, for each of some models."""
    found = comparison.sounds
    if found is None:
        return []
    sentences = []
    for model in models:
        who = model_name(model, comparison.conditions)
        effects = found.effects[(found.effects["model"] == model) & (found.effects["measure"] != "correct")]
        for condition, rows in effects.groupby("condition", sort=False):
            sentences += _effects(turn_worse(rows), f" under {condition} ({who})")
    return sentences


def _effects(rows: pd.DataFrame, where: str) -> list[str]:
    """The clearest effect in each direction, in one sentence, and how it was chosen in another; nothing if none is."""
    clear = rows[rows["p_holm"] < 0.05].sort_values("p", kind="stable")
    ways = [clear[clear["slope"] * sign > 0].head(1).to_dict("records") for sign in (1, -1)]
    chosen = [row for way in ways for row in way]
    if not chosen:
        return []
    first, *second = (_effect(row, where if i == 0 else "") for i, row in enumerate(chosen))
    text = "; ".join([f"{first[0].upper()}{first[1:]}", *second])
    each = " each way" if second else ""
    chosen_of = f"clearest of {len(rows)} features{each}" if len(rows) > 1 else "only feature"
    return [f"{text}. The {chosen_of}, p after Holm's correction; section Sounds has all."]


def _effect(row: Mapping[Hashable, Any], where: str) -> str:
    """One effect, in full with `where`, else as the second half of a sentence."""
    counted = row["feature"] == "n_phonemes"
    kind = MAKE_UP[str(row["feature"])]
    words = "longer words" if counted else f"words with more {kind}"
    slope, low, high = (_signed((1.0 if counted else 0.1) * row[name]) for name in ("slope", "low", "high"))
    per = "further sound" if counted else "10 % of such sounds in a word" if where else "10 %"
    unit = LOSSES[row["measure"]].unit if row["measure"] in LOSSES else ""
    sized = f"{slope}{unit} for every {per} ({low} to {high}; p {_p(row['p_holm'])})"
    if row["known"]:
        return f"{words} lost {'more' if row['slope'] > 0 else 'less'}{where}: {sized}"
    change = f"change of the {describe_measure(row['measure'])}" if where else "one"
    return f"{words} had a {'higher' if row['slope'] > 0 else 'lower'} {change}{where}: {sized}"


def _confusions(comparison: Comparison, model: str) -> list[str]:
    assert comparison.sounds is not None
    who = model_name(model, comparison.conditions)
    classes = comparison.sounds.classes
    rows = classes[(classes["model"] == model) & (classes["manner"] == "all")].to_dict("records")
    by_condition = {row["condition"]: row for row in rows}
    heard = [by_condition[c] for c in comparison.conditions if c in by_condition]
    if all(row["right"] == 1 for row in heard):
        return []
    shares = [f"{percent(1 - row['right'])} under {row['condition']}" for row in heard]
    chance = [percent(1 - row["right_by_chance"]) for row in heard if math.isfinite(row["right_by_chance"])]
    shuffled = f" (with answers shuffled among the recordings: {and_between(chance)})" if chance else ""
    kinds = "; ".join(_kinds(row) for row in heard if 1 - row["right"] >= FEW_WRONG)
    first = f"Consonants not heard as spoken, {who}: {and_between(shares)}{shuffled}."
    second = f"What was wrong, {who}, in per cent of all consonants (one can be wrong in several): {kinds}."
    return [first, second] if kinds else [first]


def _kinds(row: Mapping[Hashable, Any]) -> str:
    shares = {"left out": "left_out", "place": "place", "manner": "manner_wrong", "voicing": "voicing"}
    return f"under {row['condition']} " + ", ".join(f"{name} {percent(row[key])}" for name, key in shares.items())


def _signed(value: float) -> str:
    """A number with its sign, of two or three decimals, or of two digits where it is small.

    Examples
    --------
    >>> _signed(0.256), _signed(-12.31), _signed(0.05), _signed(-0.00123), _signed(0.0)
    ('+0.26', '−12.3', '+0.050', '−0.0012', '0')
    """
    size = abs(value)
    digits = next((n for n, least in ((1, 10.0), (2, 0.1), (3, 0.01)) if size >= least), None)
    text = f"{value:+.2g}" if digits is None else f"{value:+.{digits}f}"
    return "0" if value == 0 else text.replace("-", "−")


def _p(value: float) -> str:
    if not math.isfinite(value):
        return "unknown"
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
