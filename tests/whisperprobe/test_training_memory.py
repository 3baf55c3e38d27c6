"""Memory that runs out is told with what to lower, or a batch is found that fits; what needs a GPU says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from training_harness import SHORT, same_weights
from transformers import WhisperForConditionalGeneration

from audiogram.errors import InputError, WorkError
from whisperprobe.training.batch_fitting import fitting_plan
from whisperprobe.training.batch_plan import BatchPlan
from whisperprobe.training.options import chosen_precision
from whisperprobe.training.processes import Processes
from whisperprobe.training.trainer import FinetuneResult, finetune

OPTIONS = {**SHORT, "max_steps": 2, "global_batch": 12, "batch_size": 12}


def as_a_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def as_a_cpu() -> None:
    raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: 12 bytes")


def as_the_system() -> None:
    raise MemoryError


@pytest.fixture
def room_for_four(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A machine with memory for four clips at once; the list says what was tried."""
    plain, tried = WhisperForConditionalGeneration.forward, []

    def forward(self: Any, input_features: Any = None, **given: Any) -> Any:
        if self.training:
            tried.append(len(input_features))
            if len(input_features) > 4:
                as_a_gpu()
        return plain(self, input_features=input_features, **given)

    monkeypatch.setattr(WhisperForConditionalGeneration, "forward", forward)
    return tried


@pytest.mark.parametrize("fail", [as_a_gpu, as_a_cpu, as_the_system])
def test_memory_that_runs_out_is_told_with_what_to_lower(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: Any
) -> None:
    monkeypatch.setattr(WhisperForConditionalGeneration, "forward", lambda *_, **__: fail())
    with pytest.raises(WorkError, match=r"batch_size 12 .*Lower batch_size to 6: global_batch stays 12.*auto_batch"):
        finetune(tone_words, tmp_path / "a", model=tone_listener.path, **OPTIONS)
    if fail is not as_a_gpu:
        return
    with pytest.raises(WorkError, match=r"out of memory with batch_size 1 .*Give gradient_checkpointing"):
        finetune(tone_words, tmp_path / "b", model=tone_listener.path, **{**OPTIONS, "batch_size": 1})
    with pytest.raises(WorkError, match="single clip"):
        finetune(tone_words, tmp_path / "c", model=tone_listener.path, auto_batch=True, **OPTIONS)


def test_other_errors_are_not_taken_for_memory(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(WhisperForConditionalGeneration, "forward", broken)
    for auto_batch in (False, True):
        with pytest.raises(RuntimeError, match="mat1") as told:
            finetune(tone_words, tmp_path / str(auto_batch), model=tone_listener.path, auto_batch=auto_batch, **OPTIONS)
        assert not isinstance(told.value, WorkError)


def test_auto_batch_finds_what_fits_and_learns_the_same(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path, room_for_four: list[int]
) -> None:
    found = finetune(tone_words, tmp_path / "found", model=tone_listener.path, auto_batch=True, **OPTIONS).path
    assert room_for_four == [12, 6, 4] + [4] * 6  # tried; then two steps of three batches
    results = json.loads((found / "results.json").read_text())
    assert (results["batch_size"], results["accumulation"], results["global_batch"]) == (4, 3, 12)
    given = finetune(tone_words, tmp_path / "given", model=tone_listener.path, **{**OPTIONS, "batch_size": 4}).path
    assert same_weights(found, given)  # trying left nothing behind


def test_a_run_goes_on_with_the_smaller_batch_that_it_was_told_to_take(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path, room_for_four: list[int]
) -> None:
    with pytest.raises(WorkError, match="Lower batch_size to 6"):
        finetune(tone_words, tmp_path, model=tone_listener.path, **OPTIONS)
    assert finetune(tone_words, tmp_path, model=tone_listener.path, **{**OPTIONS, "batch_size": 3}).steps == 2


def test_all_take_the_batch_that_fits_everywhere() -> None:
    class Two(Processes):
        def any(self, flag: bool) -> bool:  # the other has room for two
            asked.append(flag)
            return flag or sizes[-1] > 2

    asked: list[bool] = []
    sizes: list[int] = []
    assert fitting_plan(BatchPlan(16, 8, 2), Two(0, 2), sizes.append) == BatchPlan(16, 2, 2)
    assert (sizes, asked) == ([8, 4, 2], [False] * 3)


# Hardware


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"precision": "bf16"}, "precision 'bf16' needs a GPU, and the run is on the CPU"),
        ({"precision": "fp16"}, "unknown precision 'fp16'"),
        ({"device": "cuda"}, "torch sees no GPU"),
        ({"device": "cuda:1"}, "CUDA_VISIBLE_DEVICES=1"),
        ({"device": "gpu"}, "unknown device"),
    ],
)
def test_what_needs_a_gpu_says_so(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any], said: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=said):
        finetune(tone_words, tmp_path / "m", model=tone_listener.path, **{**OPTIONS, **options})
    assert not (tmp_path / "m").exists()


def test_precision_follows_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla V100")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert chosen_precision("auto", "cuda") == "float32"
    with pytest.raises(InputError, match="'bf16': Tesla V100 has none"):
        chosen_precision("bf16", "cuda")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    assert chosen_precision("auto", "cuda") == chosen_precision("bf16", "cuda") == "bf16"
    assert chosen_precision("float32", "cuda") == chosen_precision("auto", "cpu") == "float32"


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match=r"process 2 of this machine has no GPU.*torchrun --nproc-per-node 2"):
        Processes.here("cuda")
