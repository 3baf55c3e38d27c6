"""Interpolation of thresholds as a matrix: the same for arrays and for tensors, and gradients pass through it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from audiogram.thresholds import Audiogram, Interpolation

__all__ = ["interpolation_matrix"]


def interpolation_matrix(
    frequencies: npt.ArrayLike,
    targets: npt.ArrayLike,
    interpolation: Interpolation = "log2",
    edges: Literal["hold", "extrapolate"] = "hold",
) -> npt.NDArray[np.float64]:
    """Interpolation of thresholds as a matrix, so that gradients pass through it.

    Parameters
    ----------
    frequencies : array_like, shape (frequencies,)
        Frequencies of the thresholds in Hz, above 0, strictly increasing.
    targets : array_like, shape (targets,)
        Frequencies to interpolate at, in Hz, 0 or more.
    interpolation, edges
        As for `Audiogram.at`.

    Returns
    -------
    ndarray of float64, shape (targets, frequencies)
        `interpolation_matrix(ear.frequencies, targets) @ ear.thresholds` is `ear.at(targets)`.

    Raises
    ------
    InputError
        For frequencies that `Audiogram` or `Audiogram.at` refuses.

    Examples
    --------
    >>> interpolation_matrix([500, 2000], [250, 1000, 2000])
    array([[1. , 0. ],
           [0.5, 0.5],
           [0. , 1. ]])
    """
    grid = [float(f) for f in np.asarray(frequencies, dtype=np.float64).reshape(-1)]
    # interpolation is linear in the thresholds, so its columns are what becomes of one threshold of 1 dB
    columns = [Audiogram(grid, unit).at(targets, interpolation, edges) for unit in np.eye(len(grid))]
    return np.stack(columns, axis=-1)
