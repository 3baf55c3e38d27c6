"""ISO 7029:2017 against its check values, and the order that ages and percentiles must keep."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiogram import iso7029
from audiogram.errors import AudiogramWarning, InputError
from audiogram.hearing_by_age import ISO7029_FREQUENCIES, iso7029_named, iso7029_thresholds

SEXES = st.sampled_from(["male", "female"])


def test_check_values():
    assert iso7029(60, "male").pta([4000]) == pytest.approx(20.2085, abs=5e-5)  # median
    spread = iso7029_thresholds(60, "male", 1.0) - iso7029_thresholds(60, "male", 0.0)
    assert spread[ISO7029_FREQUENCIES.index(1000)] == pytest.approx(10.1533, abs=5e-5)  # of those who hear worse


def test_by_hand():
    # female, 58 years, 2 kHz: 3.12e-4 * 40**2.792; lower spread 3.47 + 0.392*40 - 2.84e-2*40**2 + ...
    median = 3.12e-4 * 40**2.792
    lower = 3.47 + 0.392 * 40 - 2.84e-2 * 40**2 + 7.79e-4 * 40**3 - 7.35e-6 * 40**4 + 1.71e-8 * 40**5
    assert iso7029(58, "female").pta([2000]) == pytest.approx(median)
    assert iso7029(58, "female", 10).pta([2000]) == pytest.approx(median - 1.2815515655 * lower)


def test_eighteen_years_are_the_zero():
    for sex in ("male", "female"):
        assert iso7029(18, sex).thresholds == (0.0,) * 11
        # c0 is the spread at 18 years
        assert iso7029(18, sex, 84.1344746).pta([1000]) == pytest.approx({"male": 4.42, "female": 4.34}[sex])


@given(st.floats(18, 70), st.floats(18, 70), SEXES)
def test_hearing_gets_worse_with_age(one, other, sex):
    younger, older = sorted([one, other])
    assert np.all(np.array(iso7029(younger, sex).thresholds) <= np.array(iso7029(older, sex).thresholds))


@given(st.floats(18, 70), SEXES, st.floats(1, 99), st.floats(1, 99))
def test_a_higher_percentile_hears_worse(age, sex, one, other):
    better, worse = sorted([one, other])
    assert np.all(np.array(iso7029(age, sex, better).thresholds) <= np.array(iso7029(age, sex, worse).thresholds))


@given(st.floats(18, 70), SEXES, st.floats(0.1, 99.9))
def test_a_percentile_is_its_quantile_times_the_spread_of_its_side(age, sex, percentile):
    z = NormalDist().inv_cdf(percentile / 100)
    median, one = (iso7029_thresholds(age, sex, q) for q in (0.0, np.copysign(1.0, z)))
    expected = median + abs(z) * (one - median)
    np.testing.assert_allclose(iso7029(age, sex, percentile).thresholds, expected, rtol=0, atol=1e-9)
    assert np.all(np.abs(one - median) > 2)  # every spread is one, at every age


def test_above_70_years_it_ends_at_2_khz_and_says_so():
    with pytest.warns(AudiogramWarning, match="iso7029-male-75 ends at 2 kHz; age=70 has all") as caught:
        old = iso7029(75, "male")
    assert caught[0].filename == __file__
    assert old.frequencies == ISO7029_FREQUENCIES[:7]
    assert iso7029(70, "male").frequencies == ISO7029_FREQUENCIES
    with pytest.warns(AudiogramWarning):
        assert iso7029(80, "female").pta("pta3") > iso7029(70, "female").pta("pta3")


@pytest.mark.parametrize(
    ("age", "sex", "percentile", "words"),
    [
        (17.9, "male", 50, "age in ISO 7029 is 18 to 80 years, got 17.9"),
        (81, "male", 50, "18 to 80 years, got 81"),
        (float("nan"), "male", 50, "18 to 80 years, got nan"),
        ("60", "male", 50, "18 to 80 years, got '60'"),
        (60, "men", 50, r"unknown sex in ISO 7029 'men'"),
        (60, "male", 0, "above 0 and below 100, got 0"),
        (60, "male", 100, "above 0 and below 100, got 100"),
        (60, "male", True, "above 0 and below 100, got True"),
    ],
)
def test_refuses(age, sex, percentile, words):
    with pytest.raises(InputError, match=words):
        iso7029(age, sex, percentile)


def test_names():
    for ear in (
        iso7029(60, "male"),
        iso7029(65.5, "female", 97.5),
        iso7029(1e3 / 17, "male", 1e2 / 7),
        iso7029(18, "male", 5),
    ):
        assert iso7029_named(ear.name) == ear
    for text in ("", "iso7029", "iso7029-male", "iso7029-other-60", "iso7029-male-60-90", "iso7029-male-60-p", "x-60"):
        assert iso7029_named(text) is None
