"""The model folder: its card, the call that makes it again, and that plain transformers hears as it was trained."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from transformers import (
    AutomaticSpeechRecognitionPipeline,
    GenerationConfig,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    pipeline,
)
from typer.main import get_command

import audiogram
from audiogram.errors import InputError
from whisperprobe.cli import app
from whisperprobe.labels import Labels, prompt_ids
from whisperprobe.probing.windowing import PADDED, Windowing
from whisperprobe.training.augment import Augmentation
from whisperprobe.training.curve_tables import EVALUATION_COLUMNS, TRAINING_COLUMNS, StepTable
from whisperprobe.training.model_card import model_card, write_card
from whisperprobe.training.model_folder import Listener, load_listener, new_listener, read_windowing, weights_digest
from whisperprobe.training.reproducing import command, given_options, python_call
from whisperprobe.training.surroundings import devices_in_words
from whisperprobe.training.tokenizer import train_tokenizer
from whisperprobe.training.trainer import finetune

RATE = 16_000
SHAPE = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "window_seconds": 1, "max_target_positions": 32}


def recorded(**changes: Any) -> dict[str, Any]:
    """What finetune.json holds of a plain run."""
    options = {
        "corpus": {
            "source": "speech", "kind": "folder", "rows": {"train": 60}, "fingerprint": "c0ffee", "text_pattern": None,
            "text_map": None, "view": [],
        },
        "corpus_fingerprint": "abc", "corpus_condition": None, "model": "openai/whisper-small", "model_sha256": None,
        "from_config": None, "vocabulary_size": None, "tokenizer": None, "condition": None, "recipe": None,
        "max_steps": None, "epochs": 3, "learning_rate": 1e-4, "warmup_steps": 0, "scheduler": "linear",
        "weight_decay": 0.0, "clip_gradient": 1.0, "eval_every": None, "global_batch": 32, "precision": "float32",
        "freeze": None, "lora": None, "seed": 0, "language": "en", "task": "transcribe", "leading_space": False,
        "augment": None, "padding": None, "margin": None, "group_by_length": False, "evaluate": True,
        "best_metric": "wer", "keep": "best", "patience": None, "max_samples": None,
    }  # fmt: skip
    return json.loads(json.dumps({**options, **changes}))


def found(**changes: Any) -> dict[str, Any]:
    """What results.json holds of it."""
    return {
        "steps": 600, "step": 400, "kept": "best", "seconds": 1800.0, "clips_per_second": 12.5, "n_clips": 60,
        "bands": 80, "window_seconds": 30.0, "global_batch": 32, "batch_size": 32, "accumulation": 1, "processes": 1,
        "devices": "CPU", "versions": {"torch": "2.11.0", "whisperprobe": "1.0.0"}, "weights_sha256": "f00d",
        "best": {"metric": "wer", "step": 400, "value": 0.125},
        "evaluation": {"loss": 0.5, "wer": 0.125, "cer": 0.0625, "sentence_accuracy": 0.75, "n_clips": 12.0},
        "splits": {
            "train": {"clips": 60, "hours": 1.5, "excluded": {"longer than the model's window of 30 s": 2}},
            "validation": {"clips": 12, "hours": 0.25, "excluded": {}},
        },
        **changes,
    }  # fmt: skip


def header(text: str) -> dict[str, Any]:
    return yaml.safe_load(text.split("---\n")[1])


# The card


def test_header_is_one_that_the_hub_reads() -> None:
    text = model_card(recorded(), found(), name="my model")
    card: Any = ModelCard(text)
    assert card.data.to_dict() == header(text)
    assert header(text)["language"] == "en"
    assert header(text)["base_model"] == "openai/whisper-small"
    assert header(text)["library_name"] == "transformers"
    assert header(text)["pipeline_tag"] == "automatic-speech-recognition"
    assert "license" not in header(text)
    measured = {r.metric_name: (r.metric_type, r.metric_value) for r in card.data.eval_results}
    assert measured["Word error rate"] == ("wer", 0.125)
    assert measured["Sentences written exactly"] == ("accuracy", 0.75)
    assert card.data.model_name == "my-model"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"language": "german"}, {"language": "de"}),
        ({"language": "jw"}, {"language": "jv"}),
        ({"model": "models/base", "model_sha256": "ab"}, {"base_model": None}),
        ({"model": None, "from_config": SHAPE}, {"base_model": None}),
    ],
)
def test_header_follows_the_options(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    told = header(model_card(recorded(**changes), found()))
    assert {name: told.get(name) for name in expected} == expected


def test_card_tells_data_results_and_hearing() -> None:
    hfloss = audiogram.condition("hfloss").to_dict()
    text = model_card(recorded(condition=hfloss), found(), picture=True)
    for part in (
        "# A Whisper that heard: hfloss", "600 steps", "weights are those of step 400, the best", "whisper-small",
        "| word error rate | `wer` | 12.50 % |", "step 400 was best by `wer`", "](training.png)",
        "| train | 60 | 1.5 | 2 longer than the model's window of 30 s |", "| validation | 12 | 0.25 | none |",
        "4\u00a0kHz:\u00a085", "| average of 500, 1000, 2000, 4000 Hz | 62.5 |", "moderately severe", "torch 2.11.0",
        "SHA-256 `f00d`", "12.5 clips per second", "0.5 hours", "None is stated",
    ):  # fmt: skip
        assert part in text, part
    assert text.count("fingerprint") == text.count("`abc`") == 1
    assert "c0ffee" not in text


@pytest.mark.parametrize(("threads", "said"), [(1, "CPU, 1 thread"), (2, "CPU, 2 threads")])
def test_a_single_thread_is_no_threads(monkeypatch: pytest.MonkeyPatch, threads: int, said: str) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert devices_in_words("cpu", 1) == said
    assert devices_in_words("cpu", 2) == f"2 x {said}"


def test_card_says_what_there_was_not() -> None:
    bare = found(evaluation={}, step=600, kept="last")
    for name in ("splits", "best", "weights_sha256", "devices"):
        del bare[name]
    text = model_card(recorded(corpus_condition="lfloss", padding="trimmed", margin=0.5), bare)
    assert "was not scored" in text
    assert "filtered before, through the condition `lfloss`" in text
    assert "trimmed to the clip and 0.5 s" in text
    assert "model-index" not in header(text)
    assert "through no hearing condition" in model_card(recorded(), bare)


def test_a_picture_is_drawn_where_the_run_was_evaluated_on_the_way(tmp_path: Path) -> None:
    training, evaluation = (
        StepTable(tmp_path / name, columns)
        for name, columns in (("training.csv", TRAINING_COLUMNS), ("evaluation.csv", EVALUATION_COLUMNS))
    )
    for table in (training, evaluation):
        table.cut(0)
    for step in (100, 200, 300):
        training.add({"step": step, "epoch": 1.0, "loss": 1 / step, "learning_rate": 1e-4, "grad_norm": 1.0})
    evaluation.add({"step": 300, "loss": 0.5, "wer": 0.5})
    write_card(tmp_path, recorded(), found())
    assert not (tmp_path / "training.png").exists()
    assert "training.png" not in (tmp_path / "README.md").read_text()
    evaluation.add({"step": 400, "loss": 0.25, "wer": 0.25})
    write_card(tmp_path, recorded(), found())
    assert (tmp_path / "training.png").read_bytes()[:4] == b"\x89PNG"
    assert "](training.png)" in (tmp_path / "README.md").read_text()


# How to make it again


@pytest.mark.parametrize(
    ("changes", "results", "expected"),
    [
        ({}, {}, "whisperprobe finetune speech --model openai/whisper-small --precision float32 --out OUT"),
        (
            {"condition": audiogram.condition("hfloss").to_dict(), "epochs": None, "max_steps": 500, "seed": 3},
            {},
            "whisperprobe finetune speech --model openai/whisper-small --condition hfloss --max-steps 500 "
            "--precision float32 --seed 3 --out OUT",
        ),
        (
            {
                "recipe": "study", "learning_rate": 2e-5, "warmup_steps": 500, "global_batch": 64, "eval_every": 1000,
                "lora": {"rank": 8, "alpha": 16.0, "dropout": 0.0, "targets": ["q_proj", "v_proj"]}, "evaluate": True,
                "precision": "bf16", "augment": Augmentation.of("masks").to_dict(), "padding": "trimmed",
                "margin": 0.5, "group_by_length": True, "leading_space": True,
            },
            {"processes": 4, "batch_size": 8, "accumulation": 2},
            "torchrun --nproc-per-node 4 -m whisperprobe finetune speech --model openai/whisper-small --recipe study "
            "--learning-rate 2e-05 --precision bf16 --lora-rank 8 --lora-alpha 16.0 --lora-dropout 0.0 "
            "--lora-targets q_proj,v_proj --leading-space --augment masks --padding trimmed --margin 0.5 --out OUT",
        ),
        (
            {"model": None, "from_config": SHAPE, "vocabulary_size": 300, "group_by_length": True, "evaluate": False,
             "corpus": {"source": "my speech", "text_pattern": r"(?P<text>\d)", "view": []}},
            {"batch_size": 4, "accumulation": 8},
            "whisperprobe finetune 'my speech' --from-config shape.json --vocabulary-size 300 --batch-size 4 "
            "--precision float32 --group-by-length --no-evaluate --text-pattern '(?P<text>\\d)' --out OUT",
        ),
    ],
)  # fmt: skip
def test_command_says_what_is_not_a_default(changes: dict[str, Any], results: dict[str, Any], expected: str) -> None:
    line = command(recorded(**changes), found(**results))
    assert line == expected
    # the command line takes it
    words = shlex.split(expected.partition("finetune ")[2])
    finetuning: Any = get_command(app).commands["finetune"]  # type: ignore[attr-defined]
    finetuning.make_context("finetune", words)


def test_what_a_command_line_cannot_say_is_told_in_python() -> None:
    n3 = audiogram.Condition("n3", audiogram.preset("bisgaard-n3")).to_dict()
    view = [{"split": {"column": "take", "test": ["20"], "validation": 0}}]
    corpus = {"source": "speech", "text_map": {"0": "zero"}, "text_pattern": None, "view": view}
    for changes in (
        {"condition": n3},
        {"augment": {**Augmentation.of("masks").to_dict(), "speed": 0.1}},
        {"corpus": corpus},
    ):
        assert command(recorded(**changes), found()) is None
        call = ast.parse(python_call(recorded(**changes), found())).body[1].value
        assert isinstance(call, ast.Call)
        named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
        assert named == given_options(recorded(**changes), found())
        inspect.signature(finetune).bind(*(ast.literal_eval(a) for a in call.args), **named)
        assert "```python" in model_card(recorded(**changes), found())


# The folder


@pytest.fixture(scope="module")
def german(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of random weights that was to write German, in its folder."""
    words = train_tokenizer(["Bär", "Tür", "über"], 300, languages=["en", "de"], language="de")
    made = new_listener({**SHAPE, "init_std": 0.3}, words, language="de", task="transcribe", seed=1)
    folder = tmp_path_factory.mktemp("model")
    made.save(folder)
    return folder


def sounds() -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(n).astype(np.float32) for n in (4000, 9000, 16_000)]


def test_generate_needs_no_arguments_to_decode_what_was_trained(german: Path) -> None:
    model = WhisperForConditionalGeneration.from_pretrained(german)
    processor = WhisperProcessor.from_pretrained(german)
    settings = GenerationConfig.from_pretrained(german)
    assert (settings.language, settings.task) == ("de", "transcribe")
    features = processor(sounds(), sampling_rate=RATE, return_tensors="pt").input_features
    plain = model.generate(features)
    assert torch.equal(plain, model.generate(features, language="de", task="transcribe"))
    assert not torch.equal(plain, model.generate(features, language="en", task="transcribe"))


def test_pipeline_hears_as_generate_does(german: Path) -> None:
    listen: Any = pipeline("automatic-speech-recognition", str(german), device="cpu")
    assert isinstance(listen, AutomaticSpeechRecognitionPipeline)
    model = WhisperForConditionalGeneration.from_pretrained(german)
    processor = WhisperProcessor.from_pretrained(german)
    for x in sounds():
        features = processor(x, sampling_rate=RATE, return_tensors="pt").input_features
        said = processor.batch_decode(model.generate(features), skip_special_tokens=True)[0]
        assert listen({"raw": x, "sampling_rate": RATE})["text"] == said


def test_tokenizer_makes_the_labels_that_were_learnt(german: Path) -> None:
    listener = load_listener(german)
    prompt = prompt_ids(listener.tokenizer, listener.model.generation_config, language="de")
    labels = Labels(listener.tokenizer, tuple(prompt), 32)
    processor = WhisperProcessor.from_pretrained(german)
    assert processor.tokenizer("Bär").input_ids == [prompt[0], *labels("Bär")]
    assert processor(text="Bär").input_ids == [prompt[0], *labels("Bär")]


def test_weights_have_one_digest_wherever_they_lie(german: Path, tmp_path: Path) -> None:
    load_listener(german).save(tmp_path)
    assert weights_digest(tmp_path) == weights_digest(german)
    assert weights_digest("openai/whisper-small") is None
    changed = load_listener(german)
    with torch.no_grad():
        next(changed.model.parameters()).add_(1)
    changed.save(tmp_path)
    assert weights_digest(tmp_path) != weights_digest(german)


def test_the_folder_remembers_how_sound_meets_the_window(german: Path, tmp_path: Path) -> None:
    assert read_windowing(german) == load_listener(german).windowing == PADDED
    assert not (german / "listening.json").exists()
    given = load_listener(german)
    Listener(given.model, given.tokenizer, given.window, Windowing("trimmed", 0.5)).save(tmp_path)
    assert json.loads((tmp_path / "listening.json").read_text()) == {"padding": "trimmed", "margin": 0.5}
    assert load_listener(tmp_path).windowing == Windowing("trimmed", 0.5)
    given.save(tmp_path)
    assert read_windowing(tmp_path) == PADDED
    assert read_windowing("openai/whisper-small") == PADDED


@pytest.mark.parametrize("text", ["", "[]", '{"padding": "cut"}', '{"margin": -1}', '{"margins": 1}', "\x00"])
def test_a_damaged_listening_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "listening.json").write_text(text)
    with pytest.raises(InputError, match=re.escape(str(tmp_path / "listening.json"))):
        read_windowing(tmp_path)
