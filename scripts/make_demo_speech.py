"""Make the demo's speech: src/whisperprobe/whisperprobe/demo/speech, a Parquet corpus of espeak-ng voices.

    python scripts/make_demo_speech.py

Needs the program espeak-ng (1.51 made the shipped files). The same versions of espeak-ng, soxr, libopus and pyarrow
give the same bytes. Before anything is written, every word is checked to have a pronunciation of its own: no two words
may share one in any two accents of the demo, be they heard in training or held out.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from demo_words import GROUP_OF, WORDS

SAMPLE_RATE = 16_000
PEAK = 0.7  # leaves room for what Opus overshoots
SILENCE = 10 ** (-50 / 20)  # relative to the peak; what lies below at the end of a clip is espeak-ng's tail
HERE = Path(__file__).resolve().parent.parent / "src/whisperprobe/whisperprobe/demo/speech"


@dataclass(frozen=True)
class Voice:
    """An espeak-ng voice: accent, voice variant ("" is the accent's own), rate in words per minute, pitch 0 to 99."""

    accent: str
    variant: str = ""
    rate: int = 150
    pitch: int = 50

    @property
    def name(self) -> str:
        return f"{self.accent}+{self.variant}" if self.variant else self.accent


TRAIN_VOICES = (
    Voice("en-us", rate=150),
    Voice("en-us", "f2", rate=160),
    Voice("en-gb", "m3", rate=145),
    Voice("en-gb", "f5", rate=155),
    Voice("en-gb-scotland", "m1", rate=150),
    Voice("en-gb-scotland", "steph", rate=160),
    Voice("en-gb-x-rp", "f3", rate=150),
    Voice("en-gb-x-gbclan", "m4", rate=145),
)
# None of these variants is heard in training, by the base model or by the fine-tuned ones; nor is New York City.
TEST_VOICES = (
    Voice("en-us", "Annie", rate=150),
    Voice("en-us-nyc", "Alex", rate=150),
    Voice("en-gb", "m7", rate=150),
    Voice("en-gb-scotland", "f4", rate=150),
)


def synthesise(word: str, voice: Voice) -> np.ndarray:
    """One spoken word as float32 samples at 16 kHz, peak 0.7, without the silence that espeak-ng appends."""
    command = ["espeak-ng", "-v", voice.name, "-s", str(voice.rate), "-p", str(voice.pitch), "--stdout", word]
    spoken = subprocess.run(command, check=True, capture_output=True).stdout
    # espeak-ng cannot seek in a pipe, so the header's length is a dummy: take the samples that follow the 44 bytes.
    samples = np.frombuffer(spoken[44:], dtype="<i2").astype(np.float32) / 32768
    rate = int.from_bytes(spoken[24:28], "little")
    samples = soxr.resample(samples, rate, SAMPLE_RATE)
    loudest = float(np.abs(samples).max(initial=0.0))
    if loudest < 0.01:
        raise SystemExit(f"espeak-ng said nothing for {word!r} in voice {voice.name}")
    end = int(np.flatnonzero(np.abs(samples) > loudest * SILENCE)[-1]) + SAMPLE_RATE // 50
    return np.asarray(samples[:end] * (PEAK / loudest), dtype=np.float32)


def synthesise_all(jobs: Iterable[tuple[str, Voice]]) -> list[np.ndarray]:
    """The clips of many (word, voice) pairs, in order; espeak-ng runs as a process of its own, so threads suffice."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda job: synthesise(*job), jobs))


def pronunciation(word: str, accent: str) -> str:
    """The word in IPA as espeak-ng speaks it in an accent."""
    command = ["espeak-ng", "-v", accent, "-q", "--ipa", word]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def pronunciations(words: Sequence[str], accents: Iterable[str]) -> dict[str, dict[str, str]]:
    """IPA of every word in every accent, as {accent: {word: ipa}}."""
    with ThreadPoolExecutor(4) as pool:
        return {
            accent: dict(zip(words, pool.map(pronunciation, words, [accent] * len(words)), strict=True))
            for accent in sorted(accents)
        }


def check_distinct(table: dict[str, dict[str, str]]) -> None:
    """Refuse homophones: one pronunciation may belong to one word only, over all accents together."""
    owner: dict[str, tuple[str, str]] = {}
    for accent, spoken in table.items():
        for word, ipa in spoken.items():
            first_word, first_accent = owner.setdefault(ipa, (word, accent))
            if first_word != word:
                raise SystemExit(f"{word!r} in {accent} sounds like {first_word!r} in {first_accent}: {ipa}")


def check_voices(voices: Iterable[Voice]) -> None:
    """Refuse a variant that this espeak-ng lacks: it would silently speak with the accent's own voice."""
    listed = subprocess.run(["espeak-ng", "--voices=variant"], check=True, capture_output=True, text=True).stdout
    known = {line.split("!v/", 1)[1].strip() for line in listed.splitlines() if "!v/" in line}
    for voice in voices:
        if voice.variant and voice.variant not in known:
            raise SystemExit(f"this espeak-ng has no voice variant {voice.variant!r}")


def _ogg_crc_table() -> list[int]:
    table = []
    for value in range(256):
        crc = value << 24
        for _ in range(8):
            crc = (crc << 1) ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1
        table.append(crc & 0xFFFFFFFF)
    return table


_CRC = _ogg_crc_table()


def with_serial(ogg: bytes, serial: int) -> bytes:
    """The same Ogg stream under a given serial number: libsndfile draws a new one for every file (RFC 3533, 6)."""
    stream, at = bytearray(ogg), 0
    while at < len(stream):
        if stream[at : at + 4] != b"OggS":
            raise SystemExit("soundfile wrote an Ogg file that is not one")
        segments = stream[at + 26]
        end = at + 27 + segments + sum(stream[at + 27 : at + 27 + segments])
        stream[at + 14 : at + 18] = serial.to_bytes(4, "little")
        stream[at + 22 : at + 26] = bytes(4)
        crc = 0
        for byte in stream[at:end]:
            crc = ((crc << 8) & 0xFFFFFFFF) ^ _CRC[(crc >> 24) ^ byte]
        stream[at + 22 : at + 26] = crc.to_bytes(4, "little")
        at = end
    return bytes(stream)


def encode(samples: np.ndarray, name: str) -> bytes:
    """Ogg Opus bytes of a clip; the stream's serial number is made from its name."""
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE, format="OGG", subtype="OPUS")
    return with_serial(file.getvalue(), int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little"))


def write_split(folder: Path, split: str, voices: Sequence[Voice], ipa: dict[str, dict[str, str]]) -> int:
    """Write one split as one Parquet file with an Audio feature; return its size in bytes."""
    import datasets
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = datasets.Value("string")
    columns = {"id": text, "audio": datasets.Audio(), "text": text}
    columns |= dict.fromkeys(("voice", "accent", "variant", "band", "cue", "contrasts", "ipa"), text)
    jobs = [(word, voice) for voice in voices for word in WORDS]
    rows = []
    for (word, voice), clip in zip(jobs, synthesise_all(jobs), strict=True):
        group, name = GROUP_OF[word], f"{voice.name}/{word}"
        rows.append(
            {
                "id": name,
                "audio": {"bytes": encode(clip, name), "path": f"{name}.opus"},
                "text": word.capitalize(),
                "voice": voice.name,
                "accent": voice.accent,
                "variant": voice.variant or "standard",
                "band": group.band,
                "cue": group.cue,
                "contrasts": " ".join(other for other in group.words if other != word),
                "ipa": ipa[voice.accent][word],
            }
        )
    path = folder / "data" / f"{split}-00000-of-00001.parquet"
    table = pa.Table.from_pylist(rows, schema=datasets.Features(columns).arrow_schema)
    pq.write_table(table, path, compression="zstd", row_group_size=256)
    return path.stat().st_size


def card(version: str) -> str:
    """The data card that ships with the speech."""
    lines = [
        "---",
        "language: en",
        "license: apache-2.0",
        "---",
        "# Demo speech",
        "",
        f"{len(WORDS)} English words, spoken by {len(TRAIN_VOICES)} training and {len(TEST_VOICES)} held-out voices of",
        f"espeak-ng ({version}), Ogg Opus at 16 kHz. Made by `scripts/make_demo_speech.py`; load it with",
        "`datasets.load_dataset` or `audiogram.corpus.open_corpus`.",
        "",
        "- training voices: " + ", ".join(voice.name for voice in TRAIN_VOICES),
        "- held-out voices: " + ", ".join(voice.name for voice in TEST_VOICES),
        "",
        "Columns: `text` (as Whisper writes a word that stands alone), `voice`, `accent`, `variant`, `band` and `cue`",
        "(what tells the word from its `contrasts`: a cue high or low in frequency), `ipa` (of espeak-ng).",
        "",
        "Synthetic speech: it shows what the tools do, not how people hear. The recordings are output of espeak-ng and",
        "free of its licence; they may be used under the licence of this package.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write (default: the shipped one)")
    out: Path = parser.parse_args().out
    if len(set(WORDS)) != len(WORDS):
        raise SystemExit("a word is listed twice")
    voices = TRAIN_VOICES + TEST_VOICES
    check_voices(voices)
    ipa = pronunciations(WORDS, {voice.accent for voice in voices})
    check_distinct(ipa)
    shutil.rmtree(out, ignore_errors=True)
    (out / "data").mkdir(parents=True)
    size = write_split(out, "train", TRAIN_VOICES, ipa) + write_split(out, "test", TEST_VOICES, ipa)
    version = subprocess.run(["espeak-ng", "--version"], check=True, capture_output=True, text=True).stdout
    (out / "README.md").write_text(card(version.split(":")[1].split()[0]))
    sys.stdout.write(f"{len(WORDS)} words, {len(voices)} voices, {size / 1e6:.2f} MB in {out}\n")


if __name__ == "__main__":
    main()
