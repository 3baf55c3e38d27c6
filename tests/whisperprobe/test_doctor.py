"""`doctor`: what it says of this machine, and of one where something stands in the way."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

import pytest

from audiogram.console import run_app
from whisperprobe import doctor
from whisperprobe.cli import app
from whisperprobe.doctor import EXTRAS, NEEDED, Finding, examine
from whisperprobe.doctor_page import described, exit_code

PYPROJECT = Path(__file__).parents[2] / "src" / "whisperprobe" / "pyproject.toml"


@pytest.fixture(scope="module")
def healthy() -> list[Finding]:
    return examine()


def distribution(folder: Path, name: str, version: str) -> None:
    """Put the metadata of a distribution where the interpreter finds it first."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")


def started_with(
    folder: Path, *command: str, stdout: int | IO[str] = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    call = [sys.executable, "-m", "whisperprobe", *command]
    streams: dict[str, Any] = {"stdout": stdout, "stderr": subprocess.PIPE, "text": True}
    return subprocess.run(call, check=False, env=environment, cwd=folder, **streams)


def checked_with(folder: Path, check: str) -> Finding:
    """Run one check where a folder's packages come first."""
    code = f"import json; from whisperprobe import doctor; print(json.dumps(doctor.{check}()[0].to_dict()))"
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return Finding(**json.loads(done.stdout))


def test_where_all_is_well_nothing_is_wrong(healthy: list[Finding]) -> None:
    assert [one for one in healthy if one.state == "wrong"] == []
    assert {"python", "audiogram", "packages", "torchaudio", "gpu", "sound", "filters", "disk", "machine"} <= {
        one.check for one in healthy
    }
    assert exit_code(healthy) == 0
    notes = any(one.state == "note" for one in healthy)
    assert described(healthy).endswith("Ready, but for what the notes say." if notes else "\n\nReady.")
    assert json.loads(described(healthy, as_json=True))[0]["check"] == "python"


def test_the_command_prints_colours_on_a_terminal_only_and_json(
    healthy: list[Finding], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: [*healthy, Finding("sound", "wrong", "no FLAC", "Mend it.")])
    assert run_app(app, ["doctor"]) == 1
    plain = capsys.readouterr().out
    assert "\x1b" not in plain
    assert run_app(app, ["doctor", "--json", "--quiet"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found[-1] == {"check": "sound", "state": "wrong", "found": "no FLAC", "remedy": "Mend it."}
    coloured = described(doctor.examine(), coloured=True) + "\n"
    assert "\x1b[31;1mWRONG\x1b[0m  sound" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_it_knows_every_dependency_of_the_package() -> None:
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    needed = {Requirement(one).name for one in project["dependencies"]} - {"audiogram"}
    assert needed <= set(NEEDED)
    for package, extra in EXTRAS.items():
        assert package in {Requirement(one).name for one in project["optional-dependencies"][extra]}


def test_another_torchaudio_is_named_with_the_one_that_fits(tmp_path: Path) -> None:
    distribution(tmp_path, "torchaudio", "2.9.0")
    found = checked_with(tmp_path, "torch_and_torchaudio")
    assert (found.state, "torchaudio 2.9.0" in found.found) == ("wrong", True)
    fitting = importlib.metadata.version("torch").split("+")[0]
    assert f"pip install torchaudio=={fitting}" in found.remedy


def test_a_whisper_that_cannot_be_imported_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "transformers").mkdir()
    (tmp_path / "transformers" / "__init__.py").write_text("raise OSError('undefined symbol: aoti')")
    found = checked_with(tmp_path, "torch_and_torchaudio")
    assert found.state == "wrong"
    assert "undefined symbol: aoti" in found.found


def test_sound_without_mp3_is_a_note_and_without_a_library_wrong(tmp_path: Path) -> None:
    (tmp_path / "soundfile.py").write_text(
        "__libsndfile_version__ = '1.0.28'\nimport io\n"
        "def write(file, x, rate, format, subtype):\n"
        "    if format == 'MP3': raise ValueError('Unknown format')\n    file.write(b'0')\n"
        "def read(file): return file.read(), 1\n"
    )
    found = checked_with(tmp_path, "sound_libraries")
    assert found.state == "note"
    assert found.found.endswith("libsndfile 1.0.28 without MP3")
    assert "pip install --force-reinstall soundfile" in found.remedy
    assert "Common Voice" in found.remedy
    (tmp_path / "soundfile.py").write_text("raise OSError('sndfile library not found')")
    found = checked_with(tmp_path, "sound_libraries")
    assert found.state == "wrong"
    assert "sndfile library not found" in found.found


def test_the_unrelated_audiogram_is_found_where_nothing_else_starts(tmp_path: Path) -> None:
    (tmp_path / "audiogram").mkdir()
    (tmp_path / "audiogram" / "__init__.py").write_text("__version__ = '0.1.0'\n", encoding="utf-8")
    distribution(tmp_path, "audiogram", "0.1.0")
    done = started_with(tmp_path, "doctor")
    assert done.returncode == 1
    assert "unrelated package of the same name: pip uninstall audiogram" in " ".join(done.stdout.split())
    other = started_with(tmp_path, "demo")
    assert other.returncode == 1
    assert "Traceback" not in other.stderr
    assert "pip uninstall audiogram" in other.stderr
    assert "whisperprobe doctor" in other.stderr


@pytest.mark.parametrize("unrelated", [False, True])
def test_findings_that_find_no_room_are_an_error_of_one_line(tmp_path: Path, unrelated: bool) -> None:
    if unrelated:
        (tmp_path / "audiogram").mkdir()
        (tmp_path / "audiogram" / "__init__.py").touch()
    with open("/dev/full", "w") as full:
        done = started_with(tmp_path, "doctor", "--json", stdout=full)
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot write to standard output: No space left on device.")
    assert done.stderr.count("\n") == 1


def test_a_folder_that_hides_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "audiogram").mkdir()
    monkeypatch.setattr(doctor, "location", lambda _: tmp_path / "audiogram")
    (found,) = doctor.audiogram_package()
    assert found.state == "wrong"
    assert "hides the package" in found.remedy


@pytest.mark.parametrize(
    ("version", "state"), [((3, 10, 1), "wrong"), ((3, 11, 0), "ok"), ((3, 13, 9), "ok"), ((3, 14, 0), "note")]
)
def test_pythons(monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...], state: str) -> None:
    monkeypatch.setattr(doctor.sys, "version_info", version)
    assert doctor.python_version()[0].state == state


def test_a_missing_package_and_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = doctor.version_of
    monkeypatch.setattr(doctor, "version_of", lambda name: None if name in ("jiwer", "soxr") else real(name))
    (found,) = doctor.packages()
    assert found.state == "wrong"
    assert "soxr, jiwer" in found.found
    monkeypatch.setattr(doctor, "version_of", lambda name: None if name == "peft" else "1.0")
    assert doctor.packages()[1].remedy == "Where wanted: pip install 'whisperprobe[lora]'"
    monkeypatch.setattr(doctor, "version_of", lambda name: None if name == "torchaudio" else "2.11.0+cpu")
    assert doctor.packages()[1].remedy == "Where wanted: pip install 'whisperprobe[align]' torchaudio==2.11.0"


def test_little_room_is_noted_with_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 2e9

    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: Usage)
    monkeypatch.setattr(doctor, "memory", lambda: 2.0)
    found = doctor.room()
    assert {one.state for one in found} == {"note"}
    assert any("TMPDIR" in one.remedy for one in found)


def test_broken_filters_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "output", lambda _: "attenuation\taudiogram\tavailable\nodd\todd-filters\tbroken: x")
    (found,) = doctor.filter_plugins()
    assert found.state == "note"
    assert found.found == "odd of odd-filters: broken: x"


def test_folders_that_are_nowhere_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise FileNotFoundError("nowhere")

    def nobody() -> Path:
        raise RuntimeError("nobody's home")

    monkeypatch.delenv("HF_HOME", raising=False)
    monkeypatch.setattr(Path, "cwd", nowhere)
    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    monkeypatch.setattr(Path, "home", nobody)
    found = [f for f in doctor.room() if f.check == "disk"]
    assert [f.state for f in found] == ["wrong"] * 3
    assert [f.found for f in found] == [
        "no folder for here: nowhere",
        "no folder for temporary files: nowhere",
        "no folder for models: nobody's home",
    ]
    assert all(f.remedy for f in found)
    monkeypatch.setenv("HF_HOME", str(Path(__file__).parent))
    assert doctor.room()[2].state in ("ok", "note")
