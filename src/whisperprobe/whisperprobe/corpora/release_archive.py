"""The archive of a Common Voice release, read as a stream: what is in it, and that nothing in it is amiss.

A gzipped archive can only be read from its beginning, so that everything here is a pass over all of it. The first one
checks it, writes its tables to a folder and notes the size of every clip, 24 bytes for each.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
import tarfile
import zipfile
import zlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from audiogram.console import check_stop
from audiogram.corpus.common_voice import CLIPS, DURATIONS, SPLITS, clips_digest, name_digest
from audiogram.corpus.files import NewFile, cannot_write, write_whole
from audiogram.errors import InputError

__all__ = ["Listing", "list_archive", "read_members"]

_BLOCK = 1 << 16  # bytes unpacked at once, whole tar blocks; tarfile copies what it has left of them at every read
_TABLES = frozenset(f"{name}.tsv" for name in (*SPLITS, DURATIONS))
_END = 1024  # zero bytes that mark the end of an archive

Advance = Callable[[int], None]


def read_members(path: Path, advance: Advance | None = None) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Yield name, size and content of every file of an archive, in its order; content must be read at once.

    Parameters
    ----------
    path : Path
        A tar file, gzipped or not.
    advance : callable, optional
        Told how many bytes of the archive have been read since the last time.

    Raises
    ------
    InputError
        The archive is cut off or damaged, or holds what no release does: links, devices, names that lead elsewhere.
    StoppedError
        A signal asked to stop.
    """
    try:
        with contextlib.ExitStack() as stack:
            raw = stack.enter_context(open(path, "rb"))
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            watched = _Watched(stack.enter_context(gzip.GzipFile(fileobj=raw)) if packed else raw)
            stream: Any = watched  # typeshed asks for more than tarfile does, and does not know its `members`
            archive: Any = stack.enter_context(tarfile.open(fileobj=stream, mode="r|", bufsize=_BLOCK))
            at = 0
            while (member := archive.next()) is not None:
                archive.members.clear()  # or a record of every file ever seen is kept
                check_stop()
                if advance is not None and (now := raw.tell()) > at:
                    advance(now - at)
                    at = now
                if member.isdir():
                    continue
                name = _checked_name(path, member)
                yield name, member.size, archive.extractfile(member)
            watched.check_end(archive.offset)
            if advance is not None:
                advance(path.stat().st_size - at)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path} is cut off or damaged: {error}. Was the download interrupted? Fetch it again; whisperprobe "
            "commonvoice download compares what arrives with the published checksum."
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error


class _Watched:
    """Passes on what it reads, and remembers the last of it: tarfile takes a damaged header for the end."""

    def __init__(self, inner: Any) -> None:
        self._inner, self._last, self._at = inner, b"", 0

    def read(self, size: int) -> bytes:
        data: bytes = self._inner.read(size)
        if data:
            self._at, self._last = self._at + len(self._last), data
        return data

    def check_end(self, offset: int) -> None:
        """Raise unless nothing but zeros, and enough of them, follows from `offset` on."""
        left, zeros = self._last[max(0, offset - self._at) :], 0
        while left:
            if left.count(0) < len(left):
                raise tarfile.ReadError("a damaged header")
            zeros += len(left)
            left = self._inner.read(_BLOCK)
        if zeros < _END:
            raise tarfile.ReadError("the mark of its end is missing")


@dataclass(frozen=True)
class Listing:
    """What is in an archive.

    Parameters
    ----------
    prefix : str
        Folder of the release within the archive, ``cv-corpus-.../{locale}/``, or empty.
    digests : ndarray of uint64, shape (files, 2)
        Of the files' names, sorted.
    sizes : ndarray of int64, shape (files,)
        In bytes.
    clips : list of str
        What `CommonVoice.clip_names` says of the same release.
    """

    prefix: str
    digests: npt.NDArray[np.uint64]
    sizes: npt.NDArray[np.int64]
    clips: list[str]

    def clip(self, name: str) -> str | None:
        """Return the name within ``clips`` of a file of the archive; None where it is no clip."""
        start = f"{self.prefix}{CLIPS}/"
        return name.removeprefix(start) if name.startswith(start) else None

    def sizes_of(self, names: Sequence[str]) -> list[int]:
        """Return the sizes of clips, in bytes; -1 for those that the archive has not."""
        wanted = [_pair(f"{self.prefix}{CLIPS}/{name}") for name in names]
        if not wanted or not len(self.sizes):
            return [-1] * len(wanted)
        first = np.searchsorted(self.digests[:, 0], np.array([high for high, _ in wanted], np.uint64))
        found = []
        for at, (high, low) in zip(first.tolist(), wanted, strict=True):
            while at < len(self.sizes) and self.digests[at, 0] == high and self.digests[at, 1] != low:
                at += 1
            there = at < len(self.sizes) and self.digests[at, 0] == high
            found.append(int(self.sizes[at]) if there else -1)
        return found


def list_archive(path: Path, folder: Path, advance: Advance | None = None) -> Listing:
    """Read through an archive once: check it, and write its tables to `folder`, where they are found the next time.

    Raises
    ------
    InputError
        What `read_members` refuses, a file that is there twice, no release or several.
    """
    status = path.stat()
    identity = {"size": status.st_size, "changed": status.st_mtime_ns}
    about, arrays = folder / "archive.json", folder / "archive.npz"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):  # damaged: read anew
        said = json.loads(about.read_text(encoding="utf-8"))
        if said["archive"] == identity:
            with np.load(arrays) as stored:
                return Listing(said["prefix"], stored["digests"], stored["sizes"], said["clips"])
    shutil.rmtree(folder, ignore_errors=True)
    listing = _read_through(path, folder, advance)
    new = NewFile(arrays)
    try:
        np.savez(new.file, digests=listing.digests, sizes=listing.sizes)
        new.finish()
        new.publish()
    except OSError as error:
        raise cannot_write(arrays, error) from error
    finally:
        new.drop()
    write_whole(about, json.dumps({"archive": identity, "prefix": listing.prefix, "clips": listing.clips}).encode())
    return listing


def _read_through(path: Path, folder: Path, advance: Advance | None) -> Listing:
    digests, sizes = array("Q"), array("q")
    prefixes: dict[str, str] = {}  # and the first file of each
    clips, total = 0, 0
    for name, size, content in read_members(path, advance):
        digests.extend(_pair(name))
        sizes.append(size)
        parts = name.split("/")
        if CLIPS in parts[:-1]:
            at = parts.index(CLIPS)
            prefixes.setdefault("".join(f"{part}/" for part in parts[:at]), name)
            if not any(part.startswith(".") for part in parts[at:]):
                clips, total = clips + 1, total + name_digest("/".join(parts[at + 1 :]))
        elif parts[-1] in _TABLES:
            prefixes.setdefault("".join(f"{part}/" for part in parts[:-1]), name)
            _write(folder / parts[-1], content)
    if len(prefixes) != 1 or not clips:
        what = (
            f"several releases, e.g. {' and '.join(list(prefixes.values())[:2])}" if len(prefixes) > 1 else "no clips"
        )
        raise InputError(
            f"{path} holds {what}; the archive of a Common Voice release has cv-corpus-.../LOCALE/{CLIPS}/*.mp3 and "
            "tables beside them, of one language."
        )
    pairs = np.frombuffer(digests, np.uint64).reshape(-1, 2)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    pairs = pairs[order]
    twice = pairs[1:][(pairs[1:] == pairs[:-1]).all(axis=1)]
    if len(twice):
        again = tuple(twice[0].tolist())
        name = next(name for name, _, _ in read_members(path) if _pair(name) == again)
        raise InputError(f"{path} holds {name!r} twice, and which of the two is right cannot be known. Fetch it again.")
    return Listing(next(iter(prefixes)), pairs, np.frombuffer(sizes, np.int64)[order], clips_digest(clips, total))


def _checked_name(path: Path, member: tarfile.TarInfo) -> str:
    """Return a member's name in its plain form, or refuse the archive.

    Not by pathlib, which makes Python keep the last part of every name for ever: a million clips are 100 MB.
    """
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    if not member.isreg():
        what = "a link" if member.issym() or member.islnk() else "neither a file nor a folder"
        raise InputError(f"{path} is refused: {member.name!r} in it is {what}, which no Common Voice release holds.")
    if member.name.startswith("/") or ".." in parts or not parts or {"\\", ":", "\0"} & set(member.name):
        raise InputError(f"{path} is refused: the name {member.name!r} in it would lead out of the folder.")
    return "/".join(parts)


def _pair(name: str) -> tuple[int, int]:
    return divmod(name_digest(name), 2**64)


def _write(path: Path, content: IO[bytes]) -> None:
    new = NewFile(path)
    try:
        try:
            shutil.copyfileobj(content, new.file, _BLOCK)
        except OSError as error:
            if isinstance(error, gzip.BadGzipFile):
                raise
            raise cannot_write(path, error) from error
        new.finish()
        new.publish()
    finally:
        new.drop()
