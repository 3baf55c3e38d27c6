"""Figures of trainings: what is read, from our tables and from others' event files, and what is drawn of it."""

from __future__ import annotations

import csv
import json
import struct
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter
from transformers import Seq2SeqTrainingArguments, TrainerControl, TrainerState
from transformers.integrations import TensorBoardCallback
from typer.testing import CliRunner

import whisperprobe
from audiogram.console import run_app
from audiogram.errors import InputError, WorkError
from whisperprobe.cli import app
from whisperprobe.training.curve_reading import Curve, read_runs
from whisperprobe.training.plots import plot_training, smoothed

LOSS = "Loss (nats per token)"
STEPS = [25, 50, 75, 100]
LOSSES = [4.0, 2.0, 1.0, 0.5]


def write_table(file: Path, columns: dict[str, list[Any]]) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def write_run(folder: Path, *, best: int | None = None, word: str = "word_accuracy") -> Path:
    """A run folder of ours: training loss 4 to 0.5, and two evaluations, the first with the lower loss."""
    folder.mkdir(parents=True)
    rates, norms = [1e-4, 1e-4, 5e-5, 0.0], [3.0, 2.0, 2.0, 1.0]
    write_table(folder / "training.csv", {"step": STEPS, "loss": LOSSES, "learning_rate": rates, "grad_norm": norms})
    write_table(
        folder / "evaluation.csv",
        {"step": [50, 100], "loss": [1.0, 1.5], "wer": [0.5, 0.25], "cer": [0.2, 0.1], word: [0.5, 0.75]},
    )
    if best is not None:
        (folder / "results.json").write_text(json.dumps({"best": {"metric": "loss", "step": best, "value": 1.0}}))
    return folder


def write_events(folder: Path, values: dict[str, list[tuple[int, float]]]) -> Path:
    """Event files as transformers' trainer writes them."""
    writer: Any = SummaryWriter(str(folder))
    for tag, points in values.items():
        for step, value in points:
            writer.add_scalar(tag, value, step)
    writer.close()
    return folder


THEIRS = {
    "train/loss": list(zip(STEPS, LOSSES, strict=True)), "train/learning_rate": [(25, 1e-5)],
    "train/grad_norm": [(25, 1.0), (50, float("nan"))], "eval/loss": [(50, 1.0), (100, 1.5)],
    "eval/wer": [(50, 42.0), (100, 31.5)], "eval/runtime": [(50, 12.0)], "train/train_loss": [(100, 1.2)],
}  # fmt: skip


def panels(figure: Figure) -> dict[str, Axes]:
    return {axes.get_ylabel(): axes for axes in figure.axes}


def lines(axes: Axes) -> list[tuple[list[float], list[float]]]:
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts() if text.get_text()]


# What is read


def test_a_run_of_ours_is_read_from_its_tables(tmp_path: Path) -> None:
    (run,) = read_runs([write_run(tmp_path / "hfloss")])
    assert run.name == "hfloss"
    assert set(run.curves) == {"loss", "learning_rate", "grad_norm", "eval_loss", "wer", "cer", "word_accuracy"}
    assert run.curves["loss"].steps.tolist() == STEPS
    assert run.curves["loss"].values.tolist() == LOSSES
    assert run.curves["eval_loss"].values.tolist() == [1.0, 1.5]
    assert run.best_step == 100  # the lower word error rate


def test_the_step_that_a_run_kept_is_its_best(tmp_path: Path) -> None:
    assert read_runs([write_run(tmp_path / "x", best=50)])[0].best_step == 50


def test_event_files_of_others_are_read_under_the_names_of_transformers(tmp_path: Path) -> None:
    folder = write_events(tmp_path / "model" / "runs" / "Nov22_host", THEIRS)
    for given_path in (tmp_path / "model", folder, next(folder.iterdir())):
        (run,) = read_runs([given_path])
        assert set(run.curves) == {"loss", "learning_rate", "grad_norm", "eval_loss", "wer"}
        assert run.curves["loss"].values.tolist() == LOSSES
        assert run.curves["grad_norm"].steps.tolist() == [25]  # what is not finite is left out
        assert run.curves["wer"].values == pytest.approx([0.42, 0.315])  # they log 100 times the rate
        assert run.best_step == 100


def test_what_transformers_own_callback_writes_is_read(tmp_path: Path) -> None:
    arguments = Seq2SeqTrainingArguments(output_dir=str(tmp_path / "whisper-small-hi"), use_cpu=True, report_to=[])
    callback, state = TensorBoardCallback(), TrainerState(is_world_process_zero=True)
    callback.on_train_begin(arguments, state, TrainerControl())
    for state.global_step, loss in zip(STEPS, LOSSES, strict=True):
        callback.on_log(
            arguments, state, TrainerControl(), logs={"loss": loss, "grad_norm": 1.0, "learning_rate": 1e-5}
        )
    callback.on_log(arguments, state, TrainerControl(), logs={"eval_loss": 0.75, "eval_wer": 12.5, "eval_runtime": 3.0})
    callback.on_log(arguments, state, TrainerControl(), logs={"train_loss": 2.0, "train_runtime": 9.0})
    callback.on_train_end(arguments, state, TrainerControl())
    (run,) = read_runs([tmp_path / "whisper-small-hi"])
    assert set(run.curves) == {"loss", "grad_norm", "learning_rate", "eval_loss", "wer"}
    assert run.curves["loss"].values.tolist() == LOSSES
    assert run.curves["eval_loss"].values.tolist() == [0.75]
    assert run.curves["wer"].values.tolist() == [0.125]


def test_rates_below_one_are_taken_as_they_are(tmp_path: Path) -> None:
    values = {"eval/wer": [(1, 3.0), (2, 0.9), (3, 0.4)], "train/loss": [(1, 1.0)]}
    (run,) = read_runs([write_events(tmp_path / "x", values)])
    assert run.curves["wer"].values == pytest.approx([3.0, 0.9, 0.4])


def test_an_event_file_that_a_kill_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    folder = write_events(tmp_path / "x", {"train/loss": list(zip(STEPS, LOSSES, strict=True))})
    file = next(folder.iterdir())
    file.write_bytes(file.read_bytes()[:-7])
    assert read_runs([folder])[0].curves["loss"].steps.tolist() == STEPS[:-1]


def test_a_folder_of_runs_is_all_of_them_and_a_run_goes_by_the_shortest_name_that_tells_it(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_run(tmp_path / "study" / f"seed-{seed}" / "hfloss")
        write_events(tmp_path / "study" / f"seed-{seed}" / "hfloss" / "tensorboard", THEIRS)  # the same once more
    write_run(tmp_path / "study" / "seed-1" / "normal")
    assert [run.name for run in read_runs([tmp_path / "study"])] == ["seed-1/hfloss", "normal", "seed-2/hfloss"]
    names = [run.name for run in read_runs([f"one={tmp_path / 'study/seed-1/hfloss'}", tmp_path / "study/seed-2"])]
    assert names == ["one", "hfloss"]


def no_folder(tmp_path: Path) -> list[str]:
    return [str(tmp_path / "nowhere")]


def empty_folder(tmp_path: Path) -> list[str]:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "thesis.tex").write_text("")
    return [str(tmp_path / "empty")]


def other_file(tmp_path: Path) -> list[str]:
    (tmp_path / "thesis.tex").write_text("")
    return [str(tmp_path / "thesis.tex")]


def other_tags(tmp_path: Path) -> list[str]:
    return [str(write_events(tmp_path / "x", {"gan/generator": [(1, 1.0)]}))]


def other_columns(tmp_path: Path) -> list[str]:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "training.csv").write_text("epoch,error\n1,2\n")
    return [str(tmp_path / "x")]


def no_numbers(tmp_path: Path) -> list[str]:
    run = write_run(tmp_path / "x")
    (run / "training.csv").write_text("step,loss\n1,high\n")
    return [str(run)]


def no_row(tmp_path: Path) -> list[str]:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "training.csv").write_text("step,loss\n")
    return [str(tmp_path / "x")]


def twice(tmp_path: Path) -> list[str]:
    return [str(write_run(tmp_path / "x")), str(tmp_path / "x")]


def one_name(tmp_path: Path) -> list[str]:
    return [f"a={write_run(tmp_path / 'x')}", f"a={write_run(tmp_path / 'y')}"]


def name_of_many(tmp_path: Path) -> list[str]:
    write_run(tmp_path / "s" / "x")
    write_run(tmp_path / "s" / "y")
    return [f"a={tmp_path / 's'}"]


def damaged_results(tmp_path: Path) -> list[str]:
    run = write_run(tmp_path / "x")
    (run / "results.json").write_text("{")
    return [str(run)]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (no_folder, "does not exist"),
        (empty_folder, r"no curves: neither training\.csv nor TensorBoard.*it holds thesis\.tex"),
        (other_file, "neither a training.csv nor a TensorBoard event file"),
        (other_tags, r"no tag that transformers' trainer writes.*theirs: gan/generator"),
        (other_columns, "need step and loss"),
        (no_numbers, "is damaged"),
        (no_row, "no curve yet"),
        (twice, "was given twice"),
        (one_name, "two runs are named 'a'"),
        (name_of_many, "holds 2 runs"),
        (damaged_results, "is not JSON"),
        (lambda _: [], "no run was given"),
    ],
)
def test_what_has_no_curves_is_refused(tmp_path: Path, make: Callable[[Path], list[str]], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read_runs(make(tmp_path))


def test_without_tensorboard_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_events(tmp_path / "x", THEIRS)
    monkeypatch.setitem(sys.modules, "tensorboard.backend.event_processing.event_accumulator", None)
    with pytest.raises(InputError, match=r"whisperprobe\[tensorboard\]"):
        read_runs([folder])
    read_runs([write_run(tmp_path / "ours")])  # needs none


points = st.lists(st.tuples(st.integers(0, 50), st.floats(width=32)), max_size=30)


@given(points)
def test_a_curve_has_each_step_once_in_order_and_finite_values_only(given_points: list[tuple[int, float]]) -> None:
    curve = Curve.of(given_points)
    assert (np.diff(curve.steps) > 0).all()
    assert np.isfinite(curve.values).all()
    last = dict(given_points)
    assert dict(zip(curve.steps.tolist(), curve.values.tolist(), strict=True)) == {
        step: value for step, value in last.items() if np.isfinite(value)
    }


# Smoothing


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.floats(0, 0.99))
def test_smoothing_is_a_weighted_mean_of_the_past(values: list[float], weight: float) -> None:
    out = smoothed(np.array(values), weight)
    for t in range(len(values)):
        weights = weight ** np.arange(t, -1, -1.0)
        assert out[t] == pytest.approx(np.average(values[: t + 1], weights=weights), rel=1e-6, abs=1e-3)


def test_smoothing_leaves_a_constant_and_weight_none_leaves_all() -> None:
    assert smoothed(np.full(9, 3.0), 0.9) == pytest.approx(np.full(9, 3.0))
    assert smoothed(np.array(LOSSES), 0.0).tolist() == LOSSES


# What is drawn


def test_each_panel_shows_its_numbers(tmp_path: Path) -> None:
    figure = whisperprobe.plot_training(write_run(tmp_path / "x", best=50))
    shown = panels(figure)
    assert list(shown) == [
        LOSS, "Word error rate (%)", "Character error rate (%)", "Word accuracy (%)", "Learning rate", "Gradient norm",
    ]  # fmt: skip
    training, validation, ring = lines(shown[LOSS])
    assert training == (STEPS, LOSSES)
    assert validation == ([50, 100], [1.0, 1.5])
    assert ring == ([50], [1.0])
    assert lines(shown["Word error rate (%)"]) == [([50, 100], [50.0, 25.0]), ([50], [50.0])]
    assert lines(shown["Word accuracy (%)"])[0] == ([50, 100], [50.0, 75.0])
    assert lines(shown["Learning rate"]) == [(STEPS, [1e-4, 1e-4, 5e-5, 0.0])]
    assert shown[LOSS].get_yscale() == shown["Gradient norm"].get_yscale() == "log"
    assert shown["Word error rate (%)"].get_yscale() == "linear"
    assert legend(figure) == ["training", "validation", "best step"]


def test_several_runs_share_panels_and_one_legend(tmp_path: Path) -> None:
    ours, theirs = write_run(tmp_path / "ours"), write_events(tmp_path / "theirs", THEIRS)
    figure = plot_training([ours, f"Whisper small={theirs}"], scale="linear")
    shown = panels(figure)
    assert len(figure.legends) == 1
    assert legend(figure) == ["ours", "Whisper small", "training", "validation", "best step"]
    assert [y for _, y in lines(shown["Word error rate (%)"]) if len(y) > 1] == [
        [50.0, 25.0], pytest.approx([42.0, 31.5])
    ]  # fmt: skip
    colours = {line.get_color() for line in shown[LOSS].lines if len(line.get_xdata()) > 1}
    assert len(colours) == 2
    assert {axes.get_yscale() for axes in figure.axes} == {"linear"}
    assert len(lines(shown["Character error rate (%)"])) == 2  # only ours has one


def test_smoothed_curves_lie_over_the_raw_ones(tmp_path: Path) -> None:
    figure = plot_training(write_run(tmp_path / "x"), smooth=0.5)
    raw, over, validation, _ = panels(figure)[LOSS].lines
    assert list(raw.get_ydata()) == LOSSES
    assert list(over.get_ydata()) == smoothed(np.array(LOSSES), 0.5).tolist()
    assert raw.get_alpha() < 1
    assert raw.get_zorder() < over.get_zorder()
    assert list(validation.get_ydata()) == [1.0, 1.5]  # evaluations are never smoothed
    assert len(panels(figure)["Learning rate"].lines) == 1


def test_a_run_that_has_only_begun_can_be_seen(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "training.csv").write_text("step,loss,grad_norm\n1,0.5,\n")
    figure = plot_training(tmp_path / "x")
    assert list(panels(figure)) == [LOSS]
    assert panels(figure)[LOSS].lines[0].get_marker() == "."
    assert not figure.legends
    (tmp_path / "x" / "training.csv").write_text("step,loss\n1,0\n2,0\n")
    assert panels(plot_training(tmp_path / "x"))[LOSS].get_yscale() == "linear"  # zero has no logarithm


def test_many_runs_have_their_own_line_each(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"run-{i}") for i in range(11)]
    figure = plot_training(runs)
    styles = {
        (line.get_color(), str(line.get_linestyle()), line.get_marker())
        for line in panels(figure)["Word error rate (%)"].lines
        if len(line.get_xdata()) > 1
    }
    assert len(styles) == 11
    figure.canvas.draw()


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_files_are_what_their_names_say_and_the_same_each_time(tmp_path: Path, kind: str) -> None:
    run, files = write_run(tmp_path / "x"), [tmp_path / f"{i}.{kind}" for i in (1, 2)]
    for file in files:
        plot_training(run, out=file, dpi=50, size="180x120mm")
    content = files[0].read_bytes()
    assert content == files[1].read_bytes()
    if kind == "png":
        assert struct.unpack(">II", content[16:24]) == (round(50 * 180 / 25.4), round(50 * 120 / 25.4))
    elif kind == "pdf":
        assert content.startswith(b"%PDF")
        assert b"/Subtype /Type3" not in content  # journals refuse it
    else:
        assert ET.fromstring(content).tag.endswith("svg")
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"1.{kind}", f"2.{kind}", "x"]


@pytest.mark.parametrize(
    ("size", "inches"),
    [("7x5", (7, 5)), ("18 x 12.7cm", (18 / 2.54, 5)), ("7×5IN", (7, 5)), ((6.5, 4), (6.5, 4)), ([8, 5], (8, 5))],
)
def test_sizes(tmp_path: Path, size: Any, inches: tuple[float, float]) -> None:
    assert plot_training(write_run(tmp_path / "x"), size=size).get_size_inches() == pytest.approx(inches)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"size": "big"}, r"180x120mm"),
        ({"size": "7"}, "size is '7'"),
        ({"size": "0x5"}, "1 to 40 inches"),
        ({"size": (1, 2, 3)}, "size is"),
        ({"size": 7}, "size is 7"),
        ({"size": "85x60mm"}, r"too small for 6 panels.*mm"),
        ({"smooth": 1}, "below 1"),
        ({"smooth": -0.1}, "below 1"),
        ({"smooth": "a lot"}, "below 1"),
        ({"dpi": 5}, "20 to 2400"),
        ({"dpi": 2400, "size": "40x40", "out": "curves.png"}, "million pixels"),
        ({"dpi": 3e2}, "20 to 2400"),
        ({"scale": "logarithmic"}, "unknown scale"),
        ({"out": "curves.jpg"}, r"\.png, \.pdf or \.svg"),
        ({"out": "curves"}, "ends in nothing"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        plot_training(write_run(tmp_path / "x"), **options)


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    run = write_run(tmp_path / "x")
    plot_training(run, out=tmp_path / "figures" / "x.png", dpi=20)
    assert [p.name for p in (tmp_path / "figures").iterdir()] == ["x.png"]
    with pytest.raises(WorkError, match=r"x\.png"):
        plot_training(run, out=tmp_path / "figures" / "x.png" / "y.png", dpi=20)


# The command


def test_command_writes_the_figure_and_says_where(tmp_path: Path) -> None:
    run, out = write_run(tmp_path / "x"), tmp_path / "x.svg"
    arguments = ["plot-training", f"ours={run}", "--out", str(out), "--smooth", "0.5", "--scale", "linear"]
    result = CliRunner().invoke(app, [*arguments, "--size", "18x12cm", "--dpi", "72"])
    assert (result.exit_code, result.stdout) == (0, f"figure: {out}\n")
    assert out.stat().st_size > 10_000


def test_command_tells_what_is_wrong_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(app, ["plot-training", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "has no curves" in said
    assert said.count("\n") == 1
