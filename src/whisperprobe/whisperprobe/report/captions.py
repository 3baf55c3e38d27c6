"""The page's figures with their numbers, captions and descriptions for those who do not see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whisperprobe.comparison.listeners import WHISPER
from whisperprobe.comparison.naming import BASE, lexicon_of
from whisperprobe.comparison.result import Comparison
from whisperprobe.comparison.summary import summarise
from whisperprobe.comparison.word_changes import word_changes
from whisperprobe.report import figures as draw
from whisperprobe.report.people_section import figures_of_people
from whisperprobe.report.word_figures import MOST_WORDS, draw_changes, draw_words

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from audiogram.listening import Condition

__all__ = ["CaptionedFigure", "captioned_figures", "script_safe"]

_MATRIX = (
    "Rows: the unadapted model, the models fine-tuned on one condition each{}. Columns: the condition that they hear. "
    "Left: share of recordings understood; right: mean surprisal of the spoken word. Brighter is better. Below each "
    "mean, its 95 % interval over words."
)
_LEXICONS = (
    " A lexicon is a discriminative lexicon that learnt the named condition alone. It chooses among the words that it "
    "knows, where Whisper writes freely, so the two do not compete; it gives no probabilities, hence no surprisal."
)
_AUDIOGRAMS = (
    "Audiograms of the conditions: hearing threshold by frequency, as in the clinic, worse hearing further down."
)
_DISTRIBUTIONS = (
    "Left: surprisal of the spoken word, one violin per condition heard: the unadapted model on its left side "
    "(filled), the model tuned on that condition on its right (pale); dashed lines are means. Right: cumulative share "
    "of recordings by the rank of the spoken word among the model's predictions, averaged over the word's tokens; "
    "solid unadapted, dotted tuned."
)


@dataclass(frozen=True)
class CaptionedFigure:
    """One figure as the template shows it; `json` is safe within a script element, `height` and `width` in px."""

    number: int
    file: str
    caption: str
    alt: str
    height: int
    width: int
    json: Any


def captioned_figures(
    comparison: Comparison,
    order: Sequence[str],
    reference: str,
    conditions: Sequence[Condition],
    training: Mapping[str, str | Path],
) -> dict[str, CaptionedFigure]:
    """Draw every figure that the data allow, in the order of the page, by name."""
    drawn: dict[str, CaptionedFigure] = {}

    def add(name: str, figure: go.Figure, caption: str, alt: str, width: int = 640) -> None:
        from plotly.io.json import to_json_plotly

        content = figure.to_plotly_json()
        content["layout"].pop("template", None)  # the page's themes take its place
        height = int(content["layout"]["height"])
        text = script_safe(to_json_plotly(content))
        drawn[name] = CaptionedFigure(len(drawn) + 1, name, caption, alt, height, width, text)

    found = " ".join(summarise(comparison, order)[1:4])
    alt = f"Cross-condition matrix of word accuracy and surprisal. {found}"
    lexicons = any(lexicon_of(m, comparison.conditions) for m in comparison.models)
    caption = _MATRIX.format(", and the lexicons" if lexicons else "") + (_LEXICONS if lexicons else "")
    add("matrix", draw.matrix_chart(comparison, order), caption, alt, 760)
    if conditions:
        alt = f"Audiograms: {'; '.join(map(_describe_ear, conditions))}."
        add("audiograms", draw.audiogram_chart(conditions, order), _AUDIOGRAMS, alt, 320)
    if WHISPER in set(comparison.clips["listener"]):  # other listeners have no probabilities of words
        alt = "Distributions of the spoken word's surprisal and rank, by condition, unadapted and tuned."
        add("distributions", draw.distribution_chart(comparison, order), _DISTRIBUTIONS, alt, 760)
    _add_words(add, drawn, comparison, order, reference)
    for drawn_of_people in figures_of_people(comparison, order):
        add(*drawn_of_people)
    if training:
        tables = {label: draw.read_training(folder) for label, folder in training.items()}
        ends = [
            f"{name} from {t['loss'].iloc[0]:.2f} to {t['loss'].iloc[-1]:.2f}" for name, t in tables.items() if len(t)
        ]
        caption = (
            "Training loss per optimisation step, on a logarithmic scale; models are named after the condition "
            "that they were fine-tuned on."
        )
        if any("eval_loss" in t and t["eval_loss"].notna().any() for t in tables.values()):
            caption += " Circles: loss on the validation split."
        add("training", draw.training_chart(tables, order), caption, f"Training loss of {', '.join(ends)}.")
    return drawn


def _add_words(
    add: Callable[..., None],
    drawn: Mapping[str, CaptionedFigure],
    comparison: Comparison,
    order: Sequence[str],
    reference: str,
) -> None:
    """What the conditions changed of every word, and of those that suffered most."""
    others = [c for c in order if c != reference and {(BASE, c), (BASE, reference)} <= set(comparison.cells)]
    changes = {c: word_changes(comparison, "word_surprisal", (BASE, reference), (BASE, c)) for c in others}
    changes = {c: table for c, table in changes.items() if len(table)}
    if changes:
        rose = [
            f"under {c} it rose for {(t['change'] > 0).sum():,} of {len(t):,} words, "
            f"by {t['change'].median():.1f} bits in the median"
            for c, t in changes.items()
        ]
        alt = f"Change of every word's surprisal from {reference}: {'; '.join(rose)}."
        add("changes", draw_changes(changes, reference, order), _changes_caption(changes, reference), alt, 640)
    for condition in changes:
        caption = (
            f"The words whose surprisal rose most from {reference} to {condition} for the unadapted model: where they "
            f"were, where {condition} brought them, and where fine-tuning on it did; means over recordings."
        )
        if changes[condition]["low"].notna().any():
            caption += " Right: the change, each recording compared with itself, with its 95 % interval."
        worst = changes[condition].nlargest(5, "change")
        named = ", ".join(f"{w} by {v:.1f} bits" for w, v in zip(worst["word"], worst["change"], strict=True))
        alt = f"Words that suffered most under {condition}: {named}. The same numbers are in the table of words below."
        chart = draw_words(comparison, changes[condition], condition, reference, order)
        add(f"words-{len(drawn)}", chart, caption, alt, 640)


def _changes_caption(changes: Mapping[str, pd.DataFrame], reference: str) -> str:
    text = (
        f"What each condition changed of every word for the unadapted model: surprisal minus that under {reference}, "
        "words in order of it, each recording compared with itself."
    )
    if any(table["low"].notna().any() for table in changes.values()):
        text += " Thin lines: 95 % intervals over a word's recordings, for each word by itself."
    most = max(len(table) for table in changes.values())
    return text + (f" Of {most:,} words, {MOST_WORDS} at equal distances are drawn." if most > MOST_WORDS else "")


def script_safe(text: str) -> Any:
    """JSON for a script element, in which no text can end the element."""
    from markupsafe import Markup

    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _describe_ear(condition: Condition) -> str:
    ear = condition.audiogram
    first, last = (f"{ear.thresholds[i]:g} dB HL at {ear.frequencies[i]:g} Hz" for i in (0, -1))
    return f"{condition.name} from {first} to {last}"
