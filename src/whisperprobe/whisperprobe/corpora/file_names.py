"""Ids of clips as paths of files that every file system takes."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping

__all__ = ["file_paths", "safe_path"]

_LONGEST = 120  # bytes of one component, with room for an ending, a mark and a temporary name within the usual 255
_RESERVED = re.compile(
    r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE
)  # devices on Windows, whatever the ending
_UNSAFE = re.compile(r"[^\w .,+=@~()'&-]")


def safe_path(id: str) -> str:
    """Turn an id into a relative path, without an ending: its folders are kept, what is unsafe becomes ``_``.

    Parameters
    ----------
    id : str
        Id of a clip, with ``/`` between folders.

    Returns
    -------
    str
        The id itself where it is safe, else a path that ends in a mark made from the id, so that two ids never share
        one. It is relative, leads nowhere outside, and no part of it is hidden.

    Examples
    --------
    >>> safe_path("anna/yes_1"), safe_path("../a:b")
    ('anna/yes_1', '__/a_b-2ebe32386d')
    """
    parts = [_safe(part, folder=True) for part in id.split("/")[:-1]] + [_safe(id.split("/")[-1])]
    path = "/".join(parts)
    return path if path == id else marked(path, id)


def marked(path: str, id: str) -> str:
    """The path with a mark that follows from the id."""
    return f"{path}-{hashlib.blake2b(id.encode('utf-8', 'surrogatepass'), digest_size=5).hexdigest()}"


def file_paths(ids: Iterable[str]) -> Mapping[str, str]:
    """Return the ids whose path is not simply `safe_path`: on some file systems `Yes` and `yes` are one file.

    Parameters
    ----------
    ids : iterable of str
        Ids of all clips.

    Returns
    -------
    mapping of str to str
        Paths of the ids that differ from another in upper and lower case, or in how accents are written, only.
    """
    import unicodedata

    def folded(path: str) -> str:
        return unicodedata.normalize("NFC", path).casefold()

    unique = dict.fromkeys(ids)
    often = Counter(folded(safe_path(id)) for id in unique)
    return {id: marked(safe_path(id), id) for id in unique if often[folded(safe_path(id))] > 1}


def _safe(part: str, *, folder: bool = False) -> str:
    part = _UNSAFE.sub("_", part)
    part = re.sub(r"^[. ]|[. ]$", "_", part) or "_"
    if folder:  # a folder `a.wav` and the file of a clip `a` would be one name
        part = re.sub(r"\.(wav|txt)$", r"_\1", part, flags=re.IGNORECASE)
    if _RESERVED.fullmatch(part):
        part = f"_{part}"
    while len(part.encode()) > _LONGEST:
        part = part[:-1]
    return part
