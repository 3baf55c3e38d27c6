"""The command `whisperprobe probe`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audiogram.console import configure
from audiogram.errors import InputError
from whisperprobe.cli_corpora import MaxFailures, RowsPerPart, Shard, listed
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
    among,
    heard_through,
    print_json,
    say,
)

__all__ = ["probe_source"]

_MORE = "What is kept"


def probe_source(
    source: Source,
    out: Out,
    model: Model = None,
    condition: ConditionName = None,
    splits: Annotated[
        list[str] | None,
        typer.Option("--splits", metavar="SPLIT", help="Splits, with commas between, or repeated; default: test."),
    ] = None,
    top_k: Annotated[
        int, typer.Option("--top-k", metavar="K", help="Most probable tokens kept per position.", rich_help_panel=_MORE)
    ] = 1000,
    batch_size: Annotated[int, typer.Option("--batch-size", metavar="N", help="Clips per batch.")] = 16,
    vectors: Annotated[
        str,
        typer.Option(
            "--vectors",
            metavar="ROWS",
            help="Rows that keep vectors: greedy, both or none.",
            autocompletion=among("greedy", "both", "none"),
            rich_help_panel=_MORE,
        ),
    ] = "greedy",
    layers: Annotated[
        str | None,
        typer.Option(
            "--layers",
            metavar="L,L,...",
            help="Decoder layers to read too, 0 (embedding) to n, or all.",
            rich_help_panel=_MORE,
        ),
    ] = None,
    layer_vectors: Annotated[
        bool,
        typer.Option(
            "--layer-vectors", help="Keep the states of these layers where vectors are kept.", rich_help_panel=_MORE
        ),
    ] = False,
    encoder: Annotated[
        str,
        typer.Option(
            "--encoder",
            metavar="WHAT",
            help="Mean encoder state per clip: mean (over the clip), window or none.",
            autocompletion=among("mean", "window", "none"),
            rich_help_panel=_MORE,
        ),
    ] = "none",
    lexicon: Annotated[
        Path | None,
        typer.Option(
            "--lexicon", metavar="FILE", help="Words that compete for each clip, one per line.", rich_help_panel=_MORE
        ),
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(
            "--candidates", metavar="N", help="Score the best N of a first pass; default: all.", rich_help_panel=_MORE
        ),
    ] = None,
    competitors: Annotated[
        int,
        typer.Option("--competitors", metavar="N", help="Most probable words listed per clip.", rich_help_panel=_MORE),
    ] = 10,
    n_best: Annotated[
        int, typer.Option("--n-best", metavar="N", help="Answers of a beam search per clip.", rich_help_panel=_MORE)
    ] = 0,
    homophones: Annotated[
        Path | None,
        typer.Option(
            "--homophones",
            metavar="FILE",
            help="Words that sound alike, one set per line: also correct.",
            rich_help_panel=_MORE,
        ),
    ] = None,
    long_audio: Annotated[
        str,
        typer.Option(
            "--long-audio",
            metavar="HOW",
            help="Clips longer than the model's window: refuse, or windows (cut them).",
            autocompletion=among("refuse", "windows"),
        ),
    ] = "refuse",
    padding: Annotated[
        str | None,
        typer.Option(
            "--padding",
            metavar="HOW",
            help="Encoder over the whole window, or trimmed to the clip; default as trained.",
            autocompletion=among("window", "trimmed"),
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option("--margin", metavar="SECONDS", help="Silence that a trimmed encoder hears at least; default 1."),
    ] = None,
    agreement: Annotated[
        int, typer.Option("--agreement", metavar="N", help="Clips a split on which trimmed is compared with padded.")
    ] = 64,
    shard: Shard = None,
    rows_per_part: RowsPerPart = 256,
    max_failures: MaxFailures = 0.05,
    text_pattern: TextPattern = None,
    language: Language = "en",
    task: Task = "transcribe",
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
        str,
        typer.Option(
            "--dtype",
            metavar="DTYPE",
            help="What the model runs in: float32, bfloat16, float16 or float64.",
            autocompletion=among("float32", "bfloat16", "float16", "float64"),
        ),
    ] = "float32",
    num_workers: Annotated[
        int, typer.Option("--num-workers", metavar="N", help="Threads that decode ahead of the model; 0: none.")
    ] = 2,
    num_threads: Annotated[
        int | None, typer.Option("--num-threads", metavar="N", help="CPU threads of the model; default: all.")
    ] = None,
    as_json: AsJson = False,
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
        condition=heard_through(condition),
        splits=tuple(listed(splits) or ("test",)),
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
    agreed = read_agreement(path)
    if as_json:
        print_json({"probes": path, "agreement": agreed})
        return
    say(f"probes: {path}")
    if agreed is not None:
        say(f"agreement with padding 'window': {agreed}")
