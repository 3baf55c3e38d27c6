"""Training runs that are killed, stopped, damaged or started twice end as if nothing had happened."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError
from training_harness import QUIET, SHORT, Killed, at_step, kill, same_curves, same_weights

from audiogram.errors import InputError, StoppedError, WorkError
from whisperprobe.training import checkpoints
from whisperprobe.training.loop import SpeechTrainer
from whisperprobe.training.trainer import FinetuneResult, finetune


@pytest.fixture(scope="module")
def undisturbed(tone_words: Path, tone_listener: FinetuneResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten steps more, in one go."""
    return finetune(tone_words, tmp_path_factory.mktemp("models") / "whole", model=tone_listener.path, **SHORT).path


def test_killed_and_started_again_ends_with_the_same_weights(
    tone_words: Path, tone_listener: FinetuneResult, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        at_step(patch, 7, kill)
        with pytest.raises(Killed):
            finetune(tone_words, tmp_path, model=tone_listener.path, **SHORT)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["checkpoint-4"]
    assert not (tmp_path / "config.json").exists()
    assert finetune(tone_words, tmp_path, model=tone_listener.path, **SHORT).steps == 10
    assert same_weights(tmp_path, undisturbed)
    assert same_curves(tmp_path, undisturbed)
    (tmp_path / "checkpoints" / "checkpoint-8").mkdir(parents=True)  # killed at the very end, before they were dropped
    assert finetune(tone_words, tmp_path, model=tone_listener.path, **SHORT).steps == 10
    assert not (tmp_path / "checkpoints").exists()


def test_resume_with_augmentation_hears_the_same_clips(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**SHORT, "model": tone_listener.path, "augment": {"gain_db": 6.0, "noise_snr_db": 20.0, "time_masks": 1}}
    whole = finetune(tone_words, tmp_path / "whole", **options).path
    with monkeypatch.context() as patch:
        at_step(patch, 9, kill)
        with pytest.raises(Killed):
            finetune(tone_words, tmp_path / "cut", **options)
    assert same_weights(finetune(tone_words, tmp_path / "cut", **options).path, whole)


def cut_off(file: Path) -> None:
    os.truncate(file, 1000)


def alter(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [cut_off, alter, Path.unlink])
def test_a_damaged_checkpoint_is_told_and_skipped(
    tone_words: Path, tone_listener: FinetuneResult, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    with monkeypatch.context() as patch:
        at_step(patch, 9, kill)
        with pytest.raises(Killed):
            finetune(tone_words, tmp_path, model=tone_listener.path, **SHORT)
    newest = tmp_path / "checkpoints" / "checkpoint-8"
    damage(newest / "optimizer.pt")
    unsealed = tmp_path / "checkpoints" / "checkpoint-9"
    shutil.copytree(tmp_path / "checkpoints" / "checkpoint-4", unsealed)
    (unsealed / "complete.json").unlink()
    finetune(tone_words, tmp_path, model=tone_listener.path, **SHORT)
    assert [f"checkpoint-{step} is not whole" in caplog.text for step in (9, 8, 4)] == [True, True, False]
    assert same_weights(tmp_path, undisturbed)


def test_killed_while_a_checkpoint_is_written(
    tone_words: Path, tone_listener: FinetuneResult, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(SpeechTrainer, "_save_rng_state", lambda self, folder: kill())
        with pytest.raises(Killed):
            finetune(tone_words, tmp_path, model=tone_listener.path, **SHORT)
    assert (tmp_path / "checkpoints" / "checkpoint-4" / "model.safetensors").exists()
    finetune(tone_words, tmp_path, model=tone_listener.path, **SHORT)
    assert same_weights(tmp_path, undisturbed)


def _as_the_system() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def _as_safetensors() -> None:
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def _as_torch() -> None:
    raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 27008 vs 26896")


@pytest.mark.parametrize("fail", [_as_the_system, _as_safetensors, _as_torch])
def test_a_full_disk_is_told_and_costs_no_more_than_the_last_steps(
    tone_words: Path, tone_listener: FinetuneResult, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    fail: Callable[[], None],
) -> None:  # fmt: skip
    with monkeypatch.context() as patch:
        at_step(patch, 6, fail)
        with pytest.raises(WorkError, match="no space left"):
            finetune(tone_words, tmp_path, model=tone_listener.path, **SHORT)
    finetune(tone_words, tmp_path, model=tone_listener.path, **SHORT)
    assert same_weights(tmp_path, undisturbed)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_stops_on_request_with_a_checkpoint_and_goes_on(
    tone_words: Path,
    tone_listener: FinetuneResult,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    handler = signal.getsignal(getattr(signal, name))
    with monkeypatch.context() as patch:
        at_step(patch, 6, lambda: os.kill(os.getpid(), getattr(signal, name)))
        with pytest.raises(StoppedError, match=name) as stopped:
            finetune(tone_words, tmp_path, model=tone_listener.path, **SHORT)
    assert stopped.value.exit_code == 75
    assert signal.getsignal(getattr(signal, name)) == handler
    assert (tmp_path / "checkpoints" / "checkpoint-6" / "complete.json").exists()
    finetune(tone_words, tmp_path, model=tone_listener.path, **SHORT)
    assert same_weights(tmp_path, undisturbed)


PROGRAM = """
import json, os, sys
sys.path.insert(0, {corpora!r})
import torch
torch.set_num_threads(1)  # forked children have no other threads
import jiwer, matplotlib.figure, transformers.models.whisper.modeling_whisper  # here, so that no child has to
import corpus_kill_harness as harness
from whisperprobe.training import checkpoints, fitting
from whisperprobe.training.trainer import finetune
from whisperprobe.training.watching import Manners

def train(out, fatal):
    seen = 0
    def event():
        nonlocal seen
        seen += 1
        if seen == fatal:
            os.kill(os.getpid(), 9)
    def around(owner, name):
        plain = getattr(owner, name)
        def counted(*args, **given):
            event()
            result = plain(*args, **given)
            event()
            return result
        setattr(owner, name, counted)
    for owner, name in ((Manners, "on_step_end"), (checkpoints, "write_whole"), (os, "fsync"), (os, "replace")):
        around(owner, name)
    finetune({speech!r}, out, model={model!r}, **{options!r})
    print(seen, flush=True)
    return 0

out, moments = sys.argv[1], json.loads(sys.argv[2])
print(*[harness.forked(lambda: train(out, fatal)) for fatal in moments])
"""


@pytest.mark.parametrize("moments", [3, pytest.param(60, marks=pytest.mark.exhaustive)])
def test_killed_for_real_at_random_moments_and_started_again(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path, moments: int
) -> None:
    """Each start is killed at a random event (a step, a file written, a file named), until one is let through."""
    options = {**SHORT, "max_steps": 8, "save_every": 3, "evaluate": True, "eval_every": 2, "tensorboard": False}
    here = {
        "corpora": str(Path(__file__).parents[1] / "audiogram"), "speech": str(tone_words),
        "model": str(tone_listener.path), "options": options,
    }  # fmt: skip
    program = PROGRAM
    for name, value in here.items():
        program = program.replace(f"{{{name}!r}}", repr(value))

    def run(out: Path, fatal: list[int]) -> list[int]:
        command = [sys.executable, "-c", program, str(out), json.dumps(fatal)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=QUIET)
        assert done.returncode == 0, done.stderr
        return [int(n) for n in done.stdout.split()]

    events, code = run(tmp_path / "whole", [0])
    assert code == 0
    rng, out = np.random.default_rng(1), tmp_path / "cut"
    for start in range(0, moments, 3):
        shutil.rmtree(out, ignore_errors=True)
        # later starts have less left to do, and may come to the end before their moment
        codes = run(out, [*rng.integers(1, events // 2, min(3, moments - start)).tolist(), 0])
        assert -signal.SIGKILL in codes
        assert codes[-1] == 0
        assert same_weights(out, tmp_path / "whole")
        for table in ("training.csv", "evaluation.csv"):
            assert same_curves(out, tmp_path / "whole", table)
        assert sorted(p.name for p in out.iterdir()) == sorted(p.name for p in (tmp_path / "whole").iterdir())


def test_a_finished_run_is_returned_and_never_written_again(
    tone_words: Path, tone_listener: FinetuneResult, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {p: p.stat().st_mtime_ns for p in undisturbed.iterdir()}
    monkeypatch.setattr(SpeechTrainer, "train", lambda *_, **__: kill())
    assert finetune(tone_words, undisturbed, model=tone_listener.path, **SHORT).steps == 10
    assert {p: p.stat().st_mtime_ns for p in undisturbed.iterdir()} == before
    with pytest.raises(Killed):
        finetune(tone_words, undisturbed, model=tone_listener.path, resume="never", **SHORT)


# Folders


def test_only_one_process_trains_into_a_folder(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def second() -> None:
        with pytest.raises(WorkError, match=f"process {os.getpid()} on .* is training into"):
            finetune(tone_words, tmp_path, model=tone_listener.path, **SHORT)
        seen.append(True)

    seen: list[bool] = []
    at_step(monkeypatch, 2, second)
    finetune(tone_words, tmp_path, model=tone_listener.path, **SHORT)
    assert seen == [True]
    assert not (tmp_path / ".lock").exists()


def test_a_folder_that_was_moved_with_its_corpus_and_model_goes_on(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**SHORT, "evaluate": True, "eval_every": 3, "keep": "best"}
    for name, source in (("corpus", tone_words), ("model", tone_listener.path)):
        shutil.copytree(source, tmp_path / "here" / name)

    def train(root: Path) -> FinetuneResult:
        return finetune(root / "corpus", root / "fit", model=root / "model", **options)

    with monkeypatch.context() as patch:
        at_step(patch, 7, kill)
        with pytest.raises(Killed):
            train(tmp_path / "here")
    shutil.move(tmp_path / "here", tmp_path / "there")
    moved = train(tmp_path / "there")
    whole = finetune(tone_words, tmp_path / "whole", model=tone_listener.path, **options)
    assert same_weights(moved.path, whole.path)
    assert moved.step == whole.step
    alter(tmp_path / "there" / "model" / "model.safetensors")
    with pytest.raises(InputError, match="model_sha256"):
        train(tmp_path / "there")


def test_what_a_kill_left_half_written_is_in_nobodys_way(
    tone_words: Path, tone_listener: FinetuneResult, undisturbed: Path, tmp_path: Path
) -> None:
    (tmp_path / "evaluations").mkdir()
    (tmp_path / ".finetune.json").write_text("{")
    (tmp_path / ".training.csv.123.tmp").write_text("step")
    with pytest.raises(InputError, match="evaluations"):  # whose?
        finetune(tone_words, tmp_path, model=tone_listener.path, **SHORT)
    (tmp_path / "evaluations").rmdir()
    finetune(tone_words, tmp_path, model=tone_listener.path, **SHORT)
    assert same_weights(tmp_path, undisturbed)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_seals_name_every_file_with_size_and_digest(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint-3"
    (checkpoint / "adapter").mkdir(parents=True)
    (checkpoint / "adapter" / "a.bin").write_bytes(b"abc")
    assert not checkpoints.is_whole(checkpoint)
    checkpoints.seal_checkpoint(checkpoint)
    sealed = json.loads((checkpoint / "complete.json").read_text())
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of "abc", FIPS 180-2
    assert sealed == {"adapter/a.bin": {"bytes": 3, "sha256": digest}}
    assert checkpoints.is_whole(checkpoint)
    (checkpoint / "complete.json").write_text("{}")
    assert not checkpoints.is_whole(checkpoint)


def test_old_checkpoints_are_dropped_and_the_best_never(tmp_path: Path) -> None:
    for step in (5, 10, 100, 20):
        (tmp_path / f"checkpoint-{step}").mkdir()
    checkpoints.drop_checkpoints(tmp_path, keep=2, best=5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-100", "checkpoint-20", "checkpoint-5"]
    checkpoints.drop_checkpoints(tmp_path, keep=1, best=None)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-100"]
