"""Spectral smearing on torch tensors: one batched, differentiable pass on any device."""

from __future__ import annotations

import torch

from audiogram.kernels.smearing_frames import INAUDIBLE, OVERLAP, frame_count, window_of

__all__ = ["smear"]


def smear(x: torch.Tensor, matrix: torch.Tensor, frame: int) -> torch.Tensor:
    """Smear the spectra of rows.

    Parameters
    ----------
    x : Tensor, shape (rows, samples)
        Sound; silence before and after is implied. float64 wherever the device has it.
    matrix : Tensor, shape (frame, frame)
        As for `audiogram.kernels.smearing.smear`, in dtype and on the device of `x`.
    frame : int
        Frame length in samples, a multiple of `OVERLAP`.

    Returns
    -------
    Tensor, shape (rows, samples)
        As `audiogram.kernels.smearing.smear`; differentiable in `x`.
    """
    rows, samples = x.shape
    hop, count = frame // OVERLAP, frame_count(samples, frame)
    window = torch.as_tensor(window_of(frame), dtype=x.dtype, device=x.device)
    padded = torch.nn.functional.pad(x, (frame - hop, count * hop - samples))
    spectrum = torch.fft.rfft(padded.unfold(-1, frame, hop) * window, n=2 * frame)[..., :frame]
    power = spectrum.real.square() + spectrum.imag.square()
    power = torch.where(power > INAUDIBLE, power, 0.0)
    smeared = power @ matrix.T
    # where one of them is 0 a square root has no gradient: such bins are kept out of it, not multiplied away
    sounds = (power > 0) & (smeared > 0)
    ratio = torch.where(sounds, smeared, 1.0) / torch.where(sounds, power, 1.0)
    shaped = spectrum * torch.where(sounds, ratio.sqrt(), 0.0)
    frames = torch.fft.irfft(torch.nn.functional.pad(shaped, (0, 1)), n=2 * frame)[..., :frame] * window
    pieces = frames.reshape(rows, count, OVERLAP, hop)
    total = sum(torch.nn.functional.pad(pieces[:, :, k], (0, 0, k, OVERLAP - 1 - k)) for k in range(OVERLAP))
    assert isinstance(total, torch.Tensor)
    return total.flatten(-2)[:, frame - hop : frame - hop + samples]
