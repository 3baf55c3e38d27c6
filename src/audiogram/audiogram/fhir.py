"""Listeners as FHIR R4 Observations, coded with LOINC.

Air conduction is one Observation of the panel 89015-2, bone conduction one of the panel 100652-7, with a component for
each threshold. The components of air conduction carry the panel's codes, of both ears and 250, 500, 750, 1000, 1500,
2000, 3000, 4000, 5000, 6000 and 8000 Hz. For other frequencies LOINC has no code, and for the members of the bone
panel none could be found in a public source: such components have a text alone, in the words of `_text`, and so has
masking, for which R4 has no element. A quantity with the comparator >= is a threshold without response.

This material contains content from LOINC (http://loinc.org). LOINC is copyright Regenstrief Institute, Inc. and the
Logical Observation Identifiers Names and Codes (LOINC) Committee and is available at no cost under the license at
http://loinc.org/license.

References
----------
.. [1] HL7, FHIR R4 (4.0.1), resource Observation.
.. [2] HL7, PACIO Personal Functioning and Engagement implementation guide 2.0.0, value set
   pfe-sensory-functions-pain-clinical-test-vs: the codes of the thresholds with their displays.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, cast

from audiogram.clinic_cells import Cell, Column, Conduction, Side
from audiogram.errors import AudiogramWarning, InputError
from audiogram.fhir_elements import check_entries, check_observation
from audiogram.listener import Listener
from audiogram.listener_assembly import Person
from audiogram.thresholds import Audiogram

__all__ = ["from_fhir", "to_fhir"]

_LOINC = "http://loinc.org"
_UCUM = "http://unitsofmeasure.org"
_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_PANELS: dict[Conduction, str] = {"air": "89015-2", "bone": "100652-7"}
_CONDUCTION_OF_PANEL: dict[str, Conduction] = {"89015-2": "air", "100653-5": "air", "100652-7": "bone"}  # 2nd: its past
_CODES: dict[Side, dict[float, str]] = {
    "left": {
        250: "91375-6", 500: "89024-4", 750: "91379-8", 1000: "89016-0", 1500: "91373-1", 2000: "89018-6",
        3000: "89020-2", 4000: "89022-8", 5000: "91377-2", 6000: "89026-9", 8000: "89028-5",
    },
    "right": {
        250: "91374-9", 500: "89025-1", 750: "91378-0", 1000: "89017-8", 1500: "91372-3", 2000: "89019-4",
        3000: "89021-0", 4000: "89023-6", 5000: "91376-4", 6000: "89027-7", 8000: "89029-3",
    },
}  # fmt: skip
_MEANINGS = {code: (side, float(f)) for side, codes in _CODES.items() for f, code in codes.items()}
# Elements that are read, and those that are about the record and not about hearing.
_READ = {"code", "component", "effectiveDateTime", "note", "performer", "status", "subject", "valueQuantity"}
_ABOUT_THE_RECORD = {"category", "hasMember", "id", "implicitRules", "language", "meta", "resourceType", "text"}
_UNITS = ("db", "dbhl", "db(hl)", "db[hl]", "dbhtl")
_NAME = re.compile(r"Name of the (left|right) ear's audiogram, (air|bone) conduction: (.*)", re.DOTALL)


def to_fhir(listener: Listener | Audiogram) -> list[dict[str, Any]]:
    """FHIR R4 Observations of a listener.

    Parameters
    ----------
    listener : Listener or Audiogram
        Who; an audiogram has to say which ear it is of.

    Returns
    -------
    list of dict
        One Observation for air conduction and, where there is any, one for bone conduction, as `json.dump` takes them.
        The listener's id is the subject (a reference where it is one, like Patient/7, else an identifier), the source
        the performer's display, names are notes. `from_fhir` gives the same listener back; its audiograms then say
        which ear they are of.

    Raises
    ------
    InputError
        For an audiogram that does not say its ear, and for anything else.

    Examples
    --------
    >>> (observation,) = to_fhir(Listener(right=Audiogram([1000], [45]), id="p7"))
    >>> observation["component"][0]["code"]["coding"][0]["code"], observation["component"][0]["valueQuantity"]["value"]
    ('89017-8', 45)
    """
    if isinstance(listener, Audiogram):
        if listener.ear is None:
            raise InputError("a record says which ear it is of: Audiogram(..., ear='left'), or Listener(left=...).")
        listener = Listener(left=listener) if listener.ear == "left" else Listener(right=listener)
    if not isinstance(listener, Listener):
        raise InputError(f"a Listener is asked for, got {type(listener).__name__}.")
    observations = []
    for conduction, panel in _PANELS.items():
        components: list[dict[str, Any]] = []
        notes = []
        for side, air in (("left", listener.left), ("right", listener.right)):
            ear = air if conduction == "air" or air is None else air.bone
            if ear is not None:
                components += _components(ear, cast(Side, side), conduction)
                if ear.name:
                    notes.append({"text": f"Name of the {side} ear's audiogram, {conduction} conduction: {ear.name}"})
        if components:
            observations.append(_observation(listener, conduction, panel) | {"component": components})
            observations[-1] |= {"note": notes} if notes else {}
    return observations


def from_fhir(resources: Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> Listener:
    """Listener from FHIR R4 Observations.

    Parameters
    ----------
    resources : mapping or iterable of mapping
        An Observation, several of one listener, or a Bundle: panels with components as `to_fhir` writes them, or an
        Observation for each threshold. Components whose value is absent were not measured.

    Returns
    -------
    Listener
        Where a threshold is there with masking and without, the masked one.

    Raises
    ------
    InputError
        For thresholds of several listeners or days, two of the same tone, other units than dB (HL), values that are no
        quantity, and where there is no threshold.

    Warns
    -----
    AudiogramWarning
        For what is in the resources and not in the listener: other resources, codes and elements, withdrawn
        Observations.
    """
    left_out: list[str] = []
    observations = [one for one in _flattened(resources, left_out) if _counts(one, left_out)]
    if not observations:
        raise InputError("there is no Observation of hearing thresholds (LOINC panel 89015-2 or its members).")
    key = (_one_of("subject", map(_subject, observations)), _one_of("day", (_day(o, left_out) for o in observations)))
    source = _one_of("performer", (_performer(o, left_out) for o in observations))
    person = Person((key[0], key[1] or None, source), "FHIR")
    for one in observations:
        panel = next((c for c in _loinc(one["code"]) if c in _CONDUCTION_OF_PANEL), None)
        default = _CONDUCTION_OF_PANEL[panel] if panel else "air"
        for element in [*one.get("component", ()), *([one] if "valueQuantity" in one else ())]:
            _read(element, default, person, left_out)
        for note in one.get("note", ()):
            if (named := _NAME.fullmatch(str(note.get("text", "")))) is not None:
                person.names[named[1], named[2]] = named[3]
            else:
                left_out.append("a note")
    if not person.cells:
        raise InputError("the Observations have no hearing threshold that was measured.")
    if left_out:
        listed = ", ".join(dict.fromkeys(left_out))
        warnings.warn(f"not read from the FHIR resources: {listed}.", AudiogramWarning, stacklevel=2)
    return person.listener()


def _observation(listener: Listener, conduction: str, panel: str) -> dict[str, Any]:
    observation: dict[str, Any] = {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": _CATEGORY, "code": "exam"}]}],
        "code": {
            "coding": [{"system": _LOINC, "code": panel}],
            "text": f"Pure tone {conduction} conduction threshold audiometry",
        },
    }
    if listener.id:
        is_reference = re.fullmatch(r"[A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64}", listener.id)
        observation["subject"] = {"reference": listener.id} if is_reference else {"identifier": {"value": listener.id}}
    if listener.date is not None:
        observation["effectiveDateTime"] = listener.date.isoformat()
    if listener.source:
        observation["performer"] = [{"display": listener.source}]
    return observation


def _components(ear: Audiogram, side: Side, conduction: Conduction) -> list[dict[str, Any]]:
    components = []
    for f, t in zip(ear.frequencies, ear.thresholds, strict=True):
        code: dict[str, Any] = {"text": _text(side, conduction, f, f in ear.masked)}
        if conduction == "air" and f in _CODES[side]:
            display = f"Hearing threshold Ear - {side} --{f:g} Hz"
            code["coding"] = [{"system": _LOINC, "code": _CODES[side][f], "display": display}]
        value: dict[str, Any] = {"comparator": ">="} if f in ear.no_response else {}
        value |= {"value": _number(t), "unit": "dB", "system": _UCUM, "code": "dB"}
        components.append({"code": code, "valueQuantity": value})
    return components


def _text(side: str, conduction: str, frequency: float, masked: bool) -> str:
    other = ", masked" if masked else ""
    return f"Hearing threshold, {side} ear, {conduction} conduction, {_number(frequency)} Hz{other}"


def _number(value: float) -> float | int:
    return int(value) if value.is_integer() else value


def _read(element: Mapping[str, Any], default: Conduction, person: Person, left_out: list[str]) -> None:
    """Add one threshold, a component or an Observation of its own, to what is known of the person."""
    code = element.get("code", {})
    text = str(code.get("text", "")).lower()
    where = f"component {code.get('text') or ', '.join(_loinc(code)) or code}"
    coded = next((_MEANINGS[c] for c in _loinc(code) if c in _MEANINGS), None)
    said = _words(text, where)
    if coded is not None and any(b not in (None, a) for a, b in zip(coded, said, strict=True)):
        raise InputError(
            f"{where}: its LOINC code means the {coded[0]} ear at {coded[1]:g} Hz, its text something else."
        )
    side, frequency = coded or said
    if side is None or frequency is None:
        left_out.append(where)
        return
    if "valueQuantity" not in element:
        if "dataAbsentReason" not in element:
            raise InputError(f"{where} has neither a quantity nor a reason why it is absent.")
        return
    through = re.search(r"\b(air|bone)\b", text)
    at = Column(side, cast(Conduction, through[1]) if through else default, frequency)
    masked = re.search(r"\bmasked\b", text) is not None and re.search(r"\b(not|un)[- ]?masked\b", text) is None
    level, unheard = _level(element["valueQuantity"], where)
    person.add(at, Cell(level, masked, unheard), where)


def _words(text: str, where: str) -> tuple[Side | None, float | None]:
    """Ear and frequency that a component's text names."""
    sides = set(re.findall(r"\b(left|right)\b", text))
    hz = {float(n) * (1000 if k else 1) for n, k in re.findall(r"(\d+(?:\.\d+)?)\s*(k?)hz\b", text)}
    if len(sides) > 1 or len(hz) > 1:
        raise InputError(f"{where}: its text names several ears or frequencies.")
    return cast(Side, sides.pop()) if sides else None, hz.pop() if hz else None


def _level(quantity: Mapping[str, Any], where: str) -> tuple[float, bool]:
    """Level in dB HL, and whether the threshold is that or more."""
    value = quantity.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e6:  # ints of 400 digits, too
        raise InputError(f"{where}: its value is no number of dB: {str(value)[:40]!r}.")
    for unit in (quantity.get("code"), quantity.get("unit")):
        if unit is not None and str(unit).replace(" ", "").lower() not in _UNITS:
            raise InputError(f"{where} is in {unit!r}; hearing levels are in dB.")
    if quantity.get("code") is None and quantity.get("unit") is None:
        raise InputError(f"{where} has no unit; hearing levels are in dB.")
    comparator = quantity.get("comparator")
    if comparator not in (None, ">", ">="):
        raise InputError(f"{where} is {comparator} {value:g} dB; a threshold is a number, or >= where none was found.")
    return float(value), comparator is not None


def _flattened(resources: Any, left_out: list[str]) -> list[dict[str, Any]]:
    """All Observations in an Observation, a Bundle or a list of them."""
    if isinstance(resources, Mapping):
        kind = resources.get("resourceType")
        if kind == "Observation":
            check_observation(resources)
            return [dict(resources)]
        if kind == "Bundle":
            check_entries(resources)
            return _flattened([entry.get("resource", {}) for entry in resources.get("entry", ())], left_out)
        if kind is None:
            raise InputError("a FHIR resource says its resourceType, Observation or Bundle; this one has none.")
        left_out.append(f"resource {kind}")
        return []
    if isinstance(resources, str | bytes) or not isinstance(resources, Iterable):
        raise InputError(f"FHIR resources are mappings, got {type(resources).__name__}; json.loads makes them of text.")
    return [one for resource in resources for one in _flattened(resource, left_out)]


def _counts(observation: Mapping[str, Any], left_out: list[str]) -> bool:
    """Whether an Observation is about hearing thresholds and stands."""
    codes = _loinc(observation.get("code", {}))
    if not any(code in _MEANINGS or code in _CONDUCTION_OF_PANEL for code in codes):
        words = _words(str(observation.get("code", {}).get("text", "")).lower(), "Observation")
        if None in words or "valueQuantity" not in observation:
            left_out.append(
                f"Observation {', '.join(codes) or observation.get('code', {}).get('text', 'without code')}"
            )
            return False
    if observation.get("status") in ("cancelled", "entered-in-error"):
        left_out.append(f"an Observation that is {observation['status']}")
        return False
    left_out += sorted(observation.keys() - _READ - _ABOUT_THE_RECORD)
    return True


def _loinc(code: Mapping[str, Any]) -> list[str]:
    return [str(coding.get("code")) for coding in code.get("coding", ()) if coding.get("system") == _LOINC]


def _subject(observation: Mapping[str, Any]) -> str:
    subject = observation.get("subject", {})
    return str(subject.get("identifier", {}).get("value") or subject.get("reference") or subject.get("display") or "")


def _day(observation: Mapping[str, Any], left_out: list[str]) -> str:
    moment = str(observation.get("effectiveDateTime", ""))
    if moment and not re.match(r"\d{4}-\d{2}-\d{2}", moment):
        left_out.append(f"the date {moment}, which is no day")
        return ""
    return moment[:10]


def _performer(observation: Mapping[str, Any], left_out: list[str]) -> str:
    performers = observation.get("performer", [])
    if len(performers) > 1:
        left_out.append("all performers but the first")
    return str(performers[0].get("display") or performers[0].get("reference") or "") if performers else ""


def _one_of(label: str, values: Iterable[str]) -> str:
    given = list(dict.fromkeys(value for value in values if value))
    if len(given) > 1:
        raise InputError(f"the Observations have more than one {label}: {', '.join(given)}. Read each by itself.")
    return given[0] if given else ""
