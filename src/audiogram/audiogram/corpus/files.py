"""Files that are whole or not there, and locks that die with their process."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import IO

from audiogram.errors import WorkError

try:
    import fcntl
except ImportError:  # not on Windows: parts are still whole there, two processes may do one part twice
    fcntl = None  # type: ignore[assignment]

__all__ = ["Held", "NewFile", "cannot_write", "fsync_folder", "held_elsewhere", "lock", "write_whole"]

_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EINVAL, errno.ENOLCK)
_log = logging.getLogger("audiogram.corpus")


def cannot_write(path: Path, error: OSError) -> WorkError:
    """Build the error for a file that the system would not let us write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = "free some space"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        remedy = "choose a folder that you may write to, or change its permissions"
    else:
        remedy = "see what the system says"
    reason = os.strerror(error.errno) if error.errno else str(error)
    return WorkError(
        f"cannot write {path}: {reason}. Likely remedy: {remedy}; then start the same command again "
        "(finished parts stay and are not redone)."
    )


def fsync_folder(folder: Path) -> None:
    """Make renames within `folder` survive a power cut, where the system can."""
    with contextlib.suppress(OSError):  # some network file systems cannot; the rename itself has happened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class NewFile:
    """A file under a dot-name in its final folder, given its final name only when whole.

    Parameters
    ----------
    path : Path
        The final name. The folder is made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file: IO[bytes] = open(self.temporary, "wb", buffering=1 << 20)  # noqa: SIM115
        except OSError as error:
            raise cannot_write(path, error) from error

    def finish(self) -> None:
        """Bring the contents to the disk; the file keeps its dot-name."""
        try:
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def publish(self) -> None:
        """Give the finished file its final name, replacing what was there."""
        try:
            os.replace(self.temporary, self.path)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        fsync_folder(self.path.parent)

    def drop(self) -> None:
        """Remove the unfinished file."""
        with contextlib.suppress(OSError):  # closing flushes: on a full disk that fails once more
            self.file.close()
        self.temporary.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a small file so that it is never seen half-written.

    Raises
    ------
    WorkError
        The folder cannot be written.
    """
    new = NewFile(path)
    try:
        try:
            new.file.write(data)
        except OSError as error:
            raise cannot_write(path, error) from error
        new.finish()
        new.publish()
    except BaseException:
        new.drop()
        raise


class Held(Enum):
    """How a lock was found; true where it is now held by us."""

    FREE = "free"
    LEFT = "left behind by a process that died"
    BUSY = "in the hands of another process"

    def __bool__(self) -> bool:
        return self is not Held.BUSY


@contextlib.contextmanager
def lock(path: Path) -> Iterator[Held]:
    """Hold `path` as a lock of this process, unless another process holds it; yields which.

    The lock belongs to the open file (flock), so that the system releases it when its process dies, however it
    dies; a left-over lock file never blocks. Where the file system has no locks the work goes on without: files
    are whole either way, at worst one part is done twice with the same bytes.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        except OSError as error:
            raise cannot_write(path, error) from error
        held = _flock(descriptor, path)
        if not held:
            os.close(descriptor)
            yield Held.BUSY
            return
        # The previous holder removes the file while it holds it: a lock on a removed file keeps nobody out.
        try:
            same = os.path.samestat(os.fstat(descriptor), os.stat(path))
        except FileNotFoundError:
            same = False
        if same:
            break
        os.close(descriptor)
    try:
        left = os.fstat(descriptor).st_size > 0
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
        except OSError as error:
            raise cannot_write(path, error) from error
        yield Held.LEFT if left else Held.FREE
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def held_elsewhere(path: Path) -> bool:
    """Whether another process holds `path` as its lock; nothing is changed by asking."""
    if fcntl is None:
        return False
    try:
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    except OSError:  # gone by now, or a folder that we may only read, where nobody of ours works
        return False
    try:
        return not _flock(descriptor, path)
    finally:
        os.close(descriptor)


def _flock(descriptor: int, path: Path) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise cannot_write(path, error) from error
        _log.warning("%s: this file system has no locks; do not start one stage twice at the same time.", path.parent)
    return True
