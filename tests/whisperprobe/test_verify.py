"""`verify`: what is sound is called sound, every damage is named, and the chain leads back to the source."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from audiogram import mask_corpus, open_corpus
from audiogram.console import run_app
from audiogram.corpus import read_manifest
from audiogram.errors import AudiogramWarning, InputError
from whisperprobe import extract_corpus, probe_corpus, verify_folder, write_log_mel
from whisperprobe.cli import app
from whisperprobe.probing.probe import Probe

_spec = spec_from_file_location("naive_probe", Path(__file__).with_name("naive_probe.py"))
naive_probe = module_from_spec(_spec)
_spec.loader.exec_module(naive_probe)

RATE = 16_000
PATTERN = r"(?P<text>[a-z]+)_(?P<take>\d+)"


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven clips in two splits, of which one is no sound."""
    folder = tmp_path_factory.mktemp("source") / "speech"
    for number in range(10):
        file = folder / ("test" if number > 6 else "train") / f"fish_{number}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        x = 0.1 * np.random.default_rng(number).normal(size=2000 + 50 * number)
        soundfile.write(file, x, RATE)
    (folder / "train" / "fish_99.wav").write_bytes(b"no sound")
    return folder


@pytest.fixture(scope="module")
def whole(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Output of every kind of stage, sound: each test damages a copy."""
    base = tmp_path_factory.mktemp("whole")
    few = {"rows_per_part": 3, "max_failures": 0.5}
    masked = mask_corpus(speech, base / "speech", ["hfloss"], text_pattern=PATTERN, **few)["hfloss"]
    (mels,) = write_log_mel(masked, base / "mels", model="openai/whisper-tiny", labels=False, **few)
    probe = Probe(*naive_probe.tiny_whisper(["fish"]), max_new_tokens=3)
    probes = probe_corpus(masked, base / "probes", model=probe, splits=None, top_k=5, encoder="mean", **few)
    files = extract_corpus(masked, base / "files", **few)
    return {"mask": masked, "log-mel": mels, "probe": probes, "extract": files}


@pytest.fixture
def copy(whole: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """`copy(stage)`: an output of that stage to damage."""
    return lambda stage: Path(shutil.copytree(whole[stage], tmp_path / stage))


@pytest.mark.parametrize("stage", ["mask", "log-mel", "probe", "extract"])
def test_what_is_sound_is_called_sound(whole: dict[str, Path], stage: str) -> None:
    found = verify_folder(whole[stage])
    assert found.problems == ()
    assert found.stage == stage
    first = stage == "mask"
    assert (found.rows_in, found.rows_out, found.failed) == ((11, 10, 1) if first else (10, 10, 0))
    assert found.decoded == (10 if stage in ("mask", "extract") else 0)


def test_workers_find_the_same(whole: dict[str, Path]) -> None:
    assert verify_folder(whole["mask"], workers=2) == verify_folder(whole["mask"])


def test_only_a_sample_is_decoded(whole: dict[str, Path]) -> None:
    found = verify_folder(whole["mask"], max_samples=2)
    assert found.sound
    assert 0 < found.decoded <= 4
    assert verify_folder(whole["mask"], max_samples=0).decoded == 0


# The chain


def test_the_chain_leads_back_to_the_source(whole: dict[str, Path], speech: Path) -> None:
    found = verify_folder(whole["probe"])
    assert [link.stage for link in found.chain] == ["folder", "mask", "probe"]
    assert [link.place for link in found.chain] == [str(speech), str(whole["mask"]), str(whole["probe"])]
    counted = [(link.rows_in, link.rows_out, link.failed) for link in found.chain]
    assert counted == [(None, 11, None), (11, 10, 1), (10, 10, 0)]
    assert found.lines() == [
        f"{speech} (folder): 11 clips",
        f"mask -> {whole['mask']}: in 11, out 10, failed 1",
        f"probe -> {whole['probe']}: in 10, out 10, failed 0",
        "sound: 10 rows in = 10 out + 0 failed",
    ]


def test_a_sample_and_a_stage_that_has_gone_are_in_the_chain(speech: Path, tmp_path: Path) -> None:
    masked = mask_corpus(speech, tmp_path / "a", ["normal"], max_failures=1)["normal"]
    with pytest.warns(AudiogramWarning, match="filtered already"):
        again = mask_corpus(masked, tmp_path / "b", ["hfloss"], max_samples=3)["hfloss"]
    shutil.rmtree(masked)
    found = verify_folder(again)
    assert found.sound  # what is here is whole, though its source has gone
    assert "in 6 of 10, out 6, failed 0" in str(found.chain[-1])
    assert (found.chain[1].rows_in, found.chain[1].rows_out, found.chain[1].failed) == (11, 10, 1)
    assert found.chain[1].note == "not here; as the next stage found it"
    assert any("is not here" in note for note in found.notes)
    shutil.copytree(speech, masked)
    (masked / "manifest.json").write_text(
        json.dumps({"stage": "x", "options": {}, "plan": {"rows": {}, "rows_per_part": 1}})
    )
    assert "another run by now" in verify_folder(again, source=False).chain[1].note


def test_a_source_that_has_changed_is_named(speech: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(speech, tmp_path / "speech"))
    masked = mask_corpus(source, tmp_path / "a", ["normal"], max_failures=1)["normal"]
    (source / "train" / "fish_0.wav").unlink()
    (problem,) = verify_folder(masked).problems
    assert "does not hold any more what this was made from" in problem
    assert verify_folder(masked, source=False).sound


# Damage


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 16
    path.write_bytes(bytes(data))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def rewrite(path: Path, change: Callable[[list[dict]], list[dict]]) -> None:
    table = pq.read_table(path)
    pq.write_table(pa.Table.from_pylist(change(table.to_pylist()), schema=table.schema), path)


PART = "train-00000-of-00003"


def one_bit(root: Path) -> None:
    """In the middle of the sound of a clip."""
    path = root / "data" / f"{PART}.parquet"
    sounds = pq.read_table(path)["audio"].combine_chunks().field("bytes")
    flip(path, path.read_bytes().index(sounds[1].as_py()) + 700)


def bad_sound(rows: list[dict]) -> list[dict]:
    rows[1]["audio"]["bytes"] = rows[1]["audio"]["bytes"][:40]
    return rows


def other_rate(rows: list[dict]) -> list[dict]:
    import io

    buffer = io.BytesIO()
    soundfile.write(buffer, np.full(100, 0.1), 8000, format="FLAC")
    rows[0]["audio"]["bytes"] = buffer.getvalue()
    return rows


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (one_bit, "cannot be read|clip 'train/fish_1'"),
        (lambda r: cut(r / "data" / f"{PART}.parquet"), f"{PART}.parquet cannot be read"),
        (lambda r: (r / "data" / f"{PART}.parquet").unlink(), "3 of its 3 clips are neither in the table nor failed"),
        (lambda r: rewrite(r / "data" / f"{PART}.parquet", lambda rows: rows[:-1]), "1 of its 3 clips are neither"),
        (lambda r: rewrite(r / "data" / f"{PART}.parquet", bad_sound), "clip 'train/fish_1': cannot read"),
        (lambda r: rewrite(r / "data" / f"{PART}.parquet", other_rate), "clip 'train/fish_0': 8000 Hz, not 16000 Hz"),
        (lambda r: (r / "failures" / f"{PART}.parquet").unlink(), f"1 of 4 parts are not finished, e.g. {PART}"),
        (lambda r: cut(r / "failures" / f"{PART}.parquet"), "failures.*cannot be read"),
        (
            lambda r: rewrite(r / "failures" / f"{PART}.parquet", lambda _: [{"id": "train/fish_0", "error": "x"}]),
            "are in the table and failed, e.g. 'train/fish_0'",
        ),
        (
            lambda r: shutil.copy(r / "data" / f"{PART}.parquet", r / "data" / "train-00001-of-00003.parquet"),
            "3 clips are there more than once",
        ),
        (
            lambda r: shutil.copy(r / "data" / f"{PART}.parquet", r / "data" / "train-00009-of-00010.parquet"),
            "not of this run's plan",
        ),
        (lambda r: (r / "data" / f".{PART}.parquet.4711.tmp").write_bytes(b"x"), "left by a process that died"),
        (lambda r: (r / "failures" / f".{PART}.lock").write_bytes(b"4711"), "left by a process that died"),
        (lambda r: (r / "manifest.json").unlink(), "the manifest: .*no manifest.json"),
        (lambda r: cut(r / "manifest.json"), "the manifest: .*cannot be read"),
        (lambda r: (r / "README.md").unlink(), "README.md is missing"),
    ],
)  # fmt: skip
def test_damage_of_a_corpus_is_named(copy: Callable[[str], Path], damage: Callable[[Path], object], said: str) -> None:
    import re

    root = copy("mask")
    assert verify_folder(root).sound
    damage(root)
    found = verify_folder(root)
    assert not found.sound
    assert any(re.search(said, problem) for problem in found.problems), found.problems


def change_manifest(root: Path, change: Callable[[dict], object]) -> Path:
    path = root / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    return path


@pytest.mark.parametrize(
    ("stage", "lost"),
    [
        *(("mask", key) for key in ("stage", "options", "plan", "plan.rows", "tables", "input", "input.fingerprint")),
        *(("log-mel", f"options.{key}") for key in ("bands", "dtype")),
        *(("probe", f"input.upstream.{key}") for key in ("stage", "plan", "plan.rows")),
    ],
)
def test_a_key_that_the_manifest_lacks_is_named(
    copy: Callable[[str], Path], stage: str, lost: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its file, what may have happened, and what to do."""
    root, [*tables, key] = copy(stage), lost.split(".")
    path = change_manifest(
        root, lambda manifest: functools.reduce(lambda at, name: at[name], tables, manifest).pop(key)
    )
    (problem,) = verify_folder(root).problems
    assert f"{path} lacks the key {lost!r}: it was edited by hand, or written by another version." in problem
    assert "run the stage again" in problem
    assert run_app(app, ["verify", str(root)]) == 1
    assert problem in capsys.readouterr().err


def test_a_manifest_of_other_things_is_told_from_one_without_a_key(copy: Callable[[str], Path]) -> None:
    root = copy("mask")
    change_manifest(root, lambda manifest: manifest["plan"].update(rows=["train", "test"]))
    (problem,) = verify_folder(root).problems
    assert "manifest.json does not hold what a stage writes there" in problem


@pytest.mark.parametrize("moment", range(12))
def test_a_bit_that_flips_anywhere_in_the_rows_is_found(copy: Callable[[str], Path], moment: int) -> None:
    """Anywhere but in the footer, which has no checksum."""
    root = copy("mask")
    path = root / "data" / f"{PART}.parquet"
    size = path.stat().st_size
    footer = int.from_bytes(path.read_bytes()[-8:-4], "little")
    flip(path, int(np.random.default_rng(moment).integers(4, size - 8 - footer)))
    assert not verify_folder(root).sound


def header(path: Path, change: Callable[[dict], None]) -> None:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    said = json.loads(data[8 : 8 + length])
    change(said)
    text = json.dumps(said).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def fewer_rows(name: str) -> Callable[[dict], None]:
    """One row less in the header, its bytes given to nobody."""

    def change(said: dict) -> None:
        said[name]["shape"][0] -= 1

    return change


def narrower(said: dict) -> None:
    rows, bands = said["log_mel"]["shape"]
    said["log_mel"]["shape"] = [rows * bands // 40, 40]


@pytest.mark.parametrize("stage", ["log-mel", "probe"])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.unlink(), "is missing: the tables ask for"),
        (cut, "bytes long"),
        (lambda path: flip(path, path.stat().st_size - 50), "are not those that were written"),
        (lambda path: flip(path, 3), "its header is"),
        (lambda path: path.write_bytes(b""), "its header is"),
    ],
)
def test_damage_of_vectors_is_named(
    copy: Callable[[str], Path], stage: str, damage: Callable[[Path], object], said: str
) -> None:
    root = copy(stage)
    damage(root / "vectors" / f"{next((root / 'vectors').iterdir()).stem}.safetensors")
    problems = verify_folder(root).problems
    assert len(problems) == 1
    assert said in problems[0]


def test_shapes_of_vectors_are_compared_with_tables_and_manifest(copy: Callable[[str], Path]) -> None:
    mels, probes = copy("log-mel"), copy("probe")
    path = next((mels / "vectors").iterdir())
    clips = mels / "clips" / f"{path.stem}.parquet"
    rewrite(clips, lambda rows: [{**row, "frames": row["frames"] - 1} for row in rows])
    assert "rows, the tables ask for" in verify_folder(mels).problems[0]
    header(path, narrower)
    assert any("not of 80 bands" in problem for problem in verify_folder(mels).problems)
    path = next((probes / "vectors").iterdir())
    header(path, fewer_rows("encoder"))
    assert "do not fit its shape" in verify_folder(probes).problems[0]


def test_tables_of_a_probe_belong_together(copy: Callable[[str], Path]) -> None:
    root = copy("probe")
    path = next((root / "tokens").iterdir())
    rewrite(path, lambda rows: [*rows[:-1], {**rows[-1], "clip_id": "nobody"}])
    assert any("clips that the first has not, e.g. 'nobody'" in problem for problem in verify_folder(root).problems)


def test_files_of_an_extract_are_looked_at(copy: Callable[[str], Path]) -> None:
    root = copy("extract")
    (root / "train" / "fish_0.wav").unlink()
    (root / "train" / "fish_1.txt").write_text("chip\n")
    (root / "train" / "fish_2.txt").unlink()
    cut(root / "train" / "fish_3.wav")
    (root / "train" / "fish_4.wav").write_bytes(b"RIFF")
    problems = verify_folder(root).problems
    expected = {"0": "no such sound file", "1": "not hold its text", "2": "No such file", "3": "s of sound are left of"}
    for id, said in (expected | {"4": "cannot read"}).items():
        assert any(f"clip 'train/fish_{id}'" in problem and said in problem for problem in problems), (id, problems)
    assert len(verify_folder(root, max_samples=0).problems) == 3


def test_a_part_in_the_hands_of_another_process_is_not_a_leftover(copy: Callable[[str], Path]) -> None:
    root = copy("mask")
    lock = root / "failures" / f".{PART}.lock"
    lock.touch()
    left = root / "data" / f".{PART}.parquet.1.tmp"
    left.touch()
    program = (
        "import fcntl, os, sys; d = os.open(sys.argv[1], os.O_RDWR); fcntl.flock(d, fcntl.LOCK_EX); "
        "print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    found = verify_folder(root)
    assert found.sound
    assert found.notes == (f"part {PART} is being worked on by another process.",)
    holder.communicate("")
    assert len(verify_folder(root).problems) == 2


# Calls


def test_the_command(copy: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = copy("mask")
    assert run_app(app, ["verify", str(root)]) == 0
    assert "sound: 11 rows in = 10 out + 1 failed, 10 decoded" in capsys.readouterr().out
    (root / "failures" / f"{PART}.parquet").unlink()
    (root / "README.md").unlink()
    (root / "data" / ".x.tmp").touch()
    assert run_app(app, ["verify", str(root), "--max-samples", "1", "--no-source"]) == 1
    said = capsys.readouterr()
    assert f"damaged: 1 of 4 parts are not finished, e.g. {PART}" in said.out
    assert "is damaged: 1 of 4 parts are not finished" in said.err
    assert "(and 1 more)" in said.err
    assert run_app(app, ["verify", str(tmp_path)]) == 2
    assert "not the output of a row stage" in capsys.readouterr().err
    assert run_app(app, ["verify", str(tmp_path / "nowhere")]) == 2
    assert run_app(app, ["verify", str(root), "--workers", "0"]) == 2


def test_verifying_changes_nothing(whole: dict[str, Path]) -> None:
    for root in whole.values():
        before = {path: (os.stat(path).st_mtime_ns, os.stat(path).st_size) for path in root.rglob("*")}
        verify_folder(root)
        assert before == {path: (os.stat(path).st_mtime_ns, os.stat(path).st_size) for path in root.rglob("*")}


def test_a_stage_started_again_mends_what_was_named(speech: Path, tmp_path: Path) -> None:
    given = {"rows_per_part": 3, "max_failures": 0.5}
    root = mask_corpus(speech, tmp_path / "a", ["normal"], **given)["normal"]
    expected = (root / "data" / f"{PART}.parquet").read_bytes()
    cut(root / "data" / f"{PART}.parquet")
    assert not verify_folder(root).sound
    (root / "failures" / f"{PART}.parquet").unlink()  # the part is to be done again
    mask_corpus(speech, tmp_path / "a", ["normal"], **given)
    assert verify_folder(root).sound
    assert (root / "data" / f"{PART}.parquet").read_bytes() == expected


def test_manifests_say_how_many_rows_the_input_had(whole: dict[str, Path], speech: Path) -> None:
    manifest = read_manifest(whole["log-mel"])
    assert manifest["input"]["rows"] == {"train": 7, "test": 3}
    assert manifest["input"]["upstream"]["input"]["rows"] == {"train": 8, "test": 3}
    assert sum(map(open_corpus(speech).count, ("train", "test"))) == 11
    with pytest.raises(InputError, match="--max-samples -1"):
        verify_folder(whole["mask"], max_samples=-1)
