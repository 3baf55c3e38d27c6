"""Durations and sizes in words, for plans and progress."""

from __future__ import annotations

__all__ = ["duration", "size"]


def duration(seconds: float) -> str:
    """Say a duration as people do.

    Parameters
    ----------
    seconds : float
        In s, 0 or more.

    Examples
    --------
    >>> duration(0.25), duration(42), duration(600), duration(7200)
    ('0.25 s', '42 s', '10 min', '2.0 h')
    """
    if seconds < 90:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Say a number of bytes as people do.

    Parameters
    ----------
    count : float
        Bytes, 0 or more.

    Examples
    --------
    >>> size(1500), size(2.5e9)
    ('1.5 kB', '2.5 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
