"""The filter's own tests: what it is for, and audiogram's conformance suite."""

import numpy as np
import pytest
from dead_regions.removal import DeadRegion

from audiogram import Audiogram
from audiogram.errors import InputError
from audiogram.filters import conformance

RATE = 16_000
EAR = Audiogram([500, 1000, 4000, 8000], [20, 30, 100, 100])


@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
def test_conforms(check):
    check("dead_region", {"limit": 40.0})


@pytest.mark.parametrize(("frequency", "heard"), [(250, 1), (1000, 1), (4000, 0), (6000, 0)])
def test_a_tone_in_the_dead_region_is_gone(frequency, heard):
    tone = np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE)
    y = DeadRegion(EAR, sample_rate=RATE)(tone)[RATE // 4 : -RATE // 4]
    assert np.sqrt(2 * np.mean(y**2)) == pytest.approx(heard, abs=1e-3)


def test_limits_out_of_range_are_refused():
    with pytest.raises(InputError, match="between 0 and 120"):
        DeadRegion(EAR, sample_rate=RATE, limit=200.0)
