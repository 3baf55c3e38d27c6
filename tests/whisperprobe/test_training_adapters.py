"""Training a part of a model: adapters that merge into it, halves that stay as they are."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from training_harness import SHORT, Killed, at_step, kill, same_weights, weights
from transformers import WhisperForConditionalGeneration, WhisperProcessor

import audiogram
from audiogram.errors import InputError
from whisperprobe.features import WindowSpec, log_mel
from whisperprobe.training.adapters import Lora, freeze_half, merge_adapters, with_adapters
from whisperprobe.training.model_folder import load_listener
from whisperprobe.training.trainer import FinetuneResult, finetune

LORA = {"rank": 4, "targets": ["q_proj", "v_proj", "fc1"]}


def inputs(speech: Path, n: int = 4) -> dict[str, torch.Tensor]:
    clips = [soundfile.read(speech / "validation" / f"{i:02}.wav", dtype="float32")[0] for i in range(n)]
    return {"input_features": log_mel(clips, WindowSpec(80, 100)), "decoder_input_ids": torch.arange(5).repeat(n, 1)}


def logits(model: Any, heard: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(**heard).logits


# Adapters


def test_adapters_begin_as_nothing_are_all_that_is_trained_and_merge_exactly(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path
) -> None:
    listener, heard = load_listener(tone_listener.path), inputs(tone_words)
    plain = logits(listener.model, heard)
    before = torch.random.get_rng_state()
    around = with_adapters(listener.model, Lora.of(LORA), seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(logits(around, heard), plain)  # B is zero
    trained = {name for name, p in around.named_parameters() if p.requires_grad}
    assert trained
    assert all(".lora_A." in name or ".lora_B." in name for name in trained)
    for name, p in around.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(p, std=0.05, generator=torch.Generator().manual_seed(len(name)))
    unmerged = logits(listener.model, heard)
    assert (unmerged - plain).abs().max() > 0.1
    merge_adapters(around, tmp_path / "adapter", "base")
    assert torch.allclose(logits(listener.model, heard), unmerged, atol=1e-5)
    assert [name for name in listener.model.state_dict() if "lora" in name] == []


def test_the_merged_model_is_plain_and_its_adapters_fit_the_model_that_they_came_from(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path
) -> None:
    from peft import PeftModel

    options = {**SHORT, "lora": LORA, "learning_rate": 5e-3}
    out = finetune(tone_words, tmp_path / "m", model=tone_listener.path, **options).path
    heard = inputs(tone_words)
    merged = WhisperForConditionalGeneration.from_pretrained(out)
    base = WhisperForConditionalGeneration.from_pretrained(tone_listener.path)
    before = logits(base, heard)
    adapted = logits(PeftModel.from_pretrained(base, out / "adapter"), heard)
    assert torch.allclose(logits(merged, heard), adapted, atol=1e-5)
    assert (adapted - before).abs().max() > 0.05
    changed = {
        name for name, tensor in weights(out).items() if not torch.equal(tensor, weights(tone_listener.path)[name])
    }
    assert {name.rpartition(".")[0].rpartition(".")[2] for name in changed} == {"q_proj", "v_proj", "fc1"}
    assert all(name.endswith(".weight") for name in changed)
    assert json.loads((out / "adapter" / "adapter_config.json").read_text())["r"] == 4
    assert json.loads((out / "finetune.json").read_text())["lora"]["alpha"] == 8.0
    size = sum(f.stat().st_size for f in (out / "adapter").iterdir())
    assert size < 0.2 * (out / "model.safetensors").stat().st_size


def test_resume_with_adapters_and_accumulation_ends_with_the_same_weights(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {
        **SHORT, "model": tone_listener.path, "lora": {**LORA, "dropout": 0.1}, "global_batch": 8, "batch_size": 4,
        "evaluate": True, "eval_every": 3, "learning_rate": 5e-3, "freeze": "encoder",
    }  # fmt: skip
    whole = finetune(tone_words, tmp_path / "whole", **options)
    with monkeypatch.context() as patch:
        at_step(patch, 7, kill)
        with pytest.raises(Killed):
            finetune(tone_words, tmp_path / "cut", **options)
    checkpoint = tmp_path / "cut" / "checkpoints" / "checkpoint-6"
    assert (checkpoint / "adapter_model.safetensors").exists()
    assert not (checkpoint / "model.safetensors").exists()
    cut = finetune(tone_words, tmp_path / "cut", **options)
    assert same_weights(cut.path, whole.path)
    assert cut.evaluation == whole.evaluation
    changed = [
        name for name, tensor in weights(cut.path).items() if not torch.equal(tensor, weights(tone_listener.path)[name])
    ]
    assert changed
    assert all("decoder" in name for name in changed)


def test_training_adapters_asks_nobody(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    short = {**SHORT, "max_steps": 2, "evaluate": True, "lora": 2}
    assert finetune(tone_words, tmp_path, model=tone_listener.path, **short).steps == 2


@pytest.mark.parametrize(
    ("lora", "said"),
    [
        (0, "rank is 0"),
        ({"rank": 2.5}, r"rank is 2\.5"),
        ({"alpha": 0}, "alpha is 0"),
        ({"dropout": 1}, "dropout is 1"),
        ({"targets": "q_proj"}, "names of layers"),
        ({"targets": ["q_porj"]}, "Did you mean 'q_proj'"),
        ({"ranks": 3}, "Did you mean 'rank'"),
        ("big", "lora is 'big'"),
    ],
)
def test_wrong_adapters_are_refused(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path, lora: Any, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        finetune(tone_words, tmp_path, model=tone_listener.path, lora=lora, **SHORT)


def test_without_peft_the_extra_is_named(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InputError, match=r"whisperprobe\[lora\]"):
        finetune(tone_words, tmp_path, model=tone_listener.path, lora=True, **SHORT)


# Halves


@pytest.mark.parametrize(("half", "other"), [("encoder", "decoder"), ("decoder", "encoder")])
def test_a_frozen_half_stays_to_the_bit(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path, half: str, other: str
) -> None:
    out = finetune(tone_words, tmp_path, model=tone_listener.path, freeze=half, **{**SHORT, "weight_decay": 0.1}).path
    before, after = weights(tone_listener.path), weights(out)
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed
    assert all(name.startswith(f"model.{other}.") for name in changed)


def test_a_frozen_encoder_gets_no_gradients(tone_words: Path, tone_listener: FinetuneResult) -> None:
    model: Any = load_listener(tone_listener.path).model
    freeze_half(model, "encoder")
    model(**inputs(tone_words), use_cache=False).logits.sum().backward()
    assert all(p.grad is None for p in model.model.encoder.parameters())
    assert all(p.grad is not None for p in model.model.decoder.parameters())


# What is learnt


@pytest.mark.parametrize(
    "part",
    [{"lora": {"rank": 8, "targets": ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]}}, {"freeze": "encoder"}],
)
def test_a_part_learns_what_the_model_did_not_know(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path, part: dict[str, Any]
) -> None:
    """The words through a loss of high frequencies; held-out loss falls by a fifth at least."""
    options = {
        "model": tone_listener.path, "condition": "hfloss", "batch_size": 16, "best_metric": "loss", "eval_every": 20,
    }  # fmt: skip
    before = finetune(tone_words, tmp_path / "before", max_steps=1, learning_rate=1e-12, **options).evaluation["loss"]
    rate = 1e-2 if "lora" in part else 3e-3
    tuned = finetune(tone_words, tmp_path / "after", max_steps=60, learning_rate=rate, **part, **options)
    assert tuned.evaluation["loss"] < 0.8 * before
    model = WhisperForConditionalGeneration.from_pretrained(tuned.path)
    processor = WhisperProcessor.from_pretrained(tuned.path)
    clips = [soundfile.read(tone_words / "validation" / f"{i:02}.wav", dtype="float32")[0] for i in range(12)]
    heard = [audiogram.condition("hfloss")(x, 16_000, keys=f"{i:02}") for i, x in enumerate(clips)]
    features = processor(heard, sampling_rate=16_000, return_tensors="pt").input_features
    said = processor.batch_decode(model.generate(features), skip_special_tokens=True)
    share = sum(a == b for a, b in zip(said, ["low", "mid", "high", "top"] * 3, strict=True)) / 12
    assert share == pytest.approx(tuned.evaluation["word_accuracy"])
