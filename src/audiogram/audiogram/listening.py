"""Conditions: a filter with everything that makes it repeatable, and several of them on the same sound."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, get_args

from audiogram.errors import InputError, unknown_name
from audiogram.filters.protocol import check_sample_rate, check_sound
from audiogram.filters.registry import filter_flags, filter_info, get_filter, resolve_options
from audiogram.frozen_mapping import FrozenMapping
from audiogram.levels import check_level
from audiogram.maskers import check_noise
from audiogram.sharing import hear_together
from audiogram.standard_audiograms import parse_audiogram, preset
from audiogram.thresholds import Audiogram

__all__ = ["Condition", "Normalise", "apply_conditions", "as_condition", "condition", "conditions"]

Normalise = Literal["none", "peak", "rms", "input"]

_STUDY_OPTIONS = {"n_fft": 2048, "hop_length": 512, "interpolation": "linear"}
_BUILT_IN = ("normal", "lfloss", "hfloss")


@dataclass(frozen=True)
class Condition:
    """A way of hearing, fixed so that it can be repeated.

    Parameters
    ----------
    name : str
        Name of the condition and of what is written with it: letters, digits and `. _ + -`.
    audiogram : Audiogram or str
        The ear; a string is read by `parse_audiogram`.
    filter : str, default "attenuation"
        Name of a filter in `list_filters()`.
    options : mapping, default {}
        Options of the filter; stored with its defaults filled in.
    level : mapping, optional
        Presentation level: `full_scale_dbspl`, `speech_dbspl` or both, in dB SPL; see `levels.check_level`. With a
        filter that does not depend on level only both together change anything, and one alone is refused.
    noise : mapping, optional
        Masking noise mixed in before the filter: `kind` (`white`, `speech-shaped`, `file`), `snr_db` on active speech,
        `seed`, for a file `file`, and for the spectrum of a corpus `corpus`, which is measured when the condition is
        made and kept with it; see `maskers.check_noise`.
    normalise : {"none", "peak", "rms", "input"}, default "none"
        Gain after the filter, per clip: none; to a peak of 1; to the RMS of the unfiltered clip; or the gain that would
        bring the unfiltered clip (before level and noise) to a peak of 1. Silence stays silence.

    Raises
    ------
    InputError
        For values out of range, unknown names and unknown options.
    FilterPluginError
        Where the filter cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> quiet = Condition("quiet", Audiogram([1000], [20]))
    >>> quiet(np.ones(2), sample_rate=16000)
    array([0.1, 0.1])
    >>> Condition.from_dict(quiet.to_dict()) == quiet
    True
    """

    name: str
    audiogram: Audiogram
    filter: str = "attenuation"
    options: Mapping[str, Any] = field(default_factory=dict)
    level: Mapping[str, float] | None = None
    noise: Mapping[str, Any] | None = None
    normalise: Normalise = "none"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", self.name):
            raise InputError(
                f"a condition's name is part of folder names: letters, digits and . _ + -, got {self.name!r}."
            )
        ear: Any = self.audiogram
        if isinstance(ear, str):
            object.__setattr__(self, "audiogram", parse_audiogram(ear))
        elif not isinstance(ear, Audiogram):
            raise InputError(f"audiogram is an Audiogram or a preset's name, got {type(ear).__name__}.")
        if not isinstance(self.options, Mapping):
            raise InputError(f"options is a mapping of names to values, got {self.options!r}.")
        if self.normalise not in get_args(Normalise):
            raise unknown_name("normalisation", self.normalise, get_args(Normalise))
        object.__setattr__(self, "options", FrozenMapping(resolve_options(self.filter, self.options)))
        depends = filter_flags(self.filter, self.options).level_dependent
        level, noise = check_level(self.level), check_noise(self.noise)
        if level is not None and not depends and len(level) == 1:
            raise InputError(
                f"condition {self.name!r}: filter {self.filter!r} does not depend on level, so {next(iter(level))} "
                "alone changes nothing; leave level out, or give both full_scale_dbspl and speech_dbspl."
            )
        if level is None and depends:
            raise InputError(
                f"condition {self.name!r}: filter {self.filter!r} depends on level; give level, e.g. "
                "{'speech_dbspl': 65} (--speech-dbspl 65)."
            )
        object.__setattr__(self, "level", None if level is None else FrozenMapping(level))
        object.__setattr__(self, "noise", None if noise is None else FrozenMapping(noise))

    def __hash__(self) -> int:
        # kept, since every call looks its filter up by it; not pickled, since strings hash anew in every process
        known: int | None = self.__dict__.get("_hash")
        if known is None:
            ours = (self.name, self.audiogram, self.filter, self.options, self.level, self.noise, self.normalise)
            known = hash(ours)
            object.__setattr__(self, "_hash", known)
        return known

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_hash"}

    def __call__(self, x: Any, sample_rate: float, *, keys: str | Sequence[str] | None = None) -> Any:
        """Hear sound under this condition.

        Parameters
        ----------
        x : ndarray or Tensor, shape (..., samples)
            Sound, floating point, full scale 1.
        sample_rate : float
            Sampling rate in Hz.
        keys : str or sequence of str, optional
            Ids of the clips, from which with the seed their noise is drawn: one, or one per row of `x`. By default a
            clip's noise is drawn from its samples.

        Returns
        -------
        ndarray or Tensor
            Same shape, dtype and device.

        Raises
        ------
        InputError
            For sound without samples, not finite or not floating point, and for a silent clip where noise is asked for.
        """
        return apply_conditions(x, sample_rate, [self], keys=keys)[0]

    def to_dict(self) -> dict[str, Any]:
        """Plain, lossless form for JSON and TOML, options with their defaults; what is not given is left out."""
        options = FrozenMapping(self.options).plain()
        missing = [key for key, value in options.items() if value is None]
        if missing:  # TOML has no null; one that is no default stays, for JSON alone
            defaults = resolve_options(self.filter, {k: v for k, v in options.items() if v is not None})
            options = {k: v for k, v in options.items() if v is not None or defaults[k] is not None}
        plain: dict[str, Any] = {
            "name": self.name,
            "audiogram": self.audiogram.to_dict(),
            "filter": self.filter,
            "options": options,
            "normalise": self.normalise,
        }
        for key, value in (("level", self.level), ("noise", self.noise)):
            if value is not None:
                plain[key] = FrozenMapping(value).plain()
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Condition:
        """Inverse of `to_dict`; `audiogram` may also be a string as `parse_audiogram` reads it.

        Raises
        ------
        InputError
            For unknown or missing keys and for what `Condition` refuses.
        """
        if not isinstance(plain, Mapping):
            raise InputError(f"a condition is a mapping with name and audiogram, got {type(plain).__name__}.")
        known = ("name", "audiogram", "filter", "options", "level", "noise", "normalise")
        for key in plain:
            if key not in known:
                raise unknown_name("condition key", key, known)
        for key in known[:2]:
            if key not in plain:
                raise InputError(f"the condition has no {key!r}; it needs a name and an audiogram.")
        values = dict(plain)
        if isinstance(values["audiogram"], Mapping):
            values["audiogram"] = Audiogram.from_dict(values["audiogram"])
        return cls(**values)

    def versions(self) -> dict[str, Any]:
        """Distribution that the filter comes from, and its version, for the record of outputs.

        Where the filter is made of others, `parts` has the same of each, by its name.
        """
        info = filter_info(self.filter)
        found: dict[str, Any] = {"distribution": info.distribution, "version": info.version}
        parts = getattr(get_filter(self.filter), "parts", None)
        inner = [filter_info(name) for name in (parts(**self.options) if parts is not None else ())]
        if inner:
            found["parts"] = {one.name: {"distribution": one.distribution, "version": one.version} for one in inner}
        return found


def conditions() -> tuple[str, ...]:
    """Names of the built-in conditions.

    Returns
    -------
    tuple of str
        As `condition`, `apply_conditions` and the command lines take them.

    Examples
    --------
    >>> conditions()
    ('normal', 'lfloss', 'hfloss')
    """
    return _BUILT_IN


@cache
def _built_in(name: str) -> Condition:
    return Condition(name, preset(name), "attenuation", _STUDY_OPTIONS, normalise="peak")


def condition(name: str) -> Condition:
    """Built-in condition of a name in `conditions()`.

    They are those of the study that started this project: `attenuation` with 2048/512 samples, thresholds
    interpolated linearly in Hz, peak normalisation.

    Parameters
    ----------
    name : {"normal", "lfloss", "hfloss"}
        10 dB HL throughout; low frequencies lost; high frequencies lost.

    Returns
    -------
    Condition
        To be called on sound, `condition(x, sample_rate=...)`.

    Raises
    ------
    InputError
        For an unknown name, with its close matches.
    """
    if name not in _BUILT_IN:
        error = unknown_name("condition", name, _BUILT_IN)
        raise InputError(
            f"{error} Others are made in Python, audiogram.Condition(name, audiogram), or in a study file."
        )
    return _built_in(name)


def as_condition(value: str | Condition) -> Condition:
    """Condition of a name in `conditions()`; a condition is returned as it is.

    Raises
    ------
    InputError
        For an unknown name, and for what is neither a name nor a condition.

    Examples
    --------
    >>> as_condition("hfloss") is condition("hfloss")
    True
    """
    if isinstance(value, Condition):
        return value
    if isinstance(value, str):
        return condition(value)
    raise InputError(
        f"a condition is a Condition or a name, got {type(value).__name__}; Condition('mine', audiogram) makes one of "
        "an audiogram."
    )


def apply_conditions(
    x: Any,
    sample_rate: float,
    conditions: Sequence[str | Condition],
    *,
    keys: str | Sequence[str] | None = None,
) -> Any:
    """Hear the same sound under several conditions, sharing work where filters can.

    Parameters
    ----------
    x : ndarray or Tensor, shape (..., samples)
        Sound, floating point, full scale 1.
    sample_rate : float
        Sampling rate in Hz.
    conditions : sequence of str or Condition
        Names of built-in conditions, or conditions.
    keys : str or sequence of str, optional
        Ids of the clips for their noise; see `Condition.__call__`.

    Returns
    -------
    ndarray or Tensor, shape (conditions, ..., samples)
        Dtype and device of `x`.

    Raises
    ------
    InputError
        As `Condition.__call__`; for no conditions and for an unknown name.
    FilterPluginError
        Where a filter fails in a way that it does not explain, or changes the shape or dtype of the sound.

    Examples
    --------
    >>> import numpy as np
    >>> apply_conditions(np.zeros(16000), 16_000, ["normal", "lfloss", "hfloss"]).shape
    (3, 16000)
    """
    if isinstance(conditions, str | Condition):
        raise InputError(f"conditions is a list, got {conditions!r}; put it in brackets.")
    check_sound(x)
    chosen = tuple(as_condition(one) for one in conditions)
    if not chosen:
        raise InputError("there are no conditions to apply.")
    return hear_together(x, check_sample_rate(sample_rate), chosen, keys)
