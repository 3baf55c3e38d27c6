"""Which clips make a batch, epoch after epoch, and the manners of the processes that read them."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from whisperprobe.training.augment import draw

__all__ = ["EpochSampler", "collate", "worker_init"]

_GROUPS_AT_ONCE = 50  # sorted by length together: more makes batches more alike, fewer leaves more to chance


class EpochSampler(Sampler[tuple[int, int]]):
    """Clips in an order drawn from (seed, epoch), each with its epoch, which the augmentation needs.

    Parameters
    ----------
    n : int
        Number of clips.
    seed : int
        Of the run.
    lengths : sequence of int, optional
        Lengths of the clips, to group clips of like length.
    group : int, default 0
        Clips of one optimiser step, over all devices and accumulated batches; 0 groups nothing. The stream of all
        epochs is cut into steps of so many clips. Those of one step are of like length and stand in its order, so that
        whatever part of the step a device takes at once has little to pad; which lengths a step has is left to chance.
        The steps that two epochs share, and a few behind which nothing is left to sort, have mixed lengths.

    Examples
    --------
    >>> order = EpochSampler(6, seed=1, lengths=[9, 1, 8, 2, 7, 3], group=2)
    >>> sorted(clip for _, clip in order)
    [0, 1, 2, 3, 4, 5]
    """

    def __init__(self, n: int, seed: int, lengths: Sequence[int] | None = None, group: int = 0) -> None:
        self.n, self.seed, self.epoch, self.group = n, seed, 0, group if lengths is not None else 0
        self.lengths = np.asarray(lengths if lengths is not None else (), dtype=np.int64)

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch
        rng = draw(self.seed, epoch, "order")
        order = rng.permutation(self.n)
        if self.group > 1:
            order = self._grouped(order, epoch, rng)
        for i in order:
            yield epoch, int(i)

    def _grouped(self, order: np.ndarray[Any, Any], epoch: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
        """Sort an order by length within groups that begin where the steps of the whole run begin."""
        first = min(-epoch * self.n % self.group, self.n)  # belongs to the last step of the epoch before
        whole = (self.n - first) // self.group
        groups: list[np.ndarray[Any, Any]] = []
        for start in range(0, whole, _GROUPS_AT_ONCE):
            stop = min(start + _GROUPS_AT_ONCE, whole)
            some = order[first + start * self.group : first + stop * self.group]
            groups += np.split(some[np.argsort(self.lengths[some], kind="stable")], stop - start)
        middle = [groups[i] for i in rng.permutation(len(groups))]
        ends = [order[:first], order[first + whole * self.group :]]
        head, tail = (end[np.argsort(self.lengths[end], kind="stable")] for end in ends)
        return np.concatenate([head, *middle, tail])


def collate(batch: Any) -> Any:
    """What the data loader does with a batch that is one already: nothing."""
    return batch


def worker_init(worker: int) -> None:
    """Let a process that reads clips ignore signals: its parent stops in good order, and it ends with its parent."""
    for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
