"""Gaussian noise of a given spectrum and of any length, in NumPy and in torch.

White noise through a finite impulse response of a fixed duration: the spectrum does not depend on the length of the
clip, nothing repeats at its end, and a longer clip begins with the noise of a shorter one, so that padding a batch
changes no clip. White noise comes from the caller: one generator per clip, on the CPU, the same for every device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import scipy.fft

if TYPE_CHECKING:
    import torch

__all__ = ["bin_frequencies", "shape_arrays", "shape_tensors", "taps_at", "white_rows"]

# The response's duration: bins every 4 Hz, an eighth of the narrowest auditory filter; rounded to an even length.
_SECONDS = 0.25


def taps_at(sample_rate: float) -> int:
    """Length of the impulse response in samples, even, at least 16."""
    return max(16, 2 * round(_SECONDS * sample_rate / 2))


def bin_frequencies(sample_rate: float) -> npt.NDArray[np.float64]:
    """Frequencies in Hz at which the shaping functions take gains, shape (taps // 2 + 1,)."""
    taps = taps_at(sample_rate)
    bins: npt.NDArray[np.float64] = np.arange(taps // 2 + 1, dtype=np.float64)
    return bins * np.float64(sample_rate / taps)


def white_rows(generators: Any, samples: int, sample_rate: float) -> npt.NDArray[np.float64]:
    """White noise of variance 1 to be shaped, shape (generators, samples + taps - 1)."""
    return np.stack([one.standard_normal(samples + taps_at(sample_rate) - 1) for one in generators])


def shape_arrays(white: npt.NDArray[np.float64], gains: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give white noise a spectrum.

    Parameters
    ----------
    white : ndarray, shape (rows, samples + taps - 1)
        As `white_rows` draws it.
    gains : ndarray, shape (1 or rows, taps // 2 + 1)
        Amplitudes at `bin_frequencies`, 0 or more.

    Returns
    -------
    ndarray of float64, shape (rows, samples)
        Its power density at a frequency f, one-sided and per Hz, is gain(f)**2 * 2 / sample_rate.
    """
    taps = 2 * (gains.shape[-1] - 1)
    responses = np.roll(scipy.fft.irfft(gains, taps), taps // 2, axis=-1) * _window(taps)
    size = scipy.fft.next_fast_len(white.shape[-1], real=True)
    spectrum = scipy.fft.rfft(white, size) * scipy.fft.rfft(responses, size)
    shaped: npt.NDArray[np.float64] = scipy.fft.irfft(spectrum, size)[:, taps - 1 : white.shape[-1]]
    return shaped


def shape_tensors(white: torch.Tensor, gains: torch.Tensor) -> torch.Tensor:
    """The same in torch, differentiable in the gains."""
    import torch

    taps = 2 * (gains.shape[-1] - 1)
    window = torch.as_tensor(_window(taps), dtype=gains.dtype, device=gains.device)
    responses = torch.fft.irfft(gains, n=taps).roll(taps // 2, dims=-1) * window
    size = scipy.fft.next_fast_len(white.shape[-1], real=True)
    spectrum = torch.fft.rfft(white, n=size) * torch.fft.rfft(responses, n=size)
    shaped: torch.Tensor = torch.fft.irfft(spectrum, n=size)[:, taps - 1 : white.shape[-1]]
    return shaped


def _window(taps: int) -> npt.NDArray[np.float64]:
    """Periodic Hann window, 1 at the response's centre: keeps a loud band out of a soft one 100 dB below."""
    window: npt.NDArray[np.float64] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(taps) / taps)
    return window
