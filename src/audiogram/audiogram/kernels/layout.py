"""How frames lie over a clip; the same for NumPy and torch."""

from __future__ import annotations

__all__ = ["frames_per_row"]


def frames_per_row(samples: int, n_fft: int, hop: int) -> int:
    """Number of frames over a clip, frame k centred on sample k * hop, so that every sample can be rebuilt.

    As many as `librosa.stft(center=True)` makes, for hops up to a quarter of the window. With longer hops one more
    where the clip ends between two centres: the window is close to 0 there, and dividing by it would amplify rounding.

    Examples
    --------
    >>> frames_per_row(16000, 2048, 512), frames_per_row(16001, 1024, 512)
    (32, 33)
    """
    return 1 + samples // hop + (hop > n_fft // 4 and samples % hop > 0)
