"""Where a model or a transform computes."""

from __future__ import annotations

from audiogram.errors import InputError, unknown_name

__all__ = ["chosen_device"]


def chosen_device(name: str) -> str:
    """Resolve "auto"; refuse a device that is not there."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name != "cpu" and not name.startswith("cuda"):
        raise unknown_name("device", name, ("auto", "cpu", "cuda"))
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device {name!r} was asked for, but torch sees no GPU here. Use device 'cpu' or 'auto'.")
    return name
