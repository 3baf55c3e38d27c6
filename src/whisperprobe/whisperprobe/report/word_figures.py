"""Figures of single words: what a condition changed of each, and which suffered most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from whisperprobe.comparison.result import Comparison
from whisperprobe.report.figures import LEGEND_ABOVE, plain, rgba
from whisperprobe.report.palette import SYMBOLS, condition_colours

__all__ = ["MOST_WORDS", "draw_changes", "draw_words", "shortened"]

MOST_WORDS = 400  # drawn of all words, so that 27,000 cost no more
_GREY = "#8a95a3"
_LABEL = 24  # characters of a word beside its row


def draw_changes(changes: Mapping[str, pd.DataFrame], reference: str, order: Sequence[str]) -> go.Figure:
    """Change of every word's surprisal, in order of it, with intervals: one panel per condition.

    Parameters
    ----------
    changes : mapping of str to DataFrame
        What `word_changes` gives, by condition.
    reference : str
        What the conditions are compared with.
    order : sequence of str
        All conditions, which gives them their colours.
    """
    figure = make_subplots(
        cols=len(changes), shared_yaxes=True, horizontal_spacing=0.04,
        subplot_titles=[f"{plain(reference)} to {plain(c)}" for c in changes],
    )  # fmt: skip
    colours = condition_colours(order)
    for column, (condition, table) in enumerate(changes.items(), 1):
        table = table.sort_values(["change", "word"], kind="stable", ignore_index=True)
        table["place"] = np.arange(1, len(table) + 1)
        if len(table) > MOST_WORDS:
            table = table.iloc[np.linspace(0, len(table) - 1, MOST_WORDS).round().astype(int)]
        colour = colours[condition]
        both = table[table["low"].notna()]
        x = np.repeat(both["place"].to_numpy(dtype=object), 3)
        y = np.column_stack([both["low"].round(3), both["high"].round(3), np.full(len(both), np.nan)]).ravel()
        figure.add_scatter(
            x=x, y=[None if np.isnan(v) else v for v in y], mode="lines",
            line={"color": rgba(colour, 0.35), "width": 1}, hoverinfo="skip", showlegend=False, row=1, col=column,
        )  # fmt: skip
        said = [
            f"{plain(w)}: {change:+.1f} bits" + (f" ({low:.1f} to {high:.1f})" if low < high else "")
            for w, change, low, high in zip(*(table[c] for c in ("word", "change", "low", "high")), strict=True)
        ]
        figure.add_scatter(
            x=table["place"], y=table["change"].round(3), mode="markers", text=[s.replace("-", "−") for s in said],
            marker={"color": colour, "size": 4}, hovertemplate="%{text}<extra></extra>", showlegend=False, row=1,
            col=column,
        )  # fmt: skip
        figure.update_xaxes(title="Words in order of the change", showgrid=False, row=1, col=column)
    figure.add_hline(y=0, line={"color": _GREY, "width": 1})
    figure.update_yaxes(zeroline=False)
    figure.update_yaxes(title="Change of surprisal (bits)", row=1, col=1)
    figure.update_layout(height=380, margin={"l": 70, "r": 20, "t": 40, "b": 60}, dragmode=False)
    return figure


def draw_words(
    comparison: Comparison, changes: pd.DataFrame, condition: str, reference: str, order: Sequence[str], most: int = 15
) -> go.Figure:
    """The words that suffered most: before, under the condition, after tuning; the change, where it has intervals."""
    table = changes.sort_values(["change", "word"], ascending=[False, True], kind="stable").head(most).iloc[::-1]
    words = [plain(w) for w in table["word"]]
    colours = condition_colours(order)
    known = table["low"].notna()
    figure = (
        make_subplots(
            cols=2, column_widths=[0.66, 0.34], shared_yaxes=True, horizontal_spacing=0.04,
            subplot_titles=("Surprisal", "Change, paired"),
        )
        if known.any()
        else make_subplots()
    )  # fmt: skip
    for word, low, high in zip(words, table["before"], table["after"], strict=True):
        figure.add_scatter(
            x=[low, high], y=[word, word], mode="lines", line={"color": _GREY, "width": 2}, showlegend=False,
            hoverinfo="skip", row=1, col=1,
        )  # fmt: skip
    series = [
        (f"unadapted, hearing {reference}", list(table["before"]), colours[reference], "circle"),
        (f"unadapted, hearing {condition}", list(table["after"]), colours[condition], "diamond"),
    ]
    if (condition, condition) in comparison.cells:
        after = comparison.words()
        after = after[(after["model"] == condition) & (after["condition"] == condition)]
        tuned = list(after.set_index("word")["surprisal"].reindex(table["word"]).replace(np.inf, np.nan))
        series.append((f"tuned on {condition}, hearing {condition}", tuned, colours[condition], "diamond-open"))
    for label, values, colour, symbol in series:
        figure.add_scatter(
            x=values, y=words, mode="markers", name=plain(label), cliponaxis=False,
            marker={"color": colour, "size": 11, "symbol": symbol, "line": {"width": 2, "color": colour}},
            text=words, hovertemplate="%{text}: %{x:.1f} bits<extra>" + plain(label) + "</extra>", row=1, col=1,
        )  # fmt: skip
    if known.any():
        _add_change(figure, table, words, colours[condition])
    figure.update_xaxes(title="Surprisal of the spoken word (bits)", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(
        type="category", tickvals=words, ticktext=[plain(shortened(w)) for w in table["word"]], ticks="",
        ticklabelstandoff=8, showline=False, automargin=True,
    )  # fmt: skip
    height = 200 + 24 * len(words)
    figure.update_layout(
        height=height, margin={"l": 90, "r": 20, "t": 80, "b": 60}, dragmode=False,
        legend={**LEGEND_ABOVE, "y": 1 + 34 / max(height - 140, 1)},
    )  # fmt: skip
    return figure


def shortened(word: str, most: int = _LABEL) -> str:
    """A word of at most so many characters: a long one keeps its two ends.

    Examples
    --------
    >>> shortened("sun"), shortened("Donaudampfschifffahrt", 12)
    ('sun', 'Donaud…fahrt')
    """
    if len(word) <= most:
        return word
    end = (most - 1) // 2
    return f"{word[: most - 1 - end]}…{word[-end:]}"


def _add_change(figure: go.Figure, table: pd.DataFrame, words: Sequence[str], colour: str) -> None:
    known = table["low"].notna()
    figure.add_scatter(
        x=table["change"], y=words, mode="markers", showlegend=False, cliponaxis=False,
        marker={"color": colour, "size": 8, "symbol": SYMBOLS[1]},
        error_x={
            "type": "data", "symmetric": False, "array": (table["high"] - table["change"]).where(known, 0),
            "arrayminus": (table["change"] - table["low"]).where(known, 0), "thickness": 1.5, "width": 3,
            "color": colour,
        },
        text=words, hovertemplate="%{text}: %{x:+.1f} bits<extra></extra>", row=1, col=2,
    )  # fmt: skip
    figure.add_vline(x=0, line={"color": _GREY, "width": 1}, row=1, col=2)
    figure.update_xaxes(title="Change (bits)", zeroline=False, row=1, col=2)
