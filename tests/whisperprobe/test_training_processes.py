"""Several processes learn what one does, stop together, and name what went wrong in any of them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from training_harness import QUIET, SHORT, curve, same_weights, weights

from whisperprobe.training.data import EpochSampler
from whisperprobe.training.trainer import FinetuneResult, finetune

PROGRAM = Path(__file__).with_name("training_processes.py")
OPTIONS = {
    **SHORT, "max_steps": 6, "save_every": 2, "log_every": 1, "global_batch": 12, "batch_size": 3, "evaluate": True,
    "eval_every": 4, "tensorboard": False,
}  # fmt: skip


def run(jobs: list[dict[str, Any]], folder: Path) -> list[list[dict[str, Any]]]:
    command = [sys.executable, str(PROGRAM), json.dumps(jobs), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=QUIET, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout, done.stderr
    found: list[list[dict[str, Any]]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def found(tone_words: Path, tone_listener: FinetuneResult, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What two processes found: undisturbed, stopped and started again, and with a NaN in the second."""
    folder = tmp_path_factory.mktemp("processes")
    options = {**OPTIONS, "model": str(tone_listener.path)}
    jobs = {
        "two": {"out": "two"},
        "stopped": {"out": "stopped", "fault": "SIGUSR1@3"},
        "again": {"out": "stopped"},
        "left": {"out": "left", "fault": "SIGTERM@3"},
        "nan": {"out": "nan", "fault": "nan@4"},
        "uneven": {"out": "uneven", "processes": 2, "options": {**options, "global_batch": 9}},
    }
    common = {"speech": str(tone_words), "processes": 2, "options": options}
    told = [{**common, **job, "out": str(folder / job["out"])} for job in jobs.values()]
    return {"folder": folder, **dict(zip(jobs, run(told, folder), strict=True))}


def test_two_processes_learn_what_one_does(
    found: dict[str, Any], tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path
) -> None:
    alone = finetune(tone_words, tmp_path, model=tone_listener.path, **{**OPTIONS, "batch_size": 12})
    two = found["folder"] / "two"
    for one, other in zip(curve(alone.path), curve(two), strict=True):
        assert float(one["loss"]) == pytest.approx(float(other["loss"]), rel=1e-4)
        assert float(one["grad_norm"]) == pytest.approx(float(other["grad_norm"]), rel=1e-3)
    for one, other in zip(curve(alone.path, "evaluation.csv"), curve(two, "evaluation.csv"), strict=True):
        assert float(one["loss"]) == pytest.approx(float(other["loss"]), rel=1e-4)
        assert one["wer"] == other["wer"]
    assert all(torch.allclose(tensor, weights(two)[name], atol=1e-4) for name, tensor in weights(alone.path).items())
    assert found["two"][0] == found["two"][1]  # both are told the same
    results = json.loads((two / "results.json").read_text())
    assert [results[k] for k in ("global_batch", "batch_size", "processes", "accumulation")] == [12, 3, 2, 2]


def test_a_signal_to_one_stops_both_and_they_go_on_together(found: dict[str, Any]) -> None:
    assert [told["error"] for told in found["stopped"]] == ["StoppedError", "StoppedError"]
    assert "another process" in found["stopped"][0]["said"]
    assert "SIGUSR1" in found["stopped"][1]["said"]
    assert found["again"] == found["two"]
    assert same_weights(found["folder"] / "stopped", found["folder"] / "two")


def test_a_run_goes_on_with_another_number_of_processes(
    found: dict[str, Any], tone_words: Path, tone_listener: FinetuneResult
) -> None:
    left, two = found["folder"] / "left", found["folder"] / "two"
    assert (left / "checkpoints" / "checkpoint-3").is_dir()
    assert finetune(tone_words, left, model=tone_listener.path, **{**OPTIONS, "batch_size": 6}).steps == 6
    for one, other in zip(curve(left), curve(two), strict=True):
        assert float(one["loss"]) == pytest.approx(float(other["loss"]), rel=1e-4)


def test_a_nan_in_one_stops_both_and_names_its_clips(found: dict[str, Any]) -> None:
    assert [told["error"] for told in found["nan"]] == ["WorkError", "WorkError"]
    said = found["nan"][0]["said"]
    assert said == found["nan"][1]["said"]
    assert "loss became nan at step 4" in said
    step = [f"{i:02}" for _, i in list(EpochSampler(60, 0))[36:48]]
    named = [name for name in step if f"/{name}" in said or f" {name}" in said]
    assert named == step[3:6] + step[9:12]  # the second process's portions of the step
    assert [p.name for p in (found["folder"] / "nan" / "checkpoints").iterdir()] == ["checkpoint-2"]


def test_what_two_cannot_share_is_refused_by_both(found: dict[str, Any]) -> None:
    assert [told["error"] for told in found["uneven"]] == ["InputError", "InputError"]
    assert "Give global_batch 8 or 10" in found["uneven"][0]["said"]
    assert not (found["folder"] / "uneven").exists()


@pytest.mark.exhaustive
def test_losses_stay_equal_for_fifty_steps(tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path) -> None:
    options = {**OPTIONS, "max_steps": 50, "learning_rate": 1e-3, "eval_every": 25, "model": str(tone_listener.path)}
    job = {"speech": str(tone_words), "processes": 2, "out": str(tmp_path / "two"), "options": options}
    run([job], tmp_path)
    alone = finetune(tone_words, tmp_path / "one", **{**options, "batch_size": 12})
    losses = [[float(row["loss"]) for row in curve(path)] for path in (alone.path, tmp_path / "two")]
    deviation = max(abs(a - b) for a, b in zip(*losses, strict=True))
    print(f"largest deviation of the loss in 50 steps: {deviation:.2e}")
    assert deviation < 1e-4


@pytest.mark.exhaustive
def test_torchrun_trains_and_a_signal_to_it_leaves_a_checkpoint(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path
) -> None:
    words = [
        "-m", "whisperprobe", "finetune", str(tone_words), "--model", str(tone_listener.path), "--global-batch", "12",
        "--learning-rate", "1e-3", "--save-every", "100", "--device", "cpu", "--no-evaluate", "--out",
    ]  # fmt: skip
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *words]
    endless = subprocess.Popen(
        [*command, str(tmp_path / "m"), "--max-steps", "100000"], env=QUIET, stderr=subprocess.PIPE, text=True
    )
    table = tmp_path / "m" / "training.csv"
    while not (table.is_file() and len(table.read_text().splitlines()) > 3):
        assert endless.poll() is None, endless.stderr and endless.stderr.read()
    endless.send_signal(signal.SIGTERM)
    _, said = endless.communicate()
    assert endless.returncode != 0
    assert "stopped on request (SIGTERM)" in said
    checkpoints = list((tmp_path / "m" / "checkpoints").iterdir())
    assert [(c / "complete.json").is_file() for c in checkpoints] == [True]
    done = subprocess.run(
        [*command, str(tmp_path / "n"), "--max-steps", "4"], env=QUIET, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("model:") == 1
    assert "step: 4 of 4" in done.stdout
