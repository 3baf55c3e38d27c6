"""A plan as jobs, settings and estimates: what needs no Slurm to be tested."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiogram.console import run_app
from audiogram.errors import InputError, WorkError
from whisperprobe.cli import app
from whisperprobe.slurm import plan_jobs, recipe_resources
from whisperprobe.slurm_estimates import machine_factors
from whisperprobe.slurm_queue import ended_badly, live_tasks
from whisperprobe.slurm_settings import ClusterSettings, read_settings
from whisperprobe.slurm_status import describe_jobs, describe_status, study_status
from whisperprobe.slurm_submitting import Submitted, read_submitted, render_flags, submit_jobs, tasks_left
from whisperprobe.study import run_study
from whisperprobe.study_costs import Clips, Machine, Shape, expected_cost, model_shape
from whisperprobe.study_plan import Plan, plan
from whisperprobe.study_timings import read_timings

CLUSTER = Path(__file__).parents[2] / "cluster"
SPEECH = Path(__file__).parents[2] / "src" / "whisperprobe" / "whisperprobe" / "demo" / "speech"
STUDY = """
name = "planned"
[corpus]
source = "SPEECH"
rows_per_part = 100
[conditions]
use = ["normal", "hfloss"]
[model]
base = "openai/whisper-small"
[finetune]
epochs = 2
"""


@pytest.fixture
def planned(tmp_path: Path) -> Plan:
    (tmp_path / "study.toml").write_text(STUDY.replace("SPEECH", str(SPEECH)))
    return plan(tmp_path / "study.toml", tmp_path / "out")


@pytest.fixture
def settings(tmp_path: Path) -> ClusterSettings:
    return ClusterSettings(CLUSTER, {"RESULTS_DIR": str(tmp_path), "SBATCH_ACCOUNT": "aisc", "SBATCH_QOS": ""})


def write_env(folder: Path, **values: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "common.sh").touch()
    given = {"PROJECT_ROOT": str(folder), "RESULTS_DIR": str(folder), "ACTIVATE": "whisperprobe() { :; }"} | values
    (folder / ".env.local").write_text("".join(f"{name}='{value}'\n" for name, value in given.items() if value))
    return folder


def test_settings_are_read_as_bash_reads_them_and_tokens_stay_out(tmp_path: Path) -> None:
    folder = write_env(tmp_path / "cluster", SBATCH_PARTITION="aisc-batch", SBATCH_QOS="")
    with (folder / ".env.local").open("a") as file:
        file.write('# a comment\nCORPUS="$RESULTS_DIR/corpus"  # another\nHF_TOKEN=hf_secret\nMASK_CPUS_PER_TASK=32\n')
    settings = read_settings(folder)
    assert settings.values["CORPUS"] == f"{folder}/corpus"
    assert settings.whose() == {"partition": "aisc-batch"}
    assert settings.resources("mask") == {"cpus-per-task": "32"}
    assert "hf_secret" not in repr(settings)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"RESULTS_DIR": ""}, "gives no RESULTS_DIR: a folder for results"),
        ({"RESULTS_DIR": "/path/with/room"}, "leaves RESULTS_DIR as the template has it"),
        ({"RESULTS_DIR": "results"}, "RESULTS_DIR=results is not absolute"),
        ({"PROJECT_ROOT": "/no/such/folder"}, "PROJECT_ROOT=/no/such/folder is no folder"),
        ({"ACTIVATE": "source /no/such/venv"}, "with ACTIVATE there is no command whisperprobe .*no/such/venv"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(tmp_path: Path, values: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_settings(write_env(tmp_path / "cluster", **values))


def test_settings_that_bash_cannot_read_are_refused_without_their_values(tmp_path: Path) -> None:
    folder = write_env(tmp_path / "cluster")
    with (folder / ".env.local").open("a") as file:
        file.write("HF_TOKEN= hf_secret\n")
    with pytest.raises(InputError, match=r"bash cannot read .*line 4\. Write NAME=value without spaces") as caught:
        read_settings(folder)
    assert "secret" not in str(caught.value)


def test_settings_may_build_on_what_the_shell_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_env(tmp_path / "cluster", ACTIVATE='PATH=$PROJECT_ROOT/$TOOLS:$PATH && source "./$TOOLS/activate"')
    (folder / "bin").mkdir()
    (folder / "bin" / "activate").write_text("whisperprobe() { :; }\n")
    with (folder / ".env.local").open("a") as file:
        file.write("echo a word\nCORPUS=$SCRATCH/corpus\nTOOLS=bin\n")
    with pytest.raises(InputError, match=r"line 5\. SCRATCH is not set in this shell"):
        read_settings(folder)
    monkeypatch.setenv("SCRATCH", "/scratch")
    monkeypatch.setenv("TOOLS", "bin")  # exported before, as for sbatch by hand: it is the file's all the same
    assert read_settings(folder).values["CORPUS"] == "/scratch/corpus"
    assert read_settings(folder).values["TOOLS"] == "bin"
    assert "SCRATCH" not in read_settings(folder).values


@pytest.mark.parametrize(
    ("end", "said"), [(b"A=b\r\n", r"line ends of Windows.*sed -i"), (b"A=caf\xe9\n", r"cannot be read .*UTF-8")]
)
def test_settings_of_other_systems_are_refused(tmp_path: Path, end: bytes, said: str) -> None:
    folder = write_env(tmp_path / "cluster")
    with (folder / ".env.local").open("ab") as file:
        file.write(end)
    with pytest.raises(InputError, match=said):
        read_settings(folder)


def test_no_recipes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no common\.sh there.*--cluster"):
        read_settings(tmp_path)


def test_jobs_take_their_resources_from_recipe_settings_and_caller_in_this_order(
    planned: Plan, settings: ClusterSettings
) -> None:
    assert recipe_resources(CLUSTER / "probe.sbatch")["gres"] == "gpu:1"
    own = ClusterSettings(CLUSTER, {**settings.values, "PROBE_GRES": "gpu:a100:1", "PROBE_MEM": "8G"})
    jobs = {job.stage.name: job for job in plan_jobs(planned, own, resources={"probe.mem": "9G", "probe.tasks": "3"})}
    probe = jobs["probe.base.normal"]
    assert (probe.resources["gres"], probe.resources["mem"], probe.resources["cpus-per-task"]) == (
        "gpu:a100:1",
        "9G",
        "6",
    )
    assert (probe.parts, probe.shards, probe.clips) == (3, 3, 544)
    assert probe.machine == Machine(6, 1)
    fit = jobs["finetune.hfloss.seed-1"]
    assert (fit.clips, fit.machine.gpus, fit.shards) == (2 * 1088, 4, 0)
    flags = render_flags(probe, planned, own, ["7", "8_3"], [0, 2])
    assert "--account=aisc" in flags
    assert "--array=0,2%16" in flags
    assert "--dependency=afterok:7:8_3" in flags
    assert "--export=ALL" in flags
    assert not any(flag.startswith("--qos") for flag in flags)
    table = "\n".join(describe_jobs(tuple(jobs.values()), planned, free=10))
    assert "warning: only 10 B are free there" in table


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ({"probes.mem": "1G"}, "probes.*Did you mean 'probe'"),
        ({"mem": "1G"}, "not of the form RECIPE.OPTION=VALUE"),
        ({"probe.tasks": "many"}, "probe.tasks is 'many'; give a whole number"),
        ({"mask.cpus-per-task": "0"}, "mask.cpus-per-task is '0'; give a whole number"),
        ({"probe.time": "4:30"}, r"probe.time=4:30 leaves no time to work: jobs are told to stop 300 s before"),
    ],
)
def test_resources_that_are_none(
    planned: Plan, settings: ClusterSettings, resources: dict[str, str], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        plan_jobs(planned, settings, resources=resources)


@pytest.mark.parametrize(
    ("resources", "machine"),
    [
        ({"finetune.nodes": "2"}, Machine(48, 8)),
        ({"finetune.gpus": "h100:2"}, Machine(24, 2)),
        ({"finetune.gpus-per-node": "2", "finetune.nodes": "3"}, Machine(72, 6)),
        ({"finetune.gres": "none"}, Machine(24, 0)),
    ],
)
def test_gpus_are_counted_however_they_are_asked_for(
    planned: Plan, settings: ClusterSettings, resources: dict[str, str], machine: Machine
) -> None:
    job = next(job for job in plan_jobs(planned, settings, resources=resources) if job.stage.kind == "finetune")
    assert job.machine == machine


def test_what_is_asked_for_in_another_way_is_not_asked_for_twice(planned: Plan, settings: ClusterSettings) -> None:
    own = ClusterSettings(CLUSTER, {**settings.values, "MASK_MEM_PER_CPU": "2G"})
    mask = plan_jobs(planned, own)[0].resources
    assert "mem" not in mask
    assert mask["mem-per-cpu"] == "2G"


def test_shards_follow_the_work_and_the_parts(planned: Plan, settings: ClusterSettings) -> None:
    def mask(**how: object) -> int:
        return next(job.shards for job in plan_jobs(planned, settings, **how) if job.stage.kind == "mask")  # type: ignore[arg-type]

    assert mask() == 1  # seconds of work: one task
    slow = {("mask", False): (1e6, 1.0)}
    assert mask(factors=slow) == 2  # 17 parts for tasks of 16 cores
    assert mask(factors=slow, resources={"mask.cpus-per-task": "1"}) == 17
    assert mask(resources={"mask.tasks": "100"}) == 17
    assert mask(shards={"mask": 5}) == 5


def test_costs_grow_with_the_model_and_the_clips() -> None:
    tiny, large = model_shape("openai/whisper-tiny"), model_shape("openai/whisper-large-v3")
    assert tiny.parameters == pytest.approx(37.8e6, rel=0.05)  # published: 39 M
    assert large.parameters == pytest.approx(1543e6, rel=0.05)
    assert tiny.operations(6) == pytest.approx(3.7e10, rel=0.25)  # the encoder alone, by hand
    assert model_shape(None, {"d_model": 16, "window_seconds": 2}) == Shape(16, 4, 4, 64, 512, 2.0)


def test_costs_are_proportional_to_clips(planned: Plan) -> None:
    for stage in planned.stages[:-1]:
        one, ten = (expected_cost(stage, Clips(n, 1), Machine(1)) for n in (1000, 10_000))
        assert ten.seconds == pytest.approx(10 * one.seconds)
        assert ten.start == one.start
        assert ten.bytes >= one.bytes
        assert one.scaled(2, 3).seconds == 2 * one.seconds


def test_factors_of_a_machine_come_from_what_its_stages_took(tiny_masked: tuple[Plan, Path]) -> None:
    _, out = tiny_masked
    (timing,) = read_timings(out)
    assert (timing.stage, timing.clips, timing.parts, timing.gpus) == ("mask", 20, 4, 0)
    file = next((out / "timings").glob("*.json"))
    factors = machine_factors(out)
    slower = {**json.loads(file.read_text()), "seconds": 3 * timing.seconds, "bytes": 2 * timing.bytes}
    file.write_text(json.dumps(slower))
    (before,), (after,) = factors.values(), machine_factors(out, out).values()
    assert after == pytest.approx((3 * before[0], 2 * before[1]))
    file.write_text("{}")
    with pytest.raises(InputError, match=r"mask\.json is no record"):
        machine_factors(out)


@pytest.fixture
def tiny_masked(tmp_path: Path) -> tuple[Plan, Path]:
    text = STUDY.replace("SPEECH", str(SPEECH)).replace("rows_per_part = 100", "rows_per_part = 5\nmax_samples = 10")
    (tmp_path / "study.toml").write_text(text)
    out = tmp_path / "out"
    run_study(tmp_path / "study.toml", out, only="mask")
    return plan(tmp_path / "study.toml", out), out


@pytest.fixture
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs that say what files say: squeue.txt and sacct.txt."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("squeue", "sacct"):
        (folder / name).write_text(f"#!/bin/sh\nexec cat {folder}/{name}.txt\n")
        (folder / name).chmod(0o755)
        (folder / f"{name}.txt").touch()
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder


def test_status_joins_disk_queue_and_accounts(
    tiny_masked: tuple[Plan, Path], settings: ClusterSettings, fake_slurm: Path
) -> None:
    planned, out = tiny_masked
    mask = next(job for job in plan_jobs(planned, settings, resources={"mask.tasks": "4"}) if job.stage.kind == "mask")
    assert tasks_left(mask) == []
    for file in (out / "corpus_hfloss" / "failures").glob("*-00001-of-*.parquet"):
        file.unlink()
    assert tasks_left(mask) == [1, 3]
    (out / "slurm" / "logs").mkdir(parents=True)
    (out / "slurm" / "logs" / "mask-9_3.log").touch()
    fit = {"job": 10, "stage": "finetune.normal.seed-1", "shards": 0, "tasks": []}
    rows = [{"job": 9, "stage": "mask", "shards": 4, "tasks": [0, 1, 2, 3]}, fit]
    (out / "slurm" / "jobs.json").write_text(json.dumps(rows))
    (fake_slurm / "squeue.txt").write_text("9|1|RUNNING|None\n10|N/A|PENDING|Dependency\n11|N/A|RUNNING|None\n")
    (fake_slurm / "sacct.txt").write_text("9_0|COMPLETED|0:0\n9_3|OUT_OF_MEMORY|0:125\n9_1|RUNNING|0:0\n")
    assert [task.id for task in live_tasks([9, 10])] == ["9_1", "10"]
    assert ended_badly([9]) == {"9_3": "out of memory, exit code 0"}
    status = {one.name: one for one in study_status(planned)}
    assert (status["mask"].running, status["mask"].progress.parts_done) == (1, 2)
    assert status["finetune.normal.seed-1"].waiting == 1
    (failed,) = status["mask"].failed
    assert failed.startswith("mask task 3: part test-00001-of-00002 (out of memory, exit code 0); log: ")
    lines = "\n".join(describe_status(list(status.values())))
    assert "2/4" in lines
    assert "--resume" in lines


def test_a_stage_whose_clips_failed_is_not_done_though_all_parts_are_written(
    tmp_path: Path, settings: ClusterSettings, fake_slurm: Path
) -> None:
    (tmp_path / "few").mkdir()
    for number in range(4):
        (tmp_path / "few" / f"{number}.wav").write_bytes(b"no sound")
    sound = np.full(1600, 0.1)
    soundfile.write(tmp_path / "few" / "4.wav", sound, 16000)
    text = STUDY.replace("SPEECH", str(tmp_path / "few")).replace("rows_per_part = 100", "rows_per_part = 2")
    (tmp_path / "study.toml").write_text(text)
    with pytest.raises(WorkError, match="4 of 5 clips"):
        run_study(tmp_path / "study.toml", tmp_path / "out", only="mask", shard="0/1")
    planned = plan(tmp_path / "study.toml", tmp_path / "out")
    jobs = plan_jobs(planned, settings)
    mask = study_status(planned)[0]
    assert not mask.progress.done
    assert mask.failed[0].startswith("mask: 4 of 5 clips of split 'train' failed, more than --max-failures 0.05")
    with pytest.raises(WorkError, match=r"stage mask failed: 4 of 5 .*raise max_failures in the study file"):
        submit_jobs(jobs, planned, settings, ["run"], resume=True)
    with pytest.raises(WorkError, match=r"needs .*corpus_normal, which is not finished: 4 of 5 clips"):
        run_study(tmp_path / "study.toml", tmp_path / "out", only="finetune.normal.seed-1")
    (tmp_path / "study.toml").write_text(text.replace("rows_per_part = 2", "rows_per_part = 2\nmax_failures = 0.99"))
    run_study(tmp_path / "study.toml", tmp_path / "out", only="mask")  # the same folder: no result depends on it
    assert study_status(plan(tmp_path / "study.toml", tmp_path / "out"))[0].progress.done


def test_a_damaged_record_of_jobs_is_told(tmp_path: Path) -> None:
    assert read_submitted(tmp_path) == []
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm" / "jobs.json").write_text('[{"job": 9, "stage": "mask", "shards": 4, "tasks": [0]}]')
    assert read_submitted(tmp_path) == [Submitted(9, "mask", 4, (0,))]
    (tmp_path / "slurm" / "jobs.json").write_text("[{")
    with pytest.raises(InputError, match=r"jobs\.json cannot be read"):
        read_submitted(tmp_path)


def test_the_command_tells_wrong_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_env(tmp_path / "cluster")
    (tmp_path / "study.toml").write_text(STUDY.replace("SPEECH", str(SPEECH)))
    monkeypatch.chdir(tmp_path)
    call = ["submit", "study.toml", "--cluster", str(folder)]
    assert run_app(app, [*call, "--status", "--cancel"]) == 2
    assert "different requests" in capsys.readouterr().err
    monkeypatch.setenv("PATH", "/usr/bin:/bin" if not Path("/usr/bin/sbatch").exists() else str(no_slurm(tmp_path)))
    assert run_app(app, call) == 2
    assert "there is no sbatch here" in capsys.readouterr().err


def no_slurm(folder: Path) -> Path:
    """A PATH with bash and little else."""
    there = folder / "tools"
    there.mkdir()
    for name in ("bash", "env"):
        (there / name).symlink_to(f"/usr/bin/{name}")
    return there


def test_a_stage_alone_needs_what_comes_before_it(planned: Plan, settings: ClusterSettings, fake_slurm: Path) -> None:
    assert fake_slurm.is_dir()
    fits = [job for job in plan_jobs(planned, settings) if job.stage.kind == "finetune"]
    with pytest.raises(InputError, match=r"stage finetune\.normal\.seed-1 needs stage mask, which is neither finished"):
        submit_jobs(fits, planned, settings, ["run", "study.toml"])
