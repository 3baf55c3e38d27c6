"""`learn`: weights from cues to meanings, or from meanings to cues, learnt event by event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from audiogram.errors import InputError
from audiogram.random_streams import check_seed
from whisperprobe.devices import chosen_device
from whisperprobe.ldl.block import Array, BlockLearner, DeltaRule, is_tensor
from whisperprobe.training.augment import draw

__all__ = ["chosen_block", "event_order", "gathered", "learn", "rows_like", "spread", "squared_norms"]


def learn(
    C: Array,
    S: Array,
    *,
    rule: str = "nlms",
    rate: float = 0.1,
    epsilon: float = 0.0,
    block: int | None = None,
    epochs: int = 1,
    seed: int | None = None,
    order: Sequence[int] | np.ndarray[Any, Any] | None = None,
    W0: Array | None = None,
    devices: Sequence[str] | None = None,
) -> Array:
    """Learn W with C W ≈ S by the sequential delta rule, a block of events at a time and exactly.

    With cues C and meanings S the result is comprehension F; ``learn(S, C)`` is production G.

    Parameters
    ----------
    C : array, shape (events, cues)
        Cues: NumPy or torch, float32 or float64. Memory-mapped rows (`numpy.memmap`, `whisperprobe.arrays.PartedArray`)
        are read block by block; float16 and integers are learnt from in float32.
    S : array, shape (events, dimensions)
        Targets, the same kind of array.
    rule : {"nlms", "lms"}
        Normalised least mean squares (the step is divided by ‖c‖²), or plain least mean squares (Widrow-Hoff).
    rate : float, default 0.1
        Learning rate: above 0; below 2 with NLMS, below 2/‖c‖² of every event with LMS.
    epsilon : float, default 0.0
        Added to ‖c‖² by NLMS; with 0 an event whose cues are all zero teaches nothing.
    block : int, optional
        Events at a time; a matter of speed only, up to rounding. Default: `chosen_block`.
    epochs : int, default 1
        Passes over the events.
    seed : int, optional
        Shuffle the events anew in every epoch, drawn from (seed, epoch). By default they keep their order.
    order : sequence of int, optional
        Which events in which order, each as often as it is named, instead of shuffling.
    W0 : array, shape (cues, dimensions), optional
        Where to start, left as it is; default zeros.
    devices : sequence of str, optional
        torch devices, e.g. ``["cuda:0", "cuda:1"]``, that W's rows are spread over where one does not hold them.

    Returns
    -------
    array, shape (cues, dimensions)
        W, the same kind of array as C, on its device and in its precision.

    Raises
    ------
    InputError
        Shapes that do not fit, an LMS step that would diverge (it names the event and the largest rate), NaN.
    WorkError
        Weights that stop being finite.

    References
    ----------
    .. [1] R. H. Baayen, Y.-Y. Chuang, E. Shafaei-Bajestan and J. P. Blevins, "The discriminative lexicon", Complexity
       (2019), 4895891.
    .. [2] E. Shafaei-Bajestan, M. Moradipour-Tari, P. Uhrig and R. H. Baayen, "LDL-AURIS: a computational model,
       grounded in error-driven learning, for the comprehension of single spoken words", Language, Cognition and
       Neuroscience 38 (2023), 509-536.

    Examples
    --------
    >>> C = np.array([[1.0, 0.0], [1.0, 1.0]])
    >>> learn(C, np.array([[1.0], [0.0]]), rate=1.0)
    array([[ 0.5],
           [-0.5]])
    """
    stepping = DeltaRule(rule, rate, epsilon)
    check_matrices(C, S, W0)
    if block is not None and (isinstance(block, bool) or not isinstance(block, int) or block < 1):
        raise InputError(f"block is {block!r}; give a whole number of events, at least 1.")
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise InputError(f"epochs is {epochs!r}; give a whole number of at least 1.")
    if seed is not None:
        seed = check_seed(seed)
    if order is not None and seed is not None:
        raise InputError("seed shuffles the events and order says their order; give one of the two.")
    size = block or chosen_block(S.shape[1])
    stepping.check(squared_norms(C, size) if rule == "lms" else np.empty(0))
    learner = BlockLearner(stepping, spread(C, S, W0, devices))
    turns = (
        [_checked(order, len(C))] * epochs
        if order is not None
        else (event_order(len(C), seed, e) for e in range(epochs))
    )
    seen = 0
    for turn in turns:
        for events in _blocks(turn, size):
            learner.learn(rows_like(C, events, learner.parts[0]), rows_like(S, events, learner.parts[0]), seen)
            seen += len(events)
    learner.check()
    return gathered(learner.parts, C)


def chosen_block(dimensions: int) -> int:
    """Return how many events are learnt at a time where nobody says.

    A block of B events saves passes over W, and costs B inner products of cues per event where W costs two products
    with as many columns as the targets have: from a third of these on a larger block takes longer.

    Examples
    --------
    >>> chosen_block(300), chosen_block(10)
    (128, 32)
    """
    return int(2 ** np.clip(np.floor(np.log2(max(dimensions, 1) / 2)), 5, 9))


def event_order(events: int, seed: int | None, epoch: int) -> np.ndarray[Any, Any]:
    """Return the order of an epoch's events, int64 `(events,)`: drawn from (seed, epoch), or as they are for None."""
    if seed is None:
        return np.arange(events)
    return np.asarray(draw(seed, epoch, "order").permutation(events))


def squared_norms(C: Array, rows: int = 256) -> np.ndarray[Any, Any]:
    """Return ‖c‖² of every row, float64 `(events,)`, read `rows` at a time."""
    found = []
    for start in range(0, len(C), rows):
        block = C[start : start + rows]
        c = block.detach().cpu().numpy() if is_tensor(block) else np.asarray(block)
        found.append(np.einsum("ij,ij->i", c, c, dtype=np.float64))
    return np.concatenate(found) if found else np.empty(0)


def check_matrices(C: Array, S: Array, W0: Array | None = None) -> None:
    """Raise `InputError` where cues and targets cannot belong together."""
    for name, matrix in (("C", C), ("S", S)) if W0 is None else (("C", C), ("S", S), ("W0", W0)):
        if not hasattr(matrix, "shape") or not hasattr(matrix, "dtype"):
            raise InputError(
                f"{name} is a {type(matrix).__name__}; give an array of numbers, e.g. "
                f"numpy.asarray({name}, dtype='float32')."
            )
        if len(matrix.shape) != 2 or not matrix.shape[1]:
            raise InputError(
                f"{name} has shape {tuple(matrix.shape)}; it needs two axes, one row per event and at least one column."
            )
        if matrix.is_complex() if is_tensor(matrix) else np.dtype(matrix.dtype).kind not in "fiub":
            raise InputError(f"{name} holds {matrix.dtype}; cues and meanings are real numbers.")
    if len(C) != len(S):
        raise InputError(f"C has {len(C)} events and S has {len(S)}. Give one row of targets per row of cues.")
    if W0 is not None and tuple(W0.shape) != (C.shape[1], S.shape[1]):
        raise InputError(f"W0 has shape {tuple(W0.shape)}; with these C and S it is ({C.shape[1]}, {S.shape[1]}).")
    if is_tensor(C) != is_tensor(S) or (W0 is not None and is_tensor(C) != is_tensor(W0)):
        raise InputError("C, S and W0 must be of one kind: all NumPy arrays, or all torch tensors.")


def precision_of(C: Array) -> str:
    """Return what the weights for these cues are computed in: "float64" for float64, else "float32"."""
    return "float64" if str(C.dtype).endswith("float64") else "float32"


def spread(C: Array, S: Array, W0: Array | None, devices: Sequence[str] | None) -> list[Array]:
    """Return W as the learner changes it: a copy of W0, whole or in parts of its rows."""
    shape, precision = (C.shape[1], S.shape[1]), precision_of(C)
    if not is_tensor(C) and devices is None:
        return [np.zeros(shape, precision) if W0 is None else np.array(W0, dtype=precision, order="C")]
    import torch

    if devices is not None and not devices:
        raise InputError("devices is empty; name at least one, e.g. ['cuda:0'].")
    if isinstance(devices, str):
        raise InputError(f"devices is {devices!r}; give a list of names, [{devices!r}].")
    places = [C.device] if devices is None else [torch.device(chosen_device(str(name))) for name in devices]
    dtype = getattr(torch, precision)
    cuts = [shape[0] * i // len(places) for i in range(len(places) + 1)]
    parts = []
    for place, low, high in zip(places, cuts, cuts[1:], strict=False):
        if W0 is None:
            parts.append(torch.zeros((high - low, shape[1]), dtype=dtype, device=place))
        else:
            parts.append(torch.as_tensor(W0[low:high]).to(place, dtype, copy=True).contiguous())
    return parts


def gathered(parts: Sequence[Array], C: Array) -> Array:
    """Return W of its parts, as the kind of array that C is, on C's device."""
    if not is_tensor(parts[0]):
        return parts[0]
    import torch

    if is_tensor(C):
        return torch.cat([part.to(C.device) for part in parts]) if len(parts) > 1 else parts[0].to(C.device)
    return np.concatenate([part.cpu().numpy() for part in parts])


def rows_like(matrix: Array, events: np.ndarray[Any, Any], like: Array) -> Array:
    """Return some rows in the weights' precision and kind."""
    if not is_tensor(like):
        return np.ascontiguousarray(matrix[events], dtype=like.dtype)
    import torch

    if is_tensor(matrix):
        return matrix[torch.from_numpy(events).to(matrix.device)].to(like.dtype)
    return torch.from_numpy(np.asarray(matrix[events])).to(like.dtype)


def _blocks(order: np.ndarray[Any, Any], size: int) -> Iterator[np.ndarray[Any, Any]]:
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _checked(order: Sequence[int] | np.ndarray[Any, Any], events: int) -> np.ndarray[Any, Any]:
    rows = np.asarray(order)
    if rows.ndim != 1 or (rows.size and (rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= events)):
        raise InputError(f"order must list events, whole numbers from 0 to {events - 1}.")
    return rows.astype(np.int64)
