"""Two ears: which is better, the grade of the WHO with its unilateral category, and what is kept on disk."""

import datetime as dt
import json
import pickle
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiogram import Audiogram
from audiogram.bounds import AtLeast
from audiogram.errors import AudiogramWarning, InputError
from audiogram.listener import Listener

F = (500, 1000, 2000, 4000)


def flat(level, **fields):
    return Audiogram(F, [level] * 4, **fields)


def deaf(level):
    return flat(level, no_response=[4000])


def listener(left, right):
    return Listener(left=left, right=right)


def test_better_and_worse_ear():
    one = listener(flat(30), flat(20))
    assert (one.better_ear, one.worse_ear, one.pta()) == (flat(20), flat(30), 20)
    other = listener(flat(20), flat(30))
    assert (other.better_ear, other.worse_ear, other.pta()) == (flat(20), flat(30), 20)
    left, right = flat(20, name="l"), flat(20, name="r")
    assert (listener(left, right).better_ear.name, listener(left, right).worse_ear.name) == ("l", "r")


def test_the_better_ear_of_an_average_is_that_average_s():
    low, high = Audiogram(F, [10, 20, 30, 80]), Audiogram(F, [30, 30, 30, 30])
    assert listener(low, high).pta() == 30
    assert listener(low, high).pta("pta3") == 20
    assert listener(low, high).pta(f for f in (500, 1000)) == 15


@pytest.mark.parametrize(
    ("better", "worse", "grade"),
    [
        (0, 34.9, "normal"),
        (19.9, 35, "unilateral"),
        (19.9, 110, "unilateral"),
        (20, 110, "mild"),
        (34.9, 34.9, "mild"),
        (35, 110, "moderate"),
        (50, 50, "moderately severe"),
        (65, 65, "severe"),
        (80, 80, "profound"),
        (95, 95, "complete"),
    ],
)
def test_grades_of_the_world_health_organization(better, worse, grade):
    assert listener(flat(better), flat(worse)).grade() == grade
    assert listener(flat(worse), flat(better)).grade() == grade


@pytest.mark.parametrize(
    ("ear", "censored", "grade"),
    [
        (flat(10), 40, "unilateral"),
        (flat(10), 20, "normal or unilateral"),
        (flat(15), 10, "normal or unilateral"),  # the better ear lies between 10 and 15
        (flat(90), 40, "moderate or worse"),
        (flat(90), 10, "normal or worse"),
        (flat(33), 30, "mild"),  # between 30 and 33
        (flat(40), 60, "moderate"),
        (deaf(60), 70, "moderately severe or worse"),
        (deaf(100), 110, "complete"),
    ],
)
def test_grades_that_no_response_leaves_open(ear, censored, grade):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert listener(ear, deaf(censored)).grade() == listener(deaf(censored), ear).grade() == grade


def test_average_that_no_response_leaves_open():
    assert type(listener(flat(30), deaf(40)).pta()) is float
    with pytest.warns(AudiogramWarning, match="at least 20 dB HL") as caught:
        average = listener(flat(30), deaf(20)).pta()
    assert isinstance(average, AtLeast)
    assert average == 20
    assert caught[0].filename == __file__


def test_better_ear_that_no_response_leaves_open():
    assert listener(flat(30), deaf(40)).better_ear == flat(30)
    assert listener(deaf(40), flat(30)).worse_ear == deaf(40)
    for one in (listener(flat(30), deaf(20)), listener(deaf(30), deaf(90))):
        with pytest.raises(InputError, match="no response leaves open which ear is better"):
            _ = one.better_ear


@pytest.mark.parametrize("side", ["left", "right"])
def test_one_ear_alone(side):
    one = Listener(**{side: flat(30)})
    for ask in (lambda: one.better_ear, lambda: one.worse_ear, one.pta, one.grade, one.asymmetry):
        with pytest.raises(InputError, match=f"only the {side} one was measured; ask it alone: listener.{side}"):
            ask()
    assert getattr(one, side).grade() == "mild"


def test_missing_frequencies():
    short = Audiogram(F[:3], [10, 20, 30])
    with pytest.raises(InputError, match="no threshold at 4000 Hz"):
        listener(short, flat(10)).grade()
    gap = Audiogram([500, 1000, 4000], [10, 20, 40])
    assert listener(gap, gap).grade(interpolation="log2") == "mild"
    assert listener(gap, gap).pta(interpolation="log2") == 25


def test_asymmetry_goes_through_all_criteria():
    one = listener(flat(10), flat(30))
    assert one.asymmetry("aao-hns").worse == "right"
    assert one.asymmetry("cns").met is True
    assert one.asymmetry("rule-3000").met is None


@given(
    st.text(max_size=5),
    st.none() | st.dates(),
    st.text(max_size=5),
    st.sampled_from([(None, flat(10)), (flat(20, masked=[500], bone=flat(0)), None), (flat(5), deaf(90))]),
)
def test_json_keeps_everything(id_, date, source, ears):
    one = Listener(*ears, id=id_, date=date, source=source)
    again = Listener.from_dict(json.loads(one.to_json()))
    assert again == one
    assert hash(again) == hash(one)
    assert pickle.loads(pickle.dumps(one)) == one


def test_dates():
    assert Listener(flat(10), date="2024-05-31").date == dt.date(2024, 5, 31)
    for date, words in (
        ("31.5.2024", r"date '31\.5\.2024' is none; write it like 2024-05-31"),
        (dt.datetime(2024, 5, 31, 12), "date is a datetime.date"),
        (2024, "date is a datetime.date"),
    ):
        with pytest.raises(InputError, match=words):
            Listener(flat(10), date=date)


def test_an_ear_on_the_other_side_is_said():
    with pytest.warns(AudiogramWarning, match="given as left says ear='right'") as caught:
        Listener(left=flat(10, ear="right"))
    assert caught[0].filename == __file__
    Listener(left=flat(10, ear="left"), right=flat(10, ear="right"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Listener(), "at least one ear"),
        (lambda: Listener([10, 20]), "left is an Audiogram or None, got list"),
        (lambda: Listener(flat(10), id=7), "id is a string, got int"),
        (lambda: Listener.from_dict([]), "is a mapping with left and right, got list"),
        (lambda: Listener.from_dict({"Left": {}}), r"unknown key of a listener 'Left'\. Did you mean 'left'"),
        (lambda: Listener.from_dict({"left": {}}), "left: the audiogram has no 'frequencies'"),
        (lambda: Listener.from_dict({"id": "a"}), "at least one ear"),
    ],
)
def test_no_listener_from(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_listeners_are_frozen():
    with pytest.raises(AttributeError):
        Listener(flat(10)).id = "a"
