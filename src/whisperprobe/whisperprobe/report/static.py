"""The cross-condition matrix as a still picture, for a README or a paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from whisperprobe.comparison.naming import model_name
from whisperprobe.comparison.result import Comparison
from whisperprobe.report.palette import SCALE, cell_ink

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["matrix_figure"]


def matrix_figure(comparison: Comparison, condition_order: Sequence[str] | None = None) -> Figure:
    """Draw word accuracy and mean surprisal of every model under every condition.

    Parameters
    ----------
    comparison : Comparison
        Probe runs joined clip by clip.
    condition_order : sequence of str, optional
        Order of the columns; default that of the comparison.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels; each cell has its mean and, below, its 95 % interval over words. `figure.savefig("matrix.png")`.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    conditions = list(condition_order or comparison.conditions)
    models = list(comparison.models)
    figure = Figure(figsize=(2.6 + 2.6 * len(conditions), 1.5 + 0.8 * len(models)), dpi=150, layout="constrained")
    panels = figure.subplots(1, 2)
    titles = ("Word accuracy (%)", "Surprisal of the spoken word (bits)")
    for axes, measure, title, scale in zip(panels, ("correct", "word_surprisal"), titles, (100, 1), strict=True):
        table = comparison.matrix(measure).set_index(["model", "condition"])
        columns = table.reindex([(m, c) for m in models for c in conditions])[["mean", "low", "high"]]
        values = scale * columns.to_numpy(dtype=float).reshape(len(models), len(conditions), 3)
        finite = values[..., 0][np.isfinite(values[..., 0])]
        top = 100.0 if measure == "correct" else max(float(finite.max(initial=0.0)), 1e-9)
        cmap = colormaps[SCALE.lower() + ("_r" if measure == "word_surprisal" else "")]
        axes.imshow(values[..., 0], cmap=cmap, vmin=0, vmax=top, aspect="auto")
        for (i, j), mean in np.ndenumerate(values[..., 0]):
            ink = cell_ink(mean if math.isfinite(mean) else None, top, reverse=measure == "word_surprisal")
            low, high = values[i, j, 1:]
            label = f"{mean:.1f}" if math.isfinite(mean) else "–"
            axes.text(j, i - 0.1, label, ha="center", va="center", color=ink, fontsize=13, fontweight="bold")
            if low < high:
                axes.text(j, i + 0.24, f"{low:.1f} – {high:.1f}", ha="center", va="center", color=ink, fontsize=8.5)
        axes.set_title(title, fontsize=12)
        axes.set_xticks(range(len(conditions)), conditions)
        axes.set_yticks(
            range(len(models)), [model_name(m, conditions) for m in models] if axes is panels[0] else [""] * len(models)
        )
        axes.set_xlabel("what it hears")
        axes.tick_params(length=0)
        axes.set_xticks(np.arange(len(conditions) - 1) + 0.5, minor=True)
        axes.set_yticks(np.arange(len(models) - 1) + 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=3)
        axes.tick_params(which="minor", length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
    panels[0].set_ylabel("who listens")
    return figure
