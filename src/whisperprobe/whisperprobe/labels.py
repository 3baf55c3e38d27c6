"""Prompts, ground-truth tokens and spelling variants: what a clip is scored against."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from audiogram.errors import InputError, unknown_name
from whisperprobe.text_normalising import language_code, same_text, text_normaliser, word_of

__all__ = [
    "VARIANT_NAMES",
    "Labels",
    "Variant",
    "ground_truth_ids",
    "language_code",
    "prompt_ids",
    "same_text",
    "text_normaliser",
    "text_variants",
    "tokenizer_hash",
    "word_of",
]

VARIANT_NAMES = ("as_given", "lower", "capitalised", "space_as_given", "space_lower", "space_capitalised")
"""Spellings of a ground truth that are scored, each without and with a leading space."""

TASKS = ("transcribe", "translate")


@dataclass(frozen=True)
class Variant:
    """One spelling of a ground truth.

    Attributes
    ----------
    name : str
        One of `VARIANT_NAMES`.
    text : str
        The spelling, leading space included.
    token_ids : tuple of int
        Its tokens, without prompt and end token.
    """

    name: str
    text: str
    token_ids: tuple[int, ...]


def token_id(tokenizer: Any, token: str) -> int | None:
    """Return the id of exactly this token, or None; an unknown token is not the end token, as transformers has it."""
    found = tokenizer.get_added_vocab().get(token)
    return None if found is None else int(found)


def is_multilingual(tokenizer: Any, generation_config: Any) -> bool:
    """Whether prompts name a language and a task; English-only checkpoints know neither.

    The generation config decides (`is_multilingual`, else `lang_to_id`). English-only vocabularies list language
    tokens too, so the tokenizer decides only where the generation config says nothing.
    """
    stated = getattr(generation_config, "is_multilingual", None)
    if stated is not None:
        return bool(stated)
    if getattr(generation_config, "lang_to_id", None):
        return True
    if getattr(generation_config, "forced_decoder_ids", None):
        return len(generation_config.forced_decoder_ids) > 1
    return token_id(tokenizer, "<|en|>") is not None and token_id(tokenizer, "<|transcribe|>") is not None


def prompt_ids(
    tokenizer: Any,
    generation_config: Any,
    *,
    language: str = "en",
    task: str = "transcribe",
    timestamps: bool = False,
) -> list[int]:
    """Return the prompt that precedes the text, from the checkpoint's own tokenizer and generation config.

    Parameters
    ----------
    tokenizer : WhisperTokenizer
        The checkpoint's tokenizer.
    generation_config : transformers.GenerationConfig
        The checkpoint's generation config; what it does not say is looked up in the tokenizer.
    language : str, default "en"
        Language code or English name.
    task : {"transcribe", "translate"}
        Task.
    timestamps : bool, default False
        Leave the last token out, so that the model writes timestamps.

    Returns
    -------
    list of int
        `<|startoftranscript|><|en|><|transcribe|><|notimestamps|>` for a multilingual checkpoint,
        `<|startoftranscript|><|notimestamps|>` for an English-only one.

    Raises
    ------
    InputError
        An unknown language or task, one that this checkpoint was not made for, or a tokenizer without Whisper's
        special tokens.
    """
    if task not in TASKS:
        raise unknown_name("task", task, TASKS)
    code = language_code(language)
    start = getattr(generation_config, "decoder_start_token_id", None)
    start = token_id(tokenizer, "<|startoftranscript|>") if start is None else int(start)
    no_timestamps = getattr(generation_config, "no_timestamps_token_id", None)
    no_timestamps = token_id(tokenizer, "<|notimestamps|>") if no_timestamps is None else int(no_timestamps)
    if start is None or no_timestamps is None:
        missing = "<|startoftranscript|>" if start is None else "<|notimestamps|>"
        raise InputError(
            f"the tokenizer has no {missing} token, so no Whisper prompt can be made with it. "
            "Use the tokenizer that was saved with the Whisper checkpoint."
        )
    if not is_multilingual(tokenizer, generation_config):
        if code != "en" or task != "transcribe":
            raise InputError(
                f"this checkpoint is English-only, but language {language!r} and task {task!r} were asked for. "
                "Use language 'en' and task 'transcribe', or a multilingual checkpoint."
            )
        return [start] if timestamps else [start, no_timestamps]
    languages = getattr(generation_config, "lang_to_id", None) or {}
    language_token = languages.get(f"<|{code}|>", token_id(tokenizer, f"<|{code}|>"))
    tasks = getattr(generation_config, "task_to_id", None) or {}
    task_token = tasks.get(task, token_id(tokenizer, f"<|{task}|>"))
    if language_token is None or task_token is None:
        missing = f"<|{code}|>" if language_token is None else f"<|{task}|>"
        raise InputError(f"this checkpoint has no {missing} token: it was not trained for that language or task.")
    prompt = [start, int(language_token), int(task_token)]
    return prompt if timestamps else [*prompt, no_timestamps]


def encode_text(tokenizer: Any, text: str) -> tuple[int, ...]:
    """Return the tokens of a text, nothing added, and special tokens written in it read as plain characters."""
    return tuple(int(i) for i in tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))


@dataclass(frozen=True)
class Labels:
    """How a transcript becomes what the decoder shall say.

    Parameters
    ----------
    tokenizer : WhisperTokenizer
        Of the model.
    prompt : tuple of int
        `<|startoftranscript|>`, language, task, no timestamps, as `prompt_ids` gives it.
    longest : int
        Positions of the decoder.
    leading_space : bool, default False
        Whether the text is spoken with a space before it, as Whisper's own training text is.
    """

    tokenizer: Any
    prompt: tuple[int, ...]
    longest: int
    leading_space: bool = False

    def __call__(self, text: str) -> list[int]:
        """Token ids: the prompt without its start token (the model puts it there), the text, the end token."""
        spoken = (" " if self.leading_space else "") + text.strip()
        return [*self.prompt[1:], *encode_text(self.tokenizer, spoken), self.tokenizer.eos_token_id]

    def describe(self) -> dict[str, Any]:
        """Return what decides the labels of a text, JSON-able."""
        prompt = [int(id) for id in self.prompt]
        return {
            "tokenizer_sha256": tokenizer_hash(self.tokenizer),
            "prompt": prompt,
            "leading_space": self.leading_space,
        }


def tokenizer_hash(tokenizer: Any) -> str:
    """SHA-256 of the backend tokenizer, which holds vocabulary, merges and special tokens.

    The template that puts a prompt around a text is left out: it follows from options, not from the vocabulary.
    """
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    content.pop("post_processor", None)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def capitalise(text: str) -> str:
    """Return the text with its first letter capitalised and the rest as it was."""
    return text[:1].upper() + text[1:]


def ground_truth_ids(text: str, tokenizer: Any) -> list[int]:
    """Return the tokens of the text with its first letter capitalised and no leading space.

    Parameters
    ----------
    text : str
        The ground truth; white space at its ends does not count.
    tokenizer : WhisperTokenizer
        The checkpoint's tokenizer.
    """
    return list(encode_text(tokenizer, capitalise(text.strip())))


def text_variants(text: str, tokenizer: Any) -> list[Variant]:
    """Return the spellings that are scored: as given, lower case, capitalised, each without and with leading space.

    Parameters
    ----------
    text : str
        The ground truth; white space at its ends does not count.
    tokenizer : WhisperTokenizer
        The checkpoint's tokenizer.

    Returns
    -------
    list of Variant
        One per distinct token sequence, in the order of `VARIANT_NAMES`; the first name keeps a shared sequence.
        Empty for an empty text.
    """
    given = text.strip()
    if not given:
        return []
    spellings = (given, given.lower(), capitalise(given))
    variants: dict[tuple[int, ...], Variant] = {}
    for name, spelling in zip(VARIANT_NAMES, (*spellings, *(" " + s for s in spellings)), strict=True):
        ids = encode_text(tokenizer, spelling)
        if ids and ids not in variants:
            variants[ids] = Variant(name, spelling, ids)
    return list(variants.values())
