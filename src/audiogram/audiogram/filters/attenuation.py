"""`attenuation`: a hearing loss as gain over frequency, applied in the short-time Fourier domain."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt

from audiogram.errors import InputError, unknown_name
from audiogram.filters.base import DifferentiableFilter, as_rows, working_dtype
from audiogram.filters.protocol import check_sound, is_tensor, row_ears
from audiogram.thresholds import Audiogram, Interpolation

if TYPE_CHECKING:
    import torch

__all__ = ["Attenuation", "Method"]

Method = Literal["stft", "fir"]


class Attenuation(DifferentiableFilter):
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
        Hop in samples, at most half the window; without meaning for the method "fir".
    interpolation : {"log2", "erb", "linear"}, default "log2"
        Frequency scale on which thresholds are interpolated; see `Audiogram.at`.
    method : {"stft", "fir"}, default "stft"
        How: in the short-time Fourier domain, or by convolution with the time-invariant filter nearest to that, a
        kernel without phase of 2 n_fft - 1 samples.

    Raises
    ------
    InputError
        For options out of range; when called, for sound without samples, not finite or not floating point.

    Notes
    -----
    Linear and invertible: what is attenuated is still there, at a lower level. A model, unlike an ear, can amplify it
    again; nothing is lost below an audibility floor.

    The two methods differ by less than -75 dB of the output's RMS inside spoken digits heard through `lfloss` and
    `hfloss`, and by up to -33 dB of its peak in the first and last window of a clip, where the short-time transform
    has fewer frames to average over (`benchmarks/filters.py --speech`). The convolution is one and the same at every
    moment; on a CPU it takes longer.

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
        method: Method = "stft",
    ) -> None:
        super().__init__(audiogram, sample_rate=sample_rate)
        self.check_options(n_fft=n_fft, hop_length=hop_length, interpolation=interpolation, method=method)
        self.n_fft, self.hop_length, self.interpolation = int(n_fft), int(hop_length), interpolation
        self.method = method
        self._flat = all(ear.is_flat for ear in self.ears)
        self._cache: dict[Any, Any] = {}

    @classmethod
    def check_options(
        cls, *, n_fft: int = 2048, hop_length: int = 512, interpolation: str = "log2", method: str = "stft"
    ) -> None:
        """Raise `InputError` for options out of range."""
        for label, value in (("n_fft", n_fft), ("hop_length", hop_length)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise InputError(f"{label} is a whole number of samples, got {value!r}.")
        if n_fft < 16 or n_fft % 2:
            raise InputError(f"n_fft is an even number of samples, at least 16, got {n_fft}.")
        if method == "stft" and not 1 <= hop_length <= n_fft // 2:
            raise InputError(
                f"hop_length is 1 to n_fft / 2 = {n_fft // 2} samples, got {hop_length}; longer hops leave gaps."
            )
        if interpolation not in get_args(Interpolation):
            raise unknown_name("interpolation", interpolation, get_args(Interpolation))
        if method not in get_args(Method):
            raise unknown_name("method", method, get_args(Method))

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

    @cached_property
    def _kernels(self) -> npt.NDArray[np.float64]:
        """Kernels of the method `fir`, shape (ears, 2 * n_fft - 1)."""
        from audiogram.kernels.mask_fir import mask_kernel

        return mask_kernel(self.gains)

    @cached_property
    def _flat_gains(self) -> npt.NDArray[np.float64]:
        """One gain per ear, for ears with equal thresholds."""
        return np.array([10.0 ** (-ear.thresholds[0] / 20.0) for ear in self.ears])

    def __call__(self, x: Any) -> Any:
        """Filter `x` (..., samples); same shape, dtype and device."""
        return self.together([self], x)[0]

    def on_tensor(self, rows: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
        """Filter `rows` (rows, samples) with `thresholds` (1 or rows, frequencies), differentiable in both."""
        return self._on_tensor(rows, self._tensor_gains(thresholds))

    def _on_tensor(self, rows: torch.Tensor, gains: torch.Tensor) -> torch.Tensor:
        if self.method == "fir":
            from audiogram.kernels.mask_fir import filter_tensor_by_fir

            return filter_tensor_by_fir(rows, gains)
        from audiogram.kernels.torch_stft_gain import stft_gains

        return stft_gains(rows, [gains], self.n_fft, self.hop_length)[0]

    def _tensor_gains(self, thresholds: torch.Tensor) -> torch.Tensor:
        """Gains (..., n_fft // 2 + 1) of thresholds (..., frequencies) at `threshold_frequencies`."""
        import torch

        key = ("matrix", thresholds.device, thresholds.dtype)
        if key not in self._cache:
            from audiogram.filters.differentiable import interpolation_matrix

            matrix = interpolation_matrix(self.threshold_frequencies, self.frequencies, self.interpolation)
            with torch.inference_mode(False):
                self._cache[key] = torch.as_tensor(matrix.T, dtype=thresholds.dtype, device=thresholds.device)
        gains: torch.Tensor = torch.pow(10.0, -(thresholds @ self._cache[key]) / 20.0)
        return gains

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
    """Indices of the filters that need short-time transforms, by their parameters."""
    groups: dict[tuple[int, int], list[int]] = {}
    for i, one in enumerate(filters):
        if not one._flat and one.method == "stft":
            groups.setdefault((one.n_fft, one.hop_length), []).append(i)
    return groups


def _arrays(filters: Sequence[Attenuation], x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    rows, dtype = as_rows(x), working_dtype(x)
    ears = {one._given: row_ears(x, one._given) for one in filters}
    out = np.empty((len(filters), *rows.shape), dtype)
    for i, one in enumerate(filters):
        if one._flat:
            np.multiply(rows, one._flat_gains.astype(dtype)[ears[one._given], None], out=out[i])
        elif one.method == "fir" and len(rows):
            from audiogram.kernels.mask_fir import filter_rows_by_fir

            filter_rows_by_fir(rows, one._kernels, ears[one._given], out[i])
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
        stft_gains(rows, gains, which, n_fft, hop, out, members)
    return out.reshape(len(filters), *x.shape).astype(x.dtype, copy=False)


def _tensors(filters: Sequence[Attenuation], x: Any) -> Any:
    import torch

    from audiogram.kernels.torch_stft_gain import stft_gains

    rows = x.reshape(-1, x.shape[-1]).to(working_dtype(x))
    ears = {one._given: row_ears(x, one._given) for one in filters}
    out: list[Any] = [rows] * len(filters)
    if len(rows):
        for i, one in enumerate(filters):
            if one._flat:
                thresholds = one._row_thresholds(x, ears[one._given])[:, :1]
                out[i] = rows * torch.pow(10.0, -thresholds / 20.0).to(rows.dtype)
            elif one.method == "fir":
                out[i] = one._on_tensor(rows, _own_gains(one, x, ears[one._given]))
        for (n_fft, hop), members in _groups(filters).items():
            sets = [_own_gains(filters[i], x, ears[filters[i]._given]) for i in members]
            for i, done in zip(members, stft_gains(rows, sets, n_fft, hop), strict=True):
                out[i] = done
    return torch.stack(out).reshape(len(filters), *x.shape).to(x.dtype)


def _own_gains(one: Attenuation, x: Any, ears: npt.NDArray[np.int64]) -> Any:
    """Gains of the filter's own thresholds, (1 or rows, n_fft // 2 + 1), kept for the next call."""
    import torch

    key = ("gains", x.device, len(ears) if one._given else 1)
    if key not in one._cache:
        with torch.inference_mode(False), torch.no_grad():
            one._cache[key] = one._tensor_gains(one._row_thresholds(x, ears))
    return one._cache[key]
