"""Random audiograms: where their draws come from, and whether they are distributed as they say."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from audiogram import Audiogram, iso7029, preset, random_audiogram, random_audiograms
from audiogram.errors import InputError
from audiogram.hearing_by_age import ISO7029_FREQUENCIES, iso7029_thresholds
from audiogram.sampling import threshold_matrix

SOURCES = st.sampled_from(["iso7029", "bisgaard"])


@given(st.integers(0, 2**40), st.integers(0, 1000), st.text(max_size=8), SOURCES)
def test_a_draw_belongs_to_its_seed_epoch_and_id_alone(seed, epoch, id_, source):
    one = random_audiogram(seed, source, epoch=epoch, id=id_)
    batch = random_audiograms(seed, ["before", id_, "after"], source, epoch=epoch)
    assert batch[1] == one
    assert one.name == id_
    assert -10 <= min(one.thresholds) <= max(one.thresholds) <= 120
    others = (
        random_audiogram(seed + 1, source, epoch=epoch, id=id_),
        random_audiogram(seed, source, epoch=epoch + 1, id=id_),
        random_audiogram(seed, source, epoch=epoch, id=id_ + "+"),
    )
    assume(set(one.thresholds) != {-10.0})  # held at the softest throughout, as the best ears of 1 draw in 750 are
    assert all(other.thresholds != one.thresholds for other in others)


def test_the_draw_of_a_known_key_stays_what_it_is():
    # a training that goes on after an update of this library must hear the same ears
    ear = random_audiogram(7, "bisgaard", epoch=2, id="clip-0001")
    np.testing.assert_allclose(ear.thresholds[:3], [92.879367, 95.476350, 98.415470], atol=1e-6)  # of n7


@given(st.integers(0, 10**6), st.floats(18, 70), st.sampled_from(["male", "female"]))
def test_one_place_among_peers_for_all_frequencies(seed, age, sex):
    thresholds = np.array(random_audiogram(seed, age=(age, age), sex=sex).thresholds)
    kept = (thresholds > -10) & (thresholds < 120)
    assume(kept.any())
    median = iso7029_thresholds(age, sex, 0.0)
    side = np.sign(thresholds[kept][0] - median[kept][0])
    places = (thresholds - median) / np.abs(iso7029_thresholds(age, sex, side) - median)
    np.testing.assert_allclose(places[kept], places[kept][0], rtol=0, atol=1e-9)


def test_percentiles_of_many_are_those_of_the_standard():
    many = threshold_matrix(random_audiograms(3, 2000, age=(60, 60), sex="male"))
    for percentile in (10, 25, 50, 75, 90):
        expected = np.array(iso7029(60, "male", percentile).thresholds)
        near = [np.array(iso7029(60, "male", percentile + d).thresholds) for d in (-3, 3)]  # 3 standard errors
        found = np.percentile(many, percentile, axis=0)
        assert np.all((near[0] < found) & (found < near[1])), (percentile, found - expected)


def test_sexes_and_ages_are_drawn_evenly():
    old = threshold_matrix(random_audiograms(4, 400, age=(69, 70)))
    young = threshold_matrix(random_audiograms(4, 400, age=(18, 19)))
    assert np.all(old.mean(axis=0) > young.mean(axis=0) + 5)
    # each ear is one that one of the sexes alone gives: the sex is drawn whether it is asked for or not
    men, women = (threshold_matrix(random_audiograms(4, 400, age=(69, 70), sex=sex)) for sex in ("male", "female"))
    male, female = (np.all(old == one, axis=1) for one in (men, women))
    assert np.all(male ^ female)
    assert 0.4 < male.mean() < 0.6


def test_classes_are_drawn_evenly_and_without_spread_exactly():
    drawn = random_audiograms(5, 600, "bisgaard", spread_db=0)
    counts = {name: sum(ear.thresholds == preset(f"bisgaard-{name}").thresholds for ear in drawn) for name in (
        "n1", "n2", "n3", "n4", "n5", "n6", "n7", "s1", "s2", "s3")}  # fmt: skip
    assert sum(counts.values()) == 600
    assert all(30 < count < 95 for count in counts.values())
    assert {ear.thresholds for ear in random_audiograms(5, 50, "bisgaard", classes=["n3"], spread_db=0)} == {
        preset("bisgaard-n3").thresholds
    }


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8, 1.0])
def test_spread_and_its_correlation_over_octaves(correlation):
    n3 = np.array(preset("bisgaard-n3").thresholds)
    many = threshold_matrix(
        random_audiograms(6, 3000, "bisgaard", classes=["n3"], spread_db=6, octave_correlation=correlation)
    )
    np.testing.assert_allclose(many.mean(axis=0), n3, atol=0.4)
    np.testing.assert_allclose(many.std(axis=0), 6, atol=0.3)
    octaves = np.abs(np.subtract.outer(*[np.log2(preset("bisgaard-n3").frequencies)] * 2))
    np.testing.assert_allclose(np.corrcoef(many.T), correlation**octaves, atol=0.06)


def test_one_option_does_not_move_the_draws_of_another():
    plain = np.array(random_audiogram(8, id="a", age=(50, 50), sex="male").thresholds)
    wide = np.array(random_audiogram(8, id="a", age=(50, 50), sex="male", spread_db=2).thresholds)
    wider = np.array(random_audiogram(8, id="a", age=(50, 50), sex="male", spread_db=4).thresholds)
    np.testing.assert_allclose(wider - plain, 2 * (wide - plain), atol=1e-9)


def test_a_grid_of_one_s_own():
    grid = [125, 500, 1000, 3000, 8000]
    for source in ("iso7029", "bisgaard"):
        ears = random_audiograms(9, ["a", "b"], source, frequencies=grid, spread_db=0)
        own = random_audiograms(9, ["a", "b"], source, spread_db=0)
        assert threshold_matrix(ears).shape == (2, 5)
        np.testing.assert_allclose(threshold_matrix(ears), [ear.at(grid) for ear in own], atol=1e-9)
    assert random_audiogram(9).frequencies == ISO7029_FREQUENCIES
    assert random_audiogram(9, "bisgaard").frequencies == preset("bisgaard-n1").frequencies


def test_filters_take_them():
    from audiogram import get_filter

    ears = random_audiograms(10, 3)
    x = np.random.default_rng(0).standard_normal((3, 2000))
    y = get_filter("attenuation")(ears, sample_rate=16_000)(x)
    alone = get_filter("attenuation")(ears[1], sample_rate=16_000)(x[1])
    np.testing.assert_allclose(y[1], alone, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"source": "iso"}, r"unknown source of random audiograms 'iso'"),
        ({"age": (18, 80)}, r"within 18 to 70, where ISO 7029 has all frequencies, got \(18, 80\)"),
        ({"age": (60, 50)}, "range of years"),
        ({"age": 60}, "age must be a list of numbers"),
        ({"sex": "m"}, "unknown sex in ISO 7029 'm'"),
        ({"classes": ["n8"]}, "unknown class of standard audiograms 'n8'. Known: n1, n2"),
        ({"classes": []}, "classes is empty"),
        ({"spread_db": -1}, "spread_db is a number from 0 to 40, got -1"),
        ({"octave_correlation": 1.1}, "octave_correlation is a number from 0 to 1, got 1.1"),
        ({"octave_correlation": None}, "octave_correlation is a number from 0 to 1, got None"),
        ({"frequencies": [1000, 500]}, "must increase"),
        ({"seed": 1.5}, "seed is a whole number, got 1.5"),
        ({"epoch": True}, "epoch is a whole number, got True"),
        ({"id": 3}, "id is text, got 3"),
    ],
)
def test_refuses(options, words):
    with pytest.raises(InputError, match=words):
        random_audiogram(**{"seed": 1, **options})


def test_batches_of_what_is_no_batch():
    for ids in ("clip", 2.5, True, None):
        with pytest.raises(InputError, match="a number of ears or a list of their ids"):
            random_audiograms(1, ids)
    with pytest.raises(InputError, match="id is text, got 3"):
        random_audiograms(1, [3])
    with pytest.raises(InputError, match="at least one audiogram"):
        threshold_matrix(random_audiograms(1, 0))
    with pytest.raises(InputError, match="audiogram 2 has other frequencies than the first"):
        threshold_matrix([Audiogram([500], [10]), Audiogram([1000], [10])])
