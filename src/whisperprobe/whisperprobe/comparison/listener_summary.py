"""What other listeners than Whisper made of the words, in plain sentences with the numbers in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from whisperprobe.comparison.agreement import listener_agreement
from whisperprobe.comparison.listeners import WHISPER, describe_measure
from whisperprobe.comparison.naming import lexicon_of, model_name
from whisperprobe.comparison.words import and_between

if TYPE_CHECKING:
    from whisperprobe.comparison.result import Comparison

__all__ = ["agreement_sentences", "lexicon_sentences", "who_listened"]


def who_listened(comparison: Comparison) -> str:
    """How many models of which kind, e.g. "4 Whisper models and 3 discriminative lexicons"."""
    lexicons = [m for m in comparison.models if lexicon_of(m, comparison.conditions)]
    others = [m for m in comparison.models if m not in lexicons]
    if not lexicons:
        return _count(len(others), "model")
    kind = "Whisper model" if {comparison.listener(m) for m in others} == {WHISPER} else "other model"
    return and_between(
        [*([_count(len(others), kind)] if others else []), _count(len(lexicons), "discriminative lexicon")]
    )


def lexicon_sentences(comparison: Comparison, order: Sequence[str]) -> list[str]:
    """What the lexicons of each kind of cues understood: of what each learnt, and the others of what they did not."""
    cells = {cell: row["mean"] for cell, row in comparison.by_cell("correct").items()}
    kinds: dict[str, dict[str, str]] = {}
    for model in comparison.models:
        if lexicon := lexicon_of(model, comparison.conditions):
            kinds.setdefault(lexicon.cues, {})[lexicon.learnt] = model
    return [_lexicons(cues, models, cells, order) for cues, models in kinds.items()]


def _lexicons(cues: str, models: dict[str, str], cells: dict[tuple[str, str], float], order: Sequence[str]) -> str:
    shares = {(learnt, c): cells[m, c] for learnt, m in models.items() for c in order if (m, c) in cells}
    matched = [f"{_percent(shares[c, c])} under {c}" for c in order if (c, c) in shares]
    other = sorted(share for (learnt, c), share in shares.items() if learnt != c)
    parts = [f"each hearing what it had learnt, understood {and_between(matched)}"] if matched else []
    if other:
        span = _percent(other[0]) if len(other) == 1 else f"{_percent(other[0])} to {_percent(other[-1])}"
        parts.append(f"hearing what it had not learnt, {'' if matched else 'understood '}{span}")
    return f"Discriminative lexicons ({cues} cues), {'; '.join(parts)}."


def agreement_sentences(comparison: Comparison) -> list[str]:
    """Whether Whisper and another listener lose the same words; nothing where one kind of listener listened."""
    table = listener_agreement(comparison)
    sentences = []
    for (model, measure, other, other_measure), rows in table.groupby(
        ["model", "measure", "other", "other_measure"], sort=False
    ):
        found = [
            f"{_two(row['spearman'])} under {row['condition']} (95 % interval {_two(row['low'])} to "
            f"{_two(row['high'])})"
            for row in rows.to_dict("records")
        ]
        one, two = (model_name(str(m), comparison.conditions) for m in (model, other))
        sentences.append(
            f"Do both lose the same words? Spearman's ρ over {int(rows['n_words'].iloc[0]):,} words, between how much "
            f"worse a condition made the {_short(measure)} ({one}) and the {_short(other_measure)} ({two}): "
            f"{and_between(found)}; 1 is the same order, 0 nothing in common."
        )
    return sentences


def _short(measure: object) -> str:
    return describe_measure(str(measure)).split(" (")[0]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _two(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _count(n: int, name: str) -> str:
    return f"{n:,} {name}" + ("" if n == 1 else "s")
