"""Dynamic time warping: the cheapest way through a matrix of costs, each step on along its rows, its columns or both.

Written here in Numba: librosa's would be a dependency for one function, dtw-python is under the GPL, SciPy has none.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audiogram.kernels.compiling import compiled

__all__ = ["warp_path"]


def warp_path(cost: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the cheapest monotone path from the first to the last entry of a matrix.

    Parameters
    ----------
    cost : array, shape (rows, columns)
        Cost of every entry, at least 1 by 1.

    Returns
    -------
    rows, columns : int64 arrays, shape (steps,)
        The entries on the path, in order. Of equally cheap ways the one along the columns is taken, then the
        diagonal.

    References
    ----------
    H. Sakoe and S. Chiba (1978), Dynamic programming algorithm optimization for spoken word recognition.

    Examples
    --------
    >>> rows, columns = warp_path([[0, 0, 9, 9], [9, 9, 0, 0]])
    >>> rows.tolist(), columns.tolist()
    ([0, 0, 1, 1], [0, 1, 2, 3])
    """
    path = _path(np.ascontiguousarray(cost, dtype=np.float64))
    return path[:, 0], path[:, 1]


@compiled
def _path(cost: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    rows, columns = cost.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    total[0, 0] = 0.0
    came = np.zeros((rows, columns), np.uint8)
    for i in range(rows):
        for j in range(columns):
            both, down, along = total[i, j], total[i, j + 1], total[i + 1, j]
            if along <= both and along <= down:
                best, step = along, 2
            elif both <= down:
                best, step = both, 0
            else:
                best, step = down, 1
            total[i + 1, j + 1] = cost[i, j] + best
            came[i, j] = step
    path = np.empty((rows + columns, 2), np.int64)
    at, i, j = rows + columns, rows - 1, columns - 1
    while True:
        at -= 1
        path[at, 0], path[at, 1] = i, j
        if i == 0 and j == 0:
            break
        step = came[i, j]
        if i == 0:
            j -= 1
        elif j == 0:
            i -= 1
        else:
            i, j = i - (step != 2), j - (step != 1)
    return path[at:].copy()
