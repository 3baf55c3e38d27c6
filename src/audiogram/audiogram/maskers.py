"""Masking noise mixed in before a filter, at a signal-to-noise ratio."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from audiogram.errors import InputError, unknown_name
from audiogram.levels import active_rms, checked_mapping, checked_number
from audiogram.long_term_spectrum import check_spectrum, long_term_spectrum, noise_gains
from audiogram.random_streams import check_seed, generator

if TYPE_CHECKING:
    from audiogram.corpus.sources import Corpus

__all__ = ["NoiseKind", "check_noise", "make_noise"]

NoiseKind = Literal["white", "speech-shaped", "file"]

Array = npt.NDArray[np.float64]

_KEYS = ("kind", "file", "corpus", "spectrum", "snr_db", "seed")
_CORPUS_CLIPS = 200  # drawn for a corpus's spectrum
_spectra: dict[str, dict[str, list[float]]] = {}  # by a corpus's fingerprint: many conditions have the noise of one


def check_noise(noise: Any) -> dict[str, Any] | None:
    """Validate a masking noise; measure the spectrum of a corpus.

    Parameters
    ----------
    noise : mapping or None
        `kind`: `white`, `speech-shaped` or `file` (with `file`, its path); `snr_db`: active speech level above the
        noise's level, in dB; `seed`: whole number, default 0. Speech-shaped noise has the clip's own long-term
        spectrum; or with `corpus`, the path of what `open_corpus` reads, the average one of its clips (of 200 of them
        drawn by their ids, where there are more); or with `spectrum` any other: `frequencies` (Hz), `levels_db` per Hz.

    Returns
    -------
    dict or None
        The same with the default filled in, and the spectrum beside the corpus: it is measured once, and the noise can
        be made again where the corpus is not at hand or has grown.

    Raises
    ------
    InputError
        For other keys or values, and for a corpus that cannot be read or has no sound.
    """
    if noise is None:
        return None
    plain = checked_mapping("noise", noise, _KEYS)
    kind = plain.get("kind", "file" if "file" in plain else None)
    if kind not in get_args(NoiseKind):
        raise unknown_name("kind of noise", kind, get_args(NoiseKind))
    if "snr_db" not in plain:
        raise InputError("noise needs snr_db, the active speech level above the noise in dB.")
    if (kind == "file") != ("file" in plain):
        raise InputError("noise of kind 'file' needs file, the path of a sound; other kinds have none.")
    if kind != "speech-shaped" and ("corpus" in plain or "spectrum" in plain):
        raise InputError("corpus and spectrum belong to noise of kind 'speech-shaped'; other kinds have none.")
    result: dict[str, Any] = {
        "kind": kind,
        "snr_db": checked_number("noise.snr_db", plain["snr_db"], -100.0, 100.0),
        "seed": check_seed(plain.get("seed", 0), "noise.seed"),
    }
    if kind == "file":
        result["file"] = str(plain["file"])
    if "corpus" in plain:
        result["corpus"] = str(plain["corpus"])
    if "spectrum" in plain:
        result["spectrum"] = check_spectrum(plain["spectrum"])
    elif "corpus" in plain:
        result["spectrum"] = _spectrum_of(result["corpus"])
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
    elif noise["kind"] == "white":
        sound = rng.standard_normal(len(clip))
    else:
        spectrum = noise["spectrum"] if "spectrum" in noise else long_term_spectrum([(clip, sample_rate)])
        sound = _shaped(spectrum, len(clip), sample_rate, rng)
    rms = math.sqrt(float(np.mean(np.square(sound))))
    if rms == 0:
        raise InputError(f"the noise drawn from {noise.get('file', noise['kind'])} is silent; use another.")
    scaled: Array = sound * (speech * 10 ** (-float(noise["snr_db"]) / 20) / rms)
    return scaled


def _shaped(spectrum: Mapping[str, Any], samples: int, sample_rate: float, rng: np.random.Generator) -> Array:
    from audiogram.kernels.shaped_noise import shape_arrays, white_rows

    shaped: Array = shape_arrays(white_rows([rng], samples, sample_rate), noise_gains(spectrum, sample_rate)[None])[0]
    return shaped


def _from_file(path: str, samples: int, sample_rate: float, rng: np.random.Generator) -> Array:
    """`samples` of the file from a random place on; the file begins again where it ends."""
    try:
        changed = os.stat(path).st_mtime_ns
    except OSError:
        changed = 0  # reading it says what is wrong
    sound = _read(path, changed, sample_rate)
    start = int(rng.integers(len(sound)))
    noise: Array = np.take(sound, np.arange(start, start + samples), mode="wrap").astype(np.float64)
    return noise


@lru_cache(maxsize=4)
def _read(path: str, changed: int, sample_rate: float) -> npt.NDArray[np.float32]:
    """A noise file at a sampling rate, kept for the next clip while the file does not change."""
    from audiogram.sound import read, resample

    sound, rate = read(path, allow_silent=False)
    noise: npt.NDArray[np.float32] = sound if rate == sample_rate else resample(sound, rate, int(sample_rate))
    return noise


def _spectrum_of(path: str) -> dict[str, list[float]]:
    from audiogram.corpus.sources import open_corpus

    try:
        corpus = open_corpus(path)
        fingerprint = corpus.fingerprint()
        if fingerprint not in _spectra:
            _spectra[fingerprint] = long_term_spectrum(_sounds(corpus))
    except InputError as error:
        raise InputError(f"noise.corpus: {error}") from None
    return _spectra[fingerprint]


def _sounds(corpus: Corpus) -> Iterator[tuple[npt.NDArray[np.float32], float]]:
    """A sample of the clips, the same on every machine; those that cannot be read are left out."""
    from audiogram.corpus.selection import draw

    ids = [(split, i, name) for split in corpus.splits for i, name in enumerate(corpus.ids(split))]
    chosen = [ids[k] for k in draw([f"{split}/{name}" for split, _, name in ids], _CORPUS_CLIPS, 0, "spectrum")]
    for split in corpus.splits:
        for clip in corpus.read(split, [i for where, i, _ in chosen if where == split]):
            try:
                yield clip.audio()
            except InputError:
                continue
