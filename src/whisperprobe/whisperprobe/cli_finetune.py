"""The command `whisperprobe finetune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from audiogram.console import configure
from audiogram.errors import InputError
from whisperprobe.cli_options import (
    AsJson,
    ConditionName,
    Debug,
    Device,
    Language,
    LogLevel,
    MaxSamples,
    Model,
    Out,
    Quiet,
    Seed,
    Source,
    Task,
    TextPattern,
    grouped,
    heard_through,
    print_json,
    say,
)

__all__ = ["finetune_model"]


_LENGTH, _BATCH, _PART = "Length and learning rate", "Batches and memory", "What is trained"
_HEARD, _JUDGED, _KEPT = "What is heard", "Evaluation", "Checkpoints and curves"


def finetune_model(
    source: Source,
    out: Out,
    model: Model = None,
    from_config: Annotated[
        Path | None,
        grouped(_PART, "--from-config", metavar="FILE", help="Train a new model of this shape (TOML or JSON) instead."),
    ] = None,
    vocabulary_size: Annotated[
        int,
        grouped(
            _PART, "--vocabulary-size", metavar="N", help="Tokens of a new model, from the transcripts.", default="512"
        ),
    ] = 512,
    recipe: Annotated[
        str | None,
        grouped(
            _LENGTH,
            "--recipe",
            metavar="NAME",
            help="study or pilot: values for all that is left out in these groups.",
            names=("study", "pilot"),
        ),
    ] = None,
    epochs: Annotated[
        float | None, grouped(_LENGTH, "--epochs", metavar="X", help="Passes over the training split.", default="3")
    ] = None,
    max_steps: Annotated[
        int | None, grouped(_LENGTH, "--max-steps", metavar="N", help="Optimiser steps, instead of --epochs.")
    ] = None,
    learning_rate: Annotated[
        float | None, grouped(_LENGTH, "--learning-rate", metavar="X", help="Peak learning rate.", default="1e-4")
    ] = None,
    warmup_steps: Annotated[
        int | None, grouped(_LENGTH, "--warmup-steps", metavar="N", help="Steps of linear warm-up.", default="0")
    ] = None,
    scheduler: Annotated[
        str | None,
        grouped(
            _LENGTH,
            "--scheduler",
            metavar="NAME",
            help="What the rate does then: linear, cosine, constant.",
            default="linear",
            names=("linear", "cosine", "constant"),
        ),
    ] = None,
    weight_decay: Annotated[
        float | None, grouped(_LENGTH, "--weight-decay", metavar="X", help="AdamW's weight decay.", default="0")
    ] = None,
    clip_gradient: Annotated[
        float | None,
        grouped(_LENGTH, "--clip-gradient", metavar="X", help="Largest norm of the gradient.", default="1"),
    ] = None,
    global_batch: Annotated[
        int | None,
        grouped(
            _BATCH, "--global-batch", metavar="N", help="Clips per step, over all GPUs and accumulated.", default="32"
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        grouped(_BATCH, "--batch-size", metavar="N", help="Clips that a device holds at once.", default="all it gets"),
    ] = None,
    auto_batch: Annotated[
        bool, grouped(_BATCH, "--auto-batch", help="Try which batch fits into memory, from --batch-size down.")
    ] = False,
    precision: Annotated[
        str,
        grouped(
            _BATCH,
            "--precision",
            metavar="NAME",
            help="auto (bf16 on GPUs that have it), float32 or bf16.",
            default="auto",
            names=("auto", "float32", "bf16"),
        ),
    ] = "auto",
    gradient_checkpointing: Annotated[
        bool, grouped(_BATCH, "--gradient-checkpointing", help="Less memory for about a third more time.")
    ] = False,
    workers: Annotated[
        int | None,
        grouped(_BATCH, "--workers", "-j", metavar="N", help="Processes that read, per GPU.", default="up to 4"),
    ] = None,
    threads: Annotated[
        int | None, grouped(_BATCH, "--threads", metavar="N", help="CPU threads.", default="all")
    ] = None,
    freeze: Annotated[
        str | None,
        grouped(
            _PART,
            "--freeze",
            metavar="HALF",
            help="encoder or decoder: the half that stays as it is.",
            names=("encoder", "decoder"),
        ),
    ] = None,
    lora_rank: Annotated[
        int | None, grouped(_PART, "--lora-rank", metavar="N", help="Train adapters of this rank (LoRA), merge them.")
    ] = None,
    lora_alpha: Annotated[
        float | None,
        grouped(_PART, "--lora-alpha", metavar="X", help="Weight of the adapters.", default="twice the rank"),
    ] = None,
    lora_dropout: Annotated[
        float | None,
        grouped(_PART, "--lora-dropout", metavar="SHARE", help="Dropout of the adapters' input.", default="0"),
    ] = None,
    lora_targets: Annotated[
        str | None,
        grouped(_PART, "--lora-targets", metavar="NAME,...", help="Layers with adapters.", default="q_proj,v_proj"),
    ] = None,
    condition: ConditionName = None,
    augment: Annotated[
        str | None,
        grouped(
            _HEARD,
            "--augment",
            metavar="NAME",
            help="masks (a light SpecAugment), voices (speed, noise, ... too), or specaugment-lb, -ld, -sm, -ss as "
            "published.",
            names=("masks", "voices", "specaugment-lb", "specaugment-ld", "specaugment-sm", "specaugment-ss"),
        ),
    ] = None,
    padding: Annotated[
        str | None,
        grouped(
            _HEARD,
            "--padding",
            metavar="NAME",
            help="window (whole) or trimmed to the clip.",
            default="as trained",
            names=("window", "trimmed"),
        ),
    ] = None,
    margin: Annotated[
        float | None,
        grouped(_HEARD, "--margin", metavar="SECONDS", help="Silence behind the clip in trimmed windows.", default="1"),
    ] = None,
    group_by_length: Annotated[
        bool | None,
        grouped(
            _HEARD,
            "--group-by-length/--no-group-by-length",
            help="Clips of like length share a step.",
            default="with trimmed windows",
        ),
    ] = None,
    leading_space: Annotated[
        bool, grouped(_HEARD, "--leading-space", help="Learn texts with a space before them.")
    ] = False,
    evaluate: Annotated[
        bool, grouped(_JUDGED, "--evaluate/--no-evaluate", help="Score on the validation split, at the end at least.")
    ] = True,
    eval_every: Annotated[
        int | None,
        grouped(_JUDGED, "--eval-every", metavar="N", help="Steps between evaluations.", default="the end only"),
    ] = None,
    best_metric: Annotated[
        str,
        grouped(
            _JUDGED,
            "--best-metric",
            metavar="NAME",
            help="wer, cer, loss, word_accuracy: chooses the best.",
            default="wer",
            names=("wer", "cer", "loss", "word_accuracy"),
        ),
    ] = "wer",
    keep: Annotated[
        str,
        grouped(
            _JUDGED,
            "--keep",
            metavar="WHICH",
            help="Weights that the model folder gets: best or last.",
            default="best",
            names=("best", "last"),
        ),
    ] = "best",
    patience: Annotated[
        int | None, grouped(_JUDGED, "--patience", metavar="N", help="End after N evaluations without a better one.")
    ] = None,
    save_every: Annotated[
        int | None,
        grouped(_KEPT, "--save-every", metavar="N", help="Steps between checkpoints.", default="a tenth of the run"),
    ] = None,
    save_total_limit: Annotated[
        int,
        grouped(
            _KEPT, "--save-total-limit", metavar="N", help="Newest checkpoints to keep, besides the best.", default="2"
        ),
    ] = 2,
    log_every: Annotated[
        int | None,
        grouped(
            _KEPT,
            "--log-every",
            metavar="N",
            help="Steps between rows of training.csv.",
            default="a hundredth of the run, at most 25",
        ),
    ] = None,
    tensorboard: Annotated[
        bool | None, grouped(_KEPT, "--tensorboard/--no-tensorboard", help="Event files.", default="where installed")
    ] = None,
    resume: Annotated[
        str,
        grouped(
            _KEPT,
            "--resume",
            metavar="HOW",
            help="auto (from the last whole checkpoint) or never.",
            default="auto",
            names=("auto", "never"),
        ),
    ] = "auto",
    text_pattern: TextPattern = None,
    language: Language = "en",
    task: Task = "transcribe",
    max_samples: MaxSamples = None,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: AsJson = False,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Fine-tune a Whisper model on a corpus, as it is or filtered through a condition. Resumes where it stopped.

    \b
    Examples:
      whisperprobe finetune speech_hfloss --model openai/whisper-small --out models/hfloss --max-steps 500
      whisperprobe finetune speech --condition hfloss --model base --out models/hfloss --epochs 3 --augment masks
      whisperprobe finetune speech --model openai/whisper-large-v3 --out models/m --recipe study --lora-rank 32
      torchrun --nproc-per-node 4 -m whisperprobe finetune speech --model base --out models/m --recipe study
      whisperprobe finetune digits --from-config small.toml --out models/base --epochs 30 --learning-rate 1e-3

    A shape is a table such as: d_model = 128, encoder_layers = 3, decoder_layers = 2, attention_heads = 4,
    ffn_dim = 512, window_seconds = 2, n_mels = 80.

    \b
    Recipes:
      study: 3 epochs, rate 1e-5, 500 warm-up steps, 64 clips per step, 8 at once; saved, evaluated every 1000 steps
      pilot: 10,000 steps, rate 1.5e-5, 1000 warm-up steps, weight decay 0.05, clipping 0.5, 16 clips per step, 1 at
             once; saved, evaluated every 500 steps
    """
    given = dict(locals())
    configure(log_level=given.pop("log_level"), quiet=given.pop("quiet"), debug=given.pop("debug"))
    del given["as_json"]
    if (model is None) == (from_config is None):
        received = "neither" if model is None else "both"
        raise InputError(
            f"finetune takes either --model (a model's folder or hub name, e.g. openai/whisper-small) or --from-config "
            f"(a new model's shape); it received {received}."
        )
    given["condition"] = heard_through(condition)
    given["from_config"] = None if from_config is None else _shape(from_config)
    given["lora"] = _lora(**{name: given.pop(f"lora_{name}") for name in ("rank", "alpha", "dropout", "targets")})
    from whisperprobe.training.processes import Processes
    from whisperprobe.training.trainer import finetune

    try:
        result = finetune(given.pop("source"), given.pop("out"), **given)
        if Processes.are_led_from_here() and as_json:
            print_json(result)
        elif Processes.are_led_from_here():
            said = [f"{name}: {value:.4g}" for name, value in result.evaluation.items()]
            say(f"model: {result.path}", f"step: {result.step} of {result.steps}", *said)
    finally:
        Processes.part()


def _lora(rank: int | None, alpha: float | None, dropout: float | None, targets: str | None) -> dict[str, Any] | None:
    given: dict[str, Any] = {"alpha": alpha, "dropout": dropout, "targets": targets.split(",") if targets else None}
    given = {name: value for name, value in given.items() if value is not None}
    if rank is None:
        if given:
            raise InputError(
                f"--lora-{next(iter(given))} needs --lora-rank, which turns adapters on, e.g. --lora-rank 32."
            )
        return None
    return {"rank": rank, **given}


def _shape(file: Path) -> dict[str, Any]:
    """Read a new model's shape from a TOML or JSON file."""
    import json
    import tomllib

    try:
        text = file.read_text(encoding="utf-8")
        shape = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise InputError(f"--from-config {file} cannot be read ({error.strerror}); name a TOML or JSON file.") from None
    except ValueError as error:
        raise InputError(f"--from-config {file} is neither TOML nor JSON ({error}).") from None
    if not isinstance(shape, dict):
        raise InputError(f"--from-config {file} holds a {type(shape).__name__}; it needs a table of names and numbers.")
    return shape
