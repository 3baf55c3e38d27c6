"""Filters without phase: convolution with a short symmetric kernel, by transforms of blocks that stay in the cache."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import scipy.fft

if TYPE_CHECKING:
    import torch

__all__ = ["convolve", "convolve_tensor"]

Array = npt.NDArray[Any]
_BLOCK = 8192


def convolve(rows: Array, kernel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Filter rows with a symmetric kernel.

    Parameters
    ----------
    rows : ndarray of float32 or float64, shape (rows, samples)
        Sound; silence before and after is implied.
    kernel : ndarray of float64, shape (odd,)
        Symmetric about its middle, which is time 0.

    Returns
    -------
    ndarray of float64, shape (rows, samples)
    """
    (count, samples), reach = rows.shape, len(kernel) // 2
    size, response = _response(kernel.tobytes())
    step = size - 2 * reach
    per_row = -(-samples // step)
    out = np.empty((count, samples))
    # two blocks of one row as real and imaginary part: the response is real, so that they do not mix
    pair = np.empty(size, np.complex128)
    for row in range(count):
        for block in range(0, per_row, 2):
            pair.fill(0)
            _fill(pair.real, rows[row], block * step - reach)
            _fill(pair.imag, rows[row], (block + 1) * step - reach)
            spectrum = scipy.fft.fft(pair, overwrite_x=True)
            spectrum *= response
            both = scipy.fft.ifft(spectrum, overwrite_x=True)
            for start, part in ((block * step, both.real), ((block + 1) * step, both.imag)):
                kept = out[row, start : start + step]
                kept[:] = part[reach : reach + len(kept)]
    return out


def convolve_tensor(rows: torch.Tensor, kernel: npt.NDArray[np.float64]) -> torch.Tensor:
    """`convolve` on a tensor (rows, samples), in its precision; differentiable."""
    import torch

    samples, reach = rows.shape[-1], len(kernel) // 2
    size = scipy.fft.next_fast_len(samples + 2 * reach, real=True)
    response = torch.fft.rfft(torch.tensor(kernel, dtype=rows.dtype, device=rows.device), size)
    whole: torch.Tensor = torch.fft.irfft(torch.fft.rfft(rows, size) * response, size)
    return whole[:, reach : reach + samples]


def _fill(target: Array, row: Array, start: int) -> None:
    """Samples of a row from `start` on into `target`; what lies outside the row is left."""
    low = max(0, -start)
    part = row[start + low : max(0, start + len(target))]
    target[low : low + len(part)] = part


@lru_cache(maxsize=16)
def _response(kernel: bytes) -> tuple[int, npt.NDArray[np.float64]]:
    """Length of a transform for blocks, and the kernel's response at its bins, which is real."""
    values = np.frombuffer(kernel)
    reach = len(values) // 2
    size = max(_BLOCK, 1 << (8 * reach).bit_length())
    centred = np.zeros(size)
    centred[: reach + 1], centred[size - reach :] = values[reach:], values[:reach]
    return size, scipy.fft.fft(centred).real
