"""The words of the demo, in groups that differ in one cue.

Every group is a set of minimal (or near-minimal) pairs. `band` says where the distinguishing cue lies: frication,
bursts and their place are high-frequency cues (above about 2 kHz), vowel height, nasality and voicing are
low-frequency ones. A word belongs to the one group it is named in; it may of course contrast with others too.

Left out on purpose, because some accent of the demo merges or nearly merges them: cot/caught, pull/pool, man/men and
bad/bed (raised in New York City), writer/rider, hat/at. Words that begin with h are few for the same reason.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    """Words that differ in one cue; `band` is where that cue lies, "high" or "low" in frequency."""

    band: str
    cue: str
    words: tuple[str, ...]


def _group(band: str, cue: str, words: str) -> Group:
    return Group(band, cue, tuple(words.split()))


GROUPS: tuple[Group, ...] = (
    _group("high", "onset obstruent", "sick thick chick tick pick"),
    _group("high", "onset obstruent", "ship chip sip tip zip"),
    _group("high", "onset obstruent", "fish dish wish"),
    _group("high", "onset obstruent", "thin fin tin chin shin sin"),
    _group("high", "onset obstruent", "sink think pink"),
    _group("high", "onset obstruent", "sat fat chat cat"),
    _group("high", "onset obstruent", "seat feet sheet cheat"),
    _group("high", "onset obstruent", "sail fail tail"),
    _group("high", "onset obstruent", "sell shell fell"),
    _group("high", "onset obstruent", "sum thumb"),
    _group("high", "onset obstruent", "zoo shoe chew two"),
    _group("high", "onset obstruent", "sock shock chalk"),
    _group("high", "onset obstruent", "fishing dishes wishes"),
    _group("high", "onset obstruent", "thinking sinking drinking"),
    _group("high", "coda obstruent", "face faith"),
    _group("high", "coda obstruent", "mouse mouth"),
    _group("high", "coda obstruent", "math mash match map"),
    _group("high", "coda obstruent", "miss myth mix"),
    _group("high", "coda obstruent", "cash catch cap"),
    _group("high", "coda obstruent", "lease leash leaf leap"),
    _group("high", "coda obstruent", "peace peach"),
    _group("high", "fricative voicing", "bus buzz"),
    _group("high", "fricative voicing", "price prize"),
    _group("high", "fricative voicing", "safe save shave"),
    _group("high", "cluster", "cup cups"),
    _group("high", "cluster", "test text"),
    _group("low", "vowel", "beat bit bet bat bait boat boot bite but"),
    _group("low", "vowel", "bead bid bad"),
    _group("low", "vowel", "mean moon main mine moan man"),
    _group("low", "vowel", "pen pin pain pine"),
    _group("low", "vowel", "batter better bitter butter"),
    _group("low", "vowel", "summer simmer"),
    _group("low", "vowel", "paper pepper"),
    _group("low", "vowel", "money many"),
    _group("low", "nasal", "nice mice"),
    _group("low", "nasal", "night might light"),
    _group("low", "nasal", "sun sung"),
    _group("low", "nasal", "nine line"),
    _group("low", "nasal", "rain lane"),
    _group("low", "nasal", "dad mad"),
    _group("low", "nasal", "lemon melon"),
    _group("low", "voicing", "pig big dig wig"),
    _group("low", "voicing", "back bag pack"),
)

WORDS: tuple[str, ...] = tuple(word for group in GROUPS for word in group.words)
GROUP_OF: dict[str, Group] = {word: group for group in GROUPS for word in group.words}
