"""What `doctor` found, as a person or a script reads it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from typing import Any

from whisperprobe.doctor import Finding

__all__ = ["described", "exit_code"]

_MARKS = {"ok": "ok   ", "note": "note ", "wrong": "WRONG"}
_WHOLE: Any = {"break_on_hyphens": False, "break_long_words": False}  # names of folders and commands stay whole
_COLOURS = {"ok": "32", "note": "33", "wrong": "31;1"}  # ANSI's


def described(findings: Sequence[Finding], *, as_json: bool = False, width: int = 100, coloured: bool = False) -> str:
    """Say what was found, a line each, with the remedy under what needs one.

    Parameters
    ----------
    findings : sequence of Finding
        From `examine`.
    as_json : bool, default False
        As a JSON list of objects instead.
    width : int, default 100
        Characters in a line.
    coloured : bool, default False
        Whether the words that begin a line are green, yellow and red, for a terminal.

    Returns
    -------
    str

    Examples
    --------
    >>> print(described([Finding("sound", "wrong", "no MP3", "pip install --upgrade soundfile")]))
    WRONG  sound       no MP3
                       -> pip install --upgrade soundfile
    <BLANKLINE>
    1 thing will fail until it is mended.
    """
    if as_json:
        return json.dumps([finding.to_dict() for finding in findings], indent=2, ensure_ascii=False)
    lines = []
    for one in findings:
        head, hang = f"{_MARKS[one.state]}  {one.check:<10}  ", " " * 19
        said = textwrap.wrap(one.found, width, initial_indent=head, subsequent_indent=hang, **_WHOLE)
        if coloured:
            mark = _MARKS[one.state]
            said[0] = f"\x1b[{_COLOURS[one.state]}m{mark}\x1b[0m{said[0].removeprefix(mark)}"
        lines += said
        if one.remedy:
            lines += textwrap.wrap(
                one.remedy, width, initial_indent=f"{hang}-> ", subsequent_indent=f"{hang}   ", **_WHOLE
            )
    wrong = sum(one.state == "wrong" for one in findings)
    what = "1 thing" if wrong == 1 else f"{wrong} things"
    ready = "Ready, but for what the notes say." if any(one.state == "note" for one in findings) else "Ready."
    closing = f"{what} will fail until {'it is' if wrong == 1 else 'they are'} mended." if wrong else ready
    return "\n".join([*lines, "", closing])


def exit_code(findings: Sequence[Finding]) -> int:
    """Return 1 where anything will fail, 0 otherwise."""
    return int(any(finding.state == "wrong" for finding in findings))
