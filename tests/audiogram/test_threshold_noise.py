"""The audibility floor: how loud it is, what it hides, whose it is, and what it cannot give back."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiogram import Audiogram, Condition, apply_conditions, get_filter, preset, presets
from audiogram.errors import InputError
from audiogram.filters.threshold_noise import ThresholdNoise, detection_ratio
from audiogram.reference_thresholds import reference_threshold
from audiogram.scales import erb_bandwidth

RATE = 16_000
LEVEL = 100.0
FLAT = Audiogram([125, 8000], [40, 40])
STEEP = Audiogram([250, 1000, 2000, 4000, 8000], [10, 15, 45, 65, 70])
EARS = {"flat": FLAT, "high": preset("hfloss"), "low": preset("lfloss"), "steep": STEEP}


def auditory_filter(centre, frequencies):
    """Weights in power of the normal auditory filter, a rounded exponential; written out as in the paper."""
    p = 4 * centre / erb_bandwidth(centre)
    away = p * np.abs(frequencies - centre) / centre
    return (1 + away) * np.exp(-away)


def threshold_spl(ear, frequency):
    return float(ear.at(frequency)) + float(reference_threshold(frequency))


def powers_in_band(rows, centre):
    """Power at the output of the auditory filter, dB SPL being 10 log10 of it plus `LEVEL`."""
    window = np.hanning(rows.shape[-1])  # without it, a loud band would leak into one 90 dB below
    spectrum = 2 * np.abs(np.fft.rfft(rows * window)) ** 2 / (rows.shape[-1] * np.square(window).sum())
    return (spectrum * auditory_filter(centre, np.fft.rfftfreq(rows.shape[-1], 1 / RATE))).sum(axis=-1)


def tone(frequency, level_db, samples):
    """A tone of a level in dB re an RMS of 1."""
    return 10 ** (level_db / 20) * np.sqrt(2) * np.sin(2 * np.pi * frequency * np.arange(samples) / RATE)


def detectability(with_tone, without):
    """d' of an observer of the energy in one band."""
    return (with_tone.mean() - without.mean()) / np.sqrt((with_tone.var() + without.var()) / 2)


@pytest.mark.parametrize("ear", [*EARS.values(), *map(preset, presets())], ids=[*EARS, *presets()])
@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_a_tone_at_threshold_is_just_masked_at_every_frequency(ear, rate):
    floor = ThresholdNoise(ear, sample_rate=rate, level=LEVEL)
    density = floor.gains[0] ** 2 * 2 / rate  # power per Hz
    step = floor.frequencies[1]
    differences = []
    for frequency in np.geomspace(160, 7000 if rate == RATE else 8000, 40):
        noise = (density * auditory_filter(frequency, floor.frequencies)).sum() * step
        masked = LEVEL + 10 * np.log10(noise) + detection_ratio(frequency)
        differences.append(masked - threshold_spl(ear, frequency))
    assert np.abs(differences).max() < 0.8
    assert np.median(np.abs(differences)) < 0.2


@pytest.mark.parametrize("ear", EARS.values(), ids=EARS)
def test_the_noise_that_comes_out_has_that_spectrum(ear):
    noise = ThresholdNoise(ear, sample_rate=RATE, level=LEVEL)(np.zeros(60 * RATE), keys="a")
    for frequency in (180, 250, 500, 1000, 2000, 4000, 6000):
        found = LEVEL + 10 * np.log10(powers_in_band(noise, frequency)) + detection_ratio(frequency)
        assert found == pytest.approx(threshold_spl(ear, frequency), abs=0.7)  # 60 s of it: 0.1 dB is chance


def test_the_noise_in_float32_is_right_90_db_below_its_loudest_band():
    noise = ThresholdNoise(preset("lfloss"), sample_rate=RATE, level=LEVEL)(np.zeros(20 * RATE, np.float32), keys="a")
    found = LEVEL + 10 * np.log10(powers_in_band(noise.astype(np.float64), 7000))
    assert found == pytest.approx(threshold_spl(preset("lfloss"), 7000), abs=0.5)


def test_level_threshold_and_transducer_move_the_noise_by_their_decibels():
    base = ThresholdNoise(FLAT, sample_rate=RATE, level=LEVEL).gains
    for other in (
        ThresholdNoise(FLAT, sample_rate=RATE, level=LEVEL - 10),
        ThresholdNoise(Audiogram([125, 8000], [50, 50]), sample_rate=RATE, level=LEVEL),
    ):
        np.testing.assert_allclose(other.gains / base, 10**0.5, rtol=1e-12)
    phones = ThresholdNoise(FLAT, sample_rate=RATE, level=LEVEL, transducer="tdh39")
    at = np.searchsorted(phones.frequencies, 1000)
    wanted = reference_threshold(1000, "tdh39") - reference_threshold(1000)
    assert 20 * np.log10(phones.gains[0, at] / base[0, at]) == pytest.approx(float(wanted), abs=0.3)


@pytest.mark.parametrize("ear", EARS.values(), ids=EARS)
@pytest.mark.parametrize("frequency", [250, 500, 1000, 2000, 4000])
def test_ten_decibels_above_threshold_stay_and_ten_below_are_lost(ear, frequency):
    samples, looks = RATE // 5, 200  # 200 ms, as long as an ear adds up energy
    floor = ThresholdNoise(ear, sample_rate=RATE, level=LEVEL)
    keys = [str(i) for i in range(looks)]
    silence = powers_in_band(floor(np.zeros((looks, samples)), keys=keys), frequency)
    found = {}
    for above in (10, -10):
        sound = np.tile(tone(frequency, threshold_spl(ear, frequency) + above - LEVEL, samples), (looks, 1))
        heard = powers_in_band(floor(sound, keys=[f"{k} again" for k in keys]), frequency)
        found[above] = detectability(heard, silence)
    assert found[10] > 5
    assert found[-10] < 1


def test_attenuation_alone_gives_back_what_this_hides():
    ear, frequency = FLAT, 1000
    x = tone(frequency, threshold_spl(ear, frequency) - 10 - LEVEL, RATE).astype(np.float32)
    amplified = get_filter("attenuation")(ear, sample_rate=RATE)(x) * np.float32(100)
    np.testing.assert_allclose(amplified, x, atol=1e-6 * x.max())  # 40 dB down and up: there to the last bits
    hidden = ThresholdNoise(ear, sample_rate=RATE, level=LEVEL)(x, keys="a")
    rest = hidden - x
    assert powers_in_band(rest, frequency) > 5 * powers_in_band(x, frequency)
    for gain in (1e-3, 1e3):  # and no gain brings it out
        ratio = powers_in_band(gain * hidden, frequency) / powers_in_band(gain * rest, frequency)
        assert ratio < 2


def test_the_sound_itself_passes_unchanged():
    x = np.random.default_rng(1).standard_normal((2, 5000))
    floor = ThresholdNoise(STEEP, sample_rate=RATE, level=LEVEL)
    keys = ["a", "b"]
    np.testing.assert_allclose(floor(x, keys=keys) - floor(np.zeros_like(x), keys=keys), x, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 2**40), st.text(max_size=8))
def test_a_longer_clip_begins_with_the_noise_of_a_shorter_one(short, more, seed, key):
    floor = ThresholdNoise(STEEP, sample_rate=RATE, level=LEVEL, seed=seed)
    one, other = (floor(np.zeros(n), keys=key) for n in (short, short + more))
    np.testing.assert_allclose(one, other[:short], atol=1e-9 * np.abs(other).max())


def test_padding_a_batch_changes_no_clip():
    clips = [np.random.default_rng(i).standard_normal(n) for i, n in enumerate((3000, 1234, 17))]
    batch = np.stack([np.pad(clip, (0, 3000 - len(clip))) for clip in clips])
    floor = ThresholdNoise(FLAT, sample_rate=RATE, level=80.0)
    for clip, row in zip(clips, floor(batch), strict=True):
        np.testing.assert_allclose(row[: len(clip)], floor(clip), atol=1e-12)


def test_seed_and_key_are_all_that_the_noise_depends_on():
    silence = np.zeros((3, 500))
    first = ThresholdNoise(FLAT, sample_rate=RATE, level=LEVEL)
    a, b, c = first(silence, keys=["a", "b", "c"])
    assert len({one.tobytes() for one in (a, b, c)}) == 3
    np.testing.assert_allclose(first(silence[:2], keys=["c", "a"]), [c, a], atol=1e-15)
    again = ThresholdNoise(FLAT, sample_rate=RATE, level=LEVEL, seed=1)
    assert not np.allclose(again(silence[0], keys="a"), a, atol=1e-6)
    correlation = np.corrcoef([a, b, c, again(silence[0], keys="a")])
    assert np.abs(correlation - np.eye(4)).max() < 0.5


def test_a_short_row_is_not_one_period_of_its_noise():
    # a circular filter would make every clip end as it begins: here the ends of 20 ms clips are independent
    floor = ThresholdNoise(Audiogram([125, 250, 8000], [90, 20, 20]), sample_rate=RATE, level=LEVEL)
    noise = floor(np.zeros((400, 320)), keys=[str(i) for i in range(400)])
    assert noise[:, 0].std() == pytest.approx(noise[:, 160].std(), rel=0.2)
    assert np.corrcoef(noise[:, 0], noise[:, 1])[0, 1] > 0.9  # slow noise: neighbours agree
    assert abs(np.corrcoef(noise[:, 0], noise[:, -1])[0, 1]) < 0.6


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 48_000])
def test_any_sampling_rate_has_the_same_noise_in_the_bands_that_it_has(rate):
    floor = ThresholdNoise(preset("hfloss"), sample_rate=rate, level=LEVEL)
    reference = ThresholdNoise(preset("hfloss"), sample_rate=32_000, level=LEVEL)
    frequencies = np.geomspace(100, 3000, 50)
    ours, wanted = (
        np.interp(frequencies, one.frequencies, one.gains[0] / np.sqrt(one.sample_rate)) for one in (floor, reference)
    )
    # gain**2 * 2 / rate is the density, so gain / sqrt(rate) is the same at every rate
    np.testing.assert_allclose(20 * np.log10(ours / wanted), 0, atol=0.3)


def test_gradients_in_the_thresholds():
    module = ThresholdNoise(Audiogram([500, 2000], [30, 50]), sample_rate=2000, level=60.0).module(trainable=True)
    x = torch.randn(2, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    thresholds = torch.tensor([[30.0, 50.0], [45.0, 20.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: module(a, b, keys=["a", "b"]), (x, thresholds))
    noise = module(torch.zeros(2, 400, dtype=torch.float64), keys=["a", "b"])
    noise.square().mean().log10().mul(10).backward()
    # 1 dB more threshold everywhere is 1 dB more noise
    assert float(module.thresholds.grad.sum()) == pytest.approx(1, rel=1e-6)


def test_conditions_hear_the_floor_at_their_level():
    x = 0.05 * np.random.default_rng(3).standard_normal((2, 8000))
    one = Condition("floor", STEEP, "threshold_noise", {"seed": 5}, level={"full_scale_dbspl": LEVEL})
    direct = ThresholdNoise(STEEP, sample_rate=RATE, level=LEVEL, seed=5)
    np.testing.assert_allclose(one(x, RATE, keys=["a", "b"]), direct(x, keys=["a", "b"]), atol=1e-15)
    # speech at a level: the scale comes back, so halving the clip leaves the ratio of speech to floor as it was
    speech = Condition("floor", STEEP, "threshold_noise", level={"speech_dbspl": 60})
    np.testing.assert_allclose(
        speech(0.5 * x, RATE, keys=["a", "b"]), 0.5 * speech(x, RATE, keys=["a", "b"]), rtol=1e-9
    )
    # array and tensor, alone and in a batch, with keys and without
    together = apply_conditions(x, RATE, [speech, "hfloss", one])
    for i, heard in ((0, speech), (2, one)):
        np.testing.assert_allclose(together[i], heard(x, RATE), atol=1e-14)
        np.testing.assert_allclose(together[i, 1], heard(x[1], RATE), atol=1e-14)
        np.testing.assert_allclose(heard(torch.from_numpy(x), RATE).numpy(), together[i], atol=1e-13)


def test_a_masker_and_the_floor_of_one_clip_are_not_the_same_noise():
    x = 0.1 * np.random.default_rng(0).standard_normal(20_000)
    white = Condition("w", Audiogram([1000], [0]), noise={"kind": "white", "snr_db": 0})
    floor = Condition("f", FLAT, "threshold_noise", level={"full_scale_dbspl": 60})
    a, b = (one(x, RATE, keys="clip") - x for one in (white, floor))
    spectra = [np.fft.rfft(one) for one in (a, b)]
    coherence = np.abs(np.vdot(*spectra)) / np.sqrt(np.prod([np.vdot(s, s).real for s in spectra]))
    assert coherence < 0.1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"seed": -1}, "seed is a whole number, 0 or more, got -1"),
        ({"seed": 1.5}, "seed is a whole number"),
        ({"transducer": "tdh"}, "unknown transducer.*Did you mean 'tdh39'"),
        ({"interpolation": "cubic"}, "unknown interpolation 'cubic'"),
        ({"level": float("nan")}, "number between -100 and 200"),
        ({"level": None}, "number between -100 and 200"),
    ],
)
def test_no_floor_from(values, words):
    with pytest.raises(InputError, match=words):
        ThresholdNoise(FLAT, **{"sample_rate": RATE, "level": LEVEL, **values})


def test_bad_calls():
    floor = ThresholdNoise(FLAT, sample_rate=RATE, level=LEVEL)
    with pytest.raises(InputError, match="keys names 2 clips, but the sound has 1"):
        floor(np.zeros(10), keys=["a", "b"])
    with pytest.raises(InputError, match="depends on level; give level"):
        Condition("c", FLAT, "threshold_noise")
    with pytest.raises(InputError, match="given beside the options"):
        Condition("c", FLAT, "threshold_noise", {"level": 60}, level={"speech_dbspl": 60})


def test_arrays_need_no_torch():
    code = (
        "import sys, numpy as np; from audiogram import get_filter, preset\n"
        "f = get_filter('threshold_noise')(preset('hfloss'), sample_rate=16_000, level=100)\n"
        "f(np.zeros(100)); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
