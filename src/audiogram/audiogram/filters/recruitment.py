"""`recruitment`: what is soft is lost and what is loud is as loud as ever, by expansion in auditory channels."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt

from audiogram.errors import AudiogramWarning, InputError, unknown_name
from audiogram.filters.base import DifferentiableFilter, hear_together
from audiogram.filters.interpolating import interpolation_matrix
from audiogram.levels import check_full_scale, checked_number
from audiogram.reference_thresholds import reference_threshold
from audiogram.thresholds import Audiogram, Interpolation

if TYPE_CHECKING:
    import torch

    from audiogram.kernels.gammatone import Channels
    from audiogram.kernels.gammatone_gain import Expansion

__all__ = ["CATCH_UP", "Recruitment", "check_max_loss", "expansion_exponents", "warn_of_limited_losses"]

Array = npt.NDArray[Any]
Bank = Literal["mild", "moderate", "severe"]
Reference = Literal["spl", "free_field", "diffuse_field", "tdh39", "er3a_711", "hda200"]

CATCH_UP = 105.0
"""Level in dB at which an impaired ear hears a sound as loud as a normal one does [1]_ of `Recruitment`."""

# A tone excites channels beside its own at lower levels, whose gain is lower; their sum falls short of the rule by
# a p / (1 + b p) dB for an exponent p, as an average over tones from 125 Hz to 8 kHz. Fitted to the banks' responses at
# 16 and 44.1 kHz, within 0.1 dB up to 80 dB HL; the envelope is taken as that much higher.
_SHORTFALL = {"mild": (4.004, 0.3485), "moderate": (3.950, 0.3561), "severe": (3.269, 0.2805)}


class Recruitment(DifferentiableFilter):
    """Expand the envelopes in auditory channels, as loudness recruitment does [1]_.

    An ear with a loss of HL dB hears nothing below HL, and at 105 dB all that a normal ear hears. Between, a level that
    lies d dB below 105 dB is heard as one that lies d x 105 / (105 - HL) dB below: for every dB of input drop a further
    HL / (105 - HL) dB of output. Above 105 dB nothing changes.

    Sound passes a bank of gammatone filters [2]_ [3]_; the gain in each channel follows from its envelope, smoothed
    below 75 Hz, and from the threshold at the channel's centre; the channels' sum is flat and has no delay. An ear
    without any loss changes nothing, to the last bit.

    Parameters
    ----------
    audiogram : Audiogram or sequence of Audiogram
        The ear; or one ear per row of the input's first axis. A threshold below 0 dB HL counts as 0.
    sample_rate : float
        Sampling rate in Hz.
    level : float
        Level in dB SPL of a signal whose RMS is 1, between -100 and 200.
    bank : {"mild", "moderate", "severe"}, default "mild"
        The channels: 36, 1.5 times as wide as normal auditory filters; 28, twice as wide; or 19, three times as wide;
        fewer where the sampling rate ends below their centres.
    reference : {"spl", "free_field", "diffuse_field", "tdh39", "er3a_711", "hda200"}, default "spl"
        What thresholds and the 105 dB are relative to. `spl`: 0 dB SPL at every frequency, for sound as it is at the
        cochlea. Otherwise the normal threshold of that sound field or earphone (`reference_threshold`), for sound as
        it is there: a sound at the ear's threshold then comes out at the normal ear's.
    interpolation : {"log2", "erb", "linear"}, default "log2"
        Frequency scale on which thresholds are interpolated to the channels' centres; see `Audiogram.at`.
    max_loss : float, default 80
        Thresholds above this many dB HL count as this, above 0 and at most 104: the slope is infinite at 105.

    Warns
    -----
    AudiogramWarning
        Where thresholds are above `max_loss`.

    Raises
    ------
    InputError
        For options out of range; when called, for sound without samples, not finite or not floating point.

    Notes
    -----
    For a steady tone up to 100 dB the slope is exact. Its level is that of the rule as an average over frequency: at
    the centres of channels higher and between them lower, with the bank `mild` by up to 1.5 dB for a loss of 40 dB,
    2.5 dB for 60 dB and 4 dB for 80 dB, with the others by up to 1.5 dB more. At 105 dB it is up to 5 dB too low: the
    channels beside its own, in which it is softer, catch up as late as 20 dB above. For wide-band sound the rule holds
    in each channel, whose level is that of its share.

    The channels are not those of [1]_, but of the simulator that followed it [2]_ [3]_. Below -95 dB in a channel,
    200 dB below the catch-up, the gain falls no further.

    References
    ----------
    .. [1] B. C. J. Moore and B. R. Glasberg, "Simulation of the effects of loudness recruitment and threshold elevation
       on the intelligibility of speech in quiet and in a background of speech", JASA 94, 2050-2062, 1993.
    .. [2] Y. Nejime and B. C. J. Moore, "Simulation of the effect of threshold elevation and loudness recruitment
       combined with reduced frequency selectivity on the intelligibility of speech in noise", JASA 102, 603-615, 1997.
    .. [3] M. A. Stone and B. C. J. Moore, "Tolerable hearing aid delays. I.", Ear and Hearing 20, 182-192, 1999.

    Examples
    --------
    >>> ear = Audiogram([250, 8000], [40, 40])
    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)
    >>> levels = []
    >>> for level in (63, 73, 103):  # the tone has 3 dB less
    ...     y = Recruitment(ear, sample_rate=16_000, level=level)(tone)[4000:-4000]
    ...     levels.append(round(level + 20 * np.log10(np.std(y))))
    >>> levels  # 16 dB for 10 dB: 105 / (105 - 40) = 1.6
    [32, 48, 97]
    """

    linear: ClassVar[bool] = False
    level_dependent: ClassVar[bool] = True
    adds_noise: ClassVar[bool] = False

    def __init__(
        self,
        audiogram: Audiogram | Sequence[Audiogram],
        *,
        sample_rate: float,
        level: float,
        bank: Bank = "mild",
        reference: Reference = "spl",
        interpolation: Interpolation = "log2",
        max_loss: float = 80.0,
    ) -> None:
        super().__init__(audiogram, sample_rate=sample_rate)
        self.check_options(bank=bank, reference=reference, interpolation=interpolation, max_loss=max_loss)
        self.level = check_full_scale(level)
        self.bank, self.reference, self.interpolation = bank, reference, interpolation
        self.max_loss = float(max_loss)
        warn_of_limited_losses(self.ears, self.max_loss)

    @classmethod
    def check_options(
        cls,
        *,
        bank: str = "mild",
        reference: str = "spl",
        interpolation: str = "log2",
        max_loss: float = 80.0,
    ) -> None:
        """Raise `InputError` for options out of range."""
        for label, value, known in (
            ("bank", bank, get_args(Bank)),
            ("reference of levels", reference, get_args(Reference)),
            ("interpolation", interpolation, get_args(Interpolation)),
        ):
            if value not in known:
                raise unknown_name(label, value, known)
        check_max_loss(max_loss)

    def __call__(self, x: Any) -> Any:
        """Filter `x` (..., samples); same shape, dtype and device."""
        return self.together([self], x)[0]

    @staticmethod
    def together(filters: Sequence[Recruitment], x: Any) -> Any:
        """Several filters on the same sound; on arrays, those of one bank share its channels and their envelopes.

        Parameters
        ----------
        filters : sequence of Recruitment
            The filters, of any options.
        x : ndarray or Tensor, shape (..., samples)
            Sound.

        Returns
        -------
        ndarray or Tensor, shape (filters, ..., samples)
        """
        return hear_together(filters, x, _alike, _on_rows)

    def on_tensor(self, rows: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
        """See `DifferentiableFilter.on_tensor`."""
        import torch

        from audiogram.kernels.gammatone import equaliser
        from audiogram.kernels.gammatone_torch import expand

        key = ("channels", rows.device, thresholds.dtype)
        if key not in self._tensors:
            matrix = interpolation_matrix(self.threshold_frequencies, self.channels.centres, self.interpolation)
            with torch.inference_mode(False):  # a tensor made in inference mode could not take part in training later
                self._tensors[key] = [
                    torch.as_tensor(one, dtype=thresholds.dtype, device=rows.device)
                    for one in (matrix.T, self._levels_at_catch_up)
                ]
        matrix, at_catch_up = self._tensors[key]
        exponents = expansion_exponents(thresholds @ matrix, self.max_loss)
        catch_up = torch.pow(10.0, (at_catch_up - self._correction(exponents)) / 20)
        changed = expand(rows, exponents, catch_up, self.channels, equaliser(self.channels, True))
        return torch.where((exponents > 0).any(dim=-1, keepdim=True), changed, rows)

    @cached_property
    def channels(self) -> Channels:
        """The channels of the bank at this sampling rate."""
        from audiogram.kernels.gammatone import channels

        return channels(self.bank, self.sample_rate)

    @cached_property
    def _levels_at_catch_up(self) -> npt.NDArray[np.float64]:
        """Level of the envelope of a steady tone of 105 dB in its own channel, dB re 1."""
        from audiogram.kernels.gammatone import ENVELOPE_DB

        catch_up = np.full(len(self.channels), CATCH_UP - self.level + ENVELOPE_DB)
        if self.reference != "spl":
            catch_up += reference_threshold(self.channels.centres, self.reference)
        return catch_up

    def _correction(self, exponents: Any) -> Any:
        """By how many dB envelopes are taken as higher than they are; see `_SHORTFALL`."""
        a, b = _SHORTFALL[self.bank]
        return a / (1 + b * exponents)

    @cached_property
    def _rule(self) -> Expansion:
        """Gains in the channels, of all ears."""
        from audiogram.kernels.gammatone_gain import Expansion

        losses = np.stack([ear.at(self.channels.centres, self.interpolation, "hold") for ear in self.ears])
        exponents = expansion_exponents(losses, self.max_loss)
        return Expansion(exponents, 10 ** ((self._levels_at_catch_up - self._correction(exponents)) / 20))


def expansion_exponents(losses: Any, max_loss: float = 80.0) -> Any:
    """By how many dB the output falls beyond each dB by which the input falls below 105 dB.

    Parameters
    ----------
    losses : ndarray or Tensor
        Thresholds in dB HL; those below 0 count as 0.
    max_loss : float, default 80
        Thresholds above count as this many dB HL; below 105.

    Returns
    -------
    ndarray or Tensor
        HL / (105 - HL), shape of `losses`; a channel's gain is the envelope re that at 105 dB to this power.

    Examples
    --------
    >>> expansion_exponents(np.array([-10.0, 0.0, 52.5, 120.0])).tolist()
    [0.0, 0.0, 1.0, 3.2]
    """
    held = losses.clip(0.0, max_loss)
    return held / (CATCH_UP - held)


def check_max_loss(max_loss: Any) -> float:
    """A limit of losses as a float; `InputError` unless it is a number above 0 and at most 104 dB HL."""
    value = checked_number("max_loss, in dB HL,", max_loss, 0.0, CATCH_UP - 1)
    if value == 0:
        raise InputError("max_loss is above 0 dB HL, got 0, which would leave no loss at all.")
    return value


def warn_of_limited_losses(ears: Iterable[Audiogram], max_loss: float) -> None:
    """Issue an `AudiogramWarning` where thresholds of ears are above the limit, on behalf of a filter's caller."""
    above = max((max(ear.thresholds) for ear in ears), default=0.0)
    if above > max_loss:
        warnings.warn(
            f"recruitment takes thresholds up to {above:g} dB HL for {max_loss:g}: at {CATCH_UP:g} its slope would be "
            f"infinite. max_loss (at most {CATCH_UP - 1:g}) sets another limit.",
            AudiogramWarning,
            stacklevel=4,
        )


def _alike(filters: Sequence[Recruitment], ears: Sequence[npt.NDArray[np.int64]]) -> list[list[int]]:
    """Filters that share their channels."""
    groups: dict[Any, list[int]] = {}
    for i, one in enumerate(filters):
        groups.setdefault((one.bank, one.sample_rate), []).append(i)
    return list(groups.values())


def _on_rows(filters: Sequence[Recruitment], ears: Sequence[npt.NDArray[np.int64]], rows: Array) -> Array:
    """Filters of one bank on rows (rows, samples); shape (filters, rows, samples)."""
    from audiogram.kernels.gammatone import equaliser
    from audiogram.kernels.gammatone_gain import expand

    out = np.empty((len(filters), *rows.shape), rows.dtype)
    out[:] = rows
    changes = np.zeros((len(filters), len(rows)), np.bool_)
    for i, (one, own) in enumerate(zip(filters, ears, strict=True)):
        lossy: Array = np.any(one._rule.exponents > 0, axis=1)
        changes[i] = lossy[own]
    some = np.flatnonzero(np.any(changes, axis=0))
    which = [i for i in range(len(filters)) if changes[i].any()]
    if which:
        rules, whose = [filters[i]._rule for i in which], [ears[i][some] for i in which]
        bank = filters[0].channels
        done = expand(rows[some], rules, whose, bank, equaliser(bank, True))
        for i, changed in zip(which, done, strict=True):
            heard = changes[i, some]
            out[i, some[heard]] = changed[heard]
    return out
