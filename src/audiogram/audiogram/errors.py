"""What can go wrong, said so that the reader knows what to do next.

Every error raised on purpose is an `AudiogramError`. Its text says what was wrong, what was received, the
likely mistake and the remedy; its `exit_code` is what a command line ends with.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AudiogramError",
    "AudiogramWarning",
    "FilterPluginError",
    "InputError",
    "StoppedError",
    "WorkError",
    "unknown_name",
]


class AudiogramError(Exception):
    """Base of all errors that these libraries raise on purpose. `exit_code` 1: the work failed."""

    exit_code = 1


class InputError(AudiogramError, ValueError):
    """The call was wrong: an argument, a file, a name, an option. `exit_code` 2."""

    exit_code = 2


class FilterPluginError(AudiogramError, ImportError):
    """A filter was found by its entry point but cannot be used. `exit_code` 2."""

    exit_code = 2


class WorkError(AudiogramError, RuntimeError):
    """The call was right but the work could not be done. `exit_code` 1."""


class StoppedError(AudiogramError):
    """Stopped on request (SIGTERM, SIGUSR1); starting again goes on from here. `exit_code` 75."""

    exit_code = 75


class AudiogramWarning(UserWarning):
    """Base of the warnings of these libraries; the text states the remedy."""


def unknown_name(kind: str, name: object, known: Iterable[str]) -> InputError:
    """Build the error for a name that is not known, with its close matches.

    Parameters
    ----------
    kind : str
        What the name should have named, e.g. "preset".
    name : object
        What was received.
    known : iterable of str
        The names that exist.

    Returns
    -------
    InputError
        To be raised by the caller.

    Examples
    --------
    >>> print(unknown_name("preset", "norml", ["normal", "lfloss", "hfloss"]))
    unknown preset 'norml'. Did you mean 'normal'? Known: hfloss, lfloss, normal.
    """
    names = sorted(known)
    by_folded = {n.casefold(): n for n in names}
    close = [by_folded[m] for m in difflib.get_close_matches(str(name).casefold(), list(by_folded), n=3, cutoff=0.6)]
    hint = " Did you mean " + " or ".join(repr(c) for c in close) + "?" if close else ""
    return InputError(f"unknown {kind} {str(name)!r}.{hint} Known: {', '.join(names) or 'none'}.")
