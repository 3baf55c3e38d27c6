"""Timestamps: the rules under which a Whisper writes them, step by step of a decode.

The rules are transformers' own `WhisperTimeStampLogitsProcessor`: timestamps come in pairs and never go back, the
first token is one, and where all timestamps together are more probable than any other token, one of them is chosen.
"""

from __future__ import annotations

from typing import Any

import torch

from audiogram.errors import InputError
from whisperprobe import labels

__all__ = ["TimestampRules"]

FIRST = "<|0.00|>"


class TimestampRules:
    """What a decode with timestamps may choose.

    Parameters
    ----------
    tokenizer : WhisperTokenizer
        Must have timestamp tokens, `<|0.00|>` right behind `<|notimestamps|>`.
    generation_config : transformers.GenerationConfig
        Its `max_initial_timestamp_index`, where there is one, bounds the first timestamp.
    end_id : int
        End token.

    Attributes
    ----------
    zero : int
        `<|0.00|>`, behind which a ground truth is read in.

    Raises
    ------
    InputError
        The tokenizer has no timestamp tokens, or not where Whisper has them.
    """

    def __init__(self, tokenizer: Any, generation_config: Any, *, end_id: int) -> None:
        from transformers import GenerationConfig
        from transformers.generation.logits_process import WhisperTimeStampLogitsProcessor

        without = getattr(generation_config, "no_timestamps_token_id", None)
        without = labels.token_id(tokenizer, "<|notimestamps|>") if without is None else int(without)
        zero = labels.token_id(tokenizer, FIRST)
        if zero is None or without is None or zero != without + 1:
            found = "has no timestamp tokens" if zero is None else f"has {FIRST} not right behind <|notimestamps|>"
            raise InputError(
                f"timestamps were asked for, but the checkpoint's tokenizer {found}: the model never learnt to write "
                "them. Probe without timestamps, or use a checkpoint that has them (every one of OpenAI's)."
            )
        self.zero = zero
        settings: Any = GenerationConfig(eos_token_id=end_id)  # type: ignore[no-untyped-call]
        settings.no_timestamps_token_id = without
        settings.max_initial_timestamp_index = getattr(generation_config, "max_initial_timestamp_index", None)
        self._rules = WhisperTimeStampLogitsProcessor(settings, begin_index=0)

    def __call__(self, token_ids: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Return the logits `(n, V)` of what may follow `token_ids` `(n, tokens)`, given without the prompt."""
        out: torch.Tensor = self._rules(token_ids, logits)
        return out
