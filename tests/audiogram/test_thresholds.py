"""Audiograms: interpolation against theory, averages and grades, and what is refused."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiogram import Audiogram
from audiogram.errors import InputError
from audiogram.scales import erb_number, erb_number_to_hz
from audiogram.thresholds import grade_of

SLOPE = Audiogram([250, 500, 1000, 2000, 4000, 8000], [10, 15, 20, 40, 60, 70], ear="right", name="slope")


@st.composite
def audiograms(draw):
    frequencies = sorted(draw(st.sets(st.integers(20, 20_000), min_size=1, max_size=12)))
    thresholds = draw(st.lists(st.floats(-20, 120), min_size=len(frequencies), max_size=len(frequencies)))
    return Audiogram(frequencies, thresholds, ear=draw(st.sampled_from([None, "left", "right"])))


@given(audiograms(), st.sampled_from(["log2", "erb", "linear"]), st.sampled_from(["hold", "extrapolate", "error"]))
def test_measured_points_come_back(ear, interpolation, edges):
    np.testing.assert_allclose(ear.at(ear.frequencies, interpolation, edges), ear.thresholds, rtol=0, atol=1e-9)


@given(audiograms(), st.lists(st.floats(0, 24_000), min_size=1), st.sampled_from(["log2", "erb", "linear"]))
def test_held_edges_never_leave_the_measured_range(ear, frequencies, interpolation):
    at = ear.at(frequencies, interpolation)
    assert at.min() >= min(ear.thresholds) - 1e-9
    assert at.max() <= max(ear.thresholds) + 1e-9


@given(audiograms())
def test_json_keeps_everything(ear):
    again = Audiogram.from_dict(json.loads(ear.to_json()))
    assert again == ear
    assert hash(again) == hash(ear)
    assert pickle.loads(pickle.dumps(ear)) == ear


def test_half_way_is_the_mean_on_each_scale():
    ear = Audiogram([1000, 4000], [20, 60])
    middle = float(erb_number_to_hz((erb_number(1000) + erb_number(4000)) / 2))
    assert ear.at(2000, "log2") == pytest.approx(40)
    assert ear.at(middle, "erb") == pytest.approx(40)
    assert ear.at(2500, "linear") == pytest.approx(40)


def test_extrapolation_goes_on_at_the_outer_slope():
    ear = Audiogram([500, 1000, 2000], [10, 20, 50])
    np.testing.assert_allclose(ear.at([250, 4000], "log2", "extrapolate"), [0, 80])
    np.testing.assert_allclose(ear.at([0, 3000], "linear", "extrapolate"), [0, 80])
    assert Audiogram([1000], [20]).at(8000, "log2", "extrapolate") == 20


def test_at_keeps_the_shape_of_the_question():
    assert SLOPE.at(750).shape == ()
    assert SLOPE.at([[750], [3000]]).shape == (2, 1)
    assert SLOPE.at([]).shape == (0,)


@pytest.mark.parametrize(
    ("frequency", "interpolation", "edges", "words"),
    [
        (100, "log2", "error", "not inside the measured 250 to 8000 Hz"),
        (-1, "log2", "hold", "0 Hz or more"),
        (np.nan, "log2", "hold", "finite"),
        (0, "log2", "extrapolate", "octaves"),
        (500, "octave", "hold", "unknown interpolation 'octave'"),
        (500, "log2", "holds", "Did you mean 'hold'"),
    ],
)
def test_at_refuses(frequency, interpolation, edges, words):
    with pytest.raises(InputError, match=words):
        SLOPE.at(frequency, interpolation, edges)


def test_average_and_grade():
    assert SLOPE.pta() == (15 + 20 + 40 + 60) / 4
    assert SLOPE.grade() == "mild"
    assert SLOPE.pta([500, 1000, 2000]) == 25


def test_average_over_unmeasured_frequencies_is_asked_for_or_refused():
    gap = Audiogram([500, 1000, 4000], [10, 20, 40])
    with pytest.raises(InputError, match=r"no threshold at 2000 Hz.*interpolation='log2'"):
        gap.pta()
    assert gap.pta(interpolation="log2") == pytest.approx((10 + 20 + 30 + 40) / 4)
    with pytest.raises(InputError, match="not inside the measured"):
        Audiogram([500, 1000, 2000], [10, 20, 30]).pta(interpolation="log2")
    with pytest.raises(InputError, match="no threshold at 2000 Hz"):
        gap.grade()


def test_grades_of_the_world_health_organization():
    # World report on hearing (2021), table 1.3: from, below
    table = [
        ("normal", -10, 20),
        ("mild", 20, 35),
        ("moderate", 35, 50),
        ("moderately severe", 50, 65),
        ("severe", 65, 80),
        ("profound", 80, 95),
        ("complete", 95, 130),
    ]
    for name, low, below in table:
        assert grade_of(low) == name
        assert grade_of(np.nextafter(below, 0)) == name


@pytest.mark.parametrize(
    ("frequencies", "thresholds", "words"),
    [
        ([], [], "at least one frequency"),
        ([500, 1000], [10], "2 frequencies and 1"),
        ([1000, 500], [10, 10], "must increase, got 1000 before 500 Hz; sort"),
        ([500, 500], [10, 10], "500 Hz is given twice"),
        ([-500, 1000], [10, 10], "above 0, got -500"),
        ([0, 1000], [10, 10], "above 0, got 0"),
        ([0.5, 1, 2], [10, 10, 10], "given in kHz"),
        ([500, np.inf], [10, 10], "frequency 2 is inf"),
        ([500, 1000], [10, np.nan], "threshold 2 is nan; leave out"),
        ([500, 1000], [10, None], "missing value"),
        ([500, 1000], [10, "20"], "must be numbers, got '20'"),
        ([500, 1000], [10, -60], "a loss is a positive number"),
        ([500, 1000], [10, 500], "outside -40 to 160"),
        ("500", [10], "list of numbers"),
        (500, 10, "list of numbers"),
    ],
)
def test_no_audiogram_from(frequencies, thresholds, words):
    with pytest.raises(InputError, match=words):
        Audiogram(frequencies, thresholds)


def test_ear_and_keys_are_checked():
    with pytest.raises(InputError, match="'left', 'right' or None"):
        Audiogram([500], [10], ear="both")
    with pytest.raises(InputError, match=r"unknown audiogram key 'threshold'.*Did you mean 'thresholds'"):
        Audiogram.from_dict({"frequencies": [500], "threshold": [10]})
    with pytest.raises(InputError, match="no 'thresholds'"):
        Audiogram.from_dict({"frequencies": [500]})
    with pytest.raises(InputError, match="is a mapping"):
        Audiogram.from_dict([500, 10])


def test_audiograms_are_frozen_and_usable_as_keys():
    assert {SLOPE: 1}[Audiogram(SLOPE.frequencies, SLOPE.thresholds, ear="right", name="slope")] == 1
    with pytest.raises(AttributeError):
        SLOPE.ear = "left"


def test_erb_number_counts_erbs():
    # the derivative of the ERB-number is one over the bandwidth (Glasberg & Moore 1990)
    from audiogram.scales import erb_bandwidth

    hz = np.geomspace(50, 12_000, 50)
    slope = (erb_number(hz + 0.5) - erb_number(hz - 0.5)) / 1.0
    np.testing.assert_allclose(slope * erb_bandwidth(hz), 1.0, rtol=4e-3)  # 21.4 is rounded in the paper
    np.testing.assert_allclose(erb_number_to_hz(erb_number(hz)), hz)
