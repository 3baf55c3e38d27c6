"""Cells of the small tables: what a reader sees, what sorting goes by, and the numbers that a CSV file gets."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Cell", "SmallTable", "number"]


@dataclass(frozen=True)
class Cell:
    """A number in a table.

    Parameters
    ----------
    text : str
        As it is shown.
    value, low, high : float, optional
        The number, and the ends of its interval; None where there is none. All finite.
    """

    text: str
    value: float | None = None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        return self.text

    @property
    def attributes(self) -> dict[str, str]:
        """Attributes of the HTML cell: `data-order` (what DataTables sorts by), `data-low`, `data-high`."""
        named = {"data-order": self.value, "data-low": self.low, "data-high": self.high}
        return {name: f"{value:.10g}" for name, value in named.items() if value is not None}


def number(text: str, value: float | None = None, low: float | None = None, high: float | None = None) -> Cell:
    """Make a cell, leaving out what is not finite and an interval without width.

    Examples
    --------
    >>> number("1.0 (0.5 to 1.5)", 1.0, 0.5, 1.5).attributes
    {'data-order': '1', 'data-low': '0.5', 'data-high': '1.5'}
    >>> number("–", float("nan")).attributes
    {}
    """
    value = value if value is not None and math.isfinite(value) else None
    if low is None or high is None or not low < high:
        low = high = None
    return Cell(text, None if value is None else float(value), low, high)


@dataclass(frozen=True, eq=False)
class SmallTable:
    """A table that stands in the page as HTML, so that it is there without a script, too.

    Parameters
    ----------
    id : str
        Of the element, ending in ``-table``; the CSV file is called what stands before.
    caption : str
        What it is.
    titles : tuple of str
        Headings of the columns.
    rows : tuple of tuple of str or Cell
        The first column names the row.
    """

    id: str
    caption: str
    titles: tuple[str, ...]
    rows: tuple[tuple[str | Cell, ...], ...]
