"""pyclarity's simulator as a judge: stage by stage, and as a whole, in third-octave bands on sound like speech.

What is compared, how delays are taken off and what "at equal cochlear level" means, says the module under `benchmarks`
that the benchmark uses too.
"""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

from audiogram import Audiogram, get_filter
from audiogram.ear_transfer import to_cochlea
from audiogram.filters.severity import severity_of
from audiogram.kernels.smearing_frames import smearing_matrix

_path = Path(__file__).parents[2] / "benchmarks" / "reference" / "pyclarity_msbg.py"
_spec = spec_from_file_location("pyclarity_msbg", _path)
theirs = module_from_spec(_spec)
_spec.loader.exec_module(theirs)

LEVEL = 91.0  # dB SPL at an RMS of 1: speech of an RMS of 0.05 is at 65 dB SPL
CATEGORY = {"NOTHING": "none", "MILD": "mild", "MODERATE": "moderate", "SEVERE": "severe"}
LOSSES = tuple(loss for loss in theirs.LOSSES if loss != "Bisgaard N6")


def ear_of(loss):
    return Audiogram(*theirs.LOSSES[loss])


@pytest.fixture(scope="module")
def speech():
    return theirs.speech(3.0)


def assert_within(found, wanted, level, limit, at_least, below=20_000):
    deviations = {hz: one for hz, one in theirs.deviations(found, wanted, level).items() if hz < below}
    assert len(deviations) >= at_least, "nothing to compare: are levels right?"
    worst = max(deviations, key=lambda hz: abs(deviations[hz]))
    assert abs(deviations[worst]) <= limit, f"{deviations[worst]:+.2f} dB at {worst} Hz; all: {deviations}"


@pytest.mark.parametrize("loss", LOSSES)
def test_severity(loss):
    assert severity_of(ear_of(loss)) == CATEGORY[theirs.audiogram_of(loss).severity]


def test_the_losses_cover_all_severities():
    assert {theirs.audiogram_of(loss).severity for loss in LOSSES} == set(CATEGORY)


@pytest.mark.parametrize("inverse", [False, True])
def test_the_ear_alone(speech, inverse):
    found = to_cochlea(speech, theirs.RATE, inverse=inverse, design="windowed")
    wanted = theirs.to_cochlea(speech, inverse)
    np.testing.assert_allclose(found, wanted, atol=1e-8 * np.abs(wanted).max())


@pytest.mark.parametrize("loss", ["mild", "moderate", "moderate-severe"])
def test_smearing_alone(speech, loss):
    found, wanted = get_filter("smearing")(ear_of(loss), sample_rate=theirs.RATE)(speech), theirs.smear(speech, loss)
    inner = slice(256, -256)  # their first frame begins with the sound, ours before it
    assert np.std((found - wanted)[inner]) < 1e-3 * np.std(wanted)
    assert_within(found, wanted, LEVEL, 0.05, 25)
    smearer = theirs.simulator(loss, LEVEL).cochlea.smearer
    matrix = smearing_matrix(256, theirs.RATE / 512, smearer.rl, smearer.ru)
    np.testing.assert_allclose(matrix, smearer.f_smear, atol=3e-3)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_whole_simulation(speech, loss):
    one = get_filter("msbg")(ear_of(loss), sample_rate=theirs.RATE, level=LEVEL)
    found = one(speech * theirs.presented_gain(speech))
    assert_within(found, theirs.hear(speech, loss, LEVEL), LEVEL, 0.5, 5)


@pytest.mark.parametrize(("speech_level", "below"), [(50, 20_000), (80, 20_000), (95, 14_000)])
@pytest.mark.parametrize("loss", ["mild", "moderate", "moderate-severe"])
def test_softer_and_louder(speech, loss, speech_level, below):
    # at 95 dB SPL their band at 16 kHz holds clicks, at some 5 dB SPL, of gains that jump where an envelope, smoothed
    # below 0, is set to 1e-9: they go when it is set to 1e-4 of its maximum
    level = LEVEL + speech_level - 65
    one = get_filter("msbg")(ear_of(loss), sample_rate=theirs.RATE, level=level)
    found = one(speech * theirs.presented_gain(speech))
    assert_within(found, theirs.hear(speech, loss, level), level, 0.5, 5, below)


def test_losses_above_80_db(speech):
    loss, level = "Bisgaard N6", LEVEL + 35
    one = get_filter("msbg")(ear_of(loss), sample_rate=theirs.RATE, level=level, max_loss=104)
    found = one(speech * theirs.presented_gain(speech))
    assert_within(found, theirs.hear(speech, loss, level), level, 0.5, 5)


def test_what_they_do_not_bear_is_heard_here():
    one = get_filter("msbg")(ear_of("moderate"), sample_rate=theirs.RATE, level=LEVEL)
    silence = np.zeros(theirs.RATE // 2)
    with pytest.warns(RuntimeWarning):
        assert np.isnan(theirs.hear(silence, "moderate", LEVEL)).any()
    assert not one(silence).any()
    tone = np.sin(2 * np.pi * 1000 * np.arange(theirs.RATE // 2) / theirs.RATE)
    assert np.isfinite(one(tone)).all()
