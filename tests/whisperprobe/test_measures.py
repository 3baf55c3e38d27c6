"""Measures: NumPy and torch against each other and against loops that can be checked by eye."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from whisperprobe import measures

LOGITS = arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(2, 12)), elements=st.integers(-30, 30).map(float))
KINDS = [pytest.param(np.asarray, id="numpy"), pytest.param(torch.as_tensor, id="torch")]


def naive_log_p(z: np.ndarray) -> list[float]:
    norm = max(z) + math.log(math.fsum(math.exp(v - max(z)) for v in z))
    return [v - norm for v in z]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None)
@given(z=LOGITS, pick=st.integers(0, 10**6))
def test_scalars_of_a_distribution_against_loops(kind, z, pick):
    ids = (pick + np.arange(len(z))) % z.shape[1]
    got = {
        "log_p": measures.log_probability(kind(z), kind(ids)),
        "rank": measures.rank(kind(z), kind(ids)),
        "ties": measures.ties(kind(z), kind(ids)),
        "entropy": measures.entropy(kind(z)),
        "mass": measures.log_mass(kind(z), kind(np.arange(z.shape[1]) % 2 == 0)),
    }
    for i, (row, y) in enumerate(zip(z, ids, strict=True)):
        log_p = naive_log_p(row)
        assert float(got["log_p"][i]) == pytest.approx(log_p[y], abs=1e-12)
        assert int(got["rank"][i]) == 1 + sum(v > row[y] for v in row)
        assert int(got["ties"][i]) == sum(v == row[y] for v in row) - 1
        assert float(got["entropy"][i]) == pytest.approx(-math.fsum(math.exp(v) * v for v in log_p), abs=1e-12)
        assert float(got["mass"][i]) == pytest.approx(math.log(math.fsum(map(math.exp, log_p[::2]))), abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_suppressed_token_counts_as_nothing(kind):
    z = kind(np.array([[0.0, -np.inf, 0.0]]))
    assert float(measures.entropy(z)[0]) == pytest.approx(math.log(2))
    assert float(measures.log_probability(z, kind(np.array([1])))[0]) == -math.inf


@pytest.mark.parametrize("kind", KINDS)
def test_the_mass_of_a_very_unlikely_set_is_not_rounded_to_nothing(kind):
    z = kind(np.array([[0.0, -300.0, -300.0]], dtype=np.float32))
    mass = measures.log_mass(z, kind(np.array([False, True, True])))
    assert float(mass[0]) == pytest.approx(-300 + math.log(2), abs=1e-4)


def test_surprisal_is_in_bits():
    assert measures.surprisal(math.log(1 / 1024)) == pytest.approx(10)


@pytest.mark.parametrize("kind", KINDS)
def test_cosine_and_correlation_against_numpy(kind):
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((5, 7)), rng.standard_normal((5, 7)) + 3
    cosine = measures.cosine_similarity(kind(a), kind(b))
    correlation = measures.correlation(kind(a), kind(b))
    for i in range(5):
        plain = sum(a[i] * b[i]) / math.sqrt(sum(a[i] ** 2)) / math.sqrt(sum(b[i] ** 2))
        assert float(cosine[i]) == pytest.approx(plain, abs=1e-12)
        assert float(correlation[i]) == pytest.approx(np.corrcoef(a[i], b[i])[0, 1], abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_zero_and_constant_vectors_have_similarity_zero(kind):
    zero, one, x = kind(np.zeros(3)), kind(np.ones(3)), kind(np.array([1.0, 2.0, 4.0]))
    assert float(measures.cosine_similarity(zero, x)) == 0
    assert float(measures.correlation(one, x)) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [4, 10, 33])
def test_semantic_density_is_the_mean_of_the_ten_nearest_cosines(kind, rows):
    rng = np.random.default_rng(rows)
    h, E = rng.standard_normal((3, 6)), rng.standard_normal((rows, 6))
    E[1] = 0  # a zero row has cosine 0, which is nearer than any negative one
    got = measures.semantic_density(kind(h), kind(E))
    for i in range(3):
        cosines = []
        for e in E:
            norm = math.sqrt(sum(e**2)) * math.sqrt(sum(h[i] ** 2))
            cosines.append(sum(e * h[i]) / norm if norm else 0.0)
        nearest = sorted(cosines, reverse=True)[:10]
        assert float(got[i]) == pytest.approx(sum(nearest) / len(nearest), abs=1e-12)


@pytest.mark.parametrize("rows", [2_559, 2_560, 2_600, 20_003])
def test_semantic_density_of_a_large_vocabulary(rows):
    # torch looks for the nearest rows block by block; some are equal here, and they lie close together
    rng = np.random.default_rng(rows)
    h, E = rng.standard_normal((4, 5)), rng.standard_normal((rows, 5))
    E[-40:] = np.sign(h[0]) + 0.1 * rng.standard_normal((40, 5))
    E[7:30] = E[-1]
    plain = measures.semantic_density(h, E)
    assert np.allclose(measures.semantic_density(torch.from_numpy(h), torch.from_numpy(E)), plain, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ranks_and_ties_of_a_large_vocabulary(dtype):
    rng = np.random.default_rng(0)
    z, ids = rng.integers(0, 40, (3, 70_001)).astype(np.float64), rng.integers(0, 70_001, 3)
    z[1] = 2.0
    for measure in (measures.rank, measures.ties):
        counts = measure(torch.from_numpy(z).to(dtype), torch.from_numpy(ids))
        assert counts.dtype == torch.int64
        assert counts.tolist() == measure(z, ids).tolist()
    assert measures.ties(z, ids)[1] == 70_000


@pytest.mark.parametrize("kind", KINDS)
def test_density_from_known_logits_is_the_same(kind):
    rng = np.random.default_rng(0)
    h, E = kind(rng.standard_normal((3, 6))), kind(rng.standard_normal((40, 6)))
    known = measures.semantic_density(h, E, logits=h @ E.T, inverse=measures.inverse_norms(E))
    assert np.allclose(measures.semantic_density(h, E), known, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_group_embeddings(kind):
    rng = np.random.default_rng(0)
    z, E, members = rng.standard_normal(9), rng.standard_normal((9, 4)), np.array([2, 3, 7])
    weighted, mean, best = measures.group_embeddings(kind(z), kind(E), kind(members))
    p = np.exp(z[members]) / np.exp(z[members]).sum()
    assert np.allclose(weighted, sum(w * E[m] for w, m in zip(p, members, strict=True)), atol=1e-12)
    assert np.allclose(mean, E[members].mean(0), atol=1e-12)
    assert np.array_equal(np.asarray(best), E[max(members, key=lambda m: z[m])])


def test_torch_keeps_device_and_precision_and_leaves_its_input_alone():
    z = torch.randn(3, 9, dtype=torch.float32)
    before = z.clone()
    for value in (measures.entropy(z), measures.log_normaliser(z), measures.semantic_density(z, torch.randn(20, 9))):
        assert value.dtype == torch.float32
    assert torch.equal(z, before)


def test_clip_sums_and_means():
    x, clip = np.array([1.0, 2.0, 5.0]), np.array([0, 0, 2])
    assert measures.clip_sums(x, clip, 4).tolist() == [3, 0, 5, 0]
    means = measures.clip_means(x, clip, 4)
    assert means[[0, 2]].tolist() == [1.5, 5]
    assert np.isnan(means[[1, 3]]).all()
    vectors = measures.clip_means(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1, 1]), 2)
    assert vectors[1].tolist() == [2, 3]
    assert measures.clip_sums(np.empty((0, 2)), np.empty(0, dtype=int), 2).tolist() == [[0, 0], [0, 0]]
