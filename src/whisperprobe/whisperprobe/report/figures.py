"""The report's interactive figures, as plotly figures without a theme (the page adds a light or a dark one)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from audiogram.errors import InputError
from whisperprobe.comparison.naming import BASE, model_name
from whisperprobe.comparison.result import Comparison
from whisperprobe.comparison.words import as_numbers
from whisperprobe.report.infinite import surprisal_by_cell
from whisperprobe.report.palette import DASHES, SCALE, SYMBOLS, cell_ink, condition_colours

__all__ = [
    "LEGEND_ABOVE", "audiogram_chart", "distribution_chart", "drawn_of", "log_axis", "matrix_chart", "plain",
    "read_training", "rgba", "training_chart",
]  # fmt: skip

_Cells = Mapping[tuple[str, str], Mapping[str, Any]]
LEGEND_ABOVE = {"orientation": "h", "y": 1.02, "yanchor": "bottom"}
_CONTROLS = {code: 0x2400 + code for code in range(0x20)} | {0x7F: 0x2421}
_MOST_POINTS = 2000
_SAMPLE = 400  # quantiles that stand for a distribution, so that 27,000 words cost no more than 200


def audiogram_chart(conditions: Sequence[Any], order: Sequence[str] = ()) -> go.Figure:
    """Audiograms in the clinical orientation: frequency in octaves, threshold growing downwards.

    `order` gives the conditions their colours, the same as in the other figures.
    """
    figure = go.Figure()
    colours = condition_colours(list(dict.fromkeys([*order, *(c.name for c in conditions)])))
    for i, condition in enumerate(conditions):
        ear = condition.audiogram
        figure.add_scatter(
            x=list(ear.frequencies), y=list(ear.thresholds), name=condition.name, mode="lines+markers",
            line={"color": colours[condition.name], "width": 2.5, "dash": DASHES[i % len(DASHES)]},
            marker={"size": 10, "symbol": SYMBOLS[i % len(SYMBOLS)]},
            hovertemplate="%{x} Hz: %{y} dB HL<extra>" + plain(condition.name) + "</extra>",
        )  # fmt: skip
    frequencies = [f for c in conditions for f in c.audiogram.frequencies]
    thresholds = [t for c in conditions for t in c.audiogram.thresholds]
    low, high = min([125.0, *frequencies]), max([8000.0, *frequencies])
    octaves = [125 * 2**k for k in range(-3, 9) if low <= 125 * 2**k <= high]
    deepest, highest = max([100.0, *thresholds]) + 15, min([-10.0, *thresholds]) - 5
    figure.update_xaxes(
        type="log", range=[math.log10(low) - 0.1, math.log10(high) + 0.1], tickvals=octaves,
        ticktext=[f"{f / 1000:g}k" if f >= 1000 else f"{f:g}" for f in octaves],
        title="Frequency (Hz)", side="top",
    )  # fmt: skip
    figure.update_yaxes(range=[deepest, highest], dtick=10, title="Hearing threshold (dB HL)")
    figure.update_layout(
        height=520, margin={"l": 70, "r": 20, "t": 60, "b": 20}, legend={"orientation": "h", "y": -0.04}, dragmode=False
    )
    return figure


def matrix_chart(comparison: Comparison, order: Sequence[str]) -> go.Figure:
    """Cross-condition matrix: word accuracy and mean surprisal of the spoken word, each cell with its interval."""
    titles = ("Word accuracy (%)", "Surprisal (bits)")
    figure = make_subplots(cols=2, horizontal_spacing=0.04, subplot_titles=titles)
    models = comparison.models
    panels = (("correct", 100.0, False, 1), ("word_surprisal", 1.0, True, 2))
    for measure, scale, reverse, column in panels:
        table = comparison.by_cell(measure) if measure == "correct" else surprisal_by_cell(comparison)
        mean = [[_number(table, (m, c), "mean", scale) for c in order] for m in models]
        top = 100.0 if measure == "correct" else max([v for row in mean for v in row if v is not None] or [1.0])
        top = max(top, 1e-9)
        figure.add_heatmap(
            x=[plain(c) for c in order], y=[plain(model_name(m, order)) for m in models], z=mean,
            customdata=[[_cell_hover(table, (m, c), measure, order) for c in order] for m in models],
            hovertemplate="%{customdata}<extra></extra>", colorscale=SCALE,
            reversescale=reverse, zmin=0, zmax=top, showscale=False, xgap=3, ygap=3, row=1, col=column,
        )  # fmt: skip
        for i, j in np.ndindex(len(models), len(order)):
            figure.add_annotation(
                x=j, y=i, text=_cell_text(table, (models[i], order[j]), scale), showarrow=False,
                font={"color": cell_ink(mean[i][j], top, reverse=reverse), "size": 15}, row=1, col=column,
            )  # fmt: skip
    figure.update_xaxes(title="What it hears", showline=False, ticks="", showgrid=False)
    figure.update_yaxes(autorange="reversed", showline=False, ticks="", showgrid=False, automargin=True)
    figure.update_yaxes(title={"text": "Who listens", "standoff": 12}, row=1, col=1)
    figure.update_yaxes(showticklabels=False, row=1, col=2)
    height = 133 + 72 * len(models)
    figure.update_layout(height=height, margin={"l": 60, "r": 10, "t": 40, "b": 53}, dragmode=False)
    return figure


def distribution_chart(comparison: Comparison, order: Sequence[str]) -> go.Figure:
    """Surprisal of the spoken word (violins) and its rank (cumulative shares), unadapted and tuned on the condition."""
    figure = make_subplots(
        cols=2, horizontal_spacing=0.11, subplot_titles=("Surprisal of the spoken word", "Rank of the spoken word")
    )
    colours = condition_colours(order)
    clips = comparison.clips
    for condition in order:
        for model, side, dash in ((BASE, "negative", "solid"), (condition, "positive", "dot")):
            rows = (clips["model"] == model) & (clips["condition"] == condition)
            if not rows.any():
                continue
            colour, label = colours[condition], plain(f"{condition}, {model_name(model, order)}")
            surprisal = _quantiles(comparison.values("word_surprisal")[rows.to_numpy()])
            figure.add_violin(
                x=[plain(condition)] * len(surprisal), y=surprisal, name=label, side=side, legendgroup=label,
                scalegroup="all", scalemode="width", width=0.9, points=False, spanmode="hard", showlegend=False,
                meanline={"visible": True}, line={"color": colour, "width": 1.5},
                fillcolor=rgba(colour, 0.55 if side == "negative" else 0.15), hoveron="violins",
                hoverinfo="y+name", row=1, col=1,
            )  # fmt: skip
            ranks = _quantiles(comparison.values("word_mean_rank")[rows.to_numpy()])
            figure.add_scatter(
                x=ranks, y=100 * np.arange(1, len(ranks) + 1) / max(len(ranks), 1), name=label, mode="lines",
                legendgroup=label, line={"color": colour, "dash": dash, "width": 2.5, "shape": "hv"},
                hovertemplate="rank ≤ %{x:.1f}: %{y:.0f} %<extra>" + label + "</extra>", row=1, col=2,
            )  # fmt: skip
    figure.update_yaxes(title="Surprisal (bits)", rangemode="tozero", row=1, col=1)
    drawn = [trace.x for trace in figure.data if trace.type == "scatter"]
    figure.update_xaxes(title="Mean rank of its tokens (1 = first)", **log_axis(*drawn), row=1, col=2)
    figure.update_yaxes(title="Recordings at or below (%)", range=[0, 102], row=1, col=2)
    figure.update_layout(
        height=450, violinmode="overlay", violingap=0, dragmode=False, margin={"l": 60, "r": 20, "t": 50, "b": 100},
        legend={"orientation": "h", "y": -0.2},
    )  # fmt: skip
    return figure


def training_chart(training: Mapping[str, pd.DataFrame], order: Sequence[str] = ()) -> go.Figure:
    """Training loss over steps, one line per model, and where it was evaluated the validation loss as circles."""
    figure = go.Figure()
    models = [re.split(r"[.,/ ]+seed", label)[0] for label in training]
    colours = condition_colours(list(dict.fromkeys([*order, *models])))
    for i, (label, table) in enumerate(training.items()):
        repeat = models[:i].count(models[i])  # colour tells the model, dashes tell the seed
        figure.add_scatter(
            x=table["step"], y=table["loss"], mode="lines", name=plain(label),
            line={"color": colours[models[i]], "width": 2, "dash": DASHES[repeat % len(DASHES)]},
            hovertemplate="step %{x}: %{y:.3f}<extra>" + plain(label) + "</extra>",
        )  # fmt: skip
        scored = table[table["eval_loss"].notna()] if "eval_loss" in table else table[:0]
        if len(scored):
            figure.add_scatter(
                x=scored["step"], y=scored["eval_loss"], mode="lines+markers", showlegend=False,
                line={"color": colours[models[i]], "width": 1, "dash": "dot"}, marker={"size": 7, "symbol": "circle"},
                hovertemplate="step %{x}: %{y:.3f} on validation<extra>" + plain(label) + "</extra>",
            )  # fmt: skip
    figure.update_xaxes(title="Step", rangemode="tozero")
    losses = [as_numbers(table[c]) for table in training.values() for c in ("loss", "eval_loss") if c in table]
    figure.update_yaxes(title="Loss (nats per token)", fixedrange=True, **log_axis(*losses))
    figure.update_layout(height=380, margin={"l": 70, "r": 20, "t": 20, "b": 60}, legend=LEGEND_ABOVE)
    return figure


def read_training(folder: str | Path) -> pd.DataFrame:
    """Steps and losses of one fine-tuning, from its `training.csv`; rows without a loss are left out.

    Where the run was evaluated, `eval_loss` has the loss on the validation split.
    """
    path = Path(folder) / "training.csv"
    if not path.is_file():
        raise InputError(f"{path} does not exist: give the folder that fine-tuning wrote.")
    table = pd.read_csv(path)
    if not {"step", "loss"} <= set(table.columns):
        raise InputError(f"{path} has columns {', '.join(table.columns)}; the curves need step and loss.")
    table = table[table["loss"].notna()]
    evaluation = path.with_name("evaluation.csv")
    if evaluation.is_file():
        scored = pd.read_csv(evaluation)[["step", "loss"]].rename(columns={"loss": "eval_loss"})
        table = table.merge(scored, on="step", how="left")
    return table


def drawn_of(points: pd.DataFrame) -> pd.DataFrame:
    """The rows that are drawn as points, as SVG, which needs no WebGL: all, or 2,000 at random, always the same."""
    return points if len(points) <= _MOST_POINTS else points.sample(_MOST_POINTS, random_state=0)


def log_axis(*series: np.ndarray[Any, Any]) -> dict[str, Any]:
    """A logarithmic axis: decades are labelled; where fewer than two are in sight, 1-2-5, in full.

    Parameters
    ----------
    series : ndarray of float, shape (n,)
        What is drawn; gaps, infinities and what is not above zero have no place on it.

    Examples
    --------
    >>> log_axis(np.array([0.02, 3.0]))["dtick"], log_axis(np.array([0.15, 0.6]))["ticktext"]
    (1, ['0.2', '0.5'])
    """
    shown = [float(v) for values in series for v in values if 0 < v < math.inf]
    axis: dict[str, Any] = {"type": "log"}
    if not shown:
        return axis
    low, high = min(shown), max(shown)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = [float(f"{m}e{k}") for k in exponents for m in (1, 2, 5) if low <= float(f"{m}e{k}") <= high]
    if sum(low <= float(f"1e{k}") <= high for k in exponents) > 1:
        return axis | {"dtick": 1, "minor": {"dtick": "D1", "ticks": "outside", "ticklen": 3}}
    if len(marks) < 2:
        return axis  # plotly then counts in equal steps
    return axis | {"tickvals": marks, "ticktext": [f"{m:g}" for m in marks]}


def _quantiles(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    values = np.sort(values[np.isfinite(values)])
    return values if len(values) <= _SAMPLE else np.quantile(values, (np.arange(_SAMPLE) + 0.5) / _SAMPLE)


def _number(table: _Cells, cell: tuple[str, str], column: str, scale: float) -> float | None:
    value = table.get(cell, {}).get(column, math.nan)
    return scale * value if math.isfinite(value) else None


def _cell_text(table: _Cells, cell: tuple[str, str], scale: float) -> str:
    mean, low, high = (_number(table, cell, column, scale) for column in ("mean", "low", "high"))
    if mean is None:
        return "–"
    interval = (
        ""
        if low is None or high is None or low == high
        else f"<br><span style='font-size:11px'>{low:.1f} – {high:.1f}</span>"
    )
    return f"<b>{mean:.1f}</b>{interval}"


def _cell_hover(table: _Cells, cell: tuple[str, str], measure: str, order: Sequence[str]) -> str:
    who = f"{plain(model_name(cell[0], order))}, hearing {plain(cell[1])}"
    if cell not in table:
        return f"{who}: not probed"
    row = table[cell]
    text = f"{who}<br>{int(row['n_clips']):,} answers to {int(row['n_words']):,} words"
    if row["n_seeds"] > 1:
        scale, unit = (100, "%") if measure == "correct" else (1, "bits")
        low, high = (f"{scale * row[name]:.1f}".replace("inf", "∞") for name in ("seed_min", "seed_max"))
        text += f"<br>seeds: {low} to {high} {unit}"
    return text


def plain(text: str) -> str:
    """Text for plotly, which reads a small HTML of its own; control characters, which no SVG may hold, as pictures.

    Examples
    --------
    >>> plain("a<b"), plain("a\\x1bb")
    ('a&lt;b', 'a␛b')
    """
    return str(text).translate(_CONTROLS).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def rgba(colour: str, alpha: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"
