"""The three conditions as a script would make them with librosa: the reference for speed and for numbers.

One STFT, magnitude and phase, mask, inverse and peak normalisation per condition, written as plainly as it was when
the study's results were made.
"""

from __future__ import annotations

import librosa
import numpy as np
import numpy.typing as npt

FREQUENCIES = (125, 250, 500, 1000, 2000, 4000, 8000)
THRESHOLDS = {
    "normal": (10, 10, 10, 10, 10, 10, 10),
    "lfloss": (100, 85, 70, 55, 40, 25, 10),
    "hfloss": (10, 25, 40, 55, 70, 85, 100),
}


def hear(x: npt.NDArray[np.floating], sample_rate: int, name: str) -> npt.NDArray[np.floating]:
    """Clip `x` (samples,) under the condition `name`, in the precision of `x`."""
    stft = librosa.stft(x, n_fft=2048, hop_length=512, window="hann", center=True, pad_mode="constant")
    magnitude, phase = np.abs(stft), np.angle(stft)
    bins = librosa.fft_frequencies(sr=sample_rate, n_fft=2048)
    loss = np.interp(bins, FREQUENCIES, THRESHOLDS[name])
    mask = (10 ** (-loss / 20)).astype(x.dtype)
    masked = magnitude * mask[:, None] * np.exp(1j * phase)
    y = librosa.istft(masked, hop_length=512, window="hann", center=True, length=len(x))
    return y / np.max(np.abs(y))


def hear_all(x: npt.NDArray[np.floating], sample_rate: int) -> list[npt.NDArray[np.floating]]:
    """All three conditions, one after the other."""
    return [hear(x, sample_rate, name) for name in THRESHOLDS]
