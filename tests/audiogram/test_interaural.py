"""Criteria of asymmetric hearing: their limits, which ear is worse, and what cannot be told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiogram import Audiogram
from audiogram.errors import InputError
from audiogram.interaural import asymmetry

F = (250, 500, 1000, 2000, 3000, 4000, 8000)
CRITERIA = ("aao-hns", "cns", "rule-3000", "gimsing", "mangham")
NORMAL = Audiogram(F, [10] * 7)


def ear(**differences):
    """Thresholds of 10 dB HL but for some: f3000=15 is 25 dB HL at 3 kHz."""
    return Audiogram(F, [10 + differences.get(f"f{f}", 0) for f in F])


@pytest.mark.parametrize(
    ("criterion", "met", "differences"),
    [
        ("aao-hns", True, {"f500": 15, "f1000": 15, "f2000": 15, "f3000": 15}),
        ("aao-hns", False, {"f500": 15, "f1000": 15, "f2000": 15, "f3000": 14}),
        ("aao-hns", True, {"f3000": 60}),
        ("cns", True, {"f500": 15}),
        ("cns", False, {"f500": 14}),
        ("cns", True, {"f500": 10, "f1000": 10}),
        ("cns", False, {"f500": 10, "f2000": 10}),  # not neighbours
        ("cns", True, {"f4000": 10, "f8000": 10}),
        ("rule-3000", True, {"f3000": 15}),
        ("rule-3000", False, {"f3000": 14, "f2000": 60, "f4000": 60}),
        ("gimsing", True, {"f250": 20, "f500": 20}),
        ("gimsing", False, {"f250": 20, "f500": 19}),
        ("gimsing", True, {"f2000": 15, "f8000": 15}),
        ("gimsing", False, {"f1000": 15, "f8000": 15}),
        ("mangham", True, {"f1000": 20, "f2000": 20, "f4000": 20, "f8000": 20}),
        ("mangham", False, {"f1000": 20, "f2000": 20, "f4000": 20, "f8000": 19, "f3000": 90}),
    ],
)
def test_limits(criterion, met, differences):
    found = asymmetry(NORMAL, ear(**differences), criterion)
    assert (found.criterion, found.met, found.worse) == (criterion, met, "right" if met else None)
    assert bool(found) is met
    assert asymmetry(ear(**differences), NORMAL, criterion).worse == ("left" if met else None)


def test_a_difference_counts_for_the_ear_that_is_worse():
    # 15 dB worse at 500 Hz in one ear and at 4 kHz in the other: asymmetric, but neither ear is the worse one
    found = asymmetry(ear(f500=15), ear(f4000=15), "cns")
    assert (found.met, found.worse) == (True, None)
    # 10 dB at two neighbours, but each in another ear
    assert asymmetry(ear(f500=10), ear(f1000=10), "cns").met is False
    assert asymmetry(ear(f500=60), ear(f2000=60), "aao-hns").met is False  # the average difference is none


@pytest.mark.parametrize("criterion", CRITERIA)
@given(
    left=st.lists(st.integers(0, 100), min_size=7, max_size=7),
    right=st.lists(st.integers(0, 100), min_size=7, max_size=7),
)
def test_exchanged_ears_exchange_the_worse_ear(criterion, left, right):
    one, other = Audiogram(F, left), Audiogram(F, right)
    found, exchanged = asymmetry(one, other, criterion), asymmetry(other, one, criterion)
    assert found.met is exchanged.met
    assert exchanged.worse == {"left": "right", "right": "left", None: None}[found.worse]
    assert asymmetry(one, one, criterion).met is False


@pytest.mark.parametrize("criterion", CRITERIA)
@given(st.data())
def test_what_is_told_of_a_bound_is_true_of_every_threshold_beyond(criterion, data):
    level = st.lists(st.integers(0, 60), min_size=7, max_size=7)
    heard = [data.draw(level), data.draw(level)]
    censored = [data.draw(st.sets(st.sampled_from(F))) for _ in heard]
    bounds = [Audiogram(F, t, no_response=c) for t, c in zip(heard, censored, strict=True)]
    beyond = [
        Audiogram(F, [t + data.draw(st.integers(0, 60)) * (hz in c) for hz, t in zip(F, ts, strict=True)])
        for ts, c in zip(heard, censored, strict=True)
    ]
    told, true = asymmetry(*bounds, criterion), asymmetry(*beyond, criterion)
    assert told.met in (None, true.met)
    if told.worse is not None:
        assert told.worse == true.worse
    assert bool(told.reason) == (told.met is None)


def test_no_response_decides_where_the_bound_suffices():
    dead = Audiogram(F, [10, 10, 10, 40, 80, 100, 100], no_response=[4000, 8000])
    assert asymmetry(NORMAL, dead, "mangham").met is True  # at least (0 + 30 + 90 + 90) / 4
    same = asymmetry(dead, dead, "mangham")
    assert (same.met, same.reason) == (None, "no response at 4000, 8000 Hz")
    with pytest.raises(InputError, match=r"asymmetric \(mangham\) cannot be told: no response at 4000, 8000 Hz"):
        bool(same)
    assert asymmetry(dead, dead, "rule-3000").met is False


def test_3_khz_that_one_ear_lacks_is_the_mean_of_its_neighbours():
    without = Audiogram([500, 1000, 2000, 4000], [25, 25, 20, 40])
    assert asymmetry(without, NORMAL).met is True  # 15, 15, 10 and 30 - 10
    assert asymmetry(without, ear(f3000=1)).met is False
    found = asymmetry(without, NORMAL, "rule-3000")
    assert (found.met, found.reason) == (None, "not measured in both ears at 3000 Hz")


def test_octaves_that_were_not_measured_leave_it_open_unless_the_others_decide():
    short = Audiogram([500, 1000, 2000, 4000], [10] * 4)
    assert asymmetry(short, short, "gimsing").met is False  # neither has a neighbour that is worse
    found = asymmetry(short, ear(f500=20), "gimsing")
    assert (found.met, found.reason) == (None, "not measured in both ears at 250, 8000 Hz")
    assert asymmetry(short, ear(f500=20, f1000=20), "gimsing").met is True


def test_frequencies_between_octaves_count_as_neighbours():
    full = (250, 500, 1000, 1500, 2000, 4000, 8000)
    low, high = Audiogram(full, [10] * 7), Audiogram(full, [10, 10, 20, 10, 20, 10, 10])
    assert asymmetry(low, high, "cns").met is False  # 1500 Hz lies between 1 and 2 kHz
    assert asymmetry(low, Audiogram(full, [10, 10, 20, 20, 10, 10, 10]), "cns").met is True
    assert asymmetry(Audiogram([1500, 3000], [0, 0]), Audiogram([1500, 3000], [10, 10]), "cns").met is True
    assert asymmetry(Audiogram([1000, 4000], [0, 0]), Audiogram([1000, 4000], [10, 10]), "cns").met is None


def test_unknown_criterion():
    with pytest.raises(InputError, match=r"unknown criterion of asymmetry 'aao'\. Did you mean 'aao-hns'"):
        asymmetry(NORMAL, NORMAL, "aao")
