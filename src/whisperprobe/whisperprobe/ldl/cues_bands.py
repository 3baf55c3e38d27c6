"""Log energies of 21 mel bands over time: what C-FBSF cues are taken from.

Sound is at 16 kHz. Frame t covers the 80 samples (5 ms) from sample 160 t on, under a Hamming window, the last one
padded with zeros; its power spectrum is |FFT|²/512 over 512 points. The energy of a band is the sum of that under a
triangle of height 1 that reaches from the centre of the band below to that of the band above, equally spaced on the mel
scale 2595 log10(1 + f/700); the value is ln(energy + 1).

That 1 is a floor, and what it means depends on the scale of the samples. The scripts behind the published cues read
16-bit files as integers, so that 1 is about the energy of a few quantisation steps; here full scale ±1 becomes
±`full_scale`, 32,768 by default, and samples are rounded to whole numbers as in such a file. What lies below half a
step is gone: without that, rank correlations would hear a band that a condition has put 120 dB down as well as any.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["BANDS", "FRAME_HOP", "FRAME_LENGTH", "log_bands", "n_frames"]

SAMPLE_RATE = 16_000
FRAME_LENGTH = 80  # samples: 5 ms
FRAME_HOP = 160  # samples: 10 ms
N_FFT = 512
BANDS = 21


def n_frames(samples: int) -> int:
    """Return the number of frames of a clip; the last one is the first that reaches its end.

    Examples
    --------
    >>> n_frames(80), n_frames(81), n_frames(16_000)
    (1, 2, 101)
    """
    return 1 + max(0, -((FRAME_LENGTH - samples) // FRAME_HOP))


def log_bands(clips: Sequence[torch.Tensor], full_scale: float, top_hz: float) -> tuple[torch.Tensor, list[int]]:
    """Return ln(energy + 1) of the frames of all clips, `(frames, 21)`, float64, and how many frames each clip has."""
    import torch

    counts = [n_frames(len(clip)) for clip in clips]
    device = clips[0].device
    frames = torch.zeros((sum(counts), FRAME_LENGTH), dtype=torch.float64, device=device)
    first = 0
    for clip, count in zip(clips, counts, strict=True):
        whole = (len(clip) - FRAME_LENGTH) // FRAME_HOP + 1 if len(clip) >= FRAME_LENGTH else 0
        if whole:
            frames[first : first + whole] = clip.unfold(0, FRAME_LENGTH, FRAME_HOP)
        if whole < count:
            rest = clip[whole * FRAME_HOP :][:FRAME_LENGTH]
            frames[first + whole, : len(rest)] = rest
        first += count
    frames = (frames * full_scale).round_() * torch.hamming_window(
        FRAME_LENGTH, periodic=False, dtype=torch.float64, device=device
    )
    spectrum = torch.fft.rfft(frames, n=N_FFT)
    power = (spectrum.real.square() + spectrum.imag.square()) / N_FFT
    return torch.log1p(power @ _filters(top_hz, device)), counts


@functools.lru_cache(maxsize=8)
def _filters(top_hz: float, device: torch.device) -> torch.Tensor:
    """Triangles, shape (bins, bands)."""
    import torch
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(
        num_frequency_bins=1 + N_FFT // 2,
        num_mel_filters=BANDS,
        min_frequency=0.0,
        max_frequency=top_hz,
        sampling_rate=SAMPLE_RATE,
        norm=None,
        mel_scale="htk",
    )
    return torch.from_numpy(filters.copy()).to(device=device, dtype=torch.float64)
