"""Whisper's own semantic space: the rows of its output embedding for the tokens of a word."""

from __future__ import annotations

import numpy as np

from audiogram.errors import InputError
from whisperprobe.labels import ground_truth_ids
from whisperprobe.probing.loading import first_line, folder_of, weights_hash
from whisperprobe.probing.output_side import output_embedding

__all__ = ["TokenVectors"]


class TokenVectors:
    """Means of embedding rows; every text that is not empty has one.

    Parameters
    ----------
    model : str
        Folder or hub name.

    Raises
    ------
    InputError
        There is no such model, or it has no tokenizer.
    """

    def __init__(self, model: str) -> None:
        from transformers import WhisperTokenizer

        folder = folder_of(model)
        try:
            self._embedding = output_embedding(folder)
            self._tokenizer = WhisperTokenizer.from_pretrained(model)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise InputError(f"{folder} cannot be read: {first_line(error)} Copy the model again.") from error
        self.dimensions = int(self._embedding.shape[1])
        self.fingerprint = weights_hash(folder)

    def vector(self, word: str) -> np.ndarray | None:
        """Mean of the rows of the word's tokens, capitalised and without a leading space, as `mean E[g]` of a probe."""
        ids = ground_truth_ids(word, self._tokenizer)
        if not ids:
            return None
        return np.asarray(self._embedding[ids].double().mean(dim=0).float().numpy(), dtype=np.float32)

    def from_subwords(self, word: str) -> np.ndarray | None:
        """Return None: tokens are subwords already."""
        return None
