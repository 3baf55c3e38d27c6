"""Checkpoints that are whole or not there: sealed with sizes and digests, skipped when damaged, dropped when old."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

from audiogram.corpus.files import fsync_folder, write_whole

__all__ = ["checkpoint_at", "drop_checkpoints", "is_whole", "last_checkpoint", "seal_checkpoint", "step_of"]

SEAL = "complete.json"
_log = logging.getLogger("whisperprobe")


def checkpoint_at(folder: Path, step: int) -> Path:
    """Folder of one step's checkpoint."""
    return folder / f"checkpoint-{step}"


def step_of(checkpoint: Path) -> int:
    """The step at which a checkpoint was written."""
    return int(checkpoint.name.rpartition("-")[2])


def seal_checkpoint(checkpoint: Path) -> None:
    """Mark a checkpoint as whole: its files with sizes and SHA-256, written after all of them lie on the disk."""
    described = {}
    for file in sorted(f for f in checkpoint.rglob("*") if f.is_file() and f.name != SEAL):
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        described[file.relative_to(checkpoint).as_posix()] = {"bytes": file.stat().st_size, "sha256": digest}
    fsync_folder(checkpoint)
    fsync_folder(checkpoint.parent)
    write_whole(checkpoint / SEAL, (json.dumps(described, indent=2, sort_keys=True) + "\n").encode())


def is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint is sealed, and every file is what it was then."""
    try:
        described = json.loads((checkpoint / SEAL).read_text(encoding="utf-8"))
        return bool(described) and all(_is_same(checkpoint / name, how) for name, how in described.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _is_same(file: Path, described: dict[str, Any]) -> bool:
    if file.stat().st_size != described["bytes"]:  # costs nothing to ask, and says most
        return False
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == str(described["sha256"])


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that is whole. Newer ones, cut off while being written or damaged since, are removed.

    `transformers.trainer_utils.get_last_checkpoint` would return a damaged one.
    """
    for checkpoint in _newest_first(folder):
        if is_whole(checkpoint):
            return checkpoint
        _log.warning("%s is not whole; going on from an earlier step.", checkpoint)
        shutil.rmtree(checkpoint)
    return None


def drop_checkpoints(folder: Path, *, keep: int, best: int | None) -> None:
    """Remove all but the newest `keep` checkpoints; never that of step `best`."""
    for checkpoint in _newest_first(folder)[keep:]:
        if step_of(checkpoint) != best:
            shutil.rmtree(checkpoint)


def _newest_first(folder: Path) -> list[Path]:
    found = [p for p in folder.glob("checkpoint-*") if p.name.rpartition("-")[2].isdecimal()]
    return sorted(found, key=step_of, reverse=True)
