"""The commands `whisperprobe ldl`: the page's commands run, what they say, and their exit codes."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiogram.console import run_app
from whisperprobe import ldl
from whisperprobe.cli import app

PAGE = Path(__file__).parents[2] / "docs" / "ldl.md"
WORDS = ("fish", "ship", "moon")


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for split, takes in (("train", 4), ("validation", 1), ("test", 1)):
        for number, word in enumerate(WORDS):
            for take in range(takes):
                (tmp_path / "words" / split / f"{take}").mkdir(parents=True, exist_ok=True)
                t = np.arange(4000) / 16_000
                x = np.sin(2 * np.pi * (400 + 700 * number) * t) * np.hanning(len(t))
                x += 0.01 * np.random.default_rng([number, take]).normal(size=len(t))
                soundfile.write(tmp_path / "words" / split / f"{take}" / f"{word}.wav", 0.3 * x, 16_000)
    np.savez(tmp_path / "vectors.npz", words=np.array(WORDS), vectors=np.eye(3, 5, dtype=np.float32))
    return tmp_path / "words"


def test_the_commands_of_the_page_run(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    section = PAGE.read_text(encoding="utf-8").split("## Train and evaluate")[1].split("\n## ")[0]
    [block] = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    said = {}
    for line in block.splitlines():
        assert run_app(app, shlex.split(line)[1:]) == 0, (line, capsys.readouterr().err)
        said[line] = capsys.readouterr().out
    trained, heard = (
        next(text for line, text in said.items() if f"ldl {name}" in line) for name in ("train", "evaluate")
    )
    assert "learnt: 12 events, 3 word types" in trained
    assert "held out: accuracy" in trained
    assert re.search(r"accuracy: 1, @5 1, @10 1; words: 3 of 3 with a text", heard)
    assert (Path("ldl/normal/curve.csv")).read_text().startswith("events,epoch,accuracy")
    shapes = [ldl.load_ldl_model(f"ldl/{name}").shape for name in ("normal", "hfloss")]
    assert shapes[0] == shapes[1]


def test_options_reach_the_fit(corpus: Path) -> None:
    call = ["ldl", "train", str(corpus), "-s", "vectors.npz", "--out", "fit", "--boundary", "min", "--top-hz", "4000"]
    more = ["--rule", "lms", "--rate", "1e-6", "--in-order", "--no-production", "--curve", "3", "--curve", "8", "-q"]
    assert run_app(app, [*call, *more]) == 0
    model = ldl.load_ldl_model("fit")
    assert model.production is None
    assert model.options["cue_options"]["boundary"] == "min"
    assert (model.options["cue_options"]["top_hz"], model.options["seed"], model.options["curve"]) == (
        4000.0,
        None,
        [3, 8],
    )
    assert run_app(app, ["ldl", "evaluate", str(corpus), "-m", "fit", "--out", "heard", "-q"]) == 0
    assert ldl.load_ldl("heard").clips["semantic_support_for_form"].isna().all()


def test_results_as_json(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(app, ["ldl", "train", str(corpus), "-s", "vectors.npz", "--out", "fit", "-q", "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert (trained["model"], trained["results"]["events"]) == ("fit", 12)
    assert run_app(app, ["ldl", "evaluate", str(corpus), "-m", "fit", "--out", "heard", "-q", "--json"]) == 0
    heard = json.loads(capsys.readouterr().out)
    accuracy = ldl.load_ldl("heard").clips["correct"].mean()
    assert heard == {
        "heard": "heard",
        "results": {"clips": 3, "words": 3, "accuracy": accuracy, "accuracy_at_5": 1.0, "accuracy_at_10": 1.0},
    }
    call = ["ldl", "evaluate", str(corpus), "-m", "fit", "--out", "shared", "--shard", "0/2", "--json"]
    assert run_app(app, call) == 0
    assert json.loads(capsys.readouterr().out) == {"heard": "shared", "results": None}  # a share says nothing yet


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (["train", "words", "-s", "vectors.npz", "-o", "x", "--rule", "lms", "--rate", "9"], "Give a rate below"),
        (["train", "words", "-s", "nothing.bin", "-o", "x"], "no file 'nothing.bin'"),
        (["train", "nowhere", "-s", "vectors.npz", "-o", "x"], "does not exist"),
        (["evaluate", "words", "-m", "words", "-o", "x"], "has no ldl.json"),
    ],
)
def test_wrong_calls_end_with_two(corpus: Path, capsys: pytest.CaptureFixture[str], call: list[str], said: str) -> None:
    assert run_app(app, ["ldl", *call]) == 2
    assert said in capsys.readouterr().err


def test_help_and_learning_itself_load_nothing_heavy() -> None:
    code = (
        "import sys; from audiogram.console import run_app; from whisperprobe.cli import app; "
        "assert run_app(app, ['ldl', 'train', '--help']) == 0; "
        "import numpy as np; from whisperprobe import ldl; ldl.learn(np.eye(2), np.eye(2)); "
        "print({'torch', 'transformers', 'pandas', 'pyarrow'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "set()"
