"""`plot_chunks`: a word's bands over time, with the envelope and the boundaries that cut it into chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from audiogram.figures import new_figure
from whisperprobe.features import mono_clip
from whisperprobe.ldl.chunks import chunk_boundaries, smoothed_envelope
from whisperprobe.ldl.cues_bands import BANDS, FRAME_HOP, FRAME_LENGTH, SAMPLE_RATE, log_bands

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_chunks"]


def plot_chunks(waveform: Any, sample_rate: int, *, boundary: str = "max", ax: Axes | None = None) -> Axes:
    """Draw the log band energies of a word, its smoothed envelope and its chunk boundaries.

    Parameters
    ----------
    waveform : array or tensor of float, shape (samples,)
        Mono sound, full scale ±1.
    sample_rate : int
        In Hz; anything but 16000 is resampled first.
    boundary : {"max", "min"}
        Where chunks begin, see `chunk_boundaries`.
    ax : matplotlib Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        An unknown boundary, or sound that is empty, not finite or not mono.
    """
    from matplotlib.ticker import MaxNLocator

    clip = mono_clip(waveform, 0, sample_rate).cpu()
    boundaries = chunk_boundaries(clip, SAMPLE_RATE, boundary) / SAMPLE_RATE
    envelope = smoothed_envelope(clip, SAMPLE_RATE)
    bands = log_bands([clip], 32768.0, SAMPLE_RATE / 2)[0].numpy()
    if ax is None:
        ax = new_figure(8, 3.2).add_subplot()
    starts = np.arange(len(bands)) * FRAME_HOP + FRAME_LENGTH / 2
    edges = np.append(starts - FRAME_HOP / 2, starts[-1] + FRAME_HOP / 2) / SAMPLE_RATE
    mesh = ax.pcolormesh(edges, np.arange(BANDS + 1) - 0.5, bands.T, cmap="Greys", rasterized=True)
    ax.figure.colorbar(mesh, ax=ax, label="ln(energy + 1)")
    if envelope.any():
        half = (len(clip) - len(envelope)) / 2
        time = (np.arange(len(envelope)) + half) / SAMPLE_RATE
        ax.plot(time, envelope / envelope.max() * (BANDS - 1), color="C0", label="smoothed envelope")
    for i, at in enumerate(boundaries):
        ax.axvline(at, color="C1", linestyle="--", label=None if i else f"chunk boundary ({boundary})")
    ax.set(xlabel="Time (s)", ylabel="Mel band", xlim=(0, len(clip) / SAMPLE_RATE), ylim=(-0.5, BANDS - 0.5))
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="upper right", fontsize="small")
    return ax
