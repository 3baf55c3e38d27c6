"""Dynamic time warping against paths that are known, and against all paths there are."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from whisperprobe.alignment.time_warping import warp_path


def test_it_follows_a_planted_path() -> None:
    cost = np.ones((4, 9))
    rows, columns = np.array([0, 0, 1, 1, 1, 2, 3, 3, 3]), np.arange(9)
    cost[rows, columns] = 0
    found = warp_path(cost)
    assert found[0].tolist() == rows.tolist()
    assert found[1].tolist() == columns.tolist()


@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [((1, 1), [0], [0]), ((1, 3), [0, 0, 0], [0, 1, 2]), ((3, 1), [0, 1, 2], [0, 0, 0])],
)
def test_with_one_row_or_column_there_is_one_path(shape: tuple[int, int], rows: list, columns: list) -> None:
    found = warp_path(np.full(shape, 7.0))
    assert found[0].tolist() == rows
    assert found[1].tolist() == columns


@given(arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.integers(-9, 9)))
def test_no_path_is_cheaper(cost: np.ndarray) -> None:
    @functools.cache
    def cheapest(i: int, j: int) -> float:
        before = [cheapest(a, b) for a, b in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if a >= 0 and b >= 0]
        return float(cost[i, j]) + min(before, default=0.0)

    rows, columns = warp_path(cost)
    assert cost[rows, columns].sum() == cheapest(cost.shape[0] - 1, cost.shape[1] - 1)
    steps = set(zip(np.diff(rows).tolist(), np.diff(columns).tolist(), strict=True))
    assert steps <= {(0, 1), (1, 0), (1, 1)}
    assert (rows[0], columns[0], rows[-1], columns[-1]) == (0, 0, cost.shape[0] - 1, cost.shape[1] - 1)
