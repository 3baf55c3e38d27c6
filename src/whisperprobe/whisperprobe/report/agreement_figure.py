"""Two listeners word by word: what a condition took from one beside what it took from the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from whisperprobe.comparison.agreement import LOSSES, Counterpart, losses_by_word
from whisperprobe.comparison.naming import model_name
from whisperprobe.comparison.result import Comparison
from whisperprobe.report.figures import drawn_of, plain
from whisperprobe.report.palette import condition_colours

__all__ = ["draw_agreement"]

_NAMED = 2  # words that are named at each of five edges
_APART = np.array([0.14, 0.06])  # share of the axes that names need


def draw_agreement(comparison: Comparison, pair: Counterpart, found: pd.DataFrame, order: Sequence[str]) -> go.Figure:
    """A point a word: the loss of one listener by that of the other, one panel per condition.

    Parameters
    ----------
    comparison : Comparison
        Runs of two listeners or more.
    pair : Counterpart
        Whose words.
    found : DataFrame
        Their rows of `listener_agreement(comparison)`.
    order : sequence of str
        All conditions, which gives them their colours.
    """
    titles = [
        f"{plain(condition)}: ρ = " + f"{rho:.2f} ({low:.2f} to {high:.2f})".replace("-", "−")
        for condition, rho, low, high in found[["condition", "spearman", "low", "high"]].itertuples(index=False)
    ]
    figure = make_subplots(cols=len(found), horizontal_spacing=0.06, shared_yaxes=True, subplot_titles=titles)
    colours = condition_colours(order)
    for column, condition in enumerate(found["condition"], 1):
        shown = drawn_of(losses_by_word(comparison, pair, str(condition)))
        named = _telling(shown)
        figure.add_scatter(
            x=shown["loss"].round(3), y=shown["other_loss"].round(4), mode="markers+text",
            text=[plain(word) if word in named else "" for word in shown["word"]],
            textposition=[named.get(word, "top center") for word in shown["word"]], textfont={"size": 11},
            customdata=[plain(word) for word in shown["word"]], cliponaxis=False, showlegend=False,
            marker={"color": colours[str(condition)], "size": 7, "opacity": 0.8},
            hovertemplate="%{customdata}: %{x:+.2f}, %{y:+.3f}<extra></extra>", row=1, col=column,
        )  # fmt: skip
        figure.update_xaxes(title=_axis(pair.measure, pair.model, order), zeroline=False, row=1, col=column)
    figure.update_yaxes(zeroline=False)
    figure.update_yaxes(title=_axis(pair.other_measure, pair.other, order), row=1, col=1)
    figure.update_layout(height=470, margin={"l": 80, "r": 30, "t": 50, "b": 70}, dragmode=False)
    return figure


def _axis(measure: str, model: str, order: Sequence[str]) -> str:
    return f"{LOSSES[measure].axis}<br>{plain(model_name(model, order))}"


def _telling(table: pd.DataFrame) -> dict[str, str]:
    """The words that one or both lost most, and those that one lost and the other kept; where their names stand."""
    ranks = table[["loss", "other_loss"]].rank(pct=True)
    first, second = ranks["loss"] - ranks["other_loss"], ranks["other_loss"] - ranks["loss"]
    places = (
        (ranks["loss"], "top center"), (ranks["other_loss"], "top center"), (ranks.min(axis=1), "top center"),
        (first, "bottom center"), (second, "top center"),
    )  # fmt: skip
    spans = np.ptp(table[["loss", "other_loss"]].to_numpy(), axis=0)
    at = table[["loss", "other_loss"]].to_numpy() / np.where(spans > 0, spans, 1)
    named: dict[int, str] = {}
    for score, place in places:
        mine = 0
        for row in np.argsort(-score.to_numpy(), kind="stable")[: 4 * _NAMED]:
            apart = all((abs(at[row] - at[other]) > _APART).any() for other in named)
            if mine < _NAMED and apart:
                named[int(row)], mine = place, mine + 1
    return {str(table["word"].iloc[row]): place for row, place in named.items()}
