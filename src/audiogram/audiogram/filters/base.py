"""What the built-in filters have in common: ears, the two paths for arrays and tensors, and a module to train."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from audiogram.errors import InputError
from audiogram.filters.protocol import as_ears, check_sample_rate, check_sound, is_tensor, row_ears
from audiogram.thresholds import Audiogram, Interpolation

if TYPE_CHECKING:
    import torch

    from audiogram.filters.differentiable import FilterModule

__all__ = ["DifferentiableFilter", "as_rows", "hear_together", "working_dtype"]


class DifferentiableFilter:
    """Base of filters that are written once for rows of a NumPy array and once for rows of a torch tensor.

    A filter defines `on_array` and `on_tensor` (and its flags and options); calling it, batches, ears per row,
    precisions and `module()` follow.

    Parameters
    ----------
    audiogram : Audiogram or sequence of Audiogram
        The ear; or one ear per row of the input's first axis.
    sample_rate : float
        Sampling rate in Hz.

    Attributes
    ----------
    ears : tuple of Audiogram
        The ears.
    sample_rate : float
        Sampling rate in Hz.
    interpolation : {"log2", "erb", "linear"}
        Scale on which the filter interpolates thresholds; "log2" unless it has an option for it.
    """

    interpolation: Interpolation = "log2"

    def __init__(self, audiogram: Audiogram | Sequence[Audiogram], *, sample_rate: float) -> None:
        self.ears = as_ears(audiogram)
        self.sample_rate = check_sample_rate(sample_rate)
        self._given = None if isinstance(audiogram, Audiogram) else len(self.ears)
        self._tensors: dict[Any, Any] = {}

    def on_array(self, rows: npt.NDArray[Any], ears: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Filter rows.

        Parameters
        ----------
        rows : ndarray of float32 or float64, shape (rows, samples)
            Sound, contiguous, at least one row and one sample; not to be changed.
        ears : ndarray of int64, shape (rows,)
            Which of `self.ears` each row has.

        Returns
        -------
        ndarray
            Shape and dtype of `rows`.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method on_array(rows, ears).")

    def on_tensor(self, rows: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
        """Filter rows with given thresholds, differentiable in both.

        Parameters
        ----------
        rows : Tensor of float32 or float64, shape (rows, samples)
            Sound, on any device, at least one row and one sample.
        thresholds : Tensor, shape (1 or rows, frequencies)
            dB HL at `threshold_frequencies`, on the device of `rows`, float64 where the device has it.

        Returns
        -------
        Tensor
            Shape, dtype and device of `rows`.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method on_tensor(rows, thresholds).")

    @cached_property
    def threshold_frequencies(self) -> npt.NDArray[np.float64]:
        """Frequencies in Hz that `on_tensor` takes thresholds at: those of the ears, of all ears where they differ."""
        return np.unique(np.concatenate([ear.frequencies for ear in self.ears]))

    @property
    def own_thresholds(self) -> npt.NDArray[np.float64]:
        """Thresholds of the ears in dB HL at `threshold_frequencies`, shape (ears, frequencies).

        Interpolated on the filter's own scale, so that an ear measured at fewer frequencies than another keeps the
        same thresholds everywhere.
        """
        return np.stack([ear.at(self.threshold_frequencies, self.interpolation, "hold") for ear in self.ears])

    def module(self, trainable: bool = False) -> FilterModule:
        """The filter as a `torch.nn.Module`, with the thresholds as a parameter if `trainable`; see `FilterModule`."""
        from audiogram.filters.differentiable import FilterModule

        return FilterModule(self, trainable)

    def __call__(self, x: Any) -> Any:
        """Filter `x` (..., samples); same shape, dtype and device."""
        return self._hear(x)

    def _hear(self, x: Any, **extra: Any) -> Any:
        """Filter `x`; `extra` goes to `on_array` and `on_tensor`, as the keys of a filter that adds noise."""
        check_sound(x)
        ears = row_ears(x, self._given)
        if not len(ears):
            return x.clone() if is_tensor(x) else x.copy()
        if is_tensor(x):
            rows = x.reshape(-1, x.shape[-1]).to(working_dtype(x))
            return self.on_tensor(rows, self._row_thresholds(x, ears), **extra).reshape(x.shape).to(x.dtype)
        rows = np.ascontiguousarray(x, working_dtype(x)).reshape(-1, x.shape[-1])
        return self.on_array(rows, ears, **extra).reshape(x.shape).astype(x.dtype, copy=False)

    def _row_thresholds(self, x: Any, ears: npt.NDArray[np.int64]) -> Any:
        """Own thresholds on the device of `x`, kept for the next call: a copy to a GPU waits for it."""
        import torch

        from audiogram.filters.differentiable import exact_dtype

        key = (x.device, len(ears) if self._given else 1)
        if key not in self._tensors:
            values = self.own_thresholds if self._given is None else self.own_thresholds[ears]
            with torch.inference_mode(False):  # a tensor made in inference mode could not take part in training later
                self._tensors[key] = torch.as_tensor(values, dtype=exact_dtype(x.device), device=x.device)
        return self._tensors[key]


def as_rows(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Sound (..., samples) as a contiguous, writeable array (rows, samples): Numba compiles loops anew for others.

    Parameters
    ----------
    x : ndarray of float, shape (..., samples)
        Sound.

    Returns
    -------
    ndarray of `working_dtype`, shape (rows, samples)
        The same memory where that is possible.
    """
    rows = np.ascontiguousarray(x, working_dtype(x)).reshape(-1, x.shape[-1])
    return rows if rows.flags.writeable else rows.copy()


def hear_together(
    filters: Sequence[Any],
    x: Any,
    alike: Callable[[Sequence[Any], Sequence[npt.NDArray[np.int64]]], Iterable[list[int]]],
    on_rows: Callable[[Sequence[Any], Sequence[npt.NDArray[np.int64]], npt.NDArray[Any]], npt.NDArray[Any]],
) -> Any:
    """Several filters of one class on the same sound: arrays group by group, tensors filter by filter.

    Parameters
    ----------
    filters : sequence of DifferentiableFilter
        The filters.
    x : ndarray or Tensor, shape (..., samples)
        Sound.
    alike : callable
        From the filters and each one's ears by row, lists of indices: the filters that `on_rows` takes at once.
    on_rows : callable
        From such filters, their ears by row, and rows (rows, samples), their results (filters, rows, samples).

    Returns
    -------
    ndarray or Tensor, shape (filters, ..., samples)

    Raises
    ------
    InputError
        There is no filter, or `x` is no sound.
    """
    check_sound(x)
    if not filters:
        raise InputError("there is no filter to apply.")
    ears = [row_ears(x, one._given) for one in filters]
    if is_tensor(x):
        import torch

        rows = x.reshape(-1, x.shape[-1]).to(working_dtype(x))
        each = [
            one.on_tensor(rows, one._row_thresholds(x, own)) if len(own) else rows.clone()
            for one, own in zip(filters, ears, strict=True)
        ]
        return torch.stack(each).reshape(len(filters), *x.shape).to(x.dtype)
    rows = np.ascontiguousarray(x, working_dtype(x)).reshape(-1, x.shape[-1])
    out = np.empty((len(filters), *rows.shape), rows.dtype)
    for members in alike(filters, ears):
        out[members] = on_rows([filters[i] for i in members], [ears[i] for i in members], rows)
    return out.reshape(len(filters), *x.shape).astype(x.dtype, copy=False)


def working_dtype(x: Any) -> Any:
    """Precision to filter in: half precision has no transform of its own, and extended precision none at all.

    Parameters
    ----------
    x : ndarray or Tensor of float
        Sound.

    Returns
    -------
    numpy.dtype or torch.dtype
        Of 32 bits for sound of at most 32 bits, else of 64.
    """
    if is_tensor(x):
        import torch

        return torch.promote_types(x.dtype, torch.float32)
    return np.dtype(np.float32) if x.dtype.itemsize <= 4 else np.dtype(np.float64)
