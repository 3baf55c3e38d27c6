"""What is built is what is to ship: from a copy without git, with caches lying about, and from the sdist again."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("audiogram", "whisperprobe")


def script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check = script("check_distributions")


def build(project: Path, out: Path, *targets: str) -> None:
    command = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "-d",
        str(out),
        *(part for one in targets for part in ("-t", one)),
    ]
    subprocess.run(command, cwd=project, check=True, capture_output=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distributions")
    for name in PACKAGES:
        project = folder / name
        shutil.copytree(ROOT / "src" / name, project, ignore=shutil.ignore_patterns("*.egg-info", "dist"))
        for left in ("__pycache__/cli.cpython-311.pyc", "kernels/__pycache__/x.nbi"):
            (project / name / left).parent.mkdir(parents=True, exist_ok=True)
            (project / name / left).write_bytes(b"left by a run")
        build(project, folder / "dist", "sdist", "wheel")
    return folder / "dist"


def files(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as opened:
        return {name for name in opened.namelist() if not name.endswith("RECORD")}


@pytest.mark.parametrize("name", PACKAGES)
def test_wheel_and_sdist_hold_what_must_ship_and_nothing_else(built: Path, name: str) -> None:
    [wheel], [sdist] = list(built.glob(f"{name}-*.whl")), list(built.glob(f"{name}-*.tar.gz"))
    assert check.problems_of_wheel(wheel) == []
    assert check.problems_of_sdist(sdist) == []


@pytest.mark.parametrize("name", PACKAGES)
def test_every_file_of_the_package_is_in_the_wheel(built: Path, name: str) -> None:
    listed = subprocess.run(
        ["git", "ls-files", name], cwd=ROOT / "src" / name, capture_output=True, text=True, check=True
    )
    tracked = {line for line in listed.stdout.splitlines() if (ROOT / "src" / name / line).is_file()}
    assert len(tracked) > 50
    assert tracked <= files(next(built.glob(f"{name}-*.whl")))


@pytest.mark.parametrize("name", PACKAGES)
def test_the_sdist_alone_builds_the_same_wheel(built: Path, name: str, tmp_path: Path) -> None:
    with tarfile.open(next(built.glob(f"{name}-*.tar.gz"))) as sdist:
        sdist.extractall(tmp_path, filter="data")
    build(next(tmp_path.iterdir()), tmp_path / "again", "wheel")
    first, again = next(built.glob(f"{name}-*.whl")), next((tmp_path / "again").glob("*.whl"))
    assert files(first) == files(again)


def test_what_must_not_ship_is_found(built: Path, tmp_path: Path) -> None:
    wheel = tmp_path / next(built.glob("audiogram-*.whl")).name
    shutil.copy(next(built.glob("audiogram-*.whl")), wheel)
    with zipfile.ZipFile(wheel, "a") as opened:
        opened.writestr("audiogram/tests/test_x.py", "")
        opened.writestr("audiogram/kernels/__pycache__/a.nbi", "")
        opened.writestr("benchmarks/x.py", "")
    assert check.problems_of_wheel(wheel) == [
        f"{wheel.name}: benchmarks/x.py is neither of audiogram nor metadata",
        f"{wheel.name}: audiogram/tests/test_x.py must not ship",
        f"{wheel.name}: audiogram/kernels/__pycache__/a.nbi must not ship",
    ]


def test_what_is_missing_is_found(built: Path, tmp_path: Path) -> None:
    whole = next(built.glob("whisperprobe-*.whl"))
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(tmp_path / whole.name, "w") as new:
        for name in old.namelist():
            if not name.endswith(("py.typed", "page.html.j2")):
                new.writestr(name, old.read(name))
    found = check.problems_of_wheel(tmp_path / whole.name)
    assert [one.split(": ")[1] for one in found] == [
        "whisperprobe/py.typed is missing",
        "whisperprobe/report/templates/page.html.j2 is missing",
    ]


def test_a_readme_that_needs_the_repository_is_found() -> None:
    said = "Summary: s\nLicense-Expression: x\nRequires-Python: >=3.11\nAuthor: a\nKeywords: k\n"
    said += "Description-Content-Type: text/markdown\n\n" + "Words. " * 100
    assert check.problems_of_metadata(said) == []
    assert check.problems_of_metadata(said + "[page](https://example.org/a) `[x](y)`") == []
    assert check.problems_of_metadata(said + "![x](../../docs/x.png)") == [
        "the README links to ../../docs/x.png, which PyPI has not"
    ]
    assert "the metadata has no Keywords" in check.problems_of_metadata(said.replace("Keywords: k\n", ""))
