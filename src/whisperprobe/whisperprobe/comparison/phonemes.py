"""The sounds of English as ARPABET writes them: voicing, place, manner, and where in frequency their energy lies."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ARPABET", "HIGH_FREQUENCY", "LOW_FREQUENCY", "MAKE_UP", "Phoneme", "distance", "make_up"]


@dataclass(frozen=True)
class Phoneme:
    """One sound.

    Parameters
    ----------
    symbol : str
        ARPABET without stress.
    manner : str
        vowel, stop, affricate, fricative, nasal or approximant.
    place : str
        Of a consonant bilabial, labiodental, dental, alveolar, postalveolar, palatal, velar or glottal; of a vowel
        front, central or back, where it begins.
    voiced : bool
        Whether the vocal folds vibrate.
    height : str
        Of a vowel high, mid or low, where it begins; "" of a consonant.
    """

    symbol: str
    manner: str
    place: str
    voiced: bool
    height: str = ""

    @property
    def vowel(self) -> bool:
        return self.manner == "vowel"


_CONSONANTS = """
P stop bilabial -, B stop bilabial +, T stop alveolar -, D stop alveolar +, K stop velar -, G stop velar +,
CH affricate postalveolar -, JH affricate postalveolar +,
F fricative labiodental -, V fricative labiodental +, TH fricative dental -, DH fricative dental +,
S fricative alveolar -, Z fricative alveolar +, SH fricative postalveolar -, ZH fricative postalveolar +,
HH fricative glottal -, M nasal bilabial +, N nasal alveolar +, NG nasal velar +,
L approximant alveolar +, R approximant postalveolar +, Y approximant palatal +, W approximant velar +
"""
_VOWELS = """
IY front high, IH front high, EY front mid, EH front mid, AE front low, ER central mid, AH central mid, AA back low,
AY central low, AW central low, AO back mid, OW back mid, OY back mid, UH back high, UW back high
"""


def _read(table: str) -> list[list[str]]:
    return [entry.split() for entry in table.split(",")]


ARPABET: dict[str, Phoneme] = {
    **{symbol: Phoneme(symbol, manner, place, sign == "+") for symbol, manner, place, sign in _read(_CONSONANTS)},
    **{symbol: Phoneme(symbol, "vowel", place, True, height) for symbol, place, height in _read(_VOWELS)},
}
"""The 39 sounds of CMUdict."""

HIGH_FREQUENCY = frozenset({"S", "Z", "SH", "ZH", "CH", "JH", "F", "TH"})
"""Sibilants and the voiceless F and TH: the energy that tells them apart lies above about 2.5 kHz."""

LOW_FREQUENCY = frozenset({"M", "N", "NG", "W", "L", "UW", "UH", "OW", "AO", "AA"})
"""Nasals, W, L and back vowels: nasal murmur, or both first formants, below about 1.3 kHz."""

_LABIAL, _CORONAL = {"bilabial", "labiodental"}, {"dental", "alveolar", "postalveolar"}

MAKE_UP = {
    "n_phonemes": "number of phonemes",
    "share_vowels": "vowels",
    "share_stops": "stops",
    "share_fricatives": "fricatives and affricates",
    "share_nasals": "nasals",
    "share_approximants": "approximants",
    "share_voiceless": "voiceless consonants",
    "share_labial": "labial consonants",
    "share_coronal": "dental to postalveolar consonants",
    "share_dorsal": "palatal to glottal consonants",
    "share_high_frequency": "high-frequency sounds",
    "share_low_frequency": "low-frequency sounds",
}
"""What a word's make-up counts, with the words for it. Shares are of all its phonemes, 0 to 1."""


def make_up(phonemes: Sequence[str]) -> dict[str, float]:
    """Describe a word by the kinds of its sounds.

    Parameters
    ----------
    phonemes : sequence of str
        ARPABET symbols without stress, at least one.

    Returns
    -------
    dict
        The keys of `MAKE_UP`: the number of phonemes, and shares from 0 to 1.

    Examples
    --------
    >>> fish = make_up(["F", "IH", "SH"])
    >>> fish["n_phonemes"], round(fish["share_fricatives"], 2), fish["share_stops"]
    (3.0, 0.67, 0.0)
    """
    sounds = [ARPABET[symbol] for symbol in phonemes]
    consonants = [s for s in sounds if not s.vowel]
    counts = {
        "share_vowels": len(sounds) - len(consonants),
        "share_stops": sum(s.manner == "stop" for s in sounds),
        "share_fricatives": sum(s.manner in ("fricative", "affricate") for s in sounds),
        "share_nasals": sum(s.manner == "nasal" for s in sounds),
        "share_approximants": sum(s.manner == "approximant" for s in sounds),
        "share_voiceless": sum(not s.voiced for s in sounds),
        "share_labial": sum(s.place in _LABIAL for s in consonants),
        "share_coronal": sum(s.place in _CORONAL for s in consonants),
        "share_dorsal": sum(s.place not in _LABIAL | _CORONAL for s in consonants),
        "share_high_frequency": sum(s.symbol in HIGH_FREQUENCY for s in sounds),
        "share_low_frequency": sum(s.symbol in LOW_FREQUENCY for s in sounds),
    }
    return {"n_phonemes": float(len(sounds)), **{name: n / len(sounds) for name, n in counts.items()}}


@functools.cache
def distance(a: str, b: str) -> float:
    """Cost of taking one sound for another, against 1 for a sound left out or put in.

    Consonants differ in voicing (0.3), place (0.4) and manner (0.5), vowels in place and height (0.4 each) and by 0.2
    where they are not the same; a vowel is never taken for a consonant: leaving one out and putting the other in (2)
    is cheaper.

    Examples
    --------
    >>> round(distance("S", "Z"), 1), round(distance("S", "T"), 1), round(distance("S", "M"), 1), distance("S", "IY")
    (0.3, 0.5, 1.2, 2.1)
    """
    if a == b:
        return 0.0
    x, y = ARPABET[a], ARPABET[b]
    if x.vowel != y.vowel:
        return 2.1
    if x.vowel:
        return 0.2 + 0.4 * (x.place != y.place) + 0.4 * (x.height != y.height)
    return 0.3 * (x.voiced != y.voiced) + 0.4 * (x.place != y.place) + 0.5 * (x.manner != y.manner)
