"""The time-invariant filter nearest to a gain per STFT bin, as a kernel without phase, for NumPy and torch.

A gain per bin convolves each windowed frame circularly with g, the gains' inverse transform. Averaged over where in a
frame a sample lies, a sample thus hears another at a distance of t samples with g[t mod n_fft] times the
autocorrelation of the window at t. That kernel, of 2 n_fft - 1 samples, is what this module convolves with.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import scipy.fft

from audiogram.kernels.stft_gain import hann
from audiogram.kernels.zero_phase import convolve

if TYPE_CHECKING:
    import torch

__all__ = ["filter_rows_by_fir", "filter_tensor_by_fir", "mask_kernel"]

Array = npt.NDArray[Any]


@lru_cache(maxsize=8)
def _weights(n_fft: int) -> npt.NDArray[np.float64]:
    """Autocorrelation of the window, 1 at 0, at -(n_fft - 1) to n_fft - 1 samples."""
    window = hann(n_fft)
    whole = scipy.fft.irfft(np.square(np.abs(scipy.fft.rfft(window, 2 * n_fft))))
    half = whole[:n_fft] / whole[0]
    return np.concatenate([half[:0:-1], half])


def mask_kernel(gains: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Kernel of gains per bin.

    Parameters
    ----------
    gains : ndarray of float64, shape (ears, n_fft // 2 + 1)
        Linear gains.

    Returns
    -------
    ndarray of float64, shape (ears, 2 * n_fft - 1)
        Symmetric about its middle, which is time 0.

    Examples
    --------
    >>> mask_kernel(np.full((1, 3), 0.5)).round(12).tolist()
    [[0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0]]
    """
    circular = scipy.fft.irfft(gains, axis=-1)
    kernel: npt.NDArray[np.float64] = np.concatenate([circular[..., 1:], circular], axis=-1)
    return kernel * _weights(circular.shape[-1])


def filter_rows_by_fir(x: Array, kernels: npt.NDArray[np.float64], ears: npt.NDArray[np.int64], out: Array) -> None:
    """Convolve every row of `x` (rows, samples) with the kernel of its ear, into `out`."""
    for ear in np.unique(ears):
        rows = ears == ear
        out[rows] = convolve(x[rows], kernels[ear])


def filter_tensor_by_fir(x: torch.Tensor, gains: torch.Tensor) -> torch.Tensor:
    """Convolve rows with the kernels of gains, differentiable in both.

    Parameters
    ----------
    x : Tensor of float32 or float64, shape (rows, samples)
        Sound.
    gains : Tensor, shape (1 or rows, n_fft // 2 + 1)
        Linear gains per bin, real, in double precision where the device has it: rounding in the transform must not be
        heard where the strongest part of the sound is attenuated most.

    Returns
    -------
    Tensor, shape (rows, samples)
        In the precision of `x`.
    """
    import torch

    circular = torch.fft.irfft(gains)
    reach, samples = circular.shape[-1] - 1, x.shape[-1]
    weights = torch.as_tensor(_weights(reach + 1), dtype=gains.dtype, device=gains.device)
    kernel = torch.cat([circular[..., 1:], circular], dim=-1) * weights
    size = scipy.fft.next_fast_len(samples + 2 * reach, real=True)
    whole: torch.Tensor = torch.fft.irfft(torch.fft.rfft(x.to(gains.dtype), size) * torch.fft.rfft(kernel, size), size)
    return whole[:, reach : reach + samples].to(x.dtype)
