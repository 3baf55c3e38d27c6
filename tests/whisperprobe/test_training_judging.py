"""Evaluations while training: when they happen, which model is kept, when a run ends early, and across restarts."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from training_harness import SHORT, Killed, at_step, curve, kill, same_curves, same_weights, weights

from audiogram.errors import InputError, StoppedError, WorkError
from whisperprobe.training.evaluating import Evaluation
from whisperprobe.training.trainer import FinetuneResult, finetune

OPTIONS = {**SHORT, "max_steps": 10, "save_every": 4, "evaluate": True, "eval_every": 3, "tensorboard": False}
WER = {3: 0.5, 6: 0.2, 9: 0.3, 10: 0.4}  # by step, as if they had been measured


def measure(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let evaluations give the numbers of `WER`; the list says at which steps there were any."""
    steps: list[int] = []

    def run(self: Evaluation, listener: Any, dataset: Any, step: int = 0) -> dict[str, float]:
        assert dataset.augment is None
        assert {name.rpartition("/")[0] for name in dataset.speech.ids} <= {"validation", ""}
        assert len(dataset) == 12
        steps.append(step)
        return {"loss": 1.0 + WER[step], "wer": WER[step], "word_accuracy": 1 - WER[step], "n_clips": 12}

    monkeypatch.setattr(Evaluation, "run", run)
    return steps


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    return measure(monkeypatch)


@pytest.fixture(scope="module")
def judged(tone_words: Path, tone_listener: FinetuneResult, tmp_path_factory: pytest.TempPathFactory) -> FinetuneResult:
    """An undisturbed run."""
    with pytest.MonkeyPatch.context() as patch:
        steps = measure(patch)
        done = finetune(tone_words, tmp_path_factory.mktemp("m") / "m", model=tone_listener.path, **OPTIONS)
    assert steps == [3, 6, 9, 10]
    return done


def results(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((path / "results.json").read_text())
    return told


def test_the_best_of_all_evaluations_is_kept_and_named(
    judged: FinetuneResult, measured: list[int], tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path
) -> None:
    assert (judged.steps, judged.step, judged.evaluation["wer"]) == (10, 6, 0.2)
    assert results(judged.path)["best"] == {"metric": "wer", "step": 6, "value": 0.2}
    assert [(row["step"], row["wer"]) for row in curve(judged.path, "evaluation.csv")] == [
        (str(step), str(wer)) for step, wer in WER.items()
    ]
    # the weights are those of that step: a run that was stopped there has the same
    last = finetune(tone_words, tmp_path / "last", model=tone_listener.path, **{**OPTIONS, "keep": "last"})
    assert (last.step, last.evaluation["wer"], results(last.path)["kept"]) == (10, 0.4, "last")
    assert not same_weights(judged.path, last.path)


def test_the_kept_weights_are_those_of_the_best_step(
    tone_words: Path,
    tone_listener: FinetuneResult,
    measured: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from safetensors.torch import load_file

    seen = {}

    def copy() -> None:
        shutil.copytree(tmp_path / "m" / "checkpoints", tmp_path / "seen")

    at_step(monkeypatch, 8, copy)
    out = finetune(tone_words, tmp_path / "m", model=tone_listener.path, **{**OPTIONS, "save_total_limit": 1})
    seen = load_file(tmp_path / "seen" / "checkpoint-6" / "model.safetensors")
    assert out.step == 6
    kept = weights(out.path)
    assert all(kept[name].equal(tensor) for name, tensor in seen.items() if name in kept)


def test_the_best_checkpoint_is_never_dropped(
    tone_words: Path,
    tone_listener: FinetuneResult,
    measured: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        at_step(patch, 9, kill)
        options = {**OPTIONS, "save_total_limit": 1, "save_every": 1}
        with pytest.raises(Killed):
            finetune(tone_words, tmp_path, model=tone_listener.path, **options)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["checkpoint-6", "checkpoint-8"]


def test_patience_ends_the_run(
    tone_words: Path,
    tone_listener: FinetuneResult,
    measured: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {**OPTIONS, "model": tone_listener.path, "patience": 1}
    early = finetune(tone_words, tmp_path / "whole", **options)
    assert (early.steps, early.step, measured) == (9, 6, [3, 6, 9])
    with monkeypatch.context() as patch:  # killed between the end of training and the results
        patch.setattr("whisperprobe.training.model_folder.Listener.save", lambda *_: kill())
        with pytest.raises(Killed):
            finetune(tone_words, tmp_path / "cut", **options)
    measured.clear()
    again = finetune(tone_words, tmp_path / "cut", **options)
    assert (again.steps, again.step, measured) == (9, 6, [])
    assert same_weights(early.path, again.path)


@pytest.mark.parametrize(("when", "step"), [("before", 6), ("before", 10), ("during", 6)])
def test_an_evaluation_that_a_signal_cut_off_is_made_up_for(
    judged: FinetuneResult, tone_words: Path, tone_listener: FinetuneResult, measured: list[int], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, when: str, step: int,
) -> None:  # fmt: skip
    with monkeypatch.context() as patch:
        if when == "before":
            at_step(patch, step, lambda: os.kill(os.getpid(), signal.SIGTERM))
        else:
            told = Evaluation.run

            def cut(self: Evaluation, listener: Any, dataset: Any, at: int = 0) -> dict[str, float]:
                if at == step:
                    os.kill(os.getpid(), signal.SIGTERM)
                    raise StoppedError("stopped on request")
                return told(self, listener, dataset, at)

            patch.setattr(Evaluation, "run", cut)
        with pytest.raises(StoppedError, match="SIGTERM"):
            finetune(tone_words, tmp_path / "cut", model=tone_listener.path, **OPTIONS)
    assert measured == [s for s in WER if s < step]
    assert (tmp_path / "cut" / "checkpoints" / f"checkpoint-{step}" / "complete.json").exists()
    again = finetune(tone_words, tmp_path / "cut", model=tone_listener.path, **OPTIONS)
    assert measured == list(WER)
    assert again.step == 6
    assert same_weights(again.path, judged.path)
    for table in ("training.csv", "evaluation.csv"):
        assert same_curves(again.path, judged.path, table)


def test_a_best_checkpoint_that_is_damaged_is_told(
    tone_words: Path,
    tone_listener: FinetuneResult,
    measured: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def damage() -> None:
        os.truncate(tmp_path / "checkpoints" / "checkpoint-6" / "model.safetensors", 100)

    at_step(monkeypatch, 10, damage)
    with pytest.raises(WorkError, match=r"best model, that of step 6, was in .*checkpoint-6, which is damaged"):
        finetune(tone_words, tmp_path, model=tone_listener.path, **OPTIONS)


def test_evaluations_need_clips_and_a_metric_that_is_measured(
    tone_words: Path, tone_listener: FinetuneResult, measured: list[int], tmp_path: Path
) -> None:
    shutil.copytree(tone_words / "train", tmp_path / "speech" / "train")
    options = {**OPTIONS, "model": tone_listener.path}
    with pytest.raises(InputError, match="no split 'validation'"):
        finetune(tmp_path / "speech", tmp_path / "a", **options)
    done = finetune(tmp_path / "speech", tmp_path / "b", **{**options, "eval_every": None, "max_steps": 2})
    assert (done.evaluation, done.step, results(done.path)["kept"]) == ({}, 2, "last")
    with pytest.raises(InputError, match=r"best_metric 'sentence_accuracy' is not measured.*'word_accuracy'"):
        finetune(tone_words, tmp_path / "c", **{**options, "best_metric": "sentence_accuracy"})
    assert not (tmp_path / "c" / "checkpoints").exists()  # before the first step
    with pytest.raises(InputError, match="Did you mean 'wer'"):
        finetune(tone_words, tmp_path / "d", **{**options, "best_metric": "were"})
    with pytest.raises(InputError, match="patience needs evaluations"):
        finetune(tone_words, tmp_path / "e", **{**options, "evaluate": False, "eval_every": None, "patience": 2})
    with pytest.raises(InputError, match="patience counts evaluations"):
        finetune(tone_words, tmp_path / "f", **{**options, "eval_every": None, "patience": 2})
    with pytest.raises(InputError, match="patience needs clips"):
        finetune(
            tmp_path / "speech", tmp_path / "g", **{**options, "recipe": "study", "warmup_steps": 0, "patience": 2}
        )
