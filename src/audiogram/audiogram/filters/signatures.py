"""What a filter's constructor says: whether it is one of a filter, and which options it takes."""

from __future__ import annotations

import difflib
import inspect
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from audiogram.errors import FilterPluginError, InputError, unknown_name

__all__ = ["Flags", "checked_options", "flags_of", "signature_problem"]

# What the caller of a filter gives itself; everything else in a constructor's signature is an option.
_NOT_OPTIONS = ("sample_rate", "level")
_FLAGS = ("linear", "level_dependent", "adds_noise")


@dataclass(frozen=True)
class Flags:
    """What a filter is, with its options; see `Filter`."""

    linear: bool
    level_dependent: bool
    adds_noise: bool


def flags_of(cls: Any, options: Mapping[str, Any]) -> Flags:
    """Flags of a filter class with given options: the class's own, unless it says otherwise for these options."""
    found = {flag: getattr(cls, flag) for flag in _FLAGS}
    if hasattr(cls, "flags"):
        own = cls.flags(**options)
        wrong = [key for key, value in own.items() if key not in _FLAGS or not isinstance(value, bool)]
        if wrong:
            raise FilterPluginError(f"{cls.__name__}.flags says {wrong[0]!r}; it says {', '.join(_FLAGS)} as bools.")
        found.update(own)
    return Flags(**found)


def signature_problem(value: Any) -> str:
    """Why `value` cannot be used as a filter class, or an empty string."""
    if not inspect.isclass(value):
        return f"it is a {type(value).__name__}, not a class"
    if "__call__" not in dir(value):
        return "its objects cannot be called"
    missing = [flag for flag in _FLAGS if not isinstance(getattr(value, flag, None), bool)]
    if missing:
        return f"it does not declare {', '.join(missing)} as True or False"
    try:
        parameters = list(inspect.signature(value).parameters.values())
    except (TypeError, ValueError) as error:
        return f"its constructor has no readable signature ({error})"
    kinds = {p.kind for p in parameters}
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return "its constructor takes **kwargs, so that no option could be checked or written down"
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return "its constructor takes *args, where one audiogram is expected"
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if not parameters or parameters[0].kind not in positional:
        return "its constructor does not take the audiogram first"
    names = [p.name for p in parameters]
    cls: Any = value
    needed = ["sample_rate"] + ["level"] * cls.level_dependent + ["seed"] * cls.adds_noise
    absent = [n for n in needed if n not in names]
    if absent:
        return f"its constructor does not take {', '.join(absent)}"
    if cls.adds_noise and "keys" not in inspect.signature(cls.__call__).parameters:
        return "it adds noise, but calling it takes no keys, so that the noise of a clip would depend on its batch"
    return ""


def checked_options(name: str, cls: type[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the filter `name`, of class `cls`, with its defaults; see `registry.resolve_options`."""
    known = _options_of(cls)
    for key in options:
        if key in _NOT_OPTIONS:
            raise InputError(f"{key!r} is no option of a filter; it is given beside the options.")
        if key not in known:
            close = difflib.get_close_matches(str(key), list(known), n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            listed = ", ".join(known) or "none"
            raise InputError(f"filter {name!r} has no option {str(key)!r}.{hint} Its options: {listed}.")
    hints = _hints_of(cls)
    result = {}
    for key, parameter in known.items():
        if key in options:
            result[key] = _checked_value(name, key, options[key], hints.get(key))
        elif parameter.default is inspect.Parameter.empty:
            raise InputError(f"filter {name!r} needs the option {key!r}.")
        else:
            result[key] = parameter.default
    check = getattr(cls, "check_options", None)
    as_stored = check(**result) if check is not None else None
    return result if as_stored is None else dict(as_stored)


def _options_of(cls: type[Any]) -> dict[str, inspect.Parameter]:
    parameters = list(inspect.signature(cls).parameters.values())[1:]  # the first is the audiogram
    return {p.name: p for p in parameters if p.name not in _NOT_OPTIONS}


def _hints_of(cls: type[Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls.__init__)
    except (NameError, TypeError, AttributeError):
        return {}  # annotations that only a type checker can resolve say nothing here; the class checks its values


def _checked_value(name: str, key: str, value: Any, hint: Any) -> Any:
    """`value` as the annotation has it; annotations other than plain types and literals are left to the class."""
    if isinstance(value, np.generic):
        value = value.item()  # a record has Python's own numbers
    origin = typing.get_origin(hint)
    choices = typing.get_args(hint) if origin in (typing.Union, types.UnionType) else (hint,)
    plain: list[type] = []
    for choice in choices:
        if typing.get_origin(choice) is Literal:
            if value in typing.get_args(choice):
                return value
            if len(choices) == 1:
                raise unknown_name(f"{key} of filter {name!r}", value, map(str, typing.get_args(choice)))
        elif choice in (bool, int, float, str, types.NoneType):
            plain.append(choice)
        else:
            return value
    if any(type(value) is one for one in plain):
        return value
    if float in plain and type(value) is int:
        return float(value)
    wanted = " or ".join("nothing" if one is types.NoneType else one.__name__ for one in plain) or str(hint)
    raise InputError(f"option {key!r} of filter {name!r} is {wanted}, got {value!r} ({type(value).__name__}).")
