"""Endstate and frequency-informed learning: least squares, pseudo-inverse, repeated rows, where the delta rule ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiogram.errors import InputError
from whisperprobe import ldl
from whisperprobe.arrays import PartedArray
from whisperprobe.ldl import solutions

SHAPES = [(60, 20), (20, 60), (30, 30)]


def matrices(events, cues, dimensions=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((events, cues)), rng.standard_normal((events, dimensions))


@pytest.fixture(params=[2**26, 100], ids=["one block", "many blocks"])
def entries(request, monkeypatch):
    monkeypatch.setattr(solutions, "_ENTRIES", request.param)


@pytest.mark.usefixtures("entries")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_without_a_ridge_it_is_the_pseudo_inverse(shape, kind):
    C, S = matrices(*shape)
    W = ldl.endstate(kind(C), kind(S), ridge=0)
    assert type(W) is type(kind(C))
    np.testing.assert_allclose(W, np.linalg.pinv(C) @ S, atol=1e-9)


@pytest.mark.usefixtures("entries")
@pytest.mark.parametrize("shape", SHAPES)
def test_the_ridge_is_that_of_the_definition(shape):
    C, S = matrices(*shape)
    penalty = 0.3 * np.sum(C**2)
    expected = np.linalg.solve(C.T @ C + penalty * np.eye(shape[1]), C.T @ S)
    np.testing.assert_allclose(ldl.endstate(C, S, ridge=0.3), expected, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_scaling_the_cues_does_not_change_what_is_predicted(shape):
    C, S = matrices(*shape)
    np.testing.assert_allclose(
        1e4 * C @ ldl.endstate(1e4 * C, S, ridge=0.1), C @ ldl.endstate(C, S, ridge=0.1), atol=1e-10
    )


def test_the_delta_rule_ends_there():
    C, S = matrices(12, 5, 2)
    W = ldl.learn(C, S, rate=0.02, epochs=3000, seed=0)
    np.testing.assert_allclose(W, _weighted(C, S, 1 / np.sum(C**2, axis=1)), atol=0.03)
    rate = 2e-3
    np.testing.assert_allclose(
        ldl.learn(C, S, rule="lms", rate=rate, epochs=4000, seed=0), ldl.endstate(C, S, ridge=0), atol=0.02
    )


def _weighted(C, S, f):
    """NLMS weighs events by 1/‖c‖²: its endstate is that of events scaled to length one."""
    return ldl.frequency_informed(C, S, f, ridge=0)


@pytest.mark.usefixtures("entries")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ridge", [1e-6, 0.1])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_frequencies_are_repeated_rows(shape, ridge, kind):
    C, S = matrices(*shape)
    f = np.random.default_rng(1).integers(0, 6, shape[0])
    rows = np.repeat(np.arange(shape[0]), f)
    W = ldl.frequency_informed(kind(C), kind(S), f, ridge=ridge)
    np.testing.assert_allclose(W, ldl.endstate(C[rows], S[rows], ridge=ridge), atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 999))
def test_frequencies_of_one_change_nothing_nor_does_their_unit(events, cues, seed):
    C, S = matrices(events, cues, 2, seed)
    expected = ldl.endstate(C, S, ridge=0.05)
    np.testing.assert_allclose(ldl.frequency_informed(C, S, np.ones(events), ridge=0.05), expected, atol=1e-9)
    np.testing.assert_allclose(ldl.frequency_informed(C, S, np.full(events, 0.25), ridge=0.05), expected, atol=1e-9)


def test_primal_and_dual_agree_where_both_are_possible():
    C, S = matrices(30, 30)
    events = solutions._Events(C, S, None)
    np.testing.assert_allclose(solutions._primal(events, 0.01), solutions._dual(events, 0.01), atol=1e-12)


def test_precision_in_is_precision_out_and_parts_are_read_where_they_lie():
    C, S = (x.astype(np.float32) for x in matrices(20, 60))
    W = ldl.endstate(C, S)
    assert W.dtype == np.float32
    np.testing.assert_allclose(W, ldl.endstate(C.astype(np.float64), S.astype(np.float64)), atol=1e-6)
    np.testing.assert_array_equal(ldl.endstate(PartedArray([C[:7], C[7:]]), S), W)
    assert ldl.endstate(torch.from_numpy(C), torch.from_numpy(S)).dtype == torch.float32


def test_events_that_depend_on_one_another_need_a_ridge():
    C, S = np.ones((4, 9)), np.ones((4, 2))
    for kind in (np.asarray, torch.from_numpy):
        with pytest.raises(InputError, match="Give a ridge above 0"):
            ldl.endstate(kind(C), kind(S), ridge=0)
        np.testing.assert_allclose(kind(C) @ ldl.endstate(kind(C), kind(S)), S, atol=1e-5)


@pytest.mark.parametrize(
    ("f", "said"),
    [([1, 2], "one per event"), ([1, -1, 1], "0 or more"), ([1, np.nan, 1], "finite"), ([0, 0, 0], "not all 0")],
)
def test_wrong_frequencies_are_refused(f, said):
    with pytest.raises(InputError, match=said):
        ldl.frequency_informed(np.eye(3), np.eye(3), f)


def test_wrong_calls_are_refused():
    with pytest.raises(InputError, match="ridge is -1"):
        ldl.endstate(np.eye(3), np.eye(3), ridge=-1)
    with pytest.raises(InputError, match="no events"):
        ldl.endstate(np.empty((0, 3)), np.empty((0, 3)))
    broken = np.eye(3)
    broken[1, 1] = np.nan
    with pytest.raises(InputError, match="cues hold NaN"):
        ldl.endstate(broken, np.eye(3))
    with pytest.raises(InputError, match="targets hold NaN"):
        ldl.endstate(np.eye(3), broken)
