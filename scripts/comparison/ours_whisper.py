"""Claims about this library's training, and what is around; `python -m comparison.ours_whisper` prints all findings."""

from __future__ import annotations

import csv
import importlib.metadata
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

import whisperprobe as wp
from comparison.listeners import DEMO
from comparison.ours_probe import claim
from comparison.rows_listeners import WHISPER, rows_of


def train(out: Path, **options: Any) -> Any:
    """Some steps of the demo's model on eight of its clips."""
    given = {"max_steps": 1, "global_batch": 4, "batch_size": 4, "log_every": 1, "tensorboard": False, **options}
    return wp.finetune(
        DEMO / "speech", out, model=DEMO / "model", max_samples=8, evaluate=False, device="cpu", threads=1, **given
    )


def curve(folder: Path) -> list[dict[str, str]]:
    with (folder / "training.csv").open() as stream:
        return list(csv.DictReader(stream))


@claim("finetune", "yes", "finetune", "plot_training")
def _() -> str:
    with tempfile.TemporaryDirectory() as folder:
        done = train(Path(folder) / "m", condition="hfloss")
        assert (done.path / "model.safetensors").exists()
    return "through a hearing loss, too; the folder is one that transformers loads"


@claim("loss", "yes", "finetune(global_batch, batch_size)")
def _() -> str:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for size in (4, 2, 1):
            train(Path(folder) / str(size), batch_size=size)
            found.append(float(curve(Path(folder) / str(size))[0]["grad_norm"]))
    assert all(math.isclose(one, found[0], rel_tol=1e-3) for one in found)
    return "the mean over all tokens of the step"


@claim("adapters", "yes", "finetune(lora)")
def _() -> str:
    with tempfile.TemporaryDirectory() as folder:
        train(Path(folder) / "m", lora=2)
        assert (Path(folder) / "m" / "adapter").exists()
    return "by peft; merged at the end, and kept"


@claim("again", "yes", "finetune(resume, save_every)")
def _() -> str:
    from whisperprobe.training.watching import Manners

    plain, options = Manners.on_step_end, {"max_steps": 2, "save_every": 1}

    def killed(self: Any, args: Any, state: Any, control: Any, **given: Any) -> None:
        plain(self, args, state, control, **given)
        if state.global_step == 2:
            raise KeyboardInterrupt

    with tempfile.TemporaryDirectory() as folder:
        whole = train(Path(folder) / "whole", **options)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Manners, "on_step_end", killed)
            with pytest.raises(KeyboardInterrupt):
                train(Path(folder) / "cut", **options)
        cut = train(Path(folder) / "cut", **options)
        both = [(one.path / "model.safetensors").read_bytes() for one in (whole, cut)]
        assert both[0] == both[1]
    return "the same command; on a CPU the same bytes"


@claim("trimmed", "yes", "finetune(padding, margin)", "probe_corpus(padding, margin)", "probe_agreement")
def _() -> str:
    with tempfile.TemporaryDirectory() as folder:
        train(Path(folder) / "m", padding="trimmed", margin=0.5)
        assert (Path(folder) / "m" / "listening.json").exists()
    return "on request, and what it changes is measured"


@claim("large", "no", "finetune(gradient_checkpointing)")
def _() -> str:
    return "several GPUs with the whole model on each"


@claim("families", "no", "Probe", "CTCAligner")
def _() -> str:
    return "Whisper of any size and window; CTC models, to align; [a discriminative lexicon](#learning)"


@claim("command", "yes", "cli.app")
def _() -> str:
    from typer.main import get_command

    from whisperprobe.cli import app

    assert importlib.metadata.entry_points(group="console_scripts", name="whisperprobe")
    return f"{len(get_command(app).commands)} commands"


@claim("device", "fact", "Probe.from_pretrained(device)", "finetune(device)")
def _() -> str:
    return "CUDA; a process for each GPU"


@claim("requires", "fact")
def _() -> str:
    needed = [one for one in importlib.metadata.requires("whisperprobe") or [] if "extra" not in one]
    return f"{len(needed)} distributions, torch, transformers and `audiogram` among them"


@claim("licence", "fact")
def _() -> str:
    return importlib.metadata.metadata("whisperprobe")["License-Expression"]


@claim("python", "fact")
def _() -> str:
    found = importlib.metadata.metadata("whisperprobe")
    return f"{found['Version']}, Python {found['Requires-Python'].removeprefix('>=')} or newer"


if __name__ == "__main__":
    sys.stdout.write(claim.report(rows_of(WHISPER)))
