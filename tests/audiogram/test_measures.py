"""Averages and grades against hand calculations, and what a threshold without response leaves of them."""

import math
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiogram import Audiogram
from audiogram.bounds import AtLeast, AtMost
from audiogram.conduction import air_bone_gap
from audiogram.errors import AudiogramWarning, InputError
from audiogram.measures import average, grade, grade_of, pta

FULL = Audiogram([500, 1000, 2000, 3000, 4000], [10, 25, 40, 50, 90])
DEAF = Audiogram([500, 1000, 2000, 4000], [80, 90, 100, 110], no_response=[4000])


def test_averages_by_hand():
    assert pta(FULL) == (10 + 25 + 40 + 90) / 4
    assert pta(FULL, "pta3") == 25
    assert pta(FULL, "aao-hns") == (10 + 25 + 40 + 50) / 4
    assert pta(FULL, [4000]) == 90
    assert pta(FULL, [500, 500, 4000]) == pytest.approx(110 / 3)


def test_3_khz_of_the_aao_hns_is_measured_or_the_mean_of_its_neighbours():
    without = Audiogram([500, 1000, 2000, 4000], [10, 25, 40, 90])
    assert pta(without, "aao-hns") == (10 + 25 + 40 + 65) / 4
    with pytest.raises(InputError, match="no threshold at 3000 Hz"):
        pta(without, [500, 1000, 2000, 3000])  # a list is taken as it is
    with pytest.raises(InputError, match="no threshold at 3000 Hz"):
        pta(Audiogram([500, 1000, 2000], [10, 25, 40]), "aao-hns")


def test_missing_frequencies_are_refused_filled_in_or_named():
    gap = Audiogram([500, 1000, 4000], [10, 20, 40])
    with pytest.raises(InputError, match=r"no threshold at 2000 Hz.*interpolation='log2'.*require_all=False"):
        gap.pta()
    with pytest.raises(InputError, match="no threshold at 2000 Hz"):
        gap.grade()
    assert gap.pta(interpolation="log2") == pytest.approx((10 + 20 + 30 + 40) / 4)
    assert gap.grade(interpolation="log2") == "mild"
    with pytest.warns(AudiogramWarning, match="no threshold at 2000 Hz: .* average over 500, 1000, 4000 Hz alone"):
        assert gap.pta(require_all=False) == pytest.approx(70 / 3)


def test_nothing_is_filled_in_outside_the_measured_range():
    low = Audiogram([500, 1000, 2000], [10, 20, 30])
    with pytest.raises(InputError, match=r"no threshold at 4000 Hz.*only what lies inside"):
        low.pta(interpolation="log2")
    with pytest.warns(AudiogramWarning, match="no threshold at 4000 Hz"):
        assert low.pta(interpolation="log2", require_all=False) == 20
    with pytest.raises(
        InputError, match=r"no threshold at 4000, 8000 Hz for the average; measured: 500, 1000, 2000 Hz\.$"
    ):
        low.pta([4000, 8000], require_all=False)


def test_no_response_makes_the_average_a_bound_and_says_so():
    with pytest.warns(AudiogramWarning, match=r"no response at 4000 Hz: the average is at least 95 dB HL"):
        average_ = DEAF.pta()
    assert isinstance(average_, AtLeast)
    assert average_ == (80 + 90 + 100 + 110) / 4
    assert str(average_) == "at least 95.0"
    assert f"{average_:g}" == "at least 95"
    assert type(DEAF.pta("pta3")) is float  # the censored frequency does not go in, and nothing warns


def test_the_warning_points_at_the_line_that_asked():
    with pytest.warns(AudiogramWarning) as caught:
        DEAF.pta()
    assert caught[0].filename == __file__


@pytest.mark.parametrize("censored", [1000, 4000])
def test_a_threshold_interpolated_from_a_bound_is_a_bound(censored):
    ear = Audiogram([500, 1000, 4000], [10, 20, 40], no_response=[censored])
    with pytest.warns(AudiogramWarning, match="no response next to 2000 Hz"):
        assert isinstance(ear.pta([2000], interpolation="log2"), AtLeast)
    assert (
        type(Audiogram([500, 1000, 4000], [10, 20, 40], no_response=[500]).pta([2000], interpolation="log2")) is float
    )


def test_3_khz_of_the_aao_hns_is_a_bound_where_a_neighbour_is():
    with pytest.warns(AudiogramWarning, match="no response next to 3000 Hz"):
        assert pta(DEAF, "aao-hns") == AtLeast((80 + 90 + 100 + 105) / 4)


@given(st.lists(st.floats(0, 110), min_size=4, max_size=4), st.lists(st.floats(0, 40), min_size=4, max_size=4))
def test_a_bound_holds_whatever_the_true_thresholds_are(heard, beyond):
    f = (500, 1000, 2000, 4000)
    censored = [hz for hz, more in zip(f, beyond, strict=True) if more > 20]
    true = [t + more if hz in censored else t for hz, t, more in zip(f, heard, beyond, strict=True)]
    low, high = average(Audiogram(f, heard, no_response=censored))
    assert low - 1e-9 <= pta(Audiogram(f, true)) <= high + 1e-9
    assert (low == high) == (not censored)


def test_grades_of_the_world_health_organization():
    # World report on hearing (2021), table 1.3: from, below
    table = [
        ("normal", -10, 20),
        ("mild", 20, 35),
        ("moderate", 35, 50),
        ("moderately severe", 50, 65),
        ("severe", 65, 80),
        ("profound", 80, 95),
        ("complete", 95, math.inf),
    ]
    for name, low, below in table:
        assert grade_of(low) == name
        assert grade_of(math.nextafter(below, 0)) == name
        bound = grade_of(AtLeast(low))
        assert bound == ("complete" if name == "complete" else f"{name} or worse")
    with pytest.raises(InputError, match="NaN"):
        grade_of(math.nan)


def test_grade_of_a_bound_needs_no_warning_since_it_says_so():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert grade(DEAF) == DEAF.grade() == "complete"
        assert Audiogram(DEAF.frequencies, [40, 50, 60, 70], no_response=[4000]).grade() == "moderately severe or worse"


@pytest.mark.parametrize(
    ("frequencies", "words"),
    [
        ("pta5", r"unknown pure-tone average 'pta5'\. Did you mean"),
        ([], "at least one frequency"),
        (4000, "list of numbers"),
        (["4k"], "must be numbers"),
        ([0.5, 1, 2, 4], "no threshold at 0.5, 1, 2, 4 Hz"),
    ],
)
def test_averages_over_what_is_no_list_of_frequencies(frequencies, words):
    with pytest.raises(InputError, match=words):
        FULL.pta(frequencies)


def test_bounds_print_compare_and_pickle():
    assert repr(AtLeast(92.5)) == "AtLeast(92.5)"
    assert f"{AtLeast(92.5):.2f} and {AtMost(20)}" == "at least 92.50 and at most 20.0"
    assert AtLeast(92.5) > 92
    again = pickle.loads(pickle.dumps(AtLeast(92.5)))
    assert type(again) is AtLeast
    assert again == 92.5


def test_frequencies_may_be_an_array_or_be_read_once():
    ear = Audiogram([500, 1000, 2000], [10, 20, 60], bone=Audiogram([500, 1000, 2000], [0, 10, 20]))
    assert pta(ear, np.array([500, 1000])) == pta(ear, iter([500.0, 1000.0])) == 15
    assert average(ear, np.array([500, 1000])) == (15, 15)
    assert air_bone_gap(ear, iter([500, 2000])) == air_bone_gap(ear, np.array([500, 2000])) == 25
