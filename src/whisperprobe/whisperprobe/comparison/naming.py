"""How models are called in sentences, figures and tables."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

__all__ = ["BASE", "Lexicon", "lexicon_of", "model_name"]

BASE = "base"  # label of the unadapted model
_LEXICON = re.compile(r"ldl-(cfbsf|log-mel)-(.+)")
_CUES = {"cfbsf": "C-FBSF", "log-mel": "log-mel"}


class Lexicon(NamedTuple):
    """What a discriminative lexicon of a study learnt: its cues, in words, and the condition it learnt them through."""

    cues: str
    learnt: str


def lexicon_of(model: str, conditions: Collection[str]) -> Lexicon | None:
    """Read the label that a study gives its lexicons, `ldl-CUES-CONDITION`; None for any other label.

    Examples
    --------
    >>> lexicon_of("ldl-log-mel-hfloss", ["normal", "hfloss"])
    Lexicon(cues='log-mel', learnt='hfloss')
    >>> lexicon_of("ldl-cfbsf-elsewhere", ["normal", "hfloss"]) is None
    True
    """
    found = _LEXICON.fullmatch(model)
    return Lexicon(_CUES[found[1]], found[2]) if found and found[2] in conditions else None


def model_name(model: str, conditions: Collection[str]) -> str:
    """How a model is called in sentences, figures and tables.

    Parameters
    ----------
    model : str
        Label of the model.
    conditions : collection of str
        The conditions compared. A label that is none of them, such as a folder's name, is left as it is: it does not
        say what the model was tuned on.

    Examples
    --------
    >>> [model_name(m, ["normal", "hfloss"]) for m in ("base", "hfloss", "ldl-cfbsf-hfloss", "whisper-small")]
    ['unadapted', 'tuned on hfloss', 'C-FBSF lexicon on hfloss', 'whisper-small']
    """
    if model == BASE:
        return "unadapted"
    if lexicon := lexicon_of(model, conditions):
        return f"{lexicon.cues} lexicon on {lexicon.learnt}"
    return f"tuned on {model}" if model in conditions else model
