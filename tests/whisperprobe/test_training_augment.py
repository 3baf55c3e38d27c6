"""Augmentation: physics of each change, and draws that belong to (seed, epoch, id) alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from audiogram.errors import InputError
from whisperprobe.training.augment import Augmentation, draw

RATE = 16_000
WINDOW = 2 * RATE


def tone(frequency: float = 1000.0, n: int = RATE) -> np.ndarray:
    return (0.2 * np.sin(2 * np.pi * frequency * np.arange(n) / RATE)).astype(np.float32)


def changed(augmentation: Augmentation, x: np.ndarray, name: str = "a", epoch: int = 0) -> np.ndarray:
    return augmentation.waveform(x, draw(3, epoch, name), sample_rate=RATE, longest=WINDOW)


def peak_frequency(x: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(x * np.hanning(len(x)), 1 << 17))) * RATE / (1 << 17))


def test_draws_belong_to_seed_epoch_and_name() -> None:
    assert draw(1, 2, "x").random() == draw(1, 2, "x").random()
    others = {draw(1, 2, "x").random(), draw(2, 2, "x").random(), draw(1, 3, "x").random(), draw(1, 2, "y").random()}
    assert len(others) == 4


def test_no_global_generator_is_touched() -> None:
    before = np.random.get_state()[1].copy(), torch.random.get_rng_state()  # noqa: NPY002
    changed(Augmentation.of("voices"), tone())
    assert np.array_equal(before[0], np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(before[1], torch.random.get_rng_state())


def test_speed_moves_pitch_and_length_together() -> None:
    augmentation = Augmentation(speed=0.2)
    factors = []
    for i in range(20):
        y = changed(augmentation, tone(), name=str(i))
        factor = RATE / len(y)
        assert peak_frequency(y) == pytest.approx(1000 * factor, rel=2e-3)
        factors.append(factor)
    assert 1 / 1.2 - 1e-3 <= min(factors) < 0.95 < 1.05 < max(factors) <= 1.2 + 1e-3


def test_a_slowed_clip_still_fits_the_window() -> None:
    for i in range(20):
        assert len(changed(Augmentation(speed=1.0, shift_seconds=1.0), tone(n=WINDOW - 10), name=str(i))) <= WINDOW


def test_gain_scales_and_nothing_else() -> None:
    y = changed(Augmentation(gain_db=6.0), tone())
    factor = float(y[1000] / tone()[1000])
    assert np.allclose(y, factor * tone(), atol=1e-6)
    assert 10 ** (-6 / 20) <= factor <= 10 ** (6 / 20)


def test_noise_has_the_ratio_that_was_drawn() -> None:
    for i in range(5):
        noise = changed(Augmentation(noise_snr_db=10.0), tone(), name=str(i)) - tone()
        snr = 10 * np.log10(np.mean(tone() ** 2) / np.mean(noise**2))
        assert 9.5 <= snr <= 40.5


def test_silence_stays_silence() -> None:
    assert not changed(Augmentation.of("voices"), np.zeros(RATE, np.float32)).any()


def test_shift_puts_silence_first_and_keeps_the_sound() -> None:
    y = changed(Augmentation(shift_seconds=0.5), tone())
    lead = len(y) - RATE
    assert 0 < lead <= RATE // 2
    assert not y[:lead].any()
    assert np.array_equal(y[lead:], tone())


def test_masks_hide_only_what_they_say() -> None:
    augmentation = Augmentation(time_masks=1, time_mask_seconds=0.2, band_masks=1, band_mask_bands=10)
    features = torch.randn(80, 200, generator=torch.Generator().manual_seed(0))
    for i in range(10):
        masked = features.clone()
        augmentation.mask(masked, 150, draw(0, 0, str(i)))
        hidden = masked != features
        assert not hidden[:, 150:].any()
        columns = int(hidden.all(dim=0).sum())
        rows = int(hidden[:, :150].all(dim=1).sum())
        assert columns <= 20
        assert rows <= 10
        assert int(hidden.sum()) == columns * 80 + rows * 150 - columns * rows


def test_probability_zero_changes_nothing() -> None:
    augmentation = Augmentation(speed=0.2, gain_db=6, noise_snr_db=10, shift_seconds=0.5, probability=0.0)
    assert np.array_equal(changed(augmentation, tone()), tone())


def test_how_it_can_be_said() -> None:
    assert Augmentation.of(None) is None
    assert Augmentation.of(False) is None
    assert Augmentation.of(True) == Augmentation.of("voices")
    assert Augmentation.of({"speed": 0.1}) == Augmentation(speed=0.1)
    assert Augmentation(**Augmentation.of("voices").to_dict()) == Augmentation.of("voices")
    assert not Augmentation.of("masks").needs_waveform
    for wrong, reason in (
        ("voice", "Did you mean 'voices'"),
        ({"sped": 1}, "Did you mean 'speed'"),
        (3, "augment is 3"),
    ):
        with pytest.raises(InputError, match=reason):
            Augmentation.of(wrong)
    with pytest.raises(InputError, match=r"time_masks is 1\.5"):
        Augmentation(time_masks=1.5)
    with pytest.raises(InputError, match="speed is 2"):
        Augmentation(speed=2)
