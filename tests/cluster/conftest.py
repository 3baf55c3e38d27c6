"""A real Slurm on this machine, for as long as the tests run: controller, node and munge in a folder of their own."""

from __future__ import annotations

import getpass
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import whisperprobe

ROOT = Path(__file__).parents[2]
SPEECH = Path(whisperprobe.__file__).parent / "demo" / "speech"
DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "shellcheck")
PARTITION = "aisc-batch"

CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1,sched_min_interval=0
MpiDefault=none
ReturnToService=2
MinJobAge=3600
KillWait=5
GresTypes=gpu
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000 Gres=gpu:4 State=UNKNOWN
PartitionName={partition} Nodes=ALL Default=NO MaxTime=INFINITE State=UP
PartitionName=idle Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def until(true: Callable[[], object], what: str, seconds: float = 120.0) -> None:
    """Wait for an event; where it does not come, fail and show the queue and the logs."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            queue = subprocess.run(["squeue", "--array"], capture_output=True, text=True).stdout
            pytest.fail(f"waited {seconds:g} s for: {what}\n{queue}")
        time.sleep(0.1)


@pytest.fixture(scope="session", autouse=True)
def slurm() -> Iterator[Path]:
    """Start a Slurm of one node with two cores and four GPUs that are none; stop it in the end."""
    missing = [name for name in DAEMONS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if missing:
        pytest.fail(
            f"no {', '.join(missing)}: these tests need a real Slurm (apt-get install slurm-wlm munge shellcheck)."
        )
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: the path of a socket has 107 characters at most
    os.environ["PATH"] += ":/usr/sbin"
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    for name in [name for name in os.environ if name.startswith("SBATCH_")]:
        del os.environ[name]
    for name in ("state", "spool", "gpus"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    for number in range(4):
        (folder / "gpus" / f"gpu{number}").touch()
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpus/gpu[0-3]\n")
    # asked for by name, this one looks for no cgroups; containers have none that may be written, and none is used
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    host = socket.gethostname().partition(".")[0]
    text = CONF.format(host=host, user=getpass.getuser(), folder=folder, ports=_free_ports(2), partition=PARTITION)
    (folder / "slurm.conf").write_text(text)
    munge = [f"--{name}={folder}/munge.{end}" for name, end in (("key-file", "key"), ("socket", "socket"))]
    munge += [f"--{name}={folder}/munged.{end}" for name, end in (("pid-file", "pid"), ("log-file", "log"))]
    try:
        subprocess.run(["munged", "--force", f"--seed-file={folder}/munged.seed", *munge], check=True)
        until(lambda: (folder / "munge.socket").exists(), "munged")
        subprocess.run(["slurmctld", "-c", "-f", folder / "slurm.conf"], check=True)
        subprocess.run(["slurmd", "-c", "-f", folder / "slurm.conf"], check=True)
        until(lambda: "idle" in _said("sinfo", "--noheader", "--format=%T"), "an idle node", 60)
        yield folder
    finally:
        subprocess.run(["scancel", f"--user={getpass.getuser()}"], capture_output=True)
        for name in ("slurmd", "slurmctld", "munged"):
            _stop(folder / f"{name}.pid")
        shutil.rmtree(folder, ignore_errors=True)


def _said(*call: str) -> str:
    return subprocess.run(call, capture_output=True, text=True).stdout


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def _stop(file: Path) -> None:
    if file.is_file():
        number = int(file.read_text())
        os.kill(number, signal.SIGTERM)
        until(lambda: not Path(f"/proc/{number}").exists(), f"the end of {file.stem}", 30)


@dataclass
class Cluster:
    """A researcher's folder on the cluster: recipes, settings, results."""

    home: Path

    @property
    def recipes(self) -> Path:
        return self.home / "cluster"

    @property
    def results(self) -> Path:
        return self.home / "results"

    @property
    def gate(self) -> Path:
        """While this file exists, the filter `gate` lets no clip through."""
        return self.home / "gate"

    def configure(self, **values: str) -> None:
        """Write .env.local."""
        activate = f"export PATH={Path(sys.executable).parent}:$PATH PYTHONPATH={Path(__file__).parent / 'gate'}"
        settings = {
            "PROJECT_ROOT": str(ROOT), "RESULTS_DIR": str(self.results), "CORPUS": str(self.home / "speech"),
            "SBATCH_ACCOUNT": "aisc", "SBATCH_PARTITION": PARTITION, "SBATCH_QOS": "",
            "ACTIVATE": f'{activate} GATE="{self.gate}" OMP_NUM_THREADS=1', "HF_TOKEN": "hf_secret", "TELL_EVERY": "1",
        }  # fmt: skip
        for recipe in ("MASK", "FINETUNE", "PROBE", "LDL", "COMPARE", "REPORT"):
            settings |= {f"{recipe}_CPUS_PER_TASK": "1", f"{recipe}_MEM": "1G", f"{recipe}_GRES": "none"}
        lines = [f"{name}='{value}'" for name, value in (settings | values).items()]
        (self.recipes / ".env.local").write_text("\n".join([*lines, ""]))

    def write_study(self, text: str) -> Path:
        """Write the study file."""
        file = self.home / "study.toml"
        file.write_text(text)
        return file

    def submit(self, *words: str, code: int = 0) -> str:
        """Call `whisperprobe submit study.toml`; return all that it says."""
        call = [sys.executable, "-m", "whisperprobe", "submit", "study.toml", *words]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent / "gate"), "GATE": str(self.gate)}
        ended = subprocess.run(call, cwd=self.home, capture_output=True, text=True, env=environment)
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    def sbatch(self, *words: str, **environment: str) -> int:
        """Submit a recipe by hand, as somebody who has exported .env.local."""
        script = 'set -a; source ./.env.local; set +a; exec sbatch --parsable "$@"'
        call = ["bash", "-c", script if (self.recipes / ".env.local").exists() else script.partition("; ")[2]]
        call = call if (self.recipes / ".env.local").exists() else ["bash", "-c", 'exec sbatch --parsable "$@"']
        ended = subprocess.run(
            [*call, "bash", *words], cwd=self.recipes, capture_output=True, text=True, env={**os.environ, **environment}
        )
        assert ended.returncode == 0, ended.stderr
        return int(ended.stdout.strip())

    def jobs(self, out: str) -> dict[str, int]:
        """Number of the newest job of each stage of a submitted study."""
        return {row["stage"]: row["job"] for row in json.loads((self.results / out / "slurm/jobs.json").read_text())}

    def wait(self, job: int | str, *, seconds: float = 150.0) -> str:
        """Wait until a job, or all tasks of an array, has ended; return the states, e.g. ``COMPLETED``."""
        ended = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")
        until(lambda: all(s.startswith(ended) for s in self.states(job)), f"the end of job {job}", seconds)
        return " ".join(sorted(set(self.states(job))))

    def states(self, job: int | str) -> list[str]:
        """States of a job and of its array's tasks, as the controller has them."""
        said = _said("scontrol", "show", "job", "--oneliner", str(job))
        return [word.partition("=")[2] for word in said.split() if word.startswith("JobState=")]

    def until(self, true: Callable[[], object], what: str, seconds: float = 120.0) -> None:
        """Wait for an event, and fail where it does not come."""
        until(true, what, seconds)

    def logs(self) -> str:
        """What all jobs said, here and in the results."""
        files = sorted([*self.recipes.glob("*.log"), *self.results.glob("*/slurm/logs/*.log")])
        return "\n".join(f"--- {file.name}\n{file.read_text()}" for file in files)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Recipes, settings and speech in a folder of this test's own; no job outlives the test."""
    made = Cluster(tmp_path / "forêt, nord")  # what shells and sbatch might cut
    shutil.copytree(ROOT / "cluster", made.recipes, ignore=shutil.ignore_patterns(".env.local", "*.log"))
    made.results.mkdir()
    shutil.copytree(SPEECH, made.home / "speech")
    made.configure()
    yield made
    made.gate.unlink(missing_ok=True)
    subprocess.run(["scancel", f"--user={getpass.getuser()}"], capture_output=True)
    until(lambda: not _said("squeue", "--noheader"), "an empty queue", 60)
