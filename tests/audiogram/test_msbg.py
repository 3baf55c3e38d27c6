"""The Cambridge simulation: what is soft is lost, loud is loud, at any rate, for any batch, as array and as tensor."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiogram import Audiogram, Condition, apply_conditions, get_filter
from audiogram.errors import AudiogramWarning, InputError
from audiogram.filters.msbg import Msbg
from audiogram.filters.smearing import Smearing
from audiogram.kernels.smearing_frames import frame_of
from audiogram.kernels.threads import set_threads

RATE = 16_000
LEVEL = 100.0
EARS = {
    "none": Audiogram([500, 2000, 8000], [5, 10, 15]),
    "mild": Audiogram([500, 2000, 8000], [15, 25, 35]),
    "moderate": Audiogram([500, 2000, 8000], [20, 40, 60]),
    "severe": Audiogram([500, 2000, 8000], [40, 60, 75]),
}


def noise(*shape, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal(shape)


def tone(hz, rate=RATE, seconds=0.6):
    return np.sqrt(2) * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)


def level_of(y, level=LEVEL):
    quarter = len(y) // 4
    return level + 20 * np.log10(np.std(y[quarter:-quarter]))


def flat(loss, **options):
    return Msbg(Audiogram([125, 8000], [loss, loss]), sample_rate=RATE, level=LEVEL, **options)


@pytest.mark.parametrize("severity", ["none", "mild", "moderate", "severe"])
@pytest.mark.parametrize("loss", [20, 40, 60])
@pytest.mark.parametrize("hz", [500, 1000, 3000])
def test_a_drop_of_the_input_is_a_larger_one_of_the_output(severity, loss, hz):
    one = flat(loss, severity=severity)
    levels = [level_of(one(tone(hz) * 10 ** ((at - LEVEL) / 20))) for at in (60, 70, 80)]
    np.testing.assert_allclose(np.diff(levels), 10 * 105 / (105 - loss), rtol=0.03)


@pytest.mark.parametrize("loss", [30, 60, 80])
def test_loud_sound_is_as_loud_as_without_a_loss(loss):
    # a few channels around the tone's own must be above 105 dB SPL, too
    loud = 10 ** ((130 - LEVEL) / 20) * tone(1000)
    without = level_of(flat(0, severity="mild")(loud))
    assert level_of(flat(loss, severity="mild")(loud)) == pytest.approx(without, abs=1)


def test_sound_below_threshold_is_lost():
    soft = 10 ** ((30 - LEVEL) / 20) * tone(1000)
    assert level_of(flat(60)(soft)) < -60
    assert level_of(flat(0)(soft)) == pytest.approx(30, abs=1.5)


@pytest.mark.parametrize("transfer", ["windowed", "table"])
@pytest.mark.parametrize("source", ["free_field", "diffuse_field", "ear_reference_point"])
def test_without_a_loss_little_changes(transfer, source):
    one = flat(0, transfer=transfer, source=source)
    for hz in (125, 250, 500, 1000, 2000, 4000, 6000):
        y = one(tone(hz))
        assert level_of(y) == pytest.approx(LEVEL, abs=1.5), hz
        steady = slice(2400, -2400)
        assert np.corrcoef(y[steady], tone(hz)[steady])[0, 1] > 0.999, hz


@settings(deadline=None, max_examples=10)
@given(shift=st.floats(-40, 40), name=st.sampled_from(list(EARS)))
def test_level_says_what_a_sample_means(shift, name):
    x = noise(1500)
    louder = Msbg(EARS[name], sample_rate=RATE, level=LEVEL + shift)(x)
    scaled = Msbg(EARS[name], sample_rate=RATE, level=LEVEL)(x * 10 ** (shift / 20)) / 10 ** (shift / 20)
    np.testing.assert_allclose(louder, scaled, atol=1e-9 * np.abs(louder).max())


# frames of smearing have a whole number of samples, and their bins lie elsewhere for it: less equal with it
@pytest.mark.parametrize(("severity", "limit"), [("none", 0.5), ("auto", 1.0)])
@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 48_000])
def test_the_rate_does_not_matter(rate, severity, limit):
    options = {"level": LEVEL, "severity": severity}
    one = Msbg(EARS["moderate"], sample_rate=rate, **options)
    reference = Msbg(EARS["moderate"], sample_rate=44_100, **options)
    for hz in (300, 1000, 2500):
        wanted = level_of(reference(0.01 * tone(hz, 44_100)))
        assert level_of(one(0.01 * tone(hz, rate))) == pytest.approx(wanted, abs=limit), hz


@settings(deadline=None, max_examples=15)
@given(samples=st.integers(1, 2500), rate=st.sampled_from([8000, 16_000, 44_100]), name=st.sampled_from(list(EARS)))
def test_length_is_kept_and_silence_around_changes_nothing(samples, rate, name):
    one = Msbg(EARS[name], sample_rate=rate, level=LEVEL)
    x = noise(samples, seed=samples)
    y = one(x)
    assert y.shape == x.shape
    hop = frame_of(rate) // 4  # smearing frames then lie alike
    padded = one(np.pad(x, (40 * hop, 3000)))[40 * hop : 40 * hop + samples]
    np.testing.assert_allclose(y, padded, atol=0.03 * np.abs(padded).max())  # envelopes are sampled elsewhere


def test_a_click_stays_where_it_is():
    for rate in (16_000, 44_100):
        x = np.zeros(rate // 2)
        x[rate // 4] = 1
        y = Msbg(EARS["mild"], sample_rate=rate, level=LEVEL)(x)
        around = np.arange(len(x)) - rate // 4
        assert abs(np.sum(around * y**2) / np.sum(y**2)) < 0.002 * rate
        assert np.abs(y).argmax() == pytest.approx(rate // 4, abs=2)


def test_silence_and_steady_tones():
    one = Msbg(list(EARS.values()), sample_rate=RATE, level=LEVEL)
    x = np.zeros((4, 4000))
    assert not one(x).any()
    assert not one(torch.from_numpy(x)).any()
    x[1::2] = tone(1000)[:4000]
    y = one(x)
    assert np.isfinite(y).all()
    assert not y[::2].any()
    assert (np.std(y[1::2], axis=1) > 0.1).all()


def test_every_row_has_its_own_ear_and_severity():
    ears = [*EARS.values(), EARS["mild"]]
    x = noise(5, 2, 1100)
    one = Msbg(ears, sample_rate=RATE, level=LEVEL)
    y = one(x)
    for row, ear in enumerate(ears):
        np.testing.assert_allclose(y[row], Msbg(ear, sample_rate=RATE, level=LEVEL)(x[row]), atol=1e-14)
    tensor = one(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(tensor, y, atol=1e-11 * np.abs(y).max())
    single = one(x.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, y, atol=1e-6 * np.abs(y).max())


def test_together_mixes_severities_ears_options_and_rates_of_sharing():
    x = noise(3, 1200)
    filters = [
        Msbg(EARS["mild"], sample_rate=RATE, level=LEVEL),
        Msbg(EARS["severe"], sample_rate=RATE, level=LEVEL),
        Msbg(Audiogram([1000, 4000], [10, 20]), sample_rate=RATE, level=60),
        Msbg([EARS["mild"], EARS["severe"], EARS["none"]], sample_rate=RATE, level=LEVEL),
        Msbg([EARS["mild"]] * 3, sample_rate=RATE, level=LEVEL, source="diffuse_field"),
        Msbg(EARS["severe"], sample_rate=RATE, level=LEVEL, transfer="table", interpolation="log2"),
    ]
    wanted = np.stack([one(x) for one in filters])
    np.testing.assert_allclose(Msbg.together(filters, x), wanted, atol=1e-15)
    np.testing.assert_allclose(
        Msbg.together(filters, torch.from_numpy(x)).numpy(), wanted, atol=1e-11 * np.abs(wanted).max()
    )
    assert Msbg.together(filters[:3], np.zeros((0, 50))).shape == (3, 0, 50)
    with pytest.raises(InputError, match="no filter"):
        Msbg.together([], x)


def test_smearing_is_part_of_it_by_severity():
    at = np.arange(RATE) / RATE
    x = 0.02 * sum(np.cos(2 * np.pi * 400 * k * at + k * k) for k in range(1, 15))

    def depth(y):
        power = np.abs(np.fft.rfft(y * np.hanning(len(y)))) ** 2
        return 10 * np.log10(
            sum(power[400 * k - 60 : 400 * k + 60].sum() for k in range(2, 14))
            / sum(power[400 * k + 140 : 400 * k + 260].sum() for k in range(2, 14))
        )

    depths = [depth(flat(0, severity=severity)(x)) for severity in ("none", "mild", "moderate", "severe")]
    assert depths == sorted(depths, reverse=True)
    blurred = Smearing(EARS["none"], sample_rate=RATE, severity="severe")(x)
    assert depths[3] == pytest.approx(depth(blurred), abs=3)


def test_changing_gains_make_no_sound_far_away():
    """A loud voice of one frequency, and a loss that at high frequencies would let nothing else be heard."""
    rate = 44_100
    at = np.arange(rate) / rate
    fading = tone(400, rate, 1.0) * (0.5 - 0.5 * np.cos(2 * np.pi * 4 * at)) * 10 ** ((85 - LEVEL) / 20)
    y = Msbg(EARS["severe"], sample_rate=rate, level=LEVEL)(fading)
    power = np.abs(np.fft.rfft(y * np.hanning(rate))) ** 2
    assert 10 * np.log10(power[14_000:17_000].sum() / power.sum()) < -100


def test_limited_losses_warn():
    with pytest.warns(AudiogramWarning, match="95 dB HL for 80"):
        limited = flat(95)
    x = noise(3000)
    np.testing.assert_array_equal(limited(x), flat(80)(x))
    loud = tone(1000)
    assert level_of(flat(95, max_loss=100)(loud)) < level_of(limited(loud)) - 10


def test_thresholds_of_a_module():
    module = Msbg(EARS["moderate"], sample_rate=RATE, level=LEVEL).module(trainable=True)
    x = torch.from_numpy(noise(2, 900))
    both = torch.tensor([EARS["severe"].thresholds, EARS["none"].thresholds], dtype=torch.float64, requires_grad=True)
    y = module(x, both)
    wanted = Msbg([EARS["severe"], EARS["none"]], sample_rate=RATE, level=LEVEL)(x.numpy())
    np.testing.assert_allclose(y.detach().numpy(), wanted, atol=1e-11)
    y.square().sum().backward()
    assert (both.grad <= 0).all()  # more loss, less sound
    assert (both.grad[0] < 0).all()
    module(x).square().sum().backward()
    assert module.thresholds.grad.abs().sum() > 0


def test_in_conditions():
    level = {"speech_dbspl": 65}
    conditions = [Condition(name, ear, "msbg", level=level) for name, ear in EARS.items()]
    x = noise(2000).astype(np.float32)
    heard = apply_conditions(x, RATE, conditions)
    loudness = [np.std(one) for one in heard]
    assert loudness == sorted(loudness, reverse=True)
    assert Condition.from_dict(conditions[2].to_dict()) == conditions[2]
    assert dict(conditions[0].options)["interpolation"] == "linear"
    assert get_filter("msbg") is Msbg


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"severity": "sever"}, "Did you mean 'severe'"),
        ({"source": "ff"}, "unknown source 'ff'"),
        ({"transfer": "tables"}, "Did you mean 'table'"),
        ({"interpolation": "cubic"}, "unknown interpolation"),
        ({"max_loss": 105}, "max_loss"),
        ({"max_loss": 0}, "max_loss"),
        ({"level": "65"}, "dB SPL"),
        ({"level": 300}, "between -100 and 200"),
        ({"sample_rate": 0}, "positive number of Hz"),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(InputError, match=words):
        Msbg(EARS["mild"], **{"sample_rate": RATE, "level": LEVEL, **options})


def test_ears_and_rows_must_agree():
    one = Msbg([EARS["mild"], EARS["none"]], sample_rate=RATE, level=LEVEL)
    with pytest.raises(InputError, match="2 audiograms, one per row"):
        one(noise(3, 100))


def test_threads_and_batches_do_not_change_a_byte():
    ears = [EARS["severe"]] * 4 + list(EARS.values())
    x = noise(len(ears), 900)
    one = Msbg(ears, sample_rate=RATE, level=LEVEL)
    wanted = np.stack([Msbg(ear, sample_rate=RATE, level=LEVEL)(row) for ear, row in zip(ears, x, strict=True)])
    np.testing.assert_array_equal(one(x), wanted)
    set_threads(3)
    try:
        np.testing.assert_array_equal(one(x), wanted)
    finally:
        set_threads(1)
