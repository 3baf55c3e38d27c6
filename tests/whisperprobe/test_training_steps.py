"""What a step is: the same clips and the same gradient, however dealt out; recipes; which model is the best."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_harness import SHORT, curve, weights

from audiogram.errors import InputError
from whisperprobe.training.batch_plan import BatchPlan
from whisperprobe.training.data import EpochSampler
from whisperprobe.training.recipes import settings
from whisperprobe.training.selection import best_evaluation, evaluations_in, is_exhausted
from whisperprobe.training.step_order import StepOrder
from whisperprobe.training.trainer import FinetuneResult, finetune

# Dealing out


@given(st.integers(1, 12), st.integers(1, 6), st.integers(1, 6))
def test_a_step_is_the_product_of_its_portions(batch: int, accumulation: int, processes: int) -> None:
    plan = BatchPlan.of(batch * accumulation * processes, batch, processes)
    assert plan.accumulation == accumulation
    assert plan.batch_size * plan.accumulation * plan.processes == plan.global_batch
    for smaller in plan.smaller():
        again = plan.with_batch_size(smaller)
        assert again.batch_size * again.accumulation * again.processes == plan.global_batch
    assert plan.smaller()[0] == batch
    assert plan.smaller()[-1] == 1


def test_what_is_not_given_follows() -> None:
    assert BatchPlan.of(64, 8, 4) == BatchPlan(64, 8, 4)
    assert BatchPlan.of(64, 8, 4).accumulation == 2  # large-v3 on four GPUs
    assert BatchPlan.of(16, 1).accumulation == 16  # the pilot
    assert BatchPlan.of(32, None, 4) == BatchPlan(32, 8, 4)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (
            (64, 8, 3),
            r"3 processes. Give global_batch 63 or 66, or as many processes as divide 64: 1, 2, 4, 8, 16, 32, 64",
        ),
        ((2, None, 3), r"Give global_batch 3, or"),
        ((64, 24, 1), r"batch_size 24 does not divide global_batch 64.*1, 2, 4, 8, 16, 32, 64"),
        ((64, 12, 4), r"batch_size 12 x 4 processes does not divide global_batch 64.*1, 2, 4, 8, 16"),
        ((16, 32, 1), r"batch_size 32 does not divide"),
    ],
)
def test_what_cannot_be_dealt_out_evenly_is_refused_with_what_could(wanted: tuple[Any, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        BatchPlan.of(*wanted)


@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 12), st.integers(0, 3))
def test_every_step_is_full_and_every_epoch_has_every_clip_once(n: int, steps: int, batch: int, seed: int) -> None:
    order = list(StepOrder(EpochSampler(n, seed), steps, batch))
    assert len(order) == steps * batch
    for start in range(0, len(order) - n + 1, n):
        epoch = order[start : start + n]
        assert sorted(i for _, i in epoch) == list(range(n))
        assert {e for e, _ in epoch} == {start // n}
    longer = list(StepOrder(EpochSampler(n, seed), steps + 3, batch))
    assert longer[: len(order)] == order  # a step's clips follow from its number


# The gradient


def run(
    folder: Path, speech: Path, model: Path, **options: Any
) -> tuple[list[dict[str, str]], dict[str, torch.Tensor]]:
    plain = {**SHORT, "max_steps": 5, "log_every": 1, "global_batch": 12, "weight_decay": 0.01, "clip_gradient": 0.5}
    out = finetune(speech, folder, model=model, **{**plain, **options}).path
    return curve(out), weights(out)


@pytest.fixture(scope="module")
def at_once(tone_words: Path, tone_listener: FinetuneResult, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return run(tmp_path_factory.mktemp("at") / "once", tone_words, tone_listener.path, batch_size=12)


@pytest.fixture(scope="module")
def wordy(tone_words: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same clips with texts of very different lengths, so that batches differ in their numbers of tokens."""
    folder = tmp_path_factory.mktemp("wordy") / "speech"
    shutil.copytree(tone_words, folder)
    table = folder / "train" / "metadata.csv"
    rows = table.read_text().split("\n")
    table.write_text(
        "\n".join(row + " low mid high" * (3 * (i % 5 == 2)) if i and row else row for i, row in enumerate(rows))
    )
    return folder


@pytest.mark.parametrize("batch_size", [1, 4])
def test_accumulated_batches_learn_what_one_large_batch_does(
    wordy: Path, tone_listener: FinetuneResult, tmp_path: Path, batch_size: int
) -> None:
    whole, large = run(tmp_path / "large", wordy, tone_listener.path, batch_size=12)
    parts, small = run(tmp_path / "small", wordy, tone_listener.path, batch_size=batch_size)
    for one, other in zip(whole, parts, strict=True):
        assert float(one["loss"]) == pytest.approx(float(other["loss"]), rel=1e-5)
        assert float(one["grad_norm"]) == pytest.approx(float(other["grad_norm"]), rel=1e-4)
        assert one["learning_rate"] == other["learning_rate"]
    for name, tensor in large.items():
        assert torch.allclose(tensor, small[name], atol=2e-5), name


def test_gradient_checkpointing_changes_nothing_but_memory(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path, at_once: Any
) -> None:
    losses, learnt = run(tmp_path, tone_words, tone_listener.path, batch_size=12, gradient_checkpointing=True)
    assert [row["loss"] for row in losses] == [row["loss"] for row in at_once[0]]
    assert all(torch.allclose(learnt[name], tensor, atol=1e-6) for name, tensor in at_once[1].items())


def test_workers_read_what_the_process_itself_would(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path, at_once: Any
) -> None:
    losses, learnt = run(tmp_path, tone_words, tone_listener.path, batch_size=12, workers=2)
    assert [row["loss"] for row in losses] == [row["loss"] for row in at_once[0]]
    assert all(torch.equal(learnt[name], tensor) for name, tensor in at_once[1].items())


# Recipes


def test_recipes_are_those_of_the_study_and_everything_can_be_overridden() -> None:
    study, pilot = settings("study", {}), settings("pilot", {})
    told = ("epochs", "max_steps", "learning_rate", "warmup_steps", "global_batch", "batch_size", "weight_decay",
            "clip_gradient", "save_every", "eval_every", "log_every")  # fmt: skip
    assert [study[name] for name in told] == [3, None, 1e-5, 500, 64, 8, 0.0, 1.0, 1000, 1000, 25]
    assert [pilot[name] for name in told] == [None, 10_000, 1.5e-5, 1000, 16, 1, 0.05, 0.5, 500, 500, 50]
    given = {name: 7 for name in told if name != "max_steps"}
    assert settings("pilot", given) == {**given, "max_steps": None, "scheduler": "linear"}
    assert settings("study", {"max_steps": 9})["epochs"] is None
    assert settings("pilot", {"batch_size": 4})["global_batch"] == 16
    alone = settings(None, {"batch_size": 4})  # the step itself, however many processes share it
    assert (alone["global_batch"], alone["batch_size"]) == (4, None)
    assert settings(None, {})["global_batch"] == 32
    with pytest.raises(InputError, match="Did you mean 'pilot'"):
        settings("pillot", {})


def test_a_recipe_is_what_the_run_records(tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="warmup_steps is 500, but the run has 3 steps only"):
        finetune(tone_words, tmp_path / "a", model=tone_listener.path, recipe="study")
    short = {"model": tone_listener.path, "max_steps": 2, "warmup_steps": 0, "evaluate": False}
    out = finetune(tone_words, tmp_path / "b", recipe="pilot", **short)
    options, results = (json.loads((out.path / f"{name}.json").read_text()) for name in ("finetune", "results"))
    assert (options["global_batch"], options["weight_decay"], options["clip_gradient"]) == (16, 0.05, 0.5)
    assert (results["recipe"], results["batch_size"], results["accumulation"]) == ("pilot", 1, 16)
    # the same values by another name are the same run
    said = {"global_batch": 16, "batch_size": 1, "weight_decay": 0.05, "clip_gradient": 0.5, "learning_rate": 1.5e-5}
    assert finetune(tone_words, out.path, **said, **short) == out


# The best


def test_the_best_of_some_evaluations() -> None:
    history = [
        {"step": 1, "loss": 3.0},
        {"step": 2, "eval_wer": 1.0, "eval_word_accuracy": 0.0, "eval_loss": 2.0, "epoch": 0.1},
        {"step": 4, "eval_wer": 0.5, "eval_word_accuracy": 0.6, "eval_loss": 1.5, "epoch": 0.2},
        {"step": 6, "eval_wer": 0.5, "eval_word_accuracy": 0.5, "eval_loss": 1.4, "epoch": 0.3},
        {"step": 8, "eval_wer": float("nan"), "eval_word_accuracy": 0.6, "eval_loss": 1.6, "epoch": 0.4},
        {"step": 9, "train_loss": 1.0},
    ]
    found = evaluations_in(history)
    assert [scores["step"] for scores in found] == [2, 4, 6, 8]
    steps = {metric: best_evaluation(found, metric)["step"] for metric in ("wer", "word_accuracy", "loss")}
    assert steps == {"wer": 6, "word_accuracy": 4, "loss": 6}
    assert best_evaluation([], "wer") is None
    assert [is_exhausted(found, "word_accuracy", patience) for patience in (1, 2, 3, None)] == [
        True,
        True,
        False,
        False,
    ]
    assert not is_exhausted([], "wer", 1)
    with pytest.raises(InputError, match=r"best_metric 'cer' is not measured.*'loss', 'wer', 'word_accuracy'"):
        best_evaluation(found, "cer")
