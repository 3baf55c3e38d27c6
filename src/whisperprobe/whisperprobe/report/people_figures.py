"""Figures of listeners against people and of the sounds of words, as plotly figures without a theme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from whisperprobe.comparison.confusions import GAP
from whisperprobe.comparison.listeners import describe_measure
from whisperprobe.comparison.naming import model_name
from whisperprobe.comparison.phonemes import ARPABET, MAKE_UP
from whisperprobe.comparison.sounds import turn_worse
from whisperprobe.report.figures import LEGEND_ABOVE, drawn_of, plain
from whisperprobe.report.palette import SYMBOLS, condition_colours

if TYPE_CHECKING:
    from whisperprobe.comparison.people import PeopleComparison
    from whisperprobe.comparison.sounds import Sounds

__all__ = ["best_rows", "confusion_chart", "gain_chart", "make_up_chart", "response_chart", "shown_effects"]

_MOST_ROWS = 24
_MANNERS = ("stop", "affricate", "fricative", "nasal", "approximant")
_PLACES = ("bilabial", "labiodental", "dental", "alveolar", "postalveolar", "palatal", "velar", "glottal")
_GREY = "#8a95a3"
_DARK = "#6b7684"  # stands out on bars, on white and on dark paper
# rare confusions stay in the background; on the strongest, either theme's ink has a contrast of 4.5:1
_FAINT_TO_FULL = [[0, "rgba(47,127,193,0.06)"], [1, "rgba(47,127,193,0.8)"]]
_TOLD = 20  # per cent, from which a confusion has its number beside its colour
_MIDDLE = "#727d89"  # as far from white as from dark paper, 4:1


def best_rows(people: PeopleComparison) -> list[Mapping[str, Any]]:
    """The row of `measures` with the largest gain, for every listener."""
    ordered = people.measures.sort_values("delta_aic", ascending=False, kind="stable")
    rows = ordered.drop_duplicates("listener").sort_index().to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in rows]


def response_chart(people: PeopleComparison, order: Sequence[str]) -> go.Figure:
    """People's responses by each listener's best measure, a point a word, with the line through them."""
    best = best_rows(people)
    ceiling = None if people.reliability is None else people.reliability.ceiling
    titles = []
    for row in best:
        below = "" if ceiling is None else f", ceiling {ceiling:.2f}"
        titles.append(f"{plain(row['listener'])}: r = {row['pearson']:.2f}{below}".replace("-", "−"))
    figure = make_subplots(cols=len(best), horizontal_spacing=0.09, shared_yaxes=True, subplot_titles=titles)
    colours = condition_colours(order)
    for column, row in enumerate(best, 1):
        cell = people.words
        for name in ("listener", "model", "condition"):
            cell = cell[cell[name] == row[name]]
        shown = drawn_of(cell)
        x, y = (cell[name].to_numpy(dtype=np.float64) for name in (row["measure"], "response"))
        colour = colours.get(row["condition"], _GREY)
        figure.add_scatter(
            x=shown[row["measure"]], y=shown["response"], mode="markers", text=[plain(w) for w in shown["word"]],
            marker={"color": colour, "size": 6, "opacity": 0.55}, showlegend=False,
            hovertemplate="%{text}: %{x:.3g}, %{y:.3f}<extra></extra>", row=1, col=column,
        )  # fmt: skip
        slope, intercept = np.polyfit(x, y, 1)
        ends = np.array([x.min(), x.max()])
        figure.add_scatter(
            x=ends, y=intercept + slope * ends, mode="lines", line={"color": _GREY, "width": 3}, showlegend=False,
            hoverinfo="skip", row=1, col=column,
        )  # fmt: skip
        who = f"{model_name(row['model'], order)}, hearing {row['condition']}"
        title = describe_measure(row["measure"])
        figure.update_xaxes(
            title=f"{plain(title[0].upper() + title[1:])}<br>{plain(who)}", row=1, col=column, automargin=True
        )
    figure.update_yaxes(title=plain(people.about["unit"]), row=1, col=1)
    figure.update_layout(height=420, margin={"l": 70, "r": 20, "t": 40, "b": 80}, dragmode=False)
    return figure


def gain_chart(people: PeopleComparison, order: Sequence[str]) -> go.Figure:
    """Correlation of every measure with the responses beside what it adds to the baseline, in AIC."""
    table = people.measures.sort_values("delta_aic", ascending=False, kind="stable").head(_MOST_ROWS)
    table = table.sort_values(["listener", "delta_aic"], ascending=[False, True], kind="stable")
    labels = [
        plain(f"{describe_measure(m).split(' (')[0]} · {model_name(who, order)}")
        for m, who in zip(table["measure"], table["model"], strict=True)
    ]
    figure = make_subplots(cols=2, horizontal_spacing=0.04, subplot_titles=("Correlation", "Gain in AIC"))
    colours = condition_colours(order)
    rows = np.arange(len(table))
    for i, condition in enumerate(c for c in order if c in set(table["condition"])):
        mine = (table["condition"] == condition).to_numpy()
        part, name, colour = table[mine], plain(f"hearing {condition}"), colours[condition]
        figure.add_scatter(
            x=part["pearson"], y=rows[mine], mode="markers", name=name, legendgroup=name,
            marker={"color": colour, "size": 9, "symbol": SYMBOLS[i % len(SYMBOLS)]},
            error_x=_errors(part, "pearson", "pearson_low", "pearson_high", colour),
            customdata=[labels[j] for j in rows[mine]],
            hovertemplate="%{customdata}: r = %{x:.2f}<extra>" + name + "</extra>", row=1, col=1,
        )  # fmt: skip
        figure.add_bar(
            x=part["delta_aic"], y=rows[mine], orientation="h", name=name, legendgroup=name, showlegend=False,
            marker={"color": colour, "opacity": 0.75}, width=0.7,
            error_x=_errors(part, "delta_aic", "delta_aic_low", "delta_aic_high", _DARK),
            customdata=[labels[j] for j in rows[mine]],
            hovertemplate="%{customdata}: ΔAIC %{x:.1f}<extra>" + name + "</extra>", row=1, col=2,
        )  # fmt: skip
    if people.reliability is not None:
        for sign in (-1, 1):
            figure.add_vline(
                x=sign * people.reliability.ceiling, line={"color": _GREY, "dash": "dash", "width": 2}, row=1, col=1
            )
    figure.add_vline(x=0, line={"color": _GREY, "width": 1}, row=1, col="all")
    figure.update_yaxes(tickvals=rows, ticktext=labels, showline=False, ticks="", automargin=True, row=1, col=1)
    figure.update_yaxes(showticklabels=False, showline=False, ticks="", tickvals=rows, row=1, col=2)
    figure.update_yaxes(range=[-0.7, len(table) - 0.3], showgrid=True, zeroline=False)
    figure.update_xaxes(title="Pearson's r", range=[-1, 1], zeroline=False, row=1, col=1)
    figure.update_xaxes(title="AIC of the baseline minus AIC with it", zeroline=False, row=1, col=2)
    figure.update_layout(
        height=150 + 24 * len(table), margin={"l": 90, "r": 20, "t": 60, "b": 60}, dragmode=False, barmode="overlay",
        legend={**LEGEND_ABOVE, "y": 1 + 30 / max(24 * len(table), 1)},
    )  # fmt: skip
    return figure


def make_up_chart(sounds: Sounds, model: str, order: Sequence[str]) -> go.Figure:
    """Which features of a word's make-up go with suffering more (right of 0) or less, with intervals, for one model."""
    effects = shown_effects(sounds, model)
    features = [name for name in MAKE_UP if name in set(effects["feature"]) and name != "n_phonemes"][::-1]
    figure = go.Figure()
    colours = condition_colours(order)
    shown = [c for c in order if c in set(effects["condition"])]
    for i, condition in enumerate(shown):
        part = effects[effects["condition"] == condition].set_index("feature").reindex(features)
        tenth = part[["slope", "low", "high"]] / 10
        place = np.arange(len(features)) + 0.26 * ((len(shown) - 1) / 2 - i)
        figure.add_scatter(
            x=tenth["slope"], y=place, mode="markers", name=plain(condition),
            marker={"color": colours[condition], "size": 10, "symbol": SYMBOLS[order.index(condition) % len(SYMBOLS)]},
            error_x=_errors(tenth, "slope", "low", "high", colours[condition]),
            customdata=[plain(MAKE_UP[f]) for f in features],
            hovertemplate="%{customdata}: %{x:+.3g}<extra>" + plain(condition) + "</extra>",
        )  # fmt: skip
    figure.add_vline(x=0, line={"color": _GREY, "width": 1})
    figure.update_xaxes(title=_effect_title(effects))
    figure.update_yaxes(
        tickvals=list(range(len(features))), ticktext=[plain(MAKE_UP[f]) for f in features], automargin=True,
        showline=False, ticks="", ticklabelstandoff=8, zeroline=False,
    )  # fmt: skip
    figure.update_layout(
        height=170 + 20 * len(features), margin={"l": 90, "r": 20, "t": 20, "b": 90}, dragmode=False,
        legend=LEGEND_ABOVE, showlegend=True,
    )  # fmt: skip
    return figure


def shown_effects(sounds: Sounds, model: str) -> pd.DataFrame:
    """What `make_up_chart` draws: a model's effects on its first measure, else on accuracy, turned by `turn_worse`."""
    effects = turn_worse(sounds.effects[sounds.effects["model"] == model])
    first = effects[effects["measure"] != "correct"]
    return effects if first.empty else first


def _effect_title(effects: pd.DataFrame) -> str:
    measure = str(effects["measure"].iloc[0])
    lost = {"word_surprisal": "Further bits of surprisal", "correct": "Further share of answers no longer right"}
    known = lost.get(measure, f"Further loss of the<br>{plain(describe_measure(measure))}")
    if not effects["known"].all():
        return f"Further change of the<br>{plain(describe_measure(measure))}<br>for every 10 % of the word's sounds"
    return f"{known}<br>for every 10 % of the word's sounds → suffers more"


def confusion_chart(sounds: Sounds, model: str, condition: str) -> go.Figure:
    """Which consonants were heard as which, in per cent of the spoken ones; what was heard right is off the scale."""
    table = sounds.confusions
    table = table[(table["model"] == model) & (table["condition"] == condition)]
    wide = 100 * table.pivot_table(index="spoken", columns="heard", values="share", aggfunc="sum", fill_value=0.0)
    spoken = table.groupby("spoken")["n"].sum()
    rows = [s for s in _consonants() if s in wide.index]
    columns = [*(s for s in _consonants() if s in rows or (s in wide.columns and wide[s].max() > 0)), GAP]
    shares = wide.reindex(index=rows, columns=columns, fill_value=0.0).to_numpy(dtype=np.float64)
    right = np.array([[a == b for b in columns] for a in rows])
    names = [*columns[:-1], "left out"]
    off = np.where(right | (shares == 0), np.nan, shares)
    listed = [[None if np.isnan(v) else float(v) for v in line] for line in off]
    figure = go.Figure(
        go.Heatmap(
            x=names, y=rows, z=listed, colorscale=_FAINT_TO_FULL, zmin=0, zmax=100, xgap=1, ygap=1,
            colorbar={"title": {"text": "%", "side": "right"}, "thickness": 12, "len": 0.7, "dtick": 20},
            hovertemplate="%{y} heard as %{x}: %{z:.1f} %<extra></extra>", hoverongaps=False,
        )
    )  # fmt: skip
    for i, j in np.argwhere(right | (shares >= _TOLD)):  # without a colour of its own, the ink is the theme's
        font = {"size": 10, "color": _MIDDLE} if right[i, j] else {"size": 10}
        figure.add_annotation(x=names[j], y=rows[i], text=f"{shares[i, j]:.0f}", showarrow=False, font=font)
    figure.update_xaxes(
        title="Heard as", side="bottom", tickfont={"size": 11}, showgrid=False, type="category", dtick=1
    )
    figure.update_yaxes(
        title="Spoken (how often)", autorange="reversed", tickfont={"size": 11}, showgrid=False, type="category",
        automargin=True, tickvals=list(range(len(rows))), ticktext=[f"{s} ({spoken[s]:,})" for s in rows],
    )  # fmt: skip
    figure.update_layout(height=110 + 15 * len(rows), margin={"l": 60, "r": 10, "t": 20, "b": 60}, dragmode=False)
    return figure


def _consonants() -> list[str]:
    sounds = [s for s in ARPABET.values() if not s.vowel]
    return [
        s.symbol for s in sorted(sounds, key=lambda s: (_MANNERS.index(s.manner), _PLACES.index(s.place), s.voiced))
    ]


def _errors(part: pd.DataFrame, value: str, low: str, high: str, colour: str) -> dict[str, Any]:
    return {
        "type": "data", "symmetric": False, "array": part[high] - part[value], "arrayminus": part[value] - part[low],
        "thickness": 1.5, "width": 3, "color": colour,
    }  # fmt: skip
