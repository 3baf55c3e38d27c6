"""`msbg`: the hearing-loss simulation of Moore, Stone, Baer and Glasberg, from the field to the cochlea and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt

from audiogram.ear_transfer import Design, Source, ear_kernel, low_passed_inverse
from audiogram.errors import unknown_name
from audiogram.filters.base import DifferentiableFilter, hear_together
from audiogram.filters.interpolating import interpolation_matrix
from audiogram.filters.recruitment import CATCH_UP, check_max_loss, expansion_exponents, warn_of_limited_losses
from audiogram.filters.severity import Severity, row_severities, severity_of
from audiogram.filters.smearing import BROADENING, smear_array, smear_tensor
from audiogram.kernels.smearing_frames import OVERLAP, frame_of
from audiogram.levels import check_full_scale
from audiogram.thresholds import Audiogram, Interpolation

if TYPE_CHECKING:
    import torch

    from audiogram.kernels.gammatone import Channels
    from audiogram.kernels.gammatone_gain import Expansion

__all__ = ["Msbg"]

Array = npt.NDArray[Any]

_BANKS: dict[str, Literal["mild", "moderate", "severe"]] = {
    "none": "mild",
    "mild": "mild",
    "moderate": "moderate",
    "severe": "severe",
}
# Seconds that sound rings before and after a clip inside the simulation; cut off there, it would click on its way back.
_MARGIN = 0.06


class Msbg(DifferentiableFilter):
    """Simulate a cochlear hearing loss as the Auditory Perception Group in Cambridge does (MSBG) [1]_ to [4]_.

    Sound is filtered as it reaches the cochlea; its spectrum is smeared by the severity of the loss (`Smearing`); in
    every channel of a gammatone bank, broader the severer the loss, the envelope is expanded so that soft sound is lost
    and loud sound is as loud as to normal ears (`Recruitment`); and the sum of the channels is filtered back.

    Parameters
    ----------
    audiogram : Audiogram or sequence of Audiogram
        The ear; or one ear per row of the input's first axis.
    sample_rate : float
        Sampling rate in Hz.
    level : float
        Level in dB SPL, at the source, of a signal whose RMS is 1, between -100 and 200.
    severity : {"auto", "none", "mild", "moderate", "severe"}, default "auto"
        How much is smeared, and how broad the channels are: 36 channels 1.5 times as broad as normal (none, mild), 28
        channels twice as broad (moderate), 19 channels three times as broad (severe); fewer where the sampling rate
        ends below their centres. `auto`: by the average threshold from 2 to 8 kHz, see
        `audiogram.filters.severity.severity_of`.
    source : {"free_field", "diffuse_field", "ear_reference_point"}, default "free_field"
        Where sound comes from; see `audiogram.ear_transfer.ear_response`.
    transfer : {"windowed", "table"}, default "windowed"
        How outer and middle ear are filtered, there and back: as the simulator does, or exactly; see
        `audiogram.ear_transfer.to_cochlea`.
    interpolation : {"linear", "log2", "erb"}, default "linear"
        Frequency scale on which thresholds are interpolated to the channels' centres, outermost ones held; the default
        is the simulator's.
    max_loss : float, default 80
        Thresholds above this many dB HL count as this, above 0 and at most 104: the expansion is infinite at 105.

    Warns
    -----
    AudiogramWarning
        For an ear with thresholds above `max_loss`.

    Raises
    ------
    InputError
        For options out of range; when called, for sound without samples, not finite or not floating point.

    Notes
    -----
    On speech at 44.1 kHz, levels in third-octave bands agree with those of pyclarity 0.9 within 0.5 dB wherever they
    are above 0 dB SPL, for the same sound at the same level; `benchmarks/msbg.py` shows by how much. Unlike that
    implementation there is no delay, the length is kept, silence stays silence, any rate serves, the channels' phases
    are aligned, and nothing changes the level before the simulation. It takes losses above 80 dB HL as they are, and
    fails at 105; and where an envelope ends its gains jump, which clicks above 14 kHz in speech of 85 dB SPL and more.

    Above 18 kHz output is removed, where filtering back would amplify most. Differentiable in sound and thresholds;
    severity is piecewise constant in them.

    References
    ----------
    .. [1] B. C. J. Moore and B. R. Glasberg, "Simulation of the effects of loudness recruitment and threshold elevation
       on the intelligibility of speech in quiet and in a background of speech", J. Acoust. Soc. Am. 94, 2050-2062,
       1993.
    .. [2] T. Baer and B. C. J. Moore, "Effects of spectral smearing on the intelligibility of sentences in noise",
       J. Acoust. Soc. Am. 94, 1229-1241, 1993.
    .. [3] Y. Nejime and B. C. J. Moore, "Simulation of the effect of threshold elevation and loudness recruitment
       combined with reduced frequency selectivity on the intelligibility of speech in noise", J. Acoust. Soc. Am. 102,
       603-615, 1997.
    .. [4] M. A. Stone and B. C. J. Moore, "Tolerable hearing aid delays. I.", Ear and Hearing 20, 182-192, 1999.

    Examples
    --------
    >>> ear = Audiogram([500, 1000, 2000, 4000], [20, 30, 40, 50])
    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)
    >>> soft, loud = (Msbg(ear, sample_rate=16_000, level=level)(tone)[4000:-4000] for level in (43, 103))
    >>> # the loss of 30 dB at 40 and at 100 dB SPL
    >>> [round(float(20 * np.log10(tone.std() / y.std()))) for y in (soft, loud)]
    [27, 4]
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
        severity: Literal["auto", "none", "mild", "moderate", "severe"] = "auto",
        source: Source = "free_field",
        transfer: Design = "windowed",
        interpolation: Interpolation = "linear",
        max_loss: float = 80.0,
    ) -> None:
        super().__init__(audiogram, sample_rate=sample_rate)
        self.check_options(
            severity=severity, source=source, transfer=transfer, interpolation=interpolation, max_loss=max_loss
        )
        self.level = check_full_scale(level)
        self.severity, self.source, self.transfer = severity, source, transfer
        self.interpolation, self.max_loss = interpolation, float(max_loss)
        warn_of_limited_losses(self.ears, self.max_loss)

    @classmethod
    def check_options(
        cls,
        *,
        severity: str = "auto",
        source: str = "free_field",
        transfer: str = "windowed",
        interpolation: str = "linear",
        max_loss: float = 80.0,
    ) -> None:
        """Raise `InputError` for options out of range."""
        for label, value, known in (
            ("severity", severity, ("auto", *get_args(Severity))),
            ("source", source, get_args(Source)),
            ("design of the ear's transfer", transfer, get_args(Design)),
            ("interpolation", interpolation, get_args(Interpolation)),
        ):
            if value not in known:
                raise unknown_name(label, value, known)
        check_max_loss(max_loss)

    def __call__(self, x: Any) -> Any:
        """Filter `x` (..., samples); same shape, dtype and device."""
        return self.together([self], x)[0]

    @staticmethod
    def together(filters: Sequence[Msbg], x: Any) -> Any:
        """Several simulations of the same sound, sharing what is the same in them.

        Parameters
        ----------
        filters : sequence of Msbg
            The filters. Those of one source share the way to the cochlea, those under which every row has the same
            severity also smearing and filterbank.
        x : ndarray or Tensor, shape (..., samples)
            Sound.

        Returns
        -------
        ndarray or Tensor, shape (filters, ..., samples)
        """
        return hear_together(filters, x, _alike, _on_rows)

    def on_tensor(self, rows: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
        """Simulate on `rows` (rows, samples) with `thresholds` (1 or rows, frequencies), differentiable in both."""
        import torch

        from audiogram.kernels.gammatone import channels
        from audiogram.kernels.gammatone_torch import expand
        from audiogram.kernels.zero_phase import convolve_tensor

        severities = row_severities(self, thresholds) if self.severity == "auto" else [self._fixed] * len(thresholds)
        severities *= len(rows) if len(severities) == 1 else 1
        thresholds = thresholds.expand(len(rows), -1)
        inside = convolve_tensor(torch.nn.functional.pad(rows.to(thresholds.dtype), self._margins), self._way_there)
        inside = smear_tensor(inside, [BROADENING[one] for one in severities], self.sample_rate)
        heard = torch.zeros_like(inside)
        for severity in sorted(set(severities)):
            mine = torch.tensor([i for i, one in enumerate(severities) if one == severity], device=rows.device)
            bank = channels(_BANKS[severity], self.sample_rate)
            matrix = interpolation_matrix(self.threshold_frequencies, bank.centres, self.interpolation)
            loss = thresholds[mine] @ torch.tensor(matrix.T, dtype=thresholds.dtype, device=rows.device)
            exponents = expansion_exponents(loss, self.max_loss)
            catch_up = torch.full_like(exponents[:1], self._catch_up)
            heard = heard.index_copy(0, mine, expand(inside[mine], exponents, catch_up, bank, self._way_back(bank)))
        return heard[:, self._margins[0] :][:, : rows.shape[-1]].to(rows.dtype)

    @property
    def _fixed(self) -> Severity:
        return self.severity  # type: ignore[return-value]

    @cached_property
    def _severities(self) -> tuple[Severity, ...]:
        """Of each ear."""
        return tuple(severity_of(ear) if self.severity == "auto" else self._fixed for ear in self.ears)

    @cached_property
    def _rules(self) -> dict[Severity, Expansion]:
        """Gains in the channels, of all ears, for each severity that one of them has."""
        from audiogram.kernels.gammatone import channels
        from audiogram.kernels.gammatone_gain import Expansion

        rules = {}
        for severity in set(self._severities):
            centres = channels(_BANKS[severity], self.sample_rate).centres
            loss = np.stack([ear.at(centres, self.interpolation, "hold") for ear in self.ears])
            exponents = expansion_exponents(loss, self.max_loss)
            rules[severity] = Expansion(exponents, np.full_like(exponents, self._catch_up))
        return rules

    @property
    def _catch_up(self) -> float:
        """Envelope of 105 dB SPL."""
        return float(10.0 ** ((CATCH_UP - self.level) / 20))

    @property
    def _margins(self) -> tuple[int, int]:
        """Samples of silence before and after.

        Before, so many that frames of smearing lie as in the simulator, whose first filter is late by 507 samples: what
        is smeared in voiced sound depends on where frames lie between the glottal pulses.
        """
        hop = frame_of(self.sample_rate) // OVERLAP
        after = math.ceil(_MARGIN * self.sample_rate)
        return hop * (after // hop + 1) + round(hop * (507 % 64) / 64), after

    @property
    def _way_there(self) -> Array:
        """Impulse response from the source to the cochlea."""
        return ear_kernel(self.sample_rate, self.source, False, self.transfer)

    def _way_back(self, bank: Channels) -> Array:
        """Impulse response from the sum of a bank's channels to the source."""
        return _way_back(bank, self.source, self.transfer)


@lru_cache(maxsize=16)
def _way_back(bank: Channels, source: Source, transfer: Design) -> Array:
    """What makes the channels' sum have no delay, and the ear's inverse, in one."""
    from scipy.signal import fftconvolve

    from audiogram.kernels.gammatone import equaliser

    both: Array = fftconvolve(equaliser(bank, False), low_passed_inverse(bank.sample_rate, source, transfer))
    return both


def _alike(filters: Sequence[Msbg], ears: Sequence[npt.NDArray[np.int64]]) -> list[list[int]]:
    """Which filters differ, row by row, in nothing but gains in the channels."""
    groups: dict[Any, list[int]] = {}
    for i, (one, own) in enumerate(zip(filters, ears, strict=True)):
        severities = tuple(one._severities[ear] for ear in own)
        groups.setdefault((one.sample_rate, one.source, one.transfer, severities), []).append(i)
    return list(groups.values())


def _on_rows(filters: Sequence[Msbg], ears: Sequence[npt.NDArray[np.int64]], rows: Array) -> Array:
    """Filters that are `_alike` on rows (rows, samples); shape (filters, rows, samples)."""
    from audiogram.kernels.gammatone import channels
    from audiogram.kernels.gammatone_gain import expand
    from audiogram.kernels.threads import in_row_blocks
    from audiogram.kernels.zero_phase import convolve

    first, samples = filters[0], rows.shape[-1]
    before, after = first._margins
    out = np.empty((len(filters), *rows.shape), rows.dtype)

    def work(begin: int, end: int) -> None:
        for i in range(begin, end):  # one by one: what a row needs is small enough for the cache
            severity = first._severities[ears[0][i]]
            bank, rules = channels(_BANKS[severity], first.sample_rate), [one._rules[severity] for one in filters]
            inside = convolve(rows[i : i + 1], first._way_there, -before, before + samples + after)
            inside = smear_array(inside, [BROADENING[severity]], first.sample_rate, rows.dtype)
            inside = inside.astype(rows.dtype, copy=False)
            heard = expand(inside, rules, [own[i : i + 1] for own in ears], bank, first._way_back(bank))
            out[:, i] = heard[:, 0, before : before + samples]

    in_row_blocks(work, len(rows))
    return out
