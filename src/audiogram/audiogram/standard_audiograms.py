"""Audiograms by name, and audiograms as users write them on a command line.

References
----------
.. [1] N. Bisgaard, M. S. M. G. Vlaming and M. Dahlquist, "Standard audiograms for the IEC 60118-15 measurement
   procedure", Trends in Amplification 14(2), 113-120, 2010.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from audiogram.errors import InputError, unknown_name
from audiogram.hearing_by_age import iso7029_named
from audiogram.thresholds import Audiogram

__all__ = ["parse_audiogram", "preset", "presets"]

_STUDY_FREQUENCIES = (125, 250, 500, 1000, 2000, 4000, 8000)
_BISGAARD_FREQUENCIES = (250, 375, 500, 750, 1000, 1500, 2000, 3000, 4000, 6000)
# [1]: N1 to N7 flat and moderately sloping from very mild to profound, S1 to S3 steep from very mild to moderate.
_BISGAARD = {
    "n1": (10, 10, 10, 10, 10, 10, 15, 20, 30, 40),
    "n2": (20, 20, 20, 22.5, 25, 30, 35, 40, 45, 50),
    "n3": (35, 35, 35, 35, 40, 45, 50, 55, 60, 65),
    "n4": (55, 55, 55, 55, 55, 60, 65, 70, 75, 80),
    "n5": (65, 67.5, 70, 72.5, 75, 80, 80, 80, 80, 80),
    "n6": (75, 77.5, 80, 82.5, 85, 90, 90, 95, 100, 100),
    "n7": (90, 92.5, 95, 100, 105, 105, 105, 105, 105, 105),
    "s1": (10, 10, 10, 10, 10, 10, 15, 30, 55, 70),
    "s2": (20, 20, 20, 22.5, 25, 35, 55, 75, 95, 95),
    "s3": (30, 30, 35, 47.5, 60, 70, 75, 80, 80, 85),
}
_PRESETS = {
    # The three audiograms of the study that started this project; results are published with them.
    "normal": Audiogram(_STUDY_FREQUENCIES, (10,) * 7, name="normal"),
    "lfloss": Audiogram(_STUDY_FREQUENCIES, (100, 85, 70, 55, 40, 25, 10), name="lfloss"),
    "hfloss": Audiogram(_STUDY_FREQUENCIES, (10, 25, 40, 55, 70, 85, 100), name="hfloss"),
    **{
        f"bisgaard-{name}": Audiogram(_BISGAARD_FREQUENCIES, thresholds, name=f"bisgaard-{name}")
        for name, thresholds in _BISGAARD.items()
    },
}
_PATTERNS = ("iso7029-male-AGE", "iso7029-female-AGE-pPERCENTILE")
# Columns of a table beside frequency and threshold, which are known by their place.
_COLUMNS = ("bone", "masked", "no_response", "bone_masked", "bone_no_response")
_YES, _NO = {"1", "true", "yes", "y", "x"}, {"", "0", "false", "no", "n"}


def presets() -> tuple[str, ...]:
    """Names of the audiograms that are tabulated.

    The three of the study that this project began with, and the standard audiograms of Bisgaard et al. (2010):
    `bisgaard-n1` to `-n7`, flat and moderately sloping, and `bisgaard-s1` to `-s3`, steep. `preset` also knows
    `iso7029-SEX-AGE` and `iso7029-SEX-AGE-pPERCENTILE`, see `iso7029`.

    Returns
    -------
    tuple of str
        In the order of the table.

    Examples
    --------
    >>> presets()[:4], len(presets())
    (('normal', 'lfloss', 'hfloss', 'bisgaard-n1'), 13)
    """
    return tuple(_PRESETS)


def preset(name: str) -> Audiogram:
    """Audiogram of a name.

    Parameters
    ----------
    name : str
        One of `presets()`, or like `iso7029-male-60` or `iso7029-female-65-p90`.

    Returns
    -------
    Audiogram
        With that name.

    Raises
    ------
    InputError
        For an unknown name, with its close matches, and for an age or percentile outside ISO 7029.

    Examples
    --------
    >>> preset("hfloss").pta(), preset("bisgaard-n3").grade(), preset("iso7029-male-60").grade()
    (62.5, 'moderate', 'normal')
    """
    found = _by_name(name)
    if found is None:
        raise _unknown("preset", name)
    return found


def parse_audiogram(text: str) -> Audiogram:
    """Audiogram from a name, a JSON or CSV file, or `frequency:threshold` pairs.

    Parameters
    ----------
    text : str
        A name that `preset` knows; the path of a `.json` file (as `Audiogram.to_json` writes it, or an object that maps
        frequencies to thresholds) or of a `.csv` file (separated by commas; or by semicolons or tabs, where 12,5 means
        12.5); or pairs such as `250:10,500:20`.

        A table's first two columns are frequency in Hz and threshold in dB HL. Others go by their heading: `bone`
        (bone conduction in dB HL), and `masked`, `no_response`, `bone_masked`, `bone_no_response` (yes or no, 1 or 0).
        An empty cell is a threshold that was not measured. Lines that begin with # are left out.

    Returns
    -------
    Audiogram
        Named by the preset, or by the file where that has no name in it.

    Raises
    ------
    InputError
        Where it is none of these, or the values are no audiogram; the file is named.

    Examples
    --------
    >>> parse_audiogram("250:10, 500:20").thresholds
    (10.0, 20.0)
    """
    found = _by_name(text)
    if found is not None:
        return found
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
        return _from_rows([part.split(":") for part in text.split(",") if part.strip()], "")
    raise InputError(f"{_unknown('audiogram', text)} Or give a .json or .csv file, or pairs like 250:10,500:20.")


def _by_name(name: str) -> Audiogram | None:
    return _PRESETS.get(name) or iso7029_named(name)


def _unknown(kind: str, name: str) -> InputError:
    known = (*_PRESETS, *_PATTERNS)
    short = f"bisgaard-{str(name).casefold()}"
    if short in _PRESETS:
        return InputError(f"unknown {kind} {name!r}. Did you mean {short!r}? Known: {', '.join(sorted(known))}.")
    return unknown_name(kind, name, known)


def _from_json(content: str, name: str) -> Audiogram:
    try:
        plain = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON ({error}).") from None
    if isinstance(plain, dict) and plain and all(_is_number(key) for key in plain):
        return Audiogram([float(f) for f in plain], list(plain.values()), name=name)
    if isinstance(plain, dict) and not plain.keys().isdisjoint(("left", "right")):
        raise InputError("this is a listener with ears, but one ear is asked for; save left or right as its own file.")
    return Audiogram.from_dict(plain)


def _from_csv(content: str, name: str) -> Audiogram:
    lines = [line for line in content.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    # where the decimal sign is a comma, spreadsheets separate by semicolons; others copy as tabs
    between = next((sign for sign in ";\t" if lines and sign in lines[0]), ",")
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=between)]
    if between != ",":
        rows = [[re.sub(r"(?<=\d),(?=\d)", ".", cell) for cell in row] for row in rows]
    if not rows or not rows[0] or _is_number(rows[0][0]):
        return _from_rows(rows, name)
    heading = [re.sub(r"[^a-z]+", "_", cell.casefold().partition("(")[0]).strip("_") for cell in rows[0]]
    heading[:2] = ["frequency", "threshold"]  # by their place, whatever they are called
    if len(heading) == 2:
        return _from_rows(rows[1:], name)
    for column in heading[2:]:
        if column not in _COLUMNS or heading.count(column) > 1:
            raise unknown_name("or repeated column of an audiogram's table", column, _COLUMNS)
    for row in rows[1:]:
        if len(row) != len(heading) or not _is_number(row[0]):
            raise InputError(f"{','.join(row)!r} is not a frequency in Hz and {len(heading) - 1} columns more.")
    cells: dict[str, list[str]] = {column: [row[i] for row in rows[1:]] for i, column in enumerate(heading)}
    bone = None
    if any(any(cells.get(column, ())) for column in ("bone", "bone_masked", "bone_no_response")):
        bone = _part(cells, "bone", "bone_", "")
    return _part(cells, "threshold", "", name, bone)


def _part(cells: dict[str, list[str]], levels: str, prefix: str, name: str, bone: Audiogram | None = None) -> Audiogram:
    """Air or bone conduction of a table: where its column of levels is not empty, with its flags."""
    column = cells.get(levels, [""] * len(cells["frequency"]))
    rows = [(hz, level) for hz, level in zip(cells["frequency"], column, strict=True) if level]
    masked, no_response = (_flagged(cells, prefix + flag) for flag in ("masked", "no_response"))
    return _from_rows(rows, name, masked, no_response, bone)


def _flagged(cells: dict[str, list[str]], column: str) -> list[float]:
    """Frequencies in Hz at which a column says yes."""
    flags = list(zip(cells["frequency"], cells.get(column, ()), strict=False))
    for _, cell in flags:
        if cell.casefold() not in _YES | _NO:
            raise InputError(f"{cell!r} in column {column} is neither yes nor no; write 1, or leave it empty.")
    return [float(hz) for hz, cell in flags if cell.casefold() in _YES]


def _from_rows(
    rows: Iterable[Sequence[str]],
    name: str,
    masked: Iterable[float] = (),
    no_response: Iterable[float] = (),
    bone: Audiogram | None = None,
) -> Audiogram:
    pairs = []
    for row in rows:
        if len(row) != 2 or not all(_is_number(cell) for cell in row):
            raise InputError(
                f"{':'.join(row)!r} is not a frequency in Hz and a threshold in dB HL; write them like 250:10."
            )
        pairs.append((float(row[0]), float(row[1])))
    frequencies, thresholds = [f for f, _ in pairs], [t for _, t in pairs]
    return Audiogram(frequencies, thresholds, name=name, masked=masked, no_response=no_response, bone=bone)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
