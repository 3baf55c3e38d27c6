"""Row stages killed, stopped or starved at any moment lose nothing and end with the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seventeen clips in two splits, one empty, one that is no sound."""
    folder = tmp_path_factory.mktemp("speech")
    rng = np.random.default_rng(0)
    for split, clips in (("train", 12), ("test", 5)):
        (folder / split).mkdir()
        for number in range(clips):
            soundfile.write(folder / split / f"w{number:02d}.wav", 0.1 * rng.normal(size=900 + number), 16_000)
    (folder / "train" / "w03.wav").write_bytes(b"")
    (folder / "train" / "w05.wav").write_bytes(b"not a sound at all")
    return folder


def harness(stage: str, source: Path, base: Path, moments: str) -> dict[str, object]:
    program = [sys.executable, str(HERE / "corpus_kill_harness.py"), stage, str(source), str(base), moments]
    ended = subprocess.run(program, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def test_a_stage_killed_at_random_moments_ends_with_the_same_bytes(speech: Path, tmp_path: Path) -> None:
    result = harness("count", speech, tmp_path, "40")
    assert result["wrong"] == {}
    assert result["moments"] == 40


@pytest.mark.exhaustive
def test_a_stage_killed_at_every_moment_ends_with_the_same_bytes(speech: Path, tmp_path: Path) -> None:
    result = harness("count", speech, tmp_path, "all")
    assert result["wrong"] == {}
    assert result["moments"] == result["events"] > 100


def test_mask_killed_at_random_moments_ends_with_the_same_bytes(speech: Path, tmp_path: Path) -> None:
    result = harness("mask", speech, tmp_path, "20")
    assert result["wrong"] == {}
    assert result["moments"] == 20


@pytest.mark.exhaustive
def test_mask_killed_at_every_moment_ends_with_the_same_bytes(speech: Path, tmp_path: Path) -> None:
    result = harness("mask", speech, tmp_path, "all")
    assert result["wrong"] == {}


PROGRAM = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {here!r})
import corpus_kill_harness as harness
from audiogram.console import run_app
from audiogram.corpus import open_corpus, run_stage

class Doomed(harness.Count):
    "Sends a signal at its third clip, once: to itself, or to the process that started it."
    def __init__(self, kind, mark):
        self.kind, self.mark = kind, Path(mark)
    def __call__(self, part, clips, writer):
        super().__call__(part, self.watched(clips), writer)
    def watched(self, clips):
        for number, clip in enumerate(clips):
            if number == 2:
                try:
                    self.mark.touch(exist_ok=False)
                except FileExistsError:
                    pass
                else:
                    if self.kind == "worker dies":
                        os.kill(os.getpid(), signal.SIGKILL)
                    elif self.kind == "parent dies":
                        os.kill(os.getppid(), signal.SIGKILL)
                    elif self.kind == "parent is asked to stop":
                        os.kill(os.getppid(), signal.SIGTERM)
                    elif self.kind == "asked to stop":
                        os.kill(os.getpid(), signal.SIGTERM)
            yield clip

def app(args, standalone_mode):
    source, out, kind, workers = args
    run_stage("count", options={{}}, corpus=open_corpus(source), outs=[out], work=Doomed(kind, out + ".mark"),
              schemas={{"data": harness.SCHEMA}}, rows_per_part=4, max_failures=0.5, workers=int(workers))

if __name__ == "__main__":
    sys.exit(run_app(app))
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "doomed.py"
    path.write_text(PROGRAM.format(here=str(HERE)))
    return path


def started(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def undisturbed(program: Path, speech: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole") / "out"
    assert started(program, speech, out, "nothing happens", 1).returncode == 0
    return contents(out)


@pytest.mark.parametrize(
    ("kind", "workers", "code", "said"),
    [
        ("worker dies", 2, 1, "a worker process died"),
        ("parent dies", 2, -signal.SIGKILL, ""),
        ("parent is asked to stop", 2, 75, "stopped on request (SIGTERM)"),
        ("asked to stop", 1, 75, "stopped on request (SIGTERM)"),
    ],
)
def test_what_ends_a_stage_early_is_said_and_made_good(
    program: Path,
    speech: Path,
    undisturbed: dict[str, bytes],
    tmp_path: Path,
    kind: str,
    workers: int,
    code: int,
    said: str,
) -> None:
    out = tmp_path / "out"
    first = started(program, speech, out, kind, workers)
    assert first.returncode == code, first.stderr
    assert said in first.stderr
    assert "Traceback" not in first.stderr
    assert contents(out) != undisturbed
    second = started(program, speech, out, kind, workers)
    assert second.returncode == 0, second.stderr
    assert contents(out) == undisturbed
