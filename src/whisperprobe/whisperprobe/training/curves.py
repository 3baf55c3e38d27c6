"""Curves of a run while it trains: training.csv, evaluation.csv, TensorBoard, and the note behind the progress bar."""

from __future__ import annotations

import importlib.util
import os
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from audiogram.errors import InputError
from whisperprobe.training.curve_tables import (
    EVALUATION,
    EVALUATION_COLUMNS,
    TENSORBOARD,
    TRAINING,
    TRAINING_COLUMNS,
    StepTable,
    drop_hypotheses,
)

__all__ = ["Curves", "memory_bytes"]


class Curves(TrainerCallback):
    """Writes a run's curves, so that a run that was killed and went on has each step once.

    `training.csv` and `evaluation.csv` are cut back to the step that the run goes on from; TensorBoard is told to
    drop what it was shown of later ones. Only the first process writes.

    Parameters
    ----------
    folder : Path
        The run folder.
    clips_per_step : int
        Clips of one optimiser step, of all processes and accumulated batches together.
    device : str or torch.device, default "cpu"
        Whose memory is watched: the peak that torch allocated on a GPU, what the process holds (RSS) on a CPU.
    tensorboard : bool, optional
        Whether event files are written too, into `tensorboard/`, under the names that transformers gives its own;
        default: where the package is installed.

    Attributes
    ----------
    note : str
        Loss, clips per second and memory at the last row, for a progress bar.

    Raises
    ------
    InputError
        For TensorBoard where it is not installed.
    """

    def __init__(
        self, folder: Path, *, clips_per_step: int, device: str | torch.device = "cpu", tensorboard: bool | None = None
    ) -> None:
        installed = importlib.util.find_spec("tensorboard") is not None
        if tensorboard and not installed:
            raise InputError(
                "tensorboard=True (--tensorboard) needs a package that is not installed: pip install "
                "'whisperprobe[tensorboard]', or leave it out; training.csv is written anyway."
            )
        self.folder, self.clips_per_step, self.device = folder, clips_per_step, device
        self.training = StepTable(folder / TRAINING, TRAINING_COLUMNS)
        self.evaluation = StepTable(folder / EVALUATION, EVALUATION_COLUMNS)
        self.tensorboard = installed if tensorboard is None else tensorboard
        self.note = ""
        self._events: Any = None
        self._begun = False
        self._step, self._since = 0, 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._restart_clock(state)
        if state.is_world_process_zero:
            self._begin(state)

    def _begin(self, state: Any) -> None:
        if self._begun:
            return
        self._begun = True
        # what was written behind the checkpoint that the run goes on from is done again
        self.training.cut(state.global_step)
        self.evaluation.cut(state.global_step)
        drop_hypotheses(self.folder, state.global_step)
        if self.tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            writer: Any = SummaryWriter  # untyped in torch
            self._events = writer(str(self.folder / TENSORBOARD), purge_step=state.global_step + 1)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # A checkpoint does not hold the running mean of the loss: what is not logged before it would be lost with a
        # kill. Evaluating and saving take time of their own, which the speed of training shall not contain.
        if control.should_save or control.should_evaluate or control.should_training_stop:
            control.should_log = True

    def on_log(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        logs = given["logs"]
        if "loss" not in logs:  # the summary at the end
            return
        seconds = max(time.monotonic() - self._since, 1e-9)
        rate = (state.global_step - self._step) * self.clips_per_step / seconds
        memory = memory_bytes(self.device) / 1e9
        self.note = f"loss {logs['loss']:.3f}, {rate:.3g} clips/s, {memory:.1f} GB"
        self._restart_clock(state)
        if state.is_world_process_zero:
            row = {**logs, "step": state.global_step, "epoch": state.epoch}
            row |= {"clips_per_second": rate, "memory_gb": memory}
            self.training.add(row, durably=control.should_save)
            self._show("train", row, TRAINING_COLUMNS, durably=control.should_save)

    def on_evaluate(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self._restart_clock(state)
        if state.is_world_process_zero:
            self._begin(state)  # an evaluation that a stop had put off is made up for before training goes on
            row = {name.removeprefix("eval_"): value for name, value in given["metrics"].items()}
            row |= {"step": state.global_step, "epoch": state.epoch}
            self.evaluation.add(row, durably=control.should_save)
            self._show("eval", row, EVALUATION_COLUMNS, durably=control.should_save)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._restart_clock(state)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Close the event file, also after an error."""
        if self._events is not None:
            self._events.close()
            self._events = None

    def _restart_clock(self, state: Any) -> None:
        self._step, self._since = state.global_step, time.monotonic()

    def _show(self, kind: str, row: dict[str, Any], columns: tuple[str, ...], *, durably: bool) -> None:
        if self._events is None:
            return
        for name in columns[1:]:
            if (value := row.get(name)) is not None:
                self._events.add_scalar(f"{kind}/{name}", value, row["step"])
        self._events.flush()
        if durably:
            _sync(Path(self._events.log_dir))


def memory_bytes(device: str | torch.device) -> int:
    """Memory in use: the peak that torch allocated on a GPU, the resident set of this process on a CPU; bytes."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    import psutil  # comes with accelerate

    return int(psutil.Process().memory_info().rss)


def _sync(folder: Path) -> None:
    for file in folder.glob("*tfevents*"):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
