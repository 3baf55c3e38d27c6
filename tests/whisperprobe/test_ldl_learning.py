"""Learning by the delta rule: the block form is the sequential rule, whatever block, arrays, devices or order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiogram.errors import InputError, WorkError
from whisperprobe import ldl
from whisperprobe.arrays import PartedArray
from whisperprobe.ldl.learning import chosen_block, event_order

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}


def sequential(C, S, rule, rate, *, epsilon=0.0, W=None, order=None):
    """The rule as it is written: one event after the other, in float64."""
    C, S = np.asarray(C, np.float64), np.asarray(S, np.float64)
    W = np.zeros((C.shape[1], S.shape[1])) if W is None else np.array(W, np.float64)
    for t in range(len(C)) if order is None else order:
        norm = C[t] @ C[t] + epsilon
        h = rate if rule == "lms" else rate / norm if norm > 0 else 0.0
        W = W + h * np.outer(C[t], S[t] - C[t] @ W)
    return W


def matrices(events=90, cues=40, dimensions=7, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((events, cues)), rng.standard_normal((events, dimensions))


def deviation(W, expected):
    return np.abs(np.asarray(W) - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rule", "rate"), [("nlms", 0.1), ("nlms", 1.0), ("nlms", 1.9), ("lms", 0.02)])
@pytest.mark.parametrize("block", [1, 2, 7, 64, 512, None])
def test_blocks_are_the_sequential_rule(dtype, rule, rate, block):
    C, S = (x.astype(dtype) for x in matrices())
    expected = sequential(C, S, rule, rate)
    W = ldl.learn(C, S, rule=rule, rate=rate, block=block)
    assert W.dtype == dtype
    assert deviation(W, expected) < TOLERANCE[dtype]
    T = ldl.learn(torch.from_numpy(C), torch.from_numpy(S), rule=rule, rate=rate, block=block)
    assert T.dtype == torch.from_numpy(C).dtype
    assert deviation(T, expected) < TOLERANCE[dtype]


@settings(max_examples=40, deadline=None)
@given(
    events=st.integers(1, 30),
    cues=st.integers(1, 12),
    dimensions=st.integers(1, 5),
    block=st.integers(1, 40),
    rate=st.floats(0.01, 1.99),
    epsilon=st.sampled_from([0.0, 0.5]),
    seed=st.integers(0, 10_000),
)
def test_any_shape_any_block(events, cues, dimensions, block, rate, epsilon, seed):
    C, S = matrices(events, cues, dimensions, seed)
    C[np.random.default_rng(seed).random(events) < 0.2] = 0  # silence
    W = ldl.learn(C, S, rate=rate, epsilon=epsilon, block=block)
    np.testing.assert_allclose(W, sequential(C, S, "nlms", rate, epsilon=epsilon), rtol=0, atol=1e-11)


def test_rate_one_makes_the_last_event_certain():
    C, S = matrices()
    W = ldl.learn(C, S, rate=1.0)
    np.testing.assert_allclose(C[-1] @ W, S[-1], atol=1e-13)


def test_a_zero_cue_vector_teaches_nothing_and_disturbs_nobody():
    C, S = matrices(20)
    with_silence = np.insert(C, [0, 5, 20], 0, axis=0), np.insert(S, [0, 5, 20], 9, axis=0)
    np.testing.assert_allclose(ldl.learn(*with_silence, block=4), ldl.learn(C, S), atol=1e-14)
    assert not ldl.learn(np.zeros((3, 4)), np.ones((3, 2))).any()


def test_targets_are_learnt_column_by_column():
    C, S = matrices()
    np.testing.assert_allclose(ldl.learn(C, S[:, 2:3]), ldl.learn(C, S)[:, 2:3], atol=1e-13)


def test_learning_is_linear_in_the_targets():
    C, S = matrices()
    T = matrices(seed=1)[1]
    np.testing.assert_allclose(ldl.learn(C, 2 * S - 3 * T), 2 * ldl.learn(C, S) - 3 * ldl.learn(C, T), atol=1e-12)


def test_nlms_does_not_see_the_scale_of_the_cues():
    C, S = matrices()
    np.testing.assert_allclose(1000 * C @ ldl.learn(1000 * C, S), C @ ldl.learn(C, S), atol=1e-11)


def test_learning_goes_on_from_where_it_was():
    C, S = matrices()
    first = ldl.learn(C[:50], S[:50])
    kept = first.copy()
    np.testing.assert_allclose(ldl.learn(C[50:], S[50:], W0=first), ldl.learn(C, S), atol=1e-13)
    np.testing.assert_array_equal(first, kept)
    tensors = [torch.from_numpy(x) for x in (C[50:], S[50:], first)]
    went_on = ldl.learn(tensors[0], tensors[1], W0=tensors[2], devices=["cpu", "cpu"])
    np.testing.assert_allclose(went_on, ldl.learn(C, S), atol=1e-13)
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("devices", [["cpu"], ["cpu", "cpu"], ["cpu"] * 3, ["cpu"] * 50])
def test_rows_spread_over_devices_change_nothing(dtype, devices):
    C, S = (x.astype(dtype) for x in matrices())
    expected = sequential(C, S, "nlms", 0.3)
    for kind in (lambda x: x, torch.from_numpy):
        W = ldl.learn(kind(C), kind(S), rate=0.3, devices=devices)
        assert type(W) is type(kind(C))
        assert deviation(W, expected) < TOLERANCE[dtype]


def test_a_lower_precision_of_products_elsewhere_does_not_reach_learning():
    C, S = (torch.from_numpy(x.astype(np.float32)) for x in matrices(200, 3000))
    expected = sequential(C, S, "nlms", 0.1)
    torch.set_float32_matmul_precision("medium")
    try:
        W = ldl.learn(C, S)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert deviation(W, expected) < 1e-5


def test_shuffles_are_drawn_from_seed_and_epoch():
    C, S = matrices()
    orders = [event_order(len(C), 5, epoch) for epoch in range(3)]
    assert all(sorted(order) == list(range(len(C))) for order in orders)
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], event_order(len(C), 6, 0))
    W = ldl.learn(C, S, epochs=3, seed=5, block=8)
    np.testing.assert_allclose(W, sequential(C, S, "nlms", 0.1, order=np.concatenate(orders)), atol=1e-12)


def test_a_given_order_may_repeat_and_leave_out():
    C, S = matrices(10)
    order = [3, 3, 9, 0]
    W = ldl.learn(C, S, order=order, epochs=2)
    np.testing.assert_allclose(W, sequential(C, S, "nlms", 0.1, order=order * 2), atol=1e-13)


def test_rows_are_read_from_parts_where_they_lie(tmp_path):
    C, S = (x.astype(np.float32) for x in matrices())
    paths = [tmp_path / "a.npy", tmp_path / "b.npy"]
    np.save(paths[0], C[:33])
    np.save(paths[1], C[33:])
    parts = PartedArray([np.load(path, mmap_mode="r") for path in paths])
    np.testing.assert_array_equal(ldl.learn(parts, S, seed=1, block=16), ldl.learn(C, S, seed=1, block=16))
    refused = parts, S
    with pytest.raises(InputError, match="lms with rate 5 would diverge"):
        ldl.learn(*refused, rule="lms", rate=5)


def test_half_precision_and_whole_numbers_are_learnt_from_in_float32():
    C, S = matrices()
    halves = C.astype(np.float16)
    expected = ldl.learn(halves.astype(np.float32), S.astype(np.float32))
    np.testing.assert_array_equal(ldl.learn(halves, S.astype(np.float32)), expected)
    assert ldl.learn((C > 0.5).astype(np.int8), S).dtype == np.float32


def test_production_is_learning_the_other_way_round():
    C, S = matrices()
    G = ldl.learn(S, C, rate=0.5)
    assert G.shape == (S.shape[1], C.shape[1])
    np.testing.assert_allclose(G, sequential(S, C, "nlms", 0.5), atol=1e-12)


def test_lms_refuses_what_would_diverge_and_names_the_largest_rate():
    C, S = matrices()
    C[17] *= 10
    highest = 2 / (C[17] @ C[17])
    with pytest.raises(InputError, match=r"event 17 .* is not below 2\. Give a rate below") as caught:
        ldl.learn(C, S, rule="lms", rate=highest * 1.0001)
    said = float(str(caught.value).split("rate below ")[1].split(",")[0])
    assert said == pytest.approx(highest, rel=1e-5)
    assert np.isfinite(ldl.learn(C, S, rule="lms", rate=highest * 0.999)).all()


def test_below_the_bound_lms_errors_never_grow():
    C, S = matrices(1, 30)
    rate = 1.99 / (C[0] @ C[0])
    W = np.zeros((30, 7))
    for _ in range(5):
        before = np.abs(S[0] - C[0] @ W)
        W = ldl.learn(C, S, rule="lms", rate=rate, W0=W)
        np.testing.assert_allclose(np.abs(S[0] - C[0] @ W), before * 0.99)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_stops_at_once_and_names_the_event(kind, value):
    C, S = matrices()
    C[41, 3] = value
    with pytest.raises(InputError, match="cues of event 41"):
        ldl.learn(kind(C), kind(S), block=16)
    C, S = matrices()
    S[40, 2] = value
    with pytest.raises(InputError, match="targets of event 40"):
        ldl.learn(kind(C), kind(S), block=16)


def test_weights_that_overflow_are_a_failure_of_the_work():
    C, S = matrices(5)
    C, S = (C * 1e-10).astype(np.float32), (S * 1e35).astype(np.float32)
    for kind in (np.asarray, torch.from_numpy):
        with pytest.raises(WorkError, match="left the range of numbers at event 0"):
            ldl.learn(kind(C), kind(S), block=1)
        both = np.array([[1, 1], [1, -1]], np.float32)  # each of the two steps fits into float32, their sum does not
        with pytest.raises(WorkError, match="at the last events"):
            ldl.learn(kind(both), kind(np.full((2, 1), 3e38, np.float32)), rate=1.9)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rule": "nmls"}, "Did you mean 'nlms'"),
        ({"rate": 2.0}, "below 2"),
        ({"rate": 0}, "above 0"),
        ({"rate": True}, "rate is True"),
        ({"epsilon": -1}, "epsilon is -1"),
        ({"block": 0}, "block is 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"order": [0, 90]}, "0 to 89"),
        ({"order": [0.5]}, "whole numbers"),
        ({"order": [0], "seed": 1}, "one of the two"),
        ({"W0": np.zeros((7, 40))}, r"it is \(40, 7\)"),
        ({"devices": []}, "devices is empty"),
        ({"W0": torch.zeros((40, 7))}, "of one kind"),
    ],
)
def test_wrong_calls_are_refused(given, said):
    C, S = matrices()
    with pytest.raises(InputError, match=said):
        ldl.learn(C, S, **given)


def test_shapes_that_do_not_fit_are_refused():
    C, S = matrices()
    with pytest.raises(InputError, match="C has 90 events and S has 89"):
        ldl.learn(C, S[:-1])
    with pytest.raises(InputError, match="needs two axes"):
        ldl.learn(C[0], S)


def test_the_block_chosen_is_a_power_of_two_within_bounds():
    sizes = [chosen_block(d) for d in (1, 10, 100, 300, 1280, 50_048)]
    assert sizes == sorted(sizes) == [32, 32, 32, 128, 512, 512]


@pytest.mark.parametrize(
    ("C", "said"),
    [
        ([[1.0]], "C is a list; give an array of numbers"),
        (pd.DataFrame([[1.0]]), "C is a DataFrame; give an array of numbers"),
        (np.ones((1, 0)), r"C has shape \(1, 0\)"),
        (np.array([["1"]]), "C holds <U1"),
        (np.array([[1j]]), "C holds complex128"),
        (torch.tensor([[1j]]), "C holds torch.complex64"),
    ],
)
def test_what_is_no_matrix_of_numbers_is_refused(C, said):
    for solve in (ldl.learn, ldl.endstate):
        with pytest.raises(InputError, match=said):
            solve(C, np.ones((1, 2)))


def test_devices_and_seeds_that_are_none_are_refused():
    C = np.ones((2, 1))
    with pytest.raises(InputError, match="give a list of names"):
        ldl.learn(C, C, devices="cpu")
    with pytest.raises(InputError, match="unknown device 'gpu0'"):
        ldl.learn(C, C, devices=["gpu0"])
    for seed in (-1, 1.5):
        with pytest.raises(InputError, match="seed is a whole number"):
            ldl.learn(C, C, seed=seed)


def test_no_cues_at_all_and_frequencies_that_are_text_are_said():
    C = np.zeros((2, 1))
    with pytest.raises(InputError, match="the cues of all events are zero"):
        ldl.endstate(C, C + 1)
    with pytest.raises(InputError, match="frequencies are not all numbers"):
        ldl.frequency_informed(C + 1, C, ["a", "b"])
