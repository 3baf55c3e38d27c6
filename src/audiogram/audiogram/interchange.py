"""Audiograms and listeners as JSON, text or file, without loss."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from audiogram.errors import InputError, WorkError
from audiogram.listener import Listener
from audiogram.thresholds import Audiogram

__all__ = ["ears_of", "from_json", "read_json", "to_json", "write_json"]

Subject = Audiogram | Listener


def to_json(value: Subject | Iterable[Subject]) -> str:
    """JSON text of an audiogram, a listener or a list of them.

    Parameters
    ----------
    value : Audiogram, Listener or iterable of them
        What to write.

    Returns
    -------
    str
        An object with the fields that are given, or a list of them; `from_json` gives the same back.

    Raises
    ------
    InputError
        For anything else.

    Examples
    --------
    >>> to_json(Listener(left=Audiogram([500], [10.5]), id="p01"))
    '{"left": {"frequencies": [500.0], "thresholds": [10.5]}, "id": "p01"}'
    """
    if isinstance(value, Audiogram | Listener):
        return value.to_json()
    return json.dumps([one.to_dict() for one in _subjects(value)])


def from_json(text: str) -> Subject | list[Subject]:
    """Inverse of `to_json`.

    Parameters
    ----------
    text : str
        A JSON object with `left` or `right` is a listener, any other an audiogram; or a list of objects.

    Raises
    ------
    InputError
        For text that is not JSON, unknown and missing keys, and values that are refused.

    Examples
    --------
    >>> from_json('{"frequencies": [500, 1000], "thresholds": [10, 20], "no_response": [1000]}').no_response
    (1000.0,)
    """
    try:
        plain = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"not JSON ({error}).") from None
    if not isinstance(plain, list):
        return _subject(plain)
    result = []
    for i, one in enumerate(plain):
        try:
            result.append(_subject(one))
        except InputError as error:
            raise InputError(f"item {i + 1} of the list: {error}") from None
    return result


def write_json(path: str | Path, value: Subject | Iterable[Subject]) -> None:
    """Write an audiogram, a listener or a list of them to a `.json` file; see `to_json`.

    Parameters
    ----------
    path : str or Path
        File to write; one that is there is replaced as a whole.
    value : Audiogram, Listener or iterable of them
        What to write.

    Raises
    ------
    WorkError
        Where the file cannot be written.
    """
    text = to_json(value)
    try:
        Path(path).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise WorkError(f"cannot write {path}: {error.strerror or error}.") from None


def read_json(path: str | Path) -> Subject | list[Subject]:
    """Read what `write_json` wrote; see `from_json`.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    Audiogram, Listener or list of them
        As they were written.

    Raises
    ------
    InputError
        Where the file cannot be read or is something else, with its name.
    """
    try:
        return from_json(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; save it as UTF-8.") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def ears_of(value: Any) -> list[Audiogram]:
    """All audiograms of an audiogram, a listener or a list of them.

    A listener's say which ear they are of, and bear the listener's id where they have no name.

    Raises
    ------
    InputError
        For anything else.

    Examples
    --------
    >>> [ear.ear for ear in ears_of(Listener(left=Audiogram([500], [10]), right=Audiogram([500], [20])))]
    ['right', 'left']
    """
    if isinstance(value, Audiogram):
        return [value]
    if isinstance(value, Listener):
        sides: tuple[tuple[Literal["right", "left"], Audiogram | None], ...]
        sides = (("right", value.right), ("left", value.left))
        return [replace(ear, ear=side, name=ear.name or value.id) for side, ear in sides if ear is not None]
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InputError(f"an Audiogram, a Listener or a list of them is asked for, got {type(value).__name__}.")
    return [ear for one in value for ear in ears_of(one)]


def _subject(plain: Any) -> Subject:
    if isinstance(plain, Mapping) and ("left" in plain or "right" in plain):
        return Listener.from_dict(plain)
    return Audiogram.from_dict(plain)


def _subjects(value: Any) -> list[Subject]:
    several = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    for one in several:
        if not isinstance(one, Audiogram | Listener):
            raise InputError(f"an Audiogram, a Listener or a list of them is asked for, got {type(one).__name__}.")
    return several
