"""Folds: small results that are replaced whole, so that a reader never meets half of one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from audiogram.errors import InputError, WorkError

__all__ = ["replace_file", "replace_folder"]


def replace_folder(folder: Path, marker: str, fill: Callable[[Path], None]) -> Path:
    """Fill a hidden sibling folder, then put it in the place of `folder`.

    Parameters
    ----------
    folder : Path
        Where the result belongs. An existing one is replaced if it holds `marker` or is empty.
    marker : str
        File that tells a result of this kind, e.g. "comparison.json".
    fill : callable
        Writes the whole content into the folder that it is given.

    Raises
    ------
    InputError
        If `folder` exists and holds something else.
    WorkError
        If it cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, not a folder. Name another output folder.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / marker).is_file():
        raise InputError(
            f"{folder} holds other files and no {marker}, so it belongs to something else. Name another output folder."
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise WorkError(f"cannot write {folder}: {error.strerror or error}.") from error
    try:
        fill(fresh)
        fresh.chmod(0o777 & ~_umask())
        if folder.exists():
            old = fresh.with_name(f"{fresh.name}-old")
            folder.rename(old)
            fresh.rename(folder)
            shutil.rmtree(old)
        else:
            fresh.rename(folder)
    except OSError as error:
        raise WorkError(f"cannot write {folder}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def replace_file(path: Path, content: str) -> Path:
    """Write a text file under a hidden name beside it, then rename it into its place."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; name the file to write, e.g. {path / 'report.html'}.")
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(content)
        Path(temporary).chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise WorkError(f"cannot write {path}: {error.strerror or error}.") from error
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
