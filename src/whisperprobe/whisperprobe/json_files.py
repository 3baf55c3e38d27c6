"""Tables in JSON files, or an error that says which file is damaged and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from audiogram.errors import InputError

__all__ = ["read_json"]


def read_json(file: Path, remedy: str) -> dict[str, Any]:
    """Read a JSON file that holds a table.

    Parameters
    ----------
    file : Path
        The file.
    remedy : str
        What to do where it is damaged, as the end of a sentence.

    Raises
    ------
    InputError
        It cannot be read, is no JSON or no table.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror or error}); {remedy}.") from error
    except ValueError as error:
        raise InputError(f"{file} is not JSON ({error}); {remedy}.") from error
    if not isinstance(found, dict):
        raise InputError(f"{file} holds no JSON table; {remedy}.")
    return found
