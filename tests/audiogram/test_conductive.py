"""Conductive and mixed losses: what the middle ear takes, what the cochlea hears, and what is handed on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiogram import Audiogram, Condition, apply_conditions, get_filter
from audiogram.errors import AudiogramWarning, InputError
from audiogram.filters import conformance
from audiogram.filters.attenuation import Attenuation
from audiogram.filters.conductive import Conductive
from audiogram.filters.registry import filter_flags
from audiogram.filters.threshold_noise import ThresholdNoise

RATE = 16_000
HZ = (250, 500, 1000, 2000, 4000, 8000)
BONE = Audiogram(HZ[1:5], [5, 10, 30, 45])
MIXED = Audiogram(HZ, [40, 40, 45, 60, 80, 90], bone=BONE)
COCHLEAE = [
    pytest.param({"cochlear": None}, id="none"),
    pytest.param({"cochlear": "attenuation", "cochlear_options": {"n_fft": 1024}}, id="options"),
    pytest.param({"interpolation": "erb"}, id="erb"),
    *(pytest.param({"cochlear": name}, id=name) for name in ("threshold_noise", "smearing", "recruitment", "msbg")),
]


def sound(*shape, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal(shape)


def tone_gain(one, frequency, rate=RATE):
    """Gain in dB on a tone in the middle of a second."""
    x = np.sin(2 * np.pi * frequency * np.arange(rate) / rate)
    part = slice(rate // 4, 3 * rate // 4)
    return 20 * np.log10(np.std(one(x)[part]) / np.std(x[part]))


@pytest.mark.parametrize("options", COCHLEAE)
@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
def test_it_conforms_with_every_cochlea(check, options):
    check("conductive", options)


def test_the_parts_add_up_to_the_air_thresholds():
    one = Conductive(MIXED, sample_rate=RATE)
    gap, cochlea = one.gap_ears[0], one.cochlear_ears[0]
    assert gap.frequencies == cochlea.frequencies == MIXED.frequencies
    assert gap.thresholds == (35, 35, 35, 30, 35, 35)  # held at 250 and 8000 Hz, where bone was not measured
    assert cochlea.thresholds == (5, 5, 10, 30, 45, 55)
    assert np.add(gap.thresholds, cochlea.thresholds).tolist() == list(MIXED.thresholds)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_gap_is_negative_and_no_cochlea_worse_than_the_ear(data):
    hz = np.array(HZ)
    air = data.draw(st.lists(st.integers(-10, 110), min_size=6, max_size=6))
    low = data.draw(st.integers(0, 5))
    high = data.draw(st.integers(low, 5))
    bone = data.draw(st.lists(st.integers(-10, 80), min_size=high - low + 1, max_size=high - low + 1))
    ear = Audiogram(hz, air, bone=Audiogram(hz[low : high + 1], bone))
    one = Conductive(ear, sample_rate=RATE, cochlear=None)
    gap, cochlea = (np.array(e[0].thresholds) for e in (one.gap_ears, one.cochlear_ears))
    np.testing.assert_allclose(gap + cochlea, air, atol=1e-9)
    assert (gap >= 0).all()
    inside = slice(low, high + 1)
    np.testing.assert_allclose(cochlea[inside], np.minimum(bone, air[inside]), atol=1e-9)
    outside = np.r_[0:low, high + 1 : 6]
    assert (cochlea[outside] >= np.minimum(np.array(air)[outside], 0) - 1e-9).all()
    assert (gap[outside] <= max(gap[low], gap[high]) + 1e-9).all()


def test_bone_conduction_between_air_frequencies_is_interpolated():
    ear = Audiogram([500, 1000, 2000], [50, 50, 50], bone=Audiogram([500, 2000], [10, 30]))
    assert Conductive(ear, sample_rate=RATE).gap_ears[0].thresholds == (40, 30, 20)
    linear = Conductive(ear, sample_rate=RATE, interpolation="linear").gap_ears[0].thresholds
    assert linear == pytest.approx((40, 100 / 3, 20))


def test_a_linear_cochlea_makes_it_the_audiogram():
    x = sound(20_000)
    one = Conductive(MIXED, sample_rate=RATE)
    for frequency in (500, 1000, 2000, 4000):
        assert tone_gain(one, frequency) == pytest.approx(-float(MIXED.at(frequency)), abs=0.3)
    alone = Conductive(MIXED, sample_rate=RATE, cochlear=None)
    np.testing.assert_allclose(alone(x), Attenuation(one.gap_ears[0], sample_rate=RATE)(x), atol=1e-15)
    np.testing.assert_allclose(one(x), Attenuation(one.cochlear_ears[0], sample_rate=RATE)(alone(x)), atol=1e-15)


def test_a_purely_conductive_loss_is_linear_whatever_the_cochlea():
    ear = Audiogram([250, 8000], [40, 40], bone=Audiogram([250, 8000], [0, 0]))
    x = sound(4000)
    one = Conductive(ear, sample_rate=RATE, cochlear="threshold_noise", level=120.0)
    np.testing.assert_allclose(one(x, keys="a") - one(np.zeros(4000), keys="a"), 0.01 * x, atol=1e-12)


def test_the_cochlea_hears_the_attenuated_sound_at_its_level():
    ear = Audiogram([250, 1000, 8000], [60, 60, 60], bone=Audiogram([250, 1000, 8000], [20, 20, 20]))
    x = sound(2, 8000)
    one = Conductive(ear, sample_rate=RATE, cochlear="threshold_noise", level=90.0, seed=4)
    inner = ThresholdNoise(replace(ear, thresholds=(20.0,) * 3), sample_rate=RATE, level=90.0, seed=4)
    np.testing.assert_allclose(one(x, keys=["a", "b"]), inner(0.01 * x, keys=["a", "b"]), atol=1e-12)
    # so the ratio of a sound to the floor is that of the air thresholds
    whole = ThresholdNoise(replace(ear, bone=None), sample_rate=RATE, level=90.0, seed=4)
    np.testing.assert_allclose(100 * one(x, keys=["a", "b"]), whole(x, keys=["a", "b"]), atol=1e-9)


def test_a_conductive_loss_does_not_recruit_and_a_cochlear_one_does():
    hz = (250, 1000, 8000)
    cases = {
        "conductive": Audiogram(hz, [50] * 3, bone=Audiogram(hz, [0] * 3)),
        "cochlear": Audiogram(hz, [50] * 3, bone=Audiogram(hz, [50] * 3)),
        "mixed": Audiogram(hz, [50] * 3, bone=Audiogram(hz, [25] * 3)),
    }
    growth = {}
    for name, ear in cases.items():
        soft, loud = (
            tone_gain(Conductive(ear, sample_rate=RATE, cochlear="recruitment", level=level), 1000)
            for level in (60.0, 90.0)
        )
        growth[name] = loud - soft
    assert growth["conductive"] == pytest.approx(0, abs=0.1)
    # a cochlea of H dB HL catches up at 105: H / (105 - H) dB more of output for every dB of input
    assert growth["cochlear"] == pytest.approx(30 * 50 / 55, abs=1)
    assert growth["mixed"] == pytest.approx(30 * 25 / 80, abs=1)


def test_flags_are_those_of_the_cochlea():
    for options, wanted in (
        ({"cochlear": None}, (True, False, False)),
        ({}, (True, False, False)),
        ({"cochlear": "threshold_noise"}, (False, True, True)),
    ):
        flags = filter_flags("conductive", options)
        assert (flags.linear, flags.level_dependent, flags.adds_noise) == wanted
        one = Conductive(MIXED, sample_rate=RATE, level=100.0, **options)
        assert (one.linear, one.level_dependent, one.adds_noise) == wanted
    with pytest.raises(InputError, match="'threshold_noise' depends on level; give level"):
        Conductive(MIXED, sample_rate=RATE, cochlear="threshold_noise")


def test_conditions_record_the_cochlea_and_ask_for_level_where_it_does():
    plain = Condition("c", MIXED, "conductive")
    assert plain.options == {
        "seed": 0,
        "cochlear": "attenuation",
        "cochlear_options": {"n_fft": 2048, "hop_length": 512, "interpolation": "log2", "method": "stft"},
        "interpolation": "log2",
    } | {"cochlear_options": Condition("a", MIXED).options}
    assert Condition.from_dict(plain.to_dict()) == plain
    assert set(plain.versions()["parts"]) == {"attenuation"}
    assert "parts" not in Condition("a", MIXED).versions()
    assert "parts" not in Condition("c", MIXED, "conductive", {"cochlear": None}).versions()
    with pytest.raises(InputError, match="depends on level; give level"):
        Condition("c", MIXED, "conductive", {"cochlear": "threshold_noise"})
    with pytest.raises(InputError, match="does not depend on level"):
        Condition("c", MIXED, "conductive", level={"speech_dbspl": 65})
    noisy = Condition("n", MIXED, "conductive", {"cochlear": "threshold_noise"}, level={"speech_dbspl": 65})
    x = sound(2, 6000)
    both = apply_conditions(x, RATE, [plain, noisy], keys=["a", "b"])
    np.testing.assert_allclose(both[0], plain(x, RATE), atol=1e-15)
    np.testing.assert_allclose(both[1, 1], noisy(x[1], RATE, keys="b"), atol=1e-13)
    tensors = apply_conditions(torch.from_numpy(x), RATE, [plain, noisy])
    np.testing.assert_allclose(tensors.numpy(), apply_conditions(x, RATE, [plain, noisy]), atol=1e-12)


def test_ears_with_bone_conduction_of_their_own():
    ears = [MIXED, Audiogram([500, 3000], [30, 30], bone=Audiogram([500, 1000, 3000], [0, 0, 20]))]
    x = sound(2, 3000)
    each = Conductive(ears, sample_rate=RATE)(x)
    for row, ear in enumerate(ears):
        np.testing.assert_allclose(each[row], Conductive(ear, sample_rate=RATE)(x[row]), atol=1e-12)


def test_modules_train_air_conduction_and_keep_bone_conduction():
    other = replace(MIXED, thresholds=(35.0, 20.0, 15.0, 70.0, 60.0, 95.0), bone=Audiogram([500, 4000], [12, 33]))
    module = Conductive([MIXED, other], sample_rate=RATE).module(trainable=True)
    x = torch.from_numpy(sound(2, 3, 2500))
    wanted = Conductive([MIXED, other], sample_rate=RATE)(x)
    np.testing.assert_allclose(module(x).detach().numpy(), wanted.numpy(), atol=1e-12)
    air = torch.tensor([[45.0, 38, 52, 61, 71, 88], [20.0, 61, 33, 44, 55, 66]], dtype=torch.float64)
    made = [replace(ear, thresholds=tuple(row.tolist())) for ear, row in zip((MIXED, other), air, strict=True)]
    wanted = Conductive(made, sample_rate=RATE)(x)
    np.testing.assert_allclose(module(x, air).detach().numpy(), wanted.numpy(), atol=1e-12)
    small = Conductive(replace(MIXED, bone=BONE), sample_rate=RATE, cochlear_options={"n_fft": 32, "hop_length": 8})
    small._gap.n_fft, small._gap.hop_length = 32, 8
    one = small.module()
    thresholds = torch.tensor([MIXED.thresholds], dtype=torch.float64, requires_grad=True)
    clip = torch.from_numpy(sound(1, 40)).requires_grad_()
    assert torch.autograd.gradcheck(one, (clip, thresholds))
    with pytest.raises(InputError, match=r"bone conduction of 2 ears, one per row of the first axis.*3 rows"):
        module(torch.zeros(3, 100), air[0])


@pytest.mark.parametrize(
    ("ear", "options", "words"),
    [
        (replace(MIXED, bone=None), {}, r"no bone conduction.*bone=Audiogram\(...\)"),
        (Audiogram([250, 8000], [10, 10], bone=Audiogram([500], [0])), {}, "gives no air-bone gap"),
        (MIXED, {"cochlear": "conductive"}, "cannot be 'conductive'"),
        (MIXED, {"cochlear": "atenuation"}, "Did you mean 'attenuation'"),
        (MIXED, {"cochlear_options": {"nfft": 512}}, "no option 'nfft'. Did you mean 'n_fft'"),
        (MIXED, {"cochlear_options": [512]}, "cochlear_options is a mapping"),
        (MIXED, {"cochlear": None, "cochlear_options": {"n_fft": 512}}, "cochlear is None"),
        (MIXED, {"cochlear": "threshold_noise", "cochlear_options": {"seed": 1}}, "give seed to 'conductive' itself"),
        (MIXED, {"seed": -1}, "seed is a whole number"),
        (MIXED, {"interpolation": "mel"}, "unknown interpolation 'mel'"),
        (MIXED, {"cochlear": "threshold_noise", "level": 1e6}, "number between -100 and 200"),
    ],
)
def test_no_conductive_loss_from(ear, options, words):
    with pytest.raises(InputError, match=words):
        Conductive(ear, sample_rate=RATE, **options)


def test_no_response_is_said_once_for_air_and_once_for_bone():
    deaf = replace(MIXED, no_response=(8000,), bone=replace(BONE, no_response=(4000,)))
    with pytest.warns(AudiogramWarning, match="no response") as caught:
        one = Conductive(deaf, sample_rate=RATE)
    assert [("8000" in str(w.message), "4000" in str(w.message)) for w in caught] == [(True, False), (False, True)]
    assert one.cochlear_ears[0].thresholds == (5, 5, 10, 30, 45, 55)


def test_a_cochlea_without_a_module_is_named():
    one = get_filter("conductive")(MIXED, sample_rate=RATE)
    one._cochlea = lambda x: x  # as a plugin's filter, which need not have one
    np.testing.assert_allclose(one(sound(500)), one._gap(sound(500)))
    with pytest.raises(InputError, match="'attenuation' has no module, so 'conductive' has none with it"):
        one.module()(torch.zeros(100))
