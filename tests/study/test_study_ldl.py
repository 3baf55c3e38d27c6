"""The second listener in a study: lexicons per cues and condition, beside Whisper, over the same clips."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import whisperprobe
from audiogram.console import run_app
from audiogram.errors import InputError, WorkError
from whisperprobe import ldl
from whisperprobe.cli import app
from whisperprobe.study import Plan, Study, StudyResult, plan, run_study

MODEL = Path(whisperprobe.__file__).parent / "demo" / "model"
STUDY = """
name = "both"

[corpus]
source = "speech"
text_pattern = '(?P<text>[a-z]+)_(?P<voice>[a-z]+)'
split = { column = "voice", test = ["cat"], validation = 0 }

[conditions]
use = ["hfloss", "normal"]

[model]
base = "MODEL"

[probe]
top_k = 5

[ldl]
cues = ["cfbsf", "log-mel"]
rate = 0.5
epochs = 3

[compare]
resamples = 200
"""
LABELS = [f"ldl-{cues}-{condition}" for cues in ("cfbsf", "log-mel") for condition in ("hfloss", "normal")]


@pytest.fixture(scope="module")
def study(tiny_study: Path) -> Path:
    """A study of both listeners, with the recordings of the tiny study."""
    file = tiny_study.parent / "both.toml"
    file.write_text(STUDY.replace("MODEL", str(MODEL)), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def finished(study: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    """Run it once."""
    return run_study(study, tmp_path_factory.mktemp("both") / "out")


def changed(study: Path, **tables: Any) -> Study:
    """The study with keys of its tables changed; None takes a key or a table away."""
    data = tomllib.loads(study.read_text(encoding="utf-8"))
    for name, value in tables.items():
        data[name] = {**data.get(name, {}), **value} if isinstance(value, dict) else value
    tidy = {
        name: {k: v for k, v in table.items() if v is not None} if isinstance(table, dict) else table
        for name, table in data.items()
        if table is not None
    }
    return Study.from_dict(tidy, study.parent, "study.toml")


def of_kind(planned: Plan, kind: str) -> list[str]:
    return [stage.name for stage in planned.stages if stage.kind == kind]


def written(out: Path) -> dict[str, bytes]:
    """What the second listener has written, without what records paths."""
    found = [*out.glob("seed-1/models/ldl-*/**/*"), *out.glob("seed-1/probes/ldl-*/**/*")]
    kept = (".parquet", ".safetensors", ".csv")
    return {str(file.relative_to(out)): file.read_bytes() for file in found if file.suffix in kept}


def test_every_lexicon_hears_what_whisper_hears(finished: StudyResult) -> None:
    comparison = finished.comparison
    assert comparison is not None
    assert comparison.models == ("base", *LABELS)
    assert set(comparison.cells) == {(m, c) for m in ("base", *LABELS) for c in ("hfloss", "normal")}
    assert comparison.clips.groupby("listener")["clip_id"].agg(["nunique", "count"]).to_dict("index") == {
        "ldl": {"nunique": 4, "count": 4 * 8},
        "whisper": {"nunique": 4, "count": 4 * 2},
    }
    assert comparison.clips.groupby("clip_id")["text"].nunique().tolist() == [1, 1, 1, 1]
    assert finished.report is not None
    page = finished.report.read_text(encoding="utf-8")
    section = page[page.index('id="listeners"') :]
    for label in LABELS:
        assert label in section
    assert "(unadapted" not in " ".join(re.findall(r"The model ldl-[^<]*", page))


def test_a_lexicon_of_a_study_is_what_the_functions_give(finished: StudyResult, tmp_path: Path) -> None:
    out = finished.out
    space = f"whisper:{MODEL}"
    how: dict[str, Any] = {"semantics": space, "cues": "log_mel", "rate": 0.5, "epochs": 3, "seed": 1}
    first = ldl.train_corpus(out / "corpus_normal", tmp_path / "normal", **how)
    second = ldl.train_corpus(out / "corpus_hfloss", tmp_path / "hfloss", shape=tmp_path / "normal", **how)
    for mine, name in ((first, "normal"), (second, "hfloss")):
        theirs = ldl.load_ldl_model(out / "seed-1" / "models" / f"ldl-log-mel-{name}")
        np.testing.assert_array_equal(mine.comprehension, theirs.comprehension)
        np.testing.assert_array_equal(mine.production, theirs.production)
        assert theirs.shape == first.shape  # constants of one condition for all
        assert theirs.name == name
    mine = ldl.load_ldl(ldl.evaluate_corpus(out / "corpus_normal", tmp_path / "heard", model=second)).clips
    run = ldl.load_ldl(out / "seed-1" / "probes" / "ldl-log-mel-hfloss" / "normal")
    pd.testing.assert_frame_equal(mine, run.clips)
    assert run.manifest["options"]["corpus_condition"]["name"] == "normal"


def test_killed_while_it_learns_it_goes_on_and_ends_with_the_same_bytes(
    finished: StudyResult, study: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    call = [sys.executable, "-m", "whisperprobe", "run", str(study), "--out", str(out), "--quiet"]
    learning = out / "seed-1" / "models" / "ldl-cfbsf-normal" / "ldl.json"
    with subprocess.Popen(call, stderr=subprocess.PIPE) as child:
        while not learning.exists():
            assert child.poll() is None, child.communicate()[1].decode()
            time.sleep(0.001)
        child.send_signal(signal.SIGKILL)
        child.communicate()
    assert not list(out.glob("seed-1/probes/ldl-*"))
    run_study(study, out)
    assert written(out) == written(finished.out)
    assert not list(out.glob("seed-1/models/*/checkpoints"))


def test_a_finished_study_is_not_learnt_again(finished: StudyResult, study: Path) -> None:
    files = [*finished.out.glob("seed-1/models/ldl-*/*"), *finished.out.glob("seed-1/probes/ldl-*/*/*")]
    before = {file: file.stat().st_mtime_ns for file in files}
    run_study(study, finished.out, only="ldl")
    assert {file: file.stat().st_mtime_ns for file in files} == before
    record = json.loads((finished.out / "timings" / "ldl-train.cfbsf.normal.seed-1.json").read_text(encoding="utf-8"))
    assert (record["kind"], record["clips"]) == ("ldl-train", 8 * 3)
    with pytest.raises(InputError, match=r"belongs to another study.*ldl\.rate: there 0\.5, here 0\.4"):
        run_study(changed(study, ldl={"rate": 0.4}), finished.out)


def test_a_dry_run_says_what_is_left_and_writes_nothing(
    finished: StudyResult, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run_app(app, ["run", str(study), "--out", str(out), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "study both: 17 of 17 stages left" in said
    assert re.search(r"^ldl-train\.log-mel\.hfloss\.seed-1 +24 +\S+ s +\S+ MB$", said, re.MULTILINE), said
    assert re.search(r"^about .* of disk on this machine$", said, re.MULTILINE)
    assert not out.exists()
    assert run_app(app, ["run", str(study), "--out", str(finished.out), "--dry-run", "--json", "--only", "ldl"]) == 0
    rows = json.loads(capsys.readouterr().out)["stages"]
    assert len(rows) == 4 + 8
    assert {row["left"] for row in rows} == {0}


def test_a_folder_that_was_moved_goes_on_where_it_is(finished: StudyResult, study: Path, tmp_path: Path) -> None:
    out = tmp_path / "moved"
    shutil.copytree(finished.out, out)
    heard = out / "seed-1" / "probes" / "ldl-cfbsf-hfloss" / "normal"
    (part,) = heard.glob("failures/*.parquet")  # written last: without it the part is done again
    part.unlink()
    kept = {file: file.stat().st_mtime_ns for file in out.glob("seed-1/models/ldl-*/model.safetensors")}
    moved = run_study(study, out)
    assert written(out) == written(finished.out)
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    assert moved.comparison is not None
    assert finished.comparison is not None
    pd.testing.assert_frame_equal(moved.comparison.clips, finished.comparison.clips)


def test_parts_are_shared_out_and_what_is_missing_is_said(study: Path, tmp_path: Path) -> None:
    few = changed(study, ldl={"cues": ["cfbsf"]}, probe={"rows_per_part": 2, "listen": "own"})
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"ldl-train\.cfbsf\.normal\.seed-1 needs .* which stage mask makes"):
        run_study(few, out, only="ldl")
    run_study(few, out, only="mask")
    with pytest.raises(InputError, match=r"ldl-train cannot be shared out"):
        run_study(few, out, only="ldl", shard="0/2")
    run_study(few, out, only="ldl-train", workers=2)
    run_study(few, out, only="ldl-evaluate", shard="0/2")
    run_study(few, out, only="probe")
    with pytest.raises(WorkError, match=r"ldl-cfbsf-hfloss/hfloss, which is not finished: part test-00001-of-00002"):
        run_study(few, out, only="compare")
    assert run_study(few, out).comparison is not None


def test_the_plan_learns_the_shape_first_and_says_what_each_stage_needs(study: Path) -> None:
    planned = plan(changed(study, seeds=[1, 2]), study.parent / "out")
    fits = [f"ldl-train.{cues}.{name}" for cues in ("cfbsf", "log-mel") for name in ("normal", "hfloss")]
    assert of_kind(planned, "ldl-train") == [f"{fit}.seed-{seed}" for seed in (1, 2) for fit in fits]
    assert len(of_kind(planned, "ldl-evaluate")) == 2 * 2 * 4
    fit = planned.stage("ldl-train.log-mel.hfloss.seed-2")
    assert fit.after == ("mask", "ldl-train.log-mel.normal.seed-2")
    assert fit.options["shape"] == planned.stage("ldl-train.log-mel.normal.seed-2").outputs[0]
    assert fit.options["semantics"] == f"whisper:{MODEL}"
    assert (fit.options["seed"], fit.options["cues"], fit.options["cue_options"]) == (2, "log_mel", {})
    heard = planned.stage("ldl-evaluate.cfbsf.hfloss.normal.seed-1")
    assert heard.after == ("mask", "ldl-train.cfbsf.hfloss.seed-1")
    assert (heard.options["splits"], heard.options["condition"]) == (["test"], None)
    assert {"ldl-cfbsf-normal", "base"} <= {run["model"] for run in planned.stage("compare").options["runs"]}
    assert json.loads(json.dumps(planned.to_dict())) == planned.to_dict()


def test_a_new_model_lends_its_own_semantic_space(tiny_study: Path) -> None:
    planned = plan(changed(tiny_study, ldl={}, finetune=None), tiny_study.parent / "out")
    fit = planned.stage("ldl-train.cfbsf.normal.seed-1")
    assert fit.options["semantics"] == f"whisper:{planned.stage('finetune.base.seed-1').outputs[0]}"
    assert fit.after == ("mask", "finetune.base.seed-1")


def test_other_corpora_are_filtered_meanwhile_and_noise_is_drawn_anew(study: Path) -> None:
    noisy = {"audiogram": "hfloss", "noise": {"kind": "white", "snr_db": 10}}
    planned = plan(
        changed(
            study,
            seeds=[3],
            conditions={"use": ["noisy"], "noisy": noisy},
            probe={"source": "speech", "text_pattern": "(?P<text>[a-z]+)_.*"},
        ),
        study.parent / "out",
    )
    heard = planned.stage("ldl-evaluate.cfbsf.noisy.noisy.seed-3")
    assert (heard.options["condition"]["name"], heard.options["condition"]["noise"]["seed"]) == ("noisy", 3)
    assert heard.options["corpus"]["source"] == str(study.parent / "speech")
    assert "splits" not in heard.options
    assert planned.stage("ldl-train.cfbsf.noisy.seed-3").after == ("mask.seed-3",)
    unmasked = plan(changed(study, probe={"listen": "unmasked"}), study.parent / "out")
    assert of_kind(unmasked, "mask") == ["mask"]  # for learning
    assert unmasked.stage("ldl-evaluate.cfbsf.normal.unmasked.seed-1").after == ("ldl-train.cfbsf.normal.seed-1",)


def test_solving_with_frequencies_and_vectors_of_a_file(finished: StudyResult, study: Path, tmp_path: Path) -> None:
    words = ["low", "high", "rise", "fall"]
    np.savez(study.parent / "space.npz", words=np.array(words), vectors=np.eye(4, 6, dtype=np.float32))
    (study.parent / "counts.csv").write_text("word,frequency\nlow,4\nhigh,3\nrise,2\nfall,1\n", encoding="utf-8")
    solved = changed(
        study,
        ldl={"cues": ["cfbsf"], "semantics": "space.npz", "rule": "fil", "frequencies": "counts.csv", "ridge": 1e-4,
             "rate": None, "epochs": None, "boundary": "min"},
        conditions={"use": ["hfloss"]},
    )  # fmt: skip
    run_study(solved, tmp_path / "out", only="mask")
    run_study(solved, tmp_path / "out", only="ldl")
    model = ldl.load_ldl_model(tmp_path / "out" / "seed-1" / "models" / "ldl-cfbsf-hfloss")
    assert model.options["rule"] == "fil"
    assert model.options["frequencies"] == {"fall": 1, "high": 3, "low": 4, "rise": 2}
    assert model.shape.options["boundary"] == "min"
    assert model.comprehension.shape[1] == 6
    with pytest.raises(InputError, match=r"names the semantics 'nowhere\.bin', but there is no such file"):
        plan(changed(study, ldl={"semantics": "nowhere.bin"}))
    with pytest.raises(InputError, match=r"names the frequencies 'nowhere\.csv'"):
        plan(changed(study, ldl={"rule": "fil", "frequencies": "nowhere.csv", "rate": None, "epochs": None}))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"cue": ["cfbsf"]}, r"\[ldl\].*'cue'.*Did you mean 'cues'"),
        ({"cues": ["mfcc"]}, r"'cues'.*some of 'cfbsf', 'log-mel'"),
        ({"cues": ["cfbsf", "cfbsf"]}, r"'cues'.*each once"),
        ({"cues": []}, r"'cues'.*each once"),
        ({"rule": "widrow"}, r"'rule'.*'nlms', 'lms', 'endstate', 'fil'"),
        ({"rule": "endstate"}, r"gives 'rate', which belongs to the rule 'nlms' or 'lms', and the rule is 'endstate'"),
        ({"ridge": 1.0}, r"gives 'ridge', which belongs to the rule 'endstate' or 'fil'"),
        ({"rule": "fil", "rate": None, "epochs": None}, r"lacks 'frequencies'"),
        ({"rate": 2.0}, r"'rate': received 2\.0; 'nlms' takes rates below 2"),
        ({"cues": ["log-mel"], "boundary": "min"}, r"gives 'boundary', which belongs to 'cfbsf'"),
        ({"top_hz": 100_000}, r"\[ldl\].*top_hz is 100000; it lies between 2000 and 8000 Hz.*Left out, top_hz is 8000"),
        ({"top_hz": 500}, r"top_hz is 500; it lies between 2000 and 8000 Hz"),
        ({"semantics": "whisper:"}, r"\[ldl\].*'semantics': 'whisper:' names no model behind the colon; give whisper"),
        ({"semantics": "whisper: "}, r"'whisper: ' names no model.*own base model is \"whisper\""),
        ({"device": "gpu"}, r"'device'.*'gpu'"),
        ({"workers": 0}, r"'workers'.*1 or more"),
    ],
)
def test_wrong_tables_are_refused(study: Path, table: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        changed(study, ldl=table)


def test_a_condition_cannot_be_called_like_a_lexicon(study: Path) -> None:
    clash = {
        "use": ["normal", "ldl-cfbsf-normal"],
        "ldl-cfbsf-normal": {"audiogram": "bisgaard-n3"},
    }
    with pytest.raises(InputError, match=r"with \[ldl\] a condition cannot be called 'ldl-cfbsf-normal'"):
        changed(study, conditions=clash)
    assert changed(study, conditions=clash, ldl=None).ldl is None
