"""Conditions from files, so that one's own audiogram can be heard through and can mask a corpus."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from audiogram.errors import InputError
from audiogram.listening import Condition, condition, conditions

__all__ = ["named_condition", "read_condition"]


def read_condition(path: str | Path) -> Condition:
    """Condition from a file.

    Parameters
    ----------
    path : str or Path
        A `.toml` or `.json` file with what `Condition.to_dict` writes; `name` may be left out and is then the file's,
        and everything but `audiogram` has the defaults of `Condition`. `audiogram` may be a string as
        `parse_audiogram` reads it. Paths in it, of an audiogram and of a noise's file or corpus, start from the file's
        folder.

    Raises
    ------
    InputError
        Where the file cannot be read or is no condition.
    """
    file = Path(path)
    readers = {".toml": tomllib.loads, ".json": json.loads}
    if file.suffix.lower() not in readers:
        raise InputError(f"a condition's file is named .toml or .json, got {str(path)!r}.")
    try:
        plain = readers[file.suffix.lower()](file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"cannot read condition file {path}: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:  # broken TOML, JSON or UTF-8
        raise InputError(f"condition file {path} is not {file.suffix[1:].upper()}: {error}.") from None
    if isinstance(plain, dict):
        plain = {"name": file.stem} | plain
        _start_paths_at(file.parent, plain)
    try:
        return Condition.from_dict(plain)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def named_condition(text: str) -> Condition:
    """Condition of a name in `conditions()`, or of a `.toml` or `.json` file.

    Raises
    ------
    InputError
        For an unknown name, with its close matches, and as `read_condition`.

    Examples
    --------
    >>> named_condition("hfloss").audiogram.name
    'hfloss'
    """
    if text not in conditions() and Path(text).suffix.lower() in (".toml", ".json"):
        return read_condition(text)
    try:
        return condition(text)
    except InputError as error:
        raise InputError(
            f"{error} On the command line: a .toml or .json file with a condition; for an audiogram of your own, one "
            'line such as audiogram = "bisgaard-n3" or audiogram = "ear.csv" will do.'
        ) from None


def _start_paths_at(folder: Path, plain: dict[str, Any]) -> None:
    ear, noise = plain.get("audiogram"), plain.get("noise")
    if isinstance(ear, str) and Path(ear).suffix.lower() in (".json", ".csv"):
        plain["audiogram"] = str(folder / ear)
    if isinstance(noise, dict):
        paths = {key: str(folder / noise[key]) for key in ("file", "corpus") if isinstance(noise.get(key), str)}
        plain["noise"] = noise | paths
