"""A small Whisper tokenizer, trained on one's own transcripts: for models that start from random weights."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from audiogram.errors import InputError, unknown_name

__all__ = ["SPECIAL_TOKENS", "train_tokenizer"]

END, START = "<|endoftext|>", "<|startoftranscript|>"
SPECIAL_TOKENS = ("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>")
NO_TIMESTAMPS = "<|notimestamps|>"
TIMESTAMPS = 1501  # 0.00 to 30.00 s in steps of 20 ms, in every Whisper


def train_tokenizer(
    texts: Iterable[str],
    vocabulary_size: int = 512,
    *,
    languages: Sequence[str] = ("en",),
    language: str | None = None,
    task: str = "transcribe",
    timestamps: bool = False,
) -> Any:
    """Train a byte-level BPE on transcripts and give it all of Whisper's special tokens.

    Parameters
    ----------
    texts : iterable of str
        The transcripts, of any script; missing ones (None, NaN) and empty ones count for nothing. Anything can be
        encoded afterwards; what occurs here takes few tokens.
    vocabulary_size : int, default 512
        Tokens in all, special ones included and timestamps not: 256 bytes, the special tokens, and merges as
        the transcripts suggest them; fewer where the transcripts suggest fewer.
    languages : sequence of str, default ("en",)
        Whisper's codes of the languages to have a token for. Whisper counts language tokens in a fixed order
        (en, zh, de, es, ...), so those that come before the last one wanted are there too. A model can be trained
        further on any of them, and on no other.
    language : str, optional
        The language that `tokenizer(text)` puts into its prompt; default: the first of `languages`.
    task : str, default "transcribe"
        The task that `tokenizer(text)` puts into its prompt.
    timestamps : bool, default False
        Whether to add the 1501 timestamp tokens.

    Returns
    -------
    transformers.WhisperTokenizer
        Deterministic: the same texts in any order give the same tokenizer.

    Raises
    ------
    InputError
        Without any text, for a text that is none or cannot be written as UTF-8, for a vocabulary too small for bytes
        and special tokens, or an unknown language.
    """
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.trainers import BpeTrainer
    from transformers import WhisperTokenizer

    lines = list(_lines(texts))
    if not lines:
        raise InputError("a tokenizer cannot be trained without text: every transcript is missing or empty.")
    specials = [START, *language_tokens(languages), *SPECIAL_TOKENS, NO_TIMESTAMPS]
    smallest = 256 + 1 + len(specials)
    if isinstance(vocabulary_size, bool) or not isinstance(vocabulary_size, int):
        raise InputError(f"vocabulary_size is {vocabulary_size!r}; give a whole number of at least {smallest}.")
    if vocabulary_size < smallest:
        raise InputError(
            f"vocabulary_size is {vocabulary_size}; 256 bytes and {1 + len(specials)} special tokens need at least "
            f"{smallest}, and every merged piece one more."
        )
    # No text has more pairs than bytes, and the trainer sets aside memory for whatever it is asked for.
    most = 256 + sum(len(line.encode()) for line in lines)
    trained = Tokenizer(BPE())
    trained.pre_tokenizer = ByteLevel(add_prefix_space=False)
    trainer = BpeTrainer(
        vocab_size=min(vocabulary_size - 1 - len(specials), most), initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    trained.train_from_iterator(lines, trainer)
    pieces = json.loads(trained.to_str())["model"]
    tokenizer = WhisperTokenizer(
        vocab=pieces["vocab"],
        merges=[tuple(merge) for merge in pieces["merges"]],
        pad_token=END,
        extra_special_tokens=specials,
        language=language or languages[0],
        task=task,
    )
    if timestamps:  # as in Whisper's own vocabularies they follow the special tokens and are none themselves
        tokenizer.add_tokens([AddedToken(f"<|{0.02 * i:.2f}|>", normalized=False) for i in range(TIMESTAMPS)])
    return tokenizer


def _lines(texts: Iterable[str | None]) -> Iterator[str]:
    """Texts that there are, without white space at their ends."""
    for text in texts:
        if text is None or text != text:  # a missing value of a table is NaN, which equals nothing
            continue
        if not isinstance(text, str):
            raise InputError(f"a transcript is {text!r}, a {type(text).__name__}; give strings.")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"the transcript {text!r} cannot be written as UTF-8 ({error.reason}); was it read from a file name of "
                "another encoding?"
            ) from error
        if text.strip():
            yield text.strip()


def language_tokens(languages: Sequence[str]) -> list[str]:
    """Language tokens in Whisper's order, up to the last that is wanted.

    Examples
    --------
    >>> language_tokens(["de"])
    ['<|en|>', '<|zh|>', '<|de|>']
    """
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    known = list(LANGUAGES)
    if isinstance(languages, str) or not languages:
        raise InputError(f"languages is {languages!r}; give a sequence of codes such as ['en'].")
    for code in languages:
        if code not in known:
            raise unknown_name("language", code, known)
    return [f"<|{code}|>" for code in known[: 1 + max(known.index(code) for code in languages)]]
