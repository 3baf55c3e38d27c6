"""On the path of a process and of those that it starts, this kills them at one moment that all count together.

A moment is an event: the making, finishing, publishing and dropping of a file, a rename, the decoding of a clip. Each
adds a byte to the file KILL_COUNT; who adds byte number KILL_AT ends by SIGKILL, alone (KILL_WHOM=one) or with its
whole process group.
"""

import os
import signal


def _event() -> None:
    counter = os.open(os.environ["KILL_COUNT"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(counter, b".")
    at = os.lseek(counter, 0, os.SEEK_CUR)
    os.close(counter)
    if at == int(os.environ["KILL_AT"]):
        if os.environ["KILL_WHOM"] == "one":
            os.kill(os.getpid(), signal.SIGKILL)
        os.killpg(0, signal.SIGKILL)


def _around(owner: object, name: str) -> None:
    real = getattr(owner, name)

    def counted(*args, **given):
        _event()
        result = real(*args, **given)
        _event()
        return result

    setattr(owner, name, counted)


def arm() -> None:
    """Count from here on."""
    from audiogram.corpus.clips import Clip
    from audiogram.corpus.files import NewFile

    for name in ("__init__", "finish", "publish", "drop"):
        _around(NewFile, name)
    _around(Clip, "audio")
    _around(os, "replace")
    os.fsync = lambda descriptor: None  # for power cuts, which nobody simulates here; it takes most of the time


if "KILL_AT" in os.environ:
    arm()
