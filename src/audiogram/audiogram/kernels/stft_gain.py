"""Gains per frequency on NumPy arrays: short-time Fourier transform, gain, inverse transform.

SciPy's FFT has no batched STFT that keeps its frames in cache, and `scipy.signal.ShortTimeFFT` and librosa loop over
frames in Python; hence the own loops in `stft_frames`.
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
from audiogram.kernels.stft_frames import apply_gain, cut_frames, end_factors, overlap_add

__all__ = ["hann", "stft_gains"]

Array = npt.NDArray[Any]
# Samples per block of frames: 128 kB in float32. Larger blocks leave the cache and, worse, are returned to the system
# by the allocator and faulted in again; smaller ones pay for calls.
_BLOCK_VALUES = 1 << 15
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
    gains : ndarray, shape (sets, ears, n_fft + 2), dtype of `x`
        Linear gains per bin, each twice in a row: for the real and the imaginary part.
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
    size = min(total, max(1, _BLOCK_VALUES // n_fft))
    frames, shaped = _scratch(n_fft, dtype)
    for target in out:
        target.fill(0)
    for first in range(0, total, size):
        n = min(size, total - first)
        cut_frames(x, window, hop, per_row, first, frames[:n])
        spectrum = scipy.fft.rfft(frames[:n], axis=-1).view(dtype)
        for one, target in zip(gains, out, strict=True):
            apply_gain(spectrum, one, ears, per_row, first, shaped[:n].view(dtype))
            back = scipy.fft.irfft(shaped[:n], n_fft, axis=-1, overwrite_x=True)
            overlap_add(back, synthesis, hop, per_row, first, target)
    start, end = (one.astype(dtype) for one in end_factors(samples, squares, steady, hop, per_row))
    for target in out:
        target[:, : len(start)] *= start
        target[:, samples - len(end) :] *= end


def _scratch(n_fft: int, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Room for a block of frames and of spectra, kept per thread: fresh memory costs as much as the transform."""
    kept = _kept.__dict__.get("scratch")
    if kept is None or kept[0] != (n_fft, dtype):
        size = max(1, _BLOCK_VALUES // n_fft)
        spectra = np.empty((size, n_fft // 2 + 1), np.complex64 if dtype == np.float32 else np.complex128)
        kept = ((n_fft, dtype), np.empty((size, n_fft), dtype), spectra)
        _kept.scratch = kept
    return kept[1], kept[2]
