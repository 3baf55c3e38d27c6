"""Clips on their way from the order of an archive to the order of a corpus, on disk, in portions of a bounded size.

An archive has its clips in no order, and a gzipped one can be read only from its beginning. So one pass over it
collects the clips of as many parts as fit a given space, in files of some 128 MB that hold the clips of successive
parts; each of them is read when its first part's turn comes, and removed. The next portion is another pass. In memory
are one of these files and the names of a portion's clips.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from audiogram.corpus.common_voice import ReleaseReader
from audiogram.corpus.files import cannot_write
from audiogram.errors import WorkError
from whisperprobe.corpora.release_archive import Advance, Listing, read_members

__all__ = ["Spool", "load_clips"]

_BUCKET = 128 << 20  # bytes of clips in one file, at least one part
_RECORD = struct.Struct("<HI")  # lengths of name and clip
_log = logging.getLogger("whisperprobe.corpora")

Key = tuple[str, int]


class Spool:
    """Clips of an archive, part by part.

    Parameters
    ----------
    archive : Path
        The archive.
    listing : Listing
        What is in it.
    folder : Path
        Where clips wait; emptied by `clear`.
    parts : sequence of ReleaseReader
        The parts that will be asked for, in order.
    limit : int
        Bytes of clips that wait at most; one part always does.
    """

    def __init__(
        self, archive: Path, listing: Listing, folder: Path, parts: Sequence[ReleaseReader], limit: int
    ) -> None:
        self._archive, self._listing, self._folder, self._limit = archive, listing, folder, limit
        self._parts = {part.key: part for part in parts}
        self._waiting: list[tuple[set[Key], Path]] = []
        self._loaded: tuple[Path | None, dict[str, bytes]] = (None, {})
        self._passes = 1  # the one that listed it

    def clips(self, part: ReleaseReader) -> dict[str, bytes]:
        """Return the clips of a part, and perhaps of its neighbours, by name, as far as the archive has them."""
        path = self.file_of(part)
        if self._loaded[0] != path:
            self._loaded = (None, {})  # before the next, not after it
            self._loaded = (path, load_clips(path))
        return self._loaded[1]

    def file_of(self, part: ReleaseReader) -> Path:
        """Return the file with the clips of a part, and remove those of the parts before it."""
        while not self._waiting or part.key not in self._waiting[0][0]:
            if self._waiting:
                self._waiting.pop(0)[1].unlink(missing_ok=True)
            if not self._waiting:
                self.fill(part.key)
        return self._waiting[0][1]

    def fill(self, key: Key | None = None, advance: Advance | None = None) -> None:
        """Pass over the archive and collect the parts from `key` on, default the first."""
        self.clear()
        wanted, sizes = self._plan(list(self._parts) if key is None else self._from(key))
        self._passes += 1
        self._folder.mkdir(parents=True, exist_ok=True)
        _log.info(
            "collecting %d clips, %.1f GB, from %s: pass %d over it",
            len(wanted), sum(sizes) / 1e9, self._archive.name, self._passes,
        )  # fmt: skip
        left = len(wanted)
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(_open(path)) for _, path in self._waiting]
            for member, _, content in read_members(self._archive, advance) if left else ():
                name = self._listing.clip(member)
                where = wanted.get(name) if name is not None else None
                if name is None or where is None:
                    continue
                clip, label = content.read(), name.encode(errors="surrogateescape")
                for bucket in where:
                    try:
                        files[bucket].write(_RECORD.pack(len(label), len(clip)) + label + clip)
                    except OSError as error:
                        raise cannot_write(self._waiting[bucket][1], error) from error
                left -= 1
                if not left:  # the rest of the archive is known to be whole
                    break

    def clear(self) -> None:
        """Remove what waits on disk."""
        self._waiting, self._loaded = [], (None, {})
        shutil.rmtree(self._folder, ignore_errors=True)

    def _from(self, key: Key) -> list[Key]:
        keys = list(self._parts)
        return keys[keys.index(key) :]

    def _plan(self, keys: Sequence[Key]) -> tuple[dict[str, list[int]], list[int]]:
        """Choose files for as many parts as there is room for; returns the files of each clip, and their sizes."""
        wanted: dict[str, list[int]] = {}
        sizes: list[int] = []
        for key in keys:
            names = list(dict.fromkeys(self._parts[key].names()))
            there = [(name, size) for name, size in zip(names, self._listing.sizes_of(names), strict=True) if size >= 0]
            size = sum(size for _, size in there)
            if sizes and sum(sizes) + size > self._limit:
                break
            if not sizes or sizes[-1] + size > _BUCKET:
                self._waiting.append((set(), self._folder / f"{len(sizes):04d}.clips"))
                sizes.append(0)
            self._waiting[-1][0].add(key)
            sizes[-1] += size
            for name, _ in there:
                buckets = wanted.setdefault(name, [])
                if len(sizes) - 1 not in buckets:
                    buckets.append(len(sizes) - 1)
        return wanted, sizes


def _open(path: Path) -> IO[bytes]:
    try:
        return open(path, "wb", buffering=1 << 18)
    except OSError as error:
        raise cannot_write(path, error) from error


def load_clips(path: Path) -> dict[str, bytes]:
    """Read a file of clips, by name."""
    clips = {}
    try:
        with open(path, "rb") as file:
            while head := file.read(_RECORD.size):
                length, size = _RECORD.unpack(head)
                name = file.read(length).decode(errors="surrogateescape")
                clips[name] = file.read(size)
    except (OSError, struct.error) as error:
        raise WorkError(f"{path} cannot be read: {error}. Start the same command again.") from error
    return clips
