"""The conditions of a study: built in, or defined in its file; and what a repetition of the study draws anew."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiogram.errors import AudiogramError, InputError, unknown_name
from whisperprobe.study_keys import describe

if TYPE_CHECKING:
    from audiogram.listening import Condition

__all__ = ["NAME", "draws_noise", "read_conditions", "repeated"]

BUILT_IN = ("normal", "lfloss", "hfloss")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_TAKEN = {
    "base": "the label of the unadapted model",
    "unmasked": "the label of what is heard unfiltered",
    "use": "the key that lists the conditions",
}


def read_conditions(values: Mapping[str, Any], directory: Path, file: str) -> tuple[Condition, ...]:
    """Read the table [conditions]: those that it defines, and which are used, in their order.

    Raises
    ------
    InputError
        For an unknown or wrong key, a condition that is neither built in nor defined, a name that is taken.
    """
    import audiogram

    built_in = audiogram.conditions()
    defined = {name: definition for name, definition in values.items() if name != "use"}
    for name, definition in defined.items():
        if not isinstance(definition, Mapping):
            raise InputError(
                f"table [conditions] of {file}, key {name!r}: received {describe(definition)}, expected a table that "
                f"defines a condition, [conditions.{name}]. The one other key is 'use', the list of conditions."
            )
        if name in _TAKEN or not NAME.fullmatch(name):
            why = _TAKEN.get(name, "not made of letters, digits, '-' and '_'")
            raise InputError(f"{file}: a condition cannot be called {name!r}, which is {why}. Choose another name.")
    use = values.get("use", [*BUILT_IN, *(n for n in defined if n not in BUILT_IN)])
    if not isinstance(use, list) or not use or not all(isinstance(n, str) for n in use) or len(set(use)) < len(use):
        raise InputError(
            f"table [conditions] of {file}, key 'use': received {describe(use)}, expected a list of different names, "
            f'e.g. ["normal", "hfloss"].'
        )
    made = {name: _condition(name, definition, directory, file) for name, definition in defined.items()}
    for name, condition in made.items():
        if name in built_in and condition != audiogram.condition(name):
            raise InputError(f"{file}: [conditions.{name}] redefines a built-in condition. Choose another name for it.")
    for name in use:
        if name not in made and name not in built_in:
            raise unknown_name(f"condition in [conditions] use of {file}:", name, [*built_in, *made])
    return tuple(made[name] if name in made else audiogram.condition(name) for name in use)


def _condition(name: str, definition: Mapping[str, Any], directory: Path, file: str) -> Condition:
    from audiogram import Condition
    from audiogram.standard_audiograms import parse_audiogram

    keys = [f.name for f in fields(Condition)]
    for key in definition:
        if key not in keys:
            raise unknown_name(f"key in table [conditions.{name}] of {file}:", key, [k for k in keys if k != "name"])
    values = {"name": name, **definition}
    if values["name"] != name:
        raise InputError(f"{file}: [conditions.{name}] says name = {values['name']!r}. Leave that key out.")
    if "audiogram" not in values:
        raise InputError(f"{file}: [conditions.{name}] lacks the key 'audiogram': a preset, a file, or thresholds.")
    for key in ("file", "corpus"):
        if isinstance(values.get("noise"), Mapping) and isinstance(values["noise"].get(key), str):
            masker = directory / values["noise"][key]
            if not masker.exists():
                raise InputError(
                    f"[conditions.{name}] of {file}: no noise {key} {masker}. Paths start from the study file."
                )
            values["noise"] = {**values["noise"], key: str(masker)}
    try:
        if isinstance(values["audiogram"], str):
            beside = directory / values["audiogram"]
            values["audiogram"] = parse_audiogram(str(beside) if beside.is_file() else values["audiogram"]).to_dict()
        return Condition.from_dict(values)
    except AudiogramError as error:
        raise type(error)(f"[conditions.{name}] of {file}: {error}") from error


def draws_noise(condition: Condition) -> bool:
    """Whether a condition draws random numbers: a masker, or a filter that adds noise; its masks depend on the seed."""
    from audiogram.filters.registry import filter_flags

    return condition.noise is not None or filter_flags(condition.filter, condition.options).adds_noise


def repeated(condition: Condition, seed: int) -> Condition:
    """Return the condition of one repetition of a study: its noise drawn with its own seed plus the study's."""
    plain = condition.to_dict()
    if condition.noise is not None:
        condition = replace(condition, noise={**plain["noise"], "seed": plain["noise"].get("seed", 0) + seed})
    if draws_noise(replace(condition, noise=None)) and isinstance(plain["options"].get("seed"), int):
        condition = replace(condition, options={**plain["options"], "seed": plain["options"]["seed"] + seed})
    return condition
