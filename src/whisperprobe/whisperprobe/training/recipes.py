"""Named recipes: the settings of a training run that a published study used, each of which can be overridden."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audiogram.errors import unknown_name

__all__ = ["DEFAULTS", "RECIPES", "settings"]

DEFAULTS: dict[str, Any] = {
    "epochs": 3,
    "learning_rate": 1e-4,
    "warmup_steps": 0,
    "scheduler": "linear",
    "weight_decay": 0.0,
    "clip_gradient": 1.0,
    "global_batch": 32,
    "batch_size": None,
    "save_every": None,
    "eval_every": None,
    "log_every": None,
}
"""What a run does where neither the caller nor a recipe says otherwise."""

RECIPES: dict[str, dict[str, Any]] = {
    # large-v3 on 4 GPUs: 8 clips at once, 2 accumulated
    "study": {
        "epochs": 3, "learning_rate": 1e-5, "warmup_steps": 500, "global_batch": 64, "batch_size": 8,
        "save_every": 1000, "eval_every": 1000, "log_every": 25,
    },
    # one small GPU: 1 clip at once, 16 accumulated
    "pilot": {
        "max_steps": 10_000, "learning_rate": 1.5e-5, "warmup_steps": 1000, "global_batch": 16, "batch_size": 1,
        "weight_decay": 0.05, "clip_gradient": 0.5, "save_every": 500, "eval_every": 500, "log_every": 50,
    },
}  # fmt: skip


def settings(recipe: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what the caller left open: from the recipe, then from the defaults.

    Parameters
    ----------
    recipe : str or None
        A name of `RECIPES`.
    given : mapping
        The keys of `DEFAULTS` and `max_steps`; None where the caller said nothing.

    Returns
    -------
    dict
        All keys. One of `epochs` and `max_steps` is None, unless the caller gave both.

    Raises
    ------
    InputError
        For an unknown recipe.

    Examples
    --------
    >>> chosen = settings("pilot", {"learning_rate": 1e-5})
    >>> chosen["learning_rate"], chosen["max_steps"], chosen["scheduler"]
    (1e-05, 10000, 'linear')
    """
    if recipe is not None and recipe not in RECIPES:
        raise unknown_name("recipe", recipe, RECIPES)
    said = {name: value for name, value in given.items() if value is not None}
    layers = [DEFAULTS, RECIPES[recipe] if recipe else {}, said]
    chosen: dict[str, Any] = {"max_steps": None}
    for layer in layers:
        if "epochs" in layer or "max_steps" in layer:  # one length replaces the other
            chosen |= {"epochs": None, "max_steps": None}
        chosen |= layer
    if recipe is None and "batch_size" in said and "global_batch" not in said:  # alone it is the whole step
        chosen |= {"global_batch": said["batch_size"], "batch_size": None}
    return chosen
