"""Clips decoded ahead of the model: in order, the same bytes, one failure a row, and no thread left behind."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import audiogram as ag
from audiogram import sound
from audiogram.corpus import Clip
from audiogram.errors import InputError, StoppedError, WorkError
from whisperprobe.probing import corpus as probing_corpus
from whisperprobe.probing import loading
from whisperprobe.probing.corpus import probe_corpus
from whisperprobe.probing.hearing import Hearing, torch_threads
from whisperprobe.probing.probe import Probe
from whisperprobe.probing.store import load_probes
from whisperprobe.ranks import local_rank, shard_of_rank

_spec = spec_from_file_location("naive_probe", Path(__file__).with_name("naive_probe.py"))
naive_probe = module_from_spec(_spec)
_spec.loader.exec_module(naive_probe)

WORDS = ["sick", "thick", "fish", "ship", "chip", "naïve"]
OPTIONS = {"text_pattern": "(?P<text>[^_]+)_.*", "splits": None, "batch_size": 3, "rows_per_part": 7, "top_k": 5}


@pytest.fixture(scope="module")
def probe():
    return Probe(*naive_probe.tiny_whisper(WORDS), max_new_tokens=3)


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Eighteen clips in FLAC and MP3 at three rates; four of them cannot be used."""
    import soundfile

    root = tmp_path_factory.mktemp("speech")
    rng = np.random.default_rng(0)
    for i, word in enumerate(WORDS * 3):
        rate = (8_000, 16_000, 44_100)[i % 3]
        x = (0.2 * rng.standard_normal(int(rate * (0.2 + 0.03 * i)))).astype(np.float32)
        if i % 2:
            sound.write(root / f"{word}_{i:02}.flac", x, rate)
        else:
            soundfile.write(root / f"{word}_{i:02}.mp3", x, rate)
    (root / "fish_04x.flac").write_bytes(b"fLaC nothing")
    (root / "naïve_08x.mp3").write_bytes(b"")
    sound.write(root / "ship_09x.flac", np.zeros(4_000, dtype=np.float32), 16_000)
    sound.write(root / "thick_13x.flac", np.full(16_001, 0.1, dtype=np.float32), 16_000)
    return root


@pytest.fixture(autouse=True)
def _no_thread_stays():
    yield
    assert not [t for t in threading.enumerate() if t.name.startswith("hearing")]


def digests(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and not p.name.startswith(".")
    }


@pytest.fixture(scope="module")
def whole(probe, speech, tmp_path_factory):
    """The run without threads."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    return probe_corpus(
        speech, out, model=probe, condition="lfloss", max_failures=0.5, num_workers=0, num_threads=1, **OPTIONS
    )


def test_the_run_without_threads_has_what_it_should(whole):
    run = load_probes(whole)
    assert len(run.clips) == 18
    failures = run.failures.set_index("id")["error"]
    assert sorted(failures.index) == ["fish_04x", "naïve_08x", "ship_09x", "thick_13x"]
    assert "window of 1 s" in failures["thick_13x"]
    assert "silent" in failures["ship_09x"]


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_any_number_of_threads_gives_the_same_bytes(probe, speech, whole, tmp_path, workers):
    out = probe_corpus(
        speech, tmp_path / "run", model=probe, condition="lfloss", max_failures=0.5, num_workers=workers,
        num_threads=1, **OPTIONS,
    )  # fmt: skip
    assert digests(out) == digests(whole)


class Told:
    """A clip that says when its sound is asked for, and gives it when it may."""

    def __init__(self, number, problem=None):
        self.id, self.text, self.number, self.problem = str(number), "sick", number, problem
        self.begun, self.may = threading.Event(), threading.Event()
        self.may.set()

    def audio(self):
        self.begun.set()
        assert self.may.wait(60)
        if self.problem is not None:
            raise self.problem
        return np.full(100 + self.number, 0.1, dtype=np.float32), 16_000


def test_sound_is_decoded_while_the_model_works_and_comes_in_order(probe):
    clips = [Told(i) for i in range(12)]
    clips[1].may.clear()  # the second is slow: those behind it are done before, and wait
    read = []

    def reading():
        for clip in clips:
            read.append(clip.number)
            yield clip

    heard = Hearing(probe, None, workers=3, ahead=5)(reading())
    first, (x, text) = next(heard)
    assert (first.number, len(x), text) == (0, 100, "sick")
    # here the model would work: without being asked, the threads go on
    for clip in clips[1:6]:
        assert clip.begun.wait(60)
    assert read == list(range(6))  # but not for ever
    assert not clips[6].begun.is_set()
    clips[1].may.set()
    assert [(clip.number, len(x)) for clip, (x, _) in heard] == [(i, 100 + i) for i in range(1, 12)]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_clips_error_is_its_own_and_other_errors_end_the_run(probe, workers):
    clips = [Told(0), Told(1, InputError("cannot read it.")), Told(2)]
    heard = [h for _, h in Hearing(probe, None, workers=workers, ahead=1)(clips)]
    assert isinstance(heard[1], InputError)
    assert [len(h[0]) for h in (heard[0], heard[2])] == [100, 102]
    clips[1].problem = WorkError("the disk has gone.")
    with pytest.raises(WorkError, match="disk"):
        list(Hearing(probe, None, workers=workers, ahead=1)(clips))
    clips[1].problem = ZeroDivisionError("a fault of ours")
    with pytest.raises(ZeroDivisionError):
        list(Hearing(probe, None, workers=workers, ahead=1)(clips))


def test_one_thread_at_a_time_is_within_a_filter(probe, monkeypatch):
    condition = ag.condition("hfloss")
    inside, most = [], []

    def hear(self, x, sample_rate, *, keys=None):
        inside.append(keys)
        most.append(len(inside))
        inside.remove(keys)
        return x * 0.5

    monkeypatch.setattr(type(condition), "__call__", hear)
    heard = list(Hearing(probe, condition, workers=4, ahead=8)([Told(i) for i in range(30)]))
    assert len(heard) == len(most) == 30
    assert set(most) == {1}
    assert all(np.allclose(x, 0.05) for _, (x, _) in heard)


def test_a_text_that_is_too_long_is_that_clips_failure(probe):
    clip = Clip("a", "test", text="word " * 60, path=None)
    good = Told(1)
    monkey = Told(0)
    monkey.text = clip.text
    (_, long), (_, fine) = Hearing(probe, None, workers=1, ahead=1)([monkey, good])
    assert "room for" in str(long)
    assert fine[1] == "sick"


def test_a_signal_stops_the_run_and_the_same_call_goes_on(probe, speech, whole, tmp_path, monkeypatch):
    real, calls = probing_corpus._Work._write, []

    def stopping(self, *args):
        calls.append(1)
        if len(calls) == 4:  # in the second part
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, *args)

    monkeypatch.setattr(probing_corpus._Work, "_write", stopping)
    options = {"model": probe, "condition": "lfloss", "max_failures": 0.5, "num_threads": 1, **OPTIONS}
    with pytest.raises(StoppedError, match="SIGTERM"):
        probe_corpus(speech, tmp_path / "run", **options)
    done = list((tmp_path / "run" / "failures").glob("*.parquet"))
    assert 1 <= len(done) < 4
    assert len(calls) < 8
    probe_corpus(speech, tmp_path / "run", **options)
    assert digests(tmp_path / "run") == digests(whole)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_workers": -1}, "num_workers"),
        ({"num_workers": True}, "num_workers"),
        ({"num_threads": 0}, "num_threads"),
    ],
)
def test_numbers_of_threads_that_cannot_be(probe, speech, tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        probe_corpus(speech, tmp_path / "run", model=probe, **OPTIONS, **options)
    assert not (tmp_path / "run").exists()


def test_torchs_threads_are_given_back():
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with torch_threads(None):
        assert torch.get_num_threads() == before


@pytest.fixture
def rank(monkeypatch):
    """`rank(r, n)`: as torchrun would start process r of n."""

    def start(r, n):
        for name, value in {"RANK": r, "LOCAL_RANK": r, "WORLD_SIZE": n, "TORCHELASTIC_RUN_ID": "none"}.items():
            monkeypatch.setenv(name, str(value))

    return start


def test_without_torchrun_the_shard_is_what_was_asked_for(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")  # a scheduler's, not torchrun's: this process is alone
    monkeypatch.setenv("RANK", "1")
    assert shard_of_rank(None) == (0, 1)
    assert shard_of_rank((2, 3)) == (2, 3)
    assert local_rank() is None


@settings(deadline=None)
@given(of=st.integers(1, 5), size=st.integers(1, 5), parts=st.integers(0, 60))
def test_ranks_share_out_a_shard(of, size, parts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHELASTIC_RUN_ID", "none")
        patch.setenv("WORLD_SIZE", str(size))
        taken = []
        for index in range(of):
            own = []
            for r in range(size):
                patch.setenv("RANK", str(r))
                i, n = shard_of_rank(f"{index}/{of}")
                own += range(parts)[i::n]
            assert sorted(own) == list(range(parts)[index::of])
            taken += own
        assert sorted(taken) == list(range(parts))


def test_each_rank_has_the_gpu_of_its_number(rank, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert loading.choose_device("auto") == "cuda"
    rank(5, 8)
    assert loading.choose_device("auto") == "cuda:1"
    assert loading.choose_device("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert loading.choose_device("auto") == "cpu"


def test_two_processes_under_torchrun_write_what_one_writes(probe, speech, tmp_path):
    model = tmp_path / "model"
    probe.model.save_pretrained(model)
    probe.tokenizer.save_pretrained(model)
    (tmp_path / "good").mkdir()
    for file in speech.iterdir():
        if not file.stem.endswith("x"):
            (tmp_path / "good" / file.name).write_bytes(file.read_bytes())
    out = tmp_path / "torchrun"
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "whisperprobe",
        "probe", str(tmp_path / "good"), "--model", str(model), "--out", str(out), "--splits", "train",
        "--batch-size", "3", "--top-k", "5", "--num-threads", "1", "--device", "cpu", "--rows-per-part", "5",
        "--text-pattern", OPTIONS["text_pattern"],
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    single = probe_corpus(
        tmp_path / "good", tmp_path / "single", model=str(model), device="cpu", num_threads=1,
        **{**OPTIONS, "rows_per_part": 5},
    )  # fmt: skip
    assert len(list((single / "failures").glob("*.parquet"))) == 4  # two parts each
    assert digests(out) == digests(single)
