"""`conductive`: the air-bone gap as a linear loss before a cochlea that another filter stands for; mixed losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import numpy.typing as npt

from audiogram.errors import InputError, unknown_name
from audiogram.filters.attenuation import Attenuation
from audiogram.filters.base import DifferentiableFilter
from audiogram.filters.protocol import as_ears, check_sound
from audiogram.filters.registry import filter_flags, get_filter, resolve_options
from audiogram.filters.signatures import Flags
from audiogram.levels import check_full_scale
from audiogram.random_streams import check_seed, row_keys
from audiogram.thresholds import Audiogram, Interpolation

if TYPE_CHECKING:
    import torch

__all__ = ["Conductive"]

_NO_COCHLEA = Flags(linear=True, level_dependent=False, adds_noise=False)


class Conductive(DifferentiableFilter):
    """Attenuate by the air-bone gap, then hear with the cochlea that bone conduction shows.

    The outer and middle ear lose sound linearly: every frequency is attenuated by the gap between the thresholds of air
    and of bone conduction. What reaches the cochlea is that much softer, and the filter named by `cochlear`, made from
    the cochlea's thresholds, hears it at that level. A conductive loss is thus not recruiting, and a mixed one recruits
    only from the cochlea's share of it.

    Parameters
    ----------
    audiogram : Audiogram or sequence of Audiogram
        The ear, with `bone`; or one ear per row of the input's first axis.
    sample_rate : float
        Sampling rate in Hz.
    level : float, optional
        Level in dB SPL of a signal whose RMS is 1, which the cochlear filter may need.
    seed : int, default 0
        Seed of the noise of a cochlear filter that adds some.
    cochlear : str or None, default "attenuation"
        Name of the filter for the cochlear loss, e.g. "attenuation", "recruitment", "msbg", "threshold_noise"; None for
        the conductive loss alone.
    cochlear_options : mapping, optional
        Its options, without level and seed.
    interpolation : {"log2", "erb", "linear"}, default "log2"
        Frequency scale on which bone conduction and the gap are interpolated; see `Audiogram.at`.

    Attributes
    ----------
    gap_ears, cochlear_ears : tuple of Audiogram
        The two parts of each ear, at the ear's air-conduction frequencies, where they add up to its thresholds.
    linear, level_dependent, adds_noise : bool
        Those of the cochlear filter: the gap itself is linear.

    Raises
    ------
    InputError
        For an ear without bone conduction, options out of range, an unknown cochlear filter, and a level that this
        filter needs and did not get.

    Notes
    -----
    At each air-conduction frequency within the range of bone conduction the gap is air minus bone, or 0 where bone is
    the higher: measurements scatter, and no ear hears better than its cochlea. Outside that range, mostly above 4 kHz,
    the outermost gap is held, but never so far that it leaves a cochlea better than 0 dB HL.

    `module()` takes and trains thresholds of air conduction; those of bone conduction stay the ear's. A change of an
    air threshold above that of bone is a change of the gap, one below it a change of the cochlea.

    Examples
    --------
    >>> ear = Audiogram([500, 2000, 8000], [40, 60, 70], bone=Audiogram([500, 2000], [10, 40]))
    >>> one = Conductive(ear, sample_rate=16_000)
    >>> one.gap_ears[0].thresholds, one.cochlear_ears[0].thresholds
    ((30.0, 20.0, 20.0), (10.0, 40.0, 50.0))
    """

    # what may be, with some cochlear filter; `flags` says what is
    linear: bool = False
    level_dependent: bool = True
    adds_noise: bool = True

    def __init__(
        self,
        audiogram: Audiogram | Sequence[Audiogram],
        *,
        sample_rate: float,
        level: float | None = None,
        seed: int = 0,
        cochlear: str | None = "attenuation",
        cochlear_options: Mapping[str, Any] | None = None,
        interpolation: Interpolation = "log2",
    ) -> None:
        super().__init__(audiogram, sample_rate=sample_rate)
        checked = self.check_options(
            seed=seed, cochlear=cochlear, cochlear_options=cochlear_options, interpolation=interpolation
        )
        flags = _flags(cochlear, checked["cochlear_options"])
        self.linear, self.level_dependent, self.adds_noise = flags.linear, flags.level_dependent, flags.adds_noise
        self.interpolation, self.cochlear = interpolation, cochlear
        bones = [ear.bone for ear in self.ears if ear.bone is not None]
        if len(bones) < len(self.ears):
            raise InputError(
                "the ear has no bone conduction, so its air-bone gap is not known; give Audiogram(..., "
                "bone=Audiogram(...)), or use the cochlear filter alone."
            )
        self._bones = as_ears(bones)
        parts = [self._parts_of(e) for e in range(len(self.ears))]
        self.gap_ears, self.cochlear_ears = (tuple(ears) for ears in zip(*parts, strict=True))
        one = self._given is None
        self._gap = Attenuation(
            self.gap_ears[0] if one else self.gap_ears, sample_rate=sample_rate, interpolation=interpolation
        )
        self._cochlea: Any = None
        if cochlear is not None:
            extra: dict[str, Any] = {"seed": check_seed(seed)} if flags.adds_noise else {}
            if flags.level_dependent:
                if level is None:
                    raise InputError(f"the cochlear filter {cochlear!r} depends on level; give level in dB SPL.")
                extra["level"] = check_full_scale(level)
            ears = self.cochlear_ears[0] if one else self.cochlear_ears
            self._cochlea = get_filter(cochlear)(ears, sample_rate=sample_rate, **checked["cochlear_options"], **extra)

    @classmethod
    def check_options(
        cls,
        *,
        seed: int = 0,
        cochlear: str | None = "attenuation",
        cochlear_options: Mapping[str, Any] | None = None,
        interpolation: str = "log2",
    ) -> dict[str, Any]:
        """Options with those of the cochlear filter filled in; `InputError` for options out of range."""
        check_seed(seed)
        if interpolation not in get_args(Interpolation):
            raise unknown_name("interpolation", interpolation, get_args(Interpolation))
        given = {} if cochlear_options is None else cochlear_options
        if not isinstance(given, Mapping):
            raise InputError(f"cochlear_options is a mapping of names to values, got {cochlear_options!r}.")
        if cochlear == "conductive":
            raise InputError("the cochlea cannot be 'conductive'; name a filter for the loss behind the gap.")
        if cochlear is None and given:
            raise InputError("cochlear_options are those of a cochlear filter, but cochlear is None.")
        if "seed" in given:
            raise InputError("give seed to 'conductive' itself; it is passed on to the cochlear filter.")
        inner = {} if cochlear is None else resolve_options(cochlear, given)
        inner.pop("seed", None)
        return {
            "seed": seed,
            "cochlear": cochlear,
            "cochlear_options": inner,
            "interpolation": interpolation,
        }

    @classmethod
    def flags(
        cls, *, cochlear: str | None = "attenuation", cochlear_options: Mapping[str, Any] | None = None, **_: Any
    ) -> dict[str, bool]:
        """What the filter is with these options: what its cochlear filter is."""
        return vars(_flags(cochlear, cochlear_options)).copy()

    @classmethod
    def parts(cls, *, cochlear: str | None = "attenuation", **_: Any) -> tuple[str, ...]:
        """Names of the filters that it is made of."""
        return () if cochlear is None else (cochlear,)

    def __call__(self, x: Any, *, keys: str | Sequence[str] | None = None) -> Any:
        """Filter `x` (..., samples); same shape, dtype and device.

        Parameters
        ----------
        x : ndarray or Tensor, shape (..., samples)
            Sound.
        keys : str or sequence of str, optional
            Ids of the clips, for a cochlear filter that adds noise; see `Filter`.
        """
        check_sound(x)
        # from the sound as it is given: what the gap leaves of it differs in the last bit between arrays and tensors
        extra = {"keys": row_keys(x, keys)} if self.adds_noise else {}
        through = self._gap(x)
        return through if self._cochlea is None else self._cochlea(through, **extra)

    def on_tensor(
        self, rows: torch.Tensor, thresholds: torch.Tensor, keys: str | Sequence[str] | None = None
    ) -> torch.Tensor:
        """See `DifferentiableFilter.on_tensor`; `thresholds` are those of air conduction.

        Raises
        ------
        InputError
            Where the cochlear filter is not differentiable.
        """
        import torch

        if self._cochlea is not None and not hasattr(self._cochlea, "on_tensor"):
            raise InputError(
                f"the cochlear filter {self.cochlear!r} has no module, so 'conductive' has none with it; "
                "the built-in filters have one."
            )
        every = len(rows) // len(self.ears) if len(self.ears) > 1 else 1  # rows of an ear
        if len(self.ears) > 1 and len(rows) != every * len(self.ears):
            raise InputError(
                f"the filter has the bone conduction of {len(self.ears)} ears, one per row of the first axis, but the "
                f"sound has {len(rows)} rows."
            )
        constants = [
            torch.as_tensor(one, dtype=thresholds.dtype, device=rows.device).repeat_interleave(every, dim=0)
            for one in self._bone_constants
        ]
        gaps = _gaps(thresholds, *constants)
        extra = {"keys": row_keys(rows, keys)} if self.adds_noise else {}
        through = self._gap.on_tensor(rows, gaps)
        if self._cochlea is None:
            return through
        heard: torch.Tensor = self._cochlea.on_tensor(through, thresholds - gaps, **extra)
        return heard

    @cached_property
    def _bone_constants(self) -> list[npt.NDArray[np.float64]]:
        """What `_gaps` needs beside air conduction, for all ears on one grid, as a module has them."""
        each = [self._constants_of(e, tuple(self.threshold_frequencies)) for e in range(len(self.ears))]
        return [np.stack(one) for one in zip(*each, strict=True)]

    def _constants_of(self, e: int, frequencies: tuple[float, ...]) -> tuple[npt.NDArray[np.float64], ...]:
        """Bone conduction at air-conduction frequencies, whether it is known there, and where the gap is taken from."""
        bone, hz = self._bones[e], np.asarray(frequencies)
        known = (hz >= bone.frequencies[0]) & (hz <= bone.frequencies[-1])
        if not known.any():
            raise InputError(
                f"air conduction was measured at {frequencies[0]:g} to {frequencies[-1]:g} Hz and bone conduction at "
                f"{bone.frequencies[0]:g} to {bone.frequencies[-1]:g} Hz, which gives no air-bone gap."
            )
        places = np.flatnonzero(known)
        nearest = np.clip(np.arange(len(hz)), places[0], places[-1])
        return bone.at(hz, self.interpolation, "hold"), known.astype(np.float64), np.eye(len(hz))[nearest]

    def _parts_of(self, e: int) -> tuple[Audiogram, Audiogram]:
        ear = self.ears[e]
        air = np.asarray(ear.thresholds)
        gaps = _gaps(air, *self._constants_of(e, ear.frequencies))
        gap, cochlea = (Audiogram(ear.frequencies, values, ear=ear.ear, name=ear.name) for values in (gaps, air - gaps))
        return gap, cochlea


def _flags(cochlear: str | None, cochlear_options: Mapping[str, Any] | None) -> Flags:
    return _NO_COCHLEA if cochlear is None else filter_flags(cochlear, cochlear_options or {})


def _gaps(air: Any, bone: Any, known: Any, held: Any) -> Any:
    """Air-bone gaps (..., frequencies) in dB; the same code for arrays and tensors."""
    gap = (held @ (air - bone).clip(min=0)[..., None])[..., 0]
    beyond = gap - (gap - air.clip(min=0)).clip(min=0)  # the lower of both
    return known * gap + (1 - known) * beyond
