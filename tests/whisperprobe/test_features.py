"""Log-mel spectrograms: equal to Whisper's own extractor, whatever the bands, the window and the length."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import WhisperConfig, WhisperFeatureExtractor

from audiogram.errors import InputError
from whisperprobe.features import WindowSpec, log_mel

RATE = 16_000


def speech_like(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(n) / RATE
    tone = 0.3 * np.sin(2 * np.pi * 440 * t) * (1 + np.sin(2 * np.pi * 4 * t))
    return (tone + 0.01 * rng.standard_normal(n)).astype(np.float32)


def extractor_says(clips: list[np.ndarray], bands: int, seconds: int) -> np.ndarray:
    extractor = WhisperFeatureExtractor(feature_size=bands, chunk_length=seconds)
    return extractor(clips, sampling_rate=RATE, return_tensors="np").input_features


@pytest.mark.parametrize(("bands", "seconds"), [(80, 2), (80, 3), (128, 5), (80, 30), (128, 30)])
def test_equals_the_extractor_at_lengths_that_meet_every_edge(bands: int, seconds: int) -> None:
    whole = seconds * RATE
    # Around frame edges, half a frame and the window's end, where the extractor's reflection reaches the clip.
    near_end = [whole - 1, whole, whole - 40, whole - 41, whole - 161, whole - 199, whole - 200, whole - 201]
    lengths = [1, 2, 150, 200, 201, 399, 400, 401, 1600, 7919, RATE, *near_end]
    clips = [speech_like(n, seed=n) for n in lengths]
    window = WindowSpec(n_mels=bands, n_frames=100 * seconds)
    got = log_mel(clips, window)
    assert got.dtype == torch.float32
    assert got.shape == (len(clips), bands, 100 * seconds)
    assert np.abs(got.numpy() - extractor_says(clips, bands, seconds)).max() < 1e-4


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 2 * RATE), min_size=1, max_size=5), st.floats(1e-4, 1.0))
def test_equals_the_extractor_at_any_lengths_and_levels(lengths: list[int], gain: float) -> None:
    clips = [np.float32(gain) * speech_like(n, seed=n) for n in lengths]
    got = log_mel(clips, WindowSpec(80, 200)).numpy()
    assert np.abs(got - extractor_says(clips, 80, 2)).max() < 1e-4


def test_a_batch_equals_its_clips_one_by_one() -> None:
    clips = [speech_like(n, seed=n) for n in range(200, 32_000, 421)]
    window = WindowSpec(80, 200)
    together = log_mel(clips, window)
    alone = torch.cat([log_mel(clip, window) for clip in clips])
    assert torch.allclose(together, alone, atol=1e-5)


def test_silence_is_the_floor_and_stays_finite() -> None:
    assert torch.equal(log_mel(np.zeros(4000, np.float32), WindowSpec(80, 200)), torch.full((1, 80, 200), -1.5))


def test_arrays_tensors_stacks_and_lists_agree() -> None:
    window, clip = WindowSpec(80, 200), speech_like(9000)
    expected = log_mel([clip, clip], window)
    for form in (np.stack([clip, clip]), torch.from_numpy(np.stack([clip, clip])), [torch.from_numpy(clip), clip]):
        assert torch.equal(log_mel(form, window), expected)
    assert torch.equal(log_mel(clip.astype(np.float64), window), expected[:1])


def test_other_rates_are_resampled_first() -> None:
    t48 = np.arange(48_000) / 48_000
    t16 = np.arange(16_000) / 16_000
    low, high = (np.sin(2 * np.pi * 1000 * t).astype(np.float32) for t in (t48, t16))
    difference = log_mel(low, WindowSpec(80, 200), 48_000) - log_mel(high, WindowSpec(80, 200))
    loud = log_mel(high, WindowSpec(80, 200)) > 0.5
    assert difference[loud].abs().max() < 0.02


def test_window_is_read_and_never_assumed(tmp_path: Path) -> None:
    config = WhisperConfig(num_mel_bins=128, max_source_positions=250)
    assert WindowSpec.of(config) == WindowSpec(128, 500)
    assert WindowSpec.of(config).seconds == 5.0
    assert WindowSpec.of(config).n_samples == 80_000
    config.save_pretrained(tmp_path)
    assert WindowSpec.of(tmp_path) == WindowSpec(128, 500)
    WhisperFeatureExtractor(feature_size=80, chunk_length=5).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="80 mel bands"):
        WindowSpec.of(tmp_path)
    nested = {"feature_extractor": json.loads((tmp_path / "preprocessor_config.json").read_text())}
    (tmp_path / "preprocessor_config.json").unlink()
    (tmp_path / "processor_config.json").write_text(json.dumps(nested))  # where transformers 5 puts it
    with pytest.raises(InputError, match="80 mel bands"):
        WindowSpec.of(tmp_path)


def test_folders_that_are_no_whisper_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json"):
        WindowSpec.of(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(InputError, match="'bert'"):
        WindowSpec.of(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        WindowSpec.of(str(tmp_path))
    with pytest.raises(InputError, match="no model folder"):
        WindowSpec.of(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no model folder 'whisper-smal'.*hub name"):
        WindowSpec.of("whisper-smal")  # no hub name: nothing is asked of the network
    with pytest.raises(InputError, match="neither num_mel_bins"):
        WindowSpec.of(object.__new__(type("Thing", (), {})))


@pytest.mark.parametrize(
    ("clip", "reason"),
    [
        (np.zeros(0, np.float32), "empty"),
        (np.full(100, np.nan, np.float32), "NaN"),
        (np.full(100, np.inf, np.float32), "NaN or infinite"),
        (np.zeros(32_001, np.float32), "longer than the model's window"),
        (np.zeros(100, np.int16), "floating-point"),
        (np.zeros((2, 3, 100), np.float32), "mono"),
        ([np.zeros((2, 100), np.float32)], "mono"),
        ([], "no clip"),
        ([0.0, 0.1], "list of numbers"),
    ],
)
def test_what_cannot_be_heard_is_refused(clip: object, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        log_mel(clip, WindowSpec(80, 200))
