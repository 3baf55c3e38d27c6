"""The degrees of loss that the simulator of the Cambridge group distinguishes, and which of them an ear has."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from audiogram.errors import InputError
from audiogram.filters.base import DifferentiableFilter
from audiogram.filters.interpolating import interpolation_matrix
from audiogram.thresholds import Audiogram

if TYPE_CHECKING:
    import torch

__all__ = ["Severity", "row_severities", "severity_of", "severity_of_average"]

Severity = Literal["none", "mild", "moderate", "severe"]

_FROM_HZ, _TO_HZ = 2000.0, 8000.0  # thresholds in this range decide


def severity_of_average(average: float) -> Severity:
    """Severity of a loss whose average from 2 to 8 kHz is `average` dB HL.

    Above 15 mild, above 35 moderate, above 56 severe: the categories of the Cambridge simulator, not those of the WHO
    (`audiogram.thresholds.grade_of`).

    Examples
    --------
    >>> severity_of_average(15), severity_of_average(35.1), severity_of_average(60)
    ('none', 'moderate', 'severe')
    """
    if math.isnan(average):
        raise InputError("no severity for an average that is not a number (NaN).")
    average = round(average, 6)  # so that the order of a sum does not decide
    if average > 56:
        return "severe"
    if average > 35:
        return "moderate"
    return "mild" if average > 15 else "none"


def severity_of(ear: Audiogram) -> Severity:
    """Severity of an ear's loss: of the average of the thresholds measured from 2 to 8 kHz.

    Where none was measured there, of those at 2, 4 and 8 kHz, the outermost held.

    Examples
    --------
    >>> severity_of(Audiogram([1000, 2000, 4000], [10, 30, 50]))
    'moderate'
    """
    return severity_of_average(float(_shares(ear.frequencies, ear.frequencies) @ np.asarray(ear.thresholds)))


def row_severities(filter: DifferentiableFilter, thresholds: torch.Tensor) -> list[Severity]:
    """Severity of each row of thresholds (rows, frequencies), as a filter's `on_tensor` gets them."""
    shares = np.stack([_shares(tuple(filter.threshold_frequencies), ear.frequencies) for ear in filter.ears])
    values = thresholds.detach().cpu().double().numpy()
    # ears measured at different frequencies come with a row, or equally many rows, each; otherwise all shares are equal
    which = np.arange(len(values)) * len(shares) // len(values)
    return [severity_of_average(float(average)) for average in (values * shares[which]).sum(axis=1)]


@lru_cache(maxsize=64)
def _shares(frequencies: tuple[float, ...], measured: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """Shares of thresholds at `frequencies` in the average of an ear that was measured at `measured`."""
    inside = [f for f in measured if _FROM_HZ <= f <= _TO_HZ]
    shares: npt.NDArray[np.float64] = interpolation_matrix(frequencies, inside or [2000, 4000, 8000]).mean(axis=0)
    return shares
