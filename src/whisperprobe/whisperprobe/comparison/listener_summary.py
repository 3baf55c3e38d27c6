"""What other listeners than Whisper made of the words, in plain sentences with the numbers in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from whisperprobe.comparison.agreement import LOSSES
from whisperprobe.comparison.listeners import WHISPER
from whisperprobe.comparison.naming import BASE, lexicon_of, model_name
from whisperprobe.comparison.words import and_between, count_of, percent, word_of

if TYPE_CHECKING:
    from whisperprobe.comparison.result import Comparison

__all__ = ["agreement_sentences", "answer_sentences", "lexicon_sentences", "who_listened"]

_MOST_GIVEN = 3


def who_listened(comparison: Comparison) -> str:
    """How many models of which kind, e.g. "4 Whisper models and 3 discriminative lexicons"."""
    lexicons = [m for m in comparison.models if lexicon_of(m, comparison.conditions)]
    others = [m for m in comparison.models if m not in lexicons]
    if not lexicons:
        return count_of(len(others), "model")
    kind = "Whisper model" if {comparison.listener(m) for m in others} == {WHISPER} else "other model"
    return and_between(
        [*([count_of(len(others), kind)] if others else []), count_of(len(lexicons), "discriminative lexicon")]
    )


def lexicon_sentences(comparison: Comparison, order: Sequence[str]) -> list[str]:
    """What the lexicons of each kind of cues understood: of the condition that each learnt, and of the others."""
    cells = {cell: row["mean"] for cell, row in comparison.by_cell("correct").items()}
    kinds: dict[str, dict[str, str]] = {}
    for model in comparison.models:
        if lexicon := lexicon_of(model, comparison.conditions):
            kinds.setdefault(lexicon.cues, {})[lexicon.learnt] = model
    sentences = []
    for cues, models in kinds.items():
        shares = {(learnt, c): cells[m, c] for learnt, m in models.items() for c in order if (m, c) in cells}
        words = _words_known(comparison, list(models.values()))
        sentences.append(_lexicons(f"{cues} cues{words}", shares, order))
    return sentences


def _lexicons(which: str, shares: Mapping[tuple[str, str], float], order: Sequence[str]) -> str:
    matched = [f"{percent(shares[c, c])} under {c}" for c in order if (c, c) in shares]
    other = sorted(share for (learnt, c), share in shares.items() if learnt != c)
    parts = [f"tested in the condition that each had learnt, understood {and_between(matched)}"] if matched else []
    if other:
        span = percent(other[0]) if len(other) == 1 else f"{percent(other[0])} to {percent(other[-1])}"
        parts.append(f"in another condition, {'' if matched else 'understood '}{span}")
    return f"Discriminative lexicons ({which}), {'; '.join(parts)}."


def _words_known(comparison: Comparison, models: Sequence[str]) -> str:
    """Among how many words they choose, as the manifests have it: nothing where these do not say."""
    known = {
        ((run["manifest"].get("options") or {}).get("lexicon") or {}).get("words")
        for run in comparison.runs
        if run["model"] in models
    }
    return f", a choice among {known.pop():,} words" if len(known) == 1 and None not in known else ""


def answer_sentences(comparison: Comparison, conditions: Sequence[str]) -> list[str]:
    """Where the unadapted model had few answers for many words: then an answer says little of the word it was for."""
    parts = []
    clips = comparison.clips
    for condition in conditions:
        rows = clips[(clips["model"] == BASE) & (clips["condition"] == condition)]
        answers = rows["prediction"].map(word_of).value_counts()
        if len(answers) == 0 or 2 * len(answers) > rows["word"].nunique():
            continue
        most = answers.head(_MOST_GIVEN)
        named = and_between([f"“{answer}”" for answer in most.index])
        share = 100 * most.sum() / answers.sum()
        given = count_of(len(answers), "different answer")
        parts.append(f"{given} under {condition}, {named} {share:.0f} % of the time")
    if not parts:
        return []
    return [
        f"It fell back on few words: {'; '.join(parts)}. Such an answer says more about the model's habits than about "
        "the word that was spoken."
    ]


def agreement_sentences(comparison: Comparison) -> list[str]:
    """Whether Whisper and another listener lose the same words; nothing where one kind of listener listened."""
    table = comparison.agreement
    sentences = []
    for (model, measure, other, other_measure), rows in table.groupby(
        ["model", "measure", "other", "other_measure"], sort=False
    ):
        found = [
            f"{_two(row['spearman'])} under {row['condition']} (95 % interval {_two(row['low'])} to "
            f"{_two(row['high'])})"
            for row in rows.to_dict("records")
        ]
        beyond = [
            f"{_two(row['beyond_sounds'])} ({_two(row['beyond_low'])} to {_two(row['beyond_high'])})"
            for row in rows.to_dict("records")
        ]
        known = rows["beyond_sounds"].notna().all()
        one, two = (model_name(str(m), comparison.conditions) for m in (model, other))
        sentences.append(
            f"Do both listeners lose the same words? Rank correlation (Spearman's ρ) over "
            f"{int(rows['n_words'].iloc[0]):,} words of what a condition took from each: {and_between(found)}"
            + (f"; beyond the kinds of sounds that the words are made of, {and_between(beyond)}" if known else "")
            + f". Taken: {LOSSES[str(measure)].said} ({one}), {LOSSES[str(other_measure)].said} ({two})."
        )
    return sentences


def _two(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
