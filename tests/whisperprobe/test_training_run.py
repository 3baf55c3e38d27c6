"""Training runs, small and whole: they learn, load anywhere, and their arithmetic is that of a loop by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file
from training_harness import RATE, SHAPE, SHORT, curve, same_weights, weights, word, write_clips
from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor, WhisperForConditionalGeneration, WhisperProcessor

import audiogram
from audiogram.errors import InputError, WorkError
from whisperprobe.features import WindowSpec, log_mel
from whisperprobe.training.data import EpochSampler
from whisperprobe.training.loop import SpeechTrainer
from whisperprobe.training.trainer import FinetuneResult, finetune

# What comes out


def test_learns_the_words_and_says_so(tone_listener: FinetuneResult) -> None:
    assert tone_listener.steps == 80
    assert tone_listener.evaluation["word_accuracy"] >= 0.9
    assert tone_listener.evaluation["wer"] <= 0.1
    assert tone_listener.evaluation["n_clips"] == 12
    rows = curve(tone_listener.path)
    assert [int(row["step"]) for row in rows] == list(range(1, 81))
    assert float(rows[-1]["loss"]) < 0.2 * float(rows[0]["loss"])
    assert all(float(row["clips_per_second"]) > 0 for row in rows)
    assert not (tone_listener.path / "checkpoints").exists()


def test_loads_with_plain_transformers_and_decodes_what_it_was_trained_for(
    tone_listener: FinetuneResult, tone_words: Path
) -> None:
    model = WhisperForConditionalGeneration.from_pretrained(tone_listener.path)
    processor = WhisperProcessor.from_pretrained(tone_listener.path)
    clips = [soundfile.read(tone_words / "validation" / f"{i:02}.wav", dtype="float32")[0] for i in range(4)]
    features = processor(clips, sampling_rate=RATE, return_tensors="pt").input_features
    assert torch.allclose(features, log_mel(clips, WindowSpec.of(tone_listener.path)), atol=1e-4)
    for asked in ({"language": "en", "task": "transcribe"}, {"language": "english"}, {}):
        said = processor.batch_decode(model.generate(features, **asked), skip_special_tokens=True)
        assert said == ["low", "mid", "high", "top"]
    with torch.no_grad():
        forced = [[i for _, i in processor.get_decoder_prompt_ids(language="en", task="transcribe")]]
        prompt = torch.tensor([[model.config.decoder_start_token_id, *forced[0]]]).expand(4, -1)
        first = model(input_features=features, decoder_input_ids=prompt).logits[:, -1].argmax(-1)
    assert [processor.tokenizer.decode([i]) for i in first.tolist()] == [
        processor.tokenizer.decode(processor.tokenizer(w, add_special_tokens=False).input_ids[:1])
        for w in ("low", "mid", "high", "top")
    ]
    assert type(AutoModelForSpeechSeq2Seq.from_pretrained(tone_listener.path)) is WhisperForConditionalGeneration
    assert type(AutoProcessor.from_pretrained(tone_listener.path)) is WhisperProcessor
    assert processor.tokenizer.normalize("The SHIP!") == "the ship"
    assert model.config.use_cache


def test_card_and_options_tell_how_it_was_made(tone_listener: FinetuneResult) -> None:
    card = (tone_listener.path / "README.md").read_text()
    for part in ("random weights", "accuracy", "fingerprint", "learning_rate", "transformers", "80 mel bands"):
        assert part in card
    options = json.loads((tone_listener.path / "finetune.json").read_text())
    assert options["from_config"] == SHAPE
    assert (
        json.loads((tone_listener.path / "results.json").read_text())["versions"]["torch"]
        == torch.__version__.split("+")[0]
    )


def test_the_same_seed_gives_the_same_model_and_another_seed_another(tone_words: Path, tmp_path: Path) -> None:
    options = {**SHORT, "max_steps": 2, "from_config": SHAPE, "vocabulary_size": 300}
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    one, two, three = (
        finetune(tone_words, tmp_path / name, seed=seed, **options).path
        for name, seed in (("1", 5), ("2", 5), ("3", 6))
    )
    assert same_weights(one, two)
    assert not same_weights(one, three)
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


# The arithmetic


@pytest.mark.parametrize("scheduler", ["linear", "cosine", "constant"])
def test_losses_equal_those_of_a_loop_written_by_hand(
    tone_listener: FinetuneResult, tone_words: Path, tmp_path: Path, scheduler: str
) -> None:
    steps, warm, peak, batch = 6, 2, 1e-3, 16
    out = finetune(
        tone_words, tmp_path / "x", model=tone_listener.path, max_steps=steps, batch_size=batch, learning_rate=peak,
        seed=7, warmup_steps=warm, scheduler=scheduler, evaluate=False, weight_decay=0.01, clip_gradient=0.5,
    ).path  # fmt: skip
    model = WhisperForConditionalGeneration.from_pretrained(tone_listener.path).train()
    tokenizer = WhisperProcessor.from_pretrained(tone_listener.path).tokenizer
    texts = [row.split(",") for row in (tone_words / "train" / "metadata.csv").read_text().split()[1:]]
    clips = [soundfile.read(tone_words / "train" / name, dtype="float32")[0] for name, _ in texts]
    prompt = ["<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"]
    decays = [p for n, p in model.named_parameters() if not (n.endswith("bias") or "norm" in n)]
    others = [p for n, p in model.named_parameters() if n.endswith("bias") or "norm" in n]
    optimiser = torch.optim.AdamW([{"params": decays, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}])
    order, stream = EpochSampler(len(clips), 7), []
    for order.epoch in range(2):  # 60 clips: the fourth step ends in the second epoch
        stream += [i for _, i in order]
    for step in range(steps):
        rows = stream[step * batch : (step + 1) * batch]
        shape = {
            "linear": (steps - step) / (steps - warm),
            "cosine": 0.5 * (1 + np.cos(np.pi * (step - warm) / (steps - warm))),
            "constant": 1.0,
        }[scheduler]
        rate = peak * (step / warm if step < warm else shape)
        losses, count = torch.tensor(0.0), 0
        for i in rows:  # one clip at a time: nothing is padded, so nothing can be masked wrongly
            ids = tokenizer.convert_tokens_to_ids(prompt) + tokenizer.encode(texts[i][1], add_special_tokens=False)
            target = torch.tensor([[*ids[1:], tokenizer.eos_token_id]])
            logits = model(
                input_features=log_mel(clips[i], WindowSpec(80, 100)), decoder_input_ids=torch.tensor([ids])
            ).logits
            losses = losses + torch.nn.functional.cross_entropy(logits[0], target[0], reduction="sum")
            count += target.shape[1]
        loss = losses / count
        optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
        row = curve(out)[step]
        assert float(row["loss"]) == pytest.approx(loss.item(), rel=1e-4)
        assert float(row["grad_norm"]) == pytest.approx(norm.item(), rel=2e-3)
        assert float(row["learning_rate"]) == pytest.approx(rate, rel=1e-6, abs=1e-12)
    trained = weights(out)
    for name, parameter in model.named_parameters():
        if name in trained:
            assert torch.allclose(trained[name], parameter.detach(), atol=2e-5), name


# Folders and conditions


def test_another_runs_folder_is_refused(tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"learning_rate: 0\.003 there, 0\.5 now"):
        finetune(
            tone_words, tone_listener.path, from_config=SHAPE, vocabulary_size=300, max_steps=80, learning_rate=0.5,
            warmup_steps=10, batch_size=16, scheduler="cosine",
        )  # fmt: skip
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"thesis\.txt"):
        finetune(tone_words, tmp_path, model=tone_listener.path, **SHORT)
    with pytest.raises(InputError, match="cannot be written"):
        finetune(tone_words, tmp_path / "thesis.txt" / "out", model=tone_listener.path, **SHORT)


def test_a_refused_start_does_not_claim_its_folder(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path
) -> None:
    options = {**SHORT, "model": tone_listener.path, "max_steps": 2}
    with pytest.raises(InputError, match="2 steps only"):
        finetune(tone_words, tmp_path, **{**options, "warmup_steps": 3})
    assert finetune(tone_words, tmp_path, **{**options, "warmup_steps": 1}).steps == 2
    with pytest.raises(InputError, match="warmup_steps: 1 there, 2 now"):
        finetune(tone_words, tmp_path, **{**options, "warmup_steps": 2})


def test_clips_are_divided_as_a_table_says(tone_words: Path, tmp_path: Path) -> None:
    rule = {"test": 0.2, "validation": 0.5}
    done = finetune(tone_words, tmp_path, from_config=SHAPE, split=rule, **{**SHORT, "evaluate": True, "max_steps": 2})
    told = json.loads((done.path / "results.json").read_text())["splits"]
    assert set(told) == {"train", "validation"}
    assert 0 < told["validation"]["clips"] < told["train"]["clips"] * 2


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poison(self: Any, *args: Any, **given: Any) -> Any:
        if self.state.global_step == 5:
            with torch.no_grad():
                next(self.model.parameters()).fill_(float("nan"))
        return plain(self, *args, **given)

    plain = SpeechTrainer.compute_loss
    monkeypatch.setattr(SpeechTrainer, "compute_loss", poison)
    with pytest.raises(WorkError, match="loss became nan at step 6") as told:
        finetune(tone_words, tmp_path, model=tone_listener.path, **SHORT)
    order = EpochSampler(60, 0)
    assert [f"{i:02}" in str(told.value) for _, i in list(order)[40:48]] == [True] * 8  # the clips of step 6
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["checkpoint-4"]
    assert not (tmp_path / "results.json").exists()


def test_a_masked_corpus_trains_like_its_condition_on_the_fly_and_is_not_filtered_twice(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path
) -> None:
    masked = audiogram.mask_corpus(tone_words, tmp_path / "speech", ["hfloss"])["hfloss"]
    options = {**SHORT, "model": tone_listener.path, "max_steps": 4}
    written = finetune(masked, tmp_path / "written", **options).path
    flown = finetune(tone_words, tmp_path / "flown", condition="hfloss", **options).path
    for ours, theirs in zip(curve(written), curve(flown), strict=True):
        assert float(ours["loss"]) == pytest.approx(float(theirs["loss"]), rel=1e-3)
    for folder in (written, flown):
        assert "A Whisper that heard: hfloss" in (folder / "README.md").read_text()
    with pytest.raises(InputError, match=r"'hfloss'.*filter it again"):
        finetune(masked, tmp_path / "twice", condition="lfloss", **options)


# Bad input


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"learning_rate": 0}, "learning_rate is 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"max_steps": 1.5}, r"max_steps is 1\.5"),
        ({"epochs": 3}, "one of the two"),
        ({"scheduler": "liner"}, "Did you mean 'linear'"),
        ({"warmup_steps": 99}, "10 steps only"),
        ({"device": "tpu"}, "unknown device"),
        ({"language": "klingon"}, "unknown language"),
        ({"language": "de"}, r"<\|de\|>"),
        ({"task": "sing"}, "unknown task"),
        ({"resume": "maybe"}, "unknown resume"),
        ({"padding": "trimed"}, "Did you mean 'trimmed'"),
        ({"padding": "trimmed", "margin": float("nan")}, "margin is nan"),
        ({"margin": 0.5}, r"margin is 0\.5, .* needs padding 'trimmed'"),
        ({"padding": "window", "margin": 0.5}, "needs padding 'trimmed'"),
        ({"seed": 2**32}, "below 2"),
        ({"split": {"column": "speaker", "tset": ["anna"]}}, "unknown key 'tset'"),
        ({"from_config": SHAPE}, "either a model"),
        ({"model": None}, "either a model"),
        ({"augment": "loud"}, "unknown augmentation"),
        ({"model": "nowhere/at/all"}, "no model folder"),
    ],
)
def test_wrong_options_are_refused(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        finetune(tone_words, tmp_path, **{**SHORT, "model": tone_listener.path, **options})


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ({"d_modle": 64}, "Did you mean 'd_model'"),
        ({"window_seconds": 2.5}, "whole seconds"),
        ({"max_source_positions": 125}, "whole seconds"),
        ({"d_model": 65, "attention_heads": 2}, "not divisible"),
        ({"encoder_layers": 0}, "encoder_layers is 0"),
        ({"dropout": 2}, "dropout is 2"),
        ({"activation_function": "gleu"}, "Did you mean 'gelu"),
    ],
)
def test_impossible_shapes_are_refused(tone_words: Path, tmp_path: Path, shape: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        finetune(tone_words, tmp_path, from_config=shape, **SHORT)


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("config.json", r"no config\.json"),
        ("model.safetensors", "lacks weights"),
        ("tokenizer.json", "lacks a tokenizer"),
        ("generation_config.json", r"lacks generation_config\.json"),
    ],
)
def test_model_folders_that_lack_a_file_are_refused(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path, missing: str, reason: str
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tone_listener.path, broken)
    (broken / missing).unlink()
    with pytest.raises(InputError, match=reason):
        finetune(tone_words, tmp_path / "out", model=broken, **SHORT)


def test_damaged_and_foreign_models_are_refused(
    tone_words: Path, tone_listener: FinetuneResult, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tone_listener.path, broken)
    (broken / "model.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(InputError, match="broken"):
        finetune(tone_words, tmp_path / "1", model=broken, **SHORT)
    shutil.rmtree(broken)
    shutil.copytree(tone_listener.path, broken)
    settings = (broken / "generation_config.json").read_text()
    for damaged in ("", settings[: len(settings) // 2], "[]"):
        (broken / "generation_config.json").write_text(damaged)
        with pytest.raises(InputError, match=r"generation_config\.json is not a JSON table"):
            finetune(tone_words, tmp_path / "0", model=broken, **SHORT)
    (broken / "generation_config.json").write_text(settings)
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"model_type": "bart"}))
    with pytest.raises(InputError, match="not a Whisper"):
        finetune(tone_words, tmp_path / "2", model=broken, **SHORT)
    (broken / "config.json").write_text(json.dumps(config | {"num_mel_bins": 128}))
    with pytest.raises(InputError, match="80 mel bands"):
        finetune(tone_words, tmp_path / "3", model=broken, **SHORT)
    (broken / "config.json").write_text(json.dumps(config))
    cut = {k: v for k, v in weights(broken).items() if "layers.0.fc1" not in k}
    save_file(cut, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="lack"):
        finetune(tone_words, tmp_path / "4", model=broken, **SHORT)


def test_clips_that_do_not_fit_are_counted_or_refused(tone_listener: FinetuneResult, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    good = [(word("mid", rng), "mid") for _ in range(40)]
    long, empty, wordy = (word("low", rng, 1.1), "low"), (word("low", rng), ""), (word("low", rng), "zyx " * 20)
    few = write_clips(tmp_path / "few", [*good, long])
    finetune(few, tmp_path / "m", model=tone_listener.path, **{**SHORT, "max_steps": 2})
    results = json.loads((tmp_path / "m" / "results.json").read_text())
    assert results["n_clips"] == 40
    assert results["excluded"] == {"longer than the model's window of 1 s": 1}
    assert "1 longer than" in (tmp_path / "m" / "README.md").read_text()
    for name, bad, reason in (
        ("long", long, "longer than the model's window of 1 s"),
        ("empty", empty, "without text"),
        ("wordy", wordy, "32 positions"),
        ("nan", (np.full(4000, np.nan, np.float32), "low"), "unreadable"),
    ):
        many = tmp_path / name
        write_clips(many, [*good[:10], bad])
        if name == "nan":
            soundfile.write(many / "train" / "10.wav", bad[0], RATE, subtype="FLOAT")
        with pytest.raises(InputError, match=reason) as error:
            finetune(many, tmp_path / f"m-{name}", model=tone_listener.path, **SHORT)
        assert "10" in str(error.value)  # the first such clip is named


def test_a_corpus_without_training_split_is_refused(tone_listener: FinetuneResult, tmp_path: Path) -> None:
    only = write_clips(tmp_path / "c", [(word("mid", np.random.default_rng(0)), "mid")], split="test")
    with pytest.raises(InputError, match=r"no training split.*test \(1 clips\)"):
        finetune(only, tmp_path / "m", model=tone_listener.path, **SHORT)
