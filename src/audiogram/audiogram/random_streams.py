"""Random numbers of a clip: drawn from a seed and the clip's key, never from its place in a batch or from the clock."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from audiogram.errors import InputError

__all__ = ["check_seed", "generator", "row_keys"]


def generator(seed: int, key: str, purpose: str = "") -> np.random.Generator:
    """Random numbers of one clip for one purpose.

    Parameters
    ----------
    seed : int
        Seed, 0 or more.
    key : str
        What makes the clip's numbers its own, e.g. its id.
    purpose : str, default ""
        What they are for, at most 16 bytes; a masker and an audibility floor of one clip must not be the same noise.

    Returns
    -------
    numpy.random.Generator

    Examples
    --------
    >>> a, b = (generator(0, "clip-1", "floor").standard_normal(3) for _ in range(2))
    >>> bool((a == b).all())
    True
    """
    # a file's name that is not UTF-8 has surrogates
    digest = hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=16, person=purpose.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest, "little")])


def row_keys(x: Any, keys: str | Sequence[str] | None) -> list[str]:
    """Key of every clip in a batch.

    Parameters
    ----------
    x : ndarray or Tensor, shape (..., samples)
        Sound.
    keys : str or sequence of str, optional
        Ids of the clips: one, or one per row of `x.reshape(-1, samples)`. By default a clip's key is a digest of its
        samples in float32 without the zeros at their end, so that padding does not change it.

    Returns
    -------
    list of str

    Raises
    ------
    InputError
        Where there are more or fewer keys than clips, or one is no text.

    Examples
    --------
    >>> row_keys(np.zeros((2, 100)), ["a", "b"])
    ['a', 'b']
    """
    rows = 1
    for n in x.shape[:-1]:
        rows *= int(n)
    if keys is not None:
        names = [keys] if isinstance(keys, str) else list(keys)
        if isinstance(keys, bytes) or not all(isinstance(name, str) for name in names):
            raise InputError(f"keys are the ids of clips, each a text, got {keys!r}.")
        if len(names) != rows:
            raise InputError(f"keys names {len(names)} clips, but the sound has {rows}.")
        return names
    samples = x if isinstance(x, np.ndarray) else x.detach().float().cpu().numpy()
    with np.errstate(over="ignore"):
        flat = np.ascontiguousarray(samples, np.float32).reshape(rows, x.shape[-1])
    return [hashlib.blake2b(np.trim_zeros(row, "b").tobytes(), digest_size=16).hexdigest() for row in flat]


def check_seed(seed: Any, label: str = "seed") -> int:
    """Seed as a whole number of 0 or more.

    Raises
    ------
    InputError
        For anything else.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"{label} is a whole number, 0 or more, got {seed!r}.")
    return int(seed)
