"""Chunks of words: physics first, then the definition, loop by loop."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiogram.errors import InputError
from whisperprobe.ldl import chunk_boundaries, smoothed_envelope
from whisperprobe.ldl.chunks import boundaries_of_all, shortest_cut
from whisperprobe.ldl.chunks_plot import plot_chunks

_spec = spec_from_file_location("plain_cues", Path(__file__).parents[2] / "benchmarks" / "reference" / "plain_cues.py")
plain_cues = module_from_spec(_spec)
_spec.loader.exec_module(plain_cues)

RATES = (8_000, 16_000, 22_050, 44_100)


def pulses(times: list[float], seconds: float, rate: int = 16_000, hz: float = 440.0) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    envelope = sum(np.exp(-(((t - at) / 0.04) ** 2)) for at in times)
    return (0.5 * np.sin(2 * np.pi * hz * t) * envelope).astype(np.float32)


@pytest.mark.parametrize("rate", RATES)
def test_pulses_are_found_where_they_are_at_every_rate(rate: int) -> None:
    x = pulses([0.3, 0.75], 0.95, rate)
    assert chunk_boundaries(x, rate) / rate == pytest.approx([0.3, 0.75], abs=1e-3)
    assert chunk_boundaries(x, rate, "min") / rate == pytest.approx([0.525], abs=5e-3)


def test_silence_and_a_steady_tone_have_no_boundary() -> None:
    assert not len(chunk_boundaries(np.zeros(16_000, np.float32), 16_000))
    tone = np.sin(2 * np.pi * 500 * np.arange(16_000) / 16_000).astype(np.float32)  # whole periods: no edge
    assert np.ptp(smoothed_envelope(tone, 16_000)) < 1e-6
    for boundary in ("max", "min"):
        assert not len(chunk_boundaries(tone, 16_000, boundary))


@settings(max_examples=25, deadline=None)
@given(shift=st.integers(0, 20_000), gain=st.floats(1e-4, 1e3))
def test_neither_level_nor_silence_before_the_word_moves_its_boundaries(shift: int, gain: float) -> None:
    x = pulses([0.25, 0.5, 0.8], 1.05)
    later = np.concatenate([np.zeros(shift, np.float32), np.float32(gain) * x])
    assert len(chunk_boundaries(x, 16_000)) == 3
    assert np.abs(chunk_boundaries(later, 16_000) - shift - chunk_boundaries(x, 16_000)).max() <= 1


@settings(max_examples=30, deadline=None)
@given(samples=st.integers(1, 9_000), seed=st.integers(0, 2**20), boundary=st.sampled_from(["max", "min"]))
def test_as_the_definition_says(samples: int, seed: int, boundary: str) -> None:
    x = np.random.default_rng(seed).standard_normal(samples).astype(np.float32)
    found = chunk_boundaries(x, 16_000, boundary)
    assert found.tolist() == plain_cues.boundaries(x, boundary)
    assert all(np.diff(found) > 500)
    assert samples >= shortest_cut(16_000) or not len(found)


@pytest.mark.parametrize("rate", RATES)
def test_kernel_and_window_scale_with_the_rate(rate: int) -> None:
    x = np.random.default_rng(rate).standard_normal(rate).astype(np.float32)
    for boundary in ("max", "min"):
        found = chunk_boundaries(x, rate, boundary).tolist()
        assert found == plain_cues.boundaries(x, boundary, rate)
        assert len(found) >= 3
    assert len(smoothed_envelope(x, rate)) == rate - 2 * round(0.05 * rate)


def test_the_shortest_word_that_can_have_a_boundary() -> None:
    n = shortest_cut(16_000)
    assert n == 2_600

    def peak(at: int, samples: int) -> list[int]:
        k = np.arange(samples) - at
        x = (np.cos(np.pi / 2 * k) * np.exp(-((k / 300) ** 2))).astype(np.float32)
        return chunk_boundaries(x, 16_000).tolist()

    # the kernel reaches 800 samples to either side, and of a window of 1,000 samples a boundary is the 500th
    assert peak(1_299, n) == [1_299]
    assert peak(1_299, n - 1) == peak(1_298, n) == peak(1_300, n) == []
    assert len(smoothed_envelope(np.ones(1_600, np.float32), 16_000)) == 0


def test_clips_of_other_lengths_in_the_batch_change_nothing() -> None:
    rng = np.random.default_rng(3)
    clips = [torch.from_numpy(rng.standard_normal(n).astype(np.float32)) for n in (9_000, 1, 2_599, 2_600, 16_001)]
    for boundary in ("max", "min"):
        together = boundaries_of_all(clips, 16_000, boundary)
        alone = [boundaries_of_all([clip], 16_000, boundary)[0] for clip in clips]
        assert all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))
        assert sum(map(len, together)) > 10


def test_the_path_for_gpus_gives_the_same_envelope(monkeypatch: pytest.MonkeyPatch) -> None:
    from whisperprobe.ldl import chunks

    for samples in (999, 1_000, 7_919):
        clip = torch.from_numpy(np.random.default_rng(samples).standard_normal(samples).astype(np.float32))
        assert torch.allclose(chunks.torch_envelope(clip), chunks.numpy_envelope(clip), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("waveform", "options", "message"),
    [
        (np.zeros(0, np.float32), {}, "empty"),
        (np.zeros((2, 100), np.float32), {}, "mono"),
        (np.zeros(100, np.int16), {}, "divide by 32768"),
        (np.full(100, np.nan, np.float32), {}, "NaN"),
        (np.zeros(100, np.float32), {"boundary": "maximum"}, "Did you mean 'max'"),
    ],
)
def test_what_is_no_word_is_refused(waveform: np.ndarray, options: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        chunk_boundaries(waveform, 16_000, **options)


def test_a_picture_shows_boundaries_envelope_and_bands() -> None:
    figure, axes = plt.subplots()
    assert plot_chunks(pulses([0.3, 0.75], 1.1, 8_000), 8_000, ax=axes) is axes
    drawn = [line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1]
    assert drawn == pytest.approx([0.3, 0.75], abs=1e-3)
    assert axes.get_xlabel() == "Time (s)"
    plt.close(figure)
    own = plot_chunks(pulses([0.3], 0.6), 16_000, boundary="min")
    assert own.figure is not figure
    plt.close(own.figure)
