"""Opening a Whisper checkpoint, with errors that say what is wrong with the folder."""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audiogram.errors import AudiogramWarning, InputError, unknown_name
from whisperprobe.json_files import read_json
from whisperprobe.labels import tokenizer_hash
from whisperprobe.model_source import folder_of
from whisperprobe.ranks import local_rank

__all__ = [
    "Checkpoint",
    "choose_device",
    "choose_dtype",
    "first_line",
    "folder_of",
    "hashes",
    "load_checkpoint",
    "tokenizer_hash",
    "weights_hash",
]

_DTYPES = ("float64", "float32", "float16", "bfloat16")
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A loaded checkpoint.

    Attributes
    ----------
    model : WhisperForConditionalGeneration
        In evaluation mode, on its device.
    tokenizer : WhisperTokenizer
        Its tokenizer.
    source : str
        Path or hub name, as given.
    model_sha256, tokenizer_sha256 : str
        Of the files of the weights, and of the tokenizer's vocabulary, merges and special tokens.
    """

    model: Any
    tokenizer: Any
    source: str
    model_sha256: str
    tokenizer_sha256: str


def choose_device(device: str) -> str:
    """Return the device that `"auto"` stands for: a CUDA GPU where there is one, else the CPU.

    Under `torchrun` it is the GPU of the process's own number.
    """
    import torch

    if device == "auto":
        if not torch.cuda.is_available():
            return "cpu"
        rank = local_rank()
        return "cuda" if rank is None else f"cuda:{rank % torch.cuda.device_count()}"
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"device {device!r} is not one that PyTorch knows; try 'cpu', 'cuda' or 'cuda:1'.") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {device!r} was asked for, but PyTorch finds no CUDA GPU here; use 'cpu' or 'auto'.")
    return str(device)


def choose_dtype(dtype: Any) -> Any:
    """Return the torch dtype of a name; None is float32."""
    import torch

    name = "float32" if dtype is None else str(dtype).removeprefix("torch.")
    if name not in _DTYPES:
        raise unknown_name("dtype", dtype, _DTYPES)
    return getattr(torch, name)


def load_checkpoint(path: str | Path, *, device: str = "auto", dtype: Any = None) -> Checkpoint:
    """Load a Whisper from a folder or the hub.

    Parameters
    ----------
    path : str or Path
        Folder written by `save_pretrained` (or by `whisperprobe finetune`), or hub name.
    device : str, default "auto"
        `"auto"`, `"cpu"`, `"cuda"`, `"cuda:1"`.
    dtype : str or torch.dtype, optional
        float64, float32 (default), float16 or bfloat16.

    Raises
    ------
    InputError
        No such folder, not a Whisper, a file is missing or damaged, an unknown device or dtype.
    """
    from safetensors import SafetensorError
    from transformers import WhisperForConditionalGeneration, WhisperTokenizer

    where, kind = choose_device(device), choose_dtype(dtype)
    folder = folder_of(str(path))
    if Path(path).is_dir():
        _check_folder(folder)
    try:
        with _quiet():
            load: Any = WhisperForConditionalGeneration.from_pretrained
            model, found = load(str(path), dtype=kind, attn_implementation="sdpa", output_loading_info=True)
            tokenizer = WhisperTokenizer.from_pretrained(str(path))
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise InputError(
            f"the Whisper checkpoint {str(path)!r} cannot be loaded: {first_line(error)} "
            "A file is missing or damaged; copy or download it again."
        ) from error
    if found["missing_keys"]:  # transformers would fill them with random numbers and go on
        missing = sorted(found["missing_keys"])
        raise InputError(
            f"the weights of {str(path)!r} lack {len(missing)} tensors ({missing[0]}, ...); copy them again."
        )
    return Checkpoint(
        model.eval().requires_grad_(False).to(where),
        tokenizer,
        str(path),
        weights_hash(folder),
        tokenizer_hash(tokenizer),
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the bar that transformers draws over the weights of every model, however small."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def first_line(error: BaseException) -> str:
    """First line of an error's text, as a sentence."""
    line = next((part.strip() for part in str(error).splitlines() if part.strip()), type(error).__name__)
    return line if line.endswith((".", "!", "?")) else line + "."


def _check_folder(folder: Path) -> None:
    config = folder / "config.json"
    if not config.is_file():
        raise InputError(
            f"{folder} has no config.json, so it is not a model folder. Give the folder of the checkpoint."
        )
    kind = read_json(config, "the folder is damaged, copy it again").get("model_type")
    if kind != "whisper":
        raise InputError(f"{folder} holds a model of type {kind!r}, not a Whisper; only Whisper models are probed.")
    if not any((folder / name).is_file() for name in _WEIGHTS):
        raise InputError(
            f"{folder} has no weights (model.safetensors). The copy is incomplete, or training wrote none."
        )
    if not (folder / "tokenizer.json").is_file() and not (
        (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file()
    ):
        raise InputError(
            f"{folder} has no tokenizer (tokenizer.json, or vocab.json with merges.txt). "
            "Save the model's own beside it with tokenizer.save_pretrained."
        )
    if not (folder / "generation_config.json").is_file():
        warnings.warn(
            f"{folder} has no generation_config.json: what is suppressed in decoding follows from config.json, and the "
            "prompt from the tokenizer. Copy the file from the model it was trained from.",
            AudiogramWarning,
            stacklevel=4,
        )


def weights_hash(folder: Path) -> str:
    """SHA-256 over the weight files, in order of name."""
    found = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    digest = hashlib.sha256()
    for file in found:
        with open(file, "rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def hashes(model: Any, tokenizer: Any) -> dict[str, str]:
    """Return `model_sha256` and `tokenizer_sha256` of a model in memory, whose weights have no file."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + str(tensor.dtype).encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return {"model_sha256": digest.hexdigest(), "tokenizer_sha256": tokenizer_hash(tokenizer)}
