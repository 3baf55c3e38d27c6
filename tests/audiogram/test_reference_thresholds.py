"""0 dB HL in dB SPL: the tabulated figures, what lies between them, and the way back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiogram.errors import InputError
from audiogram.reference_thresholds import hl_from_spl, reference_threshold, spl_from_hl

NAMES = ("free_field", "diffuse_field", "tdh39", "er3a_711", "hda200")
# by frequency here and by transducer in the module, so that one slip of the hand is not made twice
TABLE = """
 125  22.1  22.1  45    28    30.5
 250  11.4  11.4  25.5  17.5  18
 500   4.4   3.8  11.5   9.5  11
 750   2.4   1.2   7.5   6     6
1000   2.4   0.8   7     5.5   5.5
1500   2.4   1.0   6.5   9.5   5.5
2000  -1.3  -1.5   9    11.5   4.5
3000  -5.8  -4.0  10    13     2.5
4000  -5.4  -3.8   9.5  15     9.5
6000   4.3   1.4  15.5  16    17
8000  12.6   6.8  13    15.5  17.5
"""
EXTENDED = {9000: 19, 10_000: 22, 11_200: 23, 12_500: 27.5, 14_000: 35, 16_000: 56}


def test_every_tabulated_figure():
    rows = np.array([line.split() for line in TABLE.strip().splitlines()], dtype=float)
    for column, name in enumerate(NAMES, start=1):
        np.testing.assert_array_equal(reference_threshold(rows[:, 0], name), rows[:, column])
    np.testing.assert_array_equal(reference_threshold(list(EXTENDED), "hda200"), list(EXTENDED.values()))


def test_between_and_beyond_the_table():
    half_an_octave_up = 125 * 2**0.5
    assert reference_threshold(half_an_octave_up) == pytest.approx((22.1 + 11.4) / 2)
    assert reference_threshold(0) == reference_threshold(20) == 22.1
    assert reference_threshold(20_000) == 12.6
    assert reference_threshold(20_000, "hda200") == 56
    assert reference_threshold([[500], [1000]]).shape == (2, 1)
    assert reference_threshold(1000).shape == ()


def test_one_field_is_as_good_as_the_other_below_the_head_s_size():
    np.testing.assert_array_equal(reference_threshold([125, 250]), reference_threshold([125, 250], "diffuse_field"))


@given(
    st.sampled_from(NAMES),
    st.lists(st.floats(0, 24_000), min_size=1, max_size=8),
    st.floats(-10, 120),
)
def test_the_way_back(name, frequencies, level):
    levels = np.full((3, len(frequencies)), level)
    spl = spl_from_hl(levels, frequencies, name)
    np.testing.assert_allclose(hl_from_spl(spl, frequencies, name), levels, rtol=0, atol=1e-9)
    np.testing.assert_allclose(spl[0], reference_threshold(frequencies, name) + level, rtol=0, atol=1e-9)


def test_a_level_at_one_frequency_is_converted_whatever_its_shape():
    np.testing.assert_allclose(spl_from_hl([[0, 10], [20, 30]], 1000), [[2.4, 12.4], [22.4, 32.4]])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: reference_threshold(-1), "0 Hz or more"),
        (lambda: reference_threshold([100, np.nan]), "finite"),
        (lambda: reference_threshold(1000, "tdh-39"), r"unknown transducer or sound field 'tdh-39'.*'tdh39'"),
        (lambda: spl_from_hl([10, 20], [500, 1000, 2000]), "last axis of levels is frequency"),
        (lambda: hl_from_spl(10, [500, 1000]), "last axis of levels is frequency"),
    ],
)
def test_refuses(call, words):
    with pytest.raises(InputError, match=words):
        call()
