"""extract and logmel killed at random moments (SIGKILL) and started again end with the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

HARNESS = Path(__file__).parents[1] / "audiogram"

PROGRAM = """
import os, sys
sys.path.insert(0, {here!r})
import numpy as np
import torch
torch.set_num_threads(1)  # forked children have no other threads
import transformers.audio_utils  # here, so that no child has to import it
import corpus_kill_harness as harness
from whisperprobe import extract_corpus, write_log_mel
from whisperprobe.features import WindowSpec, log_mel

def mels(source, out, **options):
    shape = {{"model": "openai/whisper-tiny", "labels": False}}
    write_log_mel(source, out, rows_per_part=4, max_failures=0.5, device="cpu", **shape)

def files(source, out, **options):
    extract_corpus(source, out, rows_per_part=4, max_failures=0.5)

harness.STAGES = {{"logmel": mels, "extract": files}}
log_mel([np.zeros(1600, np.float32)], WindowSpec(80, 3000))  # what is made once, before the forks
harness.main(sys.argv[1], sys.argv[2], harness.Path(sys.argv[3]), sys.argv[4])
"""


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech")
    rng = np.random.default_rng(0)
    for split, clips in (("train", 9), ("test", 3)):
        (folder / split / "anna").mkdir(parents=True)
        for number in range(clips):
            x = 0.1 * rng.normal(size=900 + number)
            soundfile.write(folder / split / "anna" / f"w{number:02d}.wav", x, 16_000)
    (folder / "train" / "anna" / "w03.wav").write_bytes(b"not a sound at all")
    return folder


@pytest.mark.parametrize(
    ("stage", "moments"),
    [
        ("extract", "20"),
        ("logmel", "20"),
        pytest.param("extract", "all", marks=pytest.mark.exhaustive),
        pytest.param("logmel", "all", marks=pytest.mark.exhaustive),
    ],
)
def test_killed_at_any_moment_it_ends_with_the_same_bytes(
    speech: Path, tmp_path: Path, stage: str, moments: str
) -> None:
    program = [sys.executable, "-c", PROGRAM.format(here=str(HARNESS)), stage, str(speech), str(tmp_path), moments]
    ended = subprocess.run(program, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout.splitlines()[-1])
    assert result["wrong"] == {}
    assert result["moments"] == (result["events"] if moments == "all" else 20)
