"""Clips that may have killed the process that decoded them: each is decoded once more where that harms nobody.

Decoders are written in C and read what strangers have made: a damaged file may crash them, and with them the process.
A part whose lock was left behind by a process that died is therefore decoded in a process of its own first, and what
kills that process becomes a failure like any other. Run as a program, this module is that process.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from audiogram.console import check_stop
from audiogram.corpus.workers import CRASHES
from audiogram.errors import AudiogramError, WorkError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from audiogram.corpus.clips import Clip

__all__ = ["find_deadly"]

_PATIENCE = 600.0  # s for one clip of 5 minutes at most, which takes seconds


def find_deadly(reader: Iterable[Clip], count: int) -> dict[int, str]:
    """Decode clips in another process.

    Parameters
    ----------
    reader : iterable of Clip
        The clips; can be sent to another process.
    count : int
        How many there are.

    Returns
    -------
    dict of int to str
        The number of every clip, from 0, whose decoding killed that process or never ended, and what happened.

    Raises
    ------
    WorkError
        The process died of something else, e.g. for want of memory.
    """
    deadly: dict[int, str] = {}
    begin = 0
    while begin < count:
        check_stop()
        done, code = _decode(pickle.dumps((begin, reader)))
        if code == 0:
            break
        begin += done
        if code is None:
            deadly[begin] = f"its decoding had not ended after {_PATIENCE:g} s."
        elif -code in CRASHES:
            deadly[begin] = f"its decoding crashes the process that does it ({signal.Signals(-code).name}). Damaged?"
        else:
            raise WorkError(
                f"the process that looks for damaged sound ended with exit code {code}, most likely for want of "
                "memory; start the same command again: finished parts stay."
            )
        begin += 1
    return deadly


def _decode(packed: bytes) -> tuple[int, int | None]:
    """How many clips were decoded, and the exit code; None where one took too long."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    # Its own session: a signal to the whole group is for us to handle.
    child = subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    done, late = 0, False

    def give_up() -> None:
        nonlocal late
        late = True
        child.kill()

    with child:
        assert child.stdin is not None
        assert child.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # its exit code says more
            child.stdin.write(packed)
            child.stdin.close()
        while True:
            timer = threading.Timer(_PATIENCE, give_up)
            timer.daemon = True
            timer.start()
            said = child.stdout.readline()
            timer.cancel()
            if not said:
                break
            done += said == _DONE
    return done, None if late else child.returncode


_DONE = b"decoded\n"


def _main() -> None:
    begin, reader = pickle.load(sys.stdin.buffer)
    out = os.dup(1)
    os.dup2(2, 1)  # decoders print
    with contextlib.suppress(WorkError):  # the source has gone, which the work itself says
        for number, clip in enumerate(reader):
            if number >= begin:
                with contextlib.suppress(AudiogramError):  # a failure, which the work records
                    clip.audio()
                os.write(out, _DONE)


if __name__ == "__main__":
    _main()
