"""Level-dependent gains in the channels of a gammatone bank, on torch tensors: differentiable, on any device.

The same numbers as `gammatone_gain`, by transforms of whole clips instead of recursions, which have no parallel form
that a GPU likes. Channels go a few at a time, as many as memory allows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.fft
import torch

from audiogram.kernels.gammatone import ORDER, Channels
from audiogram.kernels.gammatone_gain import FLOOR
from audiogram.kernels.gammatone_smoothing import layout, smoother, smoothing
from audiogram.kernels.zero_phase import convolve_tensor

__all__ = ["expand"]

_AT_ONCE = 1 << 24  # samples of channels that are worked on at once: 128 MB in float64


def expand(
    rows: torch.Tensor,
    exponents: torch.Tensor,
    catch_up: torch.Tensor,
    bank: Channels,
    kernel: npt.NDArray[np.float64],
) -> torch.Tensor:
    """Filter rows with gains `min(1, envelope / catch_up) ** exponent` in every channel.

    Parameters
    ----------
    rows : Tensor, shape (rows, samples)
        Sound.
    exponents, catch_up : Tensor, shape (1 or rows, channels)
        As for `audiogram.kernels.gammatone_gain.Expansion`, on the device of `rows`, in the precision to compute in.
    bank : Channels
        The channels.
    kernel : ndarray of float64, shape (odd,)
        Filter behind the sum of the channels, time 0 in its middle: `equaliser` of the bank, or that and what follows.

    Returns
    -------
    Tensor, shape (rows, samples)
        Dtype of `rows`; differentiable in all three. No delay.
    """
    samples, hop = rows.shape[1], bank.hop
    sizes = layout(bank, samples, len(kernel) // 2)
    kept = sizes.frames * hop
    dtype, device = exponents.dtype, rows.device
    n = scipy.fft.next_fast_len(kept + bank.tail, real=True)
    spectrum = torch.fft.rfft(rows.to(dtype), n).unsqueeze(1)
    # zeros before the clip for the advances: a delay by the largest, together with the advances in `_responses`
    delay = torch.polar(
        torch.ones((), dtype=dtype, device=device),
        torch.arange(n // 2 + 1, dtype=dtype, device=device) * (-2 * torch.pi / n),
    )
    rising = torch.arange(hop, dtype=dtype, device=device) / hop
    triangle = torch.stack([1 - rising, rising], dim=-1) / hop
    # past the slowest smoothing filter's response the transform may wrap around
    envelopes = scipy.fft.next_fast_len(sizes.frames + 1 + smoother(bank).ahead(42.0), real=True)
    smooth = torch.as_tensor(smoothing(bank, envelopes), dtype=dtype, device=device)

    total = torch.zeros(len(rows), kept, dtype=dtype, device=device)
    step = max(1, _AT_ONCE // (len(rows) * n))
    for first in range(0, len(bank), step):
        some = slice(first, first + step)
        filtered = spectrum * _responses(bank, some, sizes.lead, delay)
        z = torch.fft.irfft(filtered, n)[..., :kept].unflatten(-1, (sizes.frames, hop))
        parts = z.abs() @ triangle
        envelope = torch.nn.functional.pad(parts[..., 0], (0, 1)) + torch.nn.functional.pad(parts[..., 1], (1, 0))
        envelope = torch.fft.irfft(torch.fft.rfft(envelope, envelopes) * smooth[some], envelopes)
        envelope = envelope[..., : sizes.frames + 1]
        relative = (envelope / catch_up[:, some, None]).clamp(FLOOR, 1.0)
        gains = torch.exp(exponents[:, some, None] * torch.log(relative))
        total = total + (_between(gains, rising) * z).flatten(-2).sum(dim=1)
    return convolve_tensor(total, kernel)[:, sizes.lead : sizes.lead + samples].to(rows.dtype)


def _between(gains: torch.Tensor, rising: torch.Tensor) -> torch.Tensor:
    """Gains (..., frames + 1) at every sample, (..., frames, hop), by the splines of `gammatone_gain`."""
    first, last = gains[..., :1], gains[..., -1:]
    held = torch.cat([first, first, gains, last, last], dim=-1)
    knots = held[..., 1:-1] * (4 / 3) - (held[..., :-2] + held[..., 2:]) / 6
    k0, k1, k2, k3 = (knots[..., i : i + gains.shape[-1] - 1, None] for i in range(4))
    cubic = (k3 - k0) / 6 + (k1 - k2) / 2
    return (k0 + 4 * k1 + k2) / 6 + rising * ((k2 - k0) / 2 + rising * ((k0 - 2 * k1 + k2) / 2 + rising * cubic))


def _responses(bank: Channels, some: slice, lead: int, delay: torch.Tensor) -> torch.Tensor:
    """Responses of some channels, late by `lead` samples; `delay` is 1 / z at the transform's frequencies."""

    def column(values: object) -> torch.Tensor:
        return torch.as_tensor(values, device=delay.device).to(delay.real.dtype)[some, None]

    pole, high_pole, first = bank.pole, bank.high_pole, bank.first
    below = 1 + delay * (column(pole[0]) + column(pole[1]) * delay)
    response = (
        (column(first[0]) + column(first[1]) * delay) / below * ((1 - column(bank.zero) * delay) / below) ** (ORDER - 1)
    )
    high = (
        column(bank.high_gain) * (1 - delay) ** 2 / (1 + delay * (column(high_pole[0]) + column(high_pole[1]) * delay))
    )
    passes = torch.arange(len(bank), device=delay.device)[some, None] < bank.first_high
    turned = torch.angle(delay) * column(lead - bank.advances)
    turn = torch.polar(torch.ones_like(turned), turned)
    return response * torch.where(passes, torch.ones_like(high), high) * turn
