"""Training runs, small and whole: they learn, load anywhere, resume to the same weights, stop when asked."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor, WhisperForConditionalGeneration, WhisperProcessor

import audiogram
from audiogram.errors import InputError, StoppedError, WorkError
from whisperprobe.features import WindowSpec, log_mel
from whisperprobe.training.data import EpochSampler
from whisperprobe.training.loop import SpeechTrainer
from whisperprobe.training.trainer import FinetuneResult, finetune
from whisperprobe.training.watching import Manners

RATE = 16_000
PITCHES = {"low": 200, "mid": 700, "high": 2000, "top": 5000}
SHAPE = {"d_model": 64, "encoder_layers": 1, "decoder_layers": 1, "window_seconds": 1, "max_target_positions": 32}
SHORT = {"batch_size": 8, "max_steps": 10, "save_every": 4, "learning_rate": 1e-3, "warmup_steps": 2, "evaluate": False}


def word(name: str, rng: np.random.Generator, seconds: float | None = None) -> np.ndarray:
    n = round(RATE * (rng.uniform(0.3, 0.9) if seconds is None else seconds))
    tone = 0.3 * np.sin(2 * np.pi * PITCHES[name] * rng.uniform(0.95, 1.05) * np.arange(n) / RATE)
    return (tone + 0.005 * rng.standard_normal(n)).astype(np.float32)


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four words that are told apart by pitch: 60 clips to learn from, 12 to validate with."""
    folder, rng = tmp_path_factory.mktemp("speech"), np.random.default_rng(0)
    for split, count in (("train", 60), ("validation", 12)):
        (folder / split).mkdir()
        rows = ["file_name,text"]
        for i in range(count):
            text = list(PITCHES)[i % 4]
            soundfile.write(folder / split / f"{i:02}.wav", word(text, rng), RATE, subtype="FLOAT")
            rows.append(f"{i:02}.wav,{text}")
        (folder / split / "metadata.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def base(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> FinetuneResult:
    """A model that has learnt the four words from random weights."""
    out = tmp_path_factory.mktemp("models") / "base"
    return finetune(
        speech, out, from_config=SHAPE, vocabulary_size=300, max_steps=80, learning_rate=3e-3, warmup_steps=10,
        batch_size=16, scheduler="cosine",
    )  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(speech: Path, base: FinetuneResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten steps more, in one go."""
    return finetune(speech, tmp_path_factory.mktemp("models") / "whole", model=base.path, **SHORT).path


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same_weights(a: Path, b: Path) -> bool:
    left, right = weights(a), weights(b)
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def curve(folder: Path) -> list[dict[str, str]]:
    with (folder / "training.csv").open() as stream:
        return list(csv.DictReader(stream))


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], None]) -> None:
    """Do something right after an optimiser step."""
    plain = Manners.on_step_end

    def wrapped(self: Any, args: Any, state: Any, control: Any, **given: Any) -> None:
        if state.global_step == step:
            act()
        plain(self, args, state, control, **given)

    monkeypatch.setattr(Manners, "on_step_end", wrapped)


class Killed(BaseException):
    """Stands for the end of the process: nothing in the library catches it."""


def kill() -> None:
    raise Killed


# What comes out


def test_learns_the_words_and_says_so(base: FinetuneResult) -> None:
    assert base.steps == 80
    assert base.evaluation["word_accuracy"] >= 0.9
    assert base.evaluation["wer"] <= 0.1
    assert base.evaluation["n_clips"] == 12
    rows = curve(base.path)
    assert [int(row["step"]) for row in rows] == list(range(1, 81))
    assert float(rows[-1]["loss"]) < 0.2 * float(rows[0]["loss"])
    assert all(float(row["clips_per_second"]) > 0 for row in rows)
    assert not (base.path / "checkpoints").exists()


def test_loads_with_plain_transformers_and_decodes_what_it_was_trained_for(base: FinetuneResult, speech: Path) -> None:
    model = WhisperForConditionalGeneration.from_pretrained(base.path)
    processor = WhisperProcessor.from_pretrained(base.path)
    clips = [soundfile.read(speech / "validation" / f"{i:02}.wav", dtype="float32")[0] for i in range(4)]
    features = processor(clips, sampling_rate=RATE, return_tensors="pt").input_features
    assert torch.allclose(features, log_mel(clips, WindowSpec.of(base.path)), atol=1e-4)
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
    assert type(AutoModelForSpeechSeq2Seq.from_pretrained(base.path)) is WhisperForConditionalGeneration
    assert type(AutoProcessor.from_pretrained(base.path)) is WhisperProcessor
    assert processor.tokenizer.normalize("The SHIP!") == "the ship"
    assert model.config.use_cache


def test_card_and_options_tell_how_it_was_made(base: FinetuneResult) -> None:
    card = (base.path / "README.md").read_text()
    for part in ("random weights", "word_accuracy", "fingerprint", "learning_rate", "transformers", "80 mel bands"):
        assert part in card
    options = json.loads((base.path / "finetune.json").read_text())
    assert options["from_config"] == SHAPE
    assert json.loads((base.path / "results.json").read_text())["versions"]["torch"] == torch.__version__.split("+")[0]


def test_the_same_seed_gives_the_same_model_and_another_seed_another(speech: Path, tmp_path: Path) -> None:
    options = {**SHORT, "max_steps": 2, "from_config": SHAPE, "vocabulary_size": 300}
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    one, two, three = (
        finetune(speech, tmp_path / name, seed=seed, **options).path for name, seed in (("1", 5), ("2", 5), ("3", 6))
    )
    assert same_weights(one, two)
    assert not same_weights(one, three)
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


# The arithmetic


@pytest.mark.parametrize("scheduler", ["linear", "cosine", "constant"])
def test_losses_equal_those_of_a_loop_written_by_hand(
    base: FinetuneResult, speech: Path, tmp_path: Path, scheduler: str
) -> None:
    steps, warm, peak, batch = 6, 2, 1e-3, 16
    out = finetune(
        speech, tmp_path / "x", model=base.path, max_steps=steps, batch_size=batch, learning_rate=peak, seed=7,
        warmup_steps=warm, scheduler=scheduler, evaluate=False, weight_decay=0.01, clip_gradient=0.5,
    ).path  # fmt: skip
    model = WhisperForConditionalGeneration.from_pretrained(base.path).train()
    tokenizer = WhisperProcessor.from_pretrained(base.path).tokenizer
    texts = [row.split(",") for row in (speech / "train" / "metadata.csv").read_text().split()[1:]]
    clips = [soundfile.read(speech / "train" / name, dtype="float32")[0] for name, _ in texts]
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


# Interruptions


def test_killed_and_started_again_ends_with_the_same_weights(
    speech: Path, base: FinetuneResult, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        at_step(patch, 7, kill)
        with pytest.raises(Killed):
            finetune(speech, tmp_path, model=base.path, **SHORT)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["checkpoint-4"]
    assert not (tmp_path / "config.json").exists()
    assert finetune(speech, tmp_path, model=base.path, **SHORT).steps == 10
    assert same_weights(tmp_path, undisturbed)
    for ours, theirs in zip(curve(tmp_path), curve(undisturbed), strict=True):
        for machine in ("clips_per_second", "memory_gb"):
            del ours[machine], theirs[machine]
        assert ours == theirs


def test_resume_with_augmentation_hears_the_same_clips(
    speech: Path, base: FinetuneResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**SHORT, "model": base.path, "augment": {"gain_db": 6.0, "noise_snr_db": 20.0, "time_masks": 1}}
    whole = finetune(speech, tmp_path / "whole", **options).path
    with monkeypatch.context() as patch:
        at_step(patch, 9, kill)
        with pytest.raises(Killed):
            finetune(speech, tmp_path / "cut", **options)
    assert same_weights(finetune(speech, tmp_path / "cut", **options).path, whole)


def test_a_checkpoint_that_was_cut_off_is_skipped(
    speech: Path, base: FinetuneResult, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        at_step(patch, 9, kill)
        with pytest.raises(Killed):
            finetune(speech, tmp_path, model=base.path, **SHORT)
    newest = tmp_path / "checkpoints" / "checkpoint-8"
    with (newest / "optimizer.pt").open("r+b") as stream:
        stream.truncate(1000)
    unsealed = tmp_path / "checkpoints" / "checkpoint-9"
    shutil.copytree(tmp_path / "checkpoints" / "checkpoint-4", unsealed)
    (unsealed / "complete.json").unlink()
    finetune(speech, tmp_path, model=base.path, **SHORT)
    assert same_weights(tmp_path, undisturbed)


def test_killed_while_a_checkpoint_is_written(
    speech: Path, base: FinetuneResult, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(SpeechTrainer, "_save_rng_state", lambda self, folder: kill())
        with pytest.raises(Killed):
            finetune(speech, tmp_path, model=base.path, **SHORT)
    assert (tmp_path / "checkpoints" / "checkpoint-4" / "model.safetensors").exists()
    finetune(speech, tmp_path, model=base.path, **SHORT)
    assert same_weights(tmp_path, undisturbed)


def _as_the_system() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def _as_safetensors() -> None:
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def _as_torch() -> None:
    raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 27008 vs 26896")


@pytest.mark.parametrize("fail", [_as_the_system, _as_safetensors, _as_torch])
def test_a_full_disk_is_told_and_costs_no_more_than_the_last_steps(
    speech: Path, base: FinetuneResult, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    fail: Callable[[], None],
) -> None:  # fmt: skip
    with monkeypatch.context() as patch:
        at_step(patch, 6, fail)
        with pytest.raises(WorkError, match="no space left"):
            finetune(speech, tmp_path, model=base.path, **SHORT)
    finetune(speech, tmp_path, model=base.path, **SHORT)
    assert same_weights(tmp_path, undisturbed)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_stops_on_request_with_a_checkpoint_and_goes_on(
    speech: Path, base: FinetuneResult, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    handler = signal.getsignal(getattr(signal, name))
    with monkeypatch.context() as patch:
        at_step(patch, 6, lambda: os.kill(os.getpid(), getattr(signal, name)))
        with pytest.raises(StoppedError, match=name) as stopped:
            finetune(speech, tmp_path, model=base.path, **SHORT)
    assert stopped.value.exit_code == 75
    assert signal.getsignal(getattr(signal, name)) == handler
    assert (tmp_path / "checkpoints" / "checkpoint-6" / "complete.json").exists()
    finetune(speech, tmp_path, model=base.path, **SHORT)
    assert same_weights(tmp_path, undisturbed)


@pytest.mark.exhaustive
def test_killed_for_real_and_started_again(
    speech: Path, base: FinetuneResult, undisturbed: Path, tmp_path: Path
) -> None:
    program = (
        "import os, signal, sys; from whisperprobe.training.loop import Manners; plain = Manners.on_step_end\n"
        "def dies(self, args, state, control, **given):\n"
        "    if state.global_step == int(sys.argv[4]): os.kill(os.getpid(), signal.SIGKILL)\n"
        "    plain(self, args, state, control, **given)\n"
        "Manners.on_step_end = dies\n"
        "from whisperprobe import finetune\n"
        f"finetune(sys.argv[1], sys.argv[2], model=sys.argv[3], **{SHORT!r})\n"
    )
    for step in (3, 6, 9):
        command = [sys.executable, "-c", program, str(speech), str(tmp_path), str(base.path), str(step)]
        assert subprocess.run(command, check=False, capture_output=True).returncode == -signal.SIGKILL
    finetune(speech, tmp_path, model=base.path, **SHORT)
    assert same_weights(tmp_path, undisturbed)


def test_a_finished_run_is_returned_and_never_written_again(
    speech: Path, base: FinetuneResult, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {p: p.stat().st_mtime_ns for p in undisturbed.iterdir()}
    monkeypatch.setattr(SpeechTrainer, "train", lambda *_, **__: kill())
    assert finetune(speech, undisturbed, model=base.path, **SHORT).steps == 10
    assert {p: p.stat().st_mtime_ns for p in undisturbed.iterdir()} == before
    with pytest.raises(Killed):
        finetune(speech, undisturbed, model=base.path, resume="never", **SHORT)


def test_another_runs_folder_is_refused(speech: Path, base: FinetuneResult, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"learning_rate: 0\.003 there, 0\.5 now"):
        finetune(
            speech, base.path, from_config=SHAPE, vocabulary_size=300, max_steps=80, learning_rate=0.5,
            warmup_steps=10, batch_size=16, scheduler="cosine",
        )  # fmt: skip
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"thesis\.txt"):
        finetune(speech, tmp_path, model=base.path, **SHORT)
    with pytest.raises(InputError, match="cannot be written"):
        finetune(speech, tmp_path / "thesis.txt" / "out", model=base.path, **SHORT)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(
    speech: Path, base: FinetuneResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poison(self: Any, *args: Any, **given: Any) -> Any:
        if self.state.global_step == 5:
            with torch.no_grad():
                next(self.model.parameters()).fill_(float("nan"))
        return plain(self, *args, **given)

    plain = SpeechTrainer.compute_loss
    monkeypatch.setattr(SpeechTrainer, "compute_loss", poison)
    with pytest.raises(WorkError, match="nan at step 6"):
        finetune(speech, tmp_path, model=base.path, **SHORT)
    assert (tmp_path / "checkpoints" / "checkpoint-4" / "complete.json").exists()
    assert not (tmp_path / "results.json").exists()


def test_a_masked_corpus_trains_like_its_condition_on_the_fly_and_is_not_filtered_twice(
    speech: Path, base: FinetuneResult, tmp_path: Path
) -> None:
    masked = audiogram.mask_corpus(speech, tmp_path / "speech", ["hfloss"])["hfloss"]
    options = {**SHORT, "model": base.path, "max_steps": 4}
    written = finetune(masked, tmp_path / "written", **options).path
    flown = finetune(speech, tmp_path / "flown", condition="hfloss", **options).path
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
        ({"from_config": SHAPE}, "either a model"),
        ({"model": None}, "either a model"),
        ({"augment": "loud"}, "unknown augmentation"),
        ({"model": "nowhere/at/all"}, "no model folder"),
    ],
)
def test_wrong_options_are_refused(
    speech: Path, base: FinetuneResult, tmp_path: Path, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        finetune(speech, tmp_path, **{**SHORT, "model": base.path, **options})


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ({"d_modle": 64}, "Did you mean 'd_model'"),
        ({"window_seconds": 2.5}, "whole seconds"),
        ({"max_source_positions": 125}, "whole seconds"),
        ({"d_model": 65, "attention_heads": 2}, "not divisible"),
        ({"encoder_layers": 0}, "encoder_layers is 0"),
        ({"activation_function": "gleu"}, "Did you mean 'gelu"),
    ],
)
def test_impossible_shapes_are_refused(speech: Path, tmp_path: Path, shape: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        finetune(speech, tmp_path, from_config=shape, **SHORT)


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
    speech: Path, base: FinetuneResult, tmp_path: Path, missing: str, reason: str
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(base.path, broken)
    (broken / missing).unlink()
    with pytest.raises(InputError, match=reason):
        finetune(speech, tmp_path / "out", model=broken, **SHORT)


def test_damaged_and_foreign_models_are_refused(speech: Path, base: FinetuneResult, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(base.path, broken)
    (broken / "model.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(InputError, match="broken"):
        finetune(speech, tmp_path / "1", model=broken, **SHORT)
    shutil.rmtree(broken)
    shutil.copytree(base.path, broken)
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"model_type": "bart"}))
    with pytest.raises(InputError, match="not a Whisper"):
        finetune(speech, tmp_path / "2", model=broken, **SHORT)
    (broken / "config.json").write_text(json.dumps(config | {"num_mel_bins": 128}))
    with pytest.raises(InputError, match="80 mel bands"):
        finetune(speech, tmp_path / "3", model=broken, **SHORT)
    (broken / "config.json").write_text(json.dumps(config))
    cut = {k: v for k, v in weights(broken).items() if "layers.0.fc1" not in k}
    save_file(cut, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="lack"):
        finetune(speech, tmp_path / "4", model=broken, **SHORT)


def write_corpus(folder: Path, clips: list[tuple[np.ndarray, str]], split: str = "train") -> Path:
    (folder / split).mkdir(parents=True)
    lines = ["file_name,text"]
    for i, (x, text) in enumerate(clips):
        soundfile.write(folder / split / f"{i:03}.wav", x, RATE)
        lines.append(f"{i:03}.wav,{text}")
    (folder / split / "metadata.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_clips_that_do_not_fit_are_counted_or_refused(base: FinetuneResult, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    good = [(word("mid", rng), "mid") for _ in range(40)]
    long, empty, wordy = (word("low", rng, 1.1), "low"), (word("low", rng), ""), (word("low", rng), "zyx " * 20)
    few = write_corpus(tmp_path / "few", [*good, long])
    finetune(few, tmp_path / "m", model=base.path, **{**SHORT, "max_steps": 2})
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
        write_corpus(many, [*good[:10], bad])
        if name == "nan":
            soundfile.write(many / "train" / "010.wav", bad[0], RATE, subtype="FLOAT")
        with pytest.raises(InputError, match=reason) as error:
            finetune(many, tmp_path / f"m-{name}", model=base.path, **SHORT)
        assert "010" in str(error.value)  # the first such clip is named


def test_a_corpus_without_training_split_is_refused(base: FinetuneResult, tmp_path: Path) -> None:
    only = write_corpus(tmp_path / "c", [(word("mid", np.random.default_rng(0)), "mid")], split="test")
    with pytest.raises(InputError, match=r"no training split.*test \(1 clips\)"):
        finetune(only, tmp_path / "m", model=base.path, **SHORT)
