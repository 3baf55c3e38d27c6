"""Audiograms by name, and audiograms as users write them on a command line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path

from audiogram.errors import InputError, unknown_name
from audiogram.thresholds import Audiogram

__all__ = ["parse_audiogram", "preset", "presets"]

_STUDY_FREQUENCIES = (125, 250, 500, 1000, 2000, 4000, 8000)
# The three audiograms of the study that started this project; results are published with them.
_PRESETS = {
    "normal": Audiogram(_STUDY_FREQUENCIES, (10,) * 7, name="normal"),
    "lfloss": Audiogram(_STUDY_FREQUENCIES, (100, 85, 70, 55, 40, 25, 10), name="lfloss"),
    "hfloss": Audiogram(_STUDY_FREQUENCIES, (10, 25, 40, 55, 70, 85, 100), name="hfloss"),
}


def presets() -> tuple[str, ...]:
    """Names of the audiograms that `preset` knows.

    Examples
    --------
    >>> presets()
    ('normal', 'lfloss', 'hfloss')
    """
    return tuple(_PRESETS)


def preset(name: str) -> Audiogram:
    """Audiogram of a name in `presets()`.

    Raises
    ------
    InputError
        For an unknown name, with its close matches.

    Examples
    --------
    >>> preset("hfloss").pta()
    62.5
    """
    if name not in _PRESETS:
        raise unknown_name("preset", name, _PRESETS)
    return _PRESETS[name]


def parse_audiogram(text: str) -> Audiogram:
    """Audiogram from a preset's name, a JSON or CSV file, or `frequency:threshold` pairs.

    Parameters
    ----------
    text : str
        A name in `presets()`; the path of a `.json` file (as `Audiogram.to_json` writes it, or an object that maps
        frequencies to thresholds) or of a `.csv` file (columns frequency in Hz, threshold in dB HL); or pairs such as
        `250:10,500:20`.

    Raises
    ------
    InputError
        Where it is none of these, or the values are no audiogram.

    Examples
    --------
    >>> parse_audiogram("250:10, 500:20").thresholds
    (10.0, 20.0)
    """
    if text in _PRESETS:
        return _PRESETS[text]
    suffix = Path(text).suffix.lower()
    if suffix in (".json", ".csv"):
        path = Path(text)
        try:
            content = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise InputError(f"cannot read audiogram file {text}: {error.strerror or error}.") from None
        except UnicodeDecodeError:
            raise InputError(f"audiogram file {text} is not UTF-8 text; save it as UTF-8.") from None
        try:
            return _from_json(content, path.stem) if suffix == ".json" else _from_csv(content, path.stem)
        except InputError as error:
            raise InputError(f"{text}: {error}") from None
    if ":" in text:
        rows = [part.split(":") for part in text.split(",") if part.strip()]
        return _from_rows(rows, "")
    raise InputError(
        f"{unknown_name('audiogram', text, _PRESETS)} Or give a .json or .csv file, or pairs like 250:10,500:20."
    )


def _from_json(content: str, name: str) -> Audiogram:
    try:
        plain = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON ({error}).") from None
    if isinstance(plain, dict) and plain and all(_is_number(key) for key in plain):
        return Audiogram([float(f) for f in plain], list(plain.values()), name=name)
    return Audiogram.from_dict(plain)


def _from_csv(content: str, name: str) -> Audiogram:
    lines = [line for line in content.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    rows = list(csv.reader(lines))
    if rows and rows[0] and not _is_number(rows[0][0]):
        rows = rows[1:]  # a header line
    return _from_rows(rows, name)


def _from_rows(rows: Iterable[list[str]], name: str) -> Audiogram:
    pairs = []
    for row in rows:
        if len(row) != 2 or not all(_is_number(cell) for cell in row):
            raise InputError(
                f"{':'.join(row)!r} is not a frequency in Hz and a threshold in dB HL; write them like 250:10."
            )
        pairs.append((float(row[0]), float(row[1])))
    return Audiogram([f for f, _ in pairs], [t for _, t in pairs], name=name)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
