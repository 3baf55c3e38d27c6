"""Training a part of a model: one half frozen, or low-rank adapters (LoRA) beside frozen weights."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from audiogram.errors import InputError, unknown_name

__all__ = ["ADAPTER", "Lora", "freeze_half", "merge_adapters", "with_adapters"]

ADAPTER = "adapter"
"""Folder of the adapters within the model's folder."""


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters: W x becomes W x + (alpha / rank) B A x, and only A and B are trained.

    Parameters
    ----------
    rank : int, default 32
        Rows of A and columns of B.
    alpha : float, optional
        Weight of the adapters; default twice the rank.
    dropout : float, default 0.0
        Of the adapters' input while training; 0 up to, not including, 1.
    targets : sequence of str, default ("q_proj", "v_proj")
        Last names of the linear layers that get adapters, in encoder and decoder: q_proj, k_proj, v_proj, out_proj,
        fc1, fc2.

    References
    ----------
    .. [1] E. J. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022.

    Examples
    --------
    >>> Lora.of(8).alpha
    16.0
    """

    rank: int = 32
    alpha: float | None = None
    dropout: float = 0.0
    targets: tuple[str, ...] = ("q_proj", "v_proj")

    def __post_init__(self) -> None:
        if isinstance(self.rank, bool) or not isinstance(self.rank, int) or self.rank < 1:
            raise InputError(f"lora: rank is {self.rank!r}; give a whole number of at least 1, such as 32.")
        if self.alpha is None:
            object.__setattr__(self, "alpha", 2.0 * self.rank)
        if not _is_number(self.alpha) or not 0 < float(self.alpha) < math.inf:  # type: ignore[arg-type]
            raise InputError(f"lora: alpha is {self.alpha!r}; give a number above 0.")
        if not _is_number(self.dropout) or not 0 <= self.dropout < 1:
            raise InputError(f"lora: dropout is {self.dropout!r}; give a number from 0 up to, not including, 1.")
        if isinstance(self.targets, str) or not isinstance(self.targets, Sequence) or not self.targets:
            raise InputError(f"lora: targets is {self.targets!r}; give names of layers such as ['q_proj', 'v_proj'].")
        object.__setattr__(self, "targets", tuple(self.targets))

    @classmethod
    def of(cls, value: Any) -> Lora | None:
        """Read the option: None or False, True (all defaults), a rank, a mapping of fields, or one itself."""
        if value is None or value is False:
            return None
        if isinstance(value, cls):
            return value
        if value is True:
            return cls()
        if isinstance(value, int):
            return cls(rank=value)
        if not isinstance(value, Mapping):
            raise InputError(f"lora is {value!r}; give true, a rank, or a table such as {{ rank = 32, alpha = 64 }}.")
        known = {field.name for field in fields(cls)}
        for name in value:
            if name not in known:
                raise unknown_name("option of lora", name, known)
        return cls(**value)

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON-able values."""
        return {**asdict(self), "targets": list(self.targets)}


def freeze_half(model: Any, half: str) -> None:
    """Keep the encoder or the decoder as it is; the decoder's output embedding belongs to it, being its input's too."""
    getattr(model.model, half).requires_grad_(False)


def with_adapters(model: Any, lora: Lora, *, seed: int, freeze: str | None = None) -> Any:
    """Put adapters into a model, in place; only they are trained.

    Parameters
    ----------
    model : WhisperForConditionalGeneration
        Its target layers are replaced by layers with adapters.
    lora : Lora
        How large, and where.
    seed : int
        Of A's weights; B begins at zero, so the model begins as it was.
    freeze : {"encoder", "decoder"}, optional
        Half that gets no adapters.

    Returns
    -------
    peft.PeftModel
        Around the model: saves and loads adapters alone.

    Raises
    ------
    InputError
        Where peft is not installed, or the model has no such layers.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise InputError("lora needs peft, which is not installed: pip install 'whisperprobe[lora]'.") from None
    import torch

    linear = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    linear.discard("proj_out")  # the token embedding once more
    last = {name.rpartition(".")[2] for name in linear}
    for target in lora.targets:
        if target not in last:
            raise unknown_name("layer in lora's targets:", target, last)
    chosen = [
        name
        for name in sorted(linear)
        if name.rpartition(".")[2] in lora.targets and not name.startswith(f"model.{freeze}.")
    ]
    weight: Any = lora.alpha  # peft says int and means a number
    config = LoraConfig(r=lora.rank, lora_alpha=weight, lora_dropout=lora.dropout, target_modules=chosen, bias="none")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # transformers' to peft
        torch.manual_seed(seed)
        around = get_peft_model(model, config)
    # peft would otherwise ask the hub, whenever it saves, whether the vocabulary has been changed since
    around.peft_config["default"].base_model_name_or_path = None
    return around


def merge_adapters(around: Any, folder: Path, base: str) -> None:
    """Save the adapters, then add them to the weights that they belong to: afterwards the model is a plain Whisper.

    Parameters
    ----------
    around : peft.PeftModel
        From `with_adapters`.
    folder : Path
        Where the adapters go, in peft's format.
    base : str
        The model that they belong to, for peft's record.
    """
    around.peft_config["default"].base_model_name_or_path = base
    around.save_pretrained(folder, save_embedding_layers=False)
    card = folder / "README.md"  # peft's template, all blanks; the model's own card says what there is to say
    card.unlink(missing_ok=True)
    around.merge_and_unload()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
