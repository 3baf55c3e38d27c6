"""Audiograms: interpolation against theory, averages and grades, and what is refused."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiogram import Audiogram, get_filter
from audiogram.errors import AudiogramWarning, InputError
from audiogram.scales import erb_number, erb_number_to_hz

SLOPE = Audiogram([250, 500, 1000, 2000, 4000, 8000], [10, 15, 20, 40, 60, 70], ear="right", name="slope")


@st.composite
def audiograms(draw, bone=True, sides=(None, "left", "right")):
    frequencies = sorted(draw(st.sets(st.integers(20, 20_000), min_size=1, max_size=12)))
    thresholds = draw(st.lists(st.floats(-20, 120), min_size=len(frequencies), max_size=len(frequencies)))
    flagged = st.lists(st.sampled_from(frequencies), max_size=4)
    ear = draw(st.sampled_from(sides))
    return Audiogram(
        frequencies,
        thresholds,
        ear=ear,
        name=draw(st.text(max_size=5)),
        masked=draw(flagged),
        no_response=draw(flagged),
        bone=draw(st.none() | audiograms(bone=False, sides=(None, ear))) if bone else None,
    )


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
    assert SLOPE.pta([500, 1000, 2000]) == SLOPE.pta("pta3") == 25


def test_flags_are_kept_sorted_and_once():
    ear = Audiogram([500, 1000, 2000], [10, 20, 30], masked=iter([2000, 500, 2000]), no_response=np.array([1000]))
    assert ear.masked == (500.0, 2000.0)
    assert ear.no_response == (1000.0,)
    assert ear == Audiogram([500, 1000, 2000], [10, 20, 30], masked=(500, 2000), no_response=[1000])


@pytest.mark.parametrize("change", [{"masked": [500]}, {"no_response": [500]}, {"bone": Audiogram([500], [0])}])
def test_what_differs_in_a_flag_or_in_bone_conduction_differs(change):
    plain, other = Audiogram([500, 1000], [10, 20]), Audiogram([500, 1000], [10, 20], **change)
    assert plain != other
    assert len({plain, other, Audiogram([500, 1000], [10, 20], **change)}) == 2


def test_filters_take_the_bound_and_say_so_once():
    ear = Audiogram([500, 1000, 4000], [10, 20, 90], no_response=[4000], name="p01")
    with pytest.warns(AudiogramWarning, match=r"p01 .*no response at 4000 Hz.* at least the loss") as caught:
        bound = get_filter("attenuation")([SLOPE, ear], sample_rate=16_000)
    assert [warning.filename for warning in caught] == [__file__]
    x = np.random.default_rng(0).standard_normal((2, 2000))
    known = get_filter("attenuation")([SLOPE, Audiogram([500, 1000, 4000], [10, 20, 90])], sample_rate=16_000)
    np.testing.assert_array_equal(bound(x), known(x))


def test_dicts_from_before_there_were_flags_and_bone_conduction():
    old = {"frequencies": [500.0, 1000.0], "thresholds": [10.0, 20.0], "ear": "left", "name": "a"}
    assert Audiogram.from_dict(old).to_dict() == old
    assert Audiogram([500], [10]).to_dict() == {"frequencies": [500.0], "thresholds": [10.0]}


def test_at_is_of_air_conduction_and_takes_bounds_as_they_are():
    ear = Audiogram([1000, 4000], [20, 60], no_response=[4000], bone=Audiogram([1000], [0]))
    assert ear.at(2000) == pytest.approx(40)


@pytest.mark.parametrize(
    ("frequencies", "thresholds", "words"),
    [
        ([], [], "at least one frequency"),
        ([500, 1000], [10], "2 frequencies and 1"),
        ([1000, 500], [10, 10], "must increase, got 1000 before 500; sort"),
        ([500, 500], [10, 10], "500 Hz is given twice"),
        ([-500, 1000], [10, 10], "above 0, got -500"),
        ([0, 1000], [10, 10], "above 0, got 0"),
        ([0.5, 1, 2], [10, 10, 10], "given in kHz"),
        ([500, np.inf], [10, 10], "frequency 2 is inf"),
        ([500, 1000], [10, np.nan], "threshold 2 is nan; leave out"),
        ([500, 1000], [10, None], "missing value"),
        ([500, 1000], [10, "20"], "must be numbers, got '20'"),
        ([500, 1000], [10, -60], "a loss is a positive number.$"),
        ([500, 1000], [-10, -60], "Were losses given as negative numbers"),
        ([500, 1000], [10, 500], "outside -40 to 160"),
        ("500", [10], "list of numbers"),
        (500, 10, "list of numbers"),
    ],
)
def test_no_audiogram_from(frequencies, thresholds, words):
    with pytest.raises(InputError, match=words):
        Audiogram(frequencies, thresholds)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"masked": [3000]}, "masked names 3000 Hz, where nothing was measured; measured: 500, 1000 Hz.$"),
        ({"no_response": [1]}, "no_response names 1 Hz.*Were they given in kHz"),
        ({"no_response": [True, False]}, "lists the frequencies in Hz .* not one flag per frequency"),
        ({"masked": np.array([True, False])}, "not one flag per frequency"),
        ({"masked": 500}, "masked must be a list of numbers, got 500"),
        ({"masked": True}, "masked must be a list of numbers, got True"),
        ({"masked": "500"}, "masked must be a list of numbers"),
        ({"masked": [None]}, "masked has a missing value"),
        ({"bone": ([500], [10])}, "bone is an Audiogram .* got tuple"),
        ({"bone": Audiogram([500], [10], bone=Audiogram([500], [0]))}, "bone has bone conduction itself"),
        (
            {"ear": "left", "bone": Audiogram([500], [10], ear="right")},
            "bone is of the right ear, but the audiogram is of the left one",
        ),
    ],
)
def test_flags_and_bone_conduction_that_do_not_belong_here(fields, words):
    with pytest.raises(InputError, match=words):
        Audiogram([500, 1000], [10, 20], **fields)


def test_ear_and_keys_are_checked():
    with pytest.raises(InputError, match="'left', 'right' or None"):
        Audiogram([500], [10], ear="both")
    with pytest.raises(InputError, match=r"unknown audiogram key 'threshold'.*Did you mean 'thresholds'"):
        Audiogram.from_dict({"frequencies": [500], "threshold": [10]})
    with pytest.raises(InputError, match="no 'thresholds'"):
        Audiogram.from_dict({"frequencies": [500]})
    with pytest.raises(InputError, match="is a mapping"):
        Audiogram.from_dict([500, 10])
    with pytest.raises(InputError, match="bone: the audiogram has no 'thresholds'"):
        Audiogram.from_dict({"frequencies": [500], "thresholds": [10], "bone": {"frequencies": [500]}})


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
