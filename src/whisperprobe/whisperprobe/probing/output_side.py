"""The output side of a model alone: all that is needed to make distributions again from stored hidden states.

A run keeps the decoder's last states; with the rows of the output embedding every logit follows. So of the checkpoint
only that one matrix and the tokenizer are opened, not the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from audiogram.errors import InputError
from whisperprobe.probing.batches import end_id_of
from whisperprobe.probing.decode import Suppression
from whisperprobe.probing.head import Head
from whisperprobe.probing.loading import choose_dtype, first_line, folder_of, tokenizer_hash, weights_hash
from whisperprobe.probing.vocabulary import vocabulary_of

__all__ = ["OutputSide", "load_output_side", "output_embedding"]

# The output embedding under its own name where it is not tied to the input's, else the input's.
_NAMES = ("proj_out.weight", "model.decoder.embed_tokens.weight")


@dataclass(frozen=True, eq=False)
class OutputSide:
    """What turns decoder states into distributions over named tokens.

    Attributes
    ----------
    head : Head
        Output embedding and vocabulary.
    tokenizer : WhisperTokenizer
        The tokenizer that belongs to it.
    """

    head: Head
    tokenizer: Any


def load_output_side(options: Mapping[str, Any], model: str | Path | None = None) -> OutputSide:
    """Open the output side of the model that a run was made with.

    Parameters
    ----------
    options : mapping
        `manifest["options"]` of the run: `model`, `model_sha256`, `tokenizer_sha256`, `dtype`.
    model : path or hub name, optional
        Where the model is now; by default where it was.

    Raises
    ------
    InputError
        The model is not there, is damaged, or is not the one that the run was made with.
    """
    path = str(model if model is not None else options.get("model", ""))
    try:
        folder = folder_of(path)
    except InputError as error:
        raise InputError(
            f"the run's model is needed to make distributions again from its hidden states. {error} "
            "Say where it is now with model=..., on the command line --model."
        ) from error
    if weights_hash(folder) != options.get("model_sha256"):
        raise InputError(
            f"the weights in {folder} are not those that the run was made with (their SHA-256 differs). "
            "Give the model of this run, or probe again with the new one."
        )
    from transformers import GenerationConfig, WhisperTokenizer

    try:
        embedding = output_embedding(folder).to(choose_dtype(options.get("dtype")))
        tokenizer = WhisperTokenizer.from_pretrained(path)
        settings = _generation_config(GenerationConfig, folder, path)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(
            f"{folder} cannot be read: {first_line(error)} A file is missing or damaged; copy the model again."
        ) from error
    if tokenizer_hash(tokenizer) != options.get("tokenizer_sha256"):
        raise InputError(
            f"the tokenizer in {folder} is not the one that the run was made with (its SHA-256 differs). "
            "Give the model of this run, or probe again with the new one."
        )
    size = embedding.shape[0]
    vocabulary = vocabulary_of(tokenizer, size, end_id=end_id_of(settings, tokenizer))
    return OutputSide(Head.of_embedding(embedding, vocabulary, Suppression.of(settings, size)), tokenizer)


def _generation_config(kind: Any, folder: Path, path: str) -> Any:
    if (folder / "generation_config.json").is_file():
        return kind.from_pretrained(path)
    from transformers import AutoConfig

    return kind.from_model_config(AutoConfig.from_pretrained(path))


def output_embedding(folder: Path) -> torch.Tensor:
    """Read one matrix out of the weights; the rest stays on disk."""
    from safetensors import safe_open

    safe, pickled = sorted(folder.glob("*.safetensors")), sorted(folder.glob("pytorch_model*.bin"))
    for name in _NAMES:
        for file in safe:
            with safe_open(file, framework="pt") as stored:
                if name in stored.keys():  # noqa: SIM118  # it is no dict
                    return cast(torch.Tensor, stored.get_tensor(name))
        for file in [] if safe else pickled:
            weights = torch.load(file, mmap=True, weights_only=True, map_location="cpu")
            if name in weights:
                return cast(torch.Tensor, weights[name].clone())
    raise ValueError(f"its weights have no output embedding ({' or '.join(_NAMES)}).")
