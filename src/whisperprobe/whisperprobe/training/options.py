"""Options of a training run: which values they may have."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from audiogram.errors import InputError, unknown_name
from whisperprobe.labels import TASKS

__all__ = ["SCHEDULERS", "check_options", "chosen_precision"]

SCHEDULERS = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}
"""What the learning rate does after its warm-up, and transformers' name for it."""

_NAMES: dict[str, tuple[str, ...]] = {
    "scheduler": tuple(SCHEDULERS),
    "resume": ("auto", "never"),
    "precision": ("auto", "float32", "bf16"),
    "task": TASKS,
    "freeze": ("encoder", "decoder"),
    "padding": ("window", "trimmed"),
    "keep": ("best", "last"),
    "best_metric": ("loss", "wer", "cer", "word_accuracy", "sentence_accuracy"),
}
_WHOLE = "a whole number of at least 1"
_RANGES: dict[str, tuple[type | tuple[type, ...], Callable[[Any], bool], str]] = {
    "max_steps": (int, lambda v: v >= 1, _WHOLE),
    "epochs": ((int, float), lambda v: 0 < v < math.inf, "a number above 0"),
    "learning_rate": ((int, float), lambda v: 0 < v < math.inf, "a number above 0"),
    "warmup_steps": (int, lambda v: v >= 0, "a whole number, 0 or more"),
    "batch_size": (int, lambda v: v >= 1, _WHOLE),  # alone it is the global batch too
    "global_batch": (int, lambda v: v >= 1, _WHOLE),
    "weight_decay": ((int, float), lambda v: 0 <= v < math.inf, "a number, 0 or more"),
    "clip_gradient": ((int, float), lambda v: 0 < v < math.inf, "a number above 0"),
    "margin": ((int, float), lambda v: 0 <= v < math.inf, "seconds, 0 or more"),
    "seed": (int, lambda v: 0 <= v < 2**32, "a whole number, 0 or more and below 2**32"),  # as numpy's own
    "save_every": (int, lambda v: v >= 1, _WHOLE),
    "eval_every": (int, lambda v: v >= 1, _WHOLE),
    "log_every": (int, lambda v: v >= 1, _WHOLE),
    "save_total_limit": (int, lambda v: v >= 1, _WHOLE),
    "patience": (int, lambda v: v >= 1, _WHOLE),
    "threads": (int, lambda v: v >= 1, _WHOLE),
    "workers": (int, lambda v: v >= 0, "a whole number, 0 or more"),
    "max_samples": (int, lambda v: v >= 1, _WHOLE),
}


def check_options(given: Mapping[str, Any]) -> None:
    """Refuse what cannot be: numbers out of range, unknown names, options that exclude or need each other.

    Parameters
    ----------
    given : mapping
        What the caller said; None, or no such key, where nothing was said.
    """
    given = defaultdict(lambda: None, given)
    for name, (kind, fits, wanted) in _RANGES.items():
        value = given[name]
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, kind) or not fits(value):
            raise InputError(f"{name} is {value!r}; give {wanted}.")
    for name, known in _NAMES.items():
        if given[name] is not None and given[name] not in known:
            raise unknown_name(name, given[name], known)
    if given["max_steps"] is not None and given["epochs"] is not None:
        raise InputError("max_steps and epochs both say how long to train; give one of the two.")
    if (given["model"] is None) == (given["from_config"] is None):
        raise InputError("finetune needs either a model to train further or from_config, the shape of a new one.")
    if given["model"] is not None and given["tokenizer"] is not None:
        raise InputError("a tokenizer can only be given with from_config: a model has its own.")
    if given["margin"] is not None and given["padding"] != "trimmed":
        raise InputError(
            f"margin is {given['margin']!r}, the silence behind a clip in a trimmed window; it needs padding "
            "'trimmed'. Give both, or leave margin out."
        )
    if given["from_config"] is not None and (given["lora"] or given["freeze"]):
        what = "lora" if given["lora"] else "freeze"
        raise InputError(f"{what} trains a part of a model that knows something already; from_config gives a new one.")
    if not given["evaluate"]:
        for name in ("eval_every", "patience"):
            if given[name] is not None:
                raise InputError(f"{name} needs evaluations, and evaluate is false. Omit one of the two.")
    if given["patience"] is not None and given["eval_every"] is None:
        raise InputError("patience counts evaluations, and without eval_every there is but the last. Give both.")


def chosen_precision(name: str, device: str) -> str:
    """Resolve "auto" to "bf16" where the GPU has it, else "float32"; refuse what the hardware has not.

    bfloat16 is what matrix products are computed in; weights and optimiser stay float32.

    Raises
    ------
    InputError
        For "bf16" without a GPU, or on one that lacks it.
    """
    if device == "cpu":
        if name == "bf16":
            raise InputError("precision 'bf16' needs a GPU, and the run is on the CPU. Give 'float32' or 'auto'.")
        return "float32"
    import torch

    if name == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise InputError(f"precision 'bf16': {torch.cuda.get_device_name()} has none. Give 'float32' or 'auto'.")
    if name == "auto":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return name
