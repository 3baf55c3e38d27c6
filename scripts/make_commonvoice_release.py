"""Make a small synthetic release in the layout of Mozilla Common Voice, with its oddities, for tests and for trying.

    python scripts/make_commonvoice_release.py FOLDER [--version 23.0] [--locale en] [--archive] [--espeak]

Writes FOLDER/cv-corpus-{version}-{date}/{locale}/ and, with --archive, the same as a .tar.gz beside it. Clips are MP3,
mono, 32 and 48 kHz in turn: a tone, or espeak-ng reading the sentence. Tables have the columns since version 17, or
with --version 16.1 and lower those until then.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile

OLD = ("client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "accents", "variant", "locale",
       "segment")  # fmt: skip
NEW = ("client_id", "path", "sentence_id", "sentence", "sentence_domain", *OLD[3:])
RATES = (32_000, 48_000)
DATE = "2025-09-05"

# Everything that has been seen to break a reader of these tables, or that could.
SENTENCES = (
    "The boy ran down the path.",
    '"Quoted," she said.',
    'One " alone',
    '"',
    'ends in a quote"',
    "two spaces  inside, one behind ",
    " one before",
    "it's ‘curly’ – “quotes” — dashes…",
    "ünïcödé ß 汉字 العربية 🙂 e\u0301 (combining)",
    "line\u2028separator, next\u0085line, no-break\u00a0space",
    "backslash \\n \\t \\",
    "comma, semicolon; #hash & <tag>",
    "NA",
    "null",
    "007",
    "1e5",
    "",
    " ",
)
SPLITS: Mapping[str, Sequence[int]] = {
    "train": range(0, 9),
    "dev": range(9, 12),
    "test": (),  # only a header
    "validated": range(0, 14),  # train and dev once more
    "invalidated": range(14, 16),
    "other": range(16, 18),
}


def make_release(
    folder: Path,
    *,
    version: str = "23.0",
    locale: str = "en",
    sentences: Sequence[str] = SENTENCES,
    splits: Mapping[str, Sequence[int]] = SPLITS,
    more_columns: Sequence[str] = (),
    durations: bool = True,
    espeak: bool = False,
) -> Path:
    """Write a release; returns its ``{locale}`` folder.

    Parameters
    ----------
    folder : Path
        Where ``cv-corpus-{version}-{date}`` goes.
    version : str
        Up to 16.1 the tables have no ``sentence_id`` and ``sentence_domain``.
    locale : str
        The language.
    sentences : sequence of str
        What is said, one clip each.
    splits : mapping of str to sequence of int
        Which clips each table lists.
    more_columns : sequence of str
        Columns that no release has yet.
    durations : bool
        Whether there is a ``clip_durations.tsv``.
    espeak : bool
        Whether espeak-ng reads the sentences; otherwise each is a tone.
    """
    root = folder / f"cv-corpus-{version}-{DATE}" / locale
    (root / "clips").mkdir(parents=True)
    lengths = []
    for number, sentence in enumerate(sentences):
        rate = RATES[number % len(RATES)]
        x = _read_out(sentence, rate) if espeak else _tone(number, rate)
        path = root / "clips" / clip_name(locale, number)
        soundfile.write(path, x, rate, format="MP3", subtype="MPEG_LAYER_III")
        lengths.append(round(1000 * len(x) / rate))
    columns = (*(NEW if float(version) >= 17 else OLD), *more_columns)
    for name, numbers in splits.items():
        lines = ["\t".join(_row(sentences[n], n, locale, columns)) for n in numbers]
        _write(root / f"{name}.tsv", ["\t".join(columns), *lines])
    if durations:
        lines = [f"{clip_name(locale, n)}\t{length}" for n, length in enumerate(lengths)]
        _write(root / "clip_durations.tsv", ["clip\tduration[ms]", *lines])
    _write(root / "reported.tsv", ["sentence_id\tsentence\tlocale\treason", f'1\t{sentences[0]}\t{locale}\t"odd'])
    if float(version) >= 17:
        head = "sentence_id\tsentence\tsentence_domain\tsource\tis_used\tclips_count"
        _write(root / "validated_sentences.tsv", [head, f"1\t{sentences[0]}\t\tself\t1\t3"])
        _write(root / "unvalidated_sentences.tsv", [head])
    return root


def make_archive(root: Path, path: Path, *, first: str = "clips", prefix: str | None = None) -> Path:
    """Pack a ``{locale}`` folder as releases are packed; returns `path`.

    Parameters
    ----------
    root : Path
        The folder.
    path : Path
        The archive, gzipped where it ends in ``gz``.
    first : {"clips", "tables"}
        What comes first. The clips are in no order, as in real archives.
    prefix : str, optional
        Folder within the archive; default ``cv-corpus-.../{locale}``.
    """
    prefix = f"{root.parent.name}/{root.name}" if prefix is None else prefix
    clips = sorted((p for p in root.rglob("clips/**/*") if p.is_file()), key=lambda p: _digest(p.name))
    tables = sorted(root.glob("*.tsv"))
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for file in clips + tables if first == "clips" else tables + clips:
            archive.add(file, f"{prefix}/{file.relative_to(root).as_posix()}")
    return path


def clip_name(locale: str, number: int) -> str:
    """Return the file name of a clip."""
    return f"common_voice_{locale}_{1_000 + number}.mp3"


def _row(sentence: str, number: int, locale: str, columns: Sequence[str]) -> list[str]:
    values = {
        "client_id": _digest(f"speaker {number % 4}") * 2,
        "path": clip_name(locale, number),
        "sentence_id": _digest(sentence),
        "sentence": sentence,
        "sentence_domain": "general" if number % 5 == 0 else "",
        "up_votes": str(2 + number % 3),
        "down_votes": str(number % 2),
        "age": ("", "twenties", "sixties")[number % 3],
        "gender": ("", "female_feminine", "male_masculine")[number % 3],
        "accents": 'Some "accent", with a quote' if number % 6 == 0 else "",
        "locale": locale,
    }
    return [values.get(column, "") for column in columns]


def _write(path: Path, lines: Sequence[str]) -> None:
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _tone(number: int, rate: int) -> np.ndarray:
    t = np.arange(int(rate * (0.2 + 0.01 * number))) / rate
    return 0.3 * np.sin(2 * np.pi * (200 + 25 * number) * t)


def _read_out(sentence: str, rate: int) -> np.ndarray:
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        subprocess.run(["espeak-ng", "-w", file.name, "--", sentence.strip() or "nothing"], check=True)
        x, own = soundfile.read(io.BytesIO(Path(file.name).read_bytes()))
    return np.interp(np.arange(int(len(x) * rate / own)) * own / rate, np.arange(len(x)), x)


def main() -> None:
    """Write a release as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--version", default="23.0")
    parser.add_argument("--locale", default="en")
    parser.add_argument("--archive", action="store_true")
    parser.add_argument("--espeak", action="store_true")
    given = parser.parse_args()
    root = make_release(given.folder, version=given.version, locale=given.locale, espeak=given.espeak)
    if given.archive:
        make_archive(root, given.folder / f"{root.parent.name}-{root.name}.tar.gz")


if __name__ == "__main__":
    main()
