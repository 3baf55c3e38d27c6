"""Spectral smearing: the matrix by its definition, a naive loop, what happens to harmonics, tensors and gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiogram import Audiogram, Condition, get_filter, preset
from audiogram.errors import InputError
from audiogram.filters.severity import severity_of, severity_of_average
from audiogram.filters.smearing import BROADENING, Smearing
from audiogram.kernels.smearing import _smear
from audiogram.kernels.smearing_frames import frame_of, smearing_matrix
from audiogram.kernels.smearing_lanes import smear_in_lanes
from audiogram.kernels.torch_smearing import smear as torch_smear

RATE = 16_000
FLAT = {name: Audiogram([500, 2000, 8000], [loss] * 3) for name, loss in
        (("none", 10), ("mild", 25), ("moderate", 45), ("severe", 70))}  # fmt: skip


def noise(*shape, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal(shape)


def roex(centre, hz, lower, upper):
    """One weight of an auditory filter, as the paper writes it."""
    erb = 24.7 * (4.37 * centre / 1000 + 1)
    p = 4 * centre / (erb * (lower if hz < centre else upper))
    g = abs(hz - centre) / centre if centre else 0.0
    return (1 + p * g) * np.exp(-p * g)


def naive(x, matrix, frame):
    """Frame by frame, as one would write it down."""
    hop = frame // 4
    window = (0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(frame) + 0.5) / frame)) / np.sqrt(1.5)
    padded = np.concatenate([np.zeros(frame), x, np.zeros(2 * frame)])
    total = np.zeros(len(padded))
    for start in range(hop, len(padded) - frame, hop):
        spectrum = np.fft.rfft(padded[start : start + frame] * window, 2 * frame)
        magnitude = np.sqrt(np.maximum(matrix @ np.abs(spectrum[:frame]) ** 2, 0))
        shaped = np.append(magnitude * np.exp(1j * np.angle(spectrum[:frame])), 0)
        total[start : start + frame] += np.fft.irfft(shaped)[:frame] * window
    return total[frame : frame + len(x)]


@settings(deadline=None, max_examples=25)
@given(
    samples=st.integers(1, 1500),
    severity=st.sampled_from(["mild", "moderate", "severe"]),
    rate=st.sampled_from([1000, 8000, 16_000]),
)
def test_equals_the_naive_loop(samples, severity, rate):
    one = Smearing(FLAT["none"], sample_rate=rate, severity=severity)
    frame = frame_of(rate)
    x = noise(samples, seed=samples)
    wanted = naive(x, smearing_matrix(frame, rate / 2 / frame, *BROADENING[severity]), frame)
    np.testing.assert_allclose(one(x), wanted, atol=1e-12)
    np.testing.assert_allclose(one(torch.from_numpy(x)).numpy(), wanted, atol=1e-12)


@pytest.mark.parametrize("severity", ["mild", "moderate", "severe"])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_normal_ears_hear_of_the_smeared_what_broadened_filters_make_of_the_original(severity, rate):
    frame = frame_of(rate)
    step = rate / 2 / frame
    lower, upper = BROADENING[severity]
    matrix = smearing_matrix(frame, step, lower, upper)
    power = np.random.default_rng(1).uniform(0, 1, frame) * np.linspace(1, 0.01, frame)
    for centre in range(8, frame * 3 // 4, 7):
        hz = step * np.arange(frame)
        normal = np.array([roex(step * centre, f, 1, 1) for f in hz])
        broad = np.array([roex(step * centre, f, lower, upper) for f in hz]) / ((lower + upper) / 2)
        assert normal @ (matrix @ power) == pytest.approx(broad @ power, rel=1e-3)


def test_no_broadening_smears_nothing():
    matrix = smearing_matrix(92, RATE / 184, 1.0, 1.0)
    np.testing.assert_allclose(matrix[:46, :46], np.eye(46), atol=1e-6)
    x = noise(2000)
    np.testing.assert_array_equal(Smearing(FLAT["severe"], sample_rate=RATE, broadening=(1, 1))(x), x)
    np.testing.assert_array_equal(Smearing(FLAT["none"], sample_rate=RATE)(x), x)
    np.testing.assert_array_equal(Smearing(FLAT["none"], sample_rate=RATE)(torch.from_numpy(x)).numpy(), x)


def test_valleys_between_harmonics_fill_with_severity():
    at = np.arange(RATE) / RATE
    x = sum(np.cos(2 * np.pi * 400 * k * at + k * k) for k in range(1, 15))
    depths = []
    for severity in ("none", "mild", "moderate", "severe"):
        y = Smearing(FLAT[severity], sample_rate=RATE)(x)
        power = np.abs(np.fft.rfft(y * np.hanning(len(y)))) ** 2
        peaks = sum(power[400 * k - 60 : 400 * k + 60].sum() for k in range(2, 14))
        valleys = sum(power[400 * k + 140 : 400 * k + 260].sum() for k in range(2, 14))
        depths.append(10 * np.log10(peaks / valleys))
    assert depths == sorted(depths, reverse=True)
    assert depths[0] > 60
    assert depths[1] < 40
    assert depths[3] < depths[1] - 3


@pytest.mark.parametrize("severity", ["mild", "moderate", "severe"])
def test_broad_levels_are_kept(severity):
    x = noise(4 * RATE)
    y = Smearing(FLAT[severity], sample_rate=RATE)(x)
    before, after = np.abs(np.fft.rfft(x)) ** 2, np.abs(np.fft.rfft(y)) ** 2
    for low in (500, 1000, 2000, 4000):
        band = slice(4 * low, 8 * low)
        assert 10 * np.log10(after[band].sum() / before[band].sum()) == pytest.approx(0, abs=1.6)


def test_both_ends_are_heard_as_the_middle():
    power = np.mean([Smearing(FLAT["mild"], sample_rate=RATE)(noise(3000, seed=i)) ** 2 for i in range(60)], axis=0)
    middle = power[500:2500].mean()
    assert power[:23].mean() == pytest.approx(middle, rel=0.15)
    assert power[-23:].mean() == pytest.approx(middle, rel=0.15)


@pytest.mark.parametrize("gain", [-1.0, 0.003, 250.0])
def test_louder_in_louder_out(gain):
    one = Smearing(FLAT["severe"], sample_rate=RATE)
    x = noise(2500)
    np.testing.assert_allclose(one(gain * x), gain * one(x), atol=1e-13 * abs(gain))


def test_shifting_by_whole_hops_shifts_the_output():
    one = Smearing(FLAT["moderate"], sample_rate=RATE)
    x = np.zeros(3000)
    x[600:1600] = noise(1000)
    np.testing.assert_allclose(one(np.roll(x, 23 * 7)), np.roll(one(x), 23 * 7), atol=1e-14)


def test_silence_and_steady_tones():
    one = Smearing(FLAT["severe"], sample_rate=RATE)
    x = np.zeros((3, 4000))
    x[1] = np.sin(2 * np.pi * 1000 * np.arange(4000) / RATE)
    y = one(x)
    assert not y[[0, 2]].any()
    assert np.isfinite(y).all()
    assert np.std(y[1]) == pytest.approx(np.std(x[1]), rel=0.2)
    assert not one(torch.zeros(2, 500)).any()
    tensor = torch.zeros(2, 500, requires_grad=True)
    one(tensor).sum().backward()
    assert tensor.grad.isfinite().all()


@pytest.mark.parametrize(
    ("average", "severity"),
    [
        (-10, "none"),
        (15, "none"),
        (15.01, "mild"),
        (35, "mild"),
        (35.01, "moderate"),
        (56, "moderate"),
        (56.01, "severe"),
    ],
)
def test_categories(average, severity):
    assert severity_of_average(average) == severity
    assert severity_of(Audiogram([2000, 4000], [average - 5, average + 5])) == severity


def test_the_average_is_of_what_was_measured_from_2_to_8_khz():
    assert severity_of(Audiogram([250, 1000, 2000, 3000, 8000, 12_500], [90, 90, 20, 30, 40, 90])) == "mild"
    assert severity_of(Audiogram([250, 1000], [10, 60])) == "severe"
    # between 30 and 60 on the logarithm: (39.0 + 48.1 + 57.1) / 3
    assert severity_of(Audiogram([1000, 10_000], [30, 60])) == "moderate"
    assert severity_of(preset("lfloss")) == "mild"
    with pytest.raises(InputError, match="NaN"):
        severity_of_average(float("nan"))


def test_every_row_has_its_own_severity():
    # thresholds of both at all their frequencies would average 37.5 and 33.3, on the other side of a limit
    ears = [Audiogram([2000, 4000], [20, 50]), Audiogram([2000, 3000, 8000], [50, 20, 40]), *FLAT.values()]
    x = noise(len(ears), 2, 900)
    one = Smearing(ears, sample_rate=RATE)
    y = one(x)
    for row, ear in enumerate(ears):
        np.testing.assert_allclose(y[row], Smearing(ear, sample_rate=RATE)(x[row]), atol=1e-14)
    np.testing.assert_allclose(one(torch.from_numpy(x)).numpy(), y, atol=1e-13)
    same = Smearing(ears, sample_rate=RATE, severity="mild")(x)
    np.testing.assert_allclose(same, Smearing(ears[0], sample_rate=RATE, severity="mild")(x), atol=1e-14)
    np.testing.assert_allclose(
        Smearing(ears, sample_rate=RATE, broadening=(1.6, 1.1))(torch.from_numpy(x)).numpy(), same, atol=1e-13
    )


def test_thresholds_of_a_module_choose_the_severity():
    module = Smearing(FLAT["mild"], sample_rate=RATE).module(trainable=True)
    x = torch.from_numpy(noise(2, 800)).requires_grad_()
    given_rows = torch.tensor([FLAT["severe"].thresholds, FLAT["none"].thresholds], dtype=torch.float64)
    y = module(x, given_rows).detach().numpy()
    np.testing.assert_allclose(y[0], Smearing(FLAT["severe"], sample_rate=RATE)(x[0].detach().numpy()), atol=1e-14)
    np.testing.assert_array_equal(y[1], x[1].detach().numpy())
    module(x).square().sum().backward()
    assert x.grad.abs().sum() > 0
    assert not module.thresholds.grad.any()  # piecewise constant


def test_gradients():
    matrix = torch.from_numpy(smearing_matrix(8, 62.5, 2.4, 1.6).copy())
    x = torch.from_numpy(noise(2, 21)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: torch_smear(x, matrix, 8), (x,))


@settings(deadline=None, max_examples=20)
@given(rate=st.floats(200, 200_000), samples=st.integers(1, 400))
def test_any_rate(rate, samples):
    frame = frame_of(rate)
    assert frame % 4 == 0
    assert frame >= 8
    assert abs(frame - rate * 256 / 44_100) <= max(2.001, 8 - rate * 256 / 44_100)
    if rate < 50_000:  # larger matrices take seconds
        y = Smearing(FLAT["moderate"], sample_rate=round(rate, -3) or 200)(noise(samples))
        assert y.shape == (samples,)
        assert np.isfinite(y).all()


def test_in_a_condition():
    ear = Audiogram([2000, 4000], [40, 60])
    plain = Condition("blurred", ear, "smearing")
    assert dict(plain.options) == {"severity": "auto", "broadening": None}
    given_factors = Condition("blurred", ear, "smearing", {"broadening": [2.4, 1.6]})
    assert Condition.from_dict(given_factors.to_dict()) == given_factors
    x = noise(1000)
    np.testing.assert_array_equal(plain(x, RATE), given_factors(x, RATE))
    assert get_filter("smearing") is Smearing


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"severity": "sever"}, "Did you mean 'severe'"),
        ({"broadening": (2.4,)}, "two factors of 1 to 10"),
        ({"broadening": 2.4}, "two factors"),
        ({"broadening": (0.5, 1.0)}, "two factors"),
        ({"broadening": (2.0, 11.0)}, "two factors"),
        ({"broadening": (True, 2.0)}, "two factors"),
        ({"broadening": (float("nan"), 2.0)}, "two factors"),
        ({"broadening": (2.4, 1.6), "severity": "mild"}, "give one of them"),
        ({"sample_rate": -1}, "positive number of Hz"),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(InputError, match=words):
        Smearing(FLAT["mild"], **{"sample_rate": RATE, **options})


@pytest.mark.parametrize("name", ["none", "moderate"])
def test_tensors_are_new_and_thresholds_have_a_gradient_of_0(name):
    x = torch.from_numpy(noise(2, 1000))
    one = Smearing(FLAT[name], sample_rate=16_000)
    assert one(x).data_ptr() != x.data_ptr()
    module = one.module(trainable=True)
    module(x).square().sum().backward()
    assert not module.thresholds.grad.any()


@pytest.mark.parametrize(("dtype", "limit"), [(np.float64, 1e-12), (np.float32, 1e-6)])
@pytest.mark.parametrize("samples", [1, 64, 65, 3000, 20_000])
def test_frames_in_lanes_and_any_frames_are_smeared_alike(samples, dtype, limit):
    frame = frame_of(44_100)
    matrix = smearing_matrix(frame, 44_100 / (2 * frame), 2.4, 1.6).astype(dtype)
    x = noise(2, samples).astype(dtype)
    wanted = _smear(x, matrix, frame)
    np.testing.assert_allclose(smear_in_lanes(x, matrix, frame), wanted, atol=limit * np.abs(wanted).max(), rtol=0)
