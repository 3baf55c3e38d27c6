"""Columns of a source beside those of a stage."""

from __future__ import annotations

from collections.abc import Collection, Iterable

__all__ = ["beside"]


def beside(taken: Collection[str], columns: Iterable[str]) -> dict[str, str]:
    """Return what each of a source's columns is called where some names are taken: its own, or `source_` and its name.

    Examples
    --------
    >>> beside({"id", "text"}, ["speaker", "text"])
    {'speaker': 'speaker', 'text': 'source_text'}
    """
    named: dict[str, str] = {}
    for name in columns:
        new = name
        while new in taken or new in named.values():
            new = f"source_{new}"
        named[name] = new
    return named
