"""The delta rule, a block of events at a time and exactly: the state of one learner.

Event by event the rule is W ← W + h_t c_tᵀ (s_t − c_t W): two passes over W for every event, and W is too large for a
processor's cache. Within a block the errors depend on one another through the cues' inner products alone. With a
block's cues C, targets S, steps H = diag(h) and K = C Cᵀ they solve (I + strict_lower(K) H) E = S − C W₀, and
W = W₀ + Cᵀ H E: three matrix products and a small triangular system instead of a pass over W per event.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from audiogram.errors import InputError, WorkError, unknown_name

__all__ = ["Array", "BlockLearner", "DeltaRule", "is_tensor"]

Array = Any
"""A NumPy array or a torch tensor."""

RULES = ("nlms", "lms")
_OVERFLOW = "learning left the range of numbers at {}. Lower the rate, or scale cues and targets."


def is_tensor(x: Any) -> bool:
    """Whether `x` is a torch tensor; torch is not imported to find out."""
    return type(x).__module__.partition(".")[0] == "torch"


@dataclass(frozen=True)
class DeltaRule:
    """How large a step of learning is: h = rate (lms), or h = rate / (‖c‖² + epsilon) (nlms).

    Parameters
    ----------
    rule : {"nlms", "lms"}
        Normalised least mean squares, or least mean squares (Widrow and Hoff's rule).
    rate : float, default 0.1
        Learning rate. NLMS: above 0, below 2. LMS: above 0, and rate · ‖c‖² below 2 for every event.
    epsilon : float, default 0.0
        Added to ‖c‖² by NLMS, 0 or more, in units of the cues squared. With 0 a zero cue vector learns nothing.

    References
    ----------
    .. [1] B. Widrow and M. E. Hoff, "Adaptive switching circuits", IRE WESCON Convention Record 4 (1960), 96-104.
    .. [2] S. Haykin, "Adaptive Filter Theory", 5th ed. (2014), chapters 6 (LMS) and 7 (NLMS).
    """

    rule: str = "nlms"
    rate: float = 0.1
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise unknown_name("learning rule", self.rule, RULES)
        highest = 2.0 if self.rule == "nlms" else np.inf
        if not _is_number(self.rate) or not 0 < self.rate < highest:
            bound = " and below 2: at 2 and above every event overshoots further" if self.rule == "nlms" else ""
            raise InputError(f"rate is {self.rate!r}; {self.rule} takes a number above 0{bound}.")
        if not _is_number(self.epsilon) or not 0 <= self.epsilon < np.inf:
            raise InputError(f"epsilon is {self.epsilon!r}; give a number, 0 or more.")

    def steps(self, squared_norms: Array) -> Array:
        """Return h of every event, float64, from its ‖c‖²."""
        if self.rule == "lms":
            return squared_norms * 0 + self.rate
        scale = squared_norms + self.epsilon
        silent = scale == 0
        return self.rate / (scale + silent) * ~silent  # torch would take a number times a truth value as float32

    def check(self, squared_norms: np.ndarray[Any, Any], first: int = 0) -> None:
        """Refuse LMS steps that diverge.

        Parameters
        ----------
        squared_norms : ndarray, shape (events,)
            ‖c‖² of events.
        first : int, default 0
            Number of the first of them, for the message.

        Raises
        ------
        InputError
            rate · ‖c‖² is 2 or more for one of them: its error would not shrink but grow, event by event.
        """
        if self.rule != "lms" or not len(squared_norms):
            return
        worst = int(np.argmax(squared_norms))
        if self.rate * squared_norms[worst] >= 2:
            norm = float(squared_norms[worst])
            raise InputError(
                f"lms with rate {self.rate:g} would diverge: event {first + worst} has ‖c‖² = {norm:g}, and rate·‖c‖² "
                f"= {self.rate * norm:g} is not below 2. Give a rate below {2 / norm:.6g}, scale the cues, or take "
                "rule='nlms'."
            )


class BlockLearner:
    """Weights that learn from blocks of events; the result is that of learning event by event.

    Parameters
    ----------
    rule : DeltaRule
        The rule.
    weights : sequence of array, each of shape (cues, dimensions)
        Where learning starts: W, or its rows in several parts, each on its own device. They are changed in place.
    """

    def __init__(self, rule: DeltaRule, weights: Sequence[Array]) -> None:
        self.rule, self.parts = rule, list(weights)
        stops = np.cumsum([len(part) for part in self.parts]).tolist()
        self._slices = [slice(stop - len(part), stop) for stop, part in zip(stops, self.parts, strict=True)]

    def learn(self, C: Array, S: Array, first: int = 0) -> None:
        """Learn from a block of events, in their order.

        Parameters
        ----------
        C : array, shape (events, cues)
            Cues, in the weights' precision.
        S : array, shape (events, dimensions)
            Targets.
        first : int, default 0
            Number of the first event, for messages.

        Raises
        ------
        InputError
            Cues or targets hold NaN or infinite values.
        WorkError
            The weights stop being finite; they are left as before the block.
        """
        cues = [C[:, cut] for cut in self._slices]
        if len(self.parts) == 1 and not is_tensor(C):
            with np.errstate(all="ignore"):  # whatever is not finite is told as an error
                E = _errors_numpy(self.rule, C, S, self.parts[0])
            if not np.isfinite(E).all():
                raise _not_finite(C, S, E, first)
            _add_numpy(self.parts[0], C, E)
            return
        cues = [c.to(part.device) for c, part in zip(cues, self.parts, strict=True)]
        with _whole_precision():
            E = _errors_torch(self.rule, cues, S, self.parts).to(self.parts[0].dtype)
            if not bool(E.isfinite().all()):
                raise _not_finite(C.cpu().numpy(), S.cpu().numpy(), E.cpu().numpy(), first)
            for c, part in zip(cues, self.parts, strict=True):
                part.addmm_(c.T, E.to(part.device))

    def check(self) -> None:
        """Raise `WorkError` where the weights are not finite any more; `learn` finds that out a block later."""
        if not all(bool((part.isfinite() if is_tensor(part) else np.isfinite(part)).all()) for part in self.parts):
            raise WorkError(_OVERFLOW.format("the last events"))


def _errors_numpy(rule: DeltaRule, C: np.ndarray, S: np.ndarray, W: np.ndarray) -> np.ndarray:
    """Return H E of a block, in the weights' precision."""
    from scipy.linalg import blas, solve_triangular

    # The products over tens of thousands of cues run in the cues' precision; the small system that couples the events,
    # in which rounding would add up from event to event, is solved in float64: it costs next to nothing.
    inner = blas.ssyrk if W.dtype == np.float32 else blas.dsyrk
    K = inner(1.0, C.T, trans=1, lower=1).astype(np.float64)  # the lower triangle of C Cᵀ, in half the time
    h = rule.steps(np.diagonal(K))
    R = np.asarray(S, dtype=np.float64) - C @ W
    E = solve_triangular(K * h, R, lower=True, unit_diagonal=True, overwrite_b=True, check_finite=False)
    E *= h[:, None]
    return np.asarray(E, dtype=W.dtype)


def _add_numpy(W: np.ndarray, C: np.ndarray, E: np.ndarray) -> None:
    """Add Cᵀ E to W, in place."""
    from scipy.linalg import blas

    if not W.flags.c_contiguous:
        W += C.T @ E
        return
    # BLAS adds to W as it multiplies; NumPy's product would be written to memory as a whole and then be read again.
    # Transposed, because BLAS thinks in columns: Wᵀ ← Wᵀ + Eᵀ C.
    gemm = blas.sgemm if W.dtype == np.float32 else blas.dgemm
    added = gemm(1.0, E.T, C.T, beta=1.0, c=W.T, trans_b=True, overwrite_c=True)
    assert np.shares_memory(added, W)


@contextlib.contextmanager
def _whole_precision() -> Iterator[None]:
    """Multiply float32 as float32, also where the caller has told torch to take TF32 or bfloat16 for it."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _errors_torch(rule: DeltaRule, cues: Sequence[Array], S: Array, parts: Sequence[Array]) -> Array:
    """Return H E of a block, float64, on the first part's device."""
    import torch

    home = parts[0].device
    K = sum((c @ c.T).to(home, torch.float64) for c in cues)
    predicted = sum((c @ part).to(home, torch.float64) for c, part in zip(cues, parts, strict=True))
    h = rule.steps(torch.diagonal(K))
    E = torch.linalg.solve_triangular(K * h, S.to(home, torch.float64) - predicted, upper=False, unitriangular=True)
    return E * h[:, None]


def _not_finite(C: np.ndarray, S: np.ndarray, E: np.ndarray, first: int) -> InputError | WorkError:
    for name, rows in (("cues", C), ("targets", S)):
        bad = ~np.isfinite(rows).all(axis=1)
        if bad.any():
            return InputError(
                f"the {name} of event {first + int(np.argmax(bad))} are NaN or infinite. Look at how they were made, "
                "or leave the event out."
            )
    event = first + int(np.argmax(~np.isfinite(E).all(axis=1)))
    return WorkError(_OVERFLOW.format(f"event {event}"))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
