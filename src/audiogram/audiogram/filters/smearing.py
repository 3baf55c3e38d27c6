"""`smearing`: a spectrum blurred so that normal ears hear what broadened auditory filters make of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt

from audiogram.errors import InputError, unknown_name
from audiogram.filters.base import DifferentiableFilter
from audiogram.filters.severity import Severity, row_severities, severity_of
from audiogram.kernels.smearing_frames import frame_of, smearing_matrix
from audiogram.thresholds import Audiogram

if TYPE_CHECKING:
    import torch

__all__ = ["BROADENING", "Smearing", "smear_array", "smear_tensor"]

BROADENING: dict[Severity, tuple[float, float]] = {
    "none": (1.0, 1.0),
    "mild": (1.6, 1.1),
    "moderate": (2.4, 1.6),
    "severe": (4.0, 2.0),
}
"""How much broader than normal the lower and the upper sides of the auditory filters are, by severity [3]_."""

_WIDEST = 10.0


class Smearing(DifferentiableFilter):
    """Blur the short-time spectrum as broadened auditory filters do, the levels of broad bands kept [1]_, [2]_.

    Frames of 5.8 ms, four over each sample, padded to twice their length. The power spectrum of a frame is smeared by
    a matrix; magnitudes are its square root, phases stay, and frames are added up again.

    Parameters
    ----------
    audiogram : Audiogram or sequence of Audiogram
        The ear; or one ear per row of the input's first axis.
    sample_rate : float
        Sampling rate in Hz.
    severity : {"auto", "none", "mild", "moderate", "severe"}, default "auto"
        How much is smeared: lower and upper sides of the filters 1.6 and 1.1 times as broad as normal (mild), 2.4 and
        1.6 (moderate), 4 and 2 (severe); none leaves sound as it is. `auto`: by the average of the ear's thresholds
        from 2 to 8 kHz, see `audiogram.filters.severity.severity_of`.
    broadening : pair of float, optional
        Lower and upper factor to use instead, for all ears, each 1 to 10.

    Raises
    ------
    InputError
        For options out of range; when called, for sound without samples, not finite or not floating point.

    Notes
    -----
    Not linear, but homogeneous: twice the sound gives twice the output, and silence stays silence. Smearing comes on
    top of what the listener's own ears do, and a frame's new magnitudes with its old phases are no spectrum of any one
    sound, so that adding up frames undoes part of it. As a module it is differentiable in sound. Thresholds only select
    the severity: the output is piecewise constant in them, and its gradient in them 0.

    References
    ----------
    .. [1] T. Baer and B. C. J. Moore, "Effects of spectral smearing on the intelligibility of sentences in noise",
       J. Acoust. Soc. Am. 94, 1229-1241, 1993.
    .. [2] T. Baer and B. C. J. Moore, "Effects of spectral smearing on the intelligibility of sentences in the presence
       of interfering speech", J. Acoust. Soc. Am. 95, 2277-2280, 1994.
    .. [3] Frames and factors of the hearing-loss simulator of the Auditory Perception Group, Cambridge (Moore, Stone,
       Baer and Glasberg).

    Examples
    --------
    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(1600) / 16_000)
    >>> heard = Smearing(Audiogram([1000, 4000], [20, 70]), sample_rate=16_000)(tone)
    >>> heard.shape, bool(abs(heard.std() / tone.std() - 1) < 0.2)
    ((1600,), True)
    """

    linear: ClassVar[bool] = False
    level_dependent: ClassVar[bool] = False
    adds_noise: ClassVar[bool] = False

    def __init__(
        self,
        audiogram: Audiogram | Sequence[Audiogram],
        *,
        sample_rate: float,
        severity: Literal["auto", "none", "mild", "moderate", "severe"] = "auto",
        broadening: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(audiogram, sample_rate=sample_rate)
        self.check_options(severity=severity, broadening=broadening)
        self.severity = severity
        self.broadening = None if broadening is None else (float(broadening[0]), float(broadening[1]))

    @classmethod
    def check_options(cls, *, severity: str = "auto", broadening: Any = None) -> None:
        """Raise `InputError` for options out of range."""
        if severity not in ("auto", *get_args(Severity)):
            raise unknown_name("severity", severity, ("auto", *get_args(Severity)))
        if broadening is None:
            return
        numbers = list(broadening) if isinstance(broadening, tuple | list) else []
        if len(numbers) != 2 or not all(type(one) in (int, float) and 1 <= one <= _WIDEST for one in numbers):
            raise InputError(
                f"broadening is two factors of 1 to {_WIDEST:g}, for the lower and the upper sides of auditory "
                f"filters, got {broadening!r}; e.g. (2.4, 1.6)."
            )
        if severity != "auto":
            raise InputError(f"severity {severity!r} and broadening both say how much is smeared; give one of them.")

    def on_array(self, rows: npt.NDArray[Any], ears: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Smear `rows` (rows, samples) of ears `ears` (rows,)."""
        own = [self._factors(severity_of(ear)) for ear in self.ears]
        heard = smear_array(rows, [own[ear] for ear in ears], self.sample_rate, rows.dtype)
        return heard.astype(rows.dtype, copy=False)

    def on_tensor(self, rows: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
        """Smear `rows` (rows, samples), differentiable; `thresholds` (1 or rows, frequencies) choose how much."""
        if self.broadening is None and self.severity == "auto":
            factors = [BROADENING[one] for one in row_severities(self, thresholds)]
        else:
            factors = [self._factors("none")]
        heard = smear_tensor(rows, factors * (len(rows) if len(factors) == 1 else 1), self.sample_rate).to(rows.dtype)
        # never the sound itself, and part of the graph where only thresholds are trained, with a gradient of 0
        return heard + 0.0 * thresholds.sum().to(rows.dtype)

    def _factors(self, severity: Severity) -> tuple[float, float]:
        """Factors for an ear of a severity, as the options have it."""
        if self.broadening is not None:
            return self.broadening
        return BROADENING[severity if self.severity == "auto" else self.severity]


def smear_array(
    rows: npt.NDArray[Any], factors: Sequence[tuple[float, float]], sample_rate: float, precision: npt.DTypeLike
) -> npt.NDArray[np.float64]:
    """Smear each of `rows` (rows, samples) by its lower and upper factor; 1 and 1 leave it as it is.

    The matrix product is computed in `precision`, float32 or float64.
    """
    from audiogram.kernels.smearing import smear

    frame = frame_of(sample_rate)
    out = rows.astype(np.float64)
    for pair in sorted(set(factors) - {(1.0, 1.0)}):
        mine = [i for i, one in enumerate(factors) if one == pair]
        matrix = smearing_matrix(frame, sample_rate / (2 * frame), *pair).astype(precision, copy=False)
        if len(mine) == len(rows):
            return smear(rows, matrix, frame)
        out[mine] = smear(rows[mine], matrix, frame)
    return out


def smear_tensor(rows: torch.Tensor, factors: Sequence[tuple[float, float]], sample_rate: float) -> torch.Tensor:
    """`smear_array` on a tensor, in double precision wherever its device has it; differentiable in `rows`."""
    import torch

    from audiogram.filters.differentiable import exact_dtype
    from audiogram.kernels.torch_smearing import smear

    frame = frame_of(sample_rate)
    out = exact = rows.to(exact_dtype(rows.device))
    for pair in sorted(set(factors) - {(1.0, 1.0)}):
        mine = torch.tensor([i for i, one in enumerate(factors) if one == pair], device=rows.device)
        values = smearing_matrix(frame, sample_rate / (2 * frame), *pair)
        matrix = torch.tensor(values, dtype=exact.dtype, device=rows.device)
        if len(mine) == len(rows):
            return smear(exact, matrix, frame)
        out = out.index_copy(0, mine, smear(exact[mine], matrix, frame))
    return out
