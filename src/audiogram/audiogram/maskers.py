"""Masking noise mixed in before a filter, at a signal-to-noise ratio."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from audiogram.errors import InputError, unknown_name
from audiogram.levels import active_rms, checked_mapping, checked_number
from audiogram.random_streams import generator

__all__ = ["NoiseKind", "check_noise", "make_noise"]

NoiseKind = Literal["white", "speech-shaped", "file"]

Array = npt.NDArray[np.float64]


def check_noise(noise: Any) -> dict[str, Any] | None:
    """Validate a masking noise.

    Parameters
    ----------
    noise : mapping or None
        `kind`: `white`, `speech-shaped` (the clip's own long-term spectrum) or `file` (with `file`, its path);
        `snr_db`: active speech level above the noise's level, in dB; `seed`: whole number, default 0.

    Returns
    -------
    dict or None
        The same with the default filled in.

    Raises
    ------
    InputError
        For other keys or values.
    """
    if noise is None:
        return None
    plain = checked_mapping("noise", noise, ("kind", "file", "snr_db", "seed"))
    kind = plain.get("kind", "file" if "file" in plain else None)
    if kind not in get_args(NoiseKind):
        raise unknown_name("kind of noise", kind, get_args(NoiseKind))
    if "snr_db" not in plain:
        raise InputError("noise needs snr_db, the active speech level above the noise in dB.")
    if (kind == "file") != ("file" in plain):
        raise InputError("noise of kind 'file' needs file, the path of a sound; other kinds have none.")
    seed = plain.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"noise.seed is a whole number, 0 or more, got {seed!r}.")
    result = {"kind": kind, "snr_db": checked_number("noise.snr_db", plain["snr_db"], -100.0, 100.0), "seed": seed}
    if kind == "file":
        result["file"] = str(plain["file"])
    return result


def make_noise(x: npt.ArrayLike, sample_rate: float, noise: Mapping[str, Any], key: str) -> Array:
    """Noise to be added to one clip.

    Parameters
    ----------
    x : array_like, shape (samples,)
        The clip, full scale 1.
    sample_rate : float
        Sampling rate in Hz.
    noise : mapping
        As `check_noise` returns it.
    key : str
        What makes this clip's noise its own beside the seed, e.g. its id; see `row_keys`.

    Returns
    -------
    ndarray of float64, shape (samples,)
        Its RMS lies `snr_db` below the clip's active level.

    Raises
    ------
    InputError
        For a silent clip, which has no level to relate noise to, and for an unreadable or silent noise file.
    """
    clip = np.asarray(x, dtype=np.float64)
    speech = active_rms(clip, sample_rate)
    if speech == 0:
        raise InputError("the clip is silent, so no noise has a signal-to-noise ratio to it; leave it out.")
    rng = generator(noise["seed"], key)
    if noise["kind"] == "file":
        sound = _from_file(noise["file"], len(clip), sample_rate, rng)
    else:
        sound = rng.standard_normal(len(clip))
        if noise["kind"] == "speech-shaped":
            sound = _shaped(sound, clip, sample_rate)
    rms = math.sqrt(float(np.mean(np.square(sound))))
    if rms == 0:
        raise InputError(f"the noise drawn from {noise.get('file', noise['kind'])} is silent; use another.")
    scaled: Array = sound * (speech * 10 ** (-float(noise["snr_db"]) / 20) / rms)
    return scaled


def _shaped(white: Array, clip: Array, sample_rate: float) -> Array:
    """White noise given the long-term average spectrum of the clip (32 ms Hann frames, half overlapping)."""
    import scipy.fft

    size = max(16, 2 * round(0.016 * sample_rate))
    padded = np.zeros(max(len(clip), size) + size)
    padded[size // 2 : size // 2 + len(clip)] = clip
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[:: size // 2]
    spectrum = scipy.fft.rfft(frames * np.hanning(size), axis=-1)
    magnitude = np.sqrt(np.mean(np.square(np.abs(spectrum)), axis=0))
    bins = scipy.fft.rfftfreq(len(white))
    gain = np.interp(bins, scipy.fft.rfftfreq(size), magnitude)
    shaped = scipy.fft.irfft(scipy.fft.rfft(white) * gain, len(white))
    return np.asarray(shaped, dtype=np.float64)


def _from_file(path: str, samples: int, sample_rate: float, rng: np.random.Generator) -> Array:
    """`samples` of the file from a random place on; the file begins again where it ends."""
    from audiogram.sound import read, resample

    sound, rate = read(path, allow_silent=False)
    if rate != sample_rate:
        sound = resample(sound, rate, int(sample_rate))
    start = int(rng.integers(len(sound)))
    noise: Array = np.take(sound.astype(np.float64), np.arange(start, start + samples), mode="wrap")
    return noise
