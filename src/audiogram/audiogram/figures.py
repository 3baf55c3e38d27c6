"""Where a figure goes when no axes are given: to pyplot where somebody looks there, else to the caller alone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["new_figure"]


def new_figure(width: float, height: float) -> Figure:
    """Make a figure for a plot that was given no axes.

    A notebook shows pyplot's figures under their cell, and `plt.show()` finds no others. So in a notebook, and where
    pyplot is imported already, the figure is one of those. Elsewhere pyplot, which looks for a screen and keeps every
    figure alive, is left alone.

    Parameters
    ----------
    width, height : float
        In inches.

    Returns
    -------
    matplotlib.figure.Figure
    """
    if "matplotlib.pyplot" in sys.modules or _in_notebook():
        import matplotlib.pyplot as plt

        return plt.figure(figsize=(width, height), layout="constrained")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _in_notebook() -> bool:
    """Whether this process is a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
