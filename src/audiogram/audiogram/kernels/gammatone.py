"""The gammatone filterbanks that recruitment works in: what they are, for every path that computes them.

A gammatone of order 4 [1]_ [2]_ is four equal two-pole sections with the poles of `exp(-2 pi b t) cos(2 pi f t)`, where
b is the equivalent rectangular bandwidth at its centre frequency f [3]_ times a broadening factor. Every channel has a
gain of 1 at its centre and is advanced in time so that the channels' envelopes line up and their sum is nearly flat.
Channels above 1 kHz have a two-pole Bessel high-pass besides: what a gammatone lets through far below its centre would
otherwise undo a loss at low frequencies.

The three banks are those of the Cambridge hearing-loss simulation [4]_ [5]_ [6]_ as its authors released it in 2013:
centre frequencies, advances and high-pass corners at 44.1 kHz. At other rates a channel keeps its centre, its bandwidth
and its advance; the part of the advance that is no whole number of samples turns the phase of its carrier instead.

The channels' sum has a phase that turns with frequency and a ripple. `equaliser` is a short filter for the sum that
makes the phase 0 everywhere, so that the bank has no delay, and on request the sum flat.

The envelope of a channel is its magnitude averaged under a triangle of `Channels.hop` samples to either side, once
every `hop` samples (1.4 kHz), then smoothed forwards and backwards by a low-pass whose corner is 3/4 of the normal
equivalent rectangular bandwidth, at most 75 Hz [5]_ [6]_. Gains made from it are joined by cubic
splines: the corners of straight lines are sound at other frequencies, and far above a loud channel all that there is.

References
----------
.. [1] R. D. Patterson, K. Robinson, J. Holdsworth, D. McKeown, C. Zhang and M. Allerhand, "Complex sounds and auditory
   images", in Auditory Physiology and Perception, Pergamon, 1992.
.. [2] R. D. Patterson, M. H. Allerhand and C. Giguère, "Time-domain modeling of peripheral auditory processing", JASA
   98, 1890-1894, 1995.
.. [3] B. R. Glasberg and B. C. J. Moore, "Derivation of auditory filter shapes from notched-noise data", Hearing
   Research 47, 103-138, 1990.
.. [4] B. C. J. Moore and B. R. Glasberg, "Simulation of the effects of loudness recruitment and threshold elevation on
   the intelligibility of speech in quiet and in a background of speech", JASA 94, 2050-2062, 1993.
.. [5] Y. Nejime and B. C. J. Moore, "Simulation of the effect of threshold elevation and loudness recruitment combined
   with reduced frequency selectivity on the intelligibility of speech in noise", JASA 102, 603-615, 1997.
.. [6] M. A. Stone and B. C. J. Moore, "Tolerable hearing aid delays. I.", Ear and Hearing 20, 182-192, 1999.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from audiogram.errors import unknown_name
from audiogram.kernels.gammatone_tables import TABLES
from audiogram.scales import erb_bandwidth

__all__ = [
    "ENVELOPE_DB",
    "ORDER",
    "BankName",
    "Channels",
    "channels",
    "composite",
    "equaliser",
    "responses",
]

BankName = Literal["mild", "moderate", "severe"]
Array = npt.NDArray[Any]

ORDER = 4
"""Order of the gammatones: how often their two-pole section is applied."""

_TABLE_RATE = 44_100.0
_REACH = 0.05  # seconds that the equaliser reaches to either side; its response has died away by then
_LOWEST_SUM = 0.05  # the equaliser raises nothing by more than 26 dB: below and above the bank the sum rolls off

_ENVELOPE_RATE = 1400.0  # Hz, at least seven times the highest corner of the envelopes' smoothing

ENVELOPE_DB = 20 * math.log10(2 * math.sqrt(2) / math.pi) - 0.5
"""Level of the envelope of a steady tone re its RMS, in dB: the mean magnitude, and the smoothing's gain at 0 Hz."""


@dataclass(frozen=True, eq=False)
class Channels:
    """One bank at one sampling rate; arrays have one value per channel, centres ascending.

    The first section of a channel is `(first[0] + first[1] / z) / D(z)`, the other three `(1 - zero / z) / D(z)` with
    `D(z) = 1 + pole[0] / z + pole[1] / z**2`; the high-pass is `high_gain (1 - 1 / z)**2 / (1 + high_pole[0] / z +
    high_pole[1] / z**2)`, in the channels from number `first_high` on.
    """

    name: BankName
    sample_rate: float
    centres: Array
    """Centre frequencies in Hz, shape (channels,), all below half the sampling rate."""
    widths: Array
    """b in Hz: the normal equivalent rectangular bandwidth times the broadening."""
    advances: npt.NDArray[np.int64]
    """How many samples a channel is advanced in time."""
    first: Array
    """Shape (2, channels)."""
    zero: Array
    pole: Array
    """Shape (2, channels)."""
    first_high: int
    high_gain: Array
    high_pole: Array
    """Shape (2, channels)."""

    def __len__(self) -> int:
        return len(self.centres)

    @property
    def tail(self) -> int:
        """Samples after which the response of every channel is below 1e-12 of its largest value."""
        return math.ceil(42.0 / (2 * math.pi * float(self.widths.min())) * self.sample_rate)

    @property
    def reach(self) -> int:
        """Samples that the equaliser reaches to either side."""
        return math.ceil(_REACH * self.sample_rate)

    @property
    def hop(self) -> int:
        """Samples from one value of the envelope to the next."""
        return max(1, round(self.sample_rate / _ENVELOPE_RATE))


@lru_cache(maxsize=32)
def channels(name: BankName, sample_rate: float) -> Channels:
    """A bank of the Cambridge simulation.

    Parameters
    ----------
    name : {"mild", "moderate", "severe"}
        The hearing loss that it was made for: 36 channels 1.5 times as wide as normal auditory filters, 28 channels
        twice as wide, or 19 channels three times as wide; fewer where the sampling rate ends below their centres.
    sample_rate : float
        Sampling rate in Hz.

    Examples
    --------
    >>> len(channels("mild", 44_100)), len(channels("mild", 16_000))
    (36, 28)
    """
    if name not in TABLES:
        raise unknown_name("gammatone bank", name, get_args(BankName))
    table = TABLES[name]
    below = np.asarray(table.centres) < sample_rate / 2
    below[0] = True  # at any rate there is a channel
    centres = np.asarray(table.centres)[below]
    widths = table.broadening * erb_bandwidth(centres)
    exact = np.asarray(table.advances)[below] * (sample_rate / _TABLE_RATE)
    advances = np.rint(exact).astype(np.int64)

    radius, angle = np.exp(-2 * np.pi * widths / sample_rate), 2 * np.pi * centres / sample_rate
    turn = angle * (exact - advances)  # what the advance lacks in samples, in radians of the carrier
    zero = radius * np.cos(angle)
    pole = np.stack([-2 * zero, np.square(radius)])
    first = np.stack([np.cos(turn), -radius * np.cos(angle - turn)])

    without = len(table.centres) - len(table.high_pass)
    corners = np.asarray(table.high_pass)[: max(0, len(centres) - without)]
    first_high = len(centres) - len(corners)
    high_gain, high_pole = np.ones(len(centres)), np.zeros((2, len(centres)))
    # Bessel: s^2 / (s^2 + sqrt(3) s + 1), s in units of sqrt(3) times the corner, by the bilinear transform
    k = math.sqrt(3.0) * np.tan(np.pi * corners / sample_rate)
    scale = 1 + math.sqrt(3.0) * k + np.square(k)
    high_pole[:, first_high:] = (
        2 * (np.square(k) - 1) / scale,
        (1 - math.sqrt(3.0) * k + np.square(k)) / scale,
    )
    made = Channels(
        name, float(sample_rate), centres, widths, advances, first, zero, pole, first_high, high_gain, high_pole
    )
    # a gain of 1 at the centre, of the gammatone and of the high-pass each
    at_centre = np.exp(-1j * angle)
    high_gain[first_high:] = 1 / np.abs(_high_pass(made, at_centre)[first_high:])
    first /= np.abs(_gammatone(made, at_centre))
    return made


def responses(bank: Channels, frequencies: npt.ArrayLike) -> npt.NDArray[np.complex128]:
    """Complex response of every channel, its advance included.

    Parameters
    ----------
    bank : Channels
        The bank.
    frequencies : array_like, shape (frequencies,)
        Frequencies in Hz, 0 to half the sampling rate.

    Returns
    -------
    ndarray of complex128, shape (channels, frequencies)
    """
    omega = 2 * np.pi * np.asarray(frequencies, dtype=np.float64)[:, None] / bank.sample_rate
    delay = np.exp(-1j * omega)
    response = _gammatone(bank, delay) * _high_pass(bank, delay) * np.exp(1j * omega * bank.advances)
    return np.ascontiguousarray(response.T)


def composite(bank: Channels, frequencies: npt.ArrayLike) -> npt.NDArray[np.complex128]:
    """Response of the sum of all channels, with the gain that brings it near 1; shape of `frequencies`."""
    gain = 10 ** (-TABLES[bank.name].sum_db / 20)
    result: npt.NDArray[np.complex128] = gain * responses(bank, frequencies).sum(axis=0)
    return result


@lru_cache(maxsize=32)
def equaliser(bank: Channels, flat: bool) -> Array:
    """Impulse response of the filter behind the bank that makes the sum of its channels have no delay.

    Parameters
    ----------
    bank : Channels
        The bank.
    flat : bool
        Whether the sum shall be flat, too: within 0.2 dB from 20 Hz to the Nyquist frequency or 22 kHz. Otherwise it
        keeps the magnitude that it has in the published simulation at 44.1 kHz, 1 within 3 dB from 80 Hz to 17 kHz.

    Returns
    -------
    ndarray of float64, shape (2 * bank.reach + 1,)
        Time 0 in the middle.
    """
    half = 1 << (4 * bank.reach).bit_length()
    frequencies = np.arange(half + 1) * (bank.sample_rate / (2 * half))
    found = composite(bank, frequencies)
    magnitude = np.abs(found)
    wanted = np.ones(half + 1)
    if not flat:
        table = channels(bank.name, _TABLE_RATE)
        wanted = np.abs(composite(table, np.minimum(frequencies, _TABLE_RATE / 2)))
        wanted[frequencies > _TABLE_RATE / 2] = 0
    gain = 10 ** (-TABLES[bank.name].sum_db / 20) * wanted / np.maximum(magnitude, _LOWEST_SUM)
    kernel = np.fft.irfft(gain * np.conj(found) / np.maximum(magnitude, 1e-12))
    reach = bank.reach
    kernel = np.concatenate([kernel[-reach:], kernel[: reach + 1]])
    # a window over the last quarter on either side: cutting the last traces hard would add a ripple of its own
    edge = np.minimum(1.0, 4 * (1 - np.abs(np.arange(-reach, reach + 1)) / (reach + 1)))
    return kernel * np.square(np.sin(np.pi / 2 * edge))


def _gammatone(bank: Channels, delay: Array) -> Array:
    """Response at `delay` = 1 / z, shape (channels,) or (frequencies, channels)."""
    denominator = 1 + delay * (bank.pole[0] + bank.pole[1] * delay)
    result: Array = (
        (bank.first[0] + bank.first[1] * delay) * (1 - bank.zero * delay) ** (ORDER - 1) / denominator**ORDER
    )
    return result


def _high_pass(bank: Channels, delay: Array) -> Array:
    response = bank.high_gain * (1 - delay) ** 2 / (1 + delay * (bank.high_pole[0] + bank.high_pole[1] * delay))
    result: Array = np.where(np.arange(len(bank)) >= bank.first_high, response, 1.0)
    return result
