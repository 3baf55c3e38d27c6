"""The command `whisperprobe probe`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audiogram.console import configure
from audiogram.errors import InputError
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

__all__ = ["probe_source"]


def probe_source(
    source: Source,
    out: Out,
    model: Model = None,
    condition: ConditionName = None,
    splits: Annotated[
        list[str] | None,
        typer.Option("--splits", metavar="SPLIT", help="Splits to probe, default test; repeat for several."),
    ] = None,
    top_k: Annotated[int, typer.Option("--top-k", help="Most probable tokens kept per position.")] = 1000,
    batch_size: Annotated[int, typer.Option("--batch-size", metavar="N", help="Clips per batch.")] = 16,
    vectors: Annotated[str, typer.Option("--vectors", help="Rows that keep vectors: greedy, both or none.")] = "greedy",
    layers: Annotated[
        str | None,
        typer.Option("--layers", metavar="L,L,...", help="Decoder layers to read too, 0 (embedding) to n, or all."),
    ] = None,
    layer_vectors: Annotated[
        bool, typer.Option("--layer-vectors", help="Keep the states of these layers where vectors are kept.")
    ] = False,
    encoder: Annotated[
        str, typer.Option("--encoder", help="Mean encoder state per clip: mean (over the clip), window or none.")
    ] = "none",
    lexicon: Annotated[
        Path | None, typer.Option("--lexicon", metavar="FILE", help="Words that compete for each clip, one per line.")
    ] = None,
    candidates: Annotated[
        int | None, typer.Option("--candidates", metavar="N", help="Score the best N of a first pass; default: all.")
    ] = None,
    competitors: Annotated[
        int, typer.Option("--competitors", metavar="N", help="Most probable words listed per clip.")
    ] = 10,
    n_best: Annotated[int, typer.Option("--n-best", metavar="N", help="Answers of a beam search per clip.")] = 0,
    homophones: Annotated[
        Path | None,
        typer.Option("--homophones", metavar="FILE", help="Words that sound alike, one set per line: also correct."),
    ] = None,
    long_audio: Annotated[
        str, typer.Option("--long-audio", help="Clips longer than the model's window: refuse, or windows (cut them).")
    ] = "refuse",
    padding: Annotated[
        str | None,
        typer.Option("--padding", help="Encoder over the whole window, or trimmed to the clip; default as trained."),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option("--margin", metavar="SECONDS", help="Silence that a trimmed encoder hears at least; default 1."),
    ] = None,
    agreement: Annotated[
        int, typer.Option("--agreement", metavar="N", help="Clips a split on which trimmed is compared with padded.")
    ] = 64,
    shard: Annotated[
        str | None, typer.Option("--shard", metavar="I/N", help="Only the parts I modulo N, from 0: one array task.")
    ] = None,
    rows_per_part: Annotated[int, typer.Option("--rows-per-part", metavar="N", help="Clips in one file.")] = 256,
    max_failures: Annotated[float, typer.Option("--max-failures", help="Share of bad clips that is borne.")] = 0.05,
    text_pattern: TextPattern = None,
    language: Language = "en",
    task: Annotated[str, typer.Option("--task", help="transcribe or translate.")] = "transcribe",
    timestamps: Annotated[
        bool, typer.Option("--timestamps", help="Let the model write timestamps; they are tokens like any other.")
    ] = False,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", metavar="N", help="Longest answer, end token included.")
    ] = 225,
    max_samples: MaxSamples = None,
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Annotated[
        str, typer.Option("--dtype", help="What the model runs in: float32, bfloat16, float16 or float64.")
    ] = "float32",
    num_workers: Annotated[
        int, typer.Option("--num-workers", metavar="N", help="Threads that decode ahead of the model; 0: none.")
    ] = 2,
    num_threads: Annotated[
        int | None, typer.Option("--num-threads", metavar="N", help="CPU threads of the model; default: all.")
    ] = None,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Probe every token that a model predicts for a corpus, and how well it heard the words spoken.

    \b
    Examples:
      whisperprobe probe speech_hfloss --model openai/whisper-small --out probes/base-hfloss
      whisperprobe probe words --model models/hfloss --condition hfloss --out probes/hfloss --top-k 100
      whisperprobe probe words --model models/hfloss --out probes/words --shard 0/8
      torchrun --nproc-per-node 8 -m whisperprobe probe words --model models/hfloss --out probes/words
      whisperprobe probe words --model openai/whisper-small --out probes/rivals --lexicon words.txt --layers all
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    if model is None:
        raise InputError("probe lacks --model: a model's folder or hub name, e.g. --model openai/whisper-small.")
    from whisperprobe.probing.agreement_file import read_agreement
    from whisperprobe.probing.corpus import probe_corpus

    path = probe_corpus(
        source,
        out,
        model=model,
        condition=condition,
        splits=tuple(splits) if splits else ("test",),
        top_k=top_k,
        batch_size=batch_size,
        vectors=vectors,
        layers=layers,
        layer_vectors=layer_vectors,
        encoder=encoder,
        lexicon=lexicon,
        candidates=candidates,
        competitors=competitors,
        n_best=n_best,
        homophones=homophones,
        long_audio=long_audio,
        padding=padding,
        margin=margin,
        agreement=agreement,
        shard=shard,
        rows_per_part=rows_per_part,
        max_failures=max_failures,
        text_pattern=text_pattern,
        language=language,
        task=task,
        max_new_tokens=max_new_tokens,
        timestamps=timestamps,
        max_samples=max_samples,
        seed=seed,
        device=device,
        dtype=dtype,
        num_workers=num_workers,
        num_threads=num_threads,
    )
    say(f"probes: {path}")
    agreed = read_agreement(path)
    if agreed is not None:
        say(f"agreement with padding 'window': {agreed}")
