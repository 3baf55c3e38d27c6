"""The commands `whisperprobe ldl`: cues, train, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audiogram.console import configure
from whisperprobe.cli_corpora import MaxFailures, RowsPerPart, Shard, Splits, Workers, listed
from whisperprobe.cli_ldl_cues import cues
from whisperprobe.cli_options import (
    ConditionName,
    Debug,
    LogLevel,
    MaxSamples,
    Out,
    Quiet,
    Seed,
    Source,
    TextPattern,
    say,
)

__all__ = ["ldl"]

ldl = typer.Typer(
    help="The second listener: linear discriminative learning from sound to meaning (LDL-AURIS).",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
ldl.command("cues")(cues)


@ldl.command("train")
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
    cues: Annotated[str | None, typer.Option("--cues", help="cfbsf (default) or log_mel.")] = None,
    boundary: Annotated[
        str | None, typer.Option("--boundary", help="cfbsf: chunks from max or min to max or min.")
    ] = None,
    sampling: Annotated[str | None, typer.Option("--sampling", help="cfbsf: equispaced or random frames.")] = None,
    top_hz: Annotated[
        float | None, typer.Option("--top-hz", metavar="HZ", help="cfbsf: upper edge of the bands; 4000 for 8 kHz.")
    ] = None,
    shape: Annotated[
        Path | None,
        typer.Option("--shape", metavar="DIR", help="Lay cues out as this fit did, e.g. that of condition normal."),
    ] = None,
    condition: ConditionName = None,
    rule: Annotated[str, typer.Option("--rule", help="nlms, lms, endstate or fil.")] = "nlms",
    rate: Annotated[float, typer.Option("--rate", help="Learning rate of nlms and lms.")] = 0.1,
    epsilon: Annotated[float, typer.Option("--epsilon", help="nlms: added to the cues' squared length.")] = 0.0,
    ridge: Annotated[float, typer.Option("--ridge", help="endstate, fil: share of the summed squared cues.")] = 1e-6,
    frequencies: Annotated[
        Path | None, typer.Option("--frequencies", metavar="FILE", help="fil: table with columns word, frequency.")
    ] = None,
    block: Annotated[
        int | None,
        typer.Option("--block", metavar="N", help="Events at a time; a matter of speed.", show_default="by size"),
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", help="Passes over the training split.")] = 1,
    shuffle: Annotated[bool, typer.Option("--shuffle/--in-order", help="A new order in every epoch.")] = True,
    production: Annotated[
        bool, typer.Option("--production/--no-production", help="Learn from meaning to cues, too.")
    ] = True,
    held_out: Annotated[
        str, typer.Option("--held-out", metavar="SPLIT", help="Split for the learning curve, where there is one.")
    ] = "validation",
    curve: Annotated[
        list[int] | None,
        typer.Option(
            "--curve", metavar="EVENTS", help="Where the curve is measured; may be repeated. Default: 20 points."
        ),
    ] = None,
    save_every: Annotated[
        int | None, typer.Option("--save-every", metavar="EVENTS", help="Between checkpoints; default a tenth of all.")
    ] = None,
    device: Annotated[
        str, typer.Option("--device", help="cpu (NumPy), auto, cuda, or cuda:0,cuda:1 to spread the weights.")
    ] = "cpu",
    workers: Workers = 1,
    max_failures: MaxFailures = 0.05,
    max_samples: MaxSamples = None,
    text_pattern: TextPattern = None,
    resume: Annotated[str, typer.Option("--resume", help="auto, or never to learn anew.")] = "auto",
    seed: Seed = 0,
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
        condition=condition, rule=rule, rate=rate, epsilon=epsilon, ridge=ridge, frequencies=frequencies,
        block=block, epochs=epochs, seed=seed, shuffle=shuffle, production=production, held_out=held_out,
        curve=curve or 20, max_samples=max_samples, max_failures=max_failures, save_every=save_every, device=device,
        workers=workers, resume=resume, text_pattern=text_pattern,
    )  # fmt: skip
    results = model.results
    say(f"model: {model.path}", f"learnt: {results['events']} events, {results['word_types']} word types")
    if results["held_out"]:
        point = results["held_out"]
        say(f"held out: accuracy {point['accuracy']:.4g}, target correlation {point['target_correlation']:.4g}")


@ldl.command("evaluate")
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
        typer.Option("--name", help="What comparisons call the listener; default: the condition it was trained under."),
    ] = None,
    shard: Shard = None,
    workers: Workers = 1,
    rows_per_part: RowsPerPart = 256,
    max_failures: MaxFailures = 0.05,
    max_samples: MaxSamples = None,
    text_pattern: TextPattern = None,
    seed: Seed = 0,
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
        source, out, model=model, condition=condition, semantics=semantics, splits=listed(splits) or ("test",),
        neighbours=neighbours, shard=shard, workers=workers, max_samples=max_samples, seed=seed,
        rows_per_part=rows_per_part, max_failures=max_failures, name=name, text_pattern=text_pattern,
    )  # fmt: skip
    say(f"heard: {path}")
    if shard is None:
        clips = load_ldl(path).clips
        known = clips[clips["rank"].notna()]
        if len(known):
            near = ", ".join(f"@{k} {(known['rank'] <= k).mean():.4g}" for k in (5, 10))
            say(f"accuracy: {known['correct'].mean():.4g}, {near}; words: {len(known)} of {len(clips)} with a text")
