"""How to cite the software that a report was made with."""

from __future__ import annotations

__all__ = ["citations"]

_AUTHORS = "The audiogram and whisperprobe developers"
_TITLE = "audiogram and whisperprobe: hearing-loss filters and a speech recogniser as a listener"
_YEAR = 2026


def citations(version: str) -> dict[str, str]:
    """The reference as a sentence, as BibTeX, and as the fields of CITATION.cff.

    Parameters
    ----------
    version : str
        Of the software.

    Examples
    --------
    >>> citations("1.0.0")["reference"]
    'The audiogram and whisperprobe developers (2026). audiogram and whisperprobe: ... (version 1.0.0) [software]. ...'
    """
    return {
        "reference": f"{_AUTHORS} ({_YEAR}). {_TITLE} (version {version}) [software]. Apache-2.0.",
        "bibtex": (
            f"@software{{whisperprobe,\n  author = {{{{{_AUTHORS}}}}},\n  title = {{{{{_TITLE}}}}},\n"
            f"  year = {{{_YEAR}}},\n  version = {{{version}}},\n  license = {{Apache-2.0}}\n}}"
        ),
        "cff": (
            f'cff-version: 1.2.0\ntype: software\ntitle: "{_TITLE}"\nauthors:\n  - name: {_AUTHORS}\n'
            f"version: {version}\nlicense: Apache-2.0"
        ),
    }
