"""Air-bone gaps and types of loss against hand calculations; what no response leaves open stays open."""

import warnings

import pytest

from audiogram import Audiogram
from audiogram.bounds import AtLeast, AtMost
from audiogram.conduction import air_bone_gap, air_bone_gaps, loss_type
from audiogram.errors import AudiogramWarning, InputError

F = (500, 1000, 2000, 4000)


def ear(air, bone, no_response=(), bone_no_response=()):
    return Audiogram(F, air, no_response=no_response, bone=Audiogram(F, bone, no_response=bone_no_response))


def test_gaps_by_hand():
    air = Audiogram([250, 500, 1000, 2000, 4000], [40, 45, 50, 55, 80], bone=Audiogram(F, [5, 20, 30, 60]))
    assert air_bone_gaps(air) == {500: 40, 1000: 30, 2000: 25, 4000: 20}
    assert air_bone_gap(air, "pta3") == pytest.approx(95 / 3)
    assert air_bone_gap(air, "pta4") == air.air_bone_gap("pta4") == 115 / 4
    assert air_bone_gap(air) == (40 + 30 + 25 + 22.5) / 4  # 3 kHz from 2 and 4 kHz, by air and by bone
    assert air_bone_gap(air, [500]) == 40


def test_bone_conduction_may_be_worse_than_air_conduction():
    assert air_bone_gaps(ear([10, 10, 10, 10], [15, 10, 5, 0])) == {500: -5, 1000: 0, 2000: 5, 4000: 10}


def test_gaps_without_response():
    one = ear([60, 70, 80, 110], [40, 50, 70, 70], no_response=[1000, 4000], bone_no_response=[2000, 4000])
    gaps = air_bone_gaps(one)
    assert gaps == {500: 20, 1000: 20, 2000: 10, 4000: None}
    assert [type(gap) for gap in gaps.values()] == [float, AtLeast, AtMost, type(None)]
    with pytest.warns(AudiogramWarning, match=r"by air conduction .* the air-bone gap is at least 20 dB"):
        assert isinstance(air_bone_gap(one, [500, 1000]), AtLeast)
    with pytest.warns(AudiogramWarning, match=r"by bone conduction .* the air-bone gap is at most 15 dB"):
        assert isinstance(one.air_bone_gap([500, 2000]), AtMost)
    with pytest.warns(AudiogramWarning, match="nothing is known") as caught:
        assert one.air_bone_gap([1000, 2000]) is None
    assert caught[0].filename == __file__


def test_gaps_of_what_was_not_measured():
    with pytest.raises(InputError, match=r"^bone conduction was not measured"):
        Audiogram(F, [10] * 4).air_bone_gap()
    with pytest.raises(InputError, match=r"bone conduction: no threshold at 4000 Hz .* measured: 500, 1000, 2000 Hz"):
        Audiogram(F, [10] * 4, bone=Audiogram(F[:3], [0] * 3)).air_bone_gap("pta4")
    assert air_bone_gaps(Audiogram([250], [10], bone=Audiogram([500], [0]))) == {}


@pytest.mark.parametrize(
    ("air", "bone", "kind"),
    [
        ([15, 15, 15, 15], [15, 15, 15, 15], "normal"),
        ([19, 19, 19, 19], [0, 0, 0, 0], "normal"),  # no loss by the WHO's grade, whatever the gap
        ([20, 20, 20, 20], [5, 5, 5, 5], "conductive"),
        ([50, 50, 50, 50], [20, 20, 20, 20], "conductive"),  # bone conduction normal up to 20 dB HL
        ([50, 50, 50, 50], [21, 21, 21, 21], "mixed"),
        ([50, 50, 50, 50], [35, 35, 35, 35], "mixed"),  # a gap of 15 dB is conductive
        ([50, 50, 50, 50], [36, 36, 36, 36], "sensorineural"),
        ([10, 10, 10, 80], [10, 10, 10, 80], "sensorineural"),  # PTA4 27.5, without a gap
        ([60, 60, 60, 60], [10, 20, 30, 60], "conductive"),  # bone conduction averages 20 over 0.5, 1, 2 kHz
    ],
)
def test_types_by_the_stated_criteria(air, bone, kind):
    assert loss_type(ear(air, bone)) == ear(air, bone).loss_type() == kind


def unknown(one, words):
    with pytest.warns(AudiogramWarning, match=words) as caught:
        assert one.loss_type() == "unknown"
    assert caught[0].filename == __file__


def test_type_is_unknown_without_bone_conduction_unless_there_is_no_loss():
    unknown(Audiogram(F, [50] * 4), "bone conduction was not measured")
    assert Audiogram(F, [10] * 4).loss_type() == "normal"
    unknown(Audiogram(F[:3], [50] * 3, bone=Audiogram(F, [10] * 4)), "no threshold at 4000 Hz")
    unknown(Audiogram(F, [50] * 4, bone=Audiogram(F[:2], [10] * 2)), "bone conduction: no threshold at 2000 Hz")


def test_type_where_nothing_was_heard():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # air at least 25 dB above bone conduction: mixed, however great the loss is
        assert loss_type(ear([90, 90, 90, 90], [65, 65, 65, 65], no_response=F)) == "mixed"
        assert loss_type(ear([90, 90, 90, 90], [15, 15, 15, 15], no_response=[1000])) == "conductive"
        # bone conduction at least 60: the gap is below 15 at most
        assert loss_type(ear([70, 70, 70, 70], [60, 60, 60, 60], bone_no_response=F)) == "sensorineural"
    unknown(ear([90] * 4, [65] * 4, bone_no_response=F), "leave open sensorineural or mixed")
    unknown(ear([90] * 4, [65] * 4, no_response=F, bone_no_response=F), "leave open sensorineural or mixed")
    unknown(ear([40] * 4, [10] * 4, bone_no_response=F), "leave open sensorineural or conductive or mixed")
    unknown(ear([10] * 4, [5] * 4, no_response=F), "leave open normal or sensorineural or conductive")
