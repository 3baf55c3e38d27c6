"""What filters do to sound, as figures: gain over frequency, and spectrograms before and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from audiogram.errors import InputError
from audiogram.figures import new_figure
from audiogram.filters.protocol import check_sample_rate, check_sound, is_tensor
from audiogram.filters.registry import filter_flags, get_filter
from audiogram.listening import Condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["measured_gain", "plot_gain", "plot_spectrograms"]

Array = npt.NDArray[np.float64]

_FULL_SCALE = 100.0  # dB SPL of a signal whose RMS is 1, for filters that are made here to be measured
_LEVELS = (40.0, 60.0, 80.0)
_DYNAMIC_RANGE = 80.0
_STEPS_PER_OCTAVE = 12


def measured_gain(
    filter: Any, frequencies: npt.ArrayLike, sample_rate: float | None = None, level: float | None = None
) -> Array:
    """Gain of a filter at frequencies, measured with tones.

    Each tone lasts a second with ramps of 50 ms; its level before and after is that of its own frequency, over the
    middle half, so that noise and distortion hardly count.

    Parameters
    ----------
    filter : filter or Condition
        A filter made from one or several ears, or a condition (its filter alone: neither level, noise nor
        normalisation).
    frequencies : array_like, shape (frequencies,)
        In Hz, above 0, below half the sampling rate.
    sample_rate : float, optional
        In Hz; default the filter's own, 16000 for a condition.
    level : float, optional
        Level of the tones in dB SPL, for filters that depend on it; by default their RMS is 0.1.

    Returns
    -------
    ndarray of float64, shape (frequencies,) or (ears, frequencies)
        Gain in dB.

    Raises
    ------
    InputError
        For frequencies out of range, and where neither the filter nor the call says the sampling rate or, for `level`,
        what digital full scale is.

    Examples
    --------
    >>> from audiogram import Audiogram
    >>> ear = Audiogram([500, 4000], [10, 40])
    >>> measured_gain(get_filter("attenuation")(ear, sample_rate=16_000), [500, 4000]).round(1)
    array([-10., -40.])
    """
    made, rate = _made(filter, sample_rate)
    hz = np.atleast_1d(np.asarray(frequencies, dtype=np.float64))
    if not (hz.size and np.isfinite(hz).all() and hz.min() > 0 and hz.max() < rate / 2):
        raise InputError(f"frequencies lie between 0 and {rate / 2:g} Hz, half the sampling rate, got {frequencies!r}.")
    rms = 0.1 if level is None else 10 ** ((level - _full_scale(made)) / 20)
    ears = _ears(made)
    gains = np.empty((ears or 1, len(hz)))
    for i, one in enumerate(hz):
        at = np.arange(round(rate)) / rate
        ramp = np.clip(np.minimum(at, at[-1] - at) / 0.05, 0, 1)
        phasor = np.exp(-2j * np.pi * one * at)
        tone = rms * np.sqrt(2) * ramp * phasor.real
        heard = np.asarray(made(np.tile(tone, (ears, 1)) if ears else tone)).reshape(-1, len(at))
        middle = slice(len(at) // 4, 3 * len(at) // 4)
        window = np.hanning(middle.stop - middle.start)
        before, after = (np.abs((x[..., middle] * window) @ phasor[middle]) for x in (tone, heard))
        gains[:, i] = 20 * np.log10(np.maximum(after / before, 1e-10))
    return gains if ears else gains[0]


def plot_gain(
    filter: Any,
    ax: Axes | None = None,
    *,
    sample_rate: float | None = None,
    levels: Sequence[float] = _LEVELS,
) -> Axes:
    """Gain of a filter over frequency.

    A linear filter is measured with one click, any other with tones at several levels.

    Parameters
    ----------
    filter : filter or Condition
        As of `measured_gain`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default a new figure's.
    sample_rate : float, optional
        In Hz; default the filter's own, 16000 for a condition.
    levels : sequence of float, default (40, 60, 80)
        Levels of the tones in dB SPL, for a filter that depends on level.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn in.

    Raises
    ------
    InputError
        As `measured_gain`.
    """
    made, rate = _made(filter, sample_rate)
    top = min(16_000.0, 0.98 * rate / 2)
    hz = 125 * 2 ** np.arange(0, np.log2(top / 125), 1 / _STEPS_PER_OCTAVE)
    if ax is None:
        ax = new_figure(6.4, 4.0).add_subplot()
    name = filter.name if isinstance(filter, Condition) else ""
    if made.linear:
        hz = 125 * 2 ** np.arange(0, np.log2(top / 125), 1 / 48)
        curves = [("", _click_gain(made, hz, rate))]
    elif made.level_dependent:
        curves = [(f"{level:g} dB SPL", measured_gain(made, hz, rate, level)) for level in levels]
    else:
        curves = [("", measured_gain(made, hz, rate))]
    for i, (label, gains) in enumerate(curves):
        for k, gain in enumerate(np.atleast_2d(gains)):
            ear = f"ear {k + 1}" if gains.ndim == 2 else ""
            shade = str(0.65 * (1 - (i + 1) / len(curves))) if len(curves) > 1 else None
            parts = [part for part in (name, ear, label) if part]
            ax.plot(hz, gain, color=shade, label=", ".join(parts) or None, linewidth=1.6)
    _frequency_axis(ax, top)
    ax.set_ylabel("Gain (dB)")
    ax.grid(color="0.85", linewidth=0.7)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False, fontsize=8, title="level of the tone" if made.level_dependent else None)
    return ax


def plot_spectrograms(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    sample_rate: float,
    axes: Sequence[Axes] | None = None,
) -> tuple[Axes, Axes]:
    """Spectrograms of a sound before and after, on one scale of levels.

    Parameters
    ----------
    before, after : array_like or Tensor, shape (samples,)
        The two sounds.
    sample_rate : float
        Sampling rate in Hz.
    axes : sequence of two matplotlib.axes.Axes, optional
        Where to draw; default those of a new figure, side by side.

    Returns
    -------
    tuple of two matplotlib.axes.Axes
        The axes drawn in. The level is in dB below the loudest point of the two, down to -80 dB.

    Raises
    ------
    InputError
        For sounds that are not one-dimensional, or both silent.
    """
    rate = check_sample_rate(sample_rate)
    levels = [_spectrogram(_mono(label, x), rate) for label, x in (("before", before), ("after", after))]
    top = max(float(level.max()) for _, _, level in levels)
    if top == -np.inf:
        raise InputError("both sounds are silent; a spectrogram of silence shows nothing.")
    if axes is None:
        axes = list(new_figure(9.0, 3.4).subplots(1, 2, sharex=True, sharey=True))
    first, second = axes
    for ax, (seconds, hz, level), title in zip((first, second), levels, ("Before", "After"), strict=True):
        # silence has no level in dB: it is drawn as the darkest there is
        image = ax.pcolormesh(
            seconds, hz / 1000, np.maximum(level - top, -_DYNAMIC_RANGE), vmin=-_DYNAMIC_RANGE, vmax=0, cmap="magma",
            shading="nearest", rasterized=True,
        )  # fmt: skip
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("Time (s)")
        ax.set_ylabel("Frequency (kHz)")
    if second.get_shared_y_axes().joined(first, second):
        second.set_ylabel("")
    first.figure.colorbar(image, ax=[first, second], label="Level (dB re maximum)", pad=0.01)
    return first, second


def _made(filter: Any, sample_rate: float | None) -> tuple[Any, float]:
    """The filter itself and its sampling rate."""
    if isinstance(filter, Condition):
        rate = check_sample_rate(16_000 if sample_rate is None else sample_rate)
        cls: Callable[..., Any] = get_filter(filter.filter)
        depends = filter_flags(filter.filter, filter.options).level_dependent
        level = {"level": _FULL_SCALE} if depends else {}
        return cls(filter.audiogram, sample_rate=rate, **level, **filter.options), rate
    if not callable(filter) or not hasattr(filter, "linear"):
        raise InputError(
            f"a filter or a Condition is asked for, got {type(filter).__name__}; get_filter(name)(ear, "
            "sample_rate=...) makes one."
        )
    own = getattr(filter, "sample_rate", None) if sample_rate is None else sample_rate
    if own is None:
        raise InputError("the filter does not say its sampling rate; give sample_rate in Hz.")
    return filter, check_sample_rate(own)


def _full_scale(filter: Any) -> float:
    level = getattr(filter, "level", None)
    if level is None:
        raise InputError("the filter does not say what digital full scale is in dB SPL (its attribute `level`).")
    return float(level)


def _ears(filter: Any) -> int:
    """How many ears the filter was given as a sequence; 0 for a single one."""
    ears = getattr(filter, "ears", ())
    try:
        filter(np.zeros(64))
    except InputError:
        return len(ears)
    return 0


def _click_gain(filter: Any, hz: Array, rate: float) -> Array:
    samples = 2 * round(rate)
    click = np.zeros(samples)
    click[samples // 2] = 1.0
    ears = _ears(filter)
    heard = np.asarray(filter(np.tile(click, (ears, 1)) if ears else click))
    import scipy.fft

    bins = scipy.fft.rfftfreq(samples, 1 / rate)
    magnitude = np.abs(scipy.fft.rfft(heard, axis=-1))
    gain = [np.interp(hz, bins, row) for row in np.atleast_2d(magnitude)]
    decibels: Array = 20 * np.log10(np.maximum(gain, 1e-10))
    return decibels if ears else decibels[0]


def _frequency_axis(ax: Axes, top: float) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    ax.set_xscale("log", base=2)
    ax.set_xlim(125, max(top, 8000))
    ax.xaxis.set_major_locator(FixedLocator([125.0 * 2**k for k in range(8)]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda f, _: f"{f:g}")
    ax.set_xlabel("Frequency (Hz)")


def _mono(label: str, x: Any) -> Array:
    values: Any = x.detach().cpu().double().numpy() if is_tensor(x) else np.asarray(x)
    check_sound(values)
    if values.ndim != 1:
        raise InputError(f"{label} is one sound of shape (samples,), got {tuple(values.shape)}; give one row.")
    return np.asarray(values, dtype=np.float64)


def _spectrogram(x: Array, rate: float) -> tuple[Array, Array, Array]:
    """Times in s, frequencies in Hz and power in dB, (frequencies, times): 32 ms Hann windows every 4 ms."""
    import scipy.fft

    size, hop = max(16, round(0.032 * rate)), max(1, round(0.004 * rate))
    padded = np.pad(x, (size // 2, size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[: len(x) : hop]
    power = np.abs(scipy.fft.rfft(frames * np.hanning(size), axis=-1)).T ** 2
    with np.errstate(divide="ignore"):
        level = 10 * np.log10(power)
    return np.arange(len(frames)) * hop / rate, scipy.fft.rfftfreq(size, 1 / rate), level
