"""The folder of an LDL fit, and the checkpoints that an interrupted one goes on from, to the last bit."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np

from audiogram.corpus.files import fsync_folder
from audiogram.errors import WorkError
from whisperprobe.training.records import LOCK, RunFolder, write_json

__all__ = ["FitFolder"]

_WEIGHTS, _STATE = "weights.safetensors", "state.json"


class FitFolder(RunFolder):
    """The output folder of one fit: belongs to one set of options, for good."""

    options_file = "ldl.json"
    found = ("events", "shape", "semantics_source")

    def save(self, events: int, weights: Mapping[str, np.ndarray[Any, Any]], state: Mapping[str, Any]) -> None:
        """Write a checkpoint, whole or not at all, and drop the ones before it.

        Parameters
        ----------
        events : int
            How many events have been learnt from: the cursor.
        weights : mapping of str to ndarray
            All that was learnt, bit by bit.
        state : mapping
            JSON-able; what else is needed to go on: seed of the order, learning curve.
        """
        from safetensors.numpy import save_file

        final = self.checkpoints / f"checkpoint-{events}"
        growing = self.checkpoints / f".{final.name}"
        for left in (final, growing):
            shutil.rmtree(left, ignore_errors=True)
        growing.mkdir(parents=True)
        save_file({name: np.ascontiguousarray(w) for name, w in weights.items()}, growing / _WEIGHTS)
        write_json(growing / _STATE, {**state, "events": events})
        for file in (growing / _WEIGHTS, growing / _STATE):
            with open(file, "rb") as stream:
                os.fsync(stream.fileno())
        growing.rename(final)
        fsync_folder(self.checkpoints)
        for other in self.checkpoints.iterdir():
            if other != final:
                shutil.rmtree(other)

    def last(self) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any]] | None:
        """Return the weights and the state of the last checkpoint; None where there is none.

        Raises
        ------
        WorkError
            It is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        found = sorted(self.checkpoints.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]))
        if not found:
            return None
        try:
            state = json.loads((found[-1] / _STATE).read_text(encoding="utf-8"))
            return dict(load_file(found[-1] / _WEIGHTS)), dict(state)
        except (OSError, ValueError, TypeError, SafetensorError) as error:
            raise WorkError(f"{found[-1]} is damaged ({error}). Remove it and start the same command again.") from error

    def left_tidy(self) -> bool:
        """Whether the fit is finished and nothing of its making is left; killed at the very end it leaves something."""
        return self.finished() is not None and not self.checkpoints.exists() and not (self.path / LOCK).exists()

    def tidy(self) -> None:
        """Drop what a finished fit does not need any more."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def _start_over(self) -> None:
        for name in ("results.json", "curve.csv"):
            (self.path / name).unlink(missing_ok=True)
        shutil.rmtree(self.checkpoints, ignore_errors=True)
