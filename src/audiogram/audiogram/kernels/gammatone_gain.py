"""Level-dependent gains in the channels of a gammatone bank, on NumPy arrays.

The recursions are own Numba loops (`gammatone_loops`): `scipy.signal.sosfilt` takes one channel and section at a time,
and transforms long enough for a whole clip cost ten times as much per channel as the four sections of a gammatone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

from audiogram.kernels.gammatone import Channels, equaliser, layout, smoothing
from audiogram.kernels.gammatone_loops import channel_envelopes, expanded_sums, workspace
from audiogram.kernels.threads import in_row_blocks

__all__ = ["FLOOR", "Expansion", "expand"]

Array = npt.NDArray[Any]

FLOOR = 1e-10
"""The smallest envelope re the catch-up amplitude that gains are made from: 200 dB below it all is lost."""


@dataclass(frozen=True, eq=False)
class Expansion:
    """A rule for gains: `min(1, envelope / catch_up) ** exponent`, in every channel of a bank.

    Parameters
    ----------
    exponents : ndarray of float64, shape (ears, channels)
        0 or more. 0 changes nothing; 1 adds 1 dB of loss for every dB below the catch-up amplitude.
    catch_up : ndarray of float64, shape (ears, channels)
        Envelope above which the gain is 1, above 0, in units of the sound.
    """

    exponents: Array
    catch_up: Array


def expand(
    rows: Array, rules: Sequence[Expansion], ears: Sequence[npt.NDArray[np.int64]], bank: Channels, flat: bool
) -> Array:
    """Filter rows with level-dependent gains, several rules on the same channels.

    Parameters
    ----------
    rows : ndarray of float32 or float64, shape (rows, samples)
        Sound.
    rules : sequence of Expansion
        The rules.
    ears : sequence of ndarray of int64, each of shape (rows,)
        Which ear of each rule each row has.
    bank : Channels
        The channels.
    flat : bool
        Whether the sum of unchanged channels is flat; otherwise it has the ripple of the published bank.

    Returns
    -------
    ndarray, shape (rules, rows, samples)
        Dtype of `rows`; computed in float64, rows in as many threads as `set_threads` says. No delay.
    """
    out = np.empty((len(rules), *rows.shape), rows.dtype)

    def work(begin: int, end: int) -> None:
        some = slice(begin, end)
        _expand(rows[some], rules, [which[some] for which in ears], bank, equaliser(bank, flat), out[:, some])

    in_row_blocks(work, len(rows))
    return out


def _expand(
    rows: Array,
    rules: Sequence[Expansion],
    ears: Sequence[npt.NDArray[np.int64]],
    bank: Channels,
    kernel: Array,
    out: Array,
) -> None:
    """`expand` in one thread, into `out` (rules, rows, samples)."""
    samples, sizes = rows.shape[1], layout(bank, rows.shape[1])
    advances, response = bank.advances.astype(np.uint64), np.ascontiguousarray(smoothing(bank, sizes.transform).T)
    x = np.zeros(sizes.frames * bank.hop + sizes.lead)
    envelopes = np.empty((sizes.frames + 1, len(bank)))
    gains = np.empty((len(rules), *envelopes.shape))
    sums = np.zeros((len(rules), bank.reach - sizes.lead + sizes.frames * bank.hop))
    for i, row in enumerate(rows):  # one by one: what a row needs is small enough for the cache
        x[sizes.lead : sizes.lead + samples] = row
        channel_envelopes(x, advances, workspace(bank), bank.first_high, bank.hop, envelopes)
        spectra = scipy.fft.rfft(envelopes, sizes.transform, axis=0)
        spectra *= response
        smooth = scipy.fft.irfft(spectra, sizes.transform, axis=0, overwrite_x=True)[: len(envelopes)]
        for rule, which, gain in zip(rules, ears, gains, strict=True):
            _gains(smooth, rule.exponents[which[i]], rule.catch_up[which[i]], gain)
        late = sums[:, bank.reach - sizes.lead :]
        expanded_sums(x, advances, workspace(bank), bank.first_high, bank.hop, _knots(gains), late)
        _equalise(sums, kernel, out[:, i])


def _gains(envelopes: Array, exponents: Array, catch_up: Array, out: Array) -> None:
    """Gains of envelopes (frames + 1, channels) into `out`."""
    np.divide(envelopes, catch_up, out=out)
    np.clip(out, FLOOR, 1.0, out=out)
    np.log(out, out=out)  # the power by logarithm and exponential, which NumPy computes for several values at once
    out *= exponents
    np.exp(out, out=out)


def _knots(gains: Array) -> Array:
    """Knots (sets, frames + 3, channels) of cubic splines that pass gains (sets, frames + 1, channels), nearly.

    Exactly for gains that are cubic over four of them; held beyond the ends.
    """
    held = np.concatenate([gains[:, :1], gains[:, :1], gains, gains[:, -1:], gains[:, -1:]], axis=1)
    knots: Array = held[:, 1:-1] * (4 / 3)
    knots -= (held[:, :-2] + held[:, 2:]) / 6
    return knots


def _equalise(sums: Array, kernel: Array, out: Array) -> None:
    """Rows (rows, reach + samples + at least reach) filtered with a kernel of `2 reach + 1` into `out` (rows, samples).

    By overlap-save: blocks stay in the cache, which transforms as long as a clip do not.
    """
    reach, samples = len(kernel) // 2, out.shape[1]
    size, spectrum = _kernel_spectrum(kernel.tobytes())
    step = size - 2 * reach
    for start in range(0, samples, step):
        block = scipy.fft.rfft(sums[:, start : start + size], size, axis=-1)
        block *= spectrum
        kept = min(step, samples - start)
        out[:, start : start + kept] = scipy.fft.irfft(block, size, axis=-1, overwrite_x=True)[:, reach : reach + kept]


@lru_cache(maxsize=16)
def _kernel_spectrum(kernel: bytes) -> tuple[int, Array]:
    """Length of a transform for blocks, and that transform of the kernel with its middle at sample 0."""
    values = np.frombuffer(kernel)
    reach = len(values) // 2
    size = 1 << (4 * reach).bit_length()
    centred = np.zeros(size)
    centred[: reach + 1], centred[size - reach :] = values[reach:], values[:reach]
    return size, scipy.fft.rfft(centred)
