"""When two texts are the same: Whisper's normaliser, and words without case and outer punctuation."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable
from typing import Any

from audiogram.errors import unknown_name

__all__ = ["language_code", "same_text", "text_normaliser", "word_of"]

_EDGES = " \t\n.,;:!?\"'()[]…“”‘’"


def language_code(language: str) -> str:
    """Return Whisper's code of a language from its code or its English name: `"english"` gives `"en"`."""
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    folded = str(language).casefold().strip().removeprefix("<|").removesuffix("|>")
    code = TO_LANGUAGE_CODE.get(folded, folded)
    if code not in TO_LANGUAGE_CODE.values():
        raise unknown_name("language", language, [*TO_LANGUAGE_CODE, *set(TO_LANGUAGE_CODE.values())])
    return str(code)


def text_normaliser(tokenizer: Any, language: str = "en") -> Callable[[str], str]:
    """Return Whisper's text normaliser: the English one for English, the basic one for other languages.

    British and American spellings are unified only where the tokenizer carries OpenAI's spelling table
    (`normalizer.json`); without it the rest of the English rules still apply.

    Parameters
    ----------
    tokenizer : WhisperTokenizer or None
        Where the spelling table is taken from.
    language : str, default "en"
        Language code or English name.

    Returns
    -------
    callable
        From text to normalised text, without white space at its ends. Results are cached.

    References
    ----------
    A. Radford et al. (2023), Robust speech recognition via large-scale weak supervision, appendix C.
    """
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer

    rules: Callable[[str], str]
    english: Any = EnglishTextNormalizer  # untyped in transformers
    if language_code(language) == "en":
        rules = english(getattr(tokenizer, "english_spelling_normalizer", None) or {})
    else:
        rules = BasicTextNormalizer()

    @functools.lru_cache(maxsize=65536)
    def normalise(text: str) -> str:
        return re.sub(r"\s+", " ", rules(text)).strip()

    return normalise


def same_text(prediction: str, text: str, normalise: Callable[[str], str]) -> bool:
    """Whether two texts are equal under a normaliser.

    Where both normalise to nothing ("mm" and "uh" are fillers to Whisper's normaliser), they are compared as
    written, so that a silent prediction never counts as having heard a filler.
    """
    left, right = normalise(prediction), normalise(text)
    if not left and not right:
        return prediction.strip().casefold() == text.strip().casefold()
    return left == right


def word_of(text: object) -> str | None:
    """The word that a text stands for: case, outer punctuation and the coding of accents do not make another word.

    None without text.

    Examples
    --------
    >>> word_of(" Thick. "), word_of(None), word_of(float("nan"))
    ('thick', None, None)
    >>> word_of("caf\\u00e9") == word_of("cafe\\u0301")  # as in names of files on macOS
    True
    """
    if not isinstance(text, str):
        return None
    return unicodedata.normalize("NFC", text.casefold()).strip(_EDGES) or None
