"""Augmentation: physics of each change, and draws that belong to (seed, epoch, id) alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

import audiogram
from audiogram.errors import InputError
from whisperprobe.features import WindowSpec
from whisperprobe.training.augment import Augmentation, draw
from whisperprobe.training.filtering import through_ears
from whisperprobe.training.masking import hide
from whisperprobe.training.pitch import shifted_pitch

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
    augmentation = Augmentation(time_masks=1, time_mask_seconds=0.2, frequency_masks=1, frequency_mask_bands=10)
    features = torch.randn(3, 80, 200, generator=torch.Generator().manual_seed(0))
    for i in range(10):
        spans = np.stack([augmentation.spans(150, 80, draw(0, 0, f"{i}/{k}")) for k in range(3)])
        masked = hide(features, [150] * 3, torch.from_numpy(spans), 1)
        for one, before, ((t0, t1), (b0, b1)) in zip(masked, features, spans.tolist(), strict=True):
            hidden = torch.zeros(80, 200, dtype=torch.bool)
            hidden[:, t0:t1] = hidden[b0:b1, :150] = True
            assert t1 - t0 <= 20
            assert b1 - b0 <= 10
            assert torch.equal(one[~hidden], before[~hidden])
            assert torch.allclose(one[hidden], before[:, :150].mean(), atol=1e-6)


def test_masks_of_a_clip_do_not_depend_on_the_batch_or_on_what_is_behind_it() -> None:
    augmentation, features = Augmentation.of("specaugment-ld"), torch.randn(2, 80, 120)
    spans = torch.from_numpy(np.stack([augmentation.spans(n, 80, draw(0, 0, str(n))) for n in (60, 120)]))
    both = hide(features, [60, 120], spans, augmentation.time_masks)
    alone = hide(features[:1, :, :60], [60], spans[:1], augmentation.time_masks)
    assert torch.allclose(both[0, :, :60], alone[0], atol=1e-6)
    assert torch.equal(both[0, :, 60:], features[0, :, 60:])


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("lb", (27, 1, 100, 1.0, 1)),
        ("ld", (27, 2, 100, 1.0, 2)),
        ("sm", (15, 2, 70, 0.2, 2)),
        ("ss", (27, 2, 70, 0.2, 2)),
    ],
)
def test_published_policies_of_specaugment(name: str, policy: tuple[float, ...]) -> None:
    """F, m_F, T (frames), p, m_T of table 1 of the paper."""
    found = Augmentation.of(f"specaugment-{name}")
    assert policy == (
        found.frequency_mask_bands, found.frequency_masks, 100 * found.time_mask_seconds, found.time_mask_share,
        found.time_masks,
    )  # fmt: skip
    widths = np.array([found.spans(1000, 80, draw(0, 0, str(i))) for i in range(400)])
    lengths = widths[..., 1] - widths[..., 0]
    time, bands = lengths[:, : found.time_masks], lengths[:, found.time_masks :]
    assert 0.9 * policy[2] <= time.max() <= policy[2]
    assert bands.max() == policy[0]
    assert time.mean() == pytest.approx(policy[2] / 2, rel=0.1)
    share = np.array([found.spans(50, 80, draw(0, 0, str(i))) for i in range(400)])[:, : found.time_masks]
    assert (share[..., 1] - share[..., 0]).max() == round(50 * policy[3])


def test_masks_are_as_much_wider_as_there_are_more_bands() -> None:
    spans = np.array([Augmentation.of("specaugment-lb").spans(100, 128, draw(0, 0, str(i))) for i in range(400)])[:, 1]
    assert (spans[:, 1] - spans[:, 0]).max() == int(27 * 128 / 80)


# Pitch


def vowel(pitch: float, formants: tuple[float, ...] = (700, 1200, 2600), n: int = RATE) -> np.ndarray:
    """A pulse train through resonators of 100 Hz bandwidth."""
    x = np.zeros(n)
    x[np.arange(0, n, RATE / pitch).astype(int)] = 1.0
    for frequency in formants:
        r = np.exp(-np.pi * 100 / RATE)
        x = lfilter([1.0], [1.0, -2 * r * np.cos(2 * np.pi * frequency / RATE), r * r], x)
    return (0.2 * x / np.abs(x).max()).astype(np.float32)


def pitch_of(x: np.ndarray) -> float:
    middle = x[RATE // 4 : 3 * RATE // 4]
    lags = np.correlate(middle, middle, "full")[len(middle) - 1 :]
    return RATE / (40 + int(np.argmax(lags[40:300])))


def formants_of(x: np.ndarray) -> np.ndarray:
    """Peaks of the all-pole model of order 10, Hz."""
    middle = x[RATE // 4 : 3 * RATE // 4] * np.hanning(RATE // 2)
    lags = np.correlate(middle, middle, "full")[len(middle) - 1 :][:11]
    lags[0] *= 1.0001
    roots = np.roots([1.0, *-solve_toeplitz(lags[:10], lags[1:])])
    kept = roots[(roots.imag > 0) & (np.abs(roots) > np.exp(-np.pi * 500 / RATE))]
    return np.sort(np.angle(kept) * RATE / (2 * np.pi))


@pytest.mark.parametrize("semitones", [-4.0, -1.5, 2.0, 4.0])
def test_pitch_moves_and_formants_and_tempo_stay(semitones: float) -> None:
    x = vowel(130.0)
    y = shifted_pitch(x, semitones, RATE)
    assert len(y) == len(x)
    assert pitch_of(y) == pytest.approx(130 * 2 ** (semitones / 12), rel=0.01)
    assert formants_of(y)[:2] == pytest.approx([700, 1200], rel=0.08)
    assert np.sqrt(np.mean(y**2)) == pytest.approx(np.sqrt(np.mean(x**2)), rel=0.01)


def test_resampling_alone_would_have_moved_the_formants() -> None:
    """What the check above would say to a pitch shift that keeps nothing."""
    moved = vowel(130 * 2 ** (4 / 12), tuple(f * 2 ** (4 / 12) for f in (700, 1200, 2600)))
    assert formants_of(moved)[:2] != pytest.approx([700, 1200], rel=0.08)


def test_onsets_stay_where_they_are() -> None:
    x = np.concatenate([np.zeros(RATE // 2, np.float32), vowel(120.0, n=RATE // 2)])
    for semitones in (-3.0, 3.0):
        y = shifted_pitch(x, semitones, RATE)
        energy = np.cumsum(np.square(y, dtype=np.float64))
        assert abs(int(np.searchsorted(energy, 0.01 * energy[-1])) - RATE // 2) < 0.03 * RATE


def test_clips_too_short_to_have_a_pitch_are_left_alone() -> None:
    x = tone(n=200)
    assert np.array_equal(shifted_pitch(x, 3.0, RATE), x)


def test_pitch_does_not_move_the_other_draws() -> None:
    for i in range(5):
        plain = changed(Augmentation(gain_db=6.0, shift_seconds=0.3), tone(), name=str(i))
        both = changed(Augmentation(gain_db=6.0, shift_seconds=0.3, pitch_semitones=3.0), tone(), name=str(i))
        assert len(plain) == len(both)


# Ears


def test_every_clip_has_an_ear_of_its_own_in_every_epoch() -> None:
    augmentation = Augmentation(ears="bisgaard")
    drawn = [augmentation.thresholds(3, epoch, id) for epoch in (0, 1) for id in ("a", "b")]
    assert not any(np.array_equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])
    assert np.array_equal(drawn[0], audiogram.random_audiogram(3, "bisgaard", epoch=0, id="a").thresholds)
    assert not Augmentation(ears="iso7029", probability=0.0).thresholds(3, 0, "a").any()


@pytest.mark.parametrize("source", ["iso7029", "bisgaard"])
def test_ears_are_the_filter_of_the_drawn_audiograms_at_the_level_that_was(source: str) -> None:
    rng, lengths = np.random.default_rng(0), [9000, 16_000]
    window = WindowSpec(80, 100)
    sound = torch.zeros(2, 16_000)
    for row, n in zip(sound, lengths, strict=True):
        row[:n] = torch.from_numpy(0.1 * rng.standard_normal(n, dtype=np.float32))
    ears = [audiogram.random_audiogram(1, source, id=str(i)) for i in range(2)]
    thresholds = torch.tensor([ear.thresholds for ear in ears])
    heard = through_ears(sound, lengths, thresholds, source, window)
    for row, given, n, ear in zip(heard, sound, lengths, ears, strict=True):
        longer = np.pad(given[:n].numpy(), (0, 2048))
        expected = audiogram.get_filter("attenuation")(ear, sample_rate=RATE)(longer)[:n]
        expected *= np.sqrt(np.mean(given[:n].numpy() ** 2) / np.mean(expected**2))
        assert np.abs(row[:n].numpy() - expected).max() < 1e-6
        assert not row[n:].any()
    alone = through_ears(sound[:1, :9000], lengths[:1], thresholds[:1], source, window)
    assert torch.allclose(alone[0], heard[0, :9000], atol=1e-7)


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
    assert Augmentation(ears="iso7029").needs_waveform
    for wrong, reason in (
        ("voice", "Did you mean 'voices'"),
        ({"sped": 1}, "Did you mean 'speed'"),
        ({"ears": "bisgard"}, "Did you mean 'bisgaard'"),
        (3, "augment is 3"),
    ):
        with pytest.raises(InputError, match=reason):
            Augmentation.of(wrong)
    with pytest.raises(InputError, match=r"time_masks is 1\.5"):
        Augmentation(time_masks=1.5)
    with pytest.raises(InputError, match="speed is 2"):
        Augmentation(speed=2)
