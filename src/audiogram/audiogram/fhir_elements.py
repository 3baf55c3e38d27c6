"""The shape of the FHIR elements that are read: JSON from elsewhere may have anything in their places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audiogram.errors import InputError

__all__ = ["check_entries", "check_observation"]

# A mapping stands for a JSON object with these elements, where they are there; a list for an array of such; None for
# a single value: text, a number, true or false.
_CODE = {"text": None, "coding": [{"system": None, "code": None}]}
_QUANTITY = {"value": None, "comparator": None, "unit": None, "code": None}
_OBSERVATION = {
    "status": None,
    "code": _CODE,
    "subject": {"reference": None, "display": None, "identifier": {"value": None}},
    "effectiveDateTime": None,
    "performer": [{"reference": None, "display": None}],
    "note": [{"text": None}],
    "valueQuantity": _QUANTITY,
    "component": [{"code": _CODE, "valueQuantity": _QUANTITY}],
}


def check_observation(observation: Mapping[str, Any]) -> None:
    """Raise `InputError`, with the element's place, unless all that is read of an Observation has its JSON type.

    Examples
    --------
    >>> check_observation({"code": {"coding": [{"code": "89015-2"}]}})
    >>> check_observation({"code": {"coding": None}})
    Traceback (most recent call last):
    ...
    audiogram.errors.InputError: Observation.code.coding is an array in FHIR R4 JSON, got None; was the file changed?
    """
    _check("Observation", observation, _OBSERVATION)


def check_entries(bundle: Mapping[str, Any]) -> None:
    """Raise `InputError` unless the entries of a Bundle are objects."""
    _check("Bundle", bundle, {"entry": [{}]})


def _check(where: str, value: Any, shape: Any) -> None:
    if isinstance(shape, Mapping):
        kind, fits = "an object", isinstance(value, Mapping)
    elif isinstance(shape, list):
        kind, fits = "an array", isinstance(value, list | tuple)
    else:
        kind, fits = "a single value", isinstance(value, str | bool | int | float)
    if not fits:
        raise InputError(f"{where} is {kind} in FHIR R4 JSON, got {str(value)[:40]}; was the file changed?")
    if isinstance(shape, Mapping):
        for key in shape.keys() & value.keys():
            _check(f"{where}.{key}", value[key], shape[key])
    elif isinstance(shape, list):
        for i, one in enumerate(value):
            _check(f"{where}[{i}]", one, shape[0])
