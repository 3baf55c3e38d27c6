"""`dead_region`: what falls where the cochlea is dead is not heard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.fft

from audiogram import Audiogram
from audiogram.errors import InputError
from audiogram.filters.protocol import as_ears, check_sample_rate, check_sound, is_tensor, row_ears

_TRANSITION_DB = 10.0


class DeadRegion:
    """Remove the frequencies at which the loss is so great that the cochlea is probably dead there.

    Thresholds of 70 dB HL and more often mean that the inner hair cells there no longer work [1]_. What such a region
    would have heard is removed; the rest passes unchanged, to be heard by another filter if it should.

    Parameters
    ----------
    audiogram : Audiogram or sequence of Audiogram
        The ear; or one ear per row of the input's first axis.
    sample_rate : float
        Sampling rate in Hz.
    limit : float, default 70
        Threshold in dB HL up to which everything is heard; from 10 dB above it, nothing is. Between 0 and 120.

    References
    ----------
    .. [1] Vinay and B. C. J. Moore, "Prevalence of dead regions in subjects with sensorineural hearing loss", Ear and
       Hearing 28, 231-241, 2007.
    """

    linear = True
    level_dependent = False
    adds_noise = False

    def __init__(self, audiogram: Audiogram | Sequence[Audiogram], *, sample_rate: float, limit: float = 70.0) -> None:
        self.ears = as_ears(audiogram)
        self.sample_rate = check_sample_rate(sample_rate)
        self.check_options(limit=limit)
        self.limit = limit
        self._given = None if isinstance(audiogram, Audiogram) else len(self.ears)

    @classmethod
    def check_options(cls, *, limit: float = 70.0) -> None:
        """Raise `InputError` for a limit out of range."""
        if not 0 <= limit <= 120:
            raise InputError(f"limit is a threshold between 0 and 120 dB HL, got {limit!r}.")

    def gains(self, frequencies: Any) -> Any:
        """Gain of each ear at frequencies in Hz, shape (ears, frequencies)."""
        thresholds = np.stack([ear.at(frequencies) for ear in self.ears])
        return np.clip((self.limit + _TRANSITION_DB - thresholds) / _TRANSITION_DB, 0.0, 1.0)

    def __call__(self, x: Any) -> Any:
        """Filter `x` (..., samples), an array or a tensor; same shape, dtype and device."""
        check_sound(x)
        ears, samples = row_ears(x, self._given), x.shape[-1]
        # twice the length: nothing comes round from the end to the beginning
        size = scipy.fft.next_fast_len(2 * samples, real=True)
        gains = self.gains(scipy.fft.rfftfreq(size, 1 / self.sample_rate))[ears]
        rows = x.reshape(len(ears), samples)
        if is_tensor(x):
            import torch

            heard = torch.fft.irfft(torch.fft.rfft(rows, size) * torch.as_tensor(gains, device=x.device), size)
            return heard[:, :samples].reshape(x.shape).to(x.dtype)
        heard = scipy.fft.irfft(scipy.fft.rfft(rows, size) * gains, size)
        return heard[:, :samples].reshape(x.shape).astype(x.dtype)
