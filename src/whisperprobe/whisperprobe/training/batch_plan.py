"""How the clips of one optimiser step are dealt out: to processes, and one after the other to what fits a device."""

from __future__ import annotations

from dataclasses import dataclass

from audiogram.errors import InputError

__all__ = ["BatchPlan"]


@dataclass(frozen=True)
class BatchPlan:
    """One optimiser step: `global_batch` clips = `batch_size` at once x `accumulation` x `processes`.

    Attributes
    ----------
    global_batch : int
        Clips of one optimiser step, over all processes. What a run promises: its result does not depend on how they
        are dealt out.
    batch_size : int
        Clips that one device holds at once.
    processes : int
        How many take part, one per device.
    """

    global_batch: int
    batch_size: int
    processes: int = 1

    @classmethod
    def of(cls, global_batch: int, batch_size: int | None = None, processes: int = 1) -> BatchPlan:
        """Plan a step.

        Parameters
        ----------
        global_batch : int
            Clips of one step.
        batch_size : int, optional
            Clips that a device holds at once; default each process's share of the step.
        processes : int, default 1
            How many take part.

        Raises
        ------
        InputError
            Where the clips cannot be dealt out evenly; says which numbers would do.

        Examples
        --------
        >>> BatchPlan.of(64, 8, 4).accumulation
        2
        """
        if global_batch % processes:
            below = global_batch - global_batch % processes
            fitting = " or ".join(str(n) for n in (below, below + processes) if n)
            counts = ", ".join(str(n) for n in _divisors(global_batch) if n <= 64)
            raise InputError(
                f"global_batch {global_batch} cannot be dealt out evenly to {processes} processes. Give global_batch "
                f"{fitting}, or as many processes as divide {global_batch}: {counts}."
            )
        share = global_batch // processes
        if batch_size is None:
            batch_size = share
        if share % batch_size:
            each = f" x {processes} processes" if processes > 1 else ""
            fitting = ", ".join(str(n) for n in _divisors(share))
            raise InputError(
                f"batch_size {batch_size}{each} does not divide global_batch {global_batch}: a step needs a whole "
                f"number of batches. Give a batch_size of {fitting}; the result is the same."
            )
        return cls(global_batch, batch_size, processes)

    @property
    def accumulation(self) -> int:
        """Batches that each process accumulates gradients over, for one step."""
        return self.global_batch // (self.batch_size * self.processes)

    def with_batch_size(self, batch_size: int) -> BatchPlan:
        """The same step in other portions."""
        return BatchPlan.of(self.global_batch, batch_size, self.processes)

    def smaller(self) -> list[int]:
        """Batch sizes to try, the largest first: this one and every smaller one that divides the step evenly."""
        share = self.global_batch // self.processes
        return [n for n in reversed(_divisors(share)) if n <= self.batch_size]


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]
