"""Sounds that filters are probed with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def noise(samples: int, rate: float = 44_100.0, seed: int = 0) -> Array:
    """White noise with an RMS of about 0.05 that swells four times a second, as speech does."""
    white = np.random.default_rng(seed).standard_normal(samples)
    swell: Array = 1 + np.sin(2 * np.pi * 4 * np.arange(samples) / rate)
    return 0.04 * white * swell


def tone(frequency: float, samples: int, rate: float = 44_100.0) -> Array:
    """A steady tone with a peak of 0.05."""
    phase: Array = 2 * np.pi * frequency * np.arange(samples) / rate
    return 0.05 * np.sin(phase)


def lag_of(y: Array, x: Array) -> int:
    """By how many samples `y` is later than `x`: where their correlation is greatest."""
    size = 2 * max(len(x), len(y))
    correlation = np.fft.irfft(np.fft.rfft(y, size) * np.conj(np.fft.rfft(x, size)), size)
    lag = int(np.argmax(correlation))
    return lag - size * (lag > size // 2)
