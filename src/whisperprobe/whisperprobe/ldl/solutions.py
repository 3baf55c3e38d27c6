"""Where learning ends: the endstate of the delta rule, and the frequency-informed endstate, by Cholesky."""

from __future__ import annotations

from typing import Any

import numpy as np

from audiogram.errors import InputError, WorkError
from whisperprobe.ldl.block import Array, is_tensor
from whisperprobe.ldl.learning import check_matrices, precision_of

__all__ = ["DEFAULT_RIDGE", "endstate", "frequency_informed"]

DEFAULT_RIDGE = 1e-6
_ENTRIES = 2**26  # entries of C or S that are widened to float64 at a time: half a gigabyte


def endstate(C: Array, S: Array, *, ridge: float = DEFAULT_RIDGE) -> Array:
    """Return the W that least squares gives: where the delta rule with small steps ends.

    W minimises ‖C W − S‖² + λ ‖W‖² with λ = `ridge` times the sum of all ‖c‖², so that neither scaling the cues nor
    taking every event twice changes what is predicted. It solves (CᵀC + λI) W = CᵀS, or W = Cᵀ (CCᵀ + λI)⁻¹ S where
    there are fewer events than cues: the same W from the smaller matrix. Computed in float64; as `ridge` goes to 0, W
    goes to pinv(C) S.

    Parameters
    ----------
    C : array, shape (events, cues)
        Cues, NumPy or torch; memory-mapped rows are read as a whole.
    S : array, shape (events, dimensions)
        Targets. ``endstate(S, C)`` is production G.
    ridge : float, default 1e-6
        0 or more. With 0, C must have full rank.

    Returns
    -------
    array, shape (cues, dimensions)
        W, the same kind of array as C, in its precision.

    Raises
    ------
    InputError
        Shapes that do not fit, NaN, a ridge below 0, or 0 where cues or events depend on one another.
    WorkError
        The smaller of CᵀC and CCᵀ does not fit into memory.

    References
    ----------
    .. [1] R. H. Baayen, Y.-Y. Chuang, E. Shafaei-Bajestan and J. P. Blevins, "The discriminative lexicon", Complexity
       (2019), 4895891.

    Examples
    --------
    >>> C = np.array([[1.0, 0.0], [1.0, 1.0]])
    >>> endstate(C, np.array([[1.0], [0.0]]), ridge=0).round(12)
    array([[ 1.],
           [-1.]])
    """
    return _solve(C, S, None, ridge)


def frequency_informed(C: Array, S: Array, frequencies: Any, *, ridge: float = DEFAULT_RIDGE) -> Array:
    """Return the endstate of events that occur as often as they are frequent (frequency-informed learning, FIL).

    W minimises Σ f ‖c W − s‖² + λ ‖W‖² over the events, λ = `ridge` · Σ f ‖c‖²: the same as `endstate` with every row
    of C and S repeated f times, at the cost of each row once. Only the frequencies' proportions matter.

    Parameters
    ----------
    C : array, shape (events, cues)
        Cues.
    S : array, shape (events, dimensions)
        Targets.
    frequencies : array, shape (events,)
        How often each event occurs, 0 or more; need not be whole, e.g. a corpus frequency divided by the word's number
        of recordings.
    ridge : float, default 1e-6
        As for `endstate`.

    Returns
    -------
    array, shape (cues, dimensions)
        W, the same kind of array as C, in its precision.

    Raises
    ------
    InputError
        As `endstate`; and frequencies that do not fit, are negative or not finite, or all zero.

    References
    ----------
    .. [1] M. Heitmeier, Y.-Y. Chuang, S. D. Axen and R. H. Baayen, "Frequency effects in linear discriminative
       learning", Frontiers in Human Neuroscience 17 (2024), 1242720.

    Examples
    --------
    >>> C, S = np.array([[1.0], [2.0]]), np.array([[1.0], [0.0]])
    >>> a = frequency_informed(C, S, [3, 1])
    >>> bool(np.allclose(a, endstate(C[[0, 0, 0, 1]], S[[0, 0, 0, 1]])))
    True
    """
    given = frequencies.detach().cpu().numpy() if is_tensor(frequencies) else frequencies
    try:
        f = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"frequencies are not all numbers: {error}.") from error
    if f.shape != (len(C),):
        raise InputError(f"frequencies have shape {f.shape}; give one per event, ({len(C)},).")
    if not np.isfinite(f).all() or (f < 0).any() or not f.any():
        raise InputError("frequencies must be finite, 0 or more, and not all 0.")
    return _solve(C, S, f, ridge)


def _solve(C: Array, S: Array, f: np.ndarray[Any, Any] | None, ridge: float) -> Array:
    check_matrices(C, S)
    if isinstance(ridge, bool) or not isinstance(ridge, int | float) or not 0 <= ridge < np.inf:
        raise InputError(f"ridge is {ridge!r}; give a number, 0 or more.")
    if not len(C):
        raise InputError("there are no events to solve for.")
    events = _Events(C, S, None if f is None else np.sqrt(f))
    try:
        return events.narrow(_primal(events, ridge) if C.shape[1] <= len(C) else _dual(events, ridge))
    except MemoryError as error:
        side = min(C.shape)
        raise WorkError(
            f"out of memory: beside the cues the endstate needs {side} × {side} numbers in float64, "
            f"{side * side * 8 / 1e9:.1f} GB. Take fewer events, or learn with rule='nlms'."
        ) from error


class _Events:
    """Rows of C and S in float64, each times the root of its frequency, a block at a time."""

    def __init__(self, C: Array, S: Array, root: np.ndarray[Any, Any] | None) -> None:
        self.C, self.S, self.tensor = C, S, is_tensor(C)
        size = max(1, _ENTRIES // max(1, C.shape[1], S.shape[1]))
        self.blocks = [slice(low, min(low + size, len(C))) for low in range(0, len(C), size)]
        self.root = root

    def cues(self, rows: slice) -> Array:
        return self._wide(self.C, rows, "cues")

    def targets(self, rows: slice) -> Array:
        return self._wide(self.S, rows, "targets")

    def zeros(self, *shape: int) -> Array:
        if not self.tensor:
            return np.zeros(shape)
        import torch

        return torch.zeros(shape, dtype=torch.float64, device=self.C.device)

    def narrow(self, W: Array) -> Array:
        """Return the weights in the cues' precision."""
        if not self.tensor:
            return W.astype(precision_of(self.C))
        import torch

        return W.to(getattr(torch, precision_of(self.C)))

    def _wide(self, matrix: Array, rows: slice, name: str) -> Array:
        block = matrix[rows]
        x = block.double() if self.tensor else np.asarray(block, dtype=np.float64)
        if not np.isfinite(float(x.sum())):
            raise InputError(f"{name} hold NaN or infinite values, in events {rows.start} to {rows.stop - 1}.")
        if self.root is None:
            return x
        root = self.root[rows][:, None]
        if not self.tensor:
            return x * root
        import torch

        return x * torch.from_numpy(root).to(x.device)


def _primal(events: _Events, ridge: float) -> Array:
    """Solve (CᵀC + λI) W = CᵀS."""
    cues, dimensions = events.C.shape[1], events.S.shape[1]
    gram, right = events.zeros(cues, cues), events.zeros(cues, dimensions)
    for rows in events.blocks:
        c = events.cues(rows)
        gram += c.T @ c
        right += c.T @ events.targets(rows)
    return _cholesky(gram, right, ridge)


def _dual(events: _Events, ridge: float) -> Array:
    """Solve (CCᵀ + λI) A = S; W = CᵀA."""
    gram = events.zeros(len(events.C), len(events.C))
    right = events.zeros(*events.S.shape)
    for i, rows in enumerate(events.blocks):
        c = events.cues(rows)
        right[rows] = events.targets(rows)
        for others in events.blocks[:i]:
            gram[rows, others] = c @ events.cues(others).T
            gram[others, rows] = gram[rows, others].T
        gram[rows, rows] = c @ c.T
    solved = _cholesky(gram, right, ridge)
    return sum(events.cues(rows).T @ solved[rows] for rows in events.blocks)


def _cholesky(gram: Array, right: Array, ridge: float) -> Array:
    """Solve (gram + λI) X = right, λ from the trace of gram, which is Σ f ‖c‖² in both forms."""
    each, trace = range(len(gram)), float(gram.trace())
    if not trace:
        raise InputError("the cues of all events are zero: there is nothing to solve for. Are all words silent?")
    gram[each, each] += ridge * trace
    # a pivot within rounding of zero would give weights that are rounding, too
    smallest = 4 * np.finfo(np.float64).eps * trace
    if is_tensor(gram):
        import torch

        factor, _ = torch.linalg.cholesky_ex(gram)
        if bool((factor.diagonal() ** 2 > smallest).all()):
            return torch.cholesky_solve(right, factor)
    else:
        from scipy.linalg import cho_solve
        from scipy.linalg.lapack import dpotrf

        factor, failed = dpotrf(gram, lower=1, overwrite_a=1)
        if not failed and (np.diagonal(factor) ** 2 > smallest).all():
            return cho_solve((factor, True), right, overwrite_b=True, check_finite=False)
    raise InputError(
        f"the cues of these events depend on one another, and ridge={ridge:g} is too small to solve for weights. "
        f"Give a ridge above 0, e.g. {DEFAULT_RIDGE:g}."
    )
