"""Gains per frequency on NumPy arrays: short-time Fourier transform, gain, inverse transform.

SciPy has no batched STFT that keeps its frames in the cache; `scipy.signal.ShortTimeFFT` and librosa loop over frames
in Python. Hence the own loops: around an own transform for the window lengths in common use (`lane_gain`), around
SciPy's for all others and for sound of a few frames (`stft_frames`). Transforms run in place: what they would
otherwise return is fresh memory for every block, and faulting it in can cost as much as a transform.

The forward transform is in double precision whatever the sound: single precision rounds every bin to 1e-7 of the
strongest, and where the strongest is attenuated by 100 dB and the rest normalised up, that comes out at 2e-5 of full
scale on speech. After the gains float32 suffices.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from audiogram.kernels.lane_fft import SIZES, WIDTH, spectrum_order, twiddles
from audiogram.kernels.lane_gain import filter_rows
from audiogram.kernels.layout import frames_per_row
from audiogram.kernels.stft_frames import apply_gain, cut_pairs, end_factors, overlap_add_pairs
from audiogram.kernels.threads import in_row_blocks

__all__ = ["hann", "spread", "stft_gains"]

Array = npt.NDArray[Any]
_BLOCK_VALUES = 1 << 14  # complex values per block: 256 kB in complex128, which stays in the second-level cache
_SCIPY_LANES = 4  # rows that SciPy's transform works on at once
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


def spread(gains: Array) -> Array:
    """Gains (..., n_fft // 2 + 1) at positive frequencies as `stft_gains` takes them.

    As they lie in a complex transform (..., n_fft), SciPy's or that of `lane_fft`, with the scale of the way back.
    """
    full: Array = np.concatenate([gains, gains[..., -2:0:-1]], axis=-1)
    size = full.shape[-1]
    return np.ascontiguousarray(full[..., spectrum_order(size)] / size) if size in SIZES else full / size


def stft_gains(
    x: Array,
    gains: Array,
    ears: npt.NDArray[np.int64],
    n_fft: int,
    hop: int,
    out: Array,
    places: Sequence[int],
) -> None:
    """Filter rows by gains per STFT bin, several sets of gains from one forward transform.

    The inverse transform is by weighted overlap-add, divided by the window-square sum, cut to the input's length.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (rows, samples)
        Sound, contiguous; zero padding of half a window at both ends is implied.
    gains : ndarray of float64, shape (sets, ears, n_fft)
        Linear gains as `spread` lays them out.
    ears : ndarray of int64, shape (rows,)
        Which ear of `gains` each row has.
    n_fft, hop : int
        Window and hop in samples, hop at most half a window.
    out : ndarray of the dtype of `x`, shape (filters, rows, samples)
        Where the results are written, contiguous.
    places : sequence of int
        Which of the first axis of `out` each set of gains has.
    """
    if not len(x) or not len(places):
        return
    run = _by_lanes if n_fft in SIZES else _by_scipy
    windows = _windows(n_fft, hop, x.dtype)
    where = np.array(places)
    in_row_blocks(lambda begin, end: run(x, gains, ears, out, where, begin, end, hop, windows), len(x))


def _by_lanes(
    x: Array,
    gains: Array,
    ears: npt.NDArray[np.int64],
    out: Array,
    places: npt.NDArray[np.int64],
    begin: int,
    end: int,
    hop: int,
    windows: tuple[Array, Array, Array, Array],
) -> None:
    size, narrow = len(windows[0]), _complex(x.dtype)
    kept = _scratch(("lanes", size, x.dtype), lambda: (np.empty(size * WIDTH), np.empty(size * WIDTH, x.dtype)))
    there, back = twiddles(size, np.dtype(np.complex128)), twiddles(size, narrow)
    per_row = frames_per_row(x.shape[1], size, hop)
    filter_rows(x, gains, ears, out, places, begin, end, hop, per_row, windows, there, back, *kept)


def _by_scipy(
    x: Array,
    gains: Array,
    ears: npt.NDArray[np.int64],
    out: Array,
    places: npt.NDArray[np.int64],
    begin: int,
    end: int,
    hop: int,
    windows: tuple[Array, Array, Array, Array],
) -> None:
    import scipy.fft

    window, synthesis, squares, steady = windows
    size, samples = len(window), x.shape[1]
    shape = (max(1, _BLOCK_VALUES // size), size)
    pairs, shaped = _scratch(
        (shape, x.dtype), lambda: (np.empty(shape, np.complex128), np.empty(shape, _complex(x.dtype)))
    )
    per_row = frames_per_row(samples, size, hop)
    pairs_per_row = (per_row + 1) // 2
    out[places, begin:end] = 0
    for first in range(begin * pairs_per_row, end * pairs_per_row, len(pairs)):
        n = min(len(pairs), end * pairs_per_row - first)
        whole = min(len(pairs), -(-n // _SCIPY_LANES) * _SCIPY_LANES)  # it takes whole groups of rows faster
        cut_pairs(x, window, hop, per_row, first, n, pairs)
        pairs[n:whole] = 0
        spectra = scipy.fft.fft(pairs[:whole], axis=-1, overwrite_x=True)
        for one, place in zip(gains, places, strict=True):
            apply_gain(spectra, one, ears, per_row, first, n, shaped)
            shaped[n:whole] = 0
            back = scipy.fft.ifft(shaped[:whole], axis=-1, overwrite_x=True, norm="forward")
            overlap_add_pairs(back, synthesis, hop, per_row, first, n, out[place])
    head, tail = end_factors(samples, squares, steady, hop, per_row)
    for place in places:
        out[place, begin:end, : len(head)] *= head
        out[place, begin:end, samples - len(tail) :] *= tail


def _complex(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.complex64 if dtype == np.float32 else np.complex128)


def _scratch(key: Any, make: Callable[[], tuple[Array, Array]]) -> tuple[Array, Array]:
    """Room for a block of frames, in double precision and after the gains; the latest is kept per thread."""
    kept: tuple[Any, tuple[Array, Array]] | None = _kept.__dict__.get("scratch")
    if kept is None or kept[0] != key:
        kept = (key, make())
        _kept.scratch = kept
    return kept[1]
