"""Sentences of espeak-ng whose word times are known to the sample: every word is synthesised alone, then joined.

Needs the program espeak-ng (1.51 was used). Training and test have no voice and no sentence in common.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audiogram import sound

RATE = 16_000
_LIST = """
    animal apple argue autumn banana basket because before believe bicycle bird blue bottle bridge brother
    butter camera candle careful carry castle chair cheese chicken children chocolate circle city clever cloud
    coffee cold colour corner country cousin dance danger daughter different dinner doctor dog dragon dream
    early earth elephant empty evening family famous farmer father feather finger fish flower forest forget
    friday friend funny garden giant glass gold green hammer happy heavy holiday honey horse hospital hungry
    island jacket january journey juice kitchen ladder laugh lemon letter library little magic market medicine
    milk minute money monkey morning mother mountain music narrow never night number ocean orange paper pencil
    people picture planet pocket potato question quiet rabbit radio remember river school secret seven silver
    simple sister spider station story strong student sugar summer sunday table teacher telephone thunder tiger
    together tomorrow travel umbrella under uncle village visit voice walk water weather whisper window winter
    wonder yellow yesterday young zebra
"""
WORDS = tuple(_LIST.split())


@dataclass(frozen=True)
class Voice:
    """An espeak-ng voice: accent with variant, words per minute, pitch 0 to 99."""

    name: str
    rate: int
    pitch: int


TRAIN_VOICES = tuple(
    Voice(*v)
    for v in (
        ("en-us", 195, 50), ("en-us+f2", 210, 50), ("en-us+m1", 185, 45), ("en-us+f4", 195, 60), ("en-gb+m3", 195, 50),
        ("en-gb+f5", 205, 55), ("en-gb+m2", 215, 40), ("en-gb+f1", 190, 50), ("en-gb-scotland+m4", 200, 50),
        ("en-gb-x-rp+f3", 195, 50), ("en-us+steph", 205, 50), ("en-gb-x-rp+m5", 210, 55),
        ("en-gb+f2", 185, 65), ("en-us+m3", 205, 55), ("en-us+f5", 190, 40), ("en-gb-x-gbclan", 195, 50),
        ("en-us+m6", 200, 60), ("en-gb-scotland+f1", 195, 55), ("en-us+Denis", 200, 50), ("en-gb+belinda", 200, 50),
        ("en-us+m8", 185, 35), ("en-gb+Andrea", 195, 50), ("en-gb-x-rp+m4", 200, 65), ("en-us+Michael", 190, 50),
    )
)  # fmt: skip
TEST_VOICES = tuple(
    Voice(*v)
    for v in (("en-us+Annie", 200, 50), ("en-gb+m7", 195, 50), ("en-us+Alex", 205, 45), ("en-gb+linda", 195, 50))
)


@dataclass(frozen=True, eq=False)
class Sentence:
    """A spoken sentence and when each of its words begins and ends, in s.

    Attributes
    ----------
    id, text, voice : str
        Its name, its words, who speaks.
    x : float32 array, shape (samples,)
        The sound at 16 kHz.
    starts, ends : float64 arrays, shape (words,)
        Where each word's own sound lies; of words that overlap, up to the middle of the cross-fade.
    """

    id: str
    text: str
    voice: str
    x: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


class Speaker:
    """Says words in one voice; each is synthesised once."""

    def __init__(self, voice: Voice) -> None:
        self.voice = voice
        self._said: dict[str, np.ndarray] = {}

    def say(self, word: str) -> np.ndarray:
        """One word at 16 kHz, peak 0.5, cut to where it is louder than 1/200 of its peak."""
        if word not in self._said:
            if shutil.which("espeak-ng") is None:
                raise SystemExit("this benchmark needs the program espeak-ng (apt install espeak-ng).")
            command = ["espeak-ng", "-v", self.voice.name, "-s", str(self.voice.rate), "-p", str(self.voice.pitch)]
            spoken = subprocess.run([*command, "--stdout", word], check=True, capture_output=True).stdout
            samples = np.frombuffer(spoken[44:], dtype="<i2").astype(np.float32) / 32768
            x = sound.resample(samples, int.from_bytes(spoken[24:28], "little"), RATE)
            loud = np.flatnonzero(np.abs(x) > np.abs(x).max() / 200)
            x = x[loud[0] : loud[-1] + 1]
            self._said[word] = np.asarray(0.5 * x / np.abs(x).max(), dtype=np.float32)
        return self._said[word]


def say_sentence(speaker: Speaker, words: Sequence[str], rng: np.random.Generator, id: str) -> Sentence:
    """Join words: half of the joints are silences of 10 to 80 ms, half cross-fades of 5 to 20 ms; faint noise below."""
    lead, tail = (round(s * RATE) for s in rng.uniform(0.05, 0.3, size=2))
    x = np.zeros(lead, dtype=np.float32)
    starts, ends = [], []
    overlap = 0
    for number, word in enumerate(words):
        y = speaker.say(word) * np.float32(rng.uniform(0.5, 1.0))
        if overlap:
            fade = np.linspace(0, 1, overlap, dtype=np.float32)
            x[-overlap:] *= 1 - fade
            x[-overlap:] += fade * y[:overlap]
        starts.append((len(x) - overlap / 2) / RATE)
        x = np.concatenate([x, y[overlap:]])
        ends.append(len(x) / RATE)
        overlap = 0
        if number + 1 < len(words):
            if rng.random() < 0.5:
                x = np.concatenate([x, np.zeros(round(rng.uniform(0.01, 0.08) * RATE), dtype=np.float32)])
            else:
                overlap = round(rng.uniform(0.005, 0.02) * RATE)
                ends[-1] -= overlap / 2 / RATE
    x = np.concatenate([x, np.zeros(tail, dtype=np.float32)])
    x += (rng.normal(size=len(x)) * 10 ** rng.uniform(-3.5, -2.5)).astype(np.float32)
    return Sentence(id, " ".join(words), speaker.voice.name, x, np.array(starts), np.array(ends))


def sentences(count: int, voices: Sequence[Voice], seed: int, name: str) -> list[Sentence]:
    """`count` sentences of 3 to 8 words, the voices in turn; the same for the same arguments."""
    speakers = [Speaker(voice) for voice in voices]
    made = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        words = rng.choice(WORDS, size=rng.integers(3, 9), replace=False).tolist()
        speaker = speakers[number % len(speakers)]
        made.append(say_sentence(speaker, words, rng, f"{name}-{number:05d}"))
    return made


def write_sentences(folder: Path, spoken: dict[str, Sequence[Sentence]]) -> Path:
    """Write splits of sentences as a folder of FLAC files with metadata: a corpus for every command."""
    import csv

    for split, some in spoken.items():
        (folder / split).mkdir(parents=True, exist_ok=True)
        with open(folder / split / "metadata.csv", "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["file_name", "text", "speaker"])
            for one in some:
                sound.write(folder / split / f"{one.id}.flac", one.x, RATE)
                rows.writerow([f"{one.id}.flac", one.text, one.voice])
    return folder
