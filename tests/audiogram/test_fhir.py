"""FHIR Observations: codes, both ways without loss, and what is refused or said."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiogram import Audiogram, Listener, from_fhir, to_fhir
from audiogram.errors import AudiogramWarning, InputError
from audiogram.fhir import _CODES, _PANELS

words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=8)
# LOINC's frequencies, and others
frequencies = st.sets(st.sampled_from([125, 250, 500, 750, 1000, 1500, 8000, 12_500, 707.1]), min_size=1)


@st.composite
def audiograms(draw, side, *, with_bone=True):
    hz = sorted(draw(frequencies))
    levels = draw(st.lists(st.floats(-20, 120) | st.integers(-10, 120), min_size=len(hz), max_size=len(hz)))
    some = st.sets(st.sampled_from(hz))
    bone = draw(st.none() | audiograms(side, with_bone=False)) if with_bone else None
    return Audiogram(hz, levels, ear=side, name=draw(words), masked=draw(some), no_response=draw(some), bone=bone)


@st.composite
def listeners(draw):
    left, right = draw(st.none() | audiograms("left")), draw(st.none() | audiograms("right"))
    if left is None and right is None:
        right = draw(audiograms("right"))
    ids = words | st.just("Patient/7")
    return Listener(left, right, id=draw(ids), date=draw(st.none() | st.dates()), source=draw(words))


EARS = Listener(
    left=Audiogram([125, 1000, 4000], [10, 20, 110], ear="left", masked=[1000], no_response=[4000]),
    right=Audiogram([500], [30], ear="right", bone=Audiogram([500], [10], ear="right", masked=[500])),
    id="Patient/7",
    date="2024-05-31",
    source="clinic A",
)


@settings(max_examples=60, deadline=None)
@given(listeners())
def test_both_ways_without_loss(listener):
    observations = json.loads(json.dumps(to_fhir(listener)))
    assert from_fhir(observations) == listener
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in observations]}
    assert from_fhir(bundle) == listener


def test_an_observation():
    air, bone = to_fhir(EARS)
    assert {key: air[key] for key in ("resourceType", "status", "subject", "effectiveDateTime", "performer")} == {
        "resourceType": "Observation",
        "status": "final",
        "subject": {"reference": "Patient/7"},
        "effectiveDateTime": "2024-05-31",
        "performer": [{"display": "clinic A"}],
    }
    assert air["code"]["coding"] == [{"system": "http://loinc.org", "code": "89015-2"}]
    assert bone["code"]["coding"] == [{"system": "http://loinc.org", "code": "100652-7"}]
    assert air["component"][1] == {
        "code": {
            "coding": [
                {"system": "http://loinc.org", "code": "89016-0", "display": "Hearing threshold Ear - left --1000 Hz"}
            ],
            "text": "Hearing threshold, left ear, air conduction, 1000 Hz, masked",
        },
        "valueQuantity": {"value": 20, "unit": "dB", "system": "http://unitsofmeasure.org", "code": "dB"},
    }
    assert air["component"][2]["valueQuantity"]["comparator"] == ">="
    # no code: 125 Hz is not in the panel, and the bone panel's members are in no public source
    assert "coding" not in air["component"][0]["code"]
    assert bone["component"][0]["code"] == {"text": "Hearing threshold, right ear, bone conduction, 500 Hz, masked"}


def test_codes_have_loinc_s_check_digit():
    """The last digit of a LOINC code is that of Luhn's algorithm over the others: a typing error shows."""
    codes = [*_PANELS.values(), *_CODES["left"].values(), *_CODES["right"].values()]
    assert len(set(codes)) == 2 + 22
    for code in codes:
        number, digit = code.split("-")
        doubled = [int(d) * (2 - i % 2) for i, d in enumerate(reversed(number))]
        total = sum(d // 10 + d % 10 for d in doubled)
        assert (10 - total % 10) % 10 == int(digit), code


def observation(code, value, **more):
    quantity = {"value": value, "unit": "dB", "system": "http://unitsofmeasure.org", "code": "dB"}
    coding = {"coding": [{"system": "http://loinc.org", "code": code}]}
    return {"resourceType": "Observation", "status": "final", "code": coding, "valueQuantity": quantity} | more


def test_an_observation_for_each_threshold():
    # as in the examples of the PACIO guide: no panel, UCUM's dB, a moment
    moment = {"effectiveDateTime": "2020-11-06T10:45:00-05:00", "subject": {"identifier": {"value": "p5"}}}
    several = [observation("91375-6", 45, **moment), observation("89017-8", 50.5, **moment)]
    listener = from_fhir(several)
    assert listener.left == Audiogram([250], [45], ear="left")
    assert listener.right == Audiogram([1000], [50.5], ear="right")
    assert (listener.id, listener.date.isoformat()) == ("p5", "2020-11-06")


def test_a_panel_as_others_write_it():
    panel = to_fhir(Listener(left=Audiogram([500, 1000], [15, 20])))[0]
    for component in panel["component"]:
        del component["code"]["text"]
    panel["component"][1] |= {"dataAbsentReason": {"coding": [{"code": "not-performed"}]}}
    del panel["component"][1]["valueQuantity"]
    assert from_fhir(panel).left == Audiogram([500], [15], ear="left")
    panel["code"]["coding"][0]["code"] = "100653-5"  # what 89015-2 replaced
    assert from_fhir(panel).left == Audiogram([500], [15], ear="left")


def test_a_masked_threshold_replaces_the_unmasked_one():
    panel = to_fhir(Listener(left=Audiogram([500], [15])))[0]
    masked = copy.deepcopy(panel["component"][0])
    masked["code"]["text"] += ", masked"
    masked["valueQuantity"]["value"] = 40
    panel["component"].append(masked)
    assert from_fhir(panel).left == Audiogram([500], [40], ear="left", masked=[500])


def test_what_is_not_read_is_said():
    others = [
        {"resourceType": "Patient", "id": "7"},
        observation("8480-6", 120),
        observation("89017-8", 60, status="entered-in-error"),
        observation("89016-0", 20, device={"display": "audiometer"}, note=[{"text": "tired"}]),
    ]
    expected = (
        "not read.*: resource Patient, Observation 8480-6, an Observation that is entered-in-error, device, a note"
    )
    with pytest.warns(AudiogramWarning, match=expected):
        assert from_fhir(others) == Listener(left=Audiogram([1000], [20], ear="left"))
    panel = to_fhir(EARS)[0] | {"effectiveDateTime": "2024", "performer": [{"reference": "Practitioner/1"}, {}]}
    panel["component"].append({"code": {"text": "comfort level"}, "valueString": "loud"})
    with pytest.warns(
        AudiogramWarning, match="the date 2024, which is no day.*all performers.*component comfort level"
    ):
        read = from_fhir(panel)
    assert (read.date, read.source) == (None, "Practitioner/1")


def changed(**changes):
    return observation("89016-0", 20) | changes


QUANTITY = {"value": 20, "unit": "dB", "code": "dB"}


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ([], "no Observation of hearing thresholds"),
        ({}, "says its resourceType"),
        ("{}", "json.loads"),
        ([changed(subject={"reference": "Patient/1"}), changed(subject={"reference": "Patient/2"})], "one subject"),
        ([changed(effectiveDateTime="2024-01-01"), changed(effectiveDateTime="2024-01-02")], "more than one day"),
        ([changed(), changed()], "given twice"),
        (changed(valueQuantity=QUANTITY | {"unit": "dB SPL"}), "hearing levels are in dB"),
        (changed(valueQuantity={"value": 20}), "no unit"),
        (changed(valueQuantity=QUANTITY | {"value": "20"}), "no number"),
        (changed(valueQuantity=QUANTITY | {"value": True}), "no number"),
        (changed(valueQuantity=QUANTITY | {"comparator": "<="}), "<= 20 dB"),
        (changed(valueQuantity=QUANTITY | {"value": 900}), "FHIR: threshold 900 dB HL is outside"),
        (changed(valueQuantity=QUANTITY | {"value": 10**400}), "no number"),
        (changed(code=None), "Observation.code is an object"),
        (changed(component=[None]), r"component\[0\] is an object"),
        (changed(performer={}), "performer is an array"),
        (changed(subject={"reference": ["Patient/1"]}), "reference is a single value"),
        ({"resourceType": "Bundle", "entry": [None]}, r"Bundle.entry\[0\] is an object"),
        (changed(component=[{"code": {"text": "left ear 500 Hz"}}], valueQuantity=QUANTITY), "nor a reason"),
        (changed(component=[{"code": {"text": "left or right 500 Hz"}}]), "several ears"),
        (changed(code=changed()["code"] | {"text": "right ear, 1000 Hz"}), "its text something else"),
        (changed(code=changed()["code"] | {"text": "left ear, bone conduction"}), "bone conduction and no air"),
    ],
)
def test_refused(resources, words):
    with pytest.raises(InputError, match=words):
        from_fhir(resources)


def test_an_ear_has_a_side():
    with pytest.raises(InputError, match="which ear"):
        to_fhir(Audiogram([500], [10]))
    with pytest.raises(InputError, match="got int"):
        to_fhir(3)
    assert from_fhir(to_fhir(EARS.left)) == Listener(left=EARS.left)
