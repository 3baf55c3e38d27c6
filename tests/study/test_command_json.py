"""`--json` prints one JSON document and nothing else, `--quiet` or not; `--quiet` leaves errors and warnings only."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

import audiogram.cli
import whisperprobe.cli
from audiogram import preset, presets
from audiogram.command_options import print_json
from audiogram.console import run_app
from whisperprobe.study import StudyResult, run_study

APPS = {"audiogram": audiogram.cli.app, "whisperprobe": whisperprobe.cli.app}
TESTED = {  # commands with --json, by what tests them
    "here": {
        "audiogram presets", "audiogram show", "audiogram filters", "audiogram mask", "whisperprobe run",
        "whisperprobe demo", "whisperprobe plan", "whisperprobe submit", "whisperprobe finetune", "whisperprobe probe",
        "whisperprobe compare", "whisperprobe verify", "whisperprobe commonvoice import",
    },
    "test_doctor.py": {"whisperprobe doctor"},
    "test_ldl_cli.py": {"whisperprobe ldl train", "whisperprobe ldl evaluate"},
}  # fmt: skip


class Printed:
    """Runs commands and reads what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.err = ""

    def __call__(self, *call: object, code: int = 0) -> Any:
        program, *arguments = [str(one) for one in call]
        assert run_app(APPS[program], [*arguments, "--json"]) == code
        out, self.err = self._capsys.readouterr()
        return json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    return Printed(capsys)


@pytest.fixture
def results(finished: StudyResult) -> Path:
    return finished.out


def test_every_command_with_json_is_tested() -> None:
    def below(path: str, command: Any) -> set[str]:
        found = {path for one in command.params if "--json" in one.opts}
        return found.union(
            *(below(f"{path} {name}", child) for name, child in getattr(command, "commands", {}).items())
        )

    everything = set().union(*(below(name, typer.main.get_command(app)) for name, app in APPS.items()))
    assert everything == set().union(*TESTED.values())


def test_numbers_that_json_has_not_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [math.nan, np.float32(0.5), np.int64(3), math.inf], "b": Path("x"), "c": (True, None, "é")})
    assert json.loads(capsys.readouterr().out) == {"a": [None, 0.5, 3, None], "b": "x", "c": [True, None, "é"]}


def test_presets_filters_and_ears(printed: Printed) -> None:
    found = printed("audiogram", "presets", "--quiet")
    assert [one["name"] for one in found] == list(presets())
    assert found[2] == {
        "name": "hfloss", "pta4_dbhl": preset("hfloss").pta(), "grade": "moderately severe",
        "sii_at_65_dbspl": pytest.approx(0.19, abs=0.005),
    }  # fmt: skip
    assert {"attenuation", "msbg"} <= {one["name"] for one in printed("audiogram", "filters")}
    assert all(one["state"] == "available" for one in printed("audiogram", "filters", "--quiet"))
    assert printed("audiogram", "show", "hfloss", "--quiet")["thresholds"] == list(preset("hfloss").thresholds)


def test_mask_and_verify(printed: Printed, tiny_study: Path, tmp_path: Path) -> None:
    speech, out = tiny_study.parent / "speech", tmp_path / "out"
    plan = printed("audiogram", "mask", speech, out, "-c", "hfloss", "--dry-run")
    assert (plan["rows"], plan["left"], plan["folders"]) == ({"train": 12}, 12, {"hfloss": f"{out}_hfloss"})
    assert plan["bytes"]["hfloss"] > 1000
    assert not Path(f"{out}_hfloss").exists()
    assert printed("audiogram", "mask", speech, out, "-c", "hfloss", "--quiet") == {"hfloss": f"{out}_hfloss"}
    found = printed("whisperprobe", "verify", f"{out}_hfloss")
    assert (found["sound"], found["rows_in"], found["decoded"], found["problems"]) == (True, 12, 12, [])
    assert [link["stage"] for link in found["chain"]][-1] == "mask"
    next(Path(f"{out}_hfloss", "data").iterdir()).unlink()
    damaged = printed("whisperprobe", "verify", f"{out}_hfloss", "--quiet", code=1)
    assert not damaged["sound"]
    assert len(damaged["problems"]) >= 1
    assert printed.err.startswith("error: ")  # --quiet keeps errors


def test_a_study(printed: Printed, tiny_study: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = printed("whisperprobe", "run", tiny_study, "--out", results, "--quiet")
    assert (found["results"], found["report"]) == (str(results), str(results / "report.html"))
    assert any("base model" in one or "unadapted" in one for one in found["findings"])
    assert {stage["kind"] for stage in printed("whisperprobe", "plan", tiny_study)["stages"]} >= {"mask", "probe"}

    monkeypatch.setattr("whisperprobe.study.run_study", lambda _, out: run_study(tiny_study, out))
    assert printed("whisperprobe", "demo", "--out", results)["findings"] == found["findings"]


def test_compare(printed: Printed, results: Path, tmp_path: Path) -> None:
    runs = sorted((results / "seed-1" / "probes" / "base").iterdir())
    found = printed("whisperprobe", "compare", *runs, "--resamples", "200", "--out", tmp_path / "c", "--quiet")
    assert found["folder"] == str(tmp_path / "c")
    assert {"correct", "word_surprisal"} <= {one["measure"] for one in found["cells"]}
    assert found["findings"]
    assert all(one["low"] is None or one["low"] <= one["mean"] <= one["high"] for one in found["cells"])


def test_finetune_and_probe(printed: Printed, tiny_study: Path, results: Path, tmp_path: Path) -> None:
    speech, model = tiny_study.parent / "speech", next((results / "seed-1" / "models").iterdir())
    pattern = ["--text-pattern", r"(?P<text>[a-z]+)_(?P<voice>[a-z]+)"]
    call = ["whisperprobe", "finetune", speech, "--model", model, "--out", tmp_path / "m", "--max-steps", "1", *pattern]
    found = printed(*call, "--no-evaluate", "--batch-size", "4", "--quiet")
    assert (found["path"], found["steps"], found["step"]) == (str(tmp_path / "m"), 1, 1)
    call = ["whisperprobe", "probe", speech, "--model", model, "--out", tmp_path / "p", "--splits", "train", *pattern]
    found = printed(*call, "--padding", "trimmed", "--margin", "0.1", "--agreement", "4", "--top-k", "0")
    assert found["probes"] == str(tmp_path / "p")
    assert found["agreement"]["clips"] == 4


def test_import(printed: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Report:
        rows_in, rows_out, failed = 5, 4, 1

    monkeypatch.setattr("whisperprobe.corpora.release_import.import_release", lambda *_, **__: Report)
    found = printed("whisperprobe", "commonvoice", "import", "release.tar.gz", tmp_path)
    assert found == {"corpus": str(tmp_path), "rows_in": 5, "rows_out": 4, "failed": 1}


def test_submit(printed: Printed, tiny_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "common.sh").touch()
    for recipe in (Path(__file__).parents[2] / "cluster").glob("*.sbatch"):
        (tmp_path / recipe.name).write_text(recipe.read_text(encoding="utf-8"), encoding="utf-8")
    given = {"PROJECT_ROOT": tmp_path, "RESULTS_DIR": tmp_path, "ACTIVATE": "whisperprobe() { :; }"}
    (tmp_path / ".env.local").write_text("".join(f"{k}='{v}'\n" for k, v in given.items()), encoding="utf-8")
    call = ["whisperprobe", "submit", tiny_study, "--cluster", tmp_path, "--quiet"]
    found = printed(*call, "--dry-run")
    assert found["jobs"][0]["stage"] == "mask"
    assert found["totals"]["seconds"] > 0
    assert found["totals"]["bytes_free"] > 0
    assert found["submitted"] == {}
    monkeypatch.setattr("whisperprobe.slurm_queue.require_slurm", lambda: None)
    stages = printed(*call, "--status")["stages"]
    assert [stage["name"] for stage in stages] == [job["stage"] for job in found["jobs"]]
    assert not any(stage["progress"]["done"] for stage in stages)
    assert printed(*call, "--cancel") == {"cancelled": {}}


@pytest.mark.parametrize(
    "call",
    [
        ["audiogram", "presets"], ["audiogram", "show", "hfloss"], ["audiogram", "filters"],
        ["whisperprobe", "plan", "STUDY"], ["whisperprobe", "verify", "CORPUS"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_quiet_says_nothing_where_all_is_well(
    call: list[str], tiny_study: Path, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = {"STUDY": str(tiny_study), "CORPUS": str(results / "seed-1" / "probes" / "base" / "normal")}
    program, *arguments = [filled.get(one, one) for one in call]
    assert run_app(APPS[program], [*arguments, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("words", [[], ["--json"]], ids=["for people", "for scripts"])
def test_a_plan_that_finds_no_room_is_an_error(tiny_study: Path, words: list[str]) -> None:
    with open("/dev/full", "w") as full:
        call = [sys.executable, "-m", "whisperprobe", "plan", str(tiny_study), *words]
        done = subprocess.run(call, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot write to standard output: No space left on device.")
    assert done.stderr.count("\n") == 1
