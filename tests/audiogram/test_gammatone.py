"""The gammatone banks: their shape, their sum, the envelopes, and one definition in three forms."""

import math

import numpy as np
import pytest
import scipy.interpolate
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiogram.errors import InputError
from audiogram.kernels import gammatone_torch
from audiogram.kernels.gammatone import ENVELOPE_DB, channels, composite, equaliser, responses
from audiogram.kernels.gammatone_gain import Expansion, expand
from audiogram.kernels.gammatone_smoothing import layout, smoothing
from audiogram.kernels.threads import in_row_blocks
from audiogram.scales import erb_bandwidth, erb_number

BANKS = ("mild", "moderate", "severe")
RATES = (16_000, 22_050, 44_100, 48_000)
NONE = np.zeros(1, np.int64)


def noise(*shape, seed=0, dtype=np.float64):
    return (0.1 * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def unchanged(bank):
    return Expansion(np.zeros((1, len(bank))), np.ones((1, len(bank))))


def naive(x, exponents, catch_up, bank, flat):
    """With SciPy's filters, channel by channel and sample by sample: slow, and to be checked by eye."""
    hop, lead, reach, frames = bank.hop, int(bank.advances.max()), bank.reach, layout(bank, len(x), bank.reach).frames
    padded = np.concatenate([np.zeros(lead), x, np.zeros(frames * hop)])
    total = np.zeros(frames * hop)
    for c in range(len(bank)):
        below = [1, *bank.pole[:, c]]
        z = scipy.signal.lfilter(bank.first[:, c], below, padded)
        for _ in range(3):
            z = scipy.signal.lfilter([1, -bank.zero[c]], below, z)
        if c >= bank.first_high:
            z = scipy.signal.lfilter(bank.high_gain[c] * np.array([1, -2, 1]), [1, *bank.high_pole[:, c]], z)
        z = z[bank.advances[c] :][: frames * hop]
        around = np.concatenate([np.zeros(hop), np.abs(z), np.zeros(hop)])
        triangle = (1 - np.abs(np.arange(-hop, hop)) / hop) / hop
        envelope = [np.dot(around[k * hop :][: 2 * hop], triangle) for k in range(frames + 1)]
        size = 2 * frames + 1000
        envelope = np.fft.irfft(np.fft.rfft(envelope, size) * smoothing(bank, size)[c], size)[: frames + 1]
        gain = np.clip(envelope / catch_up[c], 1e-10, 1) ** exponents[c]
        held = np.concatenate([gain[[0, 0]], gain, gain[[-1, -1]]])
        knots = held[1:-1] * 4 / 3 - (held[:-2] + held[2:]) / 6
        spline = scipy.interpolate.BSpline(np.arange(len(knots) + 4) - 3.0, knots, 3)
        total += z * spline(np.arange(frames * hop) / hop)
    return np.convolve(total, equaliser(bank, flat))[lead + reach :][: len(x)]


@pytest.mark.parametrize("name", BANKS)
@pytest.mark.parametrize("flat", [True, False])
def test_equals_the_naive_filters(name, flat):
    for rate, samples in ((16_000, 1601), (44_100, 1500)):
        bank = channels(name, rate)
        rng = np.random.default_rng(1)
        exponents, catch_up = rng.uniform(0, 3, len(bank)), rng.uniform(0.01, 0.5, len(bank))
        x = noise(samples)
        wanted = naive(x, exponents, catch_up, bank, flat)
        found = expand(x[None], [Expansion(exponents[None], catch_up[None])], [NONE], bank, equaliser(bank, flat))[0, 0]
        np.testing.assert_allclose(found, wanted, atol=1e-7 * np.abs(wanted).max(), rtol=0)


@settings(deadline=None, max_examples=15)
@given(
    name=st.sampled_from(BANKS),
    rate=st.sampled_from((3_000, 8_000, *RATES)),
    samples=st.integers(1, 4000),
    flat=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_recursions_and_transforms_are_one_definition(name, rate, samples, flat, seed):
    bank, rng = channels(name, rate), np.random.default_rng(seed)
    x = noise(2, samples, seed=seed)
    exponents, catch_up = rng.uniform(0, 3.2, (2, len(bank))), rng.uniform(0.001, 1, (2, len(bank)))
    found = expand(x, [Expansion(exponents, catch_up)], [np.arange(2)], bank, equaliser(bank, flat))[0]
    tensor = gammatone_torch.expand(
        *map(torch.from_numpy, (x, exponents, catch_up)), bank, equaliser(bank, flat)
    ).numpy()
    np.testing.assert_allclose(tensor, found, atol=1e-11 * np.abs(found).max(), rtol=0)


@pytest.mark.parametrize("name", BANKS)
@pytest.mark.parametrize("rate", RATES)
def test_every_channel_is_a_gammatone(name, rate):
    bank = channels(name, rate)
    factor = {"mild": 1.5, "moderate": 2.0, "severe": 3.0}[name]
    np.testing.assert_allclose(bank.widths, factor * erb_bandwidth(bank.centres))
    for c in range(len(bank)):
        centre, width = bank.centres[c], bank.widths[c]
        near = np.clip(centre + width * np.linspace(-0.75, 0.75, 9), 0, rate / 2)
        found = np.abs(responses(bank, near)[c])
        assert found[4] == pytest.approx(1, abs=1e-9)  # the gain at the centre
        if centre < rate / 30:  # where sampling does not show yet
            s = 2j * np.pi * near + 2 * np.pi * width  # Laplace transform of exp(-2 pi b t) cos(2 pi f t), four times
            wanted = np.abs(s / (np.square(s) + (2 * np.pi * centre) ** 2)) ** 4
            np.testing.assert_allclose(20 * np.log10(found), 20 * np.log10(wanted / wanted[4]), atol=1.3)


@pytest.mark.parametrize(
    ("name", "count", "spacing"), [("mild", 36, 1.125), ("moderate", 28, 1.5), ("severe", 19, 2.25)]
)
def test_centres_are_those_of_the_published_banks(name, count, spacing):
    bank = channels(name, 44_100)
    assert len(bank) == count
    assert bank.centres[-1] == 19_183.5
    numbers = erb_number(bank.centres)
    np.testing.assert_allclose(np.diff(numbers)[bank.centres[1:] > 1100], spacing, atol=1e-4)
    assert (np.diff(numbers) < 1.06 * spacing).all()


@pytest.mark.parametrize("name", BANKS)
@pytest.mark.parametrize("rate", RATES)
def test_the_sum_has_no_delay_and_is_flat(name, rate):
    bank = channels(name, rate)
    frequencies = np.fft.rfftfreq(1 << 16, 1 / rate)
    inside = (frequencies >= 20) & (frequencies <= 22_000)
    before = responses(bank, frequencies).sum(axis=0)
    for flat in (True, False):
        kernel = np.fft.rfft(equaliser(bank, flat), 1 << 16)
        kernel *= np.exp(2j * np.pi * frequencies / rate * bank.reach)
        after = (before * kernel)[inside]
        assert np.abs(np.angle(after)).max() < 0.03, "the sum turns phases"
        level = 20 * np.log10(np.abs(after))
        if flat:
            assert np.abs(level).max() < 0.2
        else:
            usual = 20 * np.log10(np.abs(composite(channels(name, 44_100), frequencies[inside])))
            np.testing.assert_allclose(level, usual, atol=0.25)
            speech = (frequencies[inside] > 80) & (frequencies[inside] < 17_000)
            assert np.abs(usual[speech]).max() < 3


@pytest.mark.parametrize("name", BANKS)
@pytest.mark.parametrize("rate", RATES)
def test_an_impulse_stays_where_it_is(name, rate):
    bank = channels(name, rate)
    for place in (0, 700, 1499):
        x = np.zeros((1, 1500))
        x[0, place] = 1
        y = expand(x, [unchanged(bank)], [NONE], bank, equaliser(bank, True))[0]
        np.testing.assert_allclose(y, x, atol=1e-3 if rate <= 44_100 else 0.1)  # the banks end at 22 kHz
        assert np.argmax(y) == place


def test_channels_add_up():
    bank, x = channels("mild", 16_000), noise(1, 3000)
    whole = expand(x, [unchanged(bank)], [NONE], bank, equaliser(bank, True))
    parts = np.zeros_like(whole)
    for c in range(len(bank)):
        only = np.full((1, len(bank)), 3.0)
        only[0, c] = 0
        parts += expand(x, [Expansion(only, np.full((1, len(bank)), 1e30))], [NONE], bank, equaliser(bank, True))
    np.testing.assert_allclose(parts, whole, atol=1e-12)


def test_a_tone_at_a_centre_has_the_envelope_of_its_level():
    bank = channels("moderate", 16_000)
    time = np.arange(16_000) / 16_000
    for c in (4, 10, 18):
        tone = 0.1 * np.sqrt(2) * np.sin(2 * np.pi * bank.centres[c] * time)
        level = 0.1 * 10 ** (ENVELOPE_DB / 20)
        # a gain that is 1 from exactly this envelope on, and half of it below by half
        for factor, wanted in ((0.999, 1.0), (2.0, 0.25)):
            catch_up, exponents = np.full((1, len(bank)), factor * level), np.zeros((1, len(bank)))
            exponents[0, c] = 2.0
            rest = expand(tone[None], [unchanged(bank)], [NONE], bank, equaliser(bank, True))[0, 0]
            heard = expand(tone[None], [Expansion(exponents, catch_up)], [NONE], bank, equaliser(bank, True))[0, 0]
            gain = 1 / np.abs(responses(bank, bank.centres[c : c + 1]).sum())
            steady = slice(4000, -4000)
            lost = np.std((rest - heard)[steady]) / 0.1
            assert lost == pytest.approx((1 - wanted) * gain, abs=0.01)


def test_smoothing_is_that_of_the_published_simulation():
    bank = channels("severe", 44_100)
    size = 4096
    frequencies = np.fft.rfftfreq(size, bank.hop / 44_100)
    found = smoothing(bank, size)
    for c in (0, 5, 18):
        corner = 0.75 * min(100, erb_bandwidth(bank.centres[c]))
        b, a = scipy.signal.ellip(2, 0.25, 35, corner / 22_050)
        wanted = np.abs(scipy.signal.freqz(b, a, frequencies, fs=44_100)[1]) ** 2
        np.testing.assert_allclose(found[c], wanted, atol=2e-4)


def test_several_rules_and_ears_share_the_channels():
    bank, x = channels("severe", 16_000), noise(3, 2000)
    rng = np.random.default_rng(3)
    rules = [Expansion(rng.uniform(0, 2, (2, len(bank))), np.full((2, len(bank)), 0.5)), unchanged(bank)]
    ears = [np.array([0, 1, 0]), np.zeros(3, np.int64)]
    both = expand(x, rules, ears, bank, equaliser(bank, True))
    for i in range(2):
        np.testing.assert_allclose(
            both[i], expand(x, rules[i : i + 1], ears[i : i + 1], bank, equaliser(bank, True))[0], atol=1e-15
        )
    for row in range(3):
        alone = expand(x[row : row + 1], rules, [one[row : row + 1] for one in ears], bank, equaliser(bank, True))
        np.testing.assert_array_equal(both[:, row], alone[:, 0])


def test_threads_do_not_show(monkeypatch):
    bank, x = channels("severe", 16_000), noise(5, 900)
    rule = Expansion(np.ones((5, len(bank))), np.linspace(0.1, 1, 5)[:, None] * np.ones(len(bank)))
    wanted = expand(x, [rule], [np.arange(5)], bank, equaliser(bank, True))
    monkeypatch.setenv("AUDIOGRAM_THREADS", "2")
    monkeypatch.setattr("audiogram.kernels.threads._threads", None)
    np.testing.assert_array_equal(expand(x, [rule], [np.arange(5)], bank, equaliser(bank, True)), wanted)


def test_threads_within_threads_do_not_wait_for_each_other(monkeypatch):
    monkeypatch.setattr("audiogram.kernels.threads._threads", 2)
    done = []
    in_row_blocks(lambda *outer: in_row_blocks(lambda *inner: done.append((outer, inner)), 3), 4)
    assert sorted(done) == [((0, 2), (0, 3)), ((2, 4), (0, 3))]


def test_channels_at_once_do_not_show(monkeypatch):
    bank = channels("severe", 16_000)
    x, exponents = torch.from_numpy(noise(3, 900)), torch.ones(1, len(bank), dtype=torch.float64)
    whole = gammatone_torch.expand(x, exponents, exponents, bank, equaliser(bank, True))
    monkeypatch.setattr(gammatone_torch, "_AT_ONCE", 1)
    found = gammatone_torch.expand(x, exponents, exponents, bank, equaliser(bank, True))
    np.testing.assert_allclose(found.numpy(), whole.numpy(), atol=1e-14)


def test_silence_in_sound_stays_silent_and_states_leave_no_denormals():
    bank = channels("mild", 16_000)
    x = np.zeros((1, 16_000 * 6))
    x[0, :1600] = noise(1600)
    y = expand(x, [unchanged(bank)], [NONE], bank, equaliser(bank, True))[0, 0]
    assert np.abs(y[8000:]).max() < 1e-15
    small = np.abs(y[y != 0])
    assert small.min() > np.finfo(np.float64).tiny
    assert not expand(np.zeros((1, 500)), [unchanged(bank)], [NONE], bank, equaliser(bank, True)).any()


def test_gradients():
    bank = channels("severe", 3_000)
    torch.manual_seed(0)
    x = 0.1 * torch.randn(1, 60, dtype=torch.float64)
    exponents = torch.rand(1, len(bank), dtype=torch.float64) + 0.5
    catch_up = torch.rand(1, len(bank), dtype=torch.float64) + 0.1
    for tensor in (x, exponents, catch_up):
        tensor.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda *a: gammatone_torch.expand(*a, bank, equaliser(bank, True)), (x, exponents, catch_up)
    )


@pytest.mark.parametrize("rate", [100, 500.5, 2_000])
def test_there_is_a_channel_at_any_rate(rate):
    for name in BANKS:
        bank = channels(name, rate)
        y = expand(noise(1, 200), [unchanged(bank)], [NONE], bank, equaliser(bank, True))
        assert math.isfinite(y.sum())


def test_unknown_bank():
    with pytest.raises(InputError, match="unknown gammatone bank 'mids'"):
        channels("mids", 16_000)
