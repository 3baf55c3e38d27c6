"""align and words killed at random moments (SIGKILL) and started again end with the same bytes."""

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
import sys
sys.path.insert(0, {here!r})
import numpy as np
import corpus_kill_harness as harness
from whisperprobe import align_corpus, cut_words
from whisperprobe.alignment.gaps import AlignedWord

class Halves:
    method, sample_rate, batch_size, max_seconds = "ctc", 16_000, 2, None

    def describe(self):
        return {{"model": "halves"}}

    def __call__(self, waveforms, texts):
        ends = [len(x) / 16_000 for x in waveforms]
        return [[AlignedWord("a", 0.0, e / 2, 1.0), AlignedWord("b", e / 2, e, 1.0)] for e in ends]

def align(source, out, **options):
    align_corpus(source, out, model=Halves(), rows_per_part=4, max_failures=0.5)

def words(source, out, **options):
    cut_words(source, {alignment!r}, out, rows_per_part=7, max_failures=0.5)

harness.STAGES = {{"align": align, "words": words}}
align({source!r}, {alignment!r})
harness.main(sys.argv[1], {source!r}, harness.Path(sys.argv[2]), sys.argv[3])
"""


@pytest.mark.parametrize(
    ("stage", "moments"),
    [
        ("align", "12"),
        ("words", "12"),
        pytest.param("align", "all", marks=pytest.mark.exhaustive),
        pytest.param("words", "all", marks=pytest.mark.exhaustive),
    ],
)
def test_killed_at_any_moment_it_ends_with_the_same_bytes(tmp_path: Path, stage: str, moments: str) -> None:
    source, rng = tmp_path / "speech", np.random.default_rng(0)
    for split, clips in (("train", 9), ("test", 3)):
        (source / split).mkdir(parents=True)
        for number in range(clips):
            soundfile.write(source / split / f"w{number:02d}.wav", 0.1 * rng.normal(size=900 + number), 16_000)
    (source / "train" / "w03.wav").write_bytes(b"not a sound at all")
    program = PROGRAM.format(here=str(HARNESS), source=str(source), alignment=str(tmp_path / "alignment"))
    run = [sys.executable, "-c", program, stage, str(tmp_path / "runs"), moments]
    (tmp_path / "runs").mkdir()
    ended = subprocess.run(run, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout.splitlines()[-1])
    assert result["wrong"] == {}
    assert result["moments"] == (result["events"] if moments == "all" else 12)
