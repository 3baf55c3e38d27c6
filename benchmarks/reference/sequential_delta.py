"""The delta rule as it is written, event by event: in plain NumPy, and with BLAS adding to W in place."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import blas

Matrix = np.ndarray[Any, Any]


def numpy_rule(C: Matrix, S: Matrix, rule: str, rate: float, W: Matrix) -> Matrix:
    """W ← W + h c ⊗ (s − c W), in place: the way it is usually written."""
    for c, s in zip(C, S, strict=True):
        h = rate if rule == "lms" else rate / (c @ c)
        W += h * np.outer(c, s - c @ W)
    return W


def blas_rule(C: Matrix, S: Matrix, rule: str, rate: float, W: Matrix) -> Matrix:
    """The same with GEMV and GER, which write nothing but W: two passes over memory, as good as one event at a time
    can be."""
    gemv, ger = (blas.sgemv, blas.sger) if W.dtype == np.float32 else (blas.dgemv, blas.dger)
    turned = W.T  # BLAS thinks in columns
    for c, s in zip(C, S, strict=True):
        h = rate if rule == "lms" else rate / (c @ c)
        ger(h, s - gemv(1.0, turned, c), c, a=turned, overwrite_a=1)
    return W
