"""A whole study end to end: results, running again, being stopped and killed, folders of other studies."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import audiogram
from audiogram.console import run_app
from audiogram.corpus.stages import is_complete, read_manifest
from audiogram.errors import InputError, WorkError
from whisperprobe.cli import app
from whisperprobe.comparison.severity import conditions_heard
from whisperprobe.study import Study, StudyResult, plan, report_again, run_study, study_of

CELLS = [(m, c) for m in ("base", "normal", "hfloss") for c in ("normal", "hfloss")]


def with_changes(study: Path, **changes: Any) -> Study:
    data = tomllib.loads(study.read_text(encoding="utf-8"))
    for name, value in changes.items():
        data[name] = {**data.get(name, {}), **value} if isinstance(value, dict) else value
    return Study.from_dict(data, study.parent)


def results(comparison: Any) -> pd.DataFrame:
    """Return what every model made of every clip, in one order."""
    columns = ["model", "condition", "clip_id", "text", "prediction", "correct", "word_surprisal", "word_mean_rank"]
    return comparison.clips[columns].sort_values(columns[:3], ignore_index=True)


def contents(out: Path) -> dict[str, tuple[int, bytes]]:
    """Return time of change and bytes of all that row stages and fits have written."""
    kept = [p for p in sorted(out.rglob("*")) if p.is_file() and ("corpus_" in str(p) or "seed-1" in str(p))]
    return {str(p.relative_to(out)): (p.stat().st_mtime_ns, p.read_bytes()) for p in kept}


def test_end_to_end(finished: StudyResult, tiny_study: Path) -> None:
    out = finished.out
    assert is_complete(out / "corpus_hfloss")
    for model in ("base", "normal", "hfloss"):
        assert (out / "seed-1" / "models" / model / "model.safetensors").is_file()
    for model, condition in CELLS:
        assert is_complete(out / "seed-1" / "probes" / model / condition)
    assert finished.comparison is not None
    assert set(finished.comparison.cells) == set(CELLS)
    clips = finished.comparison.clips
    assert len(clips) == 4 * len(CELLS)
    assert set(clips["text"]) == {"low", "high", "rise", "fall"}
    assert set(clips["voice"]) == {"cat"}  # the voice that was held out
    assert finished.report is not None
    assert finished.report.stat().st_size > 10_000
    assert list(finished.seconds) == [s.name for s in plan(tiny_study, out).stages]
    assert study_of(out) == Study.from_dict(tomllib.loads(tiny_study.read_text("utf-8")), tiny_study.parent)


def test_the_base_model_was_trained_on_the_recordings_and_the_others_on_what_was_masked(finished: StudyResult) -> None:
    from safetensors.numpy import load_file

    models = {m: load_file(finished.out / "seed-1" / "models" / m / "model.safetensors") for m in ("base", "hfloss")}
    assert models["base"].keys() == models["hfloss"].keys()
    assert any((models["base"][k] != models["hfloss"][k]).any() for k in models["base"])


def test_a_second_run_changes_nothing(finished: StudyResult, tiny_study: Path) -> None:
    before = contents(finished.out)
    again = run_study(tiny_study, finished.out)
    assert contents(finished.out) == before
    assert again.comparison is not None
    assert finished.comparison is not None
    pd.testing.assert_frame_equal(results(again.comparison), results(finished.comparison), check_exact=True)


def test_results_that_were_moved_are_gone_on_with_and_read_without_the_speech(
    finished: StudyResult, tiny_study: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(finished.out, moved)

    def computed() -> dict[str, tuple[int, bytes]]:  # a dataset's card says which folder the model is in
        return {name: kept for name, kept in contents(moved).items() if not name.endswith("README.md")}

    before = computed()
    assert run_study(tiny_study, moved).report == moved / "report.html"
    assert computed() == before
    record = json.loads((moved / "study.json").read_text(encoding="utf-8"))
    (moved / "study.json").write_text(json.dumps({**record, "directory": str(tmp_path / "gone")}), encoding="utf-8")
    assert report_again(moved, title="Elsewhere") == moved / "report.html"
    assert "Elsewhere" in (moved / "report.html").read_text(encoding="utf-8")


def test_stage_by_stage_gives_the_same(finished: StudyResult, tiny_study: Path, tmp_path: Path) -> None:
    """The calls that a user would write by hand, with the documented options."""
    import audiogram as ag
    import whisperprobe as wp
    from audiogram.corpus.sources import SplitRule

    options: dict[str, Any] = {
        "text_pattern": "(?P<text>[a-z]+)_(?P<voice>[a-z]+)",
        "split": SplitRule("voice", test=("cat",), validation=0),
    }
    speech = tiny_study.parent / "speech"
    masked = ag.mask_corpus(speech, tmp_path / "corpus", ["normal", "hfloss"], **options)
    config = {
        "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "attention_heads": 2, "ffn_dim": 32,
        "window_seconds": 1, "max_target_positions": 16,
    }  # fmt: skip
    wp.finetune(
        masked["normal"], tmp_path / "base", from_config=config, vocabulary_size=300, max_steps=8, batch_size=8,
        learning_rate=1e-2, seed=1,
    )  # fmt: skip
    wp.finetune(masked["hfloss"], tmp_path / "tuned", model=tmp_path / "base", max_steps=2, learning_rate=1e-3, seed=1)
    runs = [
        wp.ProbeRun(wp.probe_corpus(masked[c], tmp_path / f"{m}-{c}", model=tmp_path / m, top_k=5), label, c, 1)
        for m, label in (("base", "base"), ("tuned", "hfloss"))
        for c in ("normal", "hfloss")
    ]
    mine = results(wp.compare(runs, resamples=200))
    assert finished.comparison is not None
    theirs = results(finished.comparison)
    theirs = theirs[theirs["model"] != "normal"].reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, theirs, check_exact=False, rtol=1e-4)


def test_two_seeds_with_noise_each_hearing_its_own(tiny_study: Path, tmp_path: Path) -> None:
    """Masks that draw noise differ between seeds; models and clips are joined over them."""
    from audiogram import open_corpus

    noisy = {"audiogram": "hfloss", "noise": {"kind": "white", "snr_db": 10}}
    study = with_changes(
        tiny_study,
        seeds=[1, 2],
        conditions={"use": ["normal", "noisy"], "noisy": noisy},
        model={"from_scratch": {"d_model": 8, "attention_heads": 1, "window_seconds": 1, "max_steps": 1,
                                "encoder_layers": 1, "decoder_layers": 1, "ffn_dim": 8, "vocabulary_size": 300,
                                "max_target_positions": 16}},
        finetune={"max_steps": 1},
        probe={"listen": "own"},
    )  # fmt: skip
    result = run_study(study, tmp_path / "out")
    assert result.comparison is not None
    assert set(result.comparison.cells) == {("base", "unmasked"), ("normal", "normal"), ("noisy", "noisy")}
    assert set(result.comparison.clips["seed"]) == {1, 2}
    first, second = (
        next(open_corpus(tmp_path / "out" / f"seed-{seed}" / "corpus_noisy").read("test")).audio()[0] for seed in (1, 2)
    )
    assert (first != second).any()
    assert (tmp_path / "out" / "corpus_normal").is_dir()
    with pytest.raises(InputError, match="seeds"):
        run_study(replace(study, seeds=(1,)), tmp_path / "out")


def test_a_given_model_hears_another_corpus_through_conditions(
    finished: StudyResult, tiny_study: Path, tmp_path: Path
) -> None:
    """Filtering on the fly what was not masked before gives what a masked corpus gives, but for rounding to 24 bits."""
    folder = tmp_path / "study"
    folder.mkdir()
    shutil.copytree(tiny_study.parent / "speech", folder / "words")
    study = Study.from_dict(
        {
            "name": "given",
            "corpus": {"source": "words"},
            "conditions": {"use": ["normal", "hfloss"]},
            "model": {"base": str(finished.out / "seed-1" / "models" / "base")},
            "probe": {"source": "words", "text_pattern": "(?P<text>[a-z]+)_(?P<voice>[a-z]+)", "top_k": 5},
            "compare": {"resamples": 200},
        },
        folder,
    )
    result = run_study(study, tmp_path / "out")
    assert result.comparison is not None
    assert finished.comparison is not None
    mine, theirs = results(result.comparison), results(finished.comparison)
    assert len(mine) == 12 * 2
    both = mine.merge(theirs, on=["model", "condition", "clip_id"], suffixes=("", "_masked"))
    assert len(both) == 4 * 2
    assert both["word_surprisal"].to_numpy() == pytest.approx(both["word_surprisal_masked"].to_numpy(), rel=1e-2)


def stop_when(appears: Callable[[], bool], call: list[str], number: signal.Signals) -> int:
    """Start a command, send a signal once something has appeared, return its exit code (negative: the signal)."""
    with subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
        while not appears():
            assert child.poll() is None, child.communicate()[1].decode()
            time.sleep(0.002)
        child.send_signal(number)
        child.communicate()
        return child.returncode


def test_stopped_and_killed_it_goes_on_and_ends_with_the_same_results(
    finished: StudyResult, tiny_study: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    call = [sys.executable, "-m", "whisperprobe", "run", str(tiny_study), "--out", str(out)]
    base = out / "seed-1" / "models" / "base"
    assert stop_when(base.exists, call, signal.SIGTERM) == 75
    assert not (out / "report.html").exists()
    probes = out / "seed-1" / "probes" / "base"
    assert stop_when(probes.exists, call, signal.SIGKILL) == -signal.SIGKILL
    assert not (out / "report.html").exists()
    resumed = run_study(tiny_study, out)
    assert resumed.comparison is not None
    assert finished.comparison is not None
    pd.testing.assert_frame_equal(
        results(resumed.comparison), results(finished.comparison), check_exact=False, rtol=1e-4
    )


def test_only_one_kind_of_stages(tiny_study: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"probe\.base\.normal\.seed-1 needs .* which stage mask makes"):
        run_study(tiny_study, tmp_path / "out", only="probe")
    result = run_study(tiny_study, tmp_path / "out", only="mask")
    assert result.comparison is result.report is None
    assert sorted(p.name for p in result.out.iterdir() if not p.name.startswith(".")) == [
        "corpus_hfloss", "corpus_normal", "study.json", "timings",
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"unknown stage 'masks'.*'mask'"):
        run_study(tiny_study, tmp_path / "out", only="masks")


def test_results_of_another_study_are_refused(finished: StudyResult, tiny_study: Path) -> None:
    out, before = finished.out, contents(finished.out)
    with pytest.raises(InputError, match=r"belongs to another study.*finetune\.max_steps: there 2, here 3"):
        run_study(with_changes(tiny_study, finetune={"max_steps": 3}), out)
    with pytest.raises(InputError, match=r"seeds: there \[1\], here \[2\]"):
        run_study(with_changes(tiny_study, seeds=[2]), out)
    with pytest.raises(InputError, match=r"conditions\.use: there \['normal', 'hfloss'\], here \['hfloss'\]"):
        run_study(with_changes(tiny_study, conditions={"use": ["hfloss"]}), out)
    with pytest.raises(InputError, match=r"corpus\.split\.test"):
        run_study(with_changes(tiny_study, corpus={"split": {"column": "voice", "test": ["ann"]}}), out)
    assert contents(out) == before
    assert study_of(out) == with_changes(tiny_study)


def test_what_is_not_made_yet_may_change(tiny_study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_study(tiny_study, out, only="mask")
    before = contents(out)
    changes: dict[str, Any] = {"seeds": [1, 2], "report": {"title": "Other"}, "finetune": {"max_steps": 3}}
    changed = with_changes(tiny_study, conditions={"use": ["lfloss", "normal", "hfloss"]}, **changes)
    run_study(changed, out, only="mask")
    after = contents(out)
    assert before.items() <= after.items()
    assert is_complete(out / "corpus_lfloss")
    assert study_of(out) == changed


def test_a_folder_with_other_things_is_refused(tiny_study: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(InputError, match=r"not empty.*thesis\.docx"):
        run_study(tiny_study, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["thesis.docx"]
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InputError, match="cannot write results"):
        run_study(tiny_study, file)


def test_a_split_that_is_missing_is_noticed_before_any_work(tiny_study: Path, tmp_path: Path) -> None:
    data = tomllib.loads(tiny_study.read_text("utf-8"))
    del data["corpus"]["split"]
    with pytest.raises(InputError, match=r"no clips in a split 'test' \(it has train: 12 clips\).*split = "):
        run_study(Study.from_dict(data, tiny_study.parent), tmp_path / "out")
    with pytest.raises(InputError, match=r"nobody"):
        run_study(with_changes(tiny_study, corpus={"split": {"column": "voice", "test": ["nobody"]}}), tmp_path / "two")
    assert not (tmp_path / "out" / "corpus_normal").exists()


def test_a_damaged_record_is_not_overwritten(tiny_study: Path, tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text('{"study": ', encoding="utf-8")
    with pytest.raises(InputError, match=r"study\.json cannot be read"):
        run_study(tiny_study, tmp_path)
    assert (tmp_path / "study.json").read_text("utf-8") == '{"study": '


@contextlib.contextmanager
def held(folder: Path, kind: str) -> Iterator[None]:
    """Another process holds the folder."""
    code = (
        f"import fcntl, sys; lock = open(sys.argv[1], 'a+'); fcntl.lockf(lock, fcntl.{kind}); "
        "print('held', flush=True); sys.stdin.read()"
    )
    call = [sys.executable, "-c", code, str(folder / ".lock")]
    with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield
        other.communicate()


@pytest.mark.parametrize("only", [None, "mask"])
def test_two_processes_do_not_work_on_one_folder(tiny_study: Path, tmp_path: Path, only: str | None) -> None:
    with held(tmp_path, "LOCK_EX"), pytest.raises(WorkError, match="another process is at work"):
        run_study(tiny_study, tmp_path, only=only)


def test_processes_may_share_a_folder_stage_by_stage(tiny_study: Path, tmp_path: Path) -> None:
    with held(tmp_path, "LOCK_SH"):
        with pytest.raises(WorkError, match="another process is at work"):
            run_study(tiny_study, tmp_path)
        assert run_study(tiny_study, tmp_path, only="mask").out == tmp_path


def test_report_command_writes_the_report_again(finished: StudyResult, capsys: pytest.CaptureFixture[str]) -> None:
    assert finished.report is not None
    finished.report.unlink()
    assert run_app(app, ["report", str(finished.out), "--title", "Tones again"]) == 0
    assert "Tones again" in finished.report.read_text("utf-8")
    assert str(finished.report) in capsys.readouterr().out


def test_run_command_says_what_was_found(
    finished: StudyResult, tiny_study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(app, ["run", str(tiny_study), "--out", str(finished.out)]) == 0
    captured = capsys.readouterr()
    assert "What was found" in captured.out
    assert "3 models heard 4 recordings of 4 words under 2 conditions" in captured.out
    assert f"report: {finished.report}" in captured.out
    assert "wall time" in captured.out
    assert "1 of 12  mask" in captured.err


def test_compare_and_report_commands_without_a_study(
    finished: StudyResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    probes = finished.out / "seed-1" / "probes"
    runs = [f"{m}:{c}={probes / m / c}" for m, c in CELLS]
    assert run_app(app, ["compare", *runs, "--out", str(tmp_path / "mine"), "--resamples", "200"]) == 0
    assert "3 models heard 4 recordings" in capsys.readouterr().out
    assert run_app(app, ["report", str(tmp_path / "mine")]) == 0
    assert (tmp_path / "mine.html").is_file()


def test_a_run_on_a_masked_corpus_tells_its_condition(finished: StudyResult) -> None:
    manifest = read_manifest(finished.out / "seed-1" / "probes" / "base" / "hfloss")
    assert conditions_heard([{"condition": "hfloss", "manifest": manifest}]) == [audiogram.condition("hfloss")]


def test_finetune_and_probe_commands_without_a_study(
    finished: StudyResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, masked = finished.out / "seed-1" / "models" / "base", str(finished.out / "corpus_hfloss")
    tuned, probes = str(tmp_path / "tuned"), str(tmp_path / "probes")
    call = ["finetune", masked, "--model", str(base), "--out", tuned, "--max-steps", "1", "--batch-size", "4"]
    assert run_app(app, call) == 0
    assert f"model: {tuned}" in capsys.readouterr().out
    call = ["probe", masked, "--model", tuned, "--out", probes, "--splits", "test, train"]
    call += ["--top-k", "3", "--shard", "0/2"]
    assert run_app(app, call) == 0
    assert f"probes: {probes}" in capsys.readouterr().out
    assert not is_complete(probes)
    assert run_app(app, [*call[:-1], "1/2"]) == 0
    assert is_complete(probes)
    assert read_manifest(probes)["plan"]["rows"] == {"test": 4, "train": 8}
    assert run_app(app, [*call[:-1], "2/2"]) == 2
    assert "shard" in capsys.readouterr().err
    call[call.index("3")] = "4"
    assert run_app(app, call) == 2
    assert "belongs to another run: top_k is 3 there and 4 now" in capsys.readouterr().err


def test_shards_of_single_stages_together_are_the_whole_study(tiny_study: Path, tmp_path: Path) -> None:
    text = tiny_study.read_text(encoding="utf-8")
    for table in ("[corpus]", "[probe]"):
        text = text.replace(table, f"{table}\nrows_per_part = 3")
    study = tiny_study.with_name("shared.toml")
    study.write_text(text, encoding="utf-8")
    out = tmp_path / "out"
    run_study(study, out, only="mask", shard="1/2")
    with pytest.raises(InputError, match=r"corpus_normal is not finished: 3 parts"):
        run_study(study, out, only="finetune")
    run_study(study, out, only="mask", shard="0/2", workers=2)
    run_study(study, out, only="finetune")
    run_study(study, out, only="probe", shard="0/2")
    missing = r"needs .*normal, which is not finished: part test-00001-of-00002. Run stage probe\.base\.normal"
    with pytest.raises(WorkError, match=missing):
        run_study(study, out, only="compare")
    run_study(study, out)
    whole = run_study(study, tmp_path / "whole")
    for file in sorted(whole.out.glob("corpus_*/*/*.parquet")):
        assert file.read_bytes() == (out / file.relative_to(whole.out)).read_bytes(), file
    assert len(list(whole.out.glob("corpus_normal/data/*.parquet"))) == 5
    kinds = {json.loads(f.read_text(encoding="utf-8"))["kind"] for f in (out / "timings").glob("*.json")}
    assert kinds == {"mask", "finetune", "probe", "compare", "report"}


def test_only_stages_in_parts_can_be_shared_out(tiny_study: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--shard 0/2 with --only finetune: finetune cannot be shared"):
        run_study(tiny_study, tmp_path / "out", only="finetune", shard="0/2")
    with pytest.raises(InputError, match=r"no --only"):
        run_study(tiny_study, tmp_path / "out", shard="0/2")
    with pytest.raises(InputError, match=r"not of the form I/N"):
        run_study(tiny_study, tmp_path / "out", only="mask", shard="first")
