"""The command `whisperprobe`. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from audiogram.console import configure, run_app
from audiogram.errors import InputError
from whisperprobe.cli_commonvoice import commonvoice
from whisperprobe.cli_corpora import extract, logmel, verify
from whisperprobe.cli_export import export
from whisperprobe.cli_options import (
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
    TextPattern,
    say,
)
from whisperprobe.cli_probe import probe_source
from whisperprobe.cli_study import demo, plan_study, report, run_study_file

__all__ = ["app", "main"]

app = typer.Typer(
    name="whisperprobe",
    help="Whisper as a listener: fine-tune it on filtered speech, probe every token, compare conditions and models.\n\n"
    "Start with: whisperprobe demo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

app.command("demo")(demo)
app.command("run")(run_study_file)
app.command("plan")(plan_study)


@app.command("finetune")
def finetune_model(
    source: Source,
    out: Out,
    model: Model = None,
    from_config: Annotated[
        Path | None,
        typer.Option("--from-config", metavar="FILE", help="Train a new model of this shape (TOML or JSON) instead."),
    ] = None,
    vocabulary_size: Annotated[
        int, typer.Option("--vocabulary-size", help="Tokens of a new model, trained on the transcripts.")
    ] = 512,
    condition: ConditionName = None,
    epochs: Annotated[float | None, typer.Option("--epochs", help="Passes over the training split.")] = None,
    max_steps: Annotated[int | None, typer.Option("--max-steps", help="Optimiser steps, instead of --epochs.")] = None,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="Peak learning rate.")] = 1e-4,
    warmup_steps: Annotated[int, typer.Option("--warmup-steps", help="Steps of linear warm-up.")] = 0,
    scheduler: Annotated[str, typer.Option("--scheduler", help="Schedule of the learning rate.")] = "linear",
    batch_size: Annotated[int, typer.Option("--batch-size", help="Clips per step.")] = 32,
    weight_decay: Annotated[float, typer.Option("--weight-decay", help="AdamW's weight decay.")] = 0.0,
    clip_gradient: Annotated[float, typer.Option("--clip-gradient", help="Largest norm of the gradient.")] = 1.0,
    augment: Annotated[
        str | None,
        typer.Option("--augment", metavar="NAME", help="masks (SpecAugment) or voices (speed, noise, ... too)."),
    ] = None,
    evaluate: Annotated[
        bool, typer.Option("--evaluate/--no-evaluate", help="Score the result on the validation split.")
    ] = True,
    save_every: Annotated[int | None, typer.Option("--save-every", help="Steps between checkpoints.")] = None,
    threads: Annotated[int | None, typer.Option("--threads", help="CPU threads; default: all.")] = None,
    text_pattern: TextPattern = None,
    language: Language = "en",
    max_samples: MaxSamples = None,
    seed: Seed = 0,
    device: Device = "auto",
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Fine-tune a Whisper model on a corpus, as it is or filtered through a condition. Resumes where it stopped.

    \b
    Examples:
      whisperprobe finetune speech_hfloss --model openai/whisper-small --out models/hfloss --max-steps 500
      whisperprobe finetune speech --condition hfloss --model base --out models/hfloss --epochs 3
      whisperprobe finetune digits --from-config small.toml --out models/base --epochs 30 --learning-rate 1e-3

    A shape is a table such as: d_model = 128, encoder_layers = 3, decoder_layers = 2, attention_heads = 4,
    ffn_dim = 512, window_seconds = 2, n_mels = 80.
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    if (model is None) == (from_config is None):
        received = "neither" if model is None else "both"
        raise InputError(
            f"finetune takes either --model (a model's folder or hub name, e.g. openai/whisper-small) or --from-config "
            f"(a new model's shape); it received {received}."
        )
    shape = None if from_config is None else _shape(from_config)
    from whisperprobe.training.trainer import finetune

    result = finetune(
        source,
        out,
        model=model,
        from_config=shape,
        vocabulary_size=vocabulary_size,
        condition=condition,
        epochs=epochs,
        max_steps=max_steps,
        learning_rate=learning_rate,
        warmup_steps=warmup_steps,
        scheduler=scheduler,
        batch_size=batch_size,
        weight_decay=weight_decay,
        clip_gradient=clip_gradient,
        augment=augment,
        evaluate=evaluate,
        save_every=save_every,
        threads=threads,
        text_pattern=text_pattern,
        language=language,
        max_samples=max_samples,
        seed=seed,
        device=device,
    )
    say(f"model: {result.path}", *(f"{name}: {value:.4g}" for name, value in result.evaluation.items()))


app.command("probe")(probe_source)


@app.command("compare")
def compare_runs(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Probe runs: folders, or MODEL:CONDITION[@SEED]=folder.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder to save the comparison in.")
    ] = None,
    resamples: Annotated[int, typer.Option("--resamples", help="Bootstrap resamples, at least 100.")] = 2000,
    common: Annotated[
        bool, typer.Option("--common", help="Compare the clips that all runs hold, leave out the rest.")
    ] = False,
    seed: Seed = 0,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare probe runs over the same clips, and say what was found.

    \b
    Examples:
      whisperprobe compare probes/base-normal probes/base-hfloss --out comparison
      whisperprobe compare base:normal=probes/a base:hfloss=probes/b hfloss:hfloss=probes/c --out comparison

    MODEL is base for the unadapted model, else the condition that it was fine-tuned on: the findings and the report
    word it so. Without labels, the model is named after its folder and the condition is read from the run.
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from whisperprobe.comparison.conditions import compare
    from whisperprobe.comparison.summary import summarise

    labelled = [_labelled(run) for run in runs]
    comparison = compare(labelled, out=out, seed=seed, resamples=resamples, clips="common" if common else "same")
    say(*summarise(comparison))
    if out is not None:
        say(f"comparison: {out}")


app.command("export")(export)
app.command("logmel")(logmel)
app.command("extract")(extract)
app.command("verify")(verify)
app.command("report")(report)
app.add_typer(commonvoice, name="commonvoice")


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


def _labelled(run: str) -> Any:
    """Read ``MODEL:CONDITION[@SEED]=folder``; a folder alone stays as it is."""
    import re

    from whisperprobe.comparison.conditions import ProbeRun

    match = re.fullmatch(r"([\w.-]+):([\w.-]+)(?:@(\d+))?=(.+)", run)
    if match is None:
        return run
    return ProbeRun(match[4], match[1], match[2], int(match[3]) if match[3] else None)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    # OpenMP's threads spin while they wait. On shared cores that costs torch's small models two thirds of their speed
    # (38 against 103 clips/s of fine-tuning beside one other process); with short spinning idle cores lose a tenth.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    sys.exit(run_app(app))


if __name__ == "__main__":
    main()
