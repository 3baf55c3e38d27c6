"""What goes wrong outside: a full disk, a folder that cannot be written, signals, two at once. A clear end, no harm."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from audiogram.corpus import open_corpus, run_stage
from audiogram.errors import InputError, WorkError

SCHEMA = {"data": pa.schema([("id", pa.string()), ("sound", pa.binary())])}


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech")
    rng = np.random.default_rng(0)
    for number in range(12):
        soundfile.write(folder / f"w{number:02d}.wav", 0.1 * rng.normal(size=2000), 16_000)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def begun(speech: Path, out: Path, workers: int = 1, **options: object) -> subprocess.Popen[str]:
    """The command, in a process group of its own."""
    call = [sys.executable, "-m", "audiogram", "mask", str(speech), str(out / "m"), "-c", "hfloss"]
    call += ["--rows-per-part", "3", "--workers", str(workers)]
    return subprocess.Popen(
        call,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **options,  # type: ignore[call-overload]
    )


def ended(program: subprocess.Popen[str]) -> tuple[int, str]:
    said = program.communicate()[1]
    assert "Traceback" not in said
    return program.returncode, said


@pytest.fixture(scope="module")
def whole(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole")
    assert ended(begun(speech, out))[0] == 0
    return contents(out)


@pytest.mark.parametrize("workers", [1, 2])
def test_files_that_may_not_grow_end_the_work_and_nothing_is_half_written(
    speech: Path, whole: dict[str, bytes], tmp_path: Path, workers: int
) -> None:
    def limit() -> None:  # the system's own refusal, as of a full disk or a quota
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, resource.RLIM_INFINITY))

    code, said = ended(begun(speech, tmp_path, workers, preexec_fn=limit))
    assert code == 1
    assert "File too large" in said
    assert "start the same command again" in said
    assert contents(tmp_path).items() <= whole.items()  # also: no file under a dot-name
    assert ended(begun(speech, tmp_path, workers))[0] == 0
    assert contents(tmp_path) == whole


def copy(part, clips, writer) -> None:
    for clip in clips:
        writer.add("data", [{"id": clip.id, "sound": clip.encoded}])


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_disk_that_is_full_at_whatever_moment_loses_nothing(
    speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    real, calls = getattr(os, name), 0

    def run(out: Path, full_at: int) -> None:
        """Bring every file to the disk, but call number `full_at`; and fail only with a word on why."""
        nonlocal calls
        calls = 0

        def call(*arguments: object) -> object:
            nonlocal calls
            calls += 1
            if calls == full_at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*arguments)

        monkeypatch.setattr(os, name, call)
        settings = {"options": {}, "corpus": open_corpus(speech), "work": copy, "schemas": SCHEMA, "rows_per_part": 5}
        try:
            run_stage("copy", outs=[out], **settings)
        except (WorkError, InputError) as error:  # InputError: the folder cannot even be begun
            said.append(str(error))

    said: list[str] = []
    run(tmp_path / "whole", 0)
    expected, moments = contents(tmp_path / "whole"), calls
    assert not said
    assert moments >= 8
    for moment in range(1, moments + 1):
        run(tmp_path / "out", moment)
        assert contents(tmp_path / "out").items() <= expected.items()
        run(tmp_path / "out", 0)
        assert contents(tmp_path / "out") == expected
        shutil.rmtree(tmp_path / "out")
    # a folder that cannot be synchronised is borne: the rename in it has happened
    assert len(said) >= moments // 2
    assert all("No space left on device" in text and "free some space" in text for text in said)


@pytest.mark.parametrize("base", ["/proc/nowhere", "/dev/null/out"])
def test_a_folder_that_cannot_be_made_is_refused_before_any_work(speech: Path, base: str) -> None:
    code, said = ended(begun(speech, Path(base)))
    assert code == 2
    assert "cannot use" in said
    assert "Choose one you may write to" in said


@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_to_the_whole_group_while_it_starts_is_heard(
    speech: Path, whole: dict[str, bytes], tmp_path: Path, workers: int
) -> None:
    program = begun(speech, tmp_path, workers)
    while not (tmp_path / "m_hfloss" / "README.md").is_file():  # from here on it listens; its workers do not yet
        assert program.poll() is None
        time.sleep(0.001)
    os.killpg(program.pid, signal.SIGTERM)
    code, said = ended(program)
    assert code == 75
    assert "stopped on request (SIGTERM)" in said
    assert contents(tmp_path).items() <= whole.items()
    assert ended(begun(speech, tmp_path, workers))[0] == 0
    assert contents(tmp_path) == whole


def test_two_at_once_share_the_work_or_say_so(speech: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    both = [begun(speech, tmp_path), begun(speech, tmp_path)]
    for code, said in map(ended, both):
        assert code == 0 or (code == 1 and "another process" in said)
    assert ended(begun(speech, tmp_path))[0] == 0
    assert contents(tmp_path) == whole


def test_memory_that_runs_out_ends_with_advice(speech: Path, tmp_path: Path) -> None:
    def greedy(part, clips, writer) -> None:
        for clip in clips:
            if clip.id == "w07":
                raise MemoryError
            writer.add("data", [{"id": clip.id, "sound": clip.encoded}])

    with pytest.raises(WorkError, match=r"out of memory in part train-00001-of-00003.*fewer --workers"):
        run_stage(
            "copy",
            options={},
            corpus=open_corpus(speech),
            outs=[tmp_path / "o"],
            work=greedy,
            schemas=SCHEMA,
            rows_per_part=5,
        )
    assert len(list((tmp_path / "o" / "failures").iterdir())) == 1
