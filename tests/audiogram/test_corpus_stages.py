"""The contract of row stages: parts, manifests, failures, shards, locks."""

from __future__ import annotations

import json
import logging
import os
import signal
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from audiogram.corpus import (
    Clip,
    Part,
    Shard,
    files,
    is_complete,
    open_corpus,
    plan_parts,
    read_manifest,
    run_stage,
    stage_parts,
    stages,
)
from audiogram.errors import InputError, StoppedError, WorkError

SCHEMA = {"data": pa.schema([("id", pa.string()), ("n", pa.int64())])}


def work(part: Part, clips: list[Clip], writer) -> None:
    for clip in clips:
        try:
            x, _ = clip.audio()
        except InputError as error:
            writer.fail(clip.id, error)
        else:
            writer.add("data", [{"id": clip.id, "n": len(x)}])


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech")
    for number in range(10):
        soundfile.write(folder / f"w{number}.wav", np.full(100 + number, 0.1), 16_000)
    return folder


def run(speech: Path, *outs: Path, **given):
    options = {"options": {"a": 1}, "work": work, "schemas": SCHEMA, "rows_per_part": 3, "max_failures": 1.0, **given}
    return run_stage("count", corpus=open_corpus(speech), outs=outs, **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@given(st.dictionaries(st.sampled_from(["train", "validation", "test"]), st.integers(0, 50)), st.integers(1, 60))
def test_parts_tile_every_split(rows: dict[str, int], rows_per_part: int) -> None:
    parts = plan_parts(rows, rows_per_part)
    for split, count in rows.items():
        mine = [p for p in parts if p.split == split]
        assert [row for p in mine for row in range(p.start, p.stop)] == list(range(count))
        assert all(0 < len(p) <= rows_per_part and p.of == len(mine) for p in mine)
        assert [p.index for p in mine] == list(range(len(mine)))


@given(st.integers(0, 40), st.integers(1, 9))
def test_shards_share_the_parts_without_overlap(count: int, of: int) -> None:
    parts = plan_parts({"train": count}, 2)
    shared = [part for index in range(of) for part in Shard(index, of).take(parts)]
    assert sorted(shared, key=lambda p: p.index) == list(parts)


@pytest.mark.parametrize("text", ["4/4", "-1/4", "1", "a/b", "1/0", ""])
def test_a_wrong_shard_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="shard"):
        Shard.parse(text)


def test_a_stage_keeps_every_row_in_order(speech: Path, tmp_path: Path) -> None:
    report = run(speech, tmp_path / "out")
    assert (report.rows_in, report.rows_out, report.failed, report.parts_done, report.parts_skipped) == (
        10,
        10,
        0,
        4,
        0,
    )
    tables = [pq.read_table(part.table(tmp_path / "out", "data")) for part in stage_parts(tmp_path / "out")]
    assert pa.concat_tables(tables)["n"].to_pylist() == [100 + number for number in range(10)]
    assert is_complete(tmp_path / "out")
    assert not list(tmp_path.rglob(".*"))


def test_a_finished_stage_does_nothing_again(speech: Path, tmp_path: Path) -> None:
    run(speech, tmp_path / "out")
    before = contents(tmp_path / "out")

    def never(part, clips, writer):
        raise AssertionError("worked again")

    report = run(speech, tmp_path / "out", work=never)
    assert (report.parts_done, report.parts_skipped) == (0, 4)
    assert contents(tmp_path / "out") == before


def test_a_stop_asked_for_before_the_first_part_is_heard(speech: Path, tmp_path: Path) -> None:
    def card(manifest: dict[str, object]) -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        return "asked to stop while the folder is prepared"

    with pytest.raises(StoppedError, match="SIGTERM"):
        run(speech, tmp_path / "out", readme=card)
    assert not list((tmp_path / "out" / "failures").glob("*.parquet"))
    run(speech, tmp_path / "out")
    run(speech, tmp_path / "undisturbed")
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")


def test_a_part_whose_failures_file_is_missing_is_redone_alike(speech: Path, tmp_path: Path) -> None:
    run(speech, tmp_path / "out")
    before = contents(tmp_path / "out")
    stage_parts(tmp_path / "out")[2].failures(tmp_path / "out").unlink()
    assert not is_complete(tmp_path / "out")
    assert run(speech, tmp_path / "out").parts_done == 1
    assert contents(tmp_path / "out") == before


def test_shards_together_are_the_whole(speech: Path, tmp_path: Path) -> None:
    run(speech, tmp_path / "whole")
    for index in (2, 0, 1):
        assert run(speech, tmp_path / "shared", shard=f"{index}/3").rows_in in (3, 4, 6)
        assert is_complete(tmp_path / "shared") == (index == 1)
    assert contents(tmp_path / "shared") == contents(tmp_path / "whole")


def test_the_manifest_says_what_and_not_when_where_or_how(speech: Path, tmp_path: Path) -> None:
    run(speech, tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    assert set(manifest) == {"stage", "options", "plan", "tables", "input", "versions"}
    assert manifest["plan"] == {"rows": {"train": 10}, "rows_per_part": 3}
    assert manifest["versions"]["audiogram"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"options": {"a": 2}}, "a is 1 there and 2 now"),
        ({"options": {"a": 1, "b": True}}, "b is null there and true now"),
        ({"rows_per_part": 4}, "plan.rows_per_part is 3 there and 4 now"),
        ({"extra_manifest": {"condition": {"name": "x"}}}, "condition is null there"),
    ],
)
def test_other_options_are_refused_with_both_values(speech: Path, tmp_path: Path, changed, said: str) -> None:
    run(speech, tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(InputError, match=said):
        run(speech, tmp_path / "out", **changed)
    assert contents(tmp_path / "out") == before


PLACED = {"model": "a/base", "model_sha256": "f00d"}
LABELLED = {"model": "hfloss", "model_path": "a/hfloss", "model_sha256": "f00d"}


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (PLACED, {**PLACED, "model": "b/base"}, None),  # moved
        (LABELLED, {**LABELLED, "model_path": "b/hfloss"}, None),
        (LABELLED, {**LABELLED, "model": "normal"}, 'model is "hfloss" there and "normal" now'),
        (PLACED, {"model": "b/base", "model_sha256": "beef"}, 'model is "a/base" there'),
        ({"model": "a", "model_sha256": None}, {"model": "b", "model_sha256": None}, 'model is "a" there and "b" now'),
    ],
)
def test_where_a_model_lies_does_not_matter_while_it_is_the_same(
    speech: Path, tmp_path: Path, before: dict[str, object], now: dict[str, object], said: str | None
) -> None:
    run(speech, tmp_path / "out", options=before)
    if said is None:
        run(speech, tmp_path / "out", options=now)
    else:
        with pytest.raises(InputError, match=said):
            run(speech, tmp_path / "out", options=now)


def test_a_changed_input_is_refused(speech: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for path in speech.iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    run(source, tmp_path / "out")
    run(source.rename(tmp_path / "moved"), tmp_path / "out")  # the same clips elsewhere are the same input
    changed = bytearray((tmp_path / "moved" / "w3.wav").read_bytes())
    changed[-1] ^= 1
    (tmp_path / "moved" / "w3.wav").write_bytes(changed)
    with pytest.raises(InputError, match=r"input\.fingerprint"):
        run(tmp_path / "moved", tmp_path / "out")


def test_an_unfinished_folder_of_another_version_is_refused(speech: Path, tmp_path: Path) -> None:
    run(speech, tmp_path / "out", versions={"whisperprobe": "1.0.0"})
    assert run(speech, tmp_path / "out", versions={"whisperprobe": "1.0.1"}).parts_skipped == 4  # finished: as it is
    stage_parts(tmp_path / "out")[0].failures(tmp_path / "out").unlink()
    with pytest.raises(InputError, match=r'versions.whisperprobe is "1.0.0" there and "1.0.1" now'):
        run(speech, tmp_path / "out", versions={"whisperprobe": "1.0.1"})


def test_bad_clips_are_failures_and_too_many_end_with_exit_1(speech: Path, tmp_path: Path, caplog) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for path in speech.iterdir():
        (source / path.name).write_bytes(path.read_bytes() if path.stem not in ("w2", "w7") else b"")
    with pytest.raises(
        WorkError, match=r"2 of 10 clips of split 'train' failed, more than --max-failures 0.1"
    ) as error:
        run(source, tmp_path / "out", max_failures=0.1)
    assert error.value.exit_code == 1
    assert is_complete(tmp_path / "out")
    with caplog.at_level(logging.WARNING):
        report = run(source, tmp_path / "out", max_failures=0.2)
    assert (report.rows_in, report.rows_out, report.failed) == (10, 8, 2)
    assert "2 of 10 clips failed; the first: w2: " in caplog.text
    for part in stage_parts(tmp_path / "out"):
        kept = pq.read_table(part.table(tmp_path / "out", "data")).num_rows
        failed = pq.read_table(part.failures(tmp_path / "out"))
        assert failed.schema.names == ["id", "error"]
        assert kept + failed.num_rows == len(part)
        assert all("empty" in error for error in failed["error"].to_pylist())


def test_a_part_without_rows_has_no_data_file(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / "source" / split).mkdir(parents=True)
    for number in range(4):
        soundfile.write(tmp_path / "source" / "train" / f"w{number}.wav", np.full(100, 0.1), 16_000)
        (tmp_path / "source" / "test" / f"w{number}.wav").write_bytes(b"")
    run(tmp_path / "source", tmp_path / "out")
    assert {p.name for p in (tmp_path / "out" / "data").iterdir()} == {
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
    }
    assert read_manifest(tmp_path / "out")["plan"]["rows"] == {"train": 4, "test": 4}
    assert "split: test" not in (tmp_path / "out" / "README.md").read_text()
    assert open_corpus_counts(tmp_path / "out") == 4


def open_corpus_counts(out: Path) -> int:
    return sum(pq.read_metadata(p).num_rows for p in (out / "data").glob("*.parquet"))


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda part, clips, writer: list(clips), "neither kept nor failed"),
        (lambda part, clips, writer: [writer.add("data", [{"id": "x", "n": 1}]) for _ in clips], "neither kept"),
        (lambda part, clips, writer: [(work(part, [c], writer), writer.fail(c.id, "also")) for c in clips], "both"),
        (lambda part, clips, writer: work(part, list(clips)[::-1], writer), "not in the order"),
        (lambda part, clips, writer: None, "0 of 3 clips were read"),
        (lambda part, clips, writer: [writer.add("other", [{"id": c.id}]) for c in clips], "not one of this stage's"),
        (lambda part, clips, writer: [writer.add("data", [{"id": c.id, "n": "x"}]) for c in clips], "does not fit"),
    ],
)
def test_work_that_loses_or_invents_clips_is_found_out(speech: Path, tmp_path: Path, broken, said: str) -> None:
    with pytest.raises(WorkError, match=said):
        run(speech, tmp_path / "out", work=broken)
    assert not list((tmp_path / "out").glob("*/*"))


def test_a_part_in_other_hands_is_left_and_said_so(speech: Path, tmp_path: Path, caplog, monkeypatch) -> None:
    monkeypatch.setattr(stages, "_BUSY_SECONDS", 0.0)
    run(speech, tmp_path / "out", shard="0/4")
    held = stage_parts(tmp_path / "out")[1]
    with files.lock(tmp_path / "out" / "failures" / f".{held.stem}.lock") as mine, caplog.at_level(logging.WARNING):
        assert mine
        with pytest.raises(WorkError, match=f"part {held.stem} .*another process"):
            run(speech, tmp_path / "out")
        assert "is being worked on by another process" in caplog.text
        assert [part.done([tmp_path / "out"]) for part in stage_parts(tmp_path / "out")] == [True, False, True, True]
    assert run(speech, tmp_path / "out").parts_done == 1


def test_a_left_over_lock_file_does_not_block(speech: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "failures").mkdir(parents=True)
    with pytest.raises(InputError, match="is not empty"):
        run(speech, tmp_path / "out")
    (tmp_path / "out" / "failures").rmdir()
    run(speech, tmp_path / "out", shard="0/4")
    stale = tmp_path / "out" / "failures" / ".train-00001-of-00004.lock"
    stale.write_text("99999")
    run(speech, tmp_path / "out")
    assert not stale.exists()


def full(*args: object, **kw: object) -> IO[bytes]:
    return Path("/dev/full").open("wb")


def test_a_full_disk_is_an_error_that_loses_nothing(speech: Path, tmp_path: Path, monkeypatch) -> None:
    run(speech, tmp_path / "whole")
    run(speech, tmp_path / "out", shard="0/2")
    before = contents(tmp_path / "out")
    with monkeypatch.context() as patched:
        patched.setattr(files, "open", full, raising=False)
        with pytest.raises(WorkError, match="No space left on device"):
            run(speech, tmp_path / "out")
    assert contents(tmp_path / "out") == before
    run(speech, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_folder_that_cannot_be_used_is_refused(speech: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").write_text("here already")
    with pytest.raises(InputError, match="not a folder"):
        run(speech, tmp_path / "file")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(InputError, match=r"not empty \(e\.g\. thesis\.tex\)"):
        run(speech, tmp_path / "other")
    with pytest.raises(InputError, match="within each other"):
        run(speech, speech / "out")

    def refuse(*args, **kw):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "open", refuse, raising=False)
    with pytest.raises(InputError, match="Permission denied"):
        run(speech, tmp_path / "new")


def test_a_vanished_source_stops_the_stage(speech: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for path in speech.iterdir():
        (source / path.name).write_bytes(path.read_bytes())

    def vanishing(part, clips, writer):
        if part.index == 2 and source.exists():
            source.rename(tmp_path / "unmounted")
        work(part, clips, writer)

    with pytest.raises(WorkError, match="has vanished"):
        run(source, tmp_path / "out", work=vanishing)
    (tmp_path / "unmounted").rename(source)
    assert run(source, tmp_path / "out").failed == 0


def test_several_tables_have_a_configuration_each(speech: Path, tmp_path: Path) -> None:
    import datasets

    def two(part, clips, writer):
        for clip in clips:
            writer.add("clips", [{"clip_id": clip.id}])
            writer.add("tokens", [{"clip_id": clip.id, "token": t} for t in "ab"])

    schemas = {
        "clips": pa.schema([("clip_id", pa.string())]),
        "tokens": pa.schema([("clip_id", pa.string()), ("token", pa.string())]),
    }
    run(speech, tmp_path / "out", work=two, schemas=schemas)
    for name, count in (("clips", 10), ("tokens", 20), (None, 10)):
        loaded = datasets.load_dataset(str(tmp_path / "out"), name, cache_dir=str(tmp_path / "cache"))
        assert loaded["train"].num_rows == count


def test_vectors_are_plain_safetensors(speech: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    def vectors(part, clips, writer):
        work(part, clips, writer)
        for row in range(len(part)):
            hidden = np.full((2, 3), part.start + row, np.float32)
            writer.add_vectors(
                {"ids": np.full((1, 5), row, np.uint16), "hidden": hidden, "p": np.zeros((1, 5), np.float16)}
            )

    run(speech, tmp_path / "out", work=vectors)
    found = [load_file(part.vectors(tmp_path / "out")) for part in stage_parts(tmp_path / "out")]
    hidden = np.concatenate([arrays["hidden"] for arrays in found])
    np.testing.assert_array_equal(hidden, np.repeat(np.arange(10, dtype=np.float32), 2)[:, None] * np.ones(3))
    assert {name: a.dtype for name, a in found[0].items()} == {"ids": "uint16", "hidden": "float32", "p": "float16"}


def test_a_manifest_that_is_none_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no manifest\.json"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"name": "something else"}))
    with pytest.raises(InputError, match="not the manifest of a row stage"):
        read_manifest(tmp_path)
    for plan in (None, []):
        (tmp_path / "manifest.json").write_text(json.dumps({"stage": "mask", "options": {}, "plan": plan}))
        with pytest.raises(InputError, match="plans no rows; it is damaged"):
            read_manifest(tmp_path)


@pytest.mark.parametrize("lost", ["stage", "options", "plan", "plan.rows", "plan.rows_per_part"])
def test_a_key_that_a_manifest_lacks_is_named(tmp_path: Path, lost: str) -> None:
    manifest = {"stage": "mask", "options": {}, "plan": {"rows": {"train": 1}, "rows_per_part": 4}}
    table, _, key = lost.rpartition(".")
    (manifest[table] if table else manifest).pop(key)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=f"lacks the key '{lost}': it was edited by hand.*run the stage again") as said:
        read_manifest(tmp_path)
    assert str(path) in str(said.value)
