"""How the discriminative lexicons of a study learnt and listened, ready for a methods section."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from whisperprobe.comparison.naming import lexicon_of
from whisperprobe.comparison.result import Comparison

__all__ = ["lexicon_methods"]

_CUES = {
    "C-FBSF": "continuous frequency band summary features (C-FBSF; Shafaei-Bajestan et al., 2023, Language, Cognition "
    "and Neuroscience 38, 509–536)",
    "log-mel": "log-mel spectrograms",
}
_RULES = {
    "endstate": "the endstate of learning, a ridge regression",
    "fil": "frequency-informed learning, a ridge regression weighed by word frequencies",
    "nlms": "the normalised least-mean-squares rule, word by word",
    "lms": "the least-mean-squares (Widrow-Hoff) rule, word by word",
}
_OPTIONS = {"ridge": "ridge, as a share of the summed squared cues,", "rate": "learning rate", "epochs": "passes"}
_WHISPER = (
    " The vectors are the mean output embeddings of each word's tokens in that Whisper model: they share its subwords, "
    "are not independent of it, and tell words apart more than meanings."
)


def lexicon_methods(comparison: Comparison) -> list[str]:
    """A paragraph for every kind of cues, and one on how two listeners were compared; nothing without lexicons."""
    said: dict[str, Mapping[str, Any]] = {}
    for run in comparison.runs:
        lexicon = lexicon_of(run["model"], comparison.conditions)
        if lexicon is not None:
            said.setdefault(lexicon.cues, dict(run["manifest"].get("options") or {}))
    paragraphs = [_paragraph(cues, options) for cues, options in said.items()]
    if len(comparison.agreement):
        paragraphs.append(
            "Two listeners were compared by Spearman's ρ over words between what a condition changed of each one's "
            "measure, averaged over recordings and turned so that more is worse; its interval has the standard error "
            "of Bonett and Wright (2000, Psychometrika 65, 23–28)."
        )
    return paragraphs


def _paragraph(cues: str, options: Mapping[str, Any]) -> str:
    fit = options.get("fit") or {}
    space, words = fit.get("semantics") or {}, (options.get("lexicon") or {}).get("words")
    told = [f"{name} {fit[key]:g}" for key, name in _OPTIONS.items() if isinstance(fit.get(key), int | float)]
    how = _RULES.get(str(fit.get("rule")), f"the rule {fit.get('rule')}")
    vectors = f" of {space['dimensions']} dimensions" if space.get("dimensions") else ""
    source = f" ({space['name']})" if space.get("name") else ""
    known = f" of {words:,} words" if words else ""
    with_options = f" ({', '.join(told)})" if told else ""
    return (
        f"Discriminative lexicons (Baayen et al., 2019, Complexity 2019, 4895891) with {_CUES[cues]} as cues learnt a "
        f"linear mapping from the sound of single words to semantic vectors{vectors}{source}, one lexicon per "
        f"condition, by {how}{with_options}. The answer is the word of the lexicon{known} whose vector correlates most "
        "with the predicted one; the correlation with the spoken word's own vector is its measure of how well the word "
        f"was heard.{_WHISPER if space.get('kind') == 'whisper' else ''}"
    )
