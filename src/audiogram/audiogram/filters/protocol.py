"""What a filter is, and the checks on ears and sound that every filter begins with."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np

from audiogram.errors import AudiogramWarning, InputError
from audiogram.thresholds import Audiogram

__all__ = ["Filter", "as_ears", "check_sample_rate", "check_sound", "is_tensor", "row_ears"]

S = TypeVar("S")

_LOWEST_RATE = 200.0  # Hz; 192 is a sampling rate in kHz


@runtime_checkable
class Filter(Protocol):
    """A callable made from an audiogram.

    The class is called as `cls(ear, *, sample_rate, **options)`, every option by name and without `**kwargs`, so that
    options can be checked and written down. `ear` is one `Audiogram`, or a sequence of them, one per row of the
    input's first axis. Besides its own options it may take, by these names:

    - `level` (float, dB SPL of a signal whose RMS is 1), which a level-dependent filter must take;
    - `seed` (int), which a filter that adds noise must take.

    A class may offer

    - a static method `together(filters, x)` that gives `numpy.stack([f(x) for f in filters])` for filters of its own
      class, sharing work (where it adds noise, `together(filters, x, keys=None)`);
    - a class method `check_options(**options)` that raises `InputError` for options whose values are wrong whatever
      the ear, and may return a dict of the options as they are to be written down;
    - a class method `flags(**options)`, where its flags depend on its options: a dict of those that differ from the
      class's, which then say what may be. A filter's own attributes say what it is;
    - a class method `parts(**options)`: names of other filters that it is made of, for the record.
    """

    linear: ClassVar[bool]
    """Whether f(a x + b y) = a f(x) + b f(y)."""
    level_dependent: ClassVar[bool]
    """Whether what it does depends on the level of the sound in dB SPL."""
    adds_noise: ClassVar[bool]
    """Whether the output has noise of its own, drawn from `seed` and from the keys of the clips."""

    def __call__(self, x: Any) -> Any:
        """Filter `x` (..., samples), NumPy array or torch tensor: same shape, dtype and device, and no delay.

        A filter that adds noise also takes `keys` by name: None, a str, or one str per row of `x.reshape(-1, samples)`.
        The noise of a row depends on the seed and the row's key alone, or without keys on the row's samples, so that a
        clip is heard the same in any batch; `audiogram.random_streams` has what is needed for that.
        """
        ...


def is_tensor(x: object) -> bool:
    """Whether `x` is a torch tensor; torch is not imported for the question."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def check_sound(x: Any) -> None:
    """Raise `InputError` unless `x` is floating-point sound (..., samples) with samples that are all finite.

    Examples
    --------
    >>> check_sound(np.zeros((2, 100), np.float32))
    >>> check_sound(np.zeros(100, np.int16))
    Traceback (most recent call last):
    ...
    audiogram.errors.InputError: sound is floating point with full scale 1, got int16; divide by 32768 first.
    """
    if is_tensor(x):
        floating = x.is_floating_point()
    elif isinstance(x, np.ndarray):
        floating = x.dtype.kind == "f"
    else:
        raise InputError(f"sound is a NumPy array or a torch tensor, got {type(x).__name__}; numpy.asarray makes one.")
    if not floating:
        kind = str(x.dtype).removeprefix("torch.")
        hint = {"int16": "; divide by 32768 first", "int32": "; divide by 2**31 first"}.get(kind, "")
        raise InputError(f"sound is floating point with full scale 1, got {kind}{hint}.")
    if x.ndim == 0 or x.shape[-1] == 0:
        raise InputError(f"sound has no samples, shape {tuple(x.shape)}; its last axis is time.")
    if not is_finite(x):
        raise InputError("sound has samples that are NaN or infinite; find out where they come from and drop them.")


def is_finite(x: Any) -> bool:
    """Whether all values of a NumPy array or torch tensor are finite."""
    if is_tensor(x):
        return bool(x.detach().isfinite().all())
    return bool(np.isfinite(x).all())


def as_ears(ears: Audiogram | Sequence[Audiogram]) -> tuple[Audiogram, ...]:
    """One or more audiograms as a tuple.

    Raises
    ------
    InputError
        For anything else.

    Warns
    -----
    AudiogramWarning
        Where there was no response at a frequency, since the filter takes the loudest tone for the threshold.
    """
    if isinstance(ears, Audiogram):
        ears = (ears,)
    if isinstance(ears, str) or not isinstance(ears, Sequence):
        raise InputError(
            f"a filter is made from an Audiogram or a list of them, got {type(ears).__name__}; preset(name) gives one, "
            "listener.left or listener.right is one."
        )
    result = tuple(ears)
    if not result or not all(isinstance(ear, Audiogram) for ear in result):
        raise InputError("a filter is made from an Audiogram or a list of at least one; the list has something else.")
    unheard = next((ear for ear in result if ear.no_response), None)
    if unheard is not None:
        listed = ", ".join(f"{hz:g}" for hz in unheard.no_response)
        warnings.warn(
            f"audiogram {unheard.name or 'without a name'} has no response at {listed} Hz: the filter takes the "
            "loudest tone presented for the threshold, so the true loss is at least the loss heard.",
            AudiogramWarning,
            stacklevel=4,  # as_ears, the base's __init__, the filter's, its caller
        )
    return result


def check_sample_rate(sample_rate: float) -> float:
    """Sampling rate in Hz as a float; `InputError` unless it is a number of at least 200."""
    if isinstance(sample_rate, bool) or not isinstance(sample_rate, int | float | np.integer | np.floating):
        raise InputError(f"sample_rate is a number of Hz, got {sample_rate!r}.")
    if not 0 < sample_rate < float("inf"):
        raise InputError(f"sample_rate is a positive number of Hz, got {sample_rate!r}.")
    if sample_rate < _LOWEST_RATE:
        raise InputError(
            f"sample_rate is {sample_rate:g} Hz, which holds no sound; was it given in kHz? Give Hz, such as 16000."
        )
    return float(sample_rate)


def row_ears(x: Any, given: int | None) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Which ear each row of `x.reshape(-1, samples)` has.

    Parameters
    ----------
    x : array or tensor, shape (..., samples)
        The sound.
    given : int, optional
        How many audiograms the filter was given as a sequence; None for a single one, which all rows have.

    Returns
    -------
    ndarray of int64, shape (rows,)
    """
    rows = 1
    for n in x.shape[:-1]:
        rows *= int(n)
    if given is None:
        return np.zeros(rows, np.int64)
    if x.ndim < 2 or x.shape[0] != given:
        raise InputError(
            f"the filter has {given} audiograms, one per row of the first axis, but the sound's shape is "
            f"{tuple(x.shape)}; give ({given}, ..., samples)."
        )
    return np.repeat(np.arange(given, dtype=np.int64), rows // given if given else 0)
