"""Straight lines between points over frequency, on the scale of one's choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from audiogram.errors import InputError, unknown_name
from audiogram.scales import erb_number

__all__ = ["Edges", "Interpolation", "interpolate"]

Interpolation = Literal["log2", "erb", "linear"]
"""The frequency scale on which points are joined by straight lines: octaves, ERB-numbers or Hz."""
Edges = Literal["hold", "extrapolate", "error"]
"""Outside the known range: keep the outermost value, go on along the outermost line, or refuse."""

Array = npt.NDArray[np.float64]


def interpolate(
    frequencies: Sequence[float],
    values: Sequence[float],
    targets: npt.ArrayLike,
    interpolation: Interpolation = "log2",
    edges: Edges = "hold",
) -> Array:
    """Values at any frequencies from values at some.

    Parameters
    ----------
    frequencies : sequence of float
        The frequencies in Hz that values are known at, above 0, increasing.
    values : sequence of float
        One per frequency.
    targets : array_like
        Frequencies in Hz to interpolate at, 0 or more.
    interpolation : {"log2", "erb", "linear"}, default "log2"
        The scale on which the values are joined by straight lines.
    edges : {"hold", "extrapolate", "error"}, default "hold"
        What happens outside the known frequencies.

    Returns
    -------
    ndarray of float64
        Shape of `targets`.

    Raises
    ------
    InputError
        For a negative or non-finite target, an unknown option, or a target outside with `edges="error"`.

    Examples
    --------
    >>> interpolate([1000, 4000], [20, 60], [2000, 8000]).tolist()
    [40.0, 60.0]
    """
    if interpolation not in get_args(Interpolation):
        raise unknown_name("interpolation", interpolation, get_args(Interpolation))
    if edges not in get_args(Edges):
        raise unknown_name("treatment of edges", edges, get_args(Edges))
    try:
        hz = np.asarray(targets, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"frequencies to interpolate at are numbers of Hz, got {targets!r}.") from None
    if hz.size and not (np.isfinite(hz).all() and hz.min() >= 0):
        raise InputError("frequencies to interpolate at must be finite and 0 Hz or more.")
    known, y = np.asarray(frequencies, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if edges == "error" and hz.size and (hz.min() < known[0] or hz.max() > known[-1]):
        raise InputError(
            f"{hz.min():g} to {hz.max():g} Hz is not inside the measured {known[0]:g} to {known[-1]:g} Hz; "
            "edges='hold' or 'extrapolate' allows it."
        )
    if edges == "extrapolate" and interpolation == "log2" and hz.size and hz.min() == 0:
        raise InputError("0 Hz is infinitely many octaves away; use edges='hold', or interpolation='erb'.")
    if edges != "extrapolate":
        hz = np.clip(hz, known[0], known[-1])  # held edges also keep 0 Hz away from the logarithm
    x, grid = _on_scale(hz, interpolation), _on_scale(known, interpolation)
    result: Array = np.asarray(np.interp(x, grid, y))
    if edges == "extrapolate" and len(grid) > 1:
        for outside, i, j in ((x < grid[0], 0, 1), (x > grid[-1], -1, -2)):
            slope = (y[j] - y[i]) / (grid[j] - grid[i])
            result = np.where(outside, y[i] + slope * (x - grid[i]), result)
    return result


def _on_scale(hz: Array, scale: Interpolation) -> Array:
    if scale == "log2":
        return np.log2(hz)
    return erb_number(hz) if scale == "erb" else hz
