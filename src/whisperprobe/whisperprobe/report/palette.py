"""Colours and names that every figure shares, readable on light and on dark paper and without colour vision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["DASHES", "SCALE", "SYMBOLS", "THEMES", "cell_ink", "condition_colours"]

# Contrast of at least 3:1 on white and on #14181f; hues of the Okabe-Ito set, which dichromats tell apart.
_COLOURS = ("#2f7fc1", "#d1661f", "#1f9070", "#b0609a", "#a17d12", "#6a6fd1", "#c4505a", "#5c8a2e")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SCALE = "Cividis"  # perceptually uniform, and the same to readers with and without colour-vision deficiency

_STANDOFF = 10  # px between the labels of an axis and its title, in every figure
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def condition_colours(conditions: Sequence[str]) -> dict[str, str]:
    """One colour per condition, the same in every figure."""
    return {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(conditions)}


def cell_ink(value: float | None, top: float, *, reverse: bool) -> str:
    """Black or white, whichever stands out on the colour of a value in [0, top]; grey where there is none.

    Examples
    --------
    >>> cell_ink(95.0, 100.0, reverse=False), cell_ink(5.0, 100.0, reverse=False), cell_ink(0.0, 9.0, reverse=True)
    ('#000000', '#ffffff', '#000000')
    """
    if value is None:
        return "#7d8895"
    share = value / top
    return (
        "#000000" if (1 - share if reverse else share) > 0.465 else "#ffffff"
    )  # equal contrast, 4.5:1, on the grey there


def _theme(ink: str, soft: str, grid: str, paper: str) -> dict[str, Any]:
    axis = {
        "gridcolor": grid, "linecolor": soft, "tickcolor": soft, "zerolinecolor": grid, "ticks": "outside",
        "showline": True, "title": {"font": {"color": ink}, "standoff": _STANDOFF}, "tickfont": {"color": ink},
        "minor": {"tickcolor": soft},
    }  # fmt: skip
    return {
        "layout": {
            "font": {"family": FONT, "size": 13, "color": ink},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "xaxis": axis | {"automargin": "height"},
            "yaxis": axis | {"automargin": "width"},
            "legend": {"font": {"color": ink}},
            "hoverlabel": {"bgcolor": paper, "bordercolor": soft, "font": {"color": ink, "family": FONT}},
            "annotationdefaults": {"font": {"color": ink}},
        }
    }


THEMES = {
    "light": _theme("#1b2430", "#5d6875", "#e3e7ec", "#ffffff"),
    "dark": _theme("#e4e9ef", "#9aa6b3", "#2c343f", "#14181f"),
}
