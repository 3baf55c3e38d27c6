"""Convolution with a short kernel whose middle is time 0, by transforms of blocks that stay in the cache."""

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
_AT_ONCE = 4  # blocks


def convolve(
    rows: Array, kernel: npt.NDArray[np.float64], begin: int = 0, samples: int | None = None
) -> npt.NDArray[np.float64]:
    """Filter rows.

    Parameters
    ----------
    rows : ndarray of float32 or float64, shape (rows, samples)
        Sound; silence before and after is implied.
    kernel : ndarray of float64, shape (odd,)
        Impulse response; its middle is time 0.
    begin : int, default 0
        The first sample that is wanted.
    samples : int, optional
        How many samples are wanted; by default all that follow.

    Returns
    -------
    ndarray of float64, shape (rows, samples)
    """
    reach, wanted = len(kernel) // 2, rows.shape[1] - begin if samples is None else samples
    size, response = _response(kernel.tobytes())
    step = size - 2 * reach
    blocks = -(-wanted // step)
    out = np.empty((len(rows), blocks * step))
    padded = np.zeros(blocks * step + 2 * reach)
    overlapping = np.lib.stride_tricks.sliding_window_view(padded, size)[::step]
    for row, target in zip(rows, out.reshape(len(rows), blocks, step), strict=True):
        _fill(padded, row, begin - reach)
        for first in range(0, blocks, _AT_ONCE):  # several: SciPy's transform then takes two at a time
            spectra = scipy.fft.rfft(overlapping[first : first + _AT_ONCE])
            spectra *= response
            whole = scipy.fft.irfft(spectra, size, overwrite_x=True)
            target[first : first + _AT_ONCE] = whole[:, reach : reach + step]
    return out[:, :wanted]


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
def _response(kernel: bytes) -> tuple[int, npt.NDArray[np.complex128]]:
    """Length of a transform for blocks, and that transform of the kernel with its middle at sample 0."""
    values = np.frombuffer(kernel)
    reach = len(values) // 2
    size = max(_BLOCK, 1 << (8 * reach).bit_length())
    centred = np.zeros(size)
    centred[: reach + 1], centred[size - reach :] = values[reach:], values[:reach]
    return size, scipy.fft.rfft(centred)
