"""The report's sections on listeners side by side, on people and on the sounds of words: figures, tables, notes."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from whisperprobe.comparison.agreement import counterparts, first_models
from whisperprobe.comparison.chance import MOST_RECORDINGS, SHUFFLES
from whisperprobe.comparison.confusions import FEW_WRONG
from whisperprobe.comparison.effects import condition_effects, reference_condition
from whisperprobe.comparison.listener_summary import agreement_sentences
from whisperprobe.comparison.listeners import WHISPER, describe_measure
from whisperprobe.comparison.naming import model_name
from whisperprobe.comparison.people_summary import effect_sentences, people_sentences, sound_sentences
from whisperprobe.comparison.result import Comparison
from whisperprobe.report import people_figures as draw
from whisperprobe.report.agreement_figure import draw_agreement
from whisperprobe.report.cells import Cell, SmallTable, number
from whisperprobe.report.sound_losses import gloss, loss_chart, loss_table, shown_sounds, sound_losses

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from whisperprobe.comparison.sounds import Sounds

__all__ = [
    "change_table", "figures_of_people", "listeners_context", "people_context", "people_methods", "sounds_context",
]  # fmt: skip

_Drawn = tuple[str, "go.Figure", str, str, int]
_MEASURES_SHOWN = 4  # per model, beside accuracy


def figures_of_people(comparison: Comparison, order: Sequence[str]) -> Iterator[_Drawn]:
    """Name, figure, caption, description and least width of each figure, in the order of the page."""
    people, sounds = comparison.people, comparison.sounds
    yield from _agreement(comparison, order)
    if people is not None:
        found = " ".join(people_sentences(comparison))
        caption = (
            "People's mean responses to each word by the measure of each listener that says most about them, a point "
            "a word. The ceiling is what a perfect measure would correlate."
        )
        yield "people-responses", draw.response_chart(people, order), caption, f"Responses by measure. {found}", 640
        beyond = f" on {', '.join(people.baseline)}" if people.baseline else " without a baseline"
        caption = (
            "Measures of the listeners against people's responses, those that add most, with 95 % intervals. Left: "
            "correlation; dashed lines are the ceiling. Right: what the measure adds to a regression"
            f"{beyond}; above 0 it is worth its parameter."
        )
        yield "people-gain", draw.gain_chart(people, order), caption, f"Correlations and gains. {found}", 760
    if sounds is not None:
        yield from _sound_losses(comparison, sounds, order)
        yield from _make_up(comparison, sounds, order)
        yield from _confused(comparison, sounds, order)


def _make_up(comparison: Comparison, sounds: Sounds, order: Sequence[str]) -> Iterator[_Drawn]:
    """Which kinds of sounds go with suffering, for the first model of every listener."""
    for n, model in enumerate(first_models(comparison)):
        if not (sounds.effects["model"] == model).any():
            continue
        if draw.shown_effects(sounds, model)["known"].all():
            side = "Right of 0: words with more such sounds lost more; left: less."
        else:
            side = "Right of 0: words with more such sounds changed upwards more; left: less."
        caption = (
            f"What the sounds of a word have to do with the effect of a condition ({model_name(model, order)}). {side} "
            "Each point is a regression of its own, beside the number of phonemes, with its 95 % interval: the kinds "
            "overlap, and their effects do not add up."
        )
        alt = f"Effects by phonological make-up. {' '.join(effect_sentences(comparison, [model]))}"
        yield f"sounds-effects-{n}", draw.make_up_chart(sounds, model, order), caption, alt, 640


def _confused(comparison: Comparison, sounds: Sounds, order: Sequence[str]) -> Iterator[_Drawn]:
    """Which consonants the first model took for which, under each condition in which enough were wrong."""
    model = first_models(comparison)[0]
    classes = sounds.classes
    rows = classes[(classes["model"] == model) & (classes["manner"] == "all")].to_dict("records")
    shares = {row["condition"]: (row["right"], row["right_by_chance"]) for row in rows}
    for n, condition in enumerate(order):
        right, chance = shares.get(condition, (1.0, 1.0))
        if 1 - right < FEW_WRONG:
            continue
        shuffled = f"; with shuffled answers, {100 * chance:.0f} %" if math.isfinite(chance) else ""
        caption = (
            f"Consonants taken for others or left out under {condition} ({model_name(model, order)}), in per cent of "
            f"those spoken (in brackets: how often). Grey: heard right, {100 * right:.0f} % in all{shuffled}. A column "
            "filled in many rows comes from few answers given to many words."
        )
        alt = f"Confusions of consonants under {condition}; the same numbers are in sounds/confusions.csv."
        yield f"sounds-confusions-{n}", draw.confusion_chart(sounds, model, condition), caption, alt, 620


def _agreement(comparison: Comparison, order: Sequence[str]) -> Iterator[_Drawn]:
    """Whether two listeners lose the same words."""
    found = comparison.agreement
    for n, pair in enumerate(counterparts(comparison)):
        rows = found[(found["model"] == pair.model) & (found["other"] == pair.other)]
        if rows.empty:
            continue
        caption = (
            f"What each condition took from two listeners, a point a word: the {model_name(pair.model, order)} Whisper "
            f"model and the {model_name(pair.other, order)}, both against {rows['reference'].iloc[0]}. Upper right: "
            "words that suffered most for both. ρ is Spearman's rank correlation with its 95 % interval: 1 is the same "
            "order, 0 no relation, −1 the opposite order. Named are some words at the edges."
        )
        alt = f"Losses of two listeners, word by word. {' '.join(agreement_sentences(comparison))}"
        yield f"listeners-{n}", draw_agreement(comparison, pair, rows, order), caption, alt, 680


def _sound_losses(comparison: Comparison, sounds: Sounds, order: Sequence[str]) -> Iterator[_Drawn]:
    """Which sounds suffer most, for the first model."""
    model, reference = first_models(comparison)[0], reference_condition(order)
    losses = sound_losses(sounds, model, reference)
    shown, more = shown_sounds(losses)
    if not shown or losses["condition"].nunique() < 2:
        return
    known = gloss(shown)
    caption = (
        f"How often each sound of the spoken words was heard right ({model_name(model, order)}), in answers whose "
        f"pronunciation is known{f': the {len(shown)} sounds that lost most' if more else ''}. Those that lost most "
        "are on top; in brackets how often each was spoken, under the condition where that is least. In ARPABET"
        f"{f': {known}' if known else ''}."
    )
    lost = losses[(losses["lost"] > 0) & losses["sound"].isin(shown)].nlargest(5, "lost")
    named = ", ".join(
        f"{s} under {c} {100 * v:.0f} points"
        for s, c, v in zip(lost["sound"], lost["condition"], lost["lost"], strict=True)
    )
    alt = f"Sounds that lost most: {named or 'none lost anything'}. The same numbers are in the table of sounds."
    yield "sounds-lost", loss_chart(losses, order), caption, alt, 520


def people_context(comparison: Comparison, order: Sequence[str]) -> dict[str, Any] | None:
    """What the section on people shows beside its figures; None where there are no responses."""
    people = comparison.people
    if people is None:
        return None
    ordered = people.measures.sort_values(["listener", "delta_aic"], ascending=[False, False], kind="stable")
    rows = [
        (
            row["listener"], model_name(row["model"], order), row["condition"], describe_measure(row["measure"]),
            number(f"{row['n']:,}", row["n"]), _interval(row, "pearson", 2), _interval(row, "spearman", 2),
            _interval(row, "partial_r", 2, "partial"), _interval(row, "delta_aic", 1),
            number(_minus(f"{row['delta_log_likelihood']:.1f}"), row["delta_log_likelihood"]),
            _p(row["p"]), _p(row["p_holm"]),
        )
        for row in ordered.to_dict("records")
    ]  # fmt: skip
    table = SmallTable(
        "people-table",
        "Every measure that was tested. Partial r: the baseline taken out of both. ΔAIC: AIC of the baseline minus AIC "
        "with the measure. p: of F; Holm: corrected for all rows.",
        (
            "Listener", "Model", "Hearing", "Measure", "Words", "Pearson's r", "Spearman's ρ", "Partial r", "ΔAIC",
            "Δ\u00a0log-likelihood", "p", "Holm",
        ),
        tuple(rows),
    )  # fmt: skip
    return {"sentences": people_sentences(comparison), "notes": list(people.notes), "table": table}


def sounds_context(comparison: Comparison, order: Sequence[str]) -> dict[str, Any] | None:
    """What the section on sounds shows beside its figures; None where there are no pronunciations."""
    sounds = comparison.sounds
    if sounds is None:
        return None
    shares = ("right", "right_by_chance", "left_out", "voicing", "place", "manner_wrong", "only_voicing", "only_place")
    rows = [
        (
            model_name(row["model"], order),
            row["condition"],
            "all consonants" if row["manner"] == "all" else f"{row['manner']}s",
            number(f"{row['n']:,}", row["n"]),
            *(_per_cent(row[name]) for name in shares),
        )
        for model in first_models(comparison)
        for condition in order
        for row in sounds.classes.to_dict("records")
        if (row["model"], row["condition"]) == (model, condition)
    ]
    table = SmallTable(
        "sound-table",
        "Consonants, in per cent of those spoken. By chance: right with the answers shuffled among the recordings. A "
        "substitution counts in each of voicing, place and manner in which it is wrong; “only”, in that alone.",
        (
            "Model", "Hearing", "Spoken", "n", "Right", "By chance", "Left out", "Voicing", "Place", "Manner",
            "Only voicing", "Only place",
        ),
        tuple(rows),
    )  # fmt: skip
    words = len(sounds.make_up)
    notes = [
        f"Pronunciations: {sounds.source}. {words:,} of {words + len(sounds.unknown):,} words have one. "
        f"{_aligned(sounds.coverage.sum(numeric_only=True))}"
    ]
    model, reference = first_models(comparison)[0], reference_condition(order)
    losses = loss_table(sound_losses(sounds, model, reference), order, reference, model)
    return {"sentences": sound_sentences(comparison), "notes": notes, "table": table, "losses": losses}


def _aligned(coverage: pd.Series[Any]) -> str:
    """How many answers were aligned, and why the others were not."""
    why = {
        "n_word_unknown": "as no pronunciation of the word spoken is known",
        "n_answer_unknown": "as no pronunciation of them is known",
        "n_empty": "as they were empty",
    }
    left = [(int(coverage[name]), reason) for name, reason in why.items() if coverage[name]]
    text = f"Of {int(coverage['n_clips']):,} answers, {int(coverage['n_used']):,} were aligned."
    if not left:
        return text
    parts = [f"{n:,} {'answer was' if n == 1 else 'answers were'} left out, {reason}" for n, reason in left[:1]]
    return f"{text} {'; '.join([*parts, *(f'{n:,}, {reason}' for n, reason in left[1:])])}."


def _per_cent(share: float) -> Cell:
    return number(f"{100 * share:.1f}" if math.isfinite(share) else "–", 100 * share)


def listeners_context(comparison: Comparison, order: Sequence[str], figures: Sequence[str]) -> dict[str, Any] | None:
    """What the section on listeners side by side shows; None where Whisper alone listened."""
    if set(comparison.clips["listener"]) == {WHISPER}:
        return None
    sentences = agreement_sentences(comparison)
    return {"sentences": sentences, "figures": list(figures), "table": _listener_table(comparison, order)}


def _listener_table(comparison: Comparison, order: Sequence[str]) -> SmallTable:
    """Every listener's own measures side by side, a value per condition."""
    rows: list[tuple[str | Cell, ...]] = []
    for model in comparison.models:
        for measure in comparison.measures_of(model)[: 1 + _MEASURES_SHOWN]:
            cells = comparison.by_cell(measure)
            scale = 100 if measure == "correct" else 1
            values = (_mean(cells.get((model, c)), scale) for c in order)
            rows.append((comparison.listener(model), model_name(model, order), describe_measure(measure), *values))
    return SmallTable(
        "listener-table",
        "Means of each listener's own measures, with 95\u00a0% intervals over words. Measures of different listeners "
        "have different scales; what a condition does to each is comparable, their sizes are not.",
        ("Listener", "Model", "Measure", *(f"hearing {name}" for name in order)),
        tuple(rows),
    )


def change_table(comparison: Comparison, order: Sequence[str]) -> SmallTable | None:
    """What each condition changed of each listener's measures, paired by word; None where nothing can be paired."""
    rows = []
    for row in condition_effects(comparison).to_dict("records"):
        if row["measure"] not in comparison.measures_of(row["model"])[: 1 + _MEASURES_SHOWN]:
            continue
        scale = 100 if row["measure"] == "correct" else 1
        change, low, high = (scale * row[name] for name in ("difference", "low", "high"))
        if not math.isfinite(change):
            continue
        say = _tenths if scale == 100 else _three_digits
        text = say(change)
        if low < high:
            text += f" ({say(low)} to {say(high)})"
        rows.append(
            (
                row["listener"], model_name(row["model"], order),
                describe_measure(row["measure"]) + (" (percentage points)" if scale == 100 else ""),
                f"{row['reference']} to {row['condition']}", number(text, change, low, high),
                number(f"{row['n_words']:,}", row["n_words"]),
            )
        )  # fmt: skip
    if not rows:
        return None
    return SmallTable(
        "change-table",
        "Differences of means, paired by word, with 95\u00a0% bootstrap intervals over words and, where there are "
        "several, training seeds.",
        ("Listener", "Model", "Measure", "From, to", "Change", "Words"),
        tuple(rows),
    )


def _mean(row: Mapping[str, Any] | None, scale: float) -> Cell:
    if row is None or not math.isfinite(row["mean"]):
        return number("–")
    mean, low, high = (scale * row[name] for name in ("mean", "low", "high"))
    say = _tenths if scale == 100 else _three_digits
    text = say(mean) + ("\u00a0%" if scale == 100 else "")
    if low < high:
        text += f" ({say(low)} to {say(high)})"
    return number(text, mean, low, high)


def _tenths(percent: float) -> str:
    return _minus(f"{percent:.1f}")


def _three_digits(value: float) -> str:
    """A number with three digits and its closing zeros.

    Examples
    --------
    >>> _three_digits(0.5), _three_digits(-2.9), _three_digits(100.0), _three_digits(0.0)
    ('0.500', '−2.90', '100', '0.000')
    """
    size = abs(value)
    digits = 0 if size >= 99.95 else 1 if size >= 9.995 else 2 if size >= 0.9995 else 3
    return f"{value:.{digits}f}".replace("-", "−")


def people_methods(comparison: Comparison) -> list[str]:
    """Paragraphs for a methods section on people and on sounds."""
    people, sounds = comparison.people, comparison.sounds
    paragraphs = []
    if people is not None:
        centred = " Each subject's mean was taken off before averaging." if people.trials is not None else ""
        split = ""
        if people.reliability is not None:
            split = (
                f" Reliability: every word's responses were split into random halves {people.reliability.splits:,} "
                f"times (seed {comparison.seed}), the mean correlation of the halves stepped up by the Spearman-Brown "
                "formula; the ceiling of a correlation is its square root."
            )
        base = ", ".join(people.baseline) or "none (intercept only)"
        paragraphs.append(
            f"Responses of people ({people.about['what']}) were joined by word and averaged.{centred} A measure's "
            "value for a word is its mean over recordings and seeds; all rows are about the same words. Intervals "
            "of Pearson's r are Fisher's, those of Spearman's ρ have the standard error of Bonett and Wright (2000, "
            "Psychometrika 65, 23–28). Gains compare ordinary least squares with and without the measure over the "
            f"baseline ({base}); p is that of F, the interval of ΔAIC that of the partial correlation, and p was "
            f"corrected for {len(people.measures)} tests by Holm's method.{split}"
        )
    if sounds is not None:
        paragraphs.append(
            f"Pronunciations are from {sounds.source}. Effects by make-up are slopes of ordinary least squares over "
            "words, with standard errors that allow for unequal variances (HC3), corrected by Holm's method within "
            "each effect. For confusions, the phonemes of the spoken and of the answered word were aligned at the "
            "least cost: 1 for a sound left out or put in; for a consonant 0.3 for another voicing, 0.4 for another "
            "place and 0.5 for another manner; for another vowel 0.2, with 0.4 more for another place and 0.4 for "
            "another height of the tongue. Vowels and consonants are never aligned with each other. What would be "
            "right by chance was found by shuffling each model's answers among the recordings of a condition, within "
            f"a training seed, and aligning them in the same way: {SHUFFLES} times, each time up to "
            f"{MOST_RECORDINGS:,} recordings drawn at random (seed {comparison.seed}). "
            "High-frequency sounds are sibilants, F and TH; low-frequency sounds are nasals, W, L and back vowels."
        )
    return paragraphs


def _interval(row: Mapping[Hashable, Any], name: str, digits: int, ends: str = "") -> Cell:
    low, high = (row[f"{ends or name}_{end}"] for end in ("low", "high"))
    text = f"{row[name]:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
    return number(_minus(text), row[name], low, high)


def _p(value: float) -> Cell:
    return number("< 0.001" if value < 0.001 else f"{value:.3f}", value)


def _minus(text: str) -> str:
    return text.replace("-", "−")
