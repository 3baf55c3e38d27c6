"""Chunks of a word: cut where the smoothed amplitude envelope has a local maximum or minimum.

The envelope is the magnitude of the analytic signal (Hilbert transform over the clip's own length), smoothed by a
Daniell kernel, which is a plain mean over `2 m + 1` samples. As in R's `kernapply`, it is only smoothed where the whole
kernel lies within the clip, and as in `zoo::rollapply`, an extremum only counts where its whole window does. So a word
of less than `2 m + window` samples is one chunk: at 16 kHz 2,600 samples, 162.5 ms.

References
----------
.. [1] D. Arnold, F. Tomaschek, K. Sering, F. Lopez and R. H. Baayen, "Words from spontaneous conversational speech can
   be recognized with human-like accuracy by an error-driven learning algorithm that discriminates between meanings
   straight from smart acoustic features", PLoS ONE 12(4), e0174623, 2017. Boundaries at minima; R package
   AcousticNDLCodeR.
.. [2] E. Shafaei-Bajestan, M. Moradipour-Tari, P. Uhrig and R. H. Baayen, "LDL-AURIS: a computational model, grounded
   in error-driven learning, for the comprehension of single spoken words", Language, Cognition and Neuroscience 38(4),
   509-536, 2023. Boundaries at maxima.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from audiogram.errors import InputError, unknown_name
from whisperprobe.features import mono_clip

if TYPE_CHECKING:
    import torch

__all__ = ["BOUNDARIES", "boundaries_of_all", "chunk_boundaries", "shortest_cut", "smoothed_envelope"]

BOUNDARIES = ("max", "min")
HALF_WIDTH_SECONDS = 0.05  # of the kernel: 800 samples at 16 kHz
WINDOW_SECONDS = 0.0625  # of the rolling extremum: 1,000 samples at 16 kHz
# Differences of the smoothed envelope below this share of its peak are rounding: a steady tone has no boundary.
_GRAIN = 2.0**-30


def chunk_boundaries(waveform: Any, sample_rate: int, boundary: str = "max") -> np.ndarray:
    """Find where the chunks of a word begin, the first apart, which begins with the word.

    A boundary is a sample whose smoothed envelope is the first maximum (or minimum) of the rolling window, 62.5 ms, in
    whose middle it lies. Consecutive boundaries are more than half a window apart.

    Parameters
    ----------
    waveform : array or tensor of float, shape (samples,)
        Mono sound; only its shape counts, not its scale.
    sample_rate : int
        In Hz. Kernel and window scale with it: 800 and 1,000 samples at 16 kHz.
    boundary : {"max", "min"}
        At maxima of the envelope, as LDL-AURIS does (Shafaei-Bajestan et al. 2023), or at minima (Arnold et al. 2017).

    Returns
    -------
    ndarray of int64, shape (boundaries,)
        Samples, ascending; empty for silence and for words that are shorter than `shortest_cut(sample_rate)`.

    Raises
    ------
    InputError
        An unknown boundary, or sound that is empty, not finite or not mono.

    References
    ----------
    See the module's.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.arange(16_000) / 16_000
    >>> pulses = np.sin(2 * np.pi * 500 * t) * (np.exp(-((t - 0.3) / 0.04) ** 2) + np.exp(-((t - 0.7) / 0.04) ** 2))
    >>> (chunk_boundaries(pulses, 16_000) / 16_000).round(2)
    array([0.3, 0.7])
    >>> (chunk_boundaries(pulses, 16_000, "min") / 16_000).round(2)
    array([0.5])
    """
    check_boundary(boundary)
    clip = mono_clip(waveform, 0, sample_rate, sample_rate)
    (found,) = boundaries_of_all([clip], sample_rate, boundary)
    return found.cpu().numpy()


def smoothed_envelope(waveform: Any, sample_rate: int) -> np.ndarray:
    """Return the Hilbert envelope after the Daniell kernel, where the kernel lies within the clip.

    Parameters
    ----------
    waveform : array or tensor of float, shape (samples,)
        Mono sound.
    sample_rate : int
        In Hz.

    Returns
    -------
    ndarray of float64, shape (samples - 2 m,)
        `m` is 50 ms; entry `i` belongs to sample `i + m`. Empty where the clip is shorter than the kernel.
    """
    clip = mono_clip(waveform, 0, sample_rate, sample_rate)
    half, _ = extents(sample_rate)
    smooth, lengths = _smoothed([clip], half)
    return smooth[0, : int(lengths[0])].cpu().numpy()


def shortest_cut(sample_rate: int) -> int:
    """Return how many samples a word needs at least to have a boundary.

    Examples
    --------
    >>> shortest_cut(16_000)
    2600
    """
    half, window = extents(sample_rate)
    return 2 * half + window


def extents(sample_rate: int) -> tuple[int, int]:
    """Return half the kernel and the window, in samples."""
    return round(HALF_WIDTH_SECONDS * sample_rate), max(1, round(WINDOW_SECONDS * sample_rate))


def check_boundary(boundary: str) -> None:
    """Raise `InputError` unless it is known."""
    if boundary not in BOUNDARIES:
        raise unknown_name("boundary", boundary, BOUNDARIES)


def boundaries_of_all(clips: Sequence[torch.Tensor], sample_rate: int, boundary: str) -> list[torch.Tensor]:
    """Boundaries of clips that are on one device; float32 tensors of shape (samples,), none of them empty."""
    import torch

    half, window = extents(sample_rate)
    if sample_rate < 1:
        raise InputError(f"a sample rate of {sample_rate} Hz: give it in Hz, above 0.")
    smooth, lengths = _smoothed(clips, half)
    if boundary == "min":
        smooth = -smooth
    before = (window + 1) // 2 - 1  # of a window of 1,000 samples a sample is the 500th
    after = window - 1 - before
    columns = smooth.shape[1]
    if columns < window:
        return [torch.empty(0, dtype=torch.int64, device=smooth.device) for _ in clips]
    centre = smooth[:, before : columns - after]
    found = torch.ones_like(centre, dtype=torch.bool)
    if before:
        found &= centre > _rolling_max(smooth, before)[:, : centre.shape[1]]
    if after:
        found &= centre >= _rolling_max(smooth[:, before + 1 :], after)
    place = torch.arange(before, columns - after, device=smooth.device)
    found &= place[None] < (lengths - after)[:, None]
    rows, at = found.nonzero(as_tuple=True)
    counts = torch.bincount(rows, minlength=len(clips)).tolist()
    return list(torch.split(at + before + half, counts))


def _smoothed(clips: Sequence[torch.Tensor], half: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Smoothed envelopes, one below the other, and how long each is; what lies behind that is not to be used."""
    import torch

    width = 2 * half + 1
    device = clips[0].device
    lengths = torch.tensor([max(0, len(clip) - 2 * half) for clip in clips], device=device)
    longest = int(lengths.max())
    # sums begin with a zero, so that the mean over [i, i + width) is the difference of two of them
    sums = torch.zeros((len(clips), longest + width), dtype=torch.float64, device=device)
    peaks = torch.zeros(len(clips), dtype=torch.float64, device=device)
    for row, clip in enumerate(clips):
        if len(clip) >= width:
            envelope = _envelope(clip)
            sums[row, 1 : len(clip) + 1] = envelope
            peaks[row] = envelope.max()
    sums = sums.cumsum(dim=1)
    smooth = (sums[:, width:] - sums[:, :longest]) / width
    grain = torch.where(peaks > 0, peaks, 1.0)[:, None] * _GRAIN
    return (smooth / grain).round_() * grain, lengths


def _envelope(clip: torch.Tensor) -> torch.Tensor:
    """Magnitude of the analytic signal, float64; on a CPU SciPy's transforms of any length are faster than torch's."""
    return numpy_envelope(clip) if clip.device.type == "cpu" else torch_envelope(clip)


def numpy_envelope(clip: torch.Tensor) -> torch.Tensor:
    """Magnitude of the analytic signal with SciPy."""
    import torch
    from scipy import fft

    x = clip.double().numpy()
    return torch.from_numpy(np.sqrt(x * x + np.square(fft.irfft(_turned(fft.rfft(x), len(x)), n=len(x)))))


def torch_envelope(clip: torch.Tensor) -> torch.Tensor:
    """Magnitude of the analytic signal, on the clip's device."""
    import torch

    x = clip.double()
    quadrature = torch.fft.irfft(_turned(torch.fft.rfft(x), len(x)), n=len(x))
    return torch.sqrt(x.square() + quadrature.square())


def _turned(spectrum: Any, samples: int) -> Any:
    """Spectrum of the Hilbert transform: a quarter of a period later; constants and half the rate have none."""
    spectrum *= -1j
    spectrum[0] = 0
    if samples % 2 == 0:
        spectrum[-1] = 0
    return spectrum


def _rolling_max(x: torch.Tensor, window: int) -> torch.Tensor:
    """Largest of each `window` consecutive entries of the rows, from windows of 1, 2, 4, ... entries."""
    import torch

    reach = 1
    while 2 * reach <= window:
        x = torch.maximum(x[:, : x.shape[1] - reach], x[:, reach:])
        reach *= 2
    rest = window - reach
    return torch.maximum(x[:, : x.shape[1] - rest], x[:, rest:]) if rest else x
