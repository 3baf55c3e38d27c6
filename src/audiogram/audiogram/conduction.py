"""Air against bone conduction: the air-bone gap, and where a loss arises.

Where air conduction gave no response the gap is at least, where bone conduction gave none it is at most what the
loudest tones say; what such a bound leaves open is not decided here.

References
----------
.. [1] American Academy of Otolaryngology-Head and Neck Surgery, Committee on Hearing and Equilibrium, "Guidelines for
   the evaluation of results of treatment of conductive hearing loss", Otolaryngol. Head Neck Surg. 113(3), 186-187,
   1995: the mean air-bone gap is that over 0.5, 1, 2 and 3 kHz.
.. [2] M. Mazzoli et al., "Recommendations for the description of genetic and audiological data for families with
   nonsyndromic hereditary hearing impairment", Audiological Medicine 1(2), 148-150, 2003; the same criteria in
   A. Martini and P. Trevisi, "Classification and epidemiology", in Genetic Hearing Loss, 2003.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Literal

from audiogram.bounds import AtLeast, AtMost, Interval, as_number, minus
from audiogram.errors import AudiogramWarning, InputError
from audiogram.measures import Average, average, grade_of, named_or_listed
from audiogram.thresholds import Audiogram

__all__ = ["LossType", "air_bone_gap", "air_bone_gaps", "loss_type"]

LossType = Literal["normal", "conductive", "sensorineural", "mixed", "unknown"]

# [2], on averages over 0.5, 1 and 2 kHz: a gap of this much is conductive, bone conduction above this is a loss.
_CONDUCTIVE_GAP_DB, _NORMAL_BONE_DB_HL = 15.0, 20.0


def air_bone_gaps(ear: Audiogram) -> dict[float, float | None]:
    """Gap between air and bone conduction at each frequency that both were measured at.

    Parameters
    ----------
    ear : Audiogram
        An ear with `bone`.

    Returns
    -------
    dict of float to float or None
        Frequency in Hz to air minus bone conduction in dB: `AtLeast` where air conduction gave no response, `AtMost`
        where bone conduction gave none, None where neither did, so that nothing is known.

    Raises
    ------
    InputError
        Where bone conduction was not measured.

    Examples
    --------
    >>> bone = Audiogram([500, 1000, 2000], [10, 20, 60], no_response=[2000])
    >>> air_bone_gaps(Audiogram([500, 1000, 2000, 4000], [30, 50, 70, 80], bone=bone))
    {500.0: 20.0, 1000.0: 30.0, 2000.0: AtMost(10.0)}
    """
    bone = _bone(ear)
    gaps: dict[float, float | None] = {}
    for hz in ear.frequencies:
        if hz in bone.frequencies:
            gaps[hz] = as_number(minus(average(ear, [hz]), average(bone, [hz])))
    return gaps


def air_bone_gap(ear: Audiogram, frequencies: Average | Iterable[float] = "aao-hns") -> float | None:
    """Average gap between air and bone conduction.

    Parameters
    ----------
    ear : Audiogram
        An ear with `bone`.
    frequencies : {"aao-hns", "pta3", "pta4"} or iterable of float, default "aao-hns"
        Frequencies in Hz to average over: 0.5, 1, 2 and 3 kHz [1]_, where the mean of 2 and 4 kHz stands for a 3 kHz
        that was not measured; the others as in `audiogram.measures.pta`.

    Returns
    -------
    float or None
        Air minus bone conduction in dB. `AtLeast` where air conduction gave no response at a frequency, `AtMost` where
        bone conduction gave none, None where both happened, each with a warning.

    Raises
    ------
    InputError
        Where bone conduction was not measured, or a frequency is missing in air or bone conduction.

    Warns
    -----
    AudiogramWarning
        Where the gap is a bound or nothing is known of it.

    Examples
    --------
    >>> ear = Audiogram([500, 1000, 2000, 4000], [30, 50, 70, 80], bone=Audiogram([500, 1000, 2000], [10, 20, 60]))
    >>> air_bone_gap(ear, "pta3")
    20.0
    """
    frequencies = named_or_listed(frequencies)
    gap = as_number(minus(average(ear, frequencies), _bone_average(ear, frequencies)))
    if gap is None:
        _warn("no response by air and by bone conduction: nothing is known of the air-bone gap's average.")
    elif isinstance(gap, AtLeast | AtMost):
        how = "air" if isinstance(gap, AtLeast) else "bone"
        _warn(f"no response by {how} conduction at some frequency: the air-bone gap is {gap:g} dB.")
    return gap


def loss_type(ear: Audiogram) -> LossType:
    """Where the loss of one ear arises.

    Parameters
    ----------
    ear : Audiogram
        The ear.

    Returns
    -------
    {"normal", "conductive", "sensorineural", "mixed", "unknown"}
        `normal`: WHO grade normal, whatever the gap. Else by averages over 0.5, 1 and 2 kHz [2]_: `sensorineural`
        with an air-bone gap below 15 dB; from 15 dB on `conductive` where bone conduction is 20 dB HL or better and
        `mixed` where it is worse. `unknown`, with a warning that says why, where bone conduction or a frequency was
        not measured, or thresholds without response leave more than one open.

    Warns
    -----
    AudiogramWarning
        Where the type is unknown.

    Examples
    --------
    >>> air = Audiogram([500, 1000, 2000, 4000], [50, 50, 50, 60], bone=Audiogram([500, 1000, 2000], [10, 15, 20]))
    >>> loss_type(air)
    'conductive'
    """
    try:
        lowest, highest = average(ear, "pta4")
        if grade_of(highest) == "normal":
            return "normal"
        bone = _bone_average(ear, "pta3")
        gap = minus(average(ear, "pta3"), bone)
    except InputError as error:
        _warn(f"type of loss unknown: {error}")
        return "unknown"
    possible: list[LossType] = []
    if grade_of(lowest) == "normal":
        possible.append("normal")
    if gap[0] < _CONDUCTIVE_GAP_DB:
        possible.append("sensorineural")
    if gap[1] >= _CONDUCTIVE_GAP_DB and bone[0] <= _NORMAL_BONE_DB_HL:
        possible.append("conductive")
    if gap[1] >= _CONDUCTIVE_GAP_DB and bone[1] > _NORMAL_BONE_DB_HL:
        possible.append("mixed")
    if len(possible) == 1:
        return possible[0]
    _warn(f"type of loss unknown: thresholds without response leave open {' or '.join(possible)}.")
    return "unknown"


def _bone(ear: Audiogram) -> Audiogram:
    if ear.bone is None:
        raise InputError(
            "bone conduction was not measured, so there is no air-bone gap; give Audiogram(..., bone=...)."
        )
    return ear.bone


def _bone_average(ear: Audiogram, frequencies: Average | Iterable[float]) -> Interval:
    bone = _bone(ear)
    try:
        return average(bone, frequencies)
    except InputError as error:
        raise InputError(f"bone conduction: {error}") from None


def _warn(message: str) -> None:
    warnings.warn(message, AudiogramWarning, stacklevel=4)  # the caller of the method that forwards here
