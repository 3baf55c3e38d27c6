"""Gains per frequency on NumPy arrays: short-time Fourier transform, gain, inverse transform.

SciPy has no batched STFT that keeps its frames in the cache; `scipy.signal.ShortTimeFFT` and librosa loop over frames
in Python. Hence the own loops in `stft_frames`. The transforms run in place: what they would otherwise return is fresh
memory for every block, and faulting it in can cost as much as a transform.

The forward transform is in double precision whatever the sound: single precision rounds every bin to 1e-7 of the
strongest, and where the strongest is attenuated by 100 dB and the rest normalised up, that comes out at 2e-5 of full
scale on speech. After the gains float32 suffices.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

from audiogram.kernels.layout import frames_per_row
from audiogram.kernels.stft_frames import apply_gain, cut_pairs, end_factors, overlap_add_pairs

__all__ = ["hann", "spread", "stft_gains"]

Array = npt.NDArray[Any]
_BLOCK_VALUES = 1 << 14  # complex values per block: 256 kB in complex128, which stays in the second-level cache
_LANES = 4  # rows that the transform works on at once
_kept = threading.local()


@lru_cache(maxsize=16)
def hann(n_fft: int) -> npt.NDArray[np.float64]:
    """Periodic Hann window of `n_fft` samples."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)


@lru_cache(maxsize=16)
def _windows(n_fft: int, hop: int, dtype: np.dtype[Any]) -> tuple[Array, Array, Array, Array]:
    """Analysis window, synthesis window divided by the steady window-square sum, squared window, that sum."""
    window = hann(n_fft)
    squares = np.square(window)
    steady = np.zeros(hop)
    np.add.at(steady, np.arange(n_fft) % hop, squares)
    synthesis = window / steady[np.arange(n_fft) % hop]
    return window, synthesis.astype(dtype), squares, steady


def stft_gains(x: Array, gains: Array, ears: npt.NDArray[np.int64], n_fft: int, hop: int, out: Sequence[Array]) -> None:
    """Filter rows by gains per STFT bin, several sets of gains from one forward transform.

    The inverse transform is by weighted overlap-add, divided by the window-square sum, cut to the input's length.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (rows, samples)
        Sound; zero padding of half a window at both ends is implied.
    gains : ndarray of float64, shape (sets, ears, n_fft)
        Linear gains as `spread` lays them out.
    ears : ndarray of int64, shape (rows,)
        Which ear of `gains` each row has.
    n_fft, hop : int
        Window and hop in samples, hop at most half a window.
    out : sequence of ndarray, each of the shape and dtype of `x`
        Where the result of each set of gains is written.
    """
    rows, samples = x.shape
    dtype = x.dtype
    window, synthesis, squares, steady = _windows(n_fft, hop, dtype)
    per_row = frames_per_row(samples, n_fft, hop)
    total = rows * ((per_row + 1) // 2)
    pairs, shaped = _scratch(n_fft, dtype)
    for target in out:
        target.fill(0)
    for first in range(0, total, len(pairs)):
        n = min(len(pairs), total - first)
        whole = min(len(pairs), -(-n // _LANES) * _LANES)  # the transform takes whole groups of rows faster
        cut_pairs(x, window, hop, per_row, first, n, pairs)
        pairs[n:whole] = 0
        spectra = scipy.fft.fft(pairs[:whole], axis=-1, overwrite_x=True)
        for one, target in zip(gains, out, strict=True):
            apply_gain(spectra, one, ears, per_row, first, n, shaped)
            shaped[n:whole] = 0
            back = scipy.fft.ifft(shaped[:whole], axis=-1, overwrite_x=True)
            overlap_add_pairs(back, synthesis, hop, per_row, first, n, target)
    start, end = end_factors(samples, squares, steady, hop, per_row)
    for target in out:
        target[:, : len(start)] *= start
        target[:, samples - len(end) :] *= end


def spread(gains: Array) -> Array:
    """Gains (..., n_fft // 2 + 1) at positive frequencies as they lie in a complex transform (..., n_fft)."""
    return np.concatenate([gains, gains[..., -2:0:-1]], axis=-1)


def _scratch(n_fft: int, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Room for a block of pairs of frames, in double precision, and after the gains; kept per thread."""
    kept = _kept.__dict__.get("scratch")
    if kept is None or kept[0] != (n_fft, dtype):
        shape = (max(1, _BLOCK_VALUES // n_fft), n_fft)
        narrow = np.complex64 if dtype == np.float32 else np.complex128
        kept = ((n_fft, dtype), np.empty(shape, np.complex128), np.empty(shape, narrow))
        _kept.scratch = kept
    return kept[1], kept[2]
