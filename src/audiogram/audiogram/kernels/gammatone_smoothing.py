"""How envelopes of gammatone channels lie in time, and the low-pass that smooths them forwards and backwards.

The published filter [1]_ [2]_ is an elliptic low-pass of order 2. Forwards and backwards in one, its impulse response
is a click at 0 and a ringing that decays to either side: h(t) = Re(c exp(s |t|)) with the pole s of the analogue
filter. Sampled at the envelopes' rate, it is one complex recursion in either direction, whose outputs are added. That
is far less work than a transform, and needs to see only a short while ahead.

References
----------
.. [1] Y. Nejime and B. C. J. Moore, "Simulation of the effect of threshold elevation and loudness recruitment combined
   with reduced frequency selectivity on the intelligibility of speech in noise", JASA 102, 603-615, 1997.
.. [2] M. A. Stone and B. C. J. Moore, "Tolerable hearing aid delays. I.", Ear and Hearing 20, 182-192, 1999.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from audiogram.kernels.gammatone import Channels
from audiogram.scales import erb_bandwidth

__all__ = ["Layout", "Smoother", "layout", "smoother", "smoothing"]

Array = npt.NDArray[Any]

_HIGHEST_ENVELOPE_WIDTH = 100.0  # Hz
_CORNER_PER_WIDTH = 0.75
# Elliptic low-pass of order 2 with 0.25 dB ripple and 35 dB stop band: k (s^2 + zero) / (s^2 + a s + b), s in units of
# its corner, from scipy.signal.ellipap(2, 0.25, 35). Its gain at 0 Hz is -0.25 dB, twice that forwards and backwards.
_ELLIPTIC_GAIN, _ELLIPTIC_ZERO, _ELLIPTIC_A, _ELLIPTIC_B = 0.0177827941, 115.989765, 1.77998128, 2.12285175


@dataclass(frozen=True)
class Layout:
    """How long things are for clips of one length; the same for every path, so that all compute the same numbers."""

    lead: int
    """Samples that the channels begin before the clip: the largest advance."""
    frames: int
    """How many hops the channels are computed for, from before the clip to where the filter behind them ends."""


@dataclass(frozen=True, eq=False)
class Smoother:
    """The smoothing as recursions, one value per channel: `direct * e[n] + Re(weight * y[n])` for envelopes `e`, where
    y is the sum of `pole**abs(n - m) * e[m]` over all m.
    """

    pole: Array
    weight: Array
    direct: Array

    def ahead(self, nepers: float) -> int:
        """Values after which all that rings has decayed by so many nepers."""
        return math.ceil(nepers / float(-np.log(np.abs(self.pole)).max()))


def layout(bank: Channels, samples: int, reach: int) -> Layout:
    """The lengths for clips of `samples` samples, before a filter that reaches `reach` samples to either side."""
    lead = int(bank.advances.max())
    return Layout(lead, -(-(lead + samples + reach) // bank.hop))


@lru_cache(maxsize=32)
def smoother(bank: Channels) -> Smoother:
    """The recursions for a bank's envelopes, which have one value every `bank.hop` samples."""
    corners = _CORNER_PER_WIDTH * np.minimum(_HIGHEST_ENVELOPE_WIDTH, erb_bandwidth(bank.centres))
    step = 2 * np.pi * corners * bank.hop / bank.sample_rate
    s = complex(-_ELLIPTIC_A, cmath.sqrt(4 * _ELLIPTIC_B - _ELLIPTIC_A**2).real) / 2
    below = 2j * s.imag * (s**2 - _ELLIPTIC_A * s + _ELLIPTIC_B)
    residue = (_ELLIPTIC_GAIN * (s**2 + _ELLIPTIC_ZERO)) ** 2 / below
    pole, weight = np.exp(s * step), 2 * residue * step
    at_zero = (_ELLIPTIC_GAIN * _ELLIPTIC_ZERO / _ELLIPTIC_B) ** 2
    return Smoother(pole, weight, at_zero - _both_ways(pole, weight, np.ones(())))


def smoothing(bank: Channels, transform: int) -> Array:
    """Response of the envelopes' smoothing, forwards and backwards in one.

    Parameters
    ----------
    bank : Channels
        The bank.
    transform : int
        Length of a real transform of the envelopes, which have one value every `bank.hop` samples.

    Returns
    -------
    ndarray of float64, shape (channels, transform // 2 + 1)
        Real, because it turns no phase.
    """
    one = smoother(bank)
    delay = np.exp(-2j * np.pi / transform * np.arange(transform // 2 + 1))
    return one.direct[:, None] + _both_ways(one.pole[:, None], one.weight[:, None], delay)


def _both_ways(pole: Array, weight: Array, delay: Array) -> Array:
    """Response of Re(weight * pole**abs(n)) at `delay` = 1 / z on the unit circle."""
    forwards = (weight / (1 - pole * delay) + weight.conj() / (1 - pole.conj() * delay)).real
    result: Array = forwards - weight.real
    return result
