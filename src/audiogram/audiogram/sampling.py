"""Random audiograms, for augmentation in a training loop and for populations of listeners.

Every draw comes from (seed, epoch, id) alone, never from a global generator: an ear is the same on every machine, in
every process and batch, and after every restart.

References
----------
.. [1] ISO 7029:2017, see `audiogram.hearing_by_age`.
.. [2] N. Bisgaard, M. S. M. G. Vlaming and M. Dahlquist, "Standard audiograms for the IEC 60118-15 measurement
   procedure", Trends in Amplification 14(2), 113-120, 2010.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from audiogram.errors import InputError, unknown_name
from audiogram.hearing_by_age import ISO7029_FREQUENCIES, Sex, iso7029_thresholds
from audiogram.interpolation import interpolate
from audiogram.standard_audiograms import preset, presets
from audiogram.thresholds import Audiogram, numbers

__all__ = ["Source", "random_audiogram", "random_audiograms", "threshold_matrix"]

Source = Literal["iso7029", "bisgaard"]
Array = npt.NDArray[np.float64]

_SOFTEST, _LOUDEST = -10.0, 120.0  # dB HL between which audiometers measure
_YOUNGEST, _OLDEST = 18.0, 70.0  # where ISO 7029 has all frequencies, so that all ears have one grid
_CLASSES = tuple(name.removeprefix("bisgaard-") for name in presets() if name.startswith("bisgaard-"))


def random_audiogram(
    seed: int,
    source: Source = "iso7029",
    *,
    epoch: int = 0,
    id: str = "",
    age: tuple[float, float] = (_YOUNGEST, _OLDEST),
    sex: Sex | None = None,
    classes: Iterable[str] = _CLASSES,
    spread_db: float | None = None,
    octave_correlation: float = 0.8,
    frequencies: Iterable[float] | None = None,
) -> Audiogram:
    """Draw one random audiogram.

    Parameters
    ----------
    seed : int
        Whole number that the draw comes from, together with `epoch` and `id`.
    source : {"iso7029", "bisgaard"}, default "iso7029"
        `iso7029`: an age and a sex are drawn, and the listener's place among those of the same age and sex, one
        standard-normal quantile for all frequencies, since who hears badly at one does so at others (ISO
        7029:2017). `bisgaard`: one of Bisgaard's standard audiograms is drawn, each as often as the others, and spread
        is added.
    epoch : int, default 0
        How often the training has gone through its clips: every epoch draws other ears.
    id : str, default ""
        What the ear is drawn for, such as a clip's id. It becomes the audiogram's name.
    age : tuple of two floats, default (18, 70)
        Range of years within 18 to 70 that ages are drawn from, evenly; for `iso7029`.
    sex : {"male", "female"}, optional
        One sex alone; by default each in half of the draws; for `iso7029`.
    classes : iterable of str, default ("n1", ..., "n7", "s1", "s2", "s3")
        The standard audiograms to draw from; for `bisgaard`.
    spread_db : float, optional
        Standard deviation in dB, 0 to 40, of Gaussian noise added to the thresholds. Default: 5 for `bisgaard`, 0 for
        `iso7029`, where listeners differ by their place already.
    octave_correlation : float, default 0.8
        Correlation, 0 to 1, of that noise at frequencies an octave apart, to the power of the distance in octaves
        elsewhere; 0 makes it independent at all frequencies.
    frequencies : iterable of float, optional
        The grid in Hz. Default: the source's own. Thresholds are interpolated over octaves and held at the edges.

    Returns
    -------
    Audiogram
        Thresholds kept within -10 to 120 dB HL.

    Raises
    ------
    InputError
        For values outside these.

    Examples
    --------
    >>> one = random_audiogram(7, "bisgaard", epoch=2, id="clip-0001", classes=["n3", "s2"])
    >>> one == random_audiogram(7, "bisgaard", epoch=2, id="clip-0001", classes=["n3", "s2"])
    True
    """
    population = _Population(
        source,
        age,
        sex,
        tuple(classes),
        spread_db,
        octave_correlation,
        None if frequencies is None else tuple(frequencies),
    )
    return population.draw(seed, epoch, id)


def random_audiograms(
    seed: int, ids: int | Iterable[str], source: Source = "iso7029", *, epoch: int = 0, **options: Any
) -> list[Audiogram]:
    """Draw a batch of random audiograms on one frequency grid, as a filter takes them, one per row.

    Parameters
    ----------
    seed : int
        As in `random_audiogram`.
    ids : int or iterable of str
        One id per ear, such as those of a batch's clips; or how many ears, whose ids are then "0", "1", ...
    source : {"iso7029", "bisgaard"}, default "iso7029"
        As in `random_audiogram`.
    epoch : int, default 0
        As in `random_audiogram`.
    **options
        The other options of `random_audiogram`.

    Returns
    -------
    list of Audiogram
        The same as `random_audiogram` gives for each id.

    Raises
    ------
    InputError
        As `random_audiogram`, and where `ids` is neither a whole number nor a list of text.

    Examples
    --------
    >>> ears = random_audiograms(7, ["clip-0001", "clip-0002"], epoch=2, age=(60, 70))
    >>> [ear.name for ear in ears], threshold_matrix(ears).shape
    (['clip-0001', 'clip-0002'], (2, 11))
    """
    if isinstance(ids, int | np.integer) and not isinstance(ids, bool):
        ids = [str(i) for i in range(ids)]
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        raise InputError(f"ids is a number of ears or a list of their ids, got {ids!r}.")
    return [random_audiogram(seed, source, epoch=epoch, id=one, **options) for one in ids]


def threshold_matrix(ears: Sequence[Audiogram]) -> Array:
    """Thresholds of ears that share one frequency grid, as the module of a filter takes them.

    Parameters
    ----------
    ears : sequence of Audiogram
        At least one; all with the same frequencies.

    Returns
    -------
    ndarray of float64, shape (ears, frequencies)
        Thresholds in dB HL.

    Raises
    ------
    InputError
        Where there is none, or their frequencies differ.

    Examples
    --------
    >>> threshold_matrix([Audiogram([500, 1000], [10, 20]), Audiogram([500, 1000], [30, 40])]).tolist()
    [[10.0, 20.0], [30.0, 40.0]]
    """
    if not ears:
        raise InputError("a matrix of thresholds needs at least one audiogram, got none.")
    other = next((i for i, ear in enumerate(ears) if ear.frequencies != ears[0].frequencies), None)
    if other is not None:
        raise InputError(
            f"audiogram {other + 1} has other frequencies than the first; all need one grid, such as "
            "Audiogram(f, ear.at(f)) gives."
        )
    return np.array([ear.thresholds for ear in ears])


@dataclass(frozen=True)
class _Population:
    """What audiograms are drawn from: the options of `random_audiogram`, checked."""

    source: Source
    age: tuple[float, float]
    sex: Sex | None
    classes: tuple[str, ...]
    spread_db: float | None
    octave_correlation: float
    frequencies: tuple[float, ...] | None

    def __post_init__(self) -> None:
        if self.source not in get_args(Source):
            raise unknown_name("source of random audiograms", self.source, get_args(Source))
        age = numbers("age", self.age)
        if len(age) != 2 or not _YOUNGEST <= age[0] <= age[1] <= _OLDEST:
            raise InputError(
                f"age is a range of years within 18 to 70, where ISO 7029 has all frequencies, got {self.age!r}."
            )
        if self.sex is not None and self.sex not in get_args(Sex):
            raise unknown_name("sex in ISO 7029", self.sex, get_args(Sex))
        if not self.classes:
            raise InputError("classes is empty; name standard audiograms such as n3.")
        for name in self.classes:
            if name not in _CLASSES:
                raise unknown_name("class of standard audiograms", name, _CLASSES)
        for label, value, high in (
            ("spread_db", self.spread_db, 40.0),
            ("octave_correlation", self.octave_correlation, 1.0),
        ):
            if value is None and label == "spread_db":
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= high:
                raise InputError(f"{label} is a number from 0 to {high:g}, got {value!r}.")

    def draw(self, seed: int, epoch: int, id: str) -> Audiogram:
        for label, value in (("seed", seed), ("epoch", epoch)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise InputError(f"{label} is a whole number, got {value!r}.")
        if not isinstance(id, str):
            raise InputError(f"id is text, got {id!r}.")
        # "audiogram": other draws for the same clip, as its noise or its speed, must not go with its ear
        digest = hashlib.blake2b(f"audiogram/{seed}/{epoch}/{id}".encode(), digest_size=16).digest()
        rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))
        # all that any source needs is drawn, so that one option does not move the draws of another
        years, male, which = rng.random(3)
        quantile = float(rng.standard_normal())
        if self.source == "iso7029":
            age = self.age[0] + years * (self.age[1] - self.age[0])
            known: tuple[float, ...] = ISO7029_FREQUENCIES
            levels = iso7029_thresholds(age, self.sex or ("male" if male < 0.5 else "female"), quantile)
        else:
            drawn = preset(f"bisgaard-{self.classes[int(which * len(self.classes))]}")
            known, levels = drawn.frequencies, np.array(drawn.thresholds)
        grid = known
        if self.frequencies is not None:
            grid = Audiogram(self.frequencies, [0] * len(self.frequencies)).frequencies  # checked
            levels = interpolate(known, levels.tolist(), grid)
        spread = {"iso7029": 0.0, "bisgaard": 5.0}[self.source] if self.spread_db is None else self.spread_db
        noise = _correlated(rng.standard_normal(len(grid)), grid, self.octave_correlation)
        return Audiogram(grid, np.clip(levels + spread * noise, _SOFTEST, _LOUDEST).tolist(), name=id)


def _correlated(independent: Array, frequencies: Sequence[float], octave_correlation: float) -> Array:
    """Standard-normal numbers that are correlated by `octave_correlation` to the power of their distance in octaves."""
    result = independent.copy()
    for i, octaves in enumerate(np.diff(np.log2(frequencies)), start=1):
        r = octave_correlation**octaves
        result[i] = r * result[i - 1] + np.sqrt(1 - r * r) * independent[i]
    return result
