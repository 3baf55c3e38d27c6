"""Gains per frequency on NumPy arrays: short-time Fourier transform, gain, inverse transform.

SciPy's FFT has no batched STFT that keeps its frames in cache, and `scipy.signal.ShortTimeFFT` and librosa loop over
frames in Python; hence the own loops in `stft_frames`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

from audiogram.kernels.layout import frames_per_row
from audiogram.kernels.stft_frames import apply_gain, cut_frames, divide_by_window_sum, overlap_add

__all__ = ["hann", "stft_gains"]

Array = npt.NDArray[Any]
_BLOCK_VALUES = 1 << 16  # samples per block of frames: 256 kB in float32, which stays in the second-level cache


@lru_cache(maxsize=16)
def hann(n_fft: int, dtype: np.dtype[Any]) -> Array:
    """Periodic Hann window of `n_fft` samples, read-only."""
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(dtype)
    window.flags.writeable = False
    return window


def stft_gains(x: Array, gains: Array, ears: npt.NDArray[np.int64], n_fft: int, hop: int) -> Array:
    """Filter rows by gains per STFT bin, several sets of gains from one forward transform.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (rows, samples)
        Sound; zero padding of half a window at both ends is implied.
    gains : ndarray, shape (sets, ears, n_fft // 2 + 1), dtype of `x`
        Linear gains.
    ears : ndarray of int64, shape (rows,)
        Which ear of `gains` each row has.
    n_fft, hop : int
        Window and hop in samples, hop at most half a window.

    Returns
    -------
    ndarray, shape (sets, rows, samples)
        The inverse transform by weighted overlap-add, divided by the window-square sum and cut to the input's length.
    """
    rows, samples = x.shape
    dtype = x.dtype
    window = hann(n_fft, dtype)
    per_row = frames_per_row(samples, n_fft, hop)
    total = rows * per_row
    size = min(total, max(1, _BLOCK_VALUES // n_fft))
    frames = np.empty((size, n_fft), dtype)
    shaped = np.empty((size, n_fft // 2 + 1), np.complex64 if dtype == np.float32 else np.complex128)
    out = np.zeros((gains.shape[0], rows, samples), dtype)
    for first in range(0, total, size):
        n = min(size, total - first)
        cut_frames(x, window, hop, per_row, first, frames[:n])
        spectrum = scipy.fft.rfft(frames[:n], axis=-1)
        for one, target in zip(gains, out, strict=True):
            apply_gain(spectrum, one, ears, per_row, first, shaped[:n])
            back = scipy.fft.irfft(shaped[:n], n_fft, axis=-1, overwrite_x=True)
            overlap_add(back, window, hop, per_row, first, target)
    squares = np.square(hann(n_fft, np.dtype(np.float64))).astype(dtype)
    divide_by_window_sum(out.reshape(-1, samples), squares, hop, per_row)
    return out
