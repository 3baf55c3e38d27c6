"""`threshold_noise`: the audibility floor, as noise in which a tone at the ear's threshold is just detected."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import numpy as np
import numpy.typing as npt

from audiogram.errors import unknown_name
from audiogram.filters.base import DifferentiableFilter
from audiogram.levels import check_full_scale
from audiogram.random_streams import check_seed, generator, row_keys
from audiogram.reference_thresholds import Transducer, reference_threshold
from audiogram.scales import erb_bandwidth, erb_number, erb_number_to_hz
from audiogram.thresholds import Audiogram, Interpolation

if TYPE_CHECKING:
    import torch

__all__ = ["ThresholdNoise", "detection_ratio"]

# Figure 9 of [2], as two independent readers took it from the print (they differ by at most 0.4 dB): signal-to-noise
# ratio in dB at the output of the auditory filter at which a tone is just detected, in a forced-choice task.
_FORCED_CHOICE_HZ = (50, 60, 70, 100, 150, 200, 300, 400, 500, 700, 1000)
_FORCED_CHOICE_DB = (13.5, 10.6, 8.5, 4.8, 1.5, 0.2, -1.2, -1.9, -2.5, -2.8, -3.0)
# With a clinic's manual audiometry, by which audiograms are made, the ratio at 1 kHz is 0 dB within 0.5 dB [3].
_CLINICAL_SHIFT_DB = 3.0

_STEP_CAM = 0.5
_BEYOND_CAM = 4.0  # bands above Nyquist that the last ones below it lean on; none of their noise is made
_CORRECTIONS = 5


def detection_ratio(frequency: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """K: level of a just detected tone above that of the noise, both at the output of the auditory filter, in dB.

    Parameters
    ----------
    frequency : array_like
        Frequency in Hz, 0 or more.

    Returns
    -------
    ndarray of float64
        0 dB from 1 kHz upwards, where the masked thresholds of manual audiometry lie [3]_; the rise below 1 kHz is that
        of [2]_, held below 50 Hz.

    Examples
    --------
    >>> detection_ratio([100, 1000, 4000]).round(1).tolist()
    [7.8, 0.0, 0.0]
    """
    hz = np.clip(np.asarray(frequency, dtype=np.float64), _FORCED_CHOICE_HZ[0], _FORCED_CHOICE_HZ[-1])
    ratio = np.interp(np.log2(hz), np.log2(_FORCED_CHOICE_HZ), _FORCED_CHOICE_DB)
    return np.asarray(ratio + _CLINICAL_SHIFT_DB, dtype=np.float64)


class ThresholdNoise(DifferentiableFilter):
    """Add noise that hides what the ear does not hear.

    The sound itself passes unchanged. The noise is shaped so that, in the power-spectrum model of masking [1]_, a tone
    at the ear's threshold is just detected in it at every frequency: at the output of the normal auditory filter there
    (a rounded exponential of the equivalent rectangular bandwidth of [1]_), the noise lies `detection_ratio` dB below
    the threshold in dB SPL. It is threshold-equalising noise [3]_ that equalises to an audiogram.

    What lies below threshold is then below the noise of its band. Attenuation alone leaves it there, at a lower level,
    and a model can amplify it again; no gain separates it from this noise.

    Parameters
    ----------
    audiogram : Audiogram or sequence of Audiogram
        The ear; or one ear per row of the input's first axis.
    sample_rate : float
        Sampling rate in Hz. Noise is made up to half of it.
    level : float
        Level in dB SPL of a signal whose RMS is 1, between -100 and 200.
    seed : int, default 0
        Seed of the noise, 0 or more.
    transducer : {"free_field", "diffuse_field", "tdh39", "er3a_711", "hda200"}, default "free_field"
        How the sound reaches the ear, hence what 0 dB HL is in dB SPL; see `reference_threshold`.
    interpolation : {"log2", "erb", "linear"}, default "log2"
        Frequency scale on which thresholds are interpolated; see `Audiogram.at`. Beyond its ends the audiogram is held.

    Raises
    ------
    InputError
        For options out of range; when called, for sound without samples, not finite or not floating point.

    Notes
    -----
    The noise of a row is drawn from the seed and the row's key alone, on the CPU: the same in any batch, at any place
    in it, as array or tensor, on any device; a longer row begins with the noise of a shorter one.

    The noise in each band is found by a few multiplicative corrections of the threshold itself, for what a filter
    takes in from its neighbours. From 160 Hz, the model's threshold is then within 0.8 dB of the audiogram, mostly
    within 0.2 dB, for every preset and where it changes by up to 30 dB per octave; where it changes by more than the
    filter's slope, no noise makes it, and thresholds beside the louder bands come out higher. 0 dB HL of a transducer
    is held below 125 Hz, where the ear's threshold rises by 15 dB per octave and more: the floor there is lower than
    the ear's.

    Loudness is another matter: what is heard is heard at its level. Where the sound shall be softer as well, attenuate
    what comes out, `attenuation(threshold_noise(x))`: sound and floor fall together and nothing comes back. Attenuating
    first would count the loss twice. An ideal observer that knows a tone's phase and
    adds it up for seconds can find it below the noise; what is lost is lost to anything that looks at the energy of
    bands in frames, as ears and recognisers do.

    References
    ----------
    .. [1] B. R. Glasberg and B. C. J. Moore, "Derivation of auditory filter shapes from notched-noise data", Hearing
       Research 47, 103-138, 1990.
    .. [2] B. C. J. Moore, B. R. Glasberg and T. Baer, "A model for the prediction of thresholds, loudness, and partial
       loudness", Journal of the Audio Engineering Society 45, 224-240, 1997, figure 9.
    .. [3] B. C. J. Moore, B. R. Glasberg and M. A. Stone, "New version of the TEN test with calibrations in dB HL", Ear
       and Hearing 25, 478-487, 2004.

    Examples
    --------
    >>> ear = Audiogram([500, 4000], [20, 60])
    >>> floor = ThresholdNoise(ear, sample_rate=16_000, level=100)
    >>> y = floor(np.zeros((2, 16_000)), keys=["a", "b"])
    >>> (100 + 20 * np.log10(y.std(axis=-1))).round(-1).tolist()  # dB SPL
    [70.0, 70.0]
    """

    linear: ClassVar[bool] = False
    level_dependent: ClassVar[bool] = True
    adds_noise: ClassVar[bool] = True

    def __init__(
        self,
        audiogram: Audiogram | Sequence[Audiogram],
        *,
        sample_rate: float,
        level: float,
        seed: int = 0,
        transducer: Transducer = "free_field",
        interpolation: Interpolation = "log2",
    ) -> None:
        super().__init__(audiogram, sample_rate=sample_rate)
        self.check_options(seed=seed, transducer=transducer, interpolation=interpolation)
        self.level = check_full_scale(level)
        self.seed = check_seed(seed)
        self.transducer, self.interpolation = transducer, interpolation

    @classmethod
    def check_options(cls, *, seed: int = 0, transducer: str = "free_field", interpolation: str = "log2") -> None:
        """Raise `InputError` for options out of range."""
        check_seed(seed)
        if transducer not in get_args(Transducer):
            raise unknown_name("transducer or sound field", transducer, get_args(Transducer))
        if interpolation not in get_args(Interpolation):
            raise unknown_name("interpolation", interpolation, get_args(Interpolation))

    @property
    def frequencies(self) -> npt.NDArray[np.float64]:
        """Frequencies in Hz at which `gains` are given, from 0 to half the sampling rate."""
        from audiogram.kernels.shaped_noise import bin_frequencies

        return bin_frequencies(self.sample_rate)

    @cached_property
    def gains(self) -> npt.NDArray[np.float64]:
        """Amplitudes, shape (ears, frequencies), that white noise of variance 1 is given at `frequencies`."""
        gains: npt.NDArray[np.float64] = _gains(np.log10, self.own_thresholds, *self._constants)
        return gains

    def __call__(self, x: Any, *, keys: str | Sequence[str] | None = None) -> Any:
        """Add the noise to `x` (..., samples); same shape, dtype and device.

        Parameters
        ----------
        x : ndarray or Tensor, shape (..., samples)
            Sound.
        keys : str or sequence of str, optional
            Ids of the clips, from which with the seed their noise is drawn: one, or one per row of `x`. By default a
            clip's noise is drawn from its samples.
        """
        return self._hear(x, keys=keys)

    def on_array(
        self, rows: npt.NDArray[Any], ears: npt.NDArray[np.int64], keys: str | Sequence[str] | None = None
    ) -> npt.NDArray[Any]:
        """See `DifferentiableFilter.on_array`; `keys` as when called."""
        from audiogram.kernels.shaped_noise import shape_arrays

        gains = self.gains if self._given is None else self.gains[ears]
        return (rows + shape_arrays(self._white(rows, keys), gains)).astype(rows.dtype)

    def on_tensor(
        self, rows: torch.Tensor, thresholds: torch.Tensor, keys: str | Sequence[str] | None = None
    ) -> torch.Tensor:
        """See `DifferentiableFilter.on_tensor`; `keys` as when called."""
        import torch

        from audiogram.kernels.shaped_noise import shape_tensors

        gains = _gains(torch.log10, thresholds, *self._constants_like(thresholds))
        white = torch.as_tensor(self._white(rows, keys), dtype=thresholds.dtype, device=rows.device)
        return (rows + shape_tensors(white, gains)).to(rows.dtype)

    def _white(self, rows: Any, keys: str | Sequence[str] | None) -> npt.NDArray[np.float64]:
        from audiogram.kernels.shaped_noise import white_rows

        generators = [generator(self.seed, key, "threshold noise") for key in row_keys(rows, keys)]
        return white_rows(generators, rows.shape[-1], self.sample_rate)

    def _constants_like(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """`_constants` on a tensor's device, kept for the next call: a copy to a GPU waits for it."""
        import torch

        key = ("constants", tensor.device, tensor.dtype)
        if key not in self._tensors:
            with torch.inference_mode(False):  # a tensor made in inference mode could not take part in training later
                self._tensors[key] = [
                    torch.as_tensor(one, dtype=tensor.dtype, device=tensor.device) for one in self._constants
                ]
        known: list[torch.Tensor] = self._tensors[key]
        return known

    @cached_property
    def _constants(self) -> list[npt.NDArray[np.float64]]:
        """What `_gains` needs beside the thresholds."""
        from audiogram.filters.interpolating import interpolation_matrix

        cam = np.arange(_STEP_CAM, float(erb_number(self.sample_rate / 2)) + _BEYOND_CAM, _STEP_CAM)
        centres = erb_number_to_hz(cam)
        to_bands = interpolation_matrix(self.threshold_frequencies, centres, self.interpolation)
        offsets = reference_threshold(centres, self.transducer) - detection_ratio(centres) - self.level
        bins = self.frequencies
        to_bins = interpolation_matrix(centres, bins, "erb")
        # from power per auditory filter to that per Hz, and to the gain of white noise, whose power is 2 / rate per Hz
        densities = 10 * np.log10(self.sample_rate / 2 / erb_bandwidth(bins))
        return [to_bands, offsets, _auditory_filters(centres), to_bins, densities]


def _auditory_filters(centres: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Share of the noise of each band (columns, in power per auditory filter) that each band's filter takes in."""
    slope = 4 * centres / erb_bandwidth(centres)
    away = slope[:, None] * np.abs(centres - centres[:, None]) / centres[:, None]
    filters: npt.NDArray[np.float64] = (1 + away) * np.exp(-away)
    steps = 4 * _STEP_CAM * np.arange(-40, 41)  # the same filter on an endless scale: its steps shall add up to 1
    filters /= ((1 + np.abs(steps)) * np.exp(-np.abs(steps))).sum()
    return filters


def _gains(log10: Any, thresholds: Any, to_bands: Any, offsets: Any, filters: Any, to_bins: Any, densities: Any) -> Any:
    """Amplitudes (rows, bins) of the noise for thresholds (rows, frequencies); the same code for arrays and tensors."""
    wanted = 10 ** ((thresholds @ to_bands.T + offsets) / 10)  # at the output of each filter
    power = wanted
    for _ in range(_CORRECTIONS):
        power = power * wanted / (power @ filters.T)
    return 10 ** (((10 * log10(power)) @ to_bins.T + densities) / 20)
