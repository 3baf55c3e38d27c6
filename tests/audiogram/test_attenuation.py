"""The attenuation filter: a naive loop, physics, algebra, librosa, torch and gradients."""

import threading
import warnings

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import audiogram
from audiogram import Audiogram, get_filter, preset
from audiogram.errors import InputError
from audiogram.filters.attenuation import Attenuation
from audiogram.kernels.layout import frames_per_row
from audiogram.kernels.torch_stft_gain import stft_gains as torch_stft_gains

RATE = 16_000
SLOPE = Audiogram([250, 1000, 4000], [10, 30, 60])


def naive(x, gain, n_fft, hop):
    """Frame by frame, as one would write it down: cut, window, transform, gain, back, window, add, divide."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    half = n_fft // 2
    padded = np.concatenate([np.zeros(half), x, np.zeros(n_fft + hop)])
    total, weight = np.zeros(len(padded)), np.zeros(len(padded))
    for frame in range(frames_per_row(len(x), n_fft, hop)):
        here = slice(frame * hop, frame * hop + n_fft)
        spectrum = np.fft.rfft(padded[here] * window) * gain
        total[here] += np.fft.irfft(spectrum, n_fft) * window
        weight[here] += window**2
    kept = slice(half, half + len(x))
    return total[kept] / weight[kept]


def noise(*shape, seed=0, dtype=np.float64):
    return (0.1 * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


@settings(deadline=None, max_examples=40)
@given(
    samples=st.integers(1, 3000),
    half=st.integers(8, 200),
    divisor=st.integers(2, 9),
    interpolation=st.sampled_from(["log2", "erb", "linear"]),
)
def test_equals_the_naive_loop(samples, half, divisor, interpolation):
    n_fft, hop = 2 * half, max(1, 2 * half // divisor)
    one = Attenuation(SLOPE, sample_rate=RATE, n_fft=n_fft, hop_length=hop, interpolation=interpolation)
    x = noise(samples, seed=samples)
    wanted = naive(x, one.gains[0], n_fft, hop)
    np.testing.assert_allclose(one(x), wanted, atol=1e-13)
    np.testing.assert_allclose(one(torch.from_numpy(x)).numpy(), wanted, atol=1e-13)
    np.testing.assert_allclose(one(x.astype(np.float32)), wanted, atol=2e-6)


def test_gains_are_the_thresholds():
    one = Attenuation(SLOPE, sample_rate=RATE)
    np.testing.assert_allclose(-20 * np.log10(one.gains[0]), SLOPE.at(np.arange(1025) * RATE / 2048))


@pytest.mark.parametrize("seconds", [0.2, 1.0])
@pytest.mark.parametrize("odd", [0, 1, 511])
@pytest.mark.parametrize("name", ["lfloss", "hfloss"])
def test_equals_librosa(name, seconds, odd):
    samples = int(seconds * RATE) + odd
    x = noise(samples)
    stft = librosa.stft(x, n_fft=2048, hop_length=512, window="hann", center=True, pad_mode="constant")
    ear = preset(name)
    loss = np.interp(librosa.fft_frequencies(sr=RATE, n_fft=2048), ear.frequencies, ear.thresholds)
    wanted = librosa.istft(stft * 10 ** (-loss / 20)[:, None], hop_length=512, length=samples)
    one = Attenuation(ear, sample_rate=RATE, interpolation="linear")
    np.testing.assert_allclose(one(x), wanted, atol=1e-12 * np.abs(wanted).max(), rtol=0)
    single = one(x.astype(np.float32))
    np.testing.assert_allclose(single, wanted, atol=1e-5 * np.abs(wanted).max(), rtol=0)


def test_a_tone_is_attenuated_by_the_threshold_at_its_frequency():
    time = np.arange(RATE) / RATE
    for frequency, loss in ((250, 10), (500, 20), (1000, 30), (2000, 45), (4000, 60), (6000, 60)):
        tone = np.sin(2 * np.pi * frequency * time)
        heard = Attenuation(SLOPE, sample_rate=RATE)(tone)
        steady = slice(4096, -4096)
        level = 20 * np.log10(np.std(heard[steady]) / np.std(tone[steady]))
        assert level == pytest.approx(-loss, abs=0.1), frequency


@pytest.mark.parametrize("name", audiogram.conditions())
@pytest.mark.parametrize(("rate", "within"), [(16_000, 0.2), (44_100, 0.7)])
def test_the_studys_conditions_attenuate_tones_by_their_thresholds(name, rate, within):
    ear, options = preset(name), dict(audiogram.condition(name).options)
    for method in ("stft", "fir"):
        one = Attenuation(ear, sample_rate=rate, **{**options, "method": method})
        for frequency, threshold in zip(ear.frequencies, ear.thresholds, strict=True):
            if 2 * frequency >= rate:
                continue  # 8 kHz at 16 kHz is the Nyquist frequency
            tone = np.sin(2 * np.pi * frequency * np.arange(rate) / rate)
            middle = slice(rate // 4, rate // 4 + rate // 2)
            loss = -20 * np.log10(np.std(one(tone)[middle]) / np.std(tone[middle]))
            # thresholds bend at their frequencies, and a window hears to both sides: most at 125 Hz, where they
            # change by 15 dB within 125 Hz
            assert loss == pytest.approx(threshold, abs=within if frequency == 125 else 0.7 * within), frequency


def test_no_loss_changes_nothing():
    x = noise(12_345)
    almost = Audiogram([125, 8000], [0, 1e-12])  # not flat, hence transformed
    np.testing.assert_allclose(Attenuation(almost, sample_rate=RATE)(x), x, atol=1e-14)
    np.testing.assert_array_equal(Attenuation(Audiogram([1000], [0]), sample_rate=RATE)(x), x)


def test_a_flat_loss_is_one_gain():
    x = noise(2, 999, dtype=np.float32)
    flat = Attenuation(Audiogram([125, 8000], [20, 20]), sample_rate=RATE)
    np.testing.assert_array_equal(flat(x), x * np.float32(0.1))
    barely = Attenuation(Audiogram([125, 8000], [20, 20 + 1e-9]), sample_rate=RATE)
    np.testing.assert_allclose(flat(x), barely(x), atol=1e-7)


@settings(deadline=None, max_examples=20)
@given(frames=st.integers(0, 5), samples=st.integers(3000, 5000))
def test_shifting_by_whole_hops_shifts_the_output(frames, samples):
    one = Attenuation(SLOPE, sample_rate=RATE, n_fft=512, hop_length=128)
    x = np.zeros(samples)
    x[600:1600] = noise(1000)
    shifted = np.roll(x, 128 * frames)
    np.testing.assert_allclose(one(shifted), np.roll(one(x), 128 * frames), atol=1e-14)


@settings(deadline=None, max_examples=25)
@given(samples=st.integers(1, 20_000), half=st.integers(8, 300), own=st.booleans())
def test_the_fir_is_the_naive_convolution(samples, half, own):
    n_fft = 2 * half
    ears = [SLOPE, preset("hfloss")] if own else SLOPE
    one = Attenuation(ears, sample_rate=RATE, n_fft=n_fft, hop_length=half, method="fir")
    x = noise(2, samples, seed=samples)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    overlap = np.correlate(window, window, "full") / np.sum(window**2)
    for row, gain in enumerate(one.gains if own else one.gains[[0, 0]]):
        circular = np.fft.irfft(gain, n_fft)
        kernel = overlap * circular[np.arange(-n_fft + 1, n_fft) % n_fft]
        wanted = np.convolve(x[row], kernel)[n_fft - 1 : n_fft - 1 + samples]
        np.testing.assert_allclose(one(x)[row], wanted, atol=1e-13)
    np.testing.assert_allclose(one(torch.from_numpy(x)).numpy(), one(x), atol=1e-13)
    np.testing.assert_allclose(one(x.astype(np.float32)), one(x), atol=1e-7)
    np.testing.assert_allclose(one(torch.from_numpy(x).float()).numpy(), one(x), atol=1e-7)


@pytest.mark.parametrize("name", ["lfloss", "hfloss"])
def test_the_fir_is_the_mean_of_the_short_time_filter_over_shifts(name):
    options = {"sample_rate": RATE, "n_fft": 64, "hop_length": 16, "interpolation": "linear"}
    pulse = np.zeros(400)
    pulse[200] = 1
    short_time = Attenuation(preset(name), **options)
    shifted = np.mean([np.roll(short_time(np.roll(pulse, k)), -k) for k in range(16)], axis=0)
    np.testing.assert_allclose(Attenuation(preset(name), method="fir", **options)(pulse), shifted, atol=1e-15)


@pytest.mark.parametrize("name", ["lfloss", "hfloss"])
def test_the_two_methods_are_close_where_no_end_is_near(name):
    voice = np.sum([np.sin(2 * np.pi * 120 * k * np.arange(20_000) / RATE + k) / k for k in range(1, 60)], axis=0)
    options = {"sample_rate": RATE, "interpolation": "linear"}
    exact, fir = (Attenuation(preset(name), method=method, **options)(voice) for method in ("stft", "fir"))
    inside = slice(2048, -2048)
    assert np.std((fir - exact)[inside]) < 10 ** (-75 / 20) * np.std(exact[inside])
    assert not np.array_equal(fir, exact)


def test_every_row_has_its_own_ear():
    ears = [SLOPE, Audiogram([1000], [40]), preset("lfloss")]
    x = noise(3, 2, 4001)
    each = Attenuation(ears, sample_rate=RATE)(x)
    for row, ear in enumerate(ears):
        np.testing.assert_allclose(each[row], Attenuation(ear, sample_rate=RATE)(x[row]), atol=1e-15)
    tensor = Attenuation(ears, sample_rate=RATE)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(tensor, each, atol=1e-14)
    flat = Attenuation([Audiogram([1000], [20]), Audiogram([1000], [40])], sample_rate=RATE)
    np.testing.assert_allclose(flat(np.ones((2, 3))), [[0.1] * 3, [0.01] * 3])
    np.testing.assert_allclose(flat(torch.ones(2, 3, dtype=torch.float64)).numpy(), [[0.1] * 3, [0.01] * 3])


def test_together_mixes_ears_options_and_flat_losses():
    x = noise(2, 3001)
    filters = [
        Attenuation(SLOPE, sample_rate=RATE),
        Attenuation([SLOPE, preset("hfloss")], sample_rate=RATE),
        Attenuation(preset("normal"), sample_rate=RATE),
        Attenuation(SLOPE, sample_rate=RATE, n_fft=512, hop_length=100),
        Attenuation(SLOPE, sample_rate=RATE, method="fir"),
        Attenuation([SLOPE, preset("lfloss")], sample_rate=RATE, n_fft=512, method="fir"),
    ]
    wanted = np.stack([one(x) for one in filters])
    np.testing.assert_allclose(Attenuation.together(filters, x), wanted, atol=1e-15)
    found = Attenuation.together(filters, torch.from_numpy(x))
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-14)


def test_blocks_of_frames_do_not_show(monkeypatch):
    from audiogram.kernels import stft_gain

    x = noise(3, 9001)
    one = Attenuation([SLOPE, preset("lfloss"), preset("hfloss")], sample_rate=RATE, n_fft=256, hop_length=60)
    wanted = one(x)
    for values in (1, 7 * 256, 10**6):
        monkeypatch.setattr(stft_gain, "_BLOCK_VALUES", values)
        monkeypatch.setattr(stft_gain, "_kept", threading.local())
        np.testing.assert_allclose(one(x), wanted, atol=1e-15)


def test_rows_do_not_touch_each_other():
    x = noise(3, 5000, dtype=np.float32)
    x[1] = 0
    one = Attenuation(SLOPE, sample_rate=RATE)
    y = one(x)
    assert not y[1].any()
    np.testing.assert_array_equal(y[2], one(x[2]))


def test_threads_do_not_disturb_each_other():
    one = Attenuation(SLOPE, sample_rate=RATE)
    clips = [noise(20_000, seed=i) for i in range(8)]
    wanted = [one(x) for x in clips]
    found = [None] * len(clips)

    def work(i):
        for _ in range(10):
            found[i] = one(clips[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(clips))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(found, wanted)


def test_views_and_other_precisions():
    one = Attenuation(SLOPE, sample_rate=RATE)
    x = noise(4000, 2)
    np.testing.assert_array_equal(one(x.T[:, ::-1]), one(np.ascontiguousarray(x.T[:, ::-1])))
    frozen = noise(4000)
    frozen.flags.writeable = False
    assert one(frozen).flags.writeable
    for dtype, atol in ((np.float16, 1e-3), (np.longdouble, 1e-15), (">f4", 1e-6)):
        y = one(frozen.astype(dtype))
        assert y.dtype == np.dtype(dtype)
        np.testing.assert_allclose(y.astype(float), one(frozen), atol=atol)
    half = one(torch.from_numpy(frozen.copy()).to(torch.bfloat16))
    assert half.dtype == torch.bfloat16
    assert one(np.zeros((0, 5))).shape == (0, 5)
    assert one(torch.zeros(0, 5)).shape == (0, 5)


def test_gradients_of_sound_and_gains():
    x = torch.from_numpy(noise(2, 23)).requires_grad_()
    one = Attenuation([SLOPE, preset("hfloss")], sample_rate=RATE, n_fft=16, hop_length=5)
    assert torch.autograd.gradcheck(one, (x,))
    gains = torch.rand(3, 2, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, g: torch_stft_gains(x, g, 16, 5), (x, gains))


def test_gains_made_in_inference_mode_serve_training():
    one = Attenuation(SLOPE, sample_rate=RATE)
    with torch.inference_mode():
        one(torch.ones(3000))
    x = torch.ones(3000, requires_grad=True)
    one(x).sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_fft": 15}, "even number of samples, at least 16, got 15"),
        ({"n_fft": 8}, "at least 16"),
        ({"n_fft": 2048.0}, "whole number"),
        ({"hop_length": 0}, "1 to n_fft / 2 = 1024"),
        ({"hop_length": 1025}, "leave gaps"),
        ({"interpolation": "cubic"}, "unknown interpolation 'cubic'"),
        ({"method": "iir"}, "unknown method 'iir'"),
        ({"sample_rate": 0}, "positive number of Hz"),
        ({"sample_rate": "16k"}, "number of Hz"),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(InputError, match=words):
        Attenuation(SLOPE, **{"sample_rate": RATE, **options})


@pytest.mark.parametrize("ear", ["hfloss", [], [SLOPE, None], None, [10, 20]])
def test_not_an_ear(ear):
    with pytest.raises(InputError, match="made from an Audiogram or a list"):
        get_filter("attenuation")(ear, sample_rate=RATE)


def test_ears_and_rows_must_agree():
    two = Attenuation([SLOPE, SLOPE], sample_rate=RATE)
    for shape in ((100,), (3, 100)):
        for x in (np.zeros(shape), torch.zeros(shape)):
            with pytest.raises(InputError, match="2 audiograms, one per row"):
                two(x)


def test_no_warnings_on_silence():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not Attenuation(SLOPE, sample_rate=RATE)(np.zeros(5000)).any()
