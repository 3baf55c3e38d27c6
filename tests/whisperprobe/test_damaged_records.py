"""Damaged JSON beside weights and tables: every reader names the file and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audiogram.errors import InputError, WorkError
from whisperprobe.arrays import map_safetensors
from whisperprobe.json_files import read_json
from whisperprobe.ldl.checkpoints import FitFolder
from whisperprobe.study_costs import model_shape
from whisperprobe.study_graph import StagePlan
from whisperprobe.study_progress import clips_done
from whisperprobe.training.records import RunFolder
from whisperprobe.window_spec import WindowSpec

DAMAGED = ["", "{", "[]", "7", "\x00"]


@pytest.mark.parametrize("text", [*DAMAGED, "{}", '{"steps": 3}'])
@pytest.mark.parametrize("kind", [RunFolder, FitFolder])
def test_results_of_a_training_run(tmp_path: Path, text: str, kind: type[RunFolder]) -> None:
    folder = kind(tmp_path, {"rate": 1})
    folder.claim()
    assert folder.results() is None
    (tmp_path / "results.json").write_text(text)
    for read in (folder.results, folder.finished):
        with pytest.raises(WorkError, match=r"results\.json is damaged .*remove that file and start"):
            read()


@pytest.mark.parametrize("text", DAMAGED)
def test_options_of_a_training_run(tmp_path: Path, text: str) -> None:
    (tmp_path / "finetune.json").write_text(text)
    (tmp_path / "training.csv").touch()
    with pytest.raises(InputError, match=r"finetune\.json holds no options of a training run .*another folder"):
        RunFolder(tmp_path, {"rate": 1}).claim()


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    file.write_bytes(b"\xff\xfe{}")
    with pytest.raises(InputError, match=r"is not JSON .*; copy it again\."):
        read_json(file, "copy it again")
    with pytest.raises(WorkError, match=r"results\.json is damaged"):
        RunFolder(tmp_path, {}).results()
    with pytest.raises(InputError, match=r"cannot be read \(.*directory\); copy it again"):
        read_json(tmp_path, "copy it again")


@pytest.mark.parametrize("text", DAMAGED)
def test_settings_of_a_model(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    for read in (model_shape, WindowSpec.of):
        with pytest.raises(InputError, match=r"config\.json .*JSON.*copy .* again"):
            read(str(tmp_path))


def test_how_far_a_fit_is(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("{")
    for kind, name in (("finetune", "finetune.json"), ("ldl-train", "results.json")):
        (tmp_path / name).write_text("{")
        with pytest.raises(InputError, match=rf"{name} is not JSON .*run its stage again"):
            clips_done(StagePlan("fit", kind, {}, (), (str(tmp_path),)))


def _header(text: str, size: int | None = None) -> bytes:
    return (len(text) if size is None else size).to_bytes(8, "little") + text.encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        _header("{}", 2**62),
        _header("{"),
        _header("[]"),
        _header("7"),
        _header('{"a": 7}'),
        _header('{"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}'),
        _header('{"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}'),
    ],
)
def test_arrays(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(WorkError, match=r"model\.safetensors cannot be read as safetensors"):
        map_safetensors(tmp_path / "model.safetensors")


def test_a_whole_table_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"a": [1]}))
    assert read_json(tmp_path / "a.json", "") == {"a": [1]}
