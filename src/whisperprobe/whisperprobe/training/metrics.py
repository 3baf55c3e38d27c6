"""How well a model writes what it hears: word and character error rate, share of words or sentences written exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from whisperprobe.labels import same_text, text_normaliser

if TYPE_CHECKING:
    import torch

    from whisperprobe.training.data import SpeechDataset
    from whisperprobe.training.model_folder import Listener

__all__ = ["evaluate_listener", "text_scores"]


def text_scores(
    references: Sequence[str], hypotheses: Sequence[str], *, tokenizer: Any = None, language: str = "en"
) -> dict[str, float]:
    """Compare what was written with what was said, under Whisper's text normaliser.

    Parameters
    ----------
    references, hypotheses : sequence of str
        What was said and what was written, clip by clip.
    tokenizer : WhisperTokenizer, optional
        Whose spelling table to use, where it has one.
    language : str, default "en"
        English has a normaliser of its own; all others share the basic one.

    Returns
    -------
    dict
        `wer` and `cer` over all clips together (errors per word, per character of the references, 0 and up), the
        share of clips written exactly (0 to 1), `n_clips` and `n_words`. That share is `word_accuracy` where every
        clip is a single word, `sentence_accuracy` where some are longer.

    Examples
    --------
    >>> text_scores(["the ship", "fish"], ["The chip.", "fish"])["wer"]
    0.333...
    """
    import jiwer

    normalise = text_normaliser(tokenizer, language)
    said = [normalise(text) for text in references]
    written = [normalise(text) for text in hypotheses]
    exact = [same_text(h, r, normalise) for h, r in zip(hypotheses, references, strict=True)]
    # A reference that is nothing but fillers to the normaliser has no words to count errors against.
    pairs = [(s, w) for s, w in zip(said, written, strict=True) if s]
    scores = {"n_clips": float(len(said)), "n_words": float(sum(len(s.split()) for s, _ in pairs))}
    if pairs:
        kept_said, kept_written = [s for s, _ in pairs], [w for _, w in pairs]
        scores["wer"] = float(jiwer.wer(kept_said, kept_written))
        scores["cer"] = float(jiwer.cer(kept_said, kept_written))
    single = all(len(text.split()) <= 1 for text in references)
    scores["word_accuracy" if single else "sentence_accuracy"] = sum(exact) / max(len(exact), 1)
    return scores


def evaluate_listener(
    listener: Listener,
    dataset: SpeechDataset,
    *,
    language: str = "en",
    task: str = "transcribe",
    batch_size: int = 32,
    device: torch.device | str = "cpu",
) -> tuple[dict[str, float], list[str]]:
    """Let a model write every clip of a dataset, and score it.

    Parameters
    ----------
    listener : Listener
        The model.
    dataset : SpeechDataset
        Without augmentation.
    language, task : str
        Of the prompt, as in training.
    batch_size : int, default 32
        Clips at once.
    device : torch.device or str
        Where the model is.

    Returns
    -------
    scores : dict
        `loss` (cross-entropy per token, prompt included, as in training) and those of `text_scores`.
    hypotheses : list of str
        What was written, clip by clip.
    """
    from whisperprobe.training.evaluating import Evaluation

    evaluation = Evaluation(language=language, task=task, batch_size=batch_size, device=device)
    scores, heard = evaluation.hear(listener, dataset)
    return scores, [clip.text for clip in heard]
