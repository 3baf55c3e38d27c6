"""Levels of speech, and maskers: their ratio to active speech, their spectra, and whose they are."""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiogram import Audiogram, Condition, sound
from audiogram.errors import InputError
from audiogram.levels import active_rms
from audiogram.long_term_spectrum import long_term_spectrum
from audiogram.maskers import check_noise, make_noise

RATE = 16_000
OPEN = Audiogram([1000], [0])


def voice(samples, pitch=120, seed=0, rate=RATE):
    """Harmonics that fall by 6 dB per octave, pitch that rises and falls, syllables with pauses, some breath noise."""
    time = np.arange(samples) / rate
    phase = 2 * np.pi * pitch * (time + 0.2 / 2.2 * np.sin(2.2 * time))  # pitch within 20 %
    tones = sum(np.sin(k * phase + k * k) / k for k in range(1, min(40, int(0.4 * rate / pitch))))
    envelope = np.clip(np.sin(2 * np.pi * 3 * time), 0, None)
    return 0.1 * envelope * (tones + 0.1 * np.random.default_rng(seed).standard_normal(samples))


def third_octaves(x, rate, low=100, high=None):
    """Power of each third octave whose upper edge lies below `high`, from the plain spectrum of all of `x`."""
    centres = 1000 * 10 ** (np.arange(-10, 13) / 10)
    edge = 10 ** (1 / 20)
    centres = centres[(centres >= low - 1) & (centres * edge <= (high or rate / 2))]
    power = np.abs(np.fft.rfft(x)) ** 2
    bins = np.fft.rfftfreq(len(x), 1 / rate)
    return np.array([power[(bins >= c / edge) & (bins < c * edge)].sum() for c in centres])


def band_differences(noise, speech, rate=RATE, high=None):
    """Third-octave levels of the noise less those of the speech, in dB, both with the same sum."""
    ours, wanted = (third_octaves(x, rate, high=high) for x in (noise, speech))
    return 10 * np.log10(ours / ours.sum() / (wanted / wanted.sum()))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Six voices in two splits at two sampling rates, of very different levels; one clip is silent, one is no sound."""
    root = tmp_path_factory.mktemp("voices")
    for i in range(6):
        folder = root / ("train" if i % 2 else "test")
        folder.mkdir(exist_ok=True)
        rate = 32_000 if i == 5 else RATE
        clip = voice(8 * rate, 90 + 25 * i, i, rate) * 10 ** (-i / 2)
        sound.write(folder / f"voice{i}.wav", clip, rate, "wav32f")
    sound.write(root / "train" / "silent.wav", np.zeros(RATE), RATE, "wav32f")
    (root / "test" / "broken.wav").write_bytes(b"RIFF no sound")
    return root


def loudness_matched(corpus):
    """All clips at one level, one after the other: what the corpus's average spectrum is measured on."""
    clips = [sound.read(path) for path in sorted(corpus.rglob("voice*.wav"))]
    return np.concatenate(
        [x.astype(np.float64) / active_rms(x, rate) for x, rate in clips if rate == RATE]
        + [sound.resample(x, rate, RATE).astype(np.float64) / active_rms(x, rate) for x, rate in clips if rate != RATE]
    )


def masker(noise, x, key="a", rate=RATE):
    return make_noise(x, rate, check_noise(noise), key)


@pytest.mark.parametrize("pause", [0.0, 0.5, 3.0])
def test_active_level_does_not_change_with_pauses_and_padding(pause):
    speech = voice(2 * RATE)
    padded = np.concatenate([np.zeros(int(pause * RATE)), speech, np.zeros(int(pause * RATE))])
    assert 20 * np.log10(active_rms(padded, RATE) / active_rms(speech, RATE)) == pytest.approx(0, abs=0.1)
    assert active_rms(10 * padded, RATE) == pytest.approx(10 * active_rms(padded, RATE))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3000), st.floats(-40, 40), st.sampled_from(["white", "speech-shaped"]), st.integers(0, 99))
def test_the_ratio_is_that_of_active_speech(samples, snr, kind, seed):
    x = 0.1 * np.random.default_rng(seed).standard_normal(samples) + 1e-3
    noise = masker({"kind": kind, "snr_db": snr, "seed": seed}, x)
    assert noise.shape == x.shape
    found = 20 * np.log10(active_rms(x, RATE) / np.sqrt(np.mean(np.square(noise))))
    assert found == pytest.approx(snr, abs=1e-6)


def test_the_ratio_in_a_condition_is_within_a_tenth_of_a_decibel_for_every_kind(corpus, tmp_path):
    babble = np.random.default_rng(5).uniform(-0.5, 0.5, 30_000)
    sound.write(tmp_path / "babble.wav", babble, 8000, "wav32f")
    speech = np.concatenate([np.zeros(RATE), voice(3 * RATE), np.zeros(2 * RATE)])  # pauses must not count as speech
    for noise in (
        {"kind": "white"},
        {"kind": "speech-shaped"},
        {"kind": "speech-shaped", "corpus": str(corpus)},
        {"kind": "speech-shaped", "spectrum": {"frequencies": [100, 1000], "levels_db": [0, -10]}},
        {"file": str(tmp_path / "babble.wav")},
    ):
        one = Condition("c", OPEN, noise={**noise, "snr_db": 4.0})
        for x in (speech, speech.astype(np.float32)):
            added = one(x, RATE).astype(np.float64) - x
            snr = 20 * np.log10(active_rms(voice(3 * RATE), RATE) / np.sqrt(np.mean(np.square(added))))
            assert snr == pytest.approx(4, abs=0.1)


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_noise_shaped_like_the_clip_has_its_third_octaves(rate):
    x = voice(30 * rate, rate=rate)
    found = band_differences(masker({"kind": "speech-shaped", "snr_db": 0}, x, rate=rate), x, rate)
    assert np.abs(found).max() < 1
    assert np.ptp(10 * np.log10(third_octaves(x, rate))) > 15  # it is far from white


def test_noise_shaped_like_a_corpus_has_its_third_octaves(corpus):
    noise = {"kind": "speech-shaped", "corpus": str(corpus), "snr_db": 0}
    found = band_differences(masker(noise, voice(60 * RATE)), loudness_matched(corpus))
    assert np.abs(found).max() < 1
    # the loudest clip alone would give another spectrum
    alone = band_differences(loudness_matched(corpus), voice(8 * RATE, 90, 0))
    assert np.abs(alone).max() > 2


def test_a_condition_keeps_the_spectrum_and_needs_its_corpus_no_more(corpus, tmp_path):
    moved = shutil.copytree(corpus, tmp_path / "voices")
    one = Condition("c", OPEN, noise={"kind": "speech-shaped", "corpus": str(moved), "snr_db": 0})
    shutil.rmtree(moved)
    x = voice(RATE)
    plain = json.loads(json.dumps(one.to_dict()))
    assert set(plain["noise"]) == {"kind", "snr_db", "seed", "corpus", "spectrum"}
    again = Condition.from_dict(plain)
    assert again == one
    assert hash(again) == hash(one)
    assert pickle.loads(pickle.dumps(one)) == one
    np.testing.assert_array_equal(again(x, RATE), one(x, RATE))
    same = Condition("c", OPEN, noise={"kind": "speech-shaped", "corpus": str(corpus), "snr_db": 0})
    assert same.noise["spectrum"] == one.noise["spectrum"]  # elsewhere, and from a copy
    with pytest.raises(InputError, match=r"noise.corpus: .*does not exist"):
        Condition("c", OPEN, noise={"kind": "speech-shaped", "corpus": str(moved), "snr_db": 0})


def test_a_corpus_is_measured_once(corpus, monkeypatch):
    from audiogram import maskers

    calls = []
    monkeypatch.setattr(maskers, "_spectra", {})
    monkeypatch.setattr(maskers, "long_term_spectrum", lambda clips: calls.append(1) or long_term_spectrum(clips))
    first, second = (check_noise({"kind": "speech-shaped", "corpus": corpus, "snr_db": snr}) for snr in (0, 5))
    assert first["spectrum"] == second["spectrum"]
    assert len(calls) == 1


def test_a_corpus_is_heard_by_a_sample_of_its_clips(tmp_path, monkeypatch):
    from audiogram import maskers

    for i in range(12):
        sound.write(tmp_path / f"{i}.wav", voice(RATE // 4, 90 + 10 * i, i), RATE, "wav32f")
    monkeypatch.setattr(maskers, "_spectra", {})
    whole = check_noise({"kind": "speech-shaped", "corpus": tmp_path, "snr_db": 0})["spectrum"]
    monkeypatch.setattr(maskers, "_CORPUS_CLIPS", 4)
    some = []
    for _ in range(2):
        monkeypatch.setattr(maskers, "_spectra", {})
        some.append(check_noise({"kind": "speech-shaped", "corpus": tmp_path, "snr_db": 0})["spectrum"])
    assert some[0] == some[1] != whole


def test_noise_of_a_corpus_stays_within_the_frequencies_that_it_had(corpus):
    narrow = long_term_spectrum([(voice(4 * 8000, rate=8000), 8000)])
    assert max(narrow["frequencies"]) < 4000
    noise = {"kind": "speech-shaped", "spectrum": narrow, "snr_db": 0}
    found = (
        np.abs(np.fft.rfft(masker(noise, voice(4 * 44_100, rate=44_100), rate=44_100) * np.hanning(4 * 44_100))) ** 2
    )
    bins = np.fft.rfftfreq(4 * 44_100, 1 / 44_100)
    assert found[bins > 4500].sum() < 1e-9 * found.sum()


@pytest.mark.parametrize("kind", ["white", "speech-shaped", "corpus", "file"])
def test_noise_is_the_clips_own_in_any_batch(kind, corpus):
    noise = {"kind": kind, "snr_db": 3}
    if kind == "file":
        noise["file"] = str(corpus / "train" / "voice1.wav")
    if kind == "corpus":
        noise.update(kind="speech-shaped", corpus=str(corpus))
    one = Condition("c", OPEN, noise=noise)
    x = np.stack([voice(6000, 100 + 30 * i, i) for i in range(4)])
    batch = one(x, RATE)
    np.testing.assert_array_equal(batch, np.stack([one(row, RATE) for row in x]))
    np.testing.assert_array_equal(batch[::-1], one(x[::-1], RATE))
    np.testing.assert_allclose(one(torch.from_numpy(x), RATE).numpy(), batch, atol=1e-14)
    keyed = one(x, RATE, keys=["a", "b", "c", "d"])
    np.testing.assert_array_equal(keyed[2], one(x[2], RATE, keys="c"))
    np.testing.assert_array_equal(keyed.reshape(2, 2, -1), one(x.reshape(2, 2, -1), RATE, keys=["a", "b", "c", "d"]))
    assert not np.allclose(keyed, batch)
    with pytest.raises(InputError, match="the clip is silent"):
        one(np.stack([x[0], 0 * x[0]]), RATE)


def test_a_noise_file_that_changes_is_read_again(tmp_path):
    path = tmp_path / "noise.wav"
    x = voice(4000)
    heard = []
    for seed in (1, 2):
        sound.write(path, 0.1 * np.random.default_rng(seed).standard_normal(5000), RATE, "wav32f")
        heard.append(masker({"file": str(path), "snr_db": 0}, x))
    assert not np.allclose(*heard)


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        ({"kind": "white", "corpus": "x"}, "belong to noise of kind 'speech-shaped'"),
        ({"kind": "speech-shaped", "corpus": "no-such-folder"}, "noise.corpus: the source 'no-such-folder' does not"),
        ({"kind": "speech-shaped", "spectrum": [1, 2]}, "noise.spectrum is a mapping"),
        ({"kind": "speech-shaped", "spectrum": {"frequencies": [1]}}, "needs frequencies .* and levels_db"),
        ({"kind": "speech-shaped", "spectrum": {"frequencies": [1, 2], "levels_db": [0]}}, "one level for every"),
        ({"kind": "speech-shaped", "spectrum": {"frequencies": [2, 1], "levels_db": [0, 0]}}, "increasing"),
        ({"kind": "speech-shaped", "spectrum": {"frequencies": [1, 2], "levels_db": [0, float("nan")]}}, "NaN"),
        ({"kind": "speech-shaped", "spectrum": {"frequencies": ["a"], "levels_db": [0]}}, "lists of numbers"),
        ({"kind": "white", "seed": True}, "noise.seed is a whole number"),
        ({"kind": "white", "corpora": "x"}, "Did you mean 'corpus'"),
    ],
)
def test_no_noise_from(noise, words):
    with pytest.raises(InputError, match=words):
        check_noise({"snr_db": 0, **noise})


def test_a_corpus_without_sound_and_a_spectrum_out_of_reach(tmp_path):
    sound.write(tmp_path / "a.wav", np.zeros(RATE), RATE, "wav32f")
    with pytest.raises(InputError, match=r"noise.corpus: there is no sound in the clips"):
        check_noise({"kind": "speech-shaped", "corpus": tmp_path, "snr_db": 0})
    high = {"kind": "speech-shaped", "spectrum": {"frequencies": [12_000, 14_000], "levels_db": [0, 0]}, "snr_db": 0}
    with pytest.raises(InputError, match="begins at 12000 Hz, above half of 16000 Hz"):
        masker(high, voice(1000))
