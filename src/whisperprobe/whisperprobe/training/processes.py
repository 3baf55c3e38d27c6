"""The processes of one training run: one, or as many as torchrun has started, which must go on and stop together."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from audiogram.errors import AudiogramError, InputError

__all__ = ["Processes"]

T = TypeVar("T")
_PATIENCE = dt.timedelta(hours=2)  # of one process for the others, e.g. while the first writes a checkpoint


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    Attributes
    ----------
    rank : int
        Number of this process, from 0.
    count : int
        How many there are.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def here(cls, device: str) -> Processes:
        """Join the processes that torchrun has started (its environment says so); otherwise this one is alone.

        Parameters
        ----------
        device : {"cpu", "cuda"}
            Where they compute. Tensors of the CPU travel by gloo, those of GPUs by NCCL.

        Raises
        ------
        InputError
            Where there are more processes on this machine than GPUs.
        """
        count, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
        if count == 1:
            return cls()
        import torch
        from torch import distributed

        if device != "cpu":
            if local >= torch.cuda.device_count():
                raise InputError(
                    f"process {local} of this machine has no GPU; torch sees {torch.cuda.device_count()}. Give "
                    f"torchrun --nproc-per-node {torch.cuda.device_count()}, or the command --device cpu."
                )
            torch.cuda.set_device(local)
        if not distributed.is_initialized():
            backend = "gloo" if device == "cpu" else "cpu:gloo,cuda:nccl"
            distributed.init_process_group(backend, timeout=_PATIENCE)
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def gather(self, value: T) -> list[T]:
        """Give the values of all processes to every one of them, by rank."""
        if self.count == 1:
            return [value]
        from torch import distributed

        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process. Every process must ask."""
        if self.count == 1:
            return flag
        import torch
        from torch import distributed

        told = torch.tensor([flag], dtype=torch.int32)
        distributed.all_reduce(told, distributed.ReduceOp.MAX)
        return bool(told)

    def first(self, act: Callable[[], T]) -> T:
        """Let the first process do something; all get what it returns, or raise what it raises."""
        if self.count == 1:
            return act()
        from torch import distributed

        told: list[Any] = [None, None]
        if self.is_first:
            try:
                told[0] = act()
            except AudiogramError as error:
                told[1] = error
        distributed.broadcast_object_list(told, src=0)
        if told[1] is not None:
            raise told[1]
        result: T = told[0]
        return result

    def barrier(self) -> None:
        """Wait until every process is here."""
        self.gather(None)

    @staticmethod
    def are_led_from_here() -> bool:
        """Whether this is the process that speaks for all, before they have joined too."""
        return int(os.environ.get("RANK", "0")) == 0

    @staticmethod
    def part() -> None:
        """Leave the others in order, at the end of the program."""
        if "WORLD_SIZE" in os.environ:
            from torch import distributed

            if distributed.is_initialized():
                distributed.destroy_process_group()
