"""Measures of what was understood: each against a loop in float64 that is written from its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiogram.errors import InputError
from whisperprobe.ldl import measures
from whisperprobe.ldl.measures import Lexicon, form_support, functional_loads, meaning_measures


def pearson(a, b):
    a, b = [float(x) for x in a], [float(x) for x in b]
    n = len(a)
    if max(a) == min(a) or max(b) == min(b):
        return 0.0
    mean_a, mean_b = sum(a) / n, sum(b) / n
    top = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    return top / math.sqrt(sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b))


def naive(s_hat, target, vectors, k):
    """One event, from the definitions."""
    r = [pearson(s_hat, v) for v in vectors]
    order = sorted(range(len(r)), key=lambda v: (-r[v], v))
    low, high = min(r), max(r)
    places = {v: place for place, v in enumerate(reversed(order))}
    nearest = [-1] * min(k, len(r)) if low == high == 0 else order[:k]
    return {
        "nearest": nearest,
        "nearest_correlations": [r[v] for v in order[:k]],
        "rank": 0 if target < 0 else 1 + sum(x > r[target] for x in r),
        "ties": 0 if target < 0 else sum(x == r[target] for x in r) - 1,
        "target_correlation": math.nan if target < 0 else r[target],
        "semantic_neighbourhood_density": float(np.mean([r[v] for v in order[:10]])),
        "l1_norm": sum(abs(float(x)) for x in s_hat),
        "l2_norm": math.sqrt(sum(float(x) ** 2 for x in s_hat)),
        "uncertainty": 0.0 if high == low else sum((x - low) / (high - low) * places[v] for v, x in enumerate(r)),
    }


def lexicon_of(types=30, dimensions=8, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((types, dimensions))
    return Lexicon([f"word{i}" for i in range(types)], vectors)


def assert_naive(found, predicted, targets, lexicon, k):
    for t, (s_hat, target) in enumerate(zip(predicted, targets, strict=True)):
        for name, value in naive(s_hat, target, lexicon.vectors, k).items():
            np.testing.assert_allclose(getattr(found, name)[t], value, atol=1e-10, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(
    types=st.integers(1, 40),
    dimensions=st.integers(3, 9),
    events=st.integers(0, 9),
    k=st.integers(1, 12),
    seed=st.integers(0, 999),
    block=st.sampled_from([1, 100, 2**22]),
)
def test_against_a_loop(types, dimensions, events, k, seed, block):
    lexicon = lexicon_of(types, dimensions, seed)
    rng = np.random.default_rng([seed, 1])
    predicted = rng.standard_normal((events, dimensions)).astype(np.float32)
    targets = rng.integers(-1, types, events)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measures, "_BLOCK", block)
        found = meaning_measures(predicted, targets, lexicon, k=k)
    assert found.nearest.shape == (events, min(k, types))
    assert_naive(found, predicted, targets, lexicon, k)


def test_words_of_one_meaning_tie_to_the_last_bit():
    vectors = np.random.default_rng(0).standard_normal((40, 300))
    vectors[[3, 17, 39]] = vectors[8]
    lexicon = Lexicon([f"w{i:02}" for i in range(40)], vectors)
    predicted = vectors[[8, 8, 17]] + 0.3 * np.random.default_rng(1).standard_normal((3, 300))
    found = meaning_measures(predicted, np.array([8, 39, 3]), lexicon, k=5)
    assert found.rank.tolist() == [1, 1, 1]
    assert found.ties.tolist() == [3, 3, 3]
    assert found.nearest[:, :4].tolist() == [[3, 8, 17, 39]] * 3
    assert found.accuracy(1) == pytest.approx(1 / 3)
    assert found.accuracy(4) == 1


def test_a_meaning_that_is_hit_is_understood():
    lexicon = lexicon_of()
    found = meaning_measures(3 * lexicon.vectors + 7, np.arange(30), lexicon)
    assert (found.nearest[:, 0] == np.arange(30)).all()
    np.testing.assert_allclose(found.target_correlation, 1)
    assert (found.rank == 1).all()
    assert found.accuracy() == 1


def test_correlations_do_not_see_scale_or_offset_but_norms_do():
    lexicon, rng = lexicon_of(), np.random.default_rng(2)
    predicted, targets = rng.standard_normal((5, 8)), np.arange(5)
    a, b = (meaning_measures(x, targets, lexicon) for x in (predicted, 10 * predicted))
    c = meaning_measures(predicted + 4, targets, lexicon)
    for name in ("target_correlation", "semantic_neighbourhood_density", "uncertainty"):
        np.testing.assert_allclose(getattr(b, name), getattr(a, name), atol=1e-10)
        np.testing.assert_allclose(getattr(c, name), getattr(a, name), atol=1e-10)
    np.testing.assert_allclose(b.l1_norm, 10 * a.l1_norm)
    np.testing.assert_allclose(b.l2_norm, 10 * a.l2_norm)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e6])
def test_where_nothing_is_predicted_nothing_is_understood(value):
    lexicon = lexicon_of()
    found = meaning_measures(np.full((1, 8), value), np.array([4]), lexicon)
    assert (found.nearest == -1).all()
    assert found.accuracy(10) == 0
    assert (found.rank[0], found.ties[0], found.target_correlation[0], found.uncertainty[0]) == (1, 29, 0, 0)


def test_unknown_words_have_neighbours_but_no_rank():
    lexicon = lexicon_of()
    found = meaning_measures(lexicon.vectors[:2], np.array([-1, 1]), lexicon)
    assert found.nearest[0, 0] == 0
    assert found.rank.tolist() == [0, 1]
    assert math.isnan(found.target_correlation[0])
    assert found.accuracy() == 1
    assert math.isnan(meaning_measures(lexicon.vectors[:1], np.array([-1]), lexicon).accuracy())


def test_uncertainty_rises_with_competition():
    vectors = np.eye(12)
    lexicon = Lexicon([str(i) for i in range(12)], vectors)
    alone = vectors[0]
    crowd = vectors[0] + 0.9 * vectors[1:6].sum(axis=0)
    found = meaning_measures(np.stack([alone, crowd]), np.array([0, 0]), lexicon)
    assert found.uncertainty[0] == pytest.approx(11)  # one word at the top, all others at the bottom
    assert found.uncertainty[1] > 3 * found.uncertainty[0]


def test_functional_load_of_every_stretch_and_their_sum():
    rng = np.random.default_rng(3)
    C, F, s = rng.standard_normal((6, 23)), rng.standard_normal((23, 5)), rng.standard_normal((6, 5))
    C[2, 5:10] = 0
    s[4] = np.nan
    predicted, loads = functional_loads(C, F, s, 5)
    np.testing.assert_allclose(predicted, C @ F, atol=1e-12)
    assert loads.shape == (6, 5)
    for t in range(6):
        for i in range(5):
            part = sum(C[t, j] * F[j] for j in range(5 * i, min(23, 5 * i + 5)))
            expected = math.nan if t == 4 else pearson(part, s[t])
            np.testing.assert_allclose(loads[t, i], expected, atol=1e-12)
    assert loads[2, 1] == 0


def test_functional_load_of_one_binary_cue_is_its_row_of_weights():
    rng = np.random.default_rng(4)
    F, s = rng.standard_normal((7, 5)), rng.standard_normal(5)
    _, loads = functional_loads(np.ones((1, 7)), F, s[None], 1)
    np.testing.assert_allclose(loads[0], [pearson(row, s) for row in F])


@pytest.mark.parametrize("block", [1, 2**22])
def test_support_for_form(monkeypatch, block):
    monkeypatch.setattr(measures, "_BLOCK", block)
    rng = np.random.default_rng(5)
    C, G, s = (rng.random((6, 23)) > 0.6).astype(float), rng.standard_normal((4, 23)), rng.standard_normal((6, 4))
    s[1] = np.nan
    support, precision = form_support(C, s, G)
    for t in range(6):
        c_hat = [sum(s[t, d] * G[d, j] for d in range(4)) for j in range(23)]
        own = sum(c_hat[j] for j in range(23) if C[t, j])  # binary cues: the literature's sum over the word's cues
        np.testing.assert_allclose(support[t], math.nan if t == 1 else own)
        np.testing.assert_allclose(precision[t], math.nan if t == 1 else pearson(c_hat, C[t]))


def test_wrong_lexicons_and_calls_are_refused():
    with pytest.raises(InputError, match="'b' is in the lexicon twice"):
        Lexicon(["a", "b", "b"], np.eye(3))
    with pytest.raises(InputError, match="one vector per word"):
        Lexicon(["a", "b"], np.eye(3))
    with pytest.raises(InputError, match="one vector per word"):
        Lexicon([], np.empty((0, 3)))
    with pytest.raises(InputError, match="NaN"):
        Lexicon(["a"], [[math.nan, 1.0]])
    lexicon = lexicon_of()
    with pytest.raises(InputError, match="do not fit"):
        meaning_measures(np.zeros((1, 7)), np.array([0]), lexicon)
    with pytest.raises(InputError, match="from -1"):
        meaning_measures(np.zeros((1, 8)), np.array([30]), lexicon)
    with pytest.raises(InputError, match="k is 0"):
        meaning_measures(np.zeros((1, 8)), np.array([3]), lexicon, k=0)


def test_predictions_and_vectors_that_are_no_numbers_are_refused():
    lexicon = Lexicon(["cat", "dog"], np.eye(2))
    for wrong in (np.nan, np.inf):
        with pytest.raises(InputError, match="predicted meaning of event 1 is NaN or infinite"):
            meaning_measures(np.array([[0.0, 1.0], [wrong, 1.0]]), [0, 1], lexicon)
    with pytest.raises(InputError, match="of one length"):
        Lexicon(["cat", "dog"], [[1.0, 2.0], [1.0]])
    with pytest.raises(InputError, match="hold <U1"):
        Lexicon(["cat"], [["a"]])
