"""One ear against the other: published criteria of asymmetric hearing.

There is no agreed criterion. These are well-known ones from screening for tumours of the hearing nerve, each by the
name of its source; what they say beside thresholds (tinnitus, speech scores) is left out. They take thresholds of air
conduction, and presuppose that the loss is sensorineural (`audiogram.conduction.loss_type`).

References
----------
.. [1] T. C. Cheng and M. J. Wareing, "Three-year ear, nose, and throat cross-sectional analysis of audiometric
   protocols for magnetic resonance imaging screening of acoustic tumors", Otolaryngol. Head Neck Surg. 146(3),
   438-447, 2012, for the criterion of the American Academy of Otolaryngology-Head and Neck Surgery; compared with
   others by M. Vnencak et al., Journal of Otology 16(3), 2021.
.. [2] A. D. Sweeney et al., "Congress of Neurological Surgeons systematic review and evidence-based guidelines on
   otologic and audiologic screening for patients with vestibular schwannomas", Neurosurgery 82(2), E29-E31, 2018.
.. [3] I. Saliba, G. Martineau and M. Chagnon, "Asymmetric hearing loss: rule 3,000 for screening vestibular
   schwannoma", Otology & Neurotology 30(4), 515-521, 2009.
.. [4] S. Gimsing, "Vestibular schwannoma: when to look for it?", J. Laryngol. Otol. 124(3), 258-264, 2010.
.. [5] C. A. Mangham, "Hearing threshold difference between ears and risk of acoustic tumor", Otolaryngol. Head Neck
   Surg. 105(6), 814-817, 1991.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from audiogram.bounds import Interval, mean, minus
from audiogram.errors import InputError, unknown_name
from audiogram.measures import AVERAGES, average
from audiogram.thresholds import Audiogram

__all__ = ["Asymmetry", "Criterion", "asymmetry"]

Criterion = Literal["aao-hns", "cns", "rule-3000", "gimsing", "mangham"]

_OCTAVES = (250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)
_ANY: Interval = (-math.inf, math.inf)


class _Mean(NamedTuple):
    """The mean difference over some frequencies reaches a limit."""

    db: float
    frequencies: tuple[float, ...]

    def holds(self, differences: Mapping[float, Interval]) -> bool | None:
        low, high = mean(differences.get(hz, _ANY) for hz in self.frequencies)
        return True if low >= self.db else None if high >= self.db else False

    def needs(self) -> tuple[float, ...]:
        return self.frequencies


class _Count(NamedTuple):
    """The difference reaches a limit at one frequency, or at two, in a range; or at two neighbours, up to an octave."""

    db: float
    how_many: Literal[1, 2]
    within: tuple[float, float] = (_OCTAVES[0], _OCTAVES[-1])
    neighbours: bool = False

    def holds(self, differences: Mapping[float, Interval]) -> bool | None:
        measured = sorted(hz for hz in differences if self.within[0] <= hz <= self.within[1])
        grid = sorted({*measured, *self.needs()})
        groups = list(itertools.combinations(grid, self.how_many))
        if self.neighbours:
            groups = [pair for pair in itertools.pairwise(measured) if pair[1] <= 2 * pair[0]]
            groups += itertools.pairwise(grid)
        lows = [min(differences.get(hz, _ANY)[0] for hz in group) for group in groups]
        highs = [min(differences.get(hz, _ANY)[1] for hz in group) for group in groups]
        return True if max(lows) >= self.db else None if max(highs) >= self.db else False

    def needs(self) -> tuple[float, ...]:
        return tuple(hz for hz in _OCTAVES if self.within[0] <= hz <= self.within[1])


# A criterion holds where one of its parts does.
_CRITERIA: dict[str, tuple[_Mean | _Count, ...]] = {
    "aao-hns": (_Mean(15, AVERAGES["aao-hns"]),),
    "cns": (_Count(10, 2, neighbours=True), _Count(15, 1)),
    "rule-3000": (_Mean(15, (3000.0,)),),
    "gimsing": (_Count(20, 2, neighbours=True), _Count(15, 2, within=(2000.0, 8000.0))),
    "mangham": (_Mean(20, (1000.0, 2000.0, 4000.0, 8000.0)),),
}


@dataclass(frozen=True)
class Asymmetry:
    """Whether two ears are asymmetric by one criterion.

    Parameters
    ----------
    criterion : str
        Its name.
    met : bool or None
        Whether the ears are asymmetric; None where that cannot be told, for `reason`.
    worse : {"left", "right"} or None
        The ear that is worse; None where `met` is not True, or where it cannot be told.
    reason : str
        Why it cannot be told; empty where it can.
    """

    criterion: str
    met: bool | None
    worse: Literal["left", "right"] | None
    reason: str = ""

    def __bool__(self) -> bool:
        if self.met is None:
            raise InputError(f"whether the ears are asymmetric ({self.criterion}) cannot be told: {self.reason}")
        return self.met


def asymmetry(left: Audiogram, right: Audiogram, criterion: Criterion = "aao-hns") -> Asymmetry:
    """Whether one ear hears worse than the other by a published criterion.

    Parameters
    ----------
    left, right : Audiogram
        The ears; thresholds of air conduction count.
    criterion : {"aao-hns", "cns", "rule-3000", "gimsing", "mangham"}, default "aao-hns"
        One ear is worse than the other by at least

        - `aao-hns` [1]_: 15 dB on average over 0.5, 1, 2 and 3 kHz (the mean of 2 and 4 kHz for an unmeasured 3 kHz);
        - `cns` [2]_: 10 dB at two neighbouring frequencies, or 15 dB at one;
        - `rule-3000` [3]_: 15 dB at 3 kHz;
        - `gimsing` [4]_: 20 dB at two neighbouring frequencies, or 15 dB at two frequencies from 2 to 8 kHz;
        - `mangham` [5]_: 20 dB on average over 1, 2, 4 and 8 kHz.

        Frequencies from 250 Hz to 8 kHz that were measured in both ears count; neighbours are at most an octave apart.

    Returns
    -------
    Asymmetry
        `met` is None where a threshold without response, or an octave (or a frequency of the criterion's own) that was
        not measured in both ears, could change the answer. `bool()` of it then raises `InputError`.

    Raises
    ------
    InputError
        For an unknown criterion.

    Examples
    --------
    >>> left = Audiogram([500, 1000, 2000, 3000], [10, 15, 20, 30])
    >>> right = Audiogram([500, 1000, 2000, 3000], [20, 30, 40, 50])
    >>> asymmetry(left, right)
    Asymmetry(criterion='aao-hns', met=True, worse='right', reason='')
    """
    if criterion not in _CRITERIA:
        raise unknown_name("criterion of asymmetry", criterion, _CRITERIA)
    parts = _CRITERIA[criterion]
    left_worse = _differences(left, right, criterion)
    right_worse = {hz: (-high, -low) for hz, (low, high) in left_worse.items()}
    held = {"left": _any(parts, left_worse), "right": _any(parts, right_worse)}
    if True in held.values():
        # with both True, or the other one open, which ear is worse depends on the frequency
        worse: Literal["left", "right"] | None = "left" if held["right"] is False else None
        return Asymmetry(criterion, True, "right" if held["left"] is False else worse)
    if None not in held.values():
        return Asymmetry(criterion, False, None)
    return Asymmetry(criterion, None, None, _open(parts, left_worse))


def _differences(left: Audiogram, right: Audiogram, criterion: Criterion) -> dict[float, Interval]:
    """How much worse the left ear is at each frequency that was measured in both."""
    both = [hz for hz in left.frequencies if hz in right.frequencies]
    result = {hz: minus(average(left, [hz]), average(right, [hz])) for hz in both}
    if criterion == "aao-hns" and 3000.0 not in result and {2000.0, 4000.0} <= set(result):
        # by the ear that lacks 3 kHz, so the other one's measured threshold still counts
        result[3000.0] = minus(_at_3_khz(left), _at_3_khz(right))
    return result


def _at_3_khz(ear: Audiogram) -> Interval:
    return average(ear, [3000.0] if 3000.0 in ear.frequencies else [2000.0, 4000.0])


def _any(parts: tuple[_Mean | _Count, ...], differences: Mapping[float, Interval]) -> bool | None:
    held = [part.holds(differences) for part in parts]
    return True if True in held else None if None in held else False


def _open(parts: tuple[_Mean | _Count, ...], differences: Mapping[float, Interval]) -> str:
    needed = sorted({hz for part in parts for hz in part.needs()})
    missing = [f"{hz:g}" for hz in needed if hz not in differences]
    bounds = [f"{hz:g}" for hz, (low, high) in sorted(differences.items()) if low < high]
    reasons = [f"not measured in both ears at {', '.join(missing)} Hz"] if missing else []
    reasons += [f"no response at {', '.join(bounds)} Hz"] if bounds else []
    return "; ".join(reasons)
