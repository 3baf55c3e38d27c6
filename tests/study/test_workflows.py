"""The workflows of the forge: they name what exists, ask for no more than they need, and hold a release to its tag."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in ROOT.glob(".github/workflows/*.yml")
}
STEPS = [
    (name, job, step) for name, one in WORKFLOWS.items() for job, has in one["jobs"].items() for step in has["steps"]
]
SCRIPTS = [(f"{name}-{job}-{i}", step["run"]) for i, (name, job, step) in enumerate(STEPS) if "run" in step]


def check_release() -> Any:
    spec = importlib.util.spec_from_file_location("check_release", ROOT / "scripts" / "check_release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


problems = check_release().problems


def test_there_are_two() -> None:
    assert set(WORKFLOWS) == {"ci", "release"}
    assert WORKFLOWS["release"][True]["push"] == {"tags": ["v*"]}  # YAML reads `on` as true
    assert any("bash .ci/run" in text for _, text in SCRIPTS)


@pytest.mark.parametrize("text", [text for _, text in SCRIPTS], ids=[name for name, _ in SCRIPTS])
def test_what_they_run_exists_and_is_bash(text: str) -> None:
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    for path in re.findall(r"(?<![\w/$\"])((?:scripts|tests|src|\.ci)/[\w./-]+|constraints\.txt)", text):
        assert (ROOT / path).exists(), path


def test_the_gate_runs_where_its_packages_are_what_they_say() -> None:
    """On Debian, with what its image lacks, an init for Slurm's daemons, and git trusting the checkout."""
    gate = WORKFLOWS["ci"]["jobs"]["gate"]
    assert gate["container"]["image"] == "debian:12"
    assert {"--init", "--cap-add=SYS_ADMIN"} <= set(gate["container"]["options"].split())
    installing, checkout, trusting, running = gate["steps"]
    assert {"git", "python3", "python3-dev", "python3-venv"} <= set(installing["run"].split())
    assert checkout["uses"].startswith("actions/checkout@")
    assert 'safe.directory "$GITHUB_WORKSPACE"' in trusting["run"]
    assert running["run"] == "bash .ci/run"


def test_actions_are_of_a_fixed_version_and_rights_are_few() -> None:
    for _, _, step in STEPS:
        assert ("run" in step) != ("uses" in step)
        assert re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|release/v\d+)", step.get("uses", "actions/none@v1"))
    assert all(one["permissions"] == {"contents": "read"} for one in WORKFLOWS.values())
    jobs = WORKFLOWS["release"]["jobs"]
    assert [name for name, job in jobs.items() if "permissions" in job] == ["publish"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert set(jobs["publish"]["needs"]) == {"build", "try"}
    assert "github.ref_type == 'tag'" in jobs["publish"]["if"]
    assert all(job["timeout-minutes"] <= 60 for one in WORKFLOWS.values() for job in one["jobs"].values())


@pytest.mark.parametrize("name", ["audiogram", "whisperprobe"])
def test_wheels_are_tried_on_every_python_that_is_promised(name: str) -> None:
    project = tomllib.loads((ROOT / "src" / name / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    promised = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert WORKFLOWS["release"]["jobs"]["try"]["strategy"]["matrix"]["python"] == promised
    assert project["requires-python"] == f">={promised[0]}"


BUILT = [f"{name}-1.2.0{end}" for name in ("audiogram", "whisperprobe") for end in ("-py3-none-any.whl", ".tar.gz")]


@pytest.fixture
def released(tmp_path: Path) -> Path:
    for name in ("audiogram", "whisperprobe"):
        (tmp_path / "src" / name).mkdir(parents=True)
        (tmp_path / "src" / name / "CHANGELOG.md").write_text(
            "# Changelog\n\n## 1.2.0 (2027-01-31)\n\n- New.\n\n## 1.1.0\n"
        )
    (tmp_path / "CITATION.cff").write_text("cff-version: 1.2.0\nversion: 1.2.0\n")
    return tmp_path


def test_a_release_that_agrees_with_itself(released: Path) -> None:
    assert problems("v1.2.0", BUILT, released) == []


def test_a_tag_that_is_not_the_version(released: Path) -> None:
    found = problems("v1.3.0", BUILT, released)
    assert len(found) == 5  # two packages, two changelogs, the citation
    assert "set __version__ of audiogram" in found[0]
    assert problems("1.2.0", BUILT, released) == ["the tag '1.2.0' is no version: v1.2.3, or v1.2.3rc1 for a candidate"]


def test_a_changelog_that_is_not_closed_and_a_wheel_too_many(released: Path) -> None:
    (released / "src" / "audiogram" / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.0 (unreleased)\n")
    found = problems("v1.2.0", [*BUILT, "audiogram-1.1.0.tar.gz"], released)
    assert [re.search(r"audiogram-1\.1\.0|unreleased", one)[0] for one in found] == ["audiogram-1.1.0", "unreleased"]


def test_a_candidate_needs_no_date(released: Path) -> None:
    (released / "src" / "audiogram" / "CHANGELOG.md").write_text("# Changelog\n\n## 1.3.0 (unreleased)\n")
    (released / "CITATION.cff").write_text("version: 1.3.0rc1\n")
    assert problems("v1.3.0rc1", [one.replace("1.2.0", "1.3.0rc1") for one in BUILT], released) == []
