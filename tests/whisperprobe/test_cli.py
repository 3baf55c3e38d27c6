"""The command line: help, exit codes, what it says, and that it starts without the heavy libraries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import whisperprobe
from audiogram import condition
from audiogram.condition_files import read_condition
from audiogram.console import run_app
from audiogram.corpus import read_manifest
from audiogram.errors import WorkError
from whisperprobe.cli import app

COMMANDS = ("demo", "run", "plan", "finetune", "probe", "compare", "report")
STUDY = """
name = "tiny"
[corpus]
source = "speech"
[model]
base = "openai/whisper-tiny"
[finetune]
max_steps = 1
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "speech").mkdir()
    path = tmp_path / "study.toml"
    path.write_text(STUDY, encoding="utf-8")
    return path


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(app, ["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {command} " in shown for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_begins_with_examples_and_has_the_common_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(app, [command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.index(f"whisperprobe {command} ") < shown.index("Options:")
    assert shown.index("Examples:") < shown.index("Options:")
    assert all(option in shown for option in ("--log-level", "--quiet", "--debug", "--help"))


def test_starting_imports_nothing_heavy() -> None:
    heavy = "('torch', 'transformers', 'pandas', 'numpy', 'scipy', 'datasets', 'pyarrow', 'matplotlib', 'plotly')"
    code = f"import sys, whisperprobe.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_python_m_is_the_command_and_its_exit_code_reaches_the_shell(tmp_path: Path) -> None:
    call = [sys.executable, "-m", "whisperprobe", "plan", str(tmp_path / "none.toml")]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: no study file at ")
    assert len(done.stderr.splitlines()) <= 2


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    call = [sys.executable, "-m", "whisperprobe", "plan", str(tmp_path / "none.toml"), "--debug"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Traceback" in done.stderr


def test_plan_prints_stages_or_json(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    assert run_app(app, ["plan", str(study), "--out", str(study.parent / "out")]) == 0
    shown = capsys.readouterr().out
    assert "finetune.hfloss.seed-1" in shown
    assert "compare" in shown
    assert run_app(app, ["plan", str(study), "--json"]) == 0
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert stages[0]["kind"] == "mask"
    assert not (study.parent / "out").exists()


def test_plan_takes_another_source(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study.parent / "other").mkdir()
    assert run_app(app, ["plan", str(study), "--json", "--source", str(study.parent / "other")]) == 0
    assert str(study.parent / "other") in capsys.readouterr().out


WRONG = [
    (["no-such-command"], "No such command"),
    (["plan"], "STUDY.toml"),
    (["plan", "none.toml"], "no study file at none.toml"),
    (["run", "none.toml"], "no study file at none.toml"),
    (["demo", "--log-level", "loud"], "'loud' is not one of debug"),
    (["finetune", "speech", "--out", "m"], "received neither"),
    (["finetune", "speech", "--out", "m", "--model", "base", "--from-config", "shape.toml"], "received both"),
    (["finetune", "speech", "--out", "m", "--from-config", "no-such-shape.toml"], "no-such-shape.toml cannot be read"),
    (["probe", "speech", "--out", "p"], "lacks --model"),
    (["probe", "speech", "--model", "m"], "--out"),
    (["probe", "no-such-corpus", "--model", "no-such-model", "--out", "p"], "no-such"),
    (["finetune", "no-such-corpus", "--model", "no-such-model", "--out", "m", "--max-steps", "1"], "no-such"),
    (["compare", "no-such-run"], "no-such-run"),
    (["compare", "base:normal=a", "base:normal=b"], "no manifest.json"),
    (["report", "no-such-folder"], "no-such-folder is not a folder"),
]


@pytest.mark.parametrize(("call", "said"), WRONG, ids=[" ".join(w[0])[:40] for w in WRONG])
def test_a_wrong_call_ends_with_2_and_says_why(
    call: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_app(app, call) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err
    assert list(tmp_path.iterdir()) == []


def test_report_refuses_a_folder_without_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(app, ["report", str(tmp_path)]) == 2
    assert "holds no results of a study" in capsys.readouterr().err


def test_a_wrong_key_in_a_study_ends_with_2_before_anything_is_written(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study.write_text(STUDY + "learning_rat = 1", encoding="utf-8")
    assert run_app(app, ["run", str(study), "--out", str(study.parent / "out")]) == 2
    assert "'learning_rate'" in capsys.readouterr().err
    assert not (study.parent / "out").exists()


MINE = 'audiogram = "250:10,1000:30,4000:60"\nnormalise = "input"\n'
HEARS = {  # commands with --condition, and what is given their condition
    "probe S --model M --out O": "probing.corpus.probe_corpus",
    "finetune S --model M --out O": "training.trainer.finetune",
    "words S --alignment A --out O": "alignment.words.cut_words",
    "logmel S O --model M": "corpora.log_mel_corpus.write_log_mel",
    "ldl train S --semantics V --out O": "ldl.fit.train_corpus",
    "ldl evaluate S --model M --out O": "ldl.evaluate.evaluate_corpus",
    "ldl cues S O": "ldl.cues_corpus.write_cues",
}


@pytest.mark.parametrize(("call", "function"), HEARS.items(), ids=[" ".join(c.split(" S")[0:1]) for c in HEARS])
def test_a_condition_is_a_name_or_a_file(
    call: str, function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[Any] = []

    def listen(*args: object, condition: object, **options: object) -> None:
        heard.append(condition)
        raise WorkError("heard enough")

    monkeypatch.setattr(f"whisperprobe.{function}", listen)
    mine = tmp_path / "mine.toml"
    mine.write_text(MINE, encoding="utf-8")
    for given in (str(mine), "lfloss"):
        assert run_app(app, [*call.split(), "--condition", given]) == 1, capsys.readouterr().err
    assert run_app(app, call.split()) == 1
    own, built_in, nothing = heard
    assert (own.name, own.audiogram.thresholds, own.normalise) == ("mine", (10, 30, 60), "input")
    assert built_in == condition("lfloss")
    assert nothing is None
    assert run_app(app, [*call.split(), "--condition", "hfless"]) == 2
    said = capsys.readouterr().err
    assert "Did you mean 'hfloss'" in said
    assert "a .toml or .json file with a condition" in said


def test_a_condition_from_a_file_is_recorded(tmp_path: Path) -> None:
    demo = Path(whisperprobe.__file__).parent / "demo"
    (tmp_path / "mine.toml").write_text(MINE, encoding="utf-8")
    common = [str(demo / "speech"), "--model", str(demo / "model"), "--condition", str(tmp_path / "mine.toml")]
    common += ["--quiet", "--out"]
    assert run_app(app, ["finetune", *common, str(tmp_path / "m"), "--max-steps", "1", "--no-evaluate"]) == 0
    assert run_app(app, ["probe", *common, str(tmp_path / "p"), "--splits", "train", "--max-samples", "2"]) == 0
    expected = read_condition(tmp_path / "mine.toml").to_dict()
    assert read_manifest(tmp_path / "p")["options"]["condition"] == json.loads(json.dumps(expected))
    assert "through `mine`" in (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
