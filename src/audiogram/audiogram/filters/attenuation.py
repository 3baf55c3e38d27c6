"""`attenuation`: a hearing loss as gain over frequency, applied in the short-time Fourier domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, get_args

import numpy as np
import numpy.typing as npt

from audiogram.errors import InputError, unknown_name
from audiogram.filters.protocol import as_ears, check_sample_rate, check_sound, is_tensor, row_ears
from audiogram.thresholds import Audiogram, Interpolation

__all__ = ["Attenuation"]


class Attenuation:
    """Attenuate every frequency by the threshold there.

    STFT with a periodic Hann window and zero padding of half a window at both ends; every bin times `10**(-dB/20)`
    with the thresholds interpolated and held at their edges; inverse STFT with the window-square sum, cut to the
    input's length. An audiogram with equal thresholds is one gain and no transform.

    Parameters
    ----------
    audiogram : Audiogram or sequence of Audiogram
        The ear; or one ear per row of the input's first axis.
    sample_rate : float
        Sampling rate in Hz.
    n_fft : int, default 2048
        Window length in samples, even, at least 16.
    hop_length : int, default 512
        Hop in samples, at most half the window.
    interpolation : {"log2", "erb", "linear"}, default "log2"
        Frequency scale on which thresholds are interpolated; see `Audiogram.at`.

    Raises
    ------
    InputError
        For options out of range; when called, for sound without samples, not finite or not floating point.

    Notes
    -----
    Linear and invertible: what is attenuated is still there, at a lower level. A model, unlike an ear, can amplify it
    again; nothing is lost below an audibility floor.

    Examples
    --------
    >>> ear = Audiogram([125, 8000], [20, 20])
    >>> Attenuation(ear, sample_rate=16000)(np.ones(3))
    array([0.1, 0.1, 0.1])
    """

    linear: ClassVar[bool] = True
    level_dependent: ClassVar[bool] = False
    adds_noise: ClassVar[bool] = False

    def __init__(
        self,
        audiogram: Audiogram | Sequence[Audiogram],
        *,
        sample_rate: float,
        n_fft: int = 2048,
        hop_length: int = 512,
        interpolation: Interpolation = "log2",
    ) -> None:
        self.ears = as_ears(audiogram)
        self.sample_rate = check_sample_rate(sample_rate)
        self.check_options(n_fft=n_fft, hop_length=hop_length, interpolation=interpolation)
        self.n_fft, self.hop_length, self.interpolation = int(n_fft), int(hop_length), interpolation
        self._given = None if isinstance(audiogram, Audiogram) else len(self.ears)
        self._flat = all(ear.is_flat for ear in self.ears)
        self._cache: dict[Any, Any] = {}

    @classmethod
    def check_options(cls, *, n_fft: int = 2048, hop_length: int = 512, interpolation: str = "log2") -> None:
        """Raise `InputError` for options out of range."""
        for label, value in (("n_fft", n_fft), ("hop_length", hop_length)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise InputError(f"{label} is a whole number of samples, got {value!r}.")
        if n_fft < 16 or n_fft % 2:
            raise InputError(f"n_fft is an even number of samples, at least 16, got {n_fft}.")
        if not 1 <= hop_length <= n_fft // 2:
            raise InputError(
                f"hop_length is 1 to n_fft / 2 = {n_fft // 2} samples, got {hop_length}; longer hops leave gaps."
            )
        if interpolation not in get_args(Interpolation):
            raise unknown_name("interpolation", interpolation, get_args(Interpolation))

    @property
    def frequencies(self) -> npt.NDArray[np.float64]:
        """Frequencies of the STFT's bins in Hz, shape (n_fft // 2 + 1,)."""
        bins: npt.NDArray[np.float64] = np.arange(self.n_fft // 2 + 1, dtype=np.float64)
        return bins * np.float64(self.sample_rate / self.n_fft)

    @property
    def gains(self) -> npt.NDArray[np.float64]:
        """Linear gains, shape (ears, n_fft // 2 + 1), at `frequencies`."""
        if "gains" not in self._cache:
            thresholds = np.stack([ear.at(self.frequencies, self.interpolation, "hold") for ear in self.ears])
            self._cache["gains"] = np.power(10.0, -thresholds / 20.0)
        gains: npt.NDArray[np.float64] = self._cache["gains"]
        return gains

    @property
    def _spread_gains(self) -> npt.NDArray[np.float64]:
        """Gains as `stft_gains` takes them."""
        if "spread" not in self._cache:
            from audiogram.kernels.stft_gain import spread

            self._cache["spread"] = spread(self.gains)
        gains: npt.NDArray[np.float64] = self._cache["spread"]
        return gains

    def __call__(self, x: Any) -> Any:
        """Filter `x` (..., samples); same shape, dtype and device."""
        return self.together([self], x)[0]

    @staticmethod
    def together(filters: Sequence[Attenuation], x: Any) -> Any:
        """Several filters on the same sound, from one forward transform.

        Parameters
        ----------
        filters : sequence of Attenuation
            The filters, of any options; those with the same `n_fft` and `hop_length` share their transform.
        x : ndarray or Tensor, shape (..., samples)
            Sound.

        Returns
        -------
        ndarray or Tensor, shape (filters, ..., samples)
        """
        check_sound(x)
        if not filters:
            raise InputError("there is no filter to apply.")
        return _tensors(filters, x) if is_tensor(x) else _arrays(filters, x)


def _groups(filters: Sequence[Attenuation]) -> dict[tuple[int, int], list[int]]:
    """Indices of the filters that need a transform, by its parameters."""
    groups: dict[tuple[int, int], list[int]] = {}
    for i, one in enumerate(filters):
        if not one._flat:
            groups.setdefault((one.n_fft, one.hop_length), []).append(i)
    return groups


def _flat_gains(one: Attenuation) -> npt.NDArray[np.float64]:
    return np.array([10.0 ** (-ear.thresholds[0] / 20.0) for ear in one.ears])


def _arrays(filters: Sequence[Attenuation], x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    # half precision has no transform of its own, and extended precision none that is compiled
    dtype = np.dtype(np.float32) if x.dtype.itemsize <= 4 else np.dtype(np.float64)
    rows = np.ascontiguousarray(x, dtype).reshape(-1, x.shape[-1])
    ears = {one._given: row_ears(x, one._given) for one in filters}
    out = np.empty((len(filters), *rows.shape), dtype)
    for i, one in enumerate(filters):
        if one._flat:
            np.multiply(rows, _flat_gains(one).astype(dtype)[ears[one._given], None], out=out[i])
    for (n_fft, hop), members in _groups(filters).items():
        if not len(rows):
            break
        from audiogram.kernels.stft_gain import stft_gains

        # filters of one group may have one ear or several: stack them as sets over the same rows
        widest = max(len(filters[i].ears) for i in members)
        which = next(ears[filters[i]._given] for i in members if len(filters[i].ears) == widest)
        gains = np.empty((len(members), widest, n_fft))
        for j, i in enumerate(members):
            gains[j] = filters[i]._spread_gains
        stft_gains(rows, gains, which, n_fft, hop, [out[i] for i in members])
    return out.reshape(len(filters), *x.shape).astype(x.dtype, copy=False)


def _tensors(filters: Sequence[Attenuation], x: Any) -> Any:
    import torch

    from audiogram.kernels.torch_stft_gain import stft_gains

    dtype = torch.promote_types(x.dtype, torch.float32)
    rows = x.reshape(-1, x.shape[-1]).to(dtype)
    out: list[Any] = [None] * len(filters)
    for i, one in enumerate(filters):
        row_ears(x, one._given)
        if one._flat:
            out[i] = rows * _tensor_gains(one, x, dtype, _flat_gains(one)[:, None])
    for (n_fft, hop), members in _groups(filters).items():
        if not len(rows):
            for i in members:
                out[i] = rows
            continue
        sets = [_tensor_gains(filters[i], x, dtype, filters[i].gains) for i in members]
        widest = max(len(one) for one in sets)
        done = stft_gains(rows, torch.stack([one.expand(widest, -1) for one in sets]), n_fft, hop)
        for j, i in enumerate(members):
            out[i] = done[j]
    return torch.stack(out).reshape(len(filters), *x.shape).to(x.dtype)


def _tensor_gains(one: Attenuation, x: Any, dtype: Any, gains: npt.NDArray[np.float64]) -> Any:
    """Gains on the device of `x`, (1 or rows, ...), kept for the next call: a copy to a GPU waits for it."""
    import torch

    rows = x.numel() // x.shape[-1]
    key = (x.device, dtype, rows if one._given else 1)
    if key not in one._cache:
        per_row = gains if one._given is None else gains[row_ears(x, one._given)]
        with torch.inference_mode(False):  # a tensor made in inference mode could not take part in training later
            one._cache[key] = torch.as_tensor(per_row, dtype=dtype, device=x.device)
    return one._cache[key]
