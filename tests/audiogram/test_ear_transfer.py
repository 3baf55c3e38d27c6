"""Outer and middle ear: published figures, tones, inverses, clicks, and a filter written out as a convolution."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiogram.ear_transfer import ear_kernel, ear_response, fir_gains, low_passed_inverse, to_cochlea
from audiogram.errors import InputError
from audiogram.kernels.zero_phase import convolve, convolve_tensor

SOURCES = ("free_field", "diffuse_field", "ear_reference_point")


def gains(rate, source="free_field", inverse=False, design="windowed"):
    """Frequencies in Hz, and the gains there of a kernel, which is real because it turns no phase."""
    kernel = ear_kernel(float(rate), source, inverse, design)
    length = 1 << (4 * len(kernel)).bit_length()
    response = np.fft.rfft(np.roll(np.pad(kernel, (0, length - len(kernel))), -(len(kernel) // 2)))
    np.testing.assert_allclose(response.imag, 0, atol=1e-12 * np.abs(response).max())
    return np.fft.rfftfreq(length, 1 / rate), response.real


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize(
    ("source", "hz", "eardrum", "middle_ear"),
    [
        ("free_field", 1000, 2.6, 2.6),
        ("free_field", 2500, 16.8, 10.4),
        ("free_field", 100, 0.0, 12.4),
        ("diffuse_field", 4000, 12.7, 6.6),
        ("diffuse_field", 12_500, 4.0, 15.0),
        ("ear_reference_point", 3150, 10.3, 7.0),
        ("ear_reference_point", 8000, 16.0, 12.2),
    ],
)
def test_published_figures(source, hz, eardrum, middle_ear):
    assert ear_response(hz, source) == pytest.approx(eardrum - middle_ear, abs=1e-9)


def test_the_response_is_held_outside_the_figures():
    np.testing.assert_allclose(ear_response([0, 5, 20]), -39.6)
    np.testing.assert_allclose(ear_response([20_000, 40_000, 90_000]), 2.5 - 50)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_tone_changes_by_the_response(source, rate):
    at = np.arange(rate) / rate
    for hz in (100, 500, 2500, 6300):
        tone = np.sin(2 * np.pi * hz * at)
        steady = slice(rate // 4, -rate // 4)
        for inverse, sign in ((False, 1), (True, -1)):
            inside = to_cochlea(tone, rate, source, inverse=inverse)
            level = 20 * np.log10(np.std(inside[steady]) / np.std(tone[steady]))
            assert level == pytest.approx(sign * ear_response(hz, source), abs=0.02), (hz, inverse)
            # zero phase: not even a fraction of a period late
            assert np.corrcoef(inside[steady], tone[steady])[0, 1] > 1 - 1e-5


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
def test_there_and_back_is_nothing(source, rate):
    x = np.zeros(2 * rate)
    x[rate // 2 : -rate // 2] = noise(rate)
    back = to_cochlea(to_cochlea(x, rate, source), rate, source, inverse=True)
    np.testing.assert_allclose(back, x, atol=2e-3 * np.abs(x).max())


@pytest.mark.parametrize("inverse", [False, True])
def test_the_windowed_filter_is_a_convolution_with_a_short_symmetric_filter(inverse):
    click = np.zeros(4001)
    click[2000] = 1
    taps = to_cochlea(click, 44_100, inverse=inverse, design="windowed")
    np.testing.assert_allclose(taps, taps[::-1], atol=1e-12)
    np.testing.assert_allclose(taps[: 2000 - 507], 0, atol=1e-9 * np.abs(taps).max())
    x = noise(5000)
    wanted = np.convolve(x, taps[2000 - 507 : 2001 + 507])[507:-507]
    np.testing.assert_allclose(to_cochlea(x, 44_100, inverse=inverse, design="windowed"), wanted, atol=1e-8)


@pytest.mark.parametrize("inverse", [False, True])
def test_the_windowed_filter_is_the_same_at_every_rate(inverse):
    at = np.arange(0, 7900, 37.0)
    wanted = np.interp(at, *gains(44_100, inverse=inverse))
    for rate in (16_000, 22_050, 48_000, 96_000):
        np.testing.assert_allclose(np.interp(at, *gains(rate, inverse=inverse)), wanted, rtol=2e-3)
    hz, held = gains(96_000, inverse=inverse)
    np.testing.assert_allclose(held[hz > 23_000], gains(44_100, inverse=inverse)[1][-1], rtol=2e-2)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("rate", [8000, 44_100])
def test_the_table_is_kept(source, inverse, rate):
    hz, found = gains(rate, source, inverse, "table")
    deviation = np.abs(20 * np.log10(found) - (-1 if inverse else 1) * ear_response(hz, source))
    assert deviation[hz > 50].max() < 0.02
    assert deviation.max() < 0.5  # at 20 Hz, where the table ends and the response is held


def test_the_windowed_filter_is_near_the_table_above_the_bass():
    for source in SOURCES:
        hz, there = gains(44_100, source)
        there, back = 20 * np.log10(there), 20 * np.log10(gains(44_100, source, inverse=True)[1])
        assert np.abs(there + back)[(hz >= 80) & (hz <= 5000)].max() < 0.5
        assert source != "free_field" or np.abs(there + back)[(hz >= 80) & (hz <= 14_000)].max() < 1.3
        assert np.abs(there + back)[hz < 80].max() < 1.7
        assert np.abs(there - ear_response(hz, source))[(hz >= 400) & (hz <= 6000)].max() < 0.8
        # the blurred bass: less attenuation than the table has
        assert np.all(there[hz < 90] > ear_response(hz[hz < 90], source))


@pytest.mark.parametrize("design", ["table", "windowed"])
def test_the_way_back_ends_at_18_khz(design):
    kernel, plain = low_passed_inverse(44_100.0, "free_field", design), ear_kernel(44_100.0, "free_field", True, design)
    at = np.abs(np.fft.rfft(kernel, 2**16)) / np.abs(np.fft.rfft(plain, 2**16))
    hz = np.fft.rfftfreq(2**16, 1 / 44_100)
    np.testing.assert_allclose(at[(hz > 50) & (hz < 16_000)], 1, atol=3e-3)
    assert at[np.argmin(np.abs(hz - 18_000))] == pytest.approx(0.5, abs=0.02)
    assert at[hz > 20_000].max() < 1e-3
    low = low_passed_inverse(16_000.0, "free_field", design) - ear_kernel(16_000.0, "free_field", True, design)
    assert np.abs(low).max() < 1e-3 * np.abs(plain).max()


def test_fir_gains_are_the_sum_of_cosines():
    taps = np.array([0.25, 0.5, 0.25])
    for rate in (8000.0, 44_100.0, 100_000.0):
        hz = np.minimum(np.arange(33) * rate / 64, 22_050)
        held = np.minimum(hz, hz[hz < 22_050].max() if rate > 44_100 else hz.max())
        np.testing.assert_allclose(fir_gains(taps, 64, rate), 0.5 + 0.5 * np.cos(2 * np.pi * held / 44_100), atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(
    samples=st.integers(1, 3000),
    rate=st.sampled_from([200.0, 8000.0, 22_050.0, 44_100.0]),
    design=st.sampled_from(["table", "windowed"]),
    inverse=st.booleans(),
)
def test_any_length_keeps_and_ends_do_not_touch(samples, rate, design, inverse):
    x = noise(2, samples, seed=samples)
    y = to_cochlea(x, rate, design=design, inverse=inverse)
    assert y.shape == x.shape
    for row in (0, 1):
        np.testing.assert_allclose(y[row], to_cochlea(x[row], rate, design=design, inverse=inverse), atol=1e-12)
    longer = to_cochlea(np.pad(x, ((0, 0), (5000, 5000))), rate, design=design, inverse=inverse)[:, 5000:-5000]
    np.testing.assert_allclose(y, longer, atol=1e-11 * np.abs(longer).max())


def test_silence_precisions_and_tensors():
    for design in ("table", "windowed"):
        assert not to_cochlea(np.zeros((2, 500), np.float32), 16_000, design=design).any()
        x = noise(2, 1200)
        wanted = to_cochlea(x, 16_000, design=design)
        single = to_cochlea(x.astype(np.float32), 16_000, design=design)
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, wanted, atol=1e-5)
        for dtype, atol in ((torch.float64, 1e-13), (torch.float32, 1e-5)):
            tensor = to_cochlea(torch.from_numpy(x).to(dtype), 16_000, design=design)
            assert tensor.dtype == dtype
            np.testing.assert_allclose(tensor.numpy(), wanted, atol=atol)
    x = torch.from_numpy(noise(1, 20)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: to_cochlea(x, 200, design="windowed"), (x,))


@settings(deadline=None, max_examples=40)
@given(samples=st.integers(1, 20_000), reach=st.integers(0, 3000), rows=st.integers(1, 3))
def test_blocks_of_the_convolution_do_not_show(samples, reach, rows):
    half = noise(reach + 1, seed=reach)
    kernel = np.concatenate([half[:0:-1], half])
    x = noise(rows, samples, seed=samples)
    wanted = np.stack([np.convolve(row, kernel)[reach : reach + samples] for row in x])
    np.testing.assert_allclose(convolve(x, kernel), wanted, atol=1e-9)
    np.testing.assert_allclose(convolve_tensor(torch.from_numpy(x), kernel).numpy(), wanted, atol=1e-9)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ear_response([-1.0]), "0 Hz or more"),
        (lambda: ear_response([np.nan]), "0 Hz or more"),
        (lambda: ear_response(1000, "freefield"), "unknown source 'freefield'. Did you mean 'free_field'"),
        (lambda: to_cochlea(np.zeros(10), 16_000, "ff"), "unknown source 'ff'"),
        (lambda: to_cochlea(np.zeros(10), 16_000, design="windows"), "Did you mean 'windowed'"),
        (lambda: to_cochlea(np.zeros(10), 0), "positive number of Hz"),
        (lambda: to_cochlea(np.zeros(10, np.int16), 16_000), "divide by 32768"),
        (lambda: to_cochlea(np.array([np.nan]), 16_000), "NaN"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(InputError, match=words):
        call()
