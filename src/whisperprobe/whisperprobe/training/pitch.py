"""Pitch of a voice at the same tempo and with the same formants: a phase vocoder, its envelope put back, resampling.

Written by hand: what shifts pitch in torchaudio moves the formants with it, and the libraries that keep them (Praat's,
Rubber Band) are under licences that this project cannot require. Speed already moves pitch and formants together; this
moves one against the other, so that augmented voices are not all on one line.

References
----------
.. [1] J. Laroche and M. Dolson, "Improved phase vocoder time-scale modification of audio", IEEE Transactions on Speech
   and Audio Processing 7(3), 323-332, 1999.
.. [2] A. Röbel and X. Rodet, "Efficient spectral envelope estimation and its application to pitch shifting and envelope
   preservation", DAFx 2005.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["shifted_pitch"]

_WINDOW_SECONDS = 0.032  # two periods of the lowest voices, and short against a syllable
_OVERLAP = 4
_LIFTER_SECONDS = 0.002  # structure of the spectrum finer than 500 Hz is the voice's harmonics, coarser its formants
_MOST_BOOST = 10.0  # of the envelope, as a factor: where there was no sound there is only noise to lift


def shifted_pitch(x: np.ndarray[Any, Any], semitones: float, sample_rate: int) -> np.ndarray[Any, Any]:
    """Shift the pitch of a voice, tempo and formants kept.

    Parameters
    ----------
    x : ndarray of float32, shape (samples,)
        Sound of one voice.
    semitones : float
        How far up; below 0 down. Twelve are an octave.
    sample_rate : int
        Hz.

    Returns
    -------
    ndarray of float32, shape (samples,)
        At the RMS of `x`. Shifted down by a factor, there is nothing left above half the rate times that factor.

    Examples
    --------
    >>> shifted_pitch(np.zeros(8000, np.float32), 3.0, 16_000).any()
    np.False_
    """
    factor = 2.0 ** (semitones / 12.0)
    rate = round(sample_rate * factor)
    n_fft = 2 * _OVERLAP * round(_WINDOW_SECONDS * sample_rate / (2 * _OVERLAP))
    if rate == sample_rate or len(x) < n_fft or not x.any():
        return x
    from audiogram import sound

    factor = rate / sample_rate
    stretched = _stretched(x.astype(np.float64), factor, n_fft, sample_rate)
    y = np.asarray(sound.resample(stretched.astype(np.float32), rate, sample_rate), dtype=np.float32)
    y = y[: len(x)] if len(y) >= len(x) else np.pad(y, (0, len(x) - len(y)))
    before, after = (float(np.sqrt(np.mean(np.square(one, dtype=np.float64)))) for one in (x, y))
    return y * np.float32(before / after) if after else y


def _stretched(x: np.ndarray[Any, Any], factor: float, n_fft: int, rate: int) -> np.ndarray[Any, Any]:
    """`factor` times as long at the same pitch, formants moved by 1 / factor: resampling puts both in their places."""
    hop, half = n_fft // _OVERLAP, n_fft // 2
    window = np.hanning(n_fft + 1)[:-1]
    padded = np.pad(x, (half, half + n_fft))
    spectrum = np.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop] * window)
    size = np.abs(spectrum)
    moved = size * _correction(size, factor, n_fft, rate)
    # phases advance by what they advance over one hop at that moment, whatever the distance between the frames read
    times = np.arange(0, len(spectrum) - 1, 1.0 / factor)
    at, part = times.astype(int), (times % 1.0)[:, None]
    expected = 2.0 * np.pi * hop * np.arange(half + 1) / n_fft
    advance = np.angle(spectrum[1:]) - np.angle(spectrum[:-1]) - expected
    advance = expected + advance - 2.0 * np.pi * np.round(advance / (2.0 * np.pi))
    phase = np.angle(spectrum[0]) + np.concatenate([np.zeros((1, half + 1)), np.cumsum(advance[at[:-1]], axis=0)])
    frames = np.fft.irfft(((1 - part) * moved[at] + part * moved[at + 1]) * np.exp(1j * phase), n=n_fft) * window
    out = np.zeros((len(frames) + _OVERLAP - 1, hop))
    for k in range(_OVERLAP):
        out[k : k + len(frames)] += frames[:, k * hop : (k + 1) * hop]
    gain = np.square(window).reshape(_OVERLAP, hop).sum(axis=0)  # the edges, with fewer frames, are padding
    longer: np.ndarray[Any, Any] = (out / gain).reshape(-1)[half : half + round(len(x) * factor)]
    return longer


def _correction(size: np.ndarray[Any, Any], factor: float, n_fft: int, rate: int) -> np.ndarray[Any, Any]:
    """Gain per frame and bin that moves the envelope, not the harmonics, by 1 / factor in frequency."""
    lifter = round(_LIFTER_SECONDS * rate)
    log_size = np.log(np.maximum(size, 1e-5 * size.max()))
    cepstrum = np.fft.irfft(log_size, n=n_fft)
    cepstrum[:, lifter + 1 : n_fft - lifter] = 0.0
    envelope = np.fft.rfft(cepstrum).real
    bins = np.arange(n_fft // 2 + 1)
    wanted = np.clip(bins * factor, 0, n_fft // 2)
    low = np.minimum(wanted.astype(int), n_fft // 2 - 1)
    there = envelope[:, low] + (wanted - low) * (envelope[:, low + 1] - envelope[:, low])
    gain: np.ndarray[Any, Any] = np.exp(np.clip(there - envelope, -np.log(_MOST_BOOST), np.log(_MOST_BOOST)))
    return gain
