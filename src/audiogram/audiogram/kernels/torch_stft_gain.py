"""Gains per frequency on torch tensors: one batched, differentiable pass on any device.

`torch.istft` refuses inputs that `stft_gain` allows and cannot share one forward transform among several gains, so
frames are cut and added here; overlap-add is shifted additions, without atomics, hence reproducible on a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from audiogram.kernels.layout import frames_per_row

__all__ = ["stft_gains"]


def stft_gains(x: torch.Tensor, gains: Sequence[torch.Tensor], n_fft: int, hop: int) -> torch.Tensor:
    """Filter rows by gains per STFT bin, several sets of gains from one forward transform.

    Parameters
    ----------
    x : Tensor of float32 or float64, shape (rows, samples)
        Sound; zero padding of half a window at both ends is implied.
    gains : sequence of Tensor, each of shape (rows or 1, n_fft // 2 + 1)
        Linear gains, real, on the device of `x`.
    n_fft, hop : int
        Window and hop in samples, hop at most half a window.

    Returns
    -------
    Tensor, shape (sets, rows, samples)
        As `audiogram.kernels.stft_gain.stft_gains`; differentiable in `x` and `gains`.
    """
    samples = x.shape[-1]
    half, per_row = n_fft // 2, frames_per_row(samples, n_fft, hop)
    # forward in float64, as `audiogram.kernels.stft_gain` says why, on devices that have it
    forward = x.dtype if x.device.type == "mps" else torch.float64
    window = torch.hann_window(n_fft, periodic=True, dtype=forward, device=x.device)
    length = (per_row - 1) * hop + n_fft
    padded = torch.nn.functional.pad(x.to(forward), (half, max(0, length - half - samples)))[:, :length]
    spectrum = torch.fft.rfft(padded.unfold(-1, n_fft, hop) * window)
    window = window.to(x.dtype)
    added = []
    for one in gains:  # one set at a time: what lies between the transforms is many times the sound
        shaped = (spectrum * one.unsqueeze(-2)).to(x.dtype.to_complex())
        added.append(_overlap_add(torch.fft.irfft(shaped, n=n_fft) * window, hop)[..., half : half + samples])
    squares = _overlap_add(window.square().expand(per_row, n_fft), hop)
    # cut first: the first sample of the padding has a window sum of 0
    return torch.stack(added) / squares[half : half + samples]


def _overlap_add(frames: torch.Tensor, hop: int) -> torch.Tensor:
    """(..., frames, size) to (..., at least (frames - 1) * hop + size), frame k starting at k * hop."""
    per_row, size = frames.shape[-2:]
    shifts = -(-size // hop)
    frames = torch.nn.functional.pad(frames, (0, shifts * hop - size))
    pieces = frames.reshape(*frames.shape[:-1], shifts, hop)
    total = frames.new_zeros((*frames.shape[:-2], per_row + shifts - 1, hop))
    for k in range(shifts):
        total[..., k : k + per_row, :] += pieces[..., k, :]
    return total.flatten(-2)
