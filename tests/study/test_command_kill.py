"""Every command that is a row stage, killed at random moments in any of its processes, ends with the same bytes."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import whisperprobe
from whisperprobe import ldl

ROOT = Path(__file__).parents[2]
HARNESS = ROOT / "tests" / "audiogram" / "command_kill_harness.py"
MODEL = Path(whisperprobe.__file__).parent / "demo" / "model"
SMALL = "--rows-per-part 4 --max-failures 0.9"

# One line for each stage: {speech} is a folder of sound, {release} of Common Voice, {archive} the same packed.
STAGES = {
    "mask": f"audiogram mask {{speech}} {{out}}/m -c normal -c hfloss {SMALL}",
    "mask, two workers": f"audiogram mask {{speech}} {{out}}/m -c normal -c hfloss {SMALL} --workers 2",
    "probe": f"whisperprobe probe {{speech}} --model {MODEL} --out {{out}}/p --splits train --top-k 5 {SMALL}",
    "logmel": f"whisperprobe logmel {{speech}} {{out}}/l --model {MODEL} {SMALL}",
    "extract": f"whisperprobe extract {{speech}} {{out}}/e {SMALL}",
    "ldl train": "whisperprobe ldl train {speech} --semantics {vectors} --out {out}/f --epochs 3 --block 2 "
    "--save-every 5 --held-out test --max-failures 0.9",
    "ldl evaluate": f"whisperprobe ldl evaluate {{speech}} --model {{fit}} --out {{out}}/v --splits train,test {SMALL}",
    "import": f"whisperprobe commonvoice import {{release}} {{out}}/i {SMALL}",
    "import, archive": f"whisperprobe commonvoice import {{archive}} {{out}}/i {SMALL}",
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    speech = tmp_path_factory.mktemp("speech")
    rng = np.random.default_rng(0)
    for split, clips in (("train", 10), ("test", 5)):
        (speech / split).mkdir()
        for number in range(clips):
            soundfile.write(speech / split / f"w{number:02d}.wav", 0.1 * rng.normal(size=1900 + number), 16_000)
    (speech / "train" / "w03.wav").write_bytes(b"")
    (speech / "test" / "w01.wav").write_bytes(b"not a sound at all")
    spec = importlib.util.spec_from_file_location("release", ROOT / "scripts" / "make_commonvoice_release.py")
    assert spec is not None
    assert spec.loader is not None
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    release = make.make_release(tmp_path_factory.mktemp("release"))
    archive = make.make_archive(release, release.parent / "release.tar.gz")
    vectors = release.parent / "vectors.npz"
    np.savez(vectors, words=np.array([f"w{number:02d}" for number in range(10)]), vectors=np.eye(10, 12))
    fit = release.parent / "fit"
    ldl.train_corpus(speech, fit, semantics=vectors, max_failures=0.9)
    return {"speech": speech, "release": release, "archive": archive, "vectors": vectors, "fit": fit}


def killed(stage: str, sources: dict[str, Path], base: Path, moments: int) -> dict[str, object]:
    program, *words = STAGES[stage].split()
    words = [word.format(**sources, out="{out}") for word in words]
    call = [sys.executable, str(HARNESS), str(base), str(moments), f"{program}.cli", *words]
    ended = subprocess.run(call, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert ended.returncode == 0, ended.stdout + ended.stderr
    result: dict[str, object] = json.loads(ended.stdout.splitlines()[-1])
    print("\n", stage, {key: value for key, value in result.items() if key != "wrong"})
    return result


@pytest.mark.parametrize("stage", ["mask, two workers", "probe"])
def test_killed_at_a_few_moments_it_ends_with_the_same_bytes(
    stage: str, sources: dict[str, Path], tmp_path: Path
) -> None:
    result = killed(stage, sources, tmp_path, 2)
    assert result["wrong"] == {}
    assert result["moments"] == 2


@pytest.mark.exhaustive
@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_twenty_moments_it_ends_with_the_same_bytes(
    stage: str, sources: dict[str, Path], tmp_path: Path
) -> None:
    result = killed(stage, sources, tmp_path, 20)
    assert result["wrong"] == {}
    assert result["moments"] == 20
