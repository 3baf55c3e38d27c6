"""Two processes that train together on the CPU, run as a program by `test_training_processes.py`.

Forked from a program that has imported everything, a process costs no more than its training. What befalls one of them
is told by `fault`: a signal to the second at a step, or a loss that is no number in the second.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import torch

torch.set_num_threads(1)  # forked children have no other threads
import transformers.models.whisper.modeling_whisper  # noqa: E402, F401

from audiogram.errors import AudiogramError  # noqa: E402
from whisperprobe.training import fitting  # noqa: E402, F401
from whisperprobe.training.loop import SpeechTrainer  # noqa: E402
from whisperprobe.training.processes import Processes  # noqa: E402
from whisperprobe.training.trainer import finetune  # noqa: E402
from whisperprobe.training.watching import Manners  # noqa: E402


def befall(rank: int, fault: str | None) -> None:
    """Arrange for what is to happen to the second process."""
    if fault is None or rank == 0:
        return
    kind, step = fault.split("@")
    if kind == "nan":
        plain_loss = SpeechTrainer.compute_loss

        def poisoned(self: Any, *args: Any, **given: Any) -> Any:
            loss = plain_loss(self, *args, **given)
            if self.state.global_step == int(step) - 1:
                self.heard[-1] = (self.heard[-1][0], loss.detach() * float("nan"))
                return loss * float("nan")
            return loss

        SpeechTrainer.compute_loss = poisoned  # type: ignore[method-assign]
        return
    plain_step = Manners.on_step_end

    def signalled(self: Any, args: Any, state: Any, control: Any, **given: Any) -> None:
        if state.global_step == int(step):
            os.kill(os.getpid(), getattr(signal, kind))
        plain_step(self, args, state, control, **given)

    Manners.on_step_end = signalled  # type: ignore[method-assign]


def one(rank: int, count: int, port: int, job: dict[str, Any]) -> dict[str, Any]:
    """Train as one of several; returns what came of it."""
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }  # fmt: skip
    befall(rank, job.get("fault"))
    try:
        result = finetune(job["speech"], job["out"], device="cpu", **job["options"])
        return {"steps": result.steps, "step": result.step, "evaluation": result.evaluation}
    except AudiogramError as error:
        return {"error": type(error).__name__, "said": str(error)}
    finally:
        Processes.part()


def together(count: int, job: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Fork so many processes, wait for all, and return what each of them found."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(count):
        child = os.fork()
        if child == 0:
            try:
                (folder / f"{rank}.json").write_text(json.dumps(one(rank, count, port, job)))
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(count)]


if __name__ == "__main__":
    jobs = json.loads(sys.argv[1])
    print(json.dumps([together(job["processes"], job, Path(sys.argv[2])) for job in jobs]))
