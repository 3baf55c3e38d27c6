"""Filters as `torch.nn.Module`, differentiable in the sound and in the thresholds.

Importing this module imports torch; filters do so only when asked for a module or given a tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from audiogram.errors import InputError
from audiogram.filters.interpolating import interpolation_matrix
from audiogram.filters.protocol import check_sound, is_finite, is_tensor

__all__ = ["FilterModule", "exact_dtype", "interpolation_matrix"]


def exact_dtype(device: torch.device) -> torch.dtype:
    """The widest floating-point type of a device: float64, but float32 on Apple's GPUs, which have no other."""
    return torch.float32 if device.type == "mps" else torch.float64


class FilterModule(torch.nn.Module):
    """A filter as a layer; made by `filter.module()`.

    Parameters
    ----------
    filter : object
        A filter with `threshold_frequencies`, `own_thresholds` and `on_tensor`, as every built-in one.
    trainable : bool, default False
        Whether the thresholds are a parameter; otherwise they are a buffer.

    Attributes
    ----------
    thresholds : Tensor of float64, shape (ears, frequencies)
        dB HL at `frequencies`. Call `.float()` before moving the module to a device without float64.
    frequencies : tuple of float
        Frequencies of the thresholds in Hz.

    Raises
    ------
    InputError
        Where the filter's ears were measured at different frequencies.

    Examples
    --------
    >>> from audiogram import get_filter, preset
    >>> module = get_filter("attenuation")(preset("hfloss"), sample_rate=16_000).module(trainable=True)
    >>> module(torch.ones(2, 3000)).shape, module.thresholds.shape
    (torch.Size([2, 3000]), torch.Size([1, 7]))
    """

    thresholds: torch.Tensor

    def __init__(self, filter: Any, trainable: bool = False) -> None:
        super().__init__()
        grids = {ear.frequencies for ear in filter.ears}
        if len(grids) > 1:
            raise InputError(
                f"the filter's ears were measured at {len(grids)} different sets of frequencies, which no tensor of "
                "thresholds can hold; interpolate them to common ones with Audiogram.at."
            )
        self.filter = filter
        self.frequencies: tuple[float, ...] = grids.pop()
        values = torch.tensor(filter.own_thresholds, dtype=torch.float64)
        if trainable:
            self.thresholds = torch.nn.Parameter(values)
        else:
            self.register_buffer("thresholds", values)

    def forward(
        self,
        x: torch.Tensor,
        thresholds: torch.Tensor | None = None,
        *,
        keys: str | Sequence[str] | None = None,
    ) -> torch.Tensor:
        """Filter sound.

        Parameters
        ----------
        x : Tensor, shape (..., samples)
            Sound, floating point, full scale 1.
        thresholds : Tensor, shape (frequencies,) or (batch, frequencies), optional
            dB HL to use instead of the module's own; with more than one row, one per row of the first axis of `x`.
        keys : str or sequence of str, optional
            Ids of the clips, for a filter that adds noise; see `Filter.__call__`.

        Returns
        -------
        Tensor
            Shape, dtype and device of `x`; differentiable in `x` and in the thresholds.

        Raises
        ------
        InputError
            For sound or thresholds of the wrong shape, type or device, or not finite.
        """
        if not is_tensor(x):
            raise InputError(f"a module hears torch tensors, got {type(x).__name__}; the filter itself takes arrays.")
        check_sound(x)
        values = self._checked(x, self.thresholds if thresholds is None else thresholds)
        rows = x.reshape(-1, x.shape[-1])
        if not len(rows):
            return x.clone()
        if len(values) > 1:
            values = values.repeat_interleave(len(rows) // len(values), dim=0)
        rows = rows.to(torch.promote_types(x.dtype, torch.float32))
        extra = {} if keys is None else {"keys": keys}
        heard: torch.Tensor = self.filter.on_tensor(rows, values.to(exact_dtype(x.device)), **extra)
        return heard.reshape(x.shape).to(x.dtype)

    def _checked(self, x: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Thresholds as (1 or rows of the first axis, frequencies)."""
        wanted = len(self.frequencies)
        if not is_tensor(values) or not values.is_floating_point() or values.ndim not in (1, 2):
            raise InputError("thresholds are a floating-point tensor (frequencies,) or (batch, frequencies) in dB HL.")
        if values.shape[-1] != wanted:
            raise InputError(
                f"thresholds have {values.shape[-1]} frequencies, the filter's ear {wanted}: "
                f"{', '.join(f'{f:g}' for f in self.frequencies)} Hz."
            )
        if values.device != x.device:
            raise InputError(
                f"sound is on {x.device}, thresholds on {values.device}; move the module there with .to()."
            )
        values = values.reshape(-1, wanted)
        if len(values) != 1 and (x.ndim < 2 or len(values) != x.shape[0]):
            raise InputError(
                f"there are {len(values)} rows of thresholds, one per row of the first axis, but the sound's shape is "
                f"{tuple(x.shape)}; give ({len(values)}, ..., samples)."
            )
        if not is_finite(values):
            raise InputError("thresholds are NaN or infinite; a lower learning rate keeps a trained one finite.")
        return values

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"{type(self.filter).__name__}, {len(self.thresholds)} ear(s) at {len(self.frequencies)} frequencies"
