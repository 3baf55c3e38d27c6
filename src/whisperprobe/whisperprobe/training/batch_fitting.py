"""Finding the largest batch that a device can hold, by trying; and saying what to do where one was too large."""

from __future__ import annotations

import contextlib
import gc
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from audiogram.errors import WorkError

if TYPE_CHECKING:
    from whisperprobe.training.batch_plan import BatchPlan
    from whisperprobe.training.data import SpeechDataset
    from whisperprobe.training.processes import Processes

__all__ = ["fitting_plan", "one_step", "told_out_of_memory"]

_log = logging.getLogger("whisperprobe")


def fitting_plan(plan: BatchPlan, processes: Processes, attempt: Callable[[int], None]) -> BatchPlan:
    """Take the largest batch size, from the planned one down, with which a step fits into memory everywhere.

    Parameters
    ----------
    plan : BatchPlan
        The step; its clips stay the same, in smaller portions.
    processes : Processes
        Those that take part; one batch size for all.
    attempt : callable
        Takes a batch size and does all that a step needs memory for.

    Raises
    ------
    WorkError
        Where not even a single clip fits.
    """
    for batch_size in plan.smaller():
        if not processes.any(not _fits(attempt, batch_size)):
            if batch_size != plan.batch_size:
                _log.warning("batch_size %d does not fit; going on with %d.", plan.batch_size, batch_size)
            return plan.with_batch_size(batch_size)
    raise WorkError(
        "out of memory with a single clip. Give gradient_checkpointing, lora, padding 'trimmed' or a smaller model; "
        "see also whether another program holds the device's memory."
    )


def one_step(
    model: Any, forward: Callable[[dict[str, Any]], Any], dataset: SpeechDataset, device: torch.device, *,
    bf16: bool, shared: bool,
) -> Callable[[int], None]:  # fmt: skip
    """Make the attempt for `fitting_plan`: forward and backward of the longest clips, and room for the optimiser.

    Parameters
    ----------
    model : torch.nn.Module
        On its device. Its weights stay as they are.
    forward : callable
        From a prepared batch to the loss.
    dataset : SpeechDataset
        Where the clips come from.
    device : torch.device
        Where the model is.
    bf16 : bool
        Whether products are computed in bfloat16.
    shared : bool
        Whether gradients are exchanged with other processes, which holds a second copy of them.
    """
    longest = sorted(range(len(dataset)), key=lambda i: -dataset.speech.lengths[i])
    most = int(dataset.label_lengths.max())

    def attempt(batch_size: int) -> None:
        trained = [p for p in model.parameters() if p.requires_grad]
        reserved = [torch.empty_like(p) for p in trained for _ in range(3 if shared else 2)]  # AdamW's two moments
        rows = [longest[i % len(longest)] for i in range(batch_size)]
        inputs = dict(dataset.prepare(dataset.__getitems__([(0, i) for i in rows]), device))
        labels = inputs["labels"]
        inputs["labels"] = torch.nn.functional.pad(labels.clamp(min=0), (0, most - labels.shape[1]))
        was_training = model.training
        model.train()
        try:
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
                loss = forward(inputs)
            loss.backward()
        finally:
            model.zero_grad(set_to_none=True)
            model.train(was_training)
            del reserved

    return attempt


def _fits(attempt: Callable[[int], None], batch_size: int) -> bool:
    try:
        attempt(batch_size)
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        fits = False
    else:
        fits = True
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return fits


@contextlib.contextmanager
def told_out_of_memory(plan: BatchPlan) -> Iterator[None]:
    """Tell memory that ran out as what it is, with the options that need less."""
    try:
        yield
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        at_once = f"batch_size {plan.batch_size} (clips that a device holds at once)"
        smaller = plan.smaller()[1:]
        remedy = (
            f"Lower batch_size to {smaller[0]}: global_batch stays {plan.global_batch}, for gradients are accumulated. "
            "auto_batch finds what fits; gradient_checkpointing, lora and padding 'trimmed' need less."
            if smaller
            else "Give gradient_checkpointing, lora, padding 'trimmed' or a smaller model."
        )
        raise WorkError(f"out of memory with {at_once}. {remedy} The last good checkpoint is kept.") from error


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)  # torch on the CPU
