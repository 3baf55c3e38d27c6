"""The call that makes a model again: a command where its options can be said on one, else Python."""

from __future__ import annotations

import inspect
import json
import shlex
from collections.abc import Mapping
from typing import Any

from whisperprobe.training.recipes import DEFAULTS, settings

__all__ = ["command", "given_options", "python_call"]

_CHOSEN = (*DEFAULTS, "max_steps")
_FLAGS = {"evaluate": "--no-evaluate", "leading_space": "--leading-space"}
_LORA = ("rank", "alpha", "dropout")


def given_options(options: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `finetune` that a run's recorded options amount to, where they are not its defaults.

    Parameters
    ----------
    options : mapping
        What `finetune.json` holds.
    results : mapping
        What `results.json` holds.

    Returns
    -------
    dict
        By name of the parameter, JSON-able; `source` and `out` are not among them.
    """
    from whisperprobe.training.trainer import finetune

    base = settings(options.get("recipe"), dict.fromkeys(_CHOSEN))
    given = {k: options[k] for k in _CHOSEN if options.get(k) is not None and options[k] != base[k]}
    whole = options["global_batch"] // max(int(results.get("processes", 1)), 1)
    if results.get("batch_size") not in (None, base["batch_size"]) and results["batch_size"] < whole:
        given["batch_size"] = results["batch_size"]
    for name, parameter in inspect.signature(finetune).parameters.items():
        value = options.get(name)
        if name not in (*_CHOSEN, "source", "out") and value is not None and value != parameter.default:
            given[name] = value
    if "condition" in given and _is_built_in(given["condition"]):
        given["condition"] = given["condition"]["name"]
    if "augment" in given:
        given["augment"] = _augment(given["augment"]) or given["augment"]
    if given.get("group_by_length") == (given.get("padding") == "trimmed"):
        del given["group_by_length"]
    corpus = options.get("corpus") or {}
    for name in ("text_pattern", "text_map"):
        if corpus.get(name):
            given[name] = corpus[name]
    for step in corpus.get("view") or ():
        if "split" in step:
            given["split"] = step["split"]
    return {name: given[name] for name in inspect.signature(finetune).parameters if name in given}


def command(options: Mapping[str, Any], results: Mapping[str, Any], out: str = "OUT") -> str | None:
    """Return the command line that makes the model again; None where an option has no form on it."""
    given = given_options(options, results)
    if {"text_map", "split", "tokenizer"} & set(given):
        return None
    if any(isinstance(given.get(name), Mapping) for name in ("condition", "augment")):
        return None
    words = [shlex.quote(_source(options))]
    for name, value in given.items():
        flag = "--" + name.replace("_", "-")
        if name == "from_config":
            words += [flag, "shape.json"]
        elif name == "lora":
            words += [word for key in _LORA for word in (f"--lora-{key}", str(value[key]))]
            words += ["--lora-targets", shlex.quote(",".join(value["targets"]))]
        elif isinstance(value, bool):
            words.append(_FLAGS.get(name) or (flag if value else "--no-" + name.replace("_", "-")))
        else:
            words += [flag, shlex.quote(str(value))]
    processes = int(results.get("processes", 1))
    start = "whisperprobe" if processes == 1 else f"torchrun --nproc-per-node {processes} -m whisperprobe"
    return " ".join([start, "finetune", *words, "--out", out])


def python_call(options: Mapping[str, Any], results: Mapping[str, Any], out: str = "OUT") -> str:
    """Return the call in Python that makes the model again."""
    given = given_options(options, results)
    lines = [f"    {_source(options)!r}, {out!r},", *(f"    {name}={value!r}," for name, value in given.items())]
    return "\n".join(["from whisperprobe import finetune", "", "finetune(", *lines, ")"])


def _source(options: Mapping[str, Any]) -> str:
    return str((options.get("corpus") or {}).get("source", "SOURCE"))


def _is_built_in(value: Mapping[str, Any]) -> bool:
    from audiogram import condition, conditions

    name = value["name"]
    return name in conditions() and json.loads(json.dumps(condition(name).to_dict())) == value


def _augment(value: Mapping[str, Any]) -> str | None:
    """The name of an augmentation, where it has one."""
    from whisperprobe.training.augment import NAMED, Augmentation

    named = {name: json.loads(json.dumps(Augmentation(**fields).to_dict())) for name, fields in NAMED.items()}
    return next((name for name, fields in named.items() if fields == value), None)
