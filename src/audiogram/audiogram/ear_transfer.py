"""From the sound field to the cochlea and back: outer and middle ear as a gain over frequency, without delay.

References
----------
.. [1] E. A. G. Shaw, "Transformation of sound pressure level from the free field to the eardrum in the horizontal
   plane", J. Acoust. Soc. Am. 56, 1848-1861, 1974. Free and diffuse field as tabulated in ANSI S3.4-2007.
.. [2] B. R. Glasberg and B. C. J. Moore, "Prediction of absolute thresholds and equal-loudness contours using a
   modified loudness model", J. Acoust. Soc. Am. 120, 585-588, 2006. The middle ear, also in ANSI S3.4-2007.
.. [3] Recommendation ITU-T P.58, "Head and torso simulator for telephonometry", 2013, table 14a.
.. [4] M. A. Stone and B. C. J. Moore, "Tolerable hearing aid delays. I.", Ear and Hearing 20, 182-192, 1999: filtering
   of sound as it reaches the cochlea, and back, in simulations of hearing loss.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from audiogram.errors import InputError, unknown_name
from audiogram.filters.protocol import check_sample_rate, check_sound, is_tensor

__all__ = ["Design", "Source", "ear_kernel", "ear_response", "fir_gains", "low_passed_inverse", "to_cochlea"]

Source = Literal["free_field", "diffuse_field", "ear_reference_point"]
Design = Literal["table", "windowed"]
Array = npt.NDArray[np.float64]

# fmt: off
_HZ = np.array([
    0.0, 20.0, 25.0, 31.5, 40.0, 50.0, 63.0, 80.0, 100.0, 125.0, 160.0, 200.0, 250.0, 315.0, 400.0, 500.0, 630.0, 750.0,
    800.0, 1000.0, 1250.0, 1500.0, 1600.0, 2000.0, 2500.0, 3000.0, 3150.0, 4000.0, 5000.0, 6000.0, 6300.0, 8000.0,
    9000.0, 10_000.0, 11_200.0, 12_500.0, 14_000.0, 15_000.0, 16_000.0, 20_000.0, 48_000.0,
])
# Attenuation of the middle ear in dB [2]; the Cambridge group's simulator adds the points at 0, 20000 and 48000 Hz.
_MIDDLE_EAR = np.array([
    50.0, 39.6, 32.0, 25.85, 21.4, 18.5, 15.9, 14.1, 12.4, 11.0, 9.6, 8.3, 7.4, 6.2, 4.8, 3.8, 3.3, 2.9,
    2.6, 2.6, 4.5, 5.4, 6.1, 8.5, 10.4, 7.3, 7.0, 6.6, 7.0, 9.2, 10.2, 12.2,
    10.8, 10.1, 12.7, 15.0, 18.2, 23.8, 32.3, 50.0, 50.0,
])
# Gain from the field to the eardrum in dB at `_HZ` [1].
_FREE_FIELD = np.array([
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.3, 0.5, 0.9, 1.4, 1.6, 1.7, 2.5, 2.7,
    2.6, 2.6, 3.2, 5.2, 6.6, 12.0, 16.8, 15.3, 15.2, 14.2, 10.7, 7.1, 6.4, 1.8,
    -0.9, -1.6, 1.9, 4.9, 2.0, -2.0, 2.5, 2.5, 2.5,
])
_DIFFUSE_FIELD = np.array([
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.3, 0.4, 0.5, 1.0, 1.6, 1.7, 2.2, 2.7,
    2.9, 3.8, 5.3, 6.8, 7.2, 10.2, 14.9, 14.5, 14.4, 12.7, 10.8, 8.9, 8.7, 8.5,
    6.2, 5.0, 4.5, 4.0, 3.3, 2.6, 2.0, 2.0, 2.0,
])
# Gain from the ear reference point to the eardrum in dB [3], interpolated to `_HZ`.
_EAR_REFERENCE_POINT = np.interp(
    _HZ,
    [0, 100, 125, 160, 200, 250, 315, 400, 500, 630, 800, 1000, 1250, 1600, 2000, 2500, 3150, 4000, 5000, 6300, 8000,
     10_000, 20_000, 48_000],
    [0, 0, 0, 0, 0, 0.3, 0.2, 0.5, 0.6, 0.7, 1.1, 1.7, 2.6, 4.2, 6.5, 9.4, 10.3, 6.6, 3.2, 3.3, 16, 14.4, 14.4, 14.4],
)
# fmt: on
_TO_EARDRUM = {"free_field": _FREE_FIELD, "diffuse_field": _DIFFUSE_FIELD, "ear_reference_point": _EAR_REFERENCE_POINT}

# The windowed design [4]: 512 steps from 0 Hz to half of 44.1 kHz, 1015 taps (23 ms) under a Kaiser window.
_RATE, _STEPS, _TAPS, _KAISER = 44_100, 512, 1015, 4.0
# What the simulator ends with, also designed at 44.1 kHz: corner in Hz, taps and Kaiser window.
_LOW_PASS_HZ, _LOW_PASS_TAPS, _LOW_PASS_KAISER = 18_000.0, 133, 8.0
# Seconds that the responses reach to either side: 11.5 ms and what other rates add, and the steep bass of the table.
_REACH = {"windowed": 0.025, "table": 0.25}


def ear_response(frequency: npt.ArrayLike, source: Source = "free_field") -> Array:
    """Gain of the outer and middle ear, from a source to the cochlea.

    Parameters
    ----------
    frequency : array_like
        Frequencies in Hz, 0 or more.
    source : {"free_field", "diffuse_field", "ear_reference_point"}, default "free_field"
        Where the sound's level is known: in the free field at the listener's place, frontal incidence [1]_; in a
        diffuse field [1]_; or at the ear reference point, as for headphones [3]_.

    Returns
    -------
    ndarray of float64
        Gain in dB, 0 at 1 kHz in the free field; interpolated in octaves, held below 20 Hz and above 20 kHz.

    Raises
    ------
    InputError
        For a frequency below 0 or not finite, and for an unknown source.

    Examples
    --------
    >>> ear_response([100, 1000, 4000, 16000]).round(1)
    array([-12.4,   0. ,   7.6, -29.8])
    """
    hz = np.asarray(frequency, dtype=np.float64)
    if hz.size and not (np.isfinite(hz).all() and hz.min() >= 0):
        raise InputError("frequencies of the ear's transfer must be finite and 0 Hz or more.")
    result: Array = np.interp(np.log2(np.clip(hz, _HZ[1], _HZ[-1])), np.log2(_HZ[1:]), _table(source)[1:])
    return result


def to_cochlea(
    x: Any,
    sample_rate: float,
    source: Source = "free_field",
    *,
    inverse: bool = False,
    design: Design = "table",
) -> Any:
    """Hear sound at the cochlea that is known at its source, or the other way round.

    Parameters
    ----------
    x : ndarray or Tensor, shape (..., samples)
        Sound, floating point.
    sample_rate : float
        Sampling rate in Hz.
    source : {"free_field", "diffuse_field", "ear_reference_point"}, default "free_field"
        See `ear_response`.
    inverse : bool, default False
        From the cochlea to the source.
    design : {"table", "windowed"}, default "table"
        `table`: gains as `ear_response` has them, and their inverse. `windowed`: as the simulator of the
        Cambridge group filters, 23 ms long; see Notes.

    Returns
    -------
    ndarray or Tensor
        Same shape, dtype and device, no delay (zero phase); differentiable. Sound beyond the ends counts as silence.

    Raises
    ------
    InputError
        For sound that is not finite or has no samples, and for options out of range.

    Notes
    -----
    The windowed response is that of a filter at 44.1 kHz, evaluated at the frequencies of any other rate; above
    22.05 kHz it is held. Its steps of 43 Hz blur the bass: it is 1 dB above the table at 200 Hz, 3 dB at 80 Hz, and
    much less attenuating below. Its inverse is designed in the same way from the reciprocal gains, and both join the
    tabulated gains, not their decibels, by straight lines: there and back is, in the free field, a gain of up to 0.5 dB
    from 80 Hz to 5 kHz, 1.3 dB up to 14 kHz, 1.7 dB below 80 Hz, and 8 dB at 18 kHz.

    Examples
    --------
    >>> click = np.zeros(2000)
    >>> click[1000] = 1
    >>> inside = to_cochlea(click, 16_000)
    >>> bool(np.allclose(to_cochlea(inside, 16_000, inverse=True), click, atol=1e-4))
    True
    """
    check_sound(x)
    kernel = ear_kernel(check_sample_rate(sample_rate), source, inverse, design)
    rows = x.reshape(-1, x.shape[-1])
    if is_tensor(x):
        from audiogram.filters.differentiable import exact_dtype
        from audiogram.kernels.zero_phase import convolve_tensor

        return convolve_tensor(rows.to(exact_dtype(x.device)), kernel).reshape(x.shape).to(x.dtype)
    from audiogram.kernels.zero_phase import convolve

    return convolve(rows, kernel).reshape(x.shape).astype(x.dtype, copy=False)


@lru_cache(maxsize=16)
def ear_kernel(sample_rate: float, source: Source, inverse: bool, design: Design) -> Array:
    """Impulse response of `to_cochlea`, of odd length, symmetric about its middle, time 0; not to be changed."""
    if design not in get_args(Design):
        raise unknown_name("design of the ear's transfer", design, get_args(Design))
    reach = max(64, math.ceil(_REACH[design] * sample_rate))
    length = 1 << (4 * reach).bit_length()
    if design == "table":
        decibels = ear_response(np.arange(length // 2 + 1) * (sample_rate / length), source)
        gains: Array = np.power(10.0, (-1 if inverse else 1) * decibels / 20)
    else:
        gains = fir_gains(_windowed(source, inverse), length, sample_rate)
    return _kernel_of(gains, reach)


@lru_cache(maxsize=16)
def low_passed_inverse(sample_rate: float, source: Source, design: Design) -> Array:
    """Impulse response of the inverse with a low-pass of 18 kHz, above which it amplifies most, by up to 50 dB."""
    inverse = ear_kernel(sample_rate, source, True, design)
    at = np.arange(_LOW_PASS_TAPS) - _LOW_PASS_TAPS // 2
    taps = np.sinc(2 * _LOW_PASS_HZ / _RATE * at) * np.kaiser(_LOW_PASS_TAPS, _LOW_PASS_KAISER)
    length, reach = 1 << (2 * len(inverse)).bit_length(), len(inverse) // 2
    low_pass = fir_gains(taps / taps.sum(), length, sample_rate)
    centred = np.roll(np.pad(inverse, (0, length - len(inverse))), -reach)
    return _kernel_of(np.fft.rfft(centred).real * low_pass, reach)


def _kernel_of(gains: Array, reach: int) -> Array:
    """Impulse response of gains at the bins of a real transform, cut to `reach` samples to either side.

    Under a window that falls over the outer half: a hard cut would add a ripple of its own.
    """
    around = np.fft.irfft(gains)
    edge = np.minimum(1.0, 2 * (1 - np.abs(np.arange(-reach, reach + 1)) / (reach + 1)))
    kernel: Array = np.concatenate([around[-reach:], around[: reach + 1]]) * np.square(np.sin(np.pi / 2 * edge))
    kernel.flags.writeable = False
    return kernel


def fir_gains(taps: Array, length: int, sample_rate: float) -> Array:
    """Response of a symmetric filter at 44.1 kHz, its delay taken off, at the bins of a transform at any rate.

    Parameters
    ----------
    taps : ndarray, shape (odd,)
        The filter at 44.1 kHz.
    length : int
        Length of the transform in samples.
    sample_rate : float
        Its sampling rate in Hz; above 22.05 kHz the response is held.

    Returns
    -------
    ndarray of float64, shape (length // 2 + 1,)
    """
    from scipy.signal import zoom_fft

    step = sample_rate / length
    inside = min(length // 2, int(_RATE / 2 / step))
    hz = np.arange(length // 2 + 1) * step
    # one bin more, so that there are two at least
    values = zoom_fft(taps, [0.0, (inside + 1) * step], inside + 2, fs=_RATE, endpoint=True)[: inside + 1]
    gains = np.full(length // 2 + 1, 0.0)
    gains[: inside + 1] = (values * np.exp(2j * np.pi * hz[: inside + 1] * (len(taps) // 2) / _RATE)).real
    gains[inside + 1 :] = gains[inside]
    return gains


def _table(source: str) -> Array:
    """Gain from the source to the cochlea in dB at `_HZ`."""
    if source not in _TO_EARDRUM:
        raise unknown_name("source", source, _TO_EARDRUM)
    gains: Array = _TO_EARDRUM[source] - _MIDDLE_EAR
    return gains


@lru_cache(maxsize=8)
def _windowed(source: str, inverse: bool) -> Array:
    """Taps of the 23-ms filter at 44.1 kHz.

    Gains are sampled in 512 steps up to half the rate. A tabulated frequency that falls between two samples stands at
    the one below the lower of them, as the simulator's design routine has it, and lines between are straight in gain;
    of several that fall on one sample the last counts. This shifts the bass by up to two steps, and is kept so that
    levels at the cochlea are those of that simulator.
    """
    decibels = _table(source) * (-1 if inverse else 1)
    nyquist = _RATE / 2
    inside = nyquist > _HZ
    hz = np.append(_HZ[inside], nyquist)
    gains = np.power(10.0, np.append(decibels[inside], np.interp(nyquist, _HZ, decibels)) / 20)
    samples = np.floor(hz / nyquist * (_STEPS + 1)).astype(int) - 1
    knots: dict[int, float] = {}
    start = 0
    for i, end in enumerate(samples[1:]):
        if end >= start:
            knots[int(end)] = float(gains[i + 1])
            knots[start] = float(gains[i])
            start = int(end) + 1
    sampled = np.interp(np.arange(_STEPS + 1), sorted(knots), [knots[k] for k in sorted(knots)])
    half = _TAPS // 2
    taps: Array = np.fft.irfft(sampled)[np.arange(-half, half + 1)] * np.kaiser(_TAPS, _KAISER)
    return taps
