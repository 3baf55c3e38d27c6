"""The order in which a run hears its clips: epochs one after the other, cut into steps of equal size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import Sampler

__all__ = ["StepOrder"]


class StepOrder(Sampler[tuple[int, int]]):
    """The clips of a whole run in one sequence, so that every step has as many as were promised.

    A step may begin in one epoch and end in the next. Which clips a step has depends on its number alone, and not on
    how many processes share it or how many clips a device holds at once: dealt out in portions, in turn, a step's
    portions are always the same clips.

    Parameters
    ----------
    epochs : Sampler
        Iterates over one epoch's (epoch, clip) pairs, that of its attribute `epoch`.
    steps : int
        Optimiser steps of the run.
    global_batch : int
        Clips of one step.
    """

    def __init__(self, epochs: Any, steps: int, global_batch: int) -> None:
        self.epochs, self.steps, self.global_batch = epochs, steps, global_batch

    def __len__(self) -> int:
        return self.steps * self.global_batch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        left, epoch = len(self), 0
        while left:
            self.epochs.epoch = epoch
            for pair in self.epochs:
                yield pair
                left -= 1
                if not left:
                    break
            epoch += 1

    def epoch_at(self, step: int) -> float:
        """How often every clip has been heard after so many steps."""
        return step * self.global_batch / len(self.epochs)
