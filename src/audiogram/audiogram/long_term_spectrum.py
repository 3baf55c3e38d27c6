"""Long-term average spectrum of sound in third octaves, and noise of such a spectrum.

References
----------
.. [1] IEC 61260-1:2014, Electroacoustics, octave-band and fractional-octave-band filters: the bands, base 10.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from audiogram.errors import InputError
from audiogram.levels import active_rms, checked_mapping

__all__ = ["check_spectrum", "long_term_spectrum", "noise_gains"]

Array = npt.NDArray[np.float64]

_CENTRES: Array = 1000.0 * 10.0 ** (np.arange(-16, 14) / 10)  # 25 Hz to 20 kHz
_HALF_BAND = 10.0 ** (1 / 20)
_LOWEST_DB = -120.0  # below the loudest band: what a band without any sound is held to be
_CORRECTIONS = 20
_POINTS = 24  # of a band, at which the density between the centres is added up


def long_term_spectrum(clips: Iterable[tuple[npt.ArrayLike, float]]) -> dict[str, list[float]]:
    """Average spectrum of clips, every clip at the same level while it is active.

    Parameters
    ----------
    clips : iterable of (array_like, float)
        Sounds, shape (samples,), and their sampling rates in Hz. Silent ones count for nothing.

    Returns
    -------
    dict
        `frequencies`, in Hz: the third octaves from 25 Hz to 20 kHz [1]_ that the clips have; `levels_db`: power per Hz
        in dB at each. Joined by straight lines over log frequency, they give every third octave the clips' power.

    Raises
    ------
    InputError
        Where all clips are silent.

    Examples
    --------
    >>> white = np.random.default_rng(0).standard_normal(160_000)
    >>> spectrum = long_term_spectrum([(white, 16_000)])
    >>> spectrum["frequencies"][-3:], bool(np.ptp(spectrum["levels_db"][8:]) < 2)  # dB, from 160 Hz
    ([5011.872, 6309.573, 7943.282], True)
    """
    energy, seconds = np.zeros(len(_CENTRES)), np.zeros(len(_CENTRES))
    for x, rate in clips:
        samples = np.asarray(x, dtype=np.float64)
        level = active_rms(samples, rate)
        if level == 0:
            continue
        has = rate / 2 > _CENTRES / _HALF_BAND
        energy[has] += _band_densities(samples / level, rate)[has] * len(samples) / rate
        seconds[has] += len(samples) / rate
    if not energy.any():
        raise InputError("there is no sound in the clips, so they have no spectrum.")
    has = seconds > 0
    wanted = energy[has] / seconds[has]
    wanted = np.maximum(wanted, wanted.max() * 10 ** (_LOWEST_DB / 10))
    levels = _levels_at_centres(wanted, _CENTRES[has])
    return {"frequencies": _CENTRES[has].round(3).tolist(), "levels_db": (levels - levels.max()).round(3).tolist()}


def check_spectrum(spectrum: Any) -> dict[str, list[float]]:
    """Validate a spectrum as `long_term_spectrum` returns it.

    Raises
    ------
    InputError
        Unless it has increasing positive frequencies and as many finite levels.
    """
    plain = checked_mapping("noise.spectrum", spectrum, ("frequencies", "levels_db"))
    try:
        frequencies, levels = (np.asarray(plain[key], dtype=np.float64) for key in ("frequencies", "levels_db"))
    except (KeyError, TypeError, ValueError, OverflowError):
        raise InputError("noise.spectrum needs frequencies (Hz) and levels_db (dB per Hz), lists of numbers.") from None
    if frequencies.ndim != 1 or frequencies.shape != levels.shape or not len(frequencies):
        raise InputError("noise.spectrum needs one level for every frequency, at least one.")
    if not (np.isfinite(levels).all() and np.isfinite(frequencies).all()):
        raise InputError("noise.spectrum has values that are NaN or infinite.")
    if frequencies[0] <= 0 or (np.diff(frequencies) <= 0).any():
        raise InputError("noise.spectrum: frequencies are in Hz, above 0 and increasing.")
    return {"frequencies": frequencies.tolist(), "levels_db": levels.tolist()}


def noise_gains(spectrum: Mapping[str, Any], sample_rate: float) -> Array:
    """Amplitudes that give white noise a spectrum, at `shaped_noise.bin_frequencies`, shape (bins,).

    There is none further than a sixth of an octave outside the spectrum's frequencies: what is not known is left out.

    Raises
    ------
    InputError
        Where the spectrum has nothing below half the sampling rate.
    """
    from audiogram.kernels.shaped_noise import bin_frequencies

    known = np.asarray(spectrum["frequencies"], dtype=np.float64)
    levels = np.asarray(spectrum["levels_db"], dtype=np.float64)
    bins = bin_frequencies(sample_rate)
    inside = (bins >= known[0] / _HALF_BAND) & (bins <= known[-1] * _HALF_BAND)
    if not inside.any():
        raise InputError(f"noise.spectrum begins at {known[0]:g} Hz, above half of {sample_rate:g} Hz; use another.")
    at = np.interp(np.log(np.maximum(bins, known[0])), np.log(known), levels - levels.max())
    return np.where(inside, 10 ** (at / 20), 0.0)


def _band_densities(x: Array, rate: float) -> Array:
    """Mean power per Hz in each third octave below half the rate, 0 in others."""
    import scipy.fft

    # a short clip's spectrum is drawn finer than its length gives, so that the lowest bands hold something
    size = scipy.fft.next_fast_len(max(len(x), int(rate)), real=True)
    power = np.abs(scipy.fft.rfft(x, size)) ** 2 * (2 / (rate * len(x)))
    power[0] /= 2
    step = rate / size
    edges = (np.arange(len(power) + 1) - 0.5) * step
    total = np.concatenate([[0.0], np.cumsum(power) * step])
    low = np.minimum(_CENTRES / _HALF_BAND, rate / 2)
    high = np.minimum(_CENTRES * _HALF_BAND, rate / 2)
    inside = np.interp(high, edges, total) - np.interp(low, edges, total)
    density: Array = np.divide(inside, high - low, out=np.zeros_like(inside), where=high > low)
    return density


@lru_cache(maxsize=8)
def _between(bands: int) -> tuple[Array, Array]:
    """Interpolation from the centres to points in every band, (bands, points, bands), and the points' shares."""
    inner = (np.arange(_POINTS) + 0.5) / _POINTS - 0.5  # of a band, in tenths of a decade
    at = np.clip(np.arange(bands)[:, None] + inner, 0, bands - 1)
    weights = np.maximum(0.0, 1.0 - np.abs(at[..., None] - np.arange(bands)))
    width = 10.0 ** (inner / 10)  # of a point's share of the band in Hz
    return weights, width / width.sum()


def _levels_at_centres(wanted: Array, centres: Array) -> Array:
    """Levels in dB at the centres whose straight lines have the wanted mean power per Hz in every band."""
    weights, shares = _between(len(centres))
    levels: Array = 10 * np.log10(wanted)
    for _ in range(_CORRECTIONS):
        found = 10 ** (weights @ levels / 10) @ shares
        levels = levels + 10 * np.log10(wanted / found)
    return levels
