"""The recipes by hand: shell that lints, headers that say what is needed, arguments that arrive."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import whisperprobe
from audiogram.corpus import is_complete

Cluster = Any  # of conftest.py, which no module can import
ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "cluster").glob("*.sbatch"))
MODEL = Path(whisperprobe.__file__).parent / "demo" / "model"
NAMES = {"import", "mask", "logmel", "align", "words", "finetune", "probe", "ldl", "compare", "report"}


def test_there_is_a_recipe_for_every_stage() -> None:
    assert {recipe.stem for recipe in RECIPES} == NAMES


def test_shellcheck_finds_nothing() -> None:
    files = [*RECIPES, ROOT / "cluster" / "common.sh", *(ROOT / "cluster").glob("*.sh")]
    ended = subprocess.run(["shellcheck", "-x", *files], capture_output=True, text=True, cwd=ROOT / "cluster")
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_recipe_says_what_it_needs_and_writes(recipe: Path) -> None:
    head = recipe.read_text().partition("#SBATCH")[0]
    for word in ("# Needs:  ", "# Writes: ", "# Asks for: ", f"sbatch {recipe.name}"):
        assert word in head or re.search(word.replace("sbatch ", r"sbatch .*"), head), word


def test_mask_by_hand(cluster: Cluster) -> None:
    asked = ("--cpus-per-task=1", "--mem=1G", "--array=0-1")
    job = cluster.sbatch(*asked, "mask.sbatch", "--workers", "2", "--max-samples", "20", "--rows-per-part", "10")
    assert cluster.wait(job) == "COMPLETED", cluster.logs()
    assert "--shard 1/2 " in cluster.logs()
    for name in ("normal", "lfloss", "hfloss"):
        assert is_complete(cluster.results / f"speech_{name}")


@pytest.mark.parametrize("array", ["1-2", "0,2"])
def test_an_array_that_does_not_count_from_0_is_refused(cluster: Cluster, array: str) -> None:
    job = cluster.sbatch("--cpus-per-task=1", "--mem=1G", f"--array={array}", "mask.sbatch")
    assert cluster.wait(job) == "FAILED"
    assert "an array counts its tasks from 0" in cluster.logs()


def test_learning_is_no_work_for_an_array(cluster: Cluster) -> None:
    words = ("train", str(cluster.home / "speech"), "--semantics", f"whisper:{MODEL}", "--out", "nowhere")
    job = cluster.sbatch("--cpus-per-task=1", "--mem=1G", "--array=0-1", "ldl.sbatch", *words)
    assert cluster.wait(job) == "FAILED"
    assert "ldl train is one task" in cluster.logs()


def test_a_wrong_call_fails_with_the_reason_in_the_log(cluster: Cluster) -> None:
    job = cluster.sbatch("--cpus-per-task=1", "--mem=1G", "report.sbatch", "nowhere")
    assert cluster.wait(job) == "FAILED"
    assert re.search(r"error: nowhere is not a folder.*\n== \d+ failed with exit code 2", cluster.logs()), (
        cluster.logs()
    )


def test_a_command_that_fails_when_it_is_told_to_stop_is_not_started_again(cluster: Cluster) -> None:
    fake = cluster.home / "bin" / "whisperprobe"
    fake.parent.mkdir()
    code = "signal.signal(signal.SIGUSR1, lambda *_: sys.exit(1)); open(os.environ['RESULTS_DIR'] + '/ready', 'w')"
    fake.write_text(f"#!{sys.executable}\nimport os, signal, sys\n{code}\nwhile True: signal.pause()\n")
    fake.chmod(0o755)
    cluster.configure(ACTIVATE=f'export PATH="{fake.parent}:$PATH"')
    job = cluster.sbatch("--cpus-per-task=1", "--mem=1G", "report.sbatch", "anything")
    cluster.until((cluster.results / "ready").exists, "the command")
    subprocess.run(["scancel", "--batch", "--signal=USR1", str(job)], check=True)  # as before the time limit
    assert cluster.wait(job) == "FAILED"
    assert "failed with exit code 1" in cluster.logs()
    assert "goes back to the queue" not in cluster.logs()


def test_where_the_command_is_missing_the_log_says_what_to_correct(cluster: Cluster) -> None:
    cluster.configure(ACTIVATE="false; export PATH=/usr/bin:/bin")
    job = cluster.sbatch("--cpus-per-task=1", "--mem=1G", "report.sbatch", "nowhere")
    assert cluster.wait(job) == "FAILED"
    assert re.search(r"no command whisperprobe on \S+ after ACTIVATE of .+/\.env\.local", cluster.logs())


def test_mald_model_after_model(cluster: Cluster) -> None:
    cluster.configure(SBATCH_TIMELIMIT="10", SBATCH_GRES="none")
    words = cluster.home / "speech"
    call = ["./run_mald.sh", "--listening", "hfloss", str(words), f"one={MODEL}", f"two={MODEL}"]
    more = ["--", "--max-samples", "2", "--top-k", "3", "--max-new-tokens", "8", "--device", "cpu"]
    recipe = cluster.recipes / "probe.sbatch"  # as this machine can: the recipe's own GPU and 6 cores are too much
    recipe.write_text(recipe.read_text().replace("--cpus-per-task=6 --mem=40G", "--cpus-per-task=1 --mem=1G"))
    said = subprocess.run(
        ["env", "TASKS=1", *call, *more], cwd=cluster.recipes, capture_output=True, text=True, check=True
    ).stdout
    jobs = [int(number) for number in re.findall(r"job (\d+)", said)]
    assert len(jobs) == 2
    assert (
        "Dependency=afterany"
        in subprocess.run(["scontrol", "show", "job", str(jobs[1])], capture_output=True, text=True).stdout
    )
    for job, name in zip(jobs, ("one", "two"), strict=True):
        assert cluster.wait(job) == "COMPLETED", cluster.logs()
        run = whisperprobe.load_probes(cluster.results / "mald-hfloss" / name)
        assert run.manifest["options"]["condition"]["name"] == "hfloss"
        assert len(run.clips) == 2


def test_finetune_with_two_processes_stops_when_asked_and_goes_on(cluster: Cluster) -> None:
    shape = "d_model = 16\nencoder_layers = 1\ndecoder_layers = 1\nattention_heads = 2\nffn_dim = 32\n"
    (cluster.home / "tiny.toml").write_text(shape + "window_seconds = 2\nmax_target_positions = 16\n")
    out = cluster.results / "model"
    asked = ("--gres=none", "--cpus-per-task=2", "--mem=2G", "finetune.sbatch", str(cluster.home / "speech"))
    words = ("--out", str(out), "--from-config", str(cluster.home / "tiny.toml"), "--max-samples", "32")
    length = ("--max-steps", "120", "--global-batch", "8", "--log-every", "1", "--no-evaluate", "--device", "cpu")
    job = cluster.sbatch(*asked, *words, *length, PROCESSES="2", OMP_NUM_THREADS="1")
    curve = out / "training.csv"
    cluster.until(lambda: curve.exists() and curve.read_text().count("\n") > 3, "some steps")
    subprocess.run(["scancel", "--batch", "--signal=USR1", str(job)], check=True)  # as before the time limit
    assert cluster.wait(job) == "COMPLETED", cluster.logs()
    log = cluster.logs()
    assert "goes back to the queue" in log
    assert "start 2" in log
    results = json.loads((out / "results.json").read_text())
    assert (results["processes"], results["steps"]) == (2, 120)
    assert not list(cluster.results.glob(".stopped*"))
    steps = [int(line.partition(",")[0]) for line in curve.read_text().splitlines()[1:]]
    assert steps == list(range(1, 121))
