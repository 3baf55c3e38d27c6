"""Speech intelligibility index: the standard's published examples, and what audibility must do."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from audiogram import Audiogram, matched, preset
from audiogram.bounds import AtMost
from audiogram.errors import AudiogramWarning, InputError
from audiogram.intelligibility import _masking, sii, speech_spectrum
from audiogram.intelligibility_tables import EFFORT_LEVELS, PROCEDURES

OCTAVES, THIRDS = (PROCEDURES[name].centres for name in ("octave", "third-octave"))
NORMAL = Audiogram([1000], [0])
thresholds = st.lists(st.floats(-10, 120), min_size=6, max_size=6)
losses = st.lists(st.floats(1, 120), min_size=6, max_size=6)

# ANSI S3.5-1997, annex C, example C.1, and the *.TST files that come with the "C program developer's kit" of the ASA
# working group S3-79 (sii.to): the values are those that the standard and the kit print.
C1 = {"speech_level": [50, 40, 40, 30, 20, 0], "noise": [70, 65, 45, 25, 1, -15], "procedure": "octave"}
TO = {
    "speech_level": [90, 5, *[40] * 12, *[-10] * 4],
    "noise": [10, -10, -10, 75, *[-10] * 10, *[10] * 4],
}
NEAR_8K, LOW_LOSS = Audiogram(OCTAVES, [0, 0, 0, 0, 0, 7.1]), Audiogram(THIRDS, [90, *[0] * 17])
HIGH = [*[0] * 9, *[0.1] * 7, 0.3, 0]


@pytest.mark.parametrize(
    ("ear", "arguments", "value"),
    [
        (NORMAL, C1, 0.504),
        (NEAR_8K, C1, 0.491),
        (NEAR_8K, C1 | {"importance": [0, 0, 1, 0, 0, 0]}, 0.323),
        (LOW_LOSS, TO, 0.445),
        (LOW_LOSS, TO | {"importance": HIGH}, 0.438),
    ],
    ids=["annex C.1", "OCTAVE.TST", "OCTAVE_1.TST", "TO.TST", "TO_1.TST"],
)
def test_published_examples(ear, arguments, value):
    assert sii(ear, **arguments) == pytest.approx(value, abs=5e-4)


def test_masking_of_annex_c_2():
    # the first three rows that example C.2 prints: B, slope C, equivalent masking spectrum level Z
    b, c, z = (row[:3] for row in _masking(np.full(18, 54.0), np.array([40, 30, 20, *[0] * 15]), THIRDS))
    np.testing.assert_allclose(b, [40, 30, 30])
    np.testing.assert_allclose(c, [-46.59, -52.01, -51.42], atol=0.005)
    np.testing.assert_allclose(z, [40, 34.66, 25.04], atol=0.01)


def test_against_a_loop_that_follows_the_text():
    """Sections 4.2 to 4.8 band by band, with scalars."""
    rng = np.random.default_rng(3)
    table = PROCEDURES["third-octave"]
    for _ in range(20):
        speech, noise = rng.uniform(-20, 90, 18), rng.uniform(-50, 80, 18)
        hl = rng.uniform(-10, 100, 18)
        index = 0.0
        for i in range(18):
            masked = [max(noise[k], speech[k] - 24) for k in range(i + 1)]
            power = 10 ** (noise[i] / 10)
            for k in range(i):
                slope = -80 + 0.6 * (masked[k] + 10 * np.log10(THIRDS[k]) - 6.353)
                power += 10 ** ((masked[k] + 3.32 * slope * np.log10(0.89 * THIRDS[i] / THIRDS[k])) / 10)
            z = masked[0] if i == 0 else 10 * np.log10(power)
            d = max(z, table.internal_noise[i] + hl[i])
            level = min(1, 1 - (speech[i] - table.speech["normal"][i] - 10) / 160)
            index += table.importance["average"][i] * level * min(1, max(0, (speech[i] - d + 15) / 30))
        assert sii(Audiogram(THIRDS, hl), speech, noise) == pytest.approx(index, abs=1e-12)


def test_tables():
    for bands in PROCEDURES.values():
        for weights in bands.importance.values():
            assert weights.sum() == pytest.approx(1, abs=2e-4)
            assert (weights >= 0).all()
    # the powers of the third octaves sum to the overall levels printed under table 3
    widths = THIRDS * (2 ** (1 / 6) - 2 ** (-1 / 6))
    for effort, level in EFFORT_LEVELS.items():
        total = 10 * np.log10(np.sum(10 ** (speech_spectrum(effort=effort) / 10) * widths))
        assert total == pytest.approx(level, abs=0.1)


def test_the_default_is_normal_effort_and_a_level_shifts_it():
    ear = preset("hfloss")
    assert sii(ear) == sii(ear, 62.35) == sii(ear, speech_spectrum())
    assert sii(ear, 75) == pytest.approx(sii(ear, speech_spectrum() + 12.65), abs=1e-12)
    assert sii(ear, effort="shout") == sii(ear, speech_spectrum(effort="shout")) > sii(ear)


@given(thresholds, st.integers(0, 5), st.floats(0, 40), st.floats(20, 100), st.sampled_from(list(PROCEDURES)))
def test_a_greater_loss_never_helps(hl, band, more, level, procedure):
    worse = [t + more * (i == band) for i, t in enumerate(hl)]
    values = [sii(Audiogram(OCTAVES, t), level, procedure=procedure) for t in (hl, worse)]
    assert 0 <= values[1] <= values[0] + 1e-12 <= 1 + 1e-12


@given(thresholds, st.floats(20, 100), st.floats(0, 90), st.floats(0, 30), st.sampled_from(list(PROCEDURES)))
def test_more_noise_never_helps(hl, level, noise, more, procedure):
    ear = Audiogram(OCTAVES, hl)
    quiet, soft, loud = (sii(ear, level, n, procedure=procedure) for n in (None, noise, noise + more))
    assert quiet + 1e-12 >= soft
    assert soft + 1e-12 >= loud


@given(thresholds, st.floats(0, 72.35), st.floats(0, 40))
def test_louder_speech_helps_until_it_distorts(hl, level, softer):
    ear = Audiogram(OCTAVES, hl)
    assert sii(ear, level - softer) <= sii(ear, level) + 1e-12


def test_loud_speech_distorts():
    assert sii(NORMAL, 72.35) == 1
    falling = [sii(NORMAL, level) for level in (72.35, 82.35, 92.35, 102.35)]
    assert np.diff(falling).max() < 0
    assert falling[1] == pytest.approx(1 - 10 / 160)


def test_limits():
    assert sii(Audiogram([1000], [120]), 60) == 0
    assert sii(NORMAL, 65, noise=100) == 0
    assert sii(NORMAL, 72.35, importance=np.full(18, 1 / 18)) == pytest.approx(1)


def test_a_conductive_loss_keeps_loud_speech_from_distorting():
    cochlear = Audiogram(OCTAVES, [40] * 6)
    conductive = Audiogram(OCTAVES, [40] * 6, bone=Audiogram([500, 4000], [0, 0]))
    assert sii(conductive, 60) == sii(cochlear, 60)
    assert sii(conductive, 100) == pytest.approx(sii(cochlear, 100) + np.mean([27.65 / 160]), abs=0.03)
    assert sii(conductive, 72.35 + 40) == pytest.approx(1)


def test_no_response_makes_an_upper_bound():
    bound = Audiogram(OCTAVES, [40, 50, 60, 80, 100, 100], no_response=[4000, 8000])
    with pytest.warns(AudiogramWarning, match=r"no response at 4000, 8000 Hz.*at most"):
        value = sii(bound, 75)
    assert isinstance(value, AtMost)
    for true in (100, 110, 120):
        assert sii(Audiogram(OCTAVES, [40, 50, 60, 80, true, true]), 75) <= float(value)
    # with bone conduction the gap beyond the bound could be any, and loud speech would distort less
    conductive = Audiogram(OCTAVES, [40] * 6, no_response=[4000], bone=Audiogram([500], [0]))
    with pytest.warns(AudiogramWarning, match="at most"):
        value = sii(conductive, 100)
    for true in (40, 50, 60):
        mixed = Audiogram(OCTAVES, [40, 40, 40, 40, true, 40], bone=Audiogram([500], [0]))
        assert sii(mixed, 100) <= float(value)


def test_the_method_forwards():
    ear = preset("lfloss")
    assert ear.sii(65, 60, procedure="octave") == sii(ear, 65, 60, procedure="octave")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"speech_level": np.nan}, "dB SPL, from -100 to 150, got nan"),
        ({"speech_level": "65"}, "dB SPL"),
        ({"speech_level": True}, "dB SPL"),
        ({"speech_level": 1e4}, "dB SPL"),
        ({"speech_level": [60] * 6}, "has 6 values; the third-octave procedure has 18 bands, 160 to 8000 Hz"),
        ({"noise": [np.inf] * 18}, "noise is in dB SPL"),
        ({"noise": {"kind": "white"}}, "noise is"),
        ({"effort": "rised"}, "Did you mean 'raised'"),
        ({"procedure": "third_octave"}, "Did you mean 'third-octave'"),
        ({"procedure": "octave", "importance": "spin"}, "Or give one weight per band"),
        ({"importance": [1] * 18}, "sum to 1"),
        ({"importance": [-1, 2, *[0] * 16]}, "0 or more"),
    ],
)
def test_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        sii(NORMAL, **arguments)


def test_an_ear_is_asked_for():
    with pytest.raises(InputError, match="ear is an Audiogram, got list"):
        sii([1, 2])


@settings(deadline=None)  # the first call imports scipy.optimize
@given(losses, losses)
def test_matched_averages_are_equal(one, other):
    ear, wanted = Audiogram(OCTAVES, one), Audiogram(OCTAVES, other)
    assume(wanted.pta() < 160 / max(one) * ear.pta())
    result = matched(ear, wanted)
    assert result.pta() == pytest.approx(wanted.pta(), abs=1e-9)
    factor = wanted.pta() / ear.pta()
    np.testing.assert_allclose(result.thresholds, np.multiply(one, factor), atol=1e-9)


def test_the_study_s_losses_matched():
    low, high = preset("lfloss"), preset("hfloss")
    milder = matched(high, low)
    assert milder.pta() == pytest.approx(low.pta())
    assert milder.name == "hfloss as lfloss (PTA4)"
    equal = matched(high, low, "sii", speech_level=65)
    assert sii(equal, 65) == pytest.approx(sii(low, 65), abs=1e-9)
    assert equal.pta() != pytest.approx(low.pta(), abs=0.1)
    noisy = matched(low, high, "sii", speech_level=65, noise=55)
    assert sii(noisy, 65, 55) == pytest.approx(sii(high, 65, 55), abs=1e-9)


def test_bone_conduction_is_scaled_too():
    ear = Audiogram(OCTAVES, [40] * 6, ear="left", masked=[500], bone=Audiogram([500, 2000], [10, 20]))
    result = matched(ear, Audiogram(OCTAVES, [20] * 6))
    assert result.bone.thresholds == pytest.approx((5, 10))
    assert (result.ear, result.masked) == ("left", ())


@pytest.mark.parametrize(
    ("ear", "other", "measure", "words"),
    [
        (preset("lfloss"), Audiogram(OCTAVES, [110] * 6), "pta4", r"from 0 to 76\. Scale the other"),
        (preset("lfloss"), Audiogram(OCTAVES, [-5] * 6), "pta4", "reaches PTA4 -5"),
        (Audiogram(OCTAVES, [0] * 6), preset("lfloss"), "pta4", "from 0 to 0"),
        (preset("lfloss"), Audiogram(OCTAVES, [120] * 6), "sii", "SII 0"),
        (preset("lfloss"), preset("hfloss"), "pta", "Did you mean 'pta4'"),
        (Audiogram(OCTAVES, [50] * 6, no_response=[500]), preset("hfloss"), "pta4", "is a bound"),
        (preset("hfloss"), Audiogram(OCTAVES, [50] * 6, no_response=[8000]), "sii", "SII is a bound"),
        (Audiogram([500], [50]), preset("hfloss"), "pta4", "no threshold at 1000"),
        ("hfloss", preset("lfloss"), "pta4", r"got str; preset\(name\)"),
    ],
)
def test_what_cannot_be_matched(ear, other, measure, words):
    with pytest.raises(InputError, match=words):
        matched(ear, other, measure)


def test_levels_are_for_the_index():
    with pytest.raises(InputError, match="has neither"):
        matched(preset("hfloss"), preset("lfloss"), speech_level=65)


def test_a_bound_outside_the_average_does_not_hinder():
    ear = Audiogram(OCTAVES, [40] * 6, no_response=[8000])
    result = matched(ear, Audiogram(OCTAVES, [20] * 6))
    assert result.pta() == pytest.approx(20)
    assert result.no_response == (8000,)
