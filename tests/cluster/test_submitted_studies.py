"""Studies as graphs of jobs: the same results as in one process, whatever happens to the jobs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

Cluster = Any  # of conftest.py, which no module can import

STUDY = """
name = "small"

[corpus]
source = "speech"
max_samples = 24
rows_per_part = 8

[conditions]
use = ["hfloss"]

[model.from_scratch]
d_model = 16
encoder_layers = 1
decoder_layers = 1
attention_heads = 2
ffn_dim = 32
window_seconds = 2
max_target_positions = 16
vocabulary_size = 300
max_steps = 4
batch_size = 8
learning_rate = 1e-2
evaluate = false

[finetune]
max_steps = 2
batch_size = 8
evaluate = false

[probe]
listen = "own"
splits = ["test"]
rows_per_part = 8
top_k = 5
max_new_tokens = 8

[compare]
resamples = 200
"""
GATED = STUDY.replace('use = ["hfloss"]', 'use = ["held"]\n[conditions.held]\naudiogram = "hfloss"\nfilter = "gate"')
TWO_TASKS = ("--resource", "mask.tasks=2", "--resource", "probe.tasks=2")
BOTH_LISTENERS = f"{STUDY}\n[ldl]\nepochs = 2\n"


def files_of(out: Path) -> dict[str, bytes]:
    """All that a study has computed, without what records paths and times."""
    found = [*out.rglob("*.parquet"), *out.rglob("*.safetensors")]
    return {str(file.relative_to(out)): file.read_bytes() for file in found if "slurm" not in file.parts}


def test_a_submitted_graph_ends_with_the_results_of_one_process(cluster: Cluster) -> None:
    study = cluster.write_study(BOTH_LISTENERS)
    call = [sys.executable, "-m", "whisperprobe", "run", str(study), "--out", str(cluster.home / "here"), "--quiet"]
    subprocess.run(call, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})

    planned = cluster.submit("--dry-run", *TWO_TASKS)
    assert not list(cluster.results.iterdir())
    assert re.search(r"mask +2 \(%16\) +6 +48 +cpus-per-task=1", planned), planned
    assert re.search(r"finetune\.hfloss\.seed-1 .* mask, finetune\.base\.seed-1", planned), planned
    assert re.search(r"ldl-train\.cfbsf\.hfloss\.seed-1 +1 +48 +cpus-per-task=1", planned), planned

    said = cluster.submit(*TWO_TASKS, "--resource", "ldl.tasks=2")
    jobs = cluster.jobs("small-results")
    assert f"report: job {jobs['report']}" in said
    assert cluster.wait(jobs["report"], seconds=300) == "COMPLETED", cluster.logs()
    there, here = files_of(cluster.results / "small-results"), files_of(cluster.home / "here")
    assert there.keys() == here.keys()
    assert [name for name in here if there[name] != here[name]] == []
    assert (cluster.results / "small-results" / "report.html").is_file()

    status = cluster.submit("--status")
    assert status.count(" done") == len(jobs), status
    assert "failed" not in status.splitlines()[-1]
    assert "holds results" in cluster.submit(code=2)
    assert "nothing is left to do" in cluster.submit("--resume")
    estimated = float(re.search(r"([\d.]+) MB of disk", planned)[1]) * 1e6  # type: ignore[index]
    taken = sum(f.stat().st_size for f in (cluster.results / "small-results").rglob("*") if f.is_file())
    assert taken / 2 < estimated < taken * 2


def test_a_killed_task_leaves_its_parts_which_resume_does(cluster: Cluster) -> None:
    cluster.write_study(GATED)
    cluster.gate.touch()
    out = cluster.results / "small-results"
    cluster.submit(*TWO_TASKS)
    jobs = cluster.jobs("small-results")
    mask, dependent = jobs["mask"], jobs["finetune.held.seed-1"]
    cluster.until(lambda: len(list(out.glob("corpus_held/failures/.*.lock"))) == 2, "both tasks at work")
    running = cluster.submit("--status")
    assert re.search(r"^mask +0/6 +0/48 +2\b", running, re.MULTILINE), running
    assert "waits for jobs" in cluster.submit(code=2)

    (held,) = out.glob("corpus_held/failures/.*-00001-of-*.lock")  # the first part of task 1 of 2
    os.kill(int(held.read_text()), signal.SIGKILL)  # as the kernel does where memory runs out
    cluster.until(lambda: "FAILED" in cluster.states(f"{mask}_1"), "the death of the task")
    cluster.gate.unlink()
    assert cluster.wait(mask) == "COMPLETED FAILED"  # the other task goes on
    assert cluster.wait(dependent) == "CANCELLED"  # and no stage begins on half a corpus
    assert not list(out.glob("slurm/logs/finetune.held*"))
    status = cluster.submit("--status")
    assert re.search(r"mask task 1: part \w+-00001-of-00003 and 2 more; log: .+/mask-\d+_1\.log", status), status
    assert "finetune.held.seed-1 never started" in status
    assert re.search(r"failed with exit code 137: task 1, share 1/2 of the parts\n== killed", cluster.logs())

    cluster.submit("--resume")
    again = cluster.jobs("small-results")
    rows = json.loads((out / "slurm" / "jobs.json").read_text())
    assert [row["tasks"] for row in rows if row["stage"] == "mask"] == [[0, 1], [1]]
    assert again["finetune.held.seed-1"] > again["mask"] > mask
    assert again["finetune.base.seed-1"] == jobs["finetune.base.seed-1"]  # at work, or done
    assert cluster.wait(again["mask"]) == "COMPLETED", cluster.logs()
    assert re.search(r"^mask +done +48/48", cluster.submit("--status"), re.MULTILINE)
    assert len(list(out.glob("corpus_held/failures/*.parquet"))) == 6

    assert re.search(r"report: 1 cancelled", cluster.submit("--cancel"))
    assert cluster.wait(again["report"]).startswith("CANCELLED")
    assert "nothing to cancel" in cluster.submit("--cancel")


def test_resume_renews_what_waits_for_the_attempt_that_failed(cluster: Cluster) -> None:
    cluster.write_study(GATED)
    cluster.gate.touch()
    out = cluster.results / "small-results"
    cluster.submit(*TWO_TASKS)
    before = cluster.jobs("small-results")
    cluster.until(lambda: len(list(out.glob("corpus_held/failures/.*.lock"))) == 2, "both tasks at work")
    subprocess.run(["scancel", f"{before['mask']}_1"], check=True)
    cluster.until(lambda: "CANCELLED" in cluster.states(f"{before['mask']}_1"), "the end of the task")
    cluster.submit("--resume")  # while the other task is at work, and five jobs wait for an array that has failed
    after = cluster.jobs("small-results")
    rows = json.loads((out / "slurm" / "jobs.json").read_text())
    assert [row["tasks"] for row in rows if row["stage"] == "mask"] == [[0, 1], [1]]
    for stage in ("finetune.held.seed-1", "probe.held.held.seed-1", "compare", "report"):
        assert cluster.wait(before[stage]) == "CANCELLED"
        assert after[stage] > after["mask"]
    assert after["finetune.base.seed-1"] == before["finetune.base.seed-1"]
    cluster.gate.unlink()
    assert cluster.wait(after["finetune.held.seed-1"], seconds=200) == "COMPLETED", cluster.logs()
    rows_out, failures = (list((out / "corpus_held" / name).glob("*.parquet")) for name in ("data", "failures"))
    assert sum(pq.read_metadata(file).num_rows for file in rows_out) == 48
    assert sum(pq.read_metadata(file).num_rows for file in failures) == 0


def test_a_job_stops_before_its_time_limit_and_goes_on_from_there(cluster: Cluster) -> None:
    cluster.write_study(GATED)
    cluster.gate.touch()
    # the shortest limit that Slurm has is a minute; it looks every 30 s, so the signal comes within the first half
    limit = ("--resource", "mask.time=1", "--resource", "mask.signal=B:USR1@50")
    cluster.submit("--only", "mask", *limit)
    mask = cluster.jobs("small-results")["mask"]
    cluster.until(lambda: "goes back to the queue" in cluster.logs(), "the signal")
    cluster.gate.unlink()
    assert cluster.wait(mask) == "COMPLETED", cluster.logs()
    log = cluster.logs()
    assert "stopped on request (SIGUSR1)" in log
    assert "start 2" in log
    assert re.search(r"^mask +done", cluster.submit("--status"), re.MULTILINE)


def test_on_a_full_disk_the_stage_says_so_and_goes_on_when_there_is_room(cluster: Cluster) -> None:
    cluster.write_study(STUDY)
    disk = cluster.results / "small-results"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=True)
    try:
        (disk / ".ballast").write_bytes(bytes(1_700_000))
        cluster.submit("--only", "mask")
        mask = cluster.jobs("small-results")["mask"]
        assert cluster.wait(mask) == "FAILED", cluster.logs()
        assert re.search(r"error: .*No space left on device.*free some space", cluster.logs()), cluster.logs()
        (disk / ".ballast").unlink()
        cluster.submit("--resume", "--only", "mask")
        assert cluster.wait(cluster.jobs("small-results")["mask"]) == "COMPLETED", cluster.logs()
        assert re.search(r"^mask +done +48/48", cluster.submit("--status"), re.MULTILINE)
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_partition_that_is_none_is_refused_with_those_that_are(cluster: Cluster) -> None:
    cluster.write_study(STUDY)
    cluster.configure(SBATCH_PARTITION="gpu")
    said = cluster.submit(code=1)
    assert re.search(r"error: Slurm refuses mask.sbatch: .*partition.*partitions here: aisc-batch, idle", said), said
    assert "hf_secret" not in said
    assert not cluster.jobs("small-results")


def test_where_one_job_is_refused_none_stays_in_the_queue(cluster: Cluster) -> None:
    cluster.write_study(STUDY)
    said = cluster.submit("--resource", "probe.gres=tpu:1", code=1)
    assert "Slurm refuses probe.sbatch" in said
    assert not cluster.jobs("small-results")
    cluster.until(lambda: not subprocess.run(["squeue", "-h"], capture_output=True).stdout, "an empty queue", 30)


def test_without_settings_nothing_is_submitted(cluster: Cluster) -> None:
    cluster.write_study(STUDY)
    (cluster.recipes / ".env.local").unlink()
    assert re.search(r"error: there is no .*\.env\.local\. Copy \.env\.template", cluster.submit(code=2))
    job = cluster.sbatch("--partition=aisc-batch", "--array=0", "--cpus-per-task=1", "--mem=1G", "mask.sbatch")
    assert cluster.wait(job) == "FAILED"
    assert re.search(r"no .+/cluster/\.env\.local\. Copy \.env\.template", cluster.logs())
