"""Trainings as a figure for a paper: loss, error rates, learning rate and gradient norm of one run or several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audiogram.errors import InputError, unknown_name
from whisperprobe.report.palette import DASHES, SYMBOLS, condition_colours
from whisperprobe.training.curve_reading import RunCurves, read_runs
from whisperprobe.training.figure_files import FORMATS, size_in_inches, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_runs", "plot_training", "smoothed"]

_PANELS = {
    "loss": "Loss (nats per token)", "wer": "Word error rate (%)", "cer": "Character error rate (%)",
    "word_accuracy": "Word accuracy (%)", "sentence_accuracy": "Sentences exactly right (%)",
    "learning_rate": "Learning rate", "grad_norm": "Gradient norm",
}  # fmt: skip
_RATES = ("wer", "cer", "word_accuracy", "sentence_accuracy")
_SCALED = ("loss", "grad_norm")  # what may lie on a logarithmic axis
_SMOOTHED = ("loss", "grad_norm")
_SCALES = ("log", "linear")
_INK, _SOFT, _GRID = "#1b2430", "#5d6875", "#e3e7ec"
_LINES = {
    "solid": "-",
    "dash": "--",
    "dot": ":",
    "dashdot": "-.",
    "longdash": (0, (8, 3)),
    "longdashdot": (0, (8, 3, 1, 3)),
}
_MARKERS = {
    "circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "triangle-down": "v", "cross": "P", "x": "X",
    "star": "*",
}  # fmt: skip


def plot_training(
    runs: str | Path | Sequence[str | Path],
    *,
    out: str | Path | None = None,
    dpi: int = 300,
    size: str | tuple[float, float] | None = None,
    smooth: float = 0.0,
    scale: str = "log",
) -> Figure:
    """Draw loss, error rates, accuracy, learning rate and gradient norm of trainings over optimiser steps.

    Parameters
    ----------
    runs : str, Path or sequence of them
        Folders that `finetune` wrote or is writing, or TensorBoard event files and folders of them, under the names
        that transformers' trainer gives its curves (`train/loss`, `eval/loss`, `eval/wer`, `train/grad_norm`,
        `train/learning_rate`, ...). A folder of several runs draws each. `NAME=PATH` names a run for the legend. Rates
        of which a run logs 100 times the value are recognised.
    out : str or Path, optional
        PNG, PDF or SVG file to write; none: only the figure is returned.
    dpi : int, default 300
        Pixels per inch of a PNG, 20 to 2400.
    size : str or (float, float), optional
        Width and height: `"180x120mm"`, `"18x12cm"`, `"7x5"` or a pair in inches, 1 to 40 inches each. Default as the
        panels need, 7.2 inches (a journal's two columns) wide for two panels or more.
    smooth : float, default 0.0
        Weight of the past in an exponential mean, 0 (none) to below 1, as in TensorBoard; the raw curve stays behind
        it. Applied to the training loss and the gradient norm.
    scale : {"log", "linear"}
        Axis of losses and gradient norms.

    Returns
    -------
    matplotlib.figure.Figure
        The best step of each run (the one whose weights it kept; else that of the lowest word error rate, or loss) has
        a ring.

    Raises
    ------
    InputError
        For a path without curves, or an option out of range.
    WorkError
        If the file cannot be written.
    """
    if scale not in _SCALES:
        raise unknown_name("scale", scale, _SCALES)
    if isinstance(smooth, bool) or not isinstance(smooth, int | float) or not 0 <= smooth < 1:
        raise InputError(f"smooth is {smooth!r}; give the weight of the past, 0 (none) to below 1, e.g. 0.9.")
    if isinstance(dpi, bool) or not isinstance(dpi, int) or not 20 <= dpi <= 2400:
        raise InputError(f"dpi is {dpi!r}; give a whole number of pixels per inch, 20 to 2400.")
    inches = None if size is None else size_in_inches(size)
    file = None if out is None else Path(out)
    if file is not None and file.suffix[1:].lower() not in FORMATS:
        raise InputError(f"{file} ends in {file.suffix or 'nothing'}; name a file that ends in .png, .pdf or .svg.")
    figure = draw_runs(read_runs([runs] if isinstance(runs, str | Path) else runs), inches, float(smooth), scale)
    if file is not None:
        write_figure(figure, file, dpi)
    return figure


def smoothed(values: np.ndarray[Any, np.dtype[np.float64]], weight: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Exponential mean in which the first points do not weigh more than the others.

    Parameters
    ----------
    values : float64 array, shape (points,)
        Any numbers.
    weight : float
        Of the past, 0 to below 1.

    Returns
    -------
    float64 array, shape (points,)
        m_t / (1 - weight^t), where m_t = weight m_{t-1} + (1 - weight) values_t and m_0 = 0.

    Examples
    --------
    >>> smoothed(np.array([4.0, 1.0]), 0.5).tolist()
    [4.0, 2.0]
    """
    out, mean = np.empty(len(values)), 0.0
    for i, value in enumerate(values):
        mean = weight * mean + (1 - weight) * float(value)
        out[i] = mean / (1 - weight ** (i + 1))
    return out


def draw_runs(
    runs: Sequence[RunCurves], inches: tuple[float, float] | None = None, smooth: float = 0.0, scale: str = "log"
) -> Figure:
    """Draw what `read_runs` has read; the options are those of `plot_training`, checked."""
    from matplotlib.figure import Figure

    panels = [p for p in _PANELS if any(p in run.curves or (p == "loss" and "eval_loss" in run.curves) for run in runs)]
    columns = len(panels) if len(panels) <= 3 else 2 if len(panels) == 4 else 3
    if inches is not None:
        columns = max(1, min(columns, int(inches[0] / 1.6)))
    rows = math.ceil(len(panels) / columns)
    if inches is not None and inches[1] < (least := 1.3 * rows + 0.3):
        raise InputError(
            f"a figure of {inches[0]:.3g} x {inches[1]:.3g} inches is too small for {len(panels)} panels; at this "
            f"width they need a height of {least:.2g} inches ({25.4 * least:.0f} mm)."
        )
    if inches is None:
        inches = (4.2, 3.1) if columns == 1 else (7.2, 2.3 * rows + 0.3)
    figure = Figure(figsize=inches, layout="constrained")
    engine: Any = figure.get_layout_engine()
    engine.set(w_pad=0.06, h_pad=0.06, wspace=0.03)
    colours = condition_colours([run.name for run in runs])
    grid: Any = figure.subplots(rows, columns, squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        for i, run in enumerate(runs):
            _lines(axes, panel, run, colours[run.name], i, smooth)
        _dress(axes, panel, runs, scale, ticks=5 if inches[0] / columns > 2 else 3)
    for axes in list(grid.flat)[len(panels) :]:
        axes.remove()
    _legend(figure, runs, colours)
    return figure


def _lines(axes: Axes, panel: str, run: RunCurves, colour: str, number: int, smooth: float) -> None:
    """One run in one panel."""
    line: Any = _LINES[DASHES[number // 8 % len(DASHES)]]
    if panel in run.curves and panel not in _RATES:
        curve = run.curves[panel]
        shown = curve.values
        if smooth and panel in _SMOOTHED:
            axes.plot(curve.steps, shown, color=colour, linewidth=0.7, alpha=0.3, zorder=2)
            shown = smoothed(shown, smooth)
        if panel == "learning_rate":  # often the same in all runs: those beneath show through
            line = _LINES[DASHES[number % len(DASHES)]]
        alone = "." if len(curve.steps) == 1 else ""
        axes.plot(curve.steps, shown, color=colour, linewidth=1.1, linestyle=line, marker=alone, zorder=3)
    evaluated = run.curves.get("eval_loss" if panel == "loss" else panel) if panel in ("loss", *_RATES) else None
    if evaluated is None:
        return
    values = evaluated.values * (100.0 if panel in _RATES else 1.0)
    every = max(1, len(values) // 12)
    axes.plot(
        evaluated.steps, values, color=colour, linewidth=1.1, linestyle=line, marker=_marker(number), markersize=3.6,
        markevery=every, markeredgecolor="white", markeredgewidth=0.5, zorder=4, clip_on=False,
    )  # fmt: skip
    if run.best_step is not None and (at := np.flatnonzero(evaluated.steps == run.best_step)).size:
        axes.plot(
            evaluated.steps[at], values[at], marker="o", markersize=7, markerfacecolor="none", markeredgecolor=_INK,
            markeredgewidth=1.0, linestyle="none", zorder=5, clip_on=False,
        )  # fmt: skip


def _marker(number: int) -> str:
    return _MARKERS[SYMBOLS[number % 8]]


def _dress(axes: Axes, panel: str, runs: Sequence[RunCurves], scale: str, *, ticks: int) -> None:
    """Scales, ticks and frame."""
    from matplotlib.ticker import AutoLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

    shown = [run.curves[m] for run in runs for m in _measures(panel) if m in run.curves]
    last = max(int(curve.steps[-1]) for curve in shown)
    axes.set_xlim(0, max(1.02 * last, 1))
    axes.xaxis.set_major_locator(MaxNLocator(ticks, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.set_xlabel("Optimiser step", fontsize=8, color=_INK)
    axes.set_ylabel(_PANELS[panel], fontsize=8, color=_INK)
    low, high = (float(f([f(curve.values) for curve in shown])) for f in (np.min, np.max))
    if panel in _SCALED and scale == "log" and low > 0:
        axes.set_yscale("log", nonpositive="mask")
        bottom, top = axes.get_ylim()
        decades = math.log10(top / bottom)
        axes.yaxis.set_major_locator(
            AutoLocator() if decades < 0.7 else LogLocator(subs=(1, 2, 5) if decades < 2.5 else (1,), numticks=12)
        )
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.yaxis.set_minor_locator(NullLocator() if decades < 0.7 else LogLocator(subs=range(1, 10), numticks=99))
        axes.yaxis.set_minor_formatter(NullFormatter())
    elif panel == "learning_rate":
        axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0), useMathText=True)
        axes.yaxis.get_offset_text().set_fontsize(7)
        axes.set_ylim(bottom=0)
    elif panel in _RATES:
        accuracy = panel.endswith("accuracy")
        axes.set_ylim(0, 103 if accuracy else max(105 * high, 1))
    elif low >= 0:
        axes.set_ylim(0, max(1.05 * high, 1e-9))
    axes.tick_params(labelsize=7, colors=_INK, width=0.6, length=3, which="major")
    axes.tick_params(width=0.4, length=1.8, which="minor", color=_SOFT)
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_SOFT)
        spine.set_linewidth(0.6)


def _measures(panel: str) -> tuple[str, ...]:
    return ("loss", "eval_loss") if panel == "loss" else (panel,)


def _legend(figure: Figure, runs: Sequence[RunCurves], colours: dict[str, str]) -> None:
    """One legend above all panels: which run is which, and which line is what."""
    from matplotlib.lines import Line2D

    line: Any = Line2D
    evaluated = any(m in run.curves for run in runs for m in ("eval_loss", *_RATES))
    who, what = [], []
    if len(runs) > 1:
        for i, run in enumerate(runs):
            style = {"linestyle": _LINES[DASHES[i // 8 % len(DASHES)]], "marker": _marker(i) if evaluated else ""}
            who.append(line([], [], color=colours[run.name], linewidth=1.4, markersize=4, label=run.name, **style))
    if evaluated:
        common = {"color": _SOFT if who else colours[runs[0].name], "linewidth": 1.2}
        what = [line([], [], label="training", **common)]
        what.append(line([], [], label="validation", marker="o", markersize=4, **common))
        if any(_marked(run) for run in runs):
            ring = {"marker": "o", "markersize": 6.5, "markerfacecolor": "none", "markeredgecolor": _INK}
            what.append(line([], [], label="best step", linestyle="none", **ring))
    if not who and not what:
        return
    # About 16 letters fit an inch, and a line's sample takes as much as 7. What fits in one row stands in one.
    room = 16 * figure.get_figwidth() / max(len(entry.get_label()) + 7 for entry in [*who, *what])
    columns = max(1, min(int(room), len(who) + len(what)))
    rows = (
        [who + what]
        if len(who) + len(what) <= columns
        else [*(who[i : i + columns] for i in range(0, len(who), columns)), *([what] if what else [])]
    )
    columns = max(map(len, rows))
    nothing = line([], [], linestyle="none", label="")
    filled = [row + [nothing] * (columns - len(row)) for row in rows]
    figure.legend(
        handles=[row[i] for i in range(columns) for row in filled],  # matplotlib fills column by column
        loc="outside upper center", ncols=columns, fontsize=7.5, frameon=False, labelcolor=_INK, handlelength=2.2,
        columnspacing=1.6,
    )  # fmt: skip


def _marked(run: RunCurves) -> bool:
    return any(run.best_step in run.curves[m].steps for m in ("eval_loss", *_RATES) if m in run.curves)
