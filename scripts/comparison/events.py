"""Small learning problems, and the delta rule as it is written, for claims about discriminative lexicons."""

from __future__ import annotations

import numpy as np

RATE = 0.05
WORDS = ("ship", "chip", "sheep", "fish", "wish", "dish")


def matrices(symbols: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Cues and meanings of six words: real numbers, or 0 and 1."""
    rng = np.random.default_rng(0)
    C, S = rng.standard_normal((6, 8)), rng.standard_normal((6, 5))
    return ((C > 0).astype(float), np.eye(6)) if symbols else (C, S)


def widrow_hoff(C: np.ndarray, S: np.ndarray, rate: float = RATE) -> np.ndarray:
    """Weights after every event once, in order."""
    W = np.zeros((C.shape[1], S.shape[1]))
    for c, s in zip(C, S, strict=True):
        W += rate * np.outer(c, s - c @ W)
    return W


def weighted(C: np.ndarray, S: np.ndarray, f: np.ndarray) -> np.ndarray:
    """Least squares of events that occur f times."""
    return np.linalg.lstsq(np.sqrt(f)[:, None] * C, np.sqrt(f)[:, None] * S, rcond=None)[0]
