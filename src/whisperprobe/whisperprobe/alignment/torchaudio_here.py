"""torchaudio, imported where it is needed and nowhere else: a copy that does not match torch breaks what touches it."""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import Any

from audiogram.errors import InputError

__all__ = ["torchaudio_module"]

_REMEDY = "Install the pair: pip install 'whisperprobe[align]', or torchaudio of the very version of torch."


def torchaudio_module(name: str) -> Any:
    """Return a module of torchaudio, e.g. ``"functional"``.

    Raises
    ------
    InputError
        torchaudio is missing, belongs to another torch, or is broken.
    """
    try:
        here = importlib.metadata.version("torchaudio")
    except importlib.metadata.PackageNotFoundError:
        raise InputError(f"forced alignment needs torchaudio, which is not installed. {_REMEDY}") from None
    torch = importlib.metadata.version("torch")
    if _release(here) != _release(torch):
        raise InputError(f"torchaudio {here} does not belong to torch {torch}: the two must match. {_REMEDY}")
    try:
        return importlib.import_module(f"torchaudio.{name}")
    except (ImportError, OSError, RuntimeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"torchaudio {here} cannot be imported beside torch {torch} ({reason}). {_REMEDY}") from error


def _release(version: str) -> list[str]:
    """Major and minor number, without the build."""
    return version.split("+")[0].split(".")[:2]
