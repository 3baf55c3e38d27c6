"""Training on trimmed windows: what a clip hears is what a trimmed probe hears, whatever else is in its batch."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from training_harness import RATE
from transformers import WhisperConfig, WhisperForConditionalGeneration, WhisperProcessor

import audiogram
from audiogram.errors import InputError
from whisperprobe.features import WindowSpec
from whisperprobe.probing.probe import Probe
from whisperprobe.probing.trimming import trimmed_states
from whisperprobe.probing.windowing import PADDED, Windowing
from whisperprobe.training.data import Speech, SpeechDataset
from whisperprobe.training.hearing import heard_by
from whisperprobe.training.trainer import FinetuneResult, finetune

WINDOW = WindowSpec(80, 600)  # 6 s: 300 positions
TRIMMED = Windowing("trimmed", margin=0.5)
LENGTHS = [8000, 20_000, 30_000, 95_000]  # the last with its margin fills the window


def small(attention: str = "sdpa", **options: Any) -> Any:
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=50, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64, max_source_positions=300,
        max_target_positions=16, pad_token_id=0, bos_token_id=0, eos_token_id=0, decoder_start_token_id=1,
        begin_suppress_tokens=None, attn_implementation=attention, **options,
    )  # fmt: skip
    return WhisperForConditionalGeneration(config).double()


def dataset(windowing: Windowing = TRIMMED, **options: Any) -> SpeechDataset:
    rng = np.random.default_rng(0)
    waveforms = [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in LENGTHS]
    speech = Speech(
        ids=list("abcd"), texts=["x"] * 4, labels=[[5, 6, 0], [7, 0], [8, 9, 10, 0], [11, 0]], lengths=list(LENGTHS),
        rows=list(range(4)), waveforms=waveforms,
    )  # fmt: skip
    return SpeechDataset(speech, WINDOW, windowing=windowing, **options)


def batch(some: SpeechDataset, indices: list[int]) -> dict[str, Any]:
    made = some.prepare(some.__getitems__([(0, i) for i in indices]), "cpu")
    return {**made, "input_features": made["input_features"].double()}


def test_positions_are_those_of_a_trimmed_probe_and_frames_are_as_many_as_needed() -> None:
    made = batch(dataset(), [0, 1])
    assert made["positions"] == [TRIMMED.positions(n, WINDOW) for n in LENGTHS[:2]] == [50, 100]
    whole = batch(dataset(PADDED), [0, 1])["input_features"]
    assert whole.shape == (2, 80, 600)
    assert torch.equal(made["input_features"], whole[..., : 2 * 100 + 2])
    assert batch(dataset(), [0, 3])["positions"] == [50, 300]
    assert batch(dataset(), [0, 3])["input_features"].shape[2] == 600
    assert "positions" not in batch(dataset(PADDED), [0, 1])


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_clip_hears_its_own_positions_whatever_is_in_the_batch(attention: str) -> None:
    model = small(attention).eval()
    with heard_by(model, TRIMMED), torch.no_grad():
        together = model(**batch(dataset(), [0, 1, 2, 3]), use_cache=False)
        for i in range(4):
            one = batch(dataset(), [i])
            alone = model(**one, use_cache=False).logits
            assert torch.allclose(together.logits[i, : one["labels"].shape[1]], alone[0], atol=1e-10)
            states = trimmed_states(model, one["input_features"], one["positions"][0])
            heard = together.encoder_last_hidden_state[i, : states.shape[1]]
            assert torch.allclose(heard, states[0], atol=1e-10)


def test_what_is_behind_a_clip_has_no_gradient() -> None:
    model = small().train()
    made = batch(dataset(), [0, 2])
    features = made["input_features"].requires_grad_()
    with heard_by(model, TRIMMED):
        model(**{**made, "input_features": features}, use_cache=False).loss.backward()
    last = 2 * made["positions"][0] + 1  # the convolutions of the last position reach two frames further
    assert features.grad[0, :, : last - 1].abs().sum() > 0
    assert not features.grad[0, :, last + 1 :].any()
    assert features.grad[1, :, last + 1 :].any()


def test_gradients_are_the_sum_of_those_of_each_clip_also_when_layers_run_once_more() -> None:
    one, checkpointed = small().train(), small().train()
    checkpointed.activation_checkpointing_enable()
    made = batch(dataset(), [0, 1, 2])
    tokens = (made["labels"] != -100).sum()
    with heard_by(one, TRIMMED):
        for i in range(3):
            alone = batch(dataset(), [i])
            share = (alone["labels"] != -100).sum() / tokens
            (model_loss := one(**alone, use_cache=False).loss * share).backward()
            assert model_loss.isfinite()
    with heard_by(checkpointed, TRIMMED):
        checkpointed(**made, use_cache=False).loss.backward()
    for (name, a), b in zip(one.named_parameters(), checkpointed.parameters(), strict=True):
        if a.requires_grad:
            assert torch.allclose(a.grad, b.grad, atol=1e-10), name


def test_with_all_positions_the_model_is_as_it_was_dropout_included() -> None:
    model = small(dropout=0.1, encoder_layerdrop=0.5).train()
    made = batch(dataset(), [3])
    assert made["positions"] == [300]
    outputs = []
    for given in (made, {k: v for k, v in made.items() if k != "positions"}):
        torch.manual_seed(5)
        with heard_by(model, TRIMMED):
            outputs.append(model(**given, use_cache=False).logits)
    assert torch.equal(*outputs)


def test_the_model_is_left_as_it_was() -> None:
    model = small().eval()
    before = copy.deepcopy(model.state_dict())
    with heard_by(model, TRIMMED):
        assert model.state_dict().keys() == before.keys()
    assert "forward" not in vars(model.model.encoder)
    with pytest.raises(ValueError, match="to be of length 600"):
        model(**{k: v for k, v in batch(dataset(), [0]).items() if k != "positions"})
    with heard_by(model, PADDED):
        assert "forward" not in vars(model.model.encoder)


def test_attention_without_masks_is_refused() -> None:
    model = small()
    model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(InputError, match="attn_implementation='sdpa'"), heard_by(model, TRIMMED):
        pass


# What is learnt


@pytest.mark.parametrize("padding", ["window", "trimmed"])
def test_learns_through_a_condition_on_the_fly_and_is_probed_as_it_was_trained(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path, padding: str
) -> None:
    """Held-out loss falls by a fifth at least; evaluation, probe and plain transformers agree on what was learnt."""
    options = {
        "model": tone_listener.path, "condition": "hfloss", "batch_size": 16, "padding": padding,
        "margin": 0.1 if padding == "trimmed" else None,
    }  # fmt: skip
    before = finetune(tone_words, tmp_path / "before", max_steps=1, learning_rate=1e-12, **options).evaluation["loss"]
    after = finetune(tone_words, tmp_path / "after", max_steps=40, learning_rate=1e-3, **options)
    assert after.evaluation["loss"] < 0.8 * before
    probe = Probe.from_pretrained(after.path, device="cpu")
    assert probe.windowing == (PADDED if padding == "window" else Windowing("trimmed", margin=0.1))
    clips = [soundfile.read(tone_words / "validation" / f"{i:02}.wav", dtype="float32")[0] for i in range(12)]
    heard = [audiogram.condition("hfloss")(x, RATE, keys=f"{i:02}") for i, x in enumerate(clips)]
    texts = ["low", "mid", "high", "top"] * 3
    probed = probe(heard, texts, top_k=0).clips
    assert probed["correct"].mean() == pytest.approx(after.evaluation["word_accuracy"])
    plain = WhisperForConditionalGeneration.from_pretrained(after.path)
    processor = WhisperProcessor.from_pretrained(after.path)
    features = processor(heard, sampling_rate=RATE, return_tensors="pt").input_features
    said = processor.batch_decode(plain.generate(features), skip_special_tokens=True)
    whole = probe(heard, texts, top_k=0, padding="window").clips
    assert said == whole["prediction"].tolist()  # plain transformers pads, whatever the model was trained with
    if padding == "window":
        assert said == probed["prediction"].tolist()
