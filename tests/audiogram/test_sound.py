"""Sound files: what is written is read back, and every bad file has its own clear error."""

import io
import os

import numpy as np
import pytest
import soundfile

from audiogram import sound
from audiogram.errors import InputError, WorkError


@pytest.fixture
def clip():
    return np.random.default_rng(1).uniform(-1, 1, 4321)


def test_float_sound_says_not_when_it_was_written() -> None:
    encoded = sound.encode(np.linspace(-1, 1, 100, dtype=np.float32), 16_000, "wav32f")
    peak = encoded.index(b"PEAK")
    assert encoded[peak + 12 : peak + 16] == bytes(4)  # seconds since 1970


@pytest.mark.parametrize(("kind", "bits"), [("flac24", 24), ("flac16", 16), ("wav", 16)])
def test_integer_formats_are_exact_to_half_a_step(clip, kind, bits):
    clip[:3] = [0.0, -1.0, 1.0]
    back, rate = sound.read(sound.encode(clip, 16_000, kind))
    assert rate == 16_000
    assert back.dtype == np.float32
    assert np.abs(back - clip)[3:].max() <= 2.0**-bits + 2.0**-25  # half a step, and float32 itself
    assert back[0] == 0
    assert back[1] == -1
    assert 1 - back[2] == 2.0 ** -(bits - 1)  # the largest integer


def test_float_format_keeps_float32_beyond_full_scale(clip):
    loud = (3 * clip).astype(np.float32)
    back, _ = sound.read(sound.encode(loud, 44_100, "wav32f"))
    np.testing.assert_array_equal(back, loud)


def test_encoding_is_deterministic_and_write_is_encode(clip, tmp_path):
    content = sound.encode(clip, 8000)
    assert content == sound.encode(clip.copy(), 8000)
    sound.write(tmp_path / "a.flac", clip, 8000)
    assert (tmp_path / "a.flac").read_bytes() == content
    assert os.listdir(tmp_path) == ["a.flac"]


@pytest.mark.parametrize(("name", "format"), [("a.wav", "wav"), ("A.WAV", "wav"), ("a.flac", "flac24")])
def test_the_name_of_a_file_decides_its_format(clip, tmp_path, name, format):
    sound.write(tmp_path / name, clip, 8000)
    assert (tmp_path / name).read_bytes() == sound.encode(clip, 8000, format)


def test_a_name_of_no_format_is_refused(clip, tmp_path):
    with pytest.raises(InputError, match=r"'a.mp3'; name it .flac or .wav"):
        sound.write(tmp_path / "a.mp3", clip, 8000)
    assert not os.listdir(tmp_path)


def test_channels_are_averaged(tmp_path):
    stereo = np.stack([np.full(100, 0.5), np.full(100, -0.25)], axis=1)
    soundfile.write(tmp_path / "s.wav", stereo, 16_000)
    back, _ = sound.read(tmp_path / "s.wav")
    assert back.shape == (100,)
    np.testing.assert_allclose(back, 0.125, atol=2**-15)


def test_long_sound_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "hour.wav"
    soundfile.write(path, np.zeros(3600 * 1000, np.int16), 1000, subtype="PCM_U8")
    with pytest.raises(InputError, match=r"hour.wav lasts 3600.0 s, more than the 30 s allowed"):
        sound.read(path, max_seconds=30)
    assert len(sound.read(path, max_seconds=float("inf"))[0]) == 3600 * 1000
    # a header that promises an hour but holds a second costs neither memory nor an error
    content = path.read_bytes()[: 44 + 1000]
    assert len(sound.read(content)[0]) == 1000


def test_more_than_one_block_is_read_whole():
    clip = np.random.default_rng(2).uniform(-1, 1, sound._BLOCK + 17).astype(np.float32)
    np.testing.assert_array_equal(sound.read(sound.encode(clip, 16_000, "wav32f"))[0], clip)


def _wav(samples, subtype="FLOAT"):
    buffer = io.BytesIO()
    soundfile.write(buffer, np.asarray(samples, np.float32), 16_000, format="WAV", subtype=subtype)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"not sound at all", "as sound"),
        (_wav([0.1] * 100)[:20], "as sound"),
        (_wav([]), "no samples"),
        (_wav([0.0, np.nan]), "NaN or infinite"),
        (_wav([0.0, -np.inf]), "NaN or infinite"),
    ],
    ids=["empty", "text", "cut in the header", "0 samples", "NaN", "infinite"],
)
def test_bad_content(content, words, tmp_path):
    with pytest.raises(InputError, match=words):
        sound.read(content)
    path = tmp_path / "bad.wav"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.wav"):
        sound.read(path)


def test_a_library_without_mp3_is_told(tmp_path, monkeypatch):
    (tmp_path / "a.mp3").write_bytes(b"ID3 or what looks like it")
    with pytest.raises(InputError, match="Is it an audio file, and complete"):
        sound.read(tmp_path / "a.mp3")
    monkeypatch.setattr(soundfile, "available_formats", lambda: {"WAV": "WAV (Microsoft)", "FLAC": "FLAC"})
    with pytest.raises(InputError, match=r"Is it MP3\? This libsndfile, 1\..*pip install --force-reinstall soundfile"):
        sound.read(tmp_path / "a.mp3")


def test_bad_paths(tmp_path):
    with pytest.raises(InputError, match="no such sound file"):
        sound.read(tmp_path / "none.wav")
    with pytest.raises(InputError, match="is a folder"):
        sound.read(tmp_path)


def test_silence_is_sound_unless_it_is_not_wanted():
    assert not sound.read(_wav([0.0] * 10))[0].any()
    with pytest.raises(InputError, match="silent: all 10 samples"):
        sound.read(_wav([0.0] * 10), allow_silent=False)


@pytest.mark.parametrize(
    ("x", "rate", "kind", "words"),
    [
        (np.zeros(0), 16_000, "flac24", "no samples"),
        (np.zeros((2, 10)), 16_000, "flac24", "1-dimensional"),
        (np.zeros(10, np.int16), 16_000, "flac24", "float array"),
        (np.array([np.nan]), 16_000, "wav32f", "NaN"),
        (np.array([1.01]), 16_000, "wav", "peak at 1.01, above full scale"),
        (np.zeros(10), 0, "wav", "positive whole number"),
        (np.zeros(10), 16_000.5, "wav", "positive whole number"),
        (np.zeros(10), 10**9, "flac24", "cannot write FLAC"),
        (np.zeros(10), 16_000, "mp3", "unknown sound format 'mp3'"),
    ],
)
def test_what_cannot_be_encoded(x, rate, kind, words):
    with pytest.raises(InputError, match=words):
        sound.encode(x, rate, kind)


def test_rounding_above_full_scale_is_not_clipping():
    back, _ = sound.read(sound.encode(np.array([np.nextafter(np.float32(1), 2)]), 16_000))
    assert back[0] == pytest.approx(1, abs=2**-22)


def test_unwritable_folder(tmp_path):
    with pytest.raises(WorkError, match="cannot write"):
        sound.write(tmp_path / "none" / "a.flac", np.zeros(10), 16_000)


def test_resampling_keeps_a_tone_and_its_length():
    time = np.arange(48_000) / 48_000
    tone = np.sin(2 * np.pi * 1000 * time)
    down = sound.resample(tone, 48_000, 16_000)
    assert down.shape == (16_000,)
    wanted = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)
    np.testing.assert_allclose(down[500:-500], wanted[500:-500], atol=1e-4)
    both = sound.resample(np.stack([tone, -tone]).astype(np.float32), 48_000, 16_000)
    assert both.shape == (2, 16_000)
    assert both.dtype == np.float32
    np.testing.assert_array_equal(both[1], -both[0])
    assert sound.resample(tone, 16_000, 16_000) is tone


def test_resampling_removes_what_does_not_fit():
    tone = np.sin(2 * np.pi * 12_000 * np.arange(48_000) / 48_000)
    assert np.abs(sound.resample(tone, 48_000, 16_000)[500:-500]).max() < 1e-4


@pytest.mark.parametrize("x", [np.zeros(0), np.zeros(10, np.int16), [0.0]])
def test_what_cannot_be_resampled(x):
    with pytest.raises(InputError):
        sound.resample(x, 16_000, 8000)


def test_too_little_to_resample_and_bad_rates():
    with pytest.raises(InputError, match="1 sample is too short to resample from 48000 to 16000"):
        sound.resample(np.ones(1), 48_000, 16_000)
    with pytest.raises(InputError, match="positive whole number"):
        sound.resample(np.ones(1), 48_000, -1)
