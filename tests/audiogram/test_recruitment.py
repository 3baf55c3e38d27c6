"""Recruitment: input and output levels against theory, catch-up, what it leaves alone, and bad input."""

import warnings

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiogram import Audiogram, get_filter, preset
from audiogram.errors import AudiogramWarning, InputError
from audiogram.filters.recruitment import Recruitment, expansion_exponents
from audiogram.reference_thresholds import reference_threshold

RATE = 16_000
SLOPE = Audiogram([250, 1000, 4000], [10, 30, 60])


def flat(loss):
    return Audiogram([125, 8000], [loss, loss])


def noise(*shape, seed=0, dtype=np.float64):
    return (0.1 * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def tone(frequency, rate=RATE, seconds=0.6):
    """A tone whose RMS is 1."""
    return np.sqrt(2) * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)


def level_of(y, rate=RATE):
    """Level in dB re 1 of the steady part."""
    steady = slice(int(0.2 * rate), -int(0.2 * rate))
    return 20 * np.log10(np.std(y[steady]))


def output(ear, frequency, level, rate=RATE, **options):
    """Output level in dB SPL for a tone at `level`."""
    one = Recruitment(ear, sample_rate=rate, level=level, **options)
    return level + level_of(one(tone(frequency, rate)), rate)


@pytest.mark.parametrize("loss", [20, 40, 60])
@pytest.mark.parametrize("frequency", [250, 500, 1000, 2000, 4000, 6000])
def test_slopes_are_those_of_theory(loss, frequency):
    levels = np.array([40.0, 60.0, 80.0, 95.0])
    levels = levels[levels > loss]
    outputs = [output(flat(loss), frequency, level) for level in levels]
    slopes = np.diff(outputs) / np.diff(levels)
    np.testing.assert_allclose(slopes, 105 / (105 - loss), atol=0.005)


@pytest.mark.parametrize("bank", ["mild", "moderate", "severe"])
@pytest.mark.parametrize(("loss", "each", "average"), [(20, 0.8, 0.3), (40, 1.8, 0.4), (60, 3.0, 0.5)])
def test_levels_are_those_of_theory_on_average_over_frequency(bank, loss, each, average):
    frequencies = np.geomspace(250, 6000, 16)
    rows = np.stack([tone(f) for f in frequencies])
    heard = Recruitment(flat(loss), sample_rate=RATE, level=75, bank=bank)(rows)
    off = [75 + level_of(y) - (105 - 30 * 105 / (105 - loss)) for y in heard]
    assert np.abs(off).max() < each
    assert abs(np.mean(off)) < average


@pytest.mark.parametrize("loss", [20, 40, 60, 80])
def test_loud_sound_is_as_loud_as_ever(loss):
    for frequency in (250, 1000, 4000):
        # the tone's own channel has caught up at 105 dB, those beside it, in which it is softer, some 20 dB above
        found = [output(flat(loss), frequency, level) - level for level in (105, 115, 130)]
        np.testing.assert_array_less(np.abs(found), [1 + loss / 20, 1, 0.2])
        assert output(flat(loss), frequency, 95) < 95 - 10 * loss / (105 - loss) + 2.5
    x = noise(8000)
    y = Recruitment(flat(loss), sample_rate=RATE, level=160)(x)
    steady = slice(1000, -1000)  # the envelope falls at the ends of a clip
    np.testing.assert_allclose(y[steady], x[steady], atol=0.02 * x.std())


def test_at_another_rate_the_same():
    for rate in (8_000, 22_050, 44_100, 48_000):
        for frequency in (500, 3000):
            assert output(SLOPE, frequency, 70, rate) == pytest.approx(output(SLOPE, frequency, 70, RATE), abs=0.5)


def test_a_tone_far_below_threshold_is_lost():
    assert output(flat(60), 1000, 50) < -10
    assert output(flat(60), 1000, 0) < -100
    assert output(flat(60), 1000, -90) < -200


def test_the_loss_at_a_frequency_is_that_of_the_audiogram_there():
    ear = Audiogram([500, 4000], [0, 60])
    assert output(ear, 300, 50) == pytest.approx(50, abs=0.4)
    assert output(ear, 5000, 70) == pytest.approx(105 - 35 * 105 / 45, abs=2)
    between = 20.0 + 20.0  # two octaves of three above 500 Hz
    assert output(ear, 2000, 70) == pytest.approx(105 - 35 * 105 / (105 - between), abs=2)
    assert output(ear, 2000, 70, interpolation="linear") > output(ear, 2000, 70) + 5


@pytest.mark.parametrize("reference", ["free_field", "hda200"])
def test_thresholds_relative_to_a_field(reference):
    for frequency in (250, 1000, 4000):
        normal = float(reference_threshold(frequency, reference))
        found = output(flat(40), frequency, 60 + normal, reference=reference)
        assert found == pytest.approx(output(flat(40), frequency, 60) + normal, abs=1)


def test_no_loss_changes_no_sample():
    x = noise(2, 3001)
    for ear in (flat(0), flat(-10), [flat(0), flat(-5)]):
        one = Recruitment(ear, sample_rate=RATE, level=80)
        np.testing.assert_array_equal(one(x), x)
        np.testing.assert_array_equal(one(torch.from_numpy(x)).numpy(), x)
        assert one(x) is not x
    both = Recruitment([flat(0), flat(40)], sample_rate=RATE, level=80)(x)
    np.testing.assert_array_equal(both[0], x[0])
    assert np.abs(both[1]).max() < 0.5 * np.abs(x[1]).max()


@pytest.mark.parametrize(("rate", "share"), [(4, 1.0), (250, 0.5)])
def test_slow_changes_of_level_are_expanded_and_fast_ones_are_not(rate, share):
    """A tone that swings by 20 dB swings by 40 for a slope of 2, where the smoothed envelope follows; else by 20."""
    time = np.arange(2 * RATE) / RATE
    x = tone(1000, seconds=2) * 10 ** (-0.5 + 0.5 * np.sin(2 * np.pi * rate * time))
    y = Recruitment(flat(52.5), sample_rate=RATE, level=90, bank="severe")(x)
    middle = slice(RATE // 2, -RATE // 2)
    envelopes = [np.abs(scipy.signal.hilbert(z))[middle] for z in (x, y)]
    swing = [20 * np.log10(envelope.max() / envelope.min()) for envelope in envelopes]
    assert swing[0] == pytest.approx(20, abs=0.5)
    assert swing[1] == pytest.approx(40 * share, abs=4)


@settings(deadline=None, max_examples=15)
@given(
    samples=st.integers(1, 3000),
    level=st.floats(0, 130),
    bank=st.sampled_from(["mild", "moderate", "severe"]),
    thresholds=st.lists(st.floats(-10, 79), min_size=3, max_size=3),
    scale=st.sampled_from([0.0, 1e-30, 1e-6, 1.0, 1e6]),
)
def test_any_sound_stays_finite_and_is_never_louder(samples, level, bank, thresholds, scale):
    x = scale * noise(samples, seed=samples)
    one = Recruitment(Audiogram([250, 1000, 4000], thresholds), sample_rate=RATE, level=level, bank=bank)
    y = one(x)
    assert np.isfinite(y).all()
    assert (scale > 0) or not y.any()
    assert np.sum(np.square(y)) <= 1.3 * np.sum(np.square(x))
    np.testing.assert_allclose(one(torch.from_numpy(x)).numpy(), y, atol=1e-10 * max(np.abs(y).max(), 1e-300), rtol=0)
    np.testing.assert_allclose(one(x.astype(np.float32)), y, atol=2e-6 * np.abs(y).max() + 1e-37, rtol=0)


def test_silence_and_steady_tones():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = Recruitment(preset("normal"), sample_rate=44_100, level=100)
        assert not one(np.zeros(20_000)).any()
        assert not one(torch.zeros(2, 3000)).any()
        steady = one(tone(440, 44_100))
        assert np.isfinite(steady).all()
        gap = np.concatenate([tone(440), np.zeros(4 * RATE), tone(440)])
        y = Recruitment(flat(40), sample_rate=RATE, level=80)(gap)
        assert np.abs(y[2 * RATE : 4 * RATE]).max() < 1e-15


def test_an_impulse_stays_where_it_is():
    x = np.zeros(4000)
    x[2000] = 1.0
    for bank in ("mild", "moderate", "severe"):
        y = Recruitment(SLOPE, sample_rate=RATE, level=100, bank=bank)(x)
        assert np.argmax(np.abs(y)) == 2000


def test_every_row_has_its_own_ear_and_together_is_one_by_one():
    ears = [SLOPE, flat(0), preset("normal")]
    x = noise(3, 2, 2001)
    each = Recruitment(ears, sample_rate=RATE, level=75)(x)
    for row, ear in enumerate(ears):
        np.testing.assert_array_equal(each[row], Recruitment(ear, sample_rate=RATE, level=75)(x[row]))
    filters = [
        Recruitment(ears, sample_rate=RATE, level=75),
        Recruitment(SLOPE, sample_rate=RATE, level=60),
        Recruitment(SLOPE, sample_rate=RATE, level=60, bank="severe"),
        Recruitment(flat(0), sample_rate=RATE, level=60),
    ]
    wanted = np.stack([one(x) for one in filters])
    np.testing.assert_allclose(Recruitment.together(filters, x), wanted, atol=1e-15)
    tensors = Recruitment.together(filters, torch.from_numpy(x))
    np.testing.assert_allclose(tensors.numpy(), wanted, atol=1e-12)


def test_views_and_other_precisions():
    one = Recruitment(SLOPE, sample_rate=RATE, level=75)
    x = noise(1500, 2)
    np.testing.assert_array_equal(one(x.T[:, ::-1]), one(np.ascontiguousarray(x.T[:, ::-1])))
    for dtype, atol in ((np.float16, 1e-3), (np.longdouble, 1e-15), (">f4", 1e-6)):
        y = one(x.T.astype(dtype))
        assert y.dtype == np.dtype(dtype)
        np.testing.assert_allclose(y.astype(float), one(x.T), atol=atol)
    assert one(torch.from_numpy(x.T.copy()).to(torch.bfloat16)).dtype == torch.bfloat16
    assert one(np.zeros((0, 5))).shape == (0, 5)
    assert one(torch.zeros(0, 5)).shape == (0, 5)


def test_gradients_of_sound_and_thresholds():
    one = Recruitment([SLOPE, flat(35)], sample_rate=2_000, level=90, bank="severe")
    x = torch.from_numpy(noise(2, 50)).requires_grad_()
    assert torch.autograd.gradcheck(one, (x,))
    module = Recruitment(SLOPE, sample_rate=2_000, level=90, bank="severe").module()
    thresholds = torch.tensor([[12.0, 31.0, 57.0], [42.0, 33.0, 21.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, (x, thresholds))
    silent = torch.zeros(2, 50, requires_grad=True)
    module(silent, thresholds).sum().backward()
    assert silent.grad.isfinite().all()
    assert thresholds.grad.isfinite().all()


def test_a_threshold_can_be_learned_from_what_comes_out():
    x = torch.from_numpy(noise(1, 1600))
    wanted = Recruitment(flat(40), sample_rate=4_000, level=90, bank="severe")(x)
    module = Recruitment(flat(25), sample_rate=4_000, level=90, bank="severe").module(trainable=True)
    optimiser = torch.optim.Adam(module.parameters(), lr=2.0)
    losses = []
    for _ in range(25):
        optimiser.zero_grad()
        losses.append((module(x) - wanted).square().sum())
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < 0.05 * losses[0]


def test_high_losses_are_limited_with_a_warning():
    high = Audiogram([250, 4000], [30, 110])
    with pytest.warns(AudiogramWarning, match="up to 110 dB HL for 80"):
        limited = Recruitment(high, sample_rate=RATE, level=90)
    x = noise(2000)
    assert np.isfinite(limited(x)).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Recruitment(flat(80), sample_rate=RATE, level=90)
        Recruitment(flat(100), sample_rate=RATE, level=90, max_loss=100)
    assert expansion_exponents(np.array([110.0]), 100.0) == 20.0
    loud = output(flat(79.99), 1000, 90)
    with pytest.warns(AudiogramWarning, match="would be infinite"):
        assert output(flat(105), 1000, 90) == pytest.approx(loud, abs=0.05)
    assert output(flat(100), 1000, 100, max_loss=100) < loud + 10


def test_what_it_says_of_itself():
    cls = get_filter("recruitment")
    assert cls is Recruitment
    assert (cls.linear, cls.level_dependent, cls.adds_noise) == (False, True, False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"level": "loud"}, "dB SPL of a signal whose RMS is 1"),
        ({"level": 1000}, "between -100 and 200"),
        ({"bank": "mids"}, "unknown bank 'mids'"),
        ({"reference": "field"}, "unknown reference of levels 'field'"),
        ({"interpolation": "cubic"}, "unknown interpolation"),
        ({"max_loss": 105}, "between 0 and 104"),
        ({"max_loss": 0}, "no loss at all"),
        ({"max_loss": None}, "max_loss, in dB HL"),
        ({"sample_rate": 0}, "positive number of Hz"),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(InputError, match=words):
        Recruitment(SLOPE, **{"sample_rate": RATE, "level": 80, **options})


def test_ears_and_rows_must_agree():
    two = Recruitment([SLOPE, SLOPE], sample_rate=RATE, level=80)
    for x in (np.zeros((3, 100)), torch.zeros(3, 100)):
        with pytest.raises(InputError, match="2 audiograms, one per row"):
            two(x)
    with pytest.raises(InputError, match="no filter to apply"):
        Recruitment.together([], np.zeros(100))
