"""The commands `whisperprobe ldl`: cues, train, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audiogram.command_help import TaughtCommand, program
from audiogram.console import configure
from whisperprobe.cli_corpora import MaxFailures, RowsPerPart, Shard, Splits, Workers, listed
from whisperprobe.cli_ldl_cues import cues
from whisperprobe.cli_options import (
    AsJson,
    ConditionName,
    Debug,
    LogLevel,
    MaxSamples,
    Out,
    Quiet,
    Seed,
    Source,
    TextPattern,
    among,
    grouped,
    heard_through,
    print_json,
    say,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ldl"]

ldl = program(
    """The second listener: linear discriminative learning from sound to meaning (LDL-AURIS).

    \b
    Examples:
      whisperprobe ldl train words --semantics cc.en.300.bin --out ldl/normal --condition normal
      whisperprobe ldl evaluate words --model ldl/normal --out heard/hfloss --condition hfloss
    """
)
_CUES, _LEARNING = "Cues", "Learning"
_NEAR = (5, 10)  # ranks up to which a word counts as nearly understood
ldl.command("cues", cls=TaughtCommand)(cues)


@ldl.command("train", cls=TaughtCommand)
def train_command(
    source: Source,
    out: Out,
    semantics: Annotated[
        str,
        typer.Option(
            "--semantics",
            "-s",
            metavar="SPEC",
            help="fastText .bin or .vec, a .csv, .tsv, .parquet or .npz of vectors, or whisper:MODEL.",
        ),
    ],
    cues: Annotated[
        str | None,
        grouped(_CUES, "--cues", metavar="KIND", help="cfbsf or log_mel.", default="cfbsf", names=("cfbsf", "log_mel")),
    ] = None,
    boundary: Annotated[
        str | None,
        grouped(
            _CUES,
            "--boundary",
            metavar="WHERE",
            help="cfbsf: chunks from max or min to max or min.",
            default="max",
            names=("max", "min"),
        ),
    ] = None,
    sampling: Annotated[
        str | None,
        grouped(
            _CUES,
            "--sampling",
            metavar="HOW",
            help="cfbsf: the 20 frames of a chunk, equispaced or random.",
            default="equispaced",
            names=("equispaced", "random"),
        ),
    ] = None,
    top_hz: Annotated[
        float | None,
        grouped(
            _CUES, "--top-hz", metavar="HZ", help="cfbsf: upper edge of the bands; 4000 for 8 kHz.", default="8000"
        ),
    ] = None,
    shape: Annotated[
        Path | None,
        grouped(_CUES, "--shape", metavar="DIR", help="Lay cues out as this fit did, e.g. that of condition normal."),
    ] = None,
    condition: ConditionName = None,
    rule: Annotated[
        str,
        grouped(
            _LEARNING,
            "--rule",
            metavar="RULE",
            help="nlms, lms, endstate or fil.",
            default="nlms",
            names=("nlms", "lms", "endstate", "fil"),
        ),
    ] = "nlms",
    rate: Annotated[
        float, grouped(_LEARNING, "--rate", metavar="X", help="Learning rate of nlms and lms.", default="0.1")
    ] = 0.1,
    epsilon: Annotated[
        float,
        grouped(_LEARNING, "--epsilon", metavar="X", help="nlms: added to the cues' squared length.", default="0"),
    ] = 0.0,
    ridge: Annotated[
        float,
        grouped(
            _LEARNING,
            "--ridge",
            metavar="SHARE",
            help="endstate, fil: share of the summed squared cues.",
            default="1e-06",
        ),
    ] = 1e-6,
    frequencies: Annotated[
        Path | None,
        grouped(_LEARNING, "--frequencies", metavar="FILE", help="fil: table with columns word, frequency."),
    ] = None,
    block: Annotated[
        int | None,
        grouped(_LEARNING, "--block", metavar="N", help="Events at a time; a matter of speed.", default="by size"),
    ] = None,
    epochs: Annotated[
        int, grouped(_LEARNING, "--epochs", metavar="N", help="Passes over the training split.", default="1")
    ] = 1,
    shuffle: Annotated[
        bool, grouped(_LEARNING, "--shuffle/--in-order", help="A new order in every epoch.", default="shuffle")
    ] = True,
    production: Annotated[
        bool,
        grouped(
            _LEARNING, "--production/--no-production", help="Learn from meaning to cues, too.", default="production"
        ),
    ] = True,
    held_out: Annotated[
        str,
        grouped(
            _LEARNING,
            "--held-out",
            metavar="SPLIT",
            help="Split for the learning curve, where there is one.",
            default="validation",
        ),
    ] = "validation",
    curve: Annotated[
        list[int] | None,
        grouped(
            _LEARNING,
            "--curve",
            metavar="EVENTS",
            help="Where the curve is measured; may be repeated.",
            default="20 points",
        ),
    ] = None,
    save_every: Annotated[
        int | None,
        grouped(_LEARNING, "--save-every", metavar="EVENTS", help="Between checkpoints.", default="a tenth of all"),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            "--device",
            metavar="DEVICE",
            help="cpu (NumPy), auto, cuda, or cuda:0,cuda:1 to spread the weights.",
            autocompletion=among("cpu", "auto", "cuda"),
        ),
    ] = "cpu",
    workers: Workers = 1,
    max_failures: MaxFailures = 0.05,
    max_samples: MaxSamples = None,
    text_pattern: TextPattern = None,
    resume: Annotated[
        str,
        grouped(
            _LEARNING,
            "--resume",
            metavar="HOW",
            help="auto, or never to learn anew.",
            default="auto",
            names=("auto", "never"),
        ),
    ] = "auto",
    seed: Seed = 0,
    as_json: AsJson = False,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a discriminative lexicon on the split train of a corpus of words. Resumes where it stopped.

    \b
    Examples:
      whisperprobe ldl train words --semantics cc.en.300.bin --out ldl/normal --condition normal
      whisperprobe ldl train words -s cc.en.300.bin --out ldl/hfloss -c hfloss --shape ldl/normal --epochs 5
      whisperprobe ldl train words -s whisper:openai/whisper-small --out ldl/end --cues log_mel --rule endstate
      whisperprobe ldl train cues/hfloss -s cc.en.300.vec --out ldl/fil --rule fil --frequencies subtlex.tsv

    SOURCE is speech, one word a clip, or what `ldl cues` wrote. Cues are kept in OUT/cues, the learning curve in
    OUT/curve.csv, clips without text or vector in OUT/left_out.csv.
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from whisperprobe.ldl.fit import train_corpus

    told = {"boundary": boundary, "sampling": sampling, "top_hz": top_hz}
    cue_options = {name: value for name, value in told.items() if value is not None} or None
    model = train_corpus(
        source, out, semantics=semantics, cues=cues, cue_options=cue_options, shape=shape,
        condition=heard_through(condition), rule=rule, rate=rate, epsilon=epsilon, ridge=ridge, frequencies=frequencies,
        block=block, epochs=epochs, seed=seed, shuffle=shuffle, production=production, held_out=held_out,
        curve=curve or 20, max_samples=max_samples, max_failures=max_failures, save_every=save_every, device=device,
        workers=workers, resume=resume, text_pattern=text_pattern,
    )  # fmt: skip
    results = model.results
    if as_json:
        print_json({"model": model.path, "results": results})
        return
    say(f"model: {model.path}", f"learnt: {results['events']} events, {results['word_types']} word types")
    if results["held_out"]:
        point = results["held_out"]
        say(f"held out: accuracy {point['accuracy']:.4g}, target correlation {point['target_correlation']:.4g}")


@ldl.command("evaluate", cls=TaughtCommand)
def evaluate_command(
    source: Source,
    out: Out,
    model: Annotated[Path, typer.Option("--model", "-m", metavar="DIR", help="What ldl train wrote.")],
    condition: ConditionName = None,
    semantics: Annotated[
        str | None,
        typer.Option("--semantics", "-s", metavar="SPEC", help="Where the model's semantic space is now, if it moved."),
    ] = None,
    splits: Splits = None,
    neighbours: Annotated[int, typer.Option("--neighbours", "-k", metavar="K", help="Nearest words kept.")] = 10,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="What comparisons call the listener; default: the condition it was trained under.",
        ),
    ] = None,
    shard: Shard = None,
    workers: Workers = 1,
    rows_per_part: RowsPerPart = 256,
    max_failures: MaxFailures = 0.05,
    max_samples: MaxSamples = None,
    text_pattern: TextPattern = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Say what a discriminative lexicon understands of every word of a corpus. `compare` joins what this writes.

    \b
    Examples:
      whisperprobe ldl evaluate words --model ldl/normal --out heard/normal-normal --condition normal
      whisperprobe ldl evaluate words --model ldl/normal --out heard/normal-hfloss --condition hfloss
      whisperprobe compare heard/normal-normal heard/normal-hfloss --out comparison

    The condition is what is listened under now, whatever the model was trained under. The default split is test.
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from whisperprobe.ldl.evaluate import evaluate_corpus
    from whisperprobe.ldl.results import load_ldl

    path = evaluate_corpus(
        source, out, model=model, condition=heard_through(condition), semantics=semantics,
        splits=listed(splits) or ("test",), neighbours=neighbours, shard=shard, workers=workers,
        max_samples=max_samples, seed=seed, rows_per_part=rows_per_part, max_failures=max_failures, name=name,
        text_pattern=text_pattern,
    )  # fmt: skip
    heard = None if shard is not None else _heard(load_ldl(path).clips)
    if as_json:
        print_json({"heard": path, "results": heard})
        return
    say(f"heard: {path}")
    if heard is not None and heard["words"]:
        near = ", ".join(f"@{k} {heard[f'accuracy_at_{k}']:.4g}" for k in _NEAR)
        say(f"accuracy: {heard['accuracy']:.4g}, {near}; words: {heard['words']} of {heard['clips']} with a text")


def _heard(clips: pd.DataFrame) -> dict[str, Any]:
    known = clips[clips["rank"].notna()]
    near = {f"accuracy_at_{k}": float((known["rank"] <= k).mean()) for k in _NEAR}
    return {"clips": len(clips), "words": len(known), "accuracy": float(known["correct"].mean()), **near}
