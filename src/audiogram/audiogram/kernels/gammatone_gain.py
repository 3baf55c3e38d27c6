"""Level-dependent gains in the channels of a gammatone bank, on NumPy arrays.

The recursions are own Numba loops (`gammatone_loops`): `scipy.signal.sosfilt` takes one channel and section at a time,
and transforms long enough for a whole clip cost ten times as much per channel as the four sections of a gammatone.
Channels are kept until their envelopes are smoothed, which takes sound a tenth of a second ahead: a few blocks of
frames, taking turns in memory that mostly stays in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from audiogram.kernels.gammatone import Channels
from audiogram.kernels.gammatone_loops import WIDTH, channel_envelopes, expanded_sums, smooth, workspace
from audiogram.kernels.gammatone_smoothing import layout, smoother
from audiogram.kernels.threads import in_row_blocks
from audiogram.kernels.zero_phase import convolve

__all__ = ["FLOOR", "Expansion", "expand"]

Array = npt.NDArray[Any]

FLOOR = 1e-10
"""The smallest envelope re the catch-up amplitude that gains are made from: 200 dB below it all is lost."""

_BLOCK = 128  # frames at once


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
    rows: Array, rules: Sequence[Expansion], ears: Sequence[npt.NDArray[np.int64]], bank: Channels, kernel: Array
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
    kernel : ndarray of float64, shape (odd,)
        Filter behind the sum of the channels, time 0 in its middle: `equaliser` of the bank, or that and what follows.

    Returns
    -------
    ndarray, shape (rules, rows, samples)
        Dtype of `rows`; recursions computed in float64, rows in as many threads as `set_threads` says. No delay.
    """
    out = np.empty((len(rules), *rows.shape), rows.dtype)

    def work(begin: int, end: int) -> None:
        some = slice(begin, end)
        _expand(rows[some], rules, [which[some] for which in ears], bank, kernel, out[:, some])

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
    samples, hop = rows.shape[1], bank.hop
    sizes, low = layout(bank, samples, len(kernel) // 2), smoother(bank)
    # what rings from further ahead is below the precision of the sound
    ahead = low.ahead(16.0 if rows.dtype == np.float32 else 32.0)
    blocks, waiting = -(-sizes.frames // _BLOCK), -(-ahead // _BLOCK)
    advances = bank.advances.astype(np.uint64)
    recursion = np.stack([low.pole.real, low.pole.imag, low.weight.real, low.weight.imag, low.direct])
    x = np.zeros(sizes.frames * hop + sizes.lead)
    kept = np.zeros((min(blocks, waiting + 2), _BLOCK, hop + -hop % 4, WIDTH), rows.dtype)  # in steps of four samples
    envelopes = np.empty((sizes.frames + 1, len(bank)))
    level = np.empty((_BLOCK + 1, len(bank)))
    gains = np.empty((len(rules), sizes.frames + 5, len(bank)))  # and two held at either end
    sums = np.empty((len(rules), sizes.frames * hop), rows.dtype)
    for i, row in enumerate(rows):
        x[sizes.lead : sizes.lead + samples] = row
        room, before, state = workspace(bank), np.zeros(WIDTH, rows.dtype), np.zeros((2, len(bank)))
        for block in range(blocks + waiting + 1):
            first = block * _BLOCK
            if block < blocks:
                z = kept[block % len(kept)][: sizes.frames - first]
                target = envelopes[first : first + len(z) + 1]
                channel_envelopes(x[first * hop :], advances, room, before, bank.first_high, hop, z, target)
            first -= waiting * _BLOCK
            if 0 <= first < sizes.frames:
                last = first + _BLOCK >= sizes.frames
                part = level[: sizes.frames - first + 1 if last else _BLOCK]
                smooth(envelopes, first, ahead, recursion, state, part)
                for rule, which, gain in zip(rules, ears, gains, strict=True):
                    target = gain[first + 2 : first + 2 + len(part)]
                    _gains(part, rule.exponents[which[i]], rule.catch_up[which[i]], target)
                if first == 0:
                    gains[:, :2] = gains[:, 2:3]
                if last:
                    gains[:, -2:] = gains[:, -3:-2]
            first -= _BLOCK
            if first >= 0:
                z = kept[first // _BLOCK % len(kept)][: sizes.frames - first]
                expanded_sums(z, hop, _knots(gains[:, first : first + len(z) + 5]), sums[:, first * hop :])
        out[:, i] = convolve(sums, kernel, sizes.lead, samples)


def _gains(envelopes: Array, exponents: Array, catch_up: Array, out: Array) -> None:
    """Gains of envelopes (frames + 1, channels) into `out`."""
    np.divide(envelopes, catch_up, out=out)
    np.clip(out, FLOOR, 1.0, out=out)
    np.log(out, out=out)  # the power by logarithm and exponential, which NumPy computes for several values at once
    out *= exponents
    np.exp(out, out=out)


def _knots(gains: Array) -> Array:
    """Knots (sets, frames - 2, channels) of cubic splines that pass gains (sets, frames, channels), nearly.

    Exactly for gains that are cubic over four of them.
    """
    knots: Array = gains[:, 1:-1] * (4 / 3)
    knots -= (gains[:, :-2] + gains[:, 2:]) / 6
    return knots
