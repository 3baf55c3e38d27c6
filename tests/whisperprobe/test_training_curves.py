"""Curves of a run that is killed and goes on: each step once, in tables and for TensorBoard, none lost."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer
from transformers import TrainerControl, TrainerState

from audiogram.errors import InputError
from whisperprobe.report.figures import read_training, training_chart
from whisperprobe.training.curve_tables import TRAINING_COLUMNS, StepTable, remove_curves
from whisperprobe.training.curves import Curves, memory_bytes

LOG_EVERY, EVALUATE_EVERY, SAVE_EVERY, STEPS = 3, 5, 4, 20


class Training:
    """The order in which transformers' trainer calls its callbacks, with a loss that depends on the step alone."""

    def __init__(self, folder: Path, *, first_process: bool = True, tensorboard: bool | None = True) -> None:
        self.curves = Curves(folder, clips_per_step=8, tensorboard=tensorboard)
        self.folder, self.first, self.checkpoint = folder, first_process, 0

    def run(self, *, killed_at: int = STEPS + 1) -> None:
        state, curves = TrainerState(global_step=self.checkpoint, is_world_process_zero=self.first), self.curves
        curves.on_train_begin(None, state, TrainerControl())
        running, logged = 0.0, state.global_step
        for step in range(state.global_step + 1, STEPS + 1):
            state.global_step, state.epoch = step, step / 10
            running += 1 / step
            control = TrainerControl(
                should_log=step % LOG_EVERY == 0, should_evaluate=step % EVALUATE_EVERY == 0,
                should_save=step % SAVE_EVERY == 0, should_training_stop=step == STEPS,
            )  # fmt: skip
            curves.on_step_end(None, state, control)
            if control.should_log:
                logs = {"loss": running / (step - logged), "learning_rate": 1e-4 * step, "grad_norm": 2.0}
                running, logged = 0.0, step
                curves.on_log(None, state, control, logs=logs)
            if control.should_evaluate:
                curves.on_evaluate(None, state, control, metrics={"eval_loss": 2 / step, "eval_wer": 1 / step})
                if self.first:
                    (self.folder / "evaluations").mkdir(exist_ok=True)
                    (self.folder / "evaluations" / f"step-{step}.csv").write_text("clip_id\n")
            if step == killed_at:
                return  # nothing is closed or flushed
            if control.should_save:
                self.checkpoint = step
                curves.on_save(None, state, control)
        curves.on_log(None, state, TrainerControl(), logs={"train_runtime": 3.0, "train_loss": 0.1})
        curves.on_train_end(None, state, TrainerControl())


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def told(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows."""
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return {
        tag: [(e.step, round(e.value, 5)) for e in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
        if not tag.endswith(("clips_per_second", "memory_gb"))
    }


def steady(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{k: v for k, v in row.items() if k not in ("clips_per_second", "memory_gb")} for row in rows]


@pytest.fixture(autouse=True, scope="module")
def event_files_in_order() -> Iterator[None]:
    """Event files of one second and process are read in the order of their numbers' letters: give all as many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(10**6))
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    Training(folder).run()
    return folder


def test_rows_are_means_since_the_last_row_and_saving_steps_have_one(whole: Path) -> None:
    rows = table(whole / "training.csv")
    steps = [int(row["step"]) for row in rows]
    assert steps == [3, 4, 5, 6, 8, 9, 10, 12, 15, 16, 18, 20]
    total = sum(float(row["loss"]) * (b - a) for row, a, b in zip(rows, [0, *steps], steps, strict=False))
    assert total == pytest.approx(sum(1 / step for step in range(1, STEPS + 1)), rel=1e-6)
    assert all(float(row["clips_per_second"]) > 0 and float(row["memory_gb"]) > 0.01 for row in rows)
    assert [(row["step"], row["wer"], row["cer"]) for row in table(whole / "evaluation.csv")] == [
        ("5", "0.2", ""), ("10", "0.1", ""), ("15", "0.066666667", ""), ("20", "0.05", ""),
    ]  # fmt: skip


def test_tensorboard_shows_what_the_tables_say_under_the_names_of_transformers(whole: Path) -> None:
    shown = told(whole)
    names = {"epoch", "loss", "learning_rate", "grad_norm"}
    assert set(shown) == {f"train/{name}" for name in names} | {f"eval/{name}" for name in ("epoch", "loss", "wer")}
    rows = table(whole / "training.csv")
    assert shown["train/loss"] == [(int(r["step"]), round(float(r["loss"]), 5)) for r in rows]


@settings(max_examples=8, deadline=None)
@given(kills=st.lists(st.integers(1, STEPS), max_size=3))
def test_killed_anywhere_and_started_again_each_step_is_there_once(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, kills: list[int]
) -> None:
    folder, checkpoint = tmp_path_factory.mktemp("killed"), 0
    for step in [*kills, STEPS + 1]:
        training = Training(folder)
        training.checkpoint = checkpoint
        training.run(killed_at=max(step, checkpoint + 1))
        checkpoint = training.checkpoint
    for name in ("training.csv", "evaluation.csv"):
        assert steady(table(folder / name)) == steady(table(whole / name))
    assert told(folder) == told(whole)
    assert sorted(p.name for p in (folder / "evaluations").iterdir()) == sorted(
        p.name for p in (whole / "evaluations").iterdir()
    )


def test_an_evaluation_before_training_goes_on_is_kept(tmp_path: Path) -> None:
    first = Training(tmp_path)
    first.run(killed_at=6)
    again = Training(tmp_path)
    again.checkpoint = 4
    state = TrainerState(global_step=4, is_world_process_zero=True)
    again.curves.on_evaluate(None, state, TrainerControl(), metrics={"eval_loss": 0.5, "eval_wer": 0.25})
    again.curves.on_evaluate(None, state, TrainerControl(), metrics={"eval_loss": 0.5, "eval_wer": 0.125})
    again.run()
    assert [row["step"] for row in table(tmp_path / "evaluation.csv")] == ["4", "5", "10", "15", "20"]
    assert table(tmp_path / "evaluation.csv")[0]["wer"] == "0.125"  # the later of two at one step
    assert {step for step, _ in told(tmp_path)["eval/wer"]} == {4, 5, 10, 15, 20}


def test_a_line_that_was_cut_off_is_dropped(whole: Path, tmp_path: Path) -> None:
    text = (whole / "training.csv").read_text()
    lines = text.splitlines(keepends=True)
    for end in ("9,0.9,0.1", "9", ",,,,,,", "9,0.9,0.1,1e-4,2,3,4,5"):
        (tmp_path / "training.csv").write_text("".join(lines[:5]) + end)
        StepTable(tmp_path / "training.csv", TRAINING_COLUMNS).cut(10)
        assert (tmp_path / "training.csv").read_text() == "".join(lines[:5])
    StepTable(tmp_path / "training.csv", TRAINING_COLUMNS).cut(0)
    assert (tmp_path / "training.csv").read_text() == lines[0]


def test_a_table_of_fewer_columns_goes_on_with_all(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("step,loss\n1,0.5\n2,0.4\n")
    rows = StepTable(tmp_path / "t.csv", ("step", "epoch", "loss"))
    rows.cut(2)
    rows.add({"step": 2, "epoch": 1.0, "loss": 0.3})
    rows.add({"step": 3, "loss": 0.2, "unknown": 1})
    assert (tmp_path / "t.csv").read_text() == "step,epoch,loss\n1,,0.5\n2,1,0.3\n3,,0.2\n"


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    training = Training(tmp_path, first_process=False)
    training.run()
    assert not list(tmp_path.iterdir())
    assert "clips/s" in training.curves.note


def test_the_note_has_loss_speed_and_memory(tmp_path: Path) -> None:
    training = Training(tmp_path, tensorboard=False)
    assert training.curves.note == ""
    training.run()
    loss, rate, memory = training.curves.note.split(", ")
    assert loss.startswith("loss 0.0")
    assert rate.endswith(" clips/s")
    assert memory.endswith(" GB")
    assert not (tmp_path / "tensorboard").exists()


def test_memory_counts_what_is_held() -> None:
    before = memory_bytes("cpu")
    held = torch.ones(100_000_000 // 4)
    assert memory_bytes("cpu") - before > 0.9 * held.numel() * 4


def test_starting_over_forgets_everything(tmp_path: Path) -> None:
    (tmp_path / "finetune.json").write_text("{}")
    Training(tmp_path).run()
    remove_curves(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["finetune.json"]
    remove_curves(tmp_path)


def test_without_tensorboard_it_is_left_out_or_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find: Any = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorboard" else find(name))
    Training(tmp_path, tensorboard=None).run()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evaluation.csv", "evaluations", "training.csv"]
    with pytest.raises(InputError, match=r"whisperprobe\[tensorboard\]"):
        Curves(tmp_path, clips_per_step=1, tensorboard=True)


def test_the_report_shows_both_losses(whole: Path) -> None:
    losses = read_training(whole)
    assert losses["eval_loss"].dropna().tolist() == pytest.approx([2 / 5, 2 / 10, 2 / 15, 2 / 20])
    training, validation = training_chart({"hfloss": losses}).data
    assert list(training.x) == losses["step"].tolist()
    assert (list(validation.x), validation.mode, validation.line.color) == (
        [5, 10, 15, 20], "lines+markers", training.line.color,
    )  # fmt: skip
