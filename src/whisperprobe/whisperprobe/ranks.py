"""Which part of the work is this process's under `torchrun`, which starts one process per GPU."""

from __future__ import annotations

import os
from pathlib import Path

from audiogram.corpus.layout import Shard
from audiogram.errors import StoppedError

__all__ = ["local_rank", "note_stop", "shard_of_rank", "under_torchrun"]

STOPPED = "WHISPERPROBE_STOPPED"  # names the file that says that a process was stopped on request


def _number(name: str) -> int:
    return int(os.environ.get(name, "0"))


def under_torchrun() -> bool:
    """Whether `torchrun` started this process; others set WORLD_SIZE too, and mean something else by it."""
    return "TORCHELASTIC_RUN_ID" in os.environ and "RANK" in os.environ and "WORLD_SIZE" in os.environ


def local_rank() -> int | None:
    """Number of this process on its machine, hence of its GPU; None without `torchrun`."""
    return _number("LOCAL_RANK") if under_torchrun() else None


def note_stop(code: int) -> int:
    """Leave the file that `WHISPERPROBE_STOPPED` names where the exit code is 75, stopped on request; return the code.

    torchrun ends with 1 whatever its processes end with, so that who started it cannot tell a stop from a failure.
    """
    if code == StoppedError.exit_code and os.environ.get(STOPPED):
        Path(os.environ[STOPPED]).touch()
    return code


def shard_of_rank(shard: str | tuple[int, int] | None) -> tuple[int, int]:
    """Return the share (I, N) of the parts that this process does: its rank's share of the share that was asked for.

    Parameters
    ----------
    shard : str or (int, int), optional
        "I/N", counted from 0; everything by default.

    Raises
    ------
    InputError
        A shard that does not exist.

    Examples
    --------
    >>> shard_of_rank("1/4")  # outside of torchrun
    (1, 4)
    """
    asked = Shard.parse(shard)
    if not under_torchrun():
        return asked.index, asked.of
    rank, size = _number("RANK"), _number("WORLD_SIZE")
    # parts ≡ I mod N; of these every size-th, from the rank-th on
    return asked.index + asked.of * rank, asked.of * size
