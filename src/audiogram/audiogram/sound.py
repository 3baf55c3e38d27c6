"""Sound in and out: files and bytes, mono, with errors instead of surprises."""

from __future__ import annotations

import contextlib
import io
import math
import os
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from audiogram.errors import InputError, WorkError, unknown_name

__all__ = ["FORMATS", "encode", "format_of", "read", "resample", "write"]

FORMATS = ("flac24", "flac16", "wav", "wav32f")
"""Formats that `write` and `encode` know: 24- and 16-bit FLAC, 16-bit WAV, 32-bit float WAV."""

_CONTAINERS = {
    "flac24": ("FLAC", "PCM_24", 24),
    "flac16": ("FLAC", "PCM_16", 16),
    "wav": ("WAV", "PCM_16", 16),
    "wav32f": ("WAV", "FLOAT", 0),
}
_BY_SUFFIX = {".flac": "flac24", ".wav": "wav"}
_BLOCK = 1 << 20  # samples per read, over all channels: memory follows what is there, not what a header promises
_FULL_SCALE_TOLERANCE = 1e-6  # rounding of a peak-normalised clip, far below one 16-bit step

T = TypeVar("T", np.float32, np.float64)


def read(
    source: str | os.PathLike[str] | bytes,
    *,
    max_seconds: float | None = None,
    allow_silent: bool = True,
) -> tuple[npt.NDArray[np.float32], int]:
    """Read a sound file as mono float32.

    Parameters
    ----------
    source : path or bytes
        A file, or its content; any format that libsndfile reads (WAV, FLAC, Ogg Vorbis, Opus, MP3, ...).
    max_seconds : float, optional
        Refuse longer sound, before decoding it. Default: no limit.
    allow_silent : bool, default True
        Whether a clip of zeros only is allowed.

    Returns
    -------
    samples : ndarray of float32, shape (samples,)
        Full scale is 1. Channels are averaged.
    rate : int
        Sampling rate in Hz.

    Raises
    ------
    InputError
        Where the file is missing, unreadable, truncated to nothing, longer than `max_seconds`, has no samples or
        samples that are not finite, or is silent with `allow_silent=False`.
    """
    import soundfile

    name = "sound bytes" if isinstance(source, bytes | bytearray | memoryview) else str(source)
    if isinstance(source, bytes | bytearray | memoryview):
        if not len(source):
            raise InputError("the sound bytes are empty.")
        opened: Any = _Bytes(source)
    else:
        opened = _checked_path(source)
    if max_seconds is not None and math.isnan(max_seconds):
        raise InputError("max_seconds is a number of seconds, or None for any length, got nan.")
    limit = math.inf
    blocks: list[npt.NDArray[np.float32]] = []
    try:
        with soundfile.SoundFile(opened) as file:
            rate, channels = int(file.samplerate), int(file.channels)
            if max_seconds is not None and math.isfinite(max_seconds):
                limit = math.floor(max_seconds * rate)
                if limit < file.frames < 2**62:  # some streams do not know their length and say 2**63 - 1
                    raise _too_long(name, file.frames / rate, max_seconds)
            total = 0
            while True:
                block = file.read(frames=max(1, _BLOCK // channels), dtype="float32", always_2d=True)
                if not len(block):
                    break
                total += len(block)
                if total > limit:
                    raise _too_long(name, total / rate, max_seconds or 0.0)
                blocks.append(block[:, 0] if channels == 1 else block.mean(axis=1, dtype=np.float32))
    except (soundfile.LibsndfileError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot read {name} as sound: {_reason(error)} {_likely_mistake()}") from None
    if not blocks:
        raise InputError(f"{name} has no samples (0 s of sound).")
    samples = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    peak = _peak(samples)
    if not np.isfinite(peak):
        raise InputError(f"{name} has samples that are NaN or infinite; write the file again from a sound source.")
    if peak == 0 and not allow_silent:
        raise InputError(f"{name} is silent: all {len(samples)} samples are 0.")
    return np.ascontiguousarray(samples), rate


def _likely_mistake() -> str:
    import soundfile

    if "MP3" in soundfile.available_formats():
        return "Is it an audio file, and complete?"
    return (
        f"Is it MP3? This libsndfile, {soundfile.__libsndfile_version__}, knows none: 1.1 and newer do, and "
        "`pip install --force-reinstall soundfile` brings one."
    )


class _Bytes(io.BytesIO):
    """Bytes as a file for libsndfile, which is told of a seek that cannot be by where it then is."""

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):  # from a damaged header; raised, it would be printed, not handed on
            return self.tell()


def encode(x: npt.ArrayLike, rate: int, format: str = "flac24") -> bytes:
    """Encode mono sound.

    Parameters
    ----------
    x : array_like of float, shape (samples,)
        Samples, full scale 1. Integer formats refuse more than full scale instead of clipping it.
    rate : int
        Sampling rate in Hz.
    format : {"flac24", "flac16", "wav", "wav32f"}, default "flac24"
        A value v is stored as `round(v * 2**(bits - 1))`, so that reading it back differs by at most 2**-bits
        (2**-(bits - 1) at +1, which integers do not reach); `wav32f` stores float32.

    Returns
    -------
    bytes
        A complete file; the same input gives the same bytes.

    Raises
    ------
    InputError
        For other shapes, no samples, non-finite samples, more than full scale, or an unknown format.
    """
    import soundfile

    if format not in _CONTAINERS:
        raise unknown_name("sound format", format, FORMATS)
    rate = _checked_rate(rate)
    container, subtype, bits = _CONTAINERS[format]
    samples = np.asarray(x)
    if samples.ndim != 1 or samples.dtype.kind != "f":
        raise InputError(
            f"sound to write is a 1-dimensional float array of mono samples, got {samples.dtype} {samples.shape}."
        )
    if not len(samples):
        raise InputError("there are no samples to write.")
    if samples.dtype not in (np.float32, np.float64):
        samples = samples.astype(np.float64)
    peak = _peak(samples)
    if not math.isfinite(peak):
        raise InputError("samples to write are NaN or infinite.")
    data: npt.NDArray[Any]
    if bits:
        if peak > 1 + _FULL_SCALE_TOLERANCE:
            raise InputError(
                f"the samples peak at {peak:.6g}, above full scale 1, and {format} would clip them; "
                "normalise (normalise='peak', --normalise peak), or write wav32f, which keeps them."
            )
        # libsndfile scales floats by 2**(bits-1) - 1 on writing and divides by 2**(bits-1) on reading: not the
        # identity. Integers at the top of an int32 pass it unchanged.
        top = 2 ** (bits - 1)
        steps = samples * samples.dtype.type(top)  # exact, a power of two; then in place: this is a corpus's inner loop
        np.rint(steps, out=steps)
        if peak * top > top - 1:  # +1 is a step more than integers reach
            np.clip(steps, -top, top - 1, out=steps)
        data = steps.astype(np.int32)
        data <<= 32 - bits
    else:
        data = samples.astype(np.float32)
    buffer = io.BytesIO()
    try:
        soundfile.write(buffer, data, rate, format=container, subtype=subtype)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise InputError(f"cannot write {container} at {rate} Hz: {_reason(error)}") from None
    encoded = buffer.getvalue()
    stamp = encoded.find(b"PEAK", 0, 128) + 12  # of float32: libsndfile notes there when it was written
    return encoded if bits or stamp < 12 else encoded[:stamp] + bytes(4) + encoded[stamp + 4 :]


def format_of(path: str | os.PathLike[str]) -> str:
    """Format that the name of a file means: `flac24` for .flac, `wav` for .wav; `InputError` for others."""
    name = Path(path).name
    if (found := _BY_SUFFIX.get(Path(path).suffix.lower())) is None:
        raise InputError(f"no sound format is known for {name!r}; name it .flac or .wav, or give the format.")
    return found


def write(path: str | os.PathLike[str], x: npt.ArrayLike, rate: int, format: str | None = None) -> None:
    """Write mono sound to a file, whole or not at all.

    Parameters
    ----------
    path : str or path-like
        File to write, ending in .flac or .wav.
    x : array_like of float, shape (samples,)
        Mono sound, within ±1 but for `wav32f`.
    rate : int
        Sampling rate in Hz.
    format : {"flac24", "flac16", "wav", "wav32f"}, optional
        Without one, the name decides: 24-bit FLAC for .flac, 16-bit WAV for .wav.

    Raises
    ------
    InputError
        As in `encode`, and without a `format` for other names.
    WorkError
        Where the file cannot be written.
    """
    content = encode(x, rate, format_of(path) if format is None else format)
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise WorkError(f"cannot write {target}: {error.strerror or error}.") from None


def resample(x: npt.NDArray[T], from_rate: int, to_rate: int) -> npt.NDArray[T]:
    """Resample along the last axis (soxr, high quality, linear phase).

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (..., samples)
        Sound.
    from_rate, to_rate : int
        Sampling rates in Hz.

    Returns
    -------
    ndarray
        Shape (..., about samples * to_rate / from_rate), dtype of `x`; `x` itself where the rates are equal.

    Raises
    ------
    InputError
        For other dtypes, no samples, or rates that are not positive whole numbers.

    Examples
    --------
    >>> resample(np.zeros(48000, np.float32), 48000, 16000).shape
    (16000,)
    """
    from_rate, to_rate = _checked_rate(from_rate), _checked_rate(to_rate)
    if not isinstance(x, np.ndarray) or x.dtype not in (np.float32, np.float64):
        kind = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
        raise InputError(f"sound to resample is a float32 or float64 array, got {kind}.")
    if x.ndim == 0 or x.shape[-1] == 0:
        raise InputError(f"there are no samples to resample, shape {x.shape}.")
    if from_rate == to_rate:
        return x
    import soxr

    if x.ndim == 1:
        return np.asarray(_long_enough(soxr.resample(x, from_rate, to_rate, quality="HQ"), x, from_rate, to_rate))
    rows = [np.asarray(soxr.resample(row, from_rate, to_rate, quality="HQ")) for row in x.reshape(-1, x.shape[-1])]
    length = len(_long_enough(rows[0], x, from_rate, to_rate)) if rows else round(x.shape[-1] * to_rate / from_rate)
    return np.asarray(rows, dtype=x.dtype).reshape(*x.shape[:-1], length)


def _long_enough(y: Any, x: npt.NDArray[Any], from_rate: int, to_rate: int) -> Any:
    if not len(y):
        raise InputError(
            f"sound of {x.shape[-1]} sample{'s'[: x.shape[-1] - 1]} is too short to resample from {from_rate} "
            f"to {to_rate} Hz."
        )
    return y


def _peak(samples: npt.NDArray[Any]) -> float:
    """Largest magnitude, NaN if any is, without a copy."""
    return max(float(samples.max()), -float(samples.min()))


def _checked_path(source: str | os.PathLike[str]) -> str:
    path = Path(source)
    if not path.exists():
        raise InputError(f"no such sound file: {path}.")
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a sound file.")
    try:
        empty = path.stat().st_size == 0
        with path.open("rb"):
            pass
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from None
    if empty:
        raise InputError(f"{path} is an empty file (0 bytes).")
    return str(path)


def _checked_rate(rate: int) -> int:
    if isinstance(rate, bool) or int(rate) != rate or rate <= 0:
        raise InputError(f"a sampling rate is a positive whole number of Hz, got {rate!r}.")
    return int(rate)


def _too_long(name: str, seconds: float, max_seconds: float) -> InputError:
    return InputError(f"{name} lasts {seconds:.1f} s, more than the {max_seconds:g} s allowed; cut it into clips.")


def _reason(error: Exception) -> str:
    text = str(getattr(error, "error_string", None) or error).strip()
    return text if text.endswith(".") else text + "."
