"""Make the demo's pronunciations: src/whisperprobe/whisperprobe/demo/pronunciations.csv, words in ARPABET.

    python scripts/make_demo_pronunciations.py

They are what espeak-ng's General American voice says, as the column `ipa` of the demo's speech has it, so neither
espeak-ng nor a dictionary is needed. A flap is written as the T that it stands for, as dictionaries do.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from pathlib import Path

import pyarrow.parquet as pq

DEMO = Path(__file__).resolve().parent.parent / "src/whisperprobe/whisperprobe/demo"
ACCENT = "en-us"
STRESS = re.compile("[ˈˌ]")
SOUNDS = {
    "tʃ": "CH", "eɪ": "EY", "aɪ": "AY", "aʊ": "AW", "oʊ": "OW", "iː": "IY", "uː": "UW", "ɑː": "AA", "ɔː": "AO",
    "ɪ": "IH", "ᵻ": "IH", "ɛ": "EH", "æ": "AE", "ʌ": "AH", "ə": "AH", "ɚ": "ER", "i": "IY",
    "p": "P", "b": "B", "t": "T", "ɾ": "T", "d": "D", "k": "K", "ɡ": "G", "f": "F", "v": "V", "θ": "TH", "s": "S",
    "z": "Z", "ʃ": "SH", "m": "M", "n": "N", "ŋ": "NG", "l": "L", "ɹ": "R", "w": "W",
}  # fmt: skip
"""ARPABET of every sound of the demo's words, those of two letters first."""
ONE = re.compile("|".join(map(re.escape, SOUNDS)))


def arpabet(ipa: str) -> str:
    """ARPABET of one word, without stress; every letter of the IPA must be a sound that is known here."""
    plain = STRESS.sub("", ipa)
    parts = ONE.findall(plain)
    if "".join(parts) != plain:
        raise SystemExit(f"{ipa!r} holds a sound that has no ARPABET here. Add it to SOUNDS.")
    return " ".join(SOUNDS[part] for part in parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DEMO / "pronunciations.csv", help="default: the shipped file")
    out: Path = parser.parse_args().out
    speech = DEMO / "speech/data/train-00000-of-00001.parquet"
    rows = pq.read_table(speech, columns=["text", "accent", "ipa"]).to_pylist()
    said = {row["text"].lower(): arpabet(row["ipa"]) for row in rows if row["accent"] == ACCENT}
    with out.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["Word", "Pronunciation"])
        table.writerows(sorted(said.items()))
    sys.stdout.write(f"{len(said)} words in {out}\n")


if __name__ == "__main__":
    main()
