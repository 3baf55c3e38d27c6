"""Conditions: the published three against librosa, records of them, level, noise and normalisation."""

import itertools
import json
import pickle
import subprocess
import sys

import librosa
import numpy as np
import pytest
import torch

from audiogram import Audiogram, Condition, apply_conditions, condition, conditions, preset, sound
from audiogram.errors import InputError
from audiogram.levels import active_rms

RATE = 16_000
THREE = ["normal", "lfloss", "hfloss"]
EAR = Audiogram([250, 1000, 4000], [10, 30, 60], name="ear")


def speech_like(samples, seed=0):
    """A vowel's harmonics under a syllabic envelope, with a little noise: pauses, low and high frequencies."""
    time = np.arange(samples) / RATE
    voice = sum(np.sin(2 * np.pi * 120 * k * time + k) / k for k in range(1, 50))
    envelope = np.clip(np.sin(2 * np.pi * 3 * time), 0, None)
    return 0.1 * (voice * envelope + 0.01 * np.random.default_rng(seed).standard_normal(samples))


def published(x, name):
    """The three conditions as they were published: magnitude, phase, mask, inverse, peak normalisation."""
    ear = preset(name)
    stft = librosa.stft(x, n_fft=2048, hop_length=512, center=True, pad_mode="constant")
    loss = np.interp(librosa.fft_frequencies(sr=RATE, n_fft=2048), ear.frequencies, ear.thresholds)
    masked = np.abs(stft) * 10 ** (-loss / 20)[:, None] * np.exp(1j * np.angle(stft))
    y = librosa.istft(masked, hop_length=512, length=len(x))
    return y / np.abs(y).max()


@pytest.mark.parametrize("samples", [3200, 3201, 4097, 16_000, 16_383, 40_001])
def test_the_three_conditions_are_those_published(samples):
    x = speech_like(samples)
    assert conditions() == tuple(THREE)
    found = apply_conditions(x, RATE, THREE)
    single = apply_conditions(x.astype(np.float32), RATE, THREE)
    assert found.dtype == np.float64
    assert single.dtype == np.float32
    for i, name in enumerate(THREE):
        np.testing.assert_allclose(found[i], published(x, name), atol=1e-12, rtol=0)
        np.testing.assert_allclose(single[i], published(x.astype(np.float32), name), atol=1e-5, rtol=0)
        assert np.abs(single[i]).max() == 1


@pytest.mark.parametrize("frequency", [60, 125, 440, 7000])
@pytest.mark.parametrize("name", ["lfloss", "hfloss"])
def test_float32_suffices_where_almost_everything_is_attenuated(frequency, name):
    # a tone at -100 dB, what is left of it normalised up: rounding of a float32 transform would come out at 3e-5
    x = (0.5 * np.sin(2 * np.pi * frequency * np.arange(3201) / RATE)).astype(np.float32)
    wanted = published(x.astype(np.float64), name)
    np.testing.assert_allclose(condition(name)(x, RATE), wanted, atol=2e-6, rtol=0)
    np.testing.assert_allclose(condition(name)(torch.from_numpy(x), RATE).numpy(), wanted, atol=2e-6, rtol=0)


def test_normal_is_the_clip_up_to_scale():
    x = speech_like(5000)
    np.testing.assert_allclose(condition("normal")(x, RATE), x / np.abs(x).max())


def test_one_by_one_batched_and_torch_are_the_same():
    x = np.stack([speech_like(3001, seed) for seed in range(4)]).reshape(2, 2, 3001)
    together = apply_conditions(x, RATE, THREE)
    assert together.shape == (3, 2, 2, 3001)
    for i, name in enumerate(THREE):
        np.testing.assert_allclose(together[i], condition(name)(x, RATE), atol=1e-15)
        np.testing.assert_allclose(together[i, 1, 0], condition(name)(x[1, 0], RATE), atol=1e-14)
    tensor = apply_conditions(torch.from_numpy(x), RATE, THREE)
    np.testing.assert_allclose(tensor.numpy(), together, atol=1e-13)
    x32 = torch.from_numpy(x.astype(np.float32)).requires_grad_()
    apply_conditions(x32, RATE, THREE).square().sum().backward()
    assert x32.grad.isfinite().all()


def test_mixed_conditions_keep_their_order():
    x = speech_like(4000)
    flat = Condition("flat", Audiogram([1000], [20]))
    other = Condition("other", EAR, options={"n_fft": 512, "hop_length": 128})
    noisy = Condition("noisy", EAR, noise={"kind": "white", "snr_db": 10})
    mix = ["hfloss", noisy, flat, "lfloss", other, "hfloss"]
    found = apply_conditions(x, RATE, mix)
    for row, one in zip(found, mix, strict=True):
        alone = condition(one) if isinstance(one, str) else one
        np.testing.assert_allclose(row, alone(x, RATE), atol=1e-14)


def test_input_is_left_alone():
    x = speech_like(4000)
    before = x.copy()
    apply_conditions(x, RATE, [*THREE, Condition("c", Audiogram([1000], [0]), normalise="peak")])
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("normalise", ["none", "peak", "rms", "input"])
@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_normalisation(normalise, convert):
    x = np.stack([speech_like(4000), np.zeros(4000), 0.01 * speech_like(4000, 1)])
    plain = np.asarray(Condition("c", EAR)(convert(x), RATE))
    y = np.asarray(Condition("c", EAR, normalise=normalise)(convert(x), RATE))
    assert not y[1].any()  # silence stays silence
    for row in (0, 2):
        gain = {
            "none": 1,
            "peak": 1 / np.abs(plain[row]).max(),
            "rms": np.std(x[row]) / np.std(plain[row]),
            "input": 1 / np.abs(x[row]).max(),
        }[normalise]
        np.testing.assert_allclose(y[row], gain * plain[row], rtol=2e-3 if normalise == "rms" else 1e-12)


def test_records_are_lossless_and_complete():
    one = Condition(
        "n3+noise",
        EAR,
        options={"n_fft": 1024},
        level={"full_scale_dbspl": 100, "speech_dbspl": 65},
        noise={"kind": "speech-shaped", "snr_db": 5},
        normalise="input",
    )
    plain = one.to_dict()
    assert plain["options"] == {"n_fft": 1024, "hop_length": 512, "interpolation": "log2", "method": "stft"}
    assert plain["noise"] == {"kind": "speech-shaped", "snr_db": 5.0, "seed": 0}
    again = Condition.from_dict(json.loads(json.dumps(plain)))
    assert again == one
    assert hash(again) == hash(one)
    assert pickle.loads(pickle.dumps(one)) == one
    for name in THREE:
        assert Condition.from_dict(condition(name).to_dict()) == condition(name)
        assert "level" not in condition(name).to_dict()  # TOML has no null
    assert Condition.from_dict({"name": "a", "audiogram": "hfloss"}).audiogram == preset("hfloss")


def test_pickled_conditions_are_equal_keys_in_another_process():
    one = condition("hfloss")
    hash(one)
    code = (
        "import pickle, sys; from audiogram import condition; "
        "one = pickle.load(sys.stdin.buffer); assert {condition('hfloss'): 1}[one] == 1"
    )
    subprocess.run([sys.executable, "-c", code], input=pickle.dumps(one), check=True)


def test_a_level_scales_speech_and_is_measured_while_it_is_active():
    x = np.concatenate([speech_like(16_000), np.zeros(16_000)])
    one = Condition("c", Audiogram([1000], [0]), level={"full_scale_dbspl": 100, "speech_dbspl": 65})
    for given in (x, 0.01 * x, torch.from_numpy(x)):
        y = np.asarray(one(given, RATE))
        assert 100 + 20 * np.log10(active_rms(y, RATE)) == pytest.approx(65, abs=1e-6)
    assert not one(np.zeros(100), RATE).any()
    tone = np.sin(np.arange(RATE))
    assert active_rms(np.concatenate([np.zeros(RATE), tone]), RATE) == pytest.approx(active_rms(tone, RATE), rel=1e-6)


def test_a_level_that_changes_nothing_is_refused():
    for level in ({"full_scale_dbspl": 100}, {"speech_dbspl": 65}):
        with pytest.raises(InputError, match="does not depend on level"):
            Condition("c", EAR, level=level)


@pytest.mark.parametrize("kind", ["white", "speech-shaped", "file"])
def test_noise_has_its_ratio_and_repeats(kind, tmp_path):
    x = speech_like(16_001)
    noise = {"kind": kind, "snr_db": 6, "seed": 3}
    if kind == "file":
        babble = np.random.default_rng(5).uniform(-0.5, 0.5, 3000)
        sound.write(tmp_path / "babble.wav", babble, 8000, "wav32f")
        noise["file"] = str(tmp_path / "babble.wav")
    one = Condition("c", Audiogram([1000], [0]), noise=noise)
    added = one(x, RATE) - x
    assert 20 * np.log10(active_rms(x, RATE) / np.sqrt(np.mean(added**2))) == pytest.approx(6, abs=1e-6)
    np.testing.assert_array_equal(one(x, RATE), one(x, RATE))
    np.testing.assert_allclose(one(torch.from_numpy(x), RATE).numpy(), one(x, RATE), atol=1e-15)
    batch = np.stack([x, speech_like(16_001, 1)])
    np.testing.assert_array_equal(one(batch, RATE)[0], one(x, RATE))
    other = Condition("c", Audiogram([1000], [0]), noise={**noise, "seed": 4})
    assert not np.allclose(other(x, RATE), one(x, RATE))
    a, b = one(np.stack([x, x]), RATE, keys=["a", "b"])
    assert not np.allclose(a, b)
    np.testing.assert_array_equal(one(x, RATE, keys="b"), b)


def test_speech_shaped_noise_has_the_spectrum_of_the_speech():
    x = speech_like(48_000)
    one = Condition("c", Audiogram([1000], [0]), noise={"kind": "speech-shaped", "snr_db": 0})
    added = one(x, RATE) - x
    spectra = [np.abs(np.fft.rfft(s)) ** 2 for s in (x, added)]
    edges = np.array([100, 300, 1000, 3000, 6000]) * 3  # bins of 1/3 Hz
    speech, masker = (np.array([s[a:b].sum() for a, b in itertools.pairwise(edges)]) for s in spectra)
    bands = 10 * np.log10(masker / masker.sum()) - 10 * np.log10(speech / speech.sum())
    assert np.abs(bands).max() < 2  # dB
    assert 10 * np.log10(masker[0] / masker[-1]) > 10  # and it is far from white


def test_noise_is_the_same_in_all_conditions_and_filtered_with_the_speech():
    x = speech_like(8000)
    noise = {"kind": "white", "snr_db": 0}
    open_ear = Condition("open", Audiogram([1000], [0]), noise=noise)
    mixture = open_ear(x, RATE)
    heard = Condition("heard", EAR, noise=noise)(x, RATE)
    np.testing.assert_allclose(heard, Condition("heard", EAR)(mixture, RATE), atol=1e-14)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": "a/b"}, "part of folder names"),
        ({"name": ""}, "part of folder names"),
        ({"name": ".hidden"}, "part of folder names"),
        ({"audiogram": "hflos"}, "Did you mean 'hfloss'"),
        ({"audiogram": 10}, "an Audiogram or a preset's name, got int"),
        ({"filter": "atenuation"}, "Did you mean 'attenuation'"),
        ({"options": {"nfft": 512}}, "no option 'nfft'. Did you mean 'n_fft'"),
        ({"options": [1]}, "options is a mapping"),
        ({"normalise": "max"}, "unknown normalisation 'max'"),
        ({"level": 65}, "level is a mapping"),
        ({"level": {}}, "level is empty"),
        ({"level": {"dbspl": 65}}, "unknown level key 'dbspl'"),
        ({"level": {"speech_dbspl": "65", "full_scale_dbspl": 100}}, "level.speech_dbspl is a number"),
        ({"noise": {"kind": "pink", "snr_db": 0}}, "unknown kind of noise 'pink'"),
        ({"noise": {"kind": "white"}}, "needs snr_db"),
        ({"noise": {"kind": "white", "snr_db": float("nan")}}, "noise.snr_db is a number"),
        ({"noise": {"kind": "white", "snr_db": 0, "seed": -1}}, "noise.seed is a whole number"),
        ({"noise": {"kind": "file", "snr_db": 0}}, "needs file"),
        ({"noise": {"kind": "white", "file": "a.wav", "snr_db": 0}}, "other kinds have none"),
    ],
)
def test_no_condition_from(values, words):
    with pytest.raises(InputError, match=words):
        Condition(**{"name": "c", "audiogram": EAR, **values})


def test_bad_calls():
    with pytest.raises(InputError, match="Did you mean 'hfloss'"):
        condition("hflos")
    with pytest.raises(InputError, match="no conditions"):
        apply_conditions(np.zeros(10), RATE, [])
    with pytest.raises(InputError, match="put it in brackets"):
        apply_conditions(np.zeros(10), RATE, "hfloss")
    with pytest.raises(InputError, match="a Condition or a name"):
        apply_conditions(np.zeros(10), RATE, [3])
    with pytest.raises(InputError, match="no samples"):
        apply_conditions(np.zeros(0), RATE, THREE)
    with pytest.raises(InputError, match="NaN or infinite"):
        apply_conditions(np.array([np.nan]), RATE, THREE)
    with pytest.raises(InputError, match="positive number of Hz"):
        apply_conditions(np.zeros(10), -RATE, THREE)
    with pytest.raises(InputError, match="unknown condition key 'ear'"):
        Condition.from_dict({"name": "c", "ear": "hfloss"})
    with pytest.raises(InputError, match="no 'audiogram'"):
        Condition.from_dict({"name": "c"})
    noisy = Condition("c", EAR, noise={"kind": "white", "snr_db": 0})
    with pytest.raises(InputError, match="the clip is silent"):
        noisy(np.zeros(100), RATE)
    with pytest.raises(InputError, match="keys names 2 clips"):
        noisy(np.ones(100), RATE, keys=["a", "b"])
    gone = Condition("c", EAR, noise={"kind": "file", "file": "no-such.wav", "snr_db": 0})
    with pytest.raises(InputError, match="no such sound file"):
        gone(np.ones(100), RATE)


@pytest.mark.parametrize("scale", [1e-3, 1, 300])
@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy], ids=["array", "tensor"])
def test_the_rms_is_that_of_the_clip_in_half_precision_too(scale, convert):
    x = (np.random.default_rng(0).standard_normal((2, 4000)) * 0.05 * scale).astype(np.float16)
    heard = Condition("c", Audiogram([500, 4000], [0, 30]), normalise="rms")(convert(x), 16_000)
    got = np.sqrt(np.mean(np.square(np.asarray(heard, np.float64)), axis=-1))
    wanted = np.sqrt(np.mean(np.square(x.astype(np.float64)), axis=-1))
    np.testing.assert_allclose(got, wanted, rtol=0.02)


def test_the_rms_of_sound_whose_squares_are_no_float32():
    x = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    one = Condition("c", Audiogram([500, 4000], [0, 30]), normalise="rms")
    for scale in (1e-25, 1e25):
        np.testing.assert_allclose(one(x * np.float32(scale), 16_000) / scale, one(x, 16_000), atol=1e-5)


def test_a_record_has_no_null_which_toml_has_not():
    for name in ("attenuation", "smearing"):
        one = Condition(name, preset("hfloss"), name)
        assert None not in one.to_dict()["options"].values()
        assert Condition.from_dict(one.to_dict()) == one
    ear = Audiogram([500, 1000], [30, 40], bone=Audiogram([500, 1000], [0, 10]))
    alone = Condition("gap", ear, "conductive", {"cochlear": None})  # not the default, and so kept
    assert Condition.from_dict(json.loads(json.dumps(alone.to_dict()))) == alone


def test_a_rate_in_khz_is_guessed():
    for rate in (16, 44.1, 192):
        with pytest.raises(InputError, match="in kHz"):
            apply_conditions(np.zeros(100), rate, ["hfloss"])


def test_keys_are_texts_of_any_kind():
    one = Condition("c", preset("hfloss"), noise={"kind": "white", "snr_db": 0})
    x = np.ones((1, 500))
    assert one(x, 16_000, keys=["bad\udcff.wav"]).shape == x.shape  # as Python has a name that is not UTF-8
    for keys in ([7], [None], b"a"):
        with pytest.raises(InputError, match="each a text"):
            one(x, 16_000, keys=keys)
