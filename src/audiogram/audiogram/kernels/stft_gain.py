"""Gains per frequency on NumPy arrays: short-time Fourier transform, gain, inverse transform.

SciPy has no batched STFT that keeps its frames in the cache; `scipy.signal.ShortTimeFFT` and librosa loop over frames
in Python. Hence the own loops in `stft_frames`. The transforms are those of `scipy.fftpack`: the same as `scipy.fft`'s,
but in place. What `scipy.fft` returns is fresh memory for every block, and faulting it in costs as much as a transform.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fftpack

from audiogram.kernels.layout import frames_per_row
from audiogram.kernels.stft_frames import apply_gain, cut_frames, end_factors, overlap_add

__all__ = ["hann", "spread", "stft_gains"]

Array = npt.NDArray[Any]
_BLOCK_VALUES = 1 << 15  # samples per block of frames: 128 kB in float32, which stays in the second-level cache
_LANES = 8  # rows that the transform works on at once, on the widest processors
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
    return window.astype(dtype), synthesis.astype(dtype), squares, steady


def stft_gains(x: Array, gains: Array, ears: npt.NDArray[np.int64], n_fft: int, hop: int, out: Sequence[Array]) -> None:
    """Filter rows by gains per STFT bin, several sets of gains from one forward transform.

    The inverse transform is by weighted overlap-add, divided by the window-square sum, cut to the input's length.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (rows, samples)
        Sound; zero padding of half a window at both ends is implied.
    gains : ndarray, shape (sets, ears, n_fft), dtype of `x`
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
    total = rows * per_row
    frames, shaped = _scratch(n_fft, dtype)
    for target in out:
        target.fill(0)
    for first in range(0, total, len(frames)):
        n = min(len(frames), total - first)
        whole = min(len(frames), -(-n // _LANES) * _LANES)  # the transform takes whole groups of rows faster
        cut_frames(x, window, hop, per_row, first, frames[:n])
        frames[n:whole] = 0
        spectrum = scipy.fftpack.rfft(frames[:whole], axis=-1, overwrite_x=True)
        for one, target in zip(gains, out, strict=True):
            apply_gain(spectrum, one, ears, per_row, first, n, shaped)
            shaped[n:whole] = 0
            back = scipy.fftpack.irfft(shaped[:whole], axis=-1, overwrite_x=True)
            overlap_add(back[:n], synthesis, hop, per_row, first, target)
    start, end = end_factors(samples, squares, steady, hop, per_row)
    for target in out:
        target[:, : len(start)] *= start
        target[:, samples - len(end) :] *= end


def spread(gains: Array) -> Array:
    """Gains (..., n_fft // 2 + 1) as they lie in a real transform: one for 0 Hz, two for each bin, one for Nyquist."""
    return np.concatenate([gains[..., :1], np.repeat(gains[..., 1:-1], 2, axis=-1), gains[..., -1:]], axis=-1)


def _scratch(n_fft: int, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Room for a block of frames and of spectra, kept per thread."""
    kept = _kept.__dict__.get("scratch")
    if kept is None or kept[0] != (n_fft, dtype):
        size = max(1, _BLOCK_VALUES // n_fft)
        kept = ((n_fft, dtype), np.empty((size, n_fft), dtype), np.empty((size, n_fft), dtype))
        _kept.scratch = kept
    return kept[1], kept[2]
