"""The commands that find words in clips and cut them out: align, words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audiogram.command_options import SoundFormat
from audiogram.console import configure
from whisperprobe.cli_corpora import MaxFailures, RowsPerPart, Samples, Shard, Splits, Workers, listed
from whisperprobe.cli_options import (
    ConditionName,
    Debug,
    Device,
    Language,
    LogLevel,
    Out,
    Quiet,
    Seed,
    Source,
    TextPattern,
    among,
    heard_through,
    say,
)

__all__ = ["align", "words"]


def align(
    source: Source,
    out: Out,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="NAME",
            help="ctc, whisper (cross-attention) or textgrid.",
            autocompletion=among("ctc", "whisper", "textgrid"),
        ),
    ] = "ctc",
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="M", help="ctc: a wav2vec 2.0 CTC folder or MMS_FA's model.pt; whisper: a Whisper."
        ),
    ] = None,
    textgrids: Annotated[
        Path | None, typer.Option("--textgrids", metavar="DIR", help="textgrid: what mfa align has written.")
    ] = None,
    edges: Annotated[
        float, typer.Option("--edges", metavar="SECONDS", help="Silence at a clip's ends that goes with its words.")
    ] = 0.1,
    shift: Annotated[
        float, typer.Option("--shift", metavar="SECONDS", help="How much too late the model finds words.")
    ] = 0.0,
    min_score: Annotated[
        float, typer.Option("--min-score", metavar="P", help="Refuse clips whose words score less in the mean.")
    ] = 0.0,
    unknown: Annotated[
        str,
        typer.Option(
            "--unknown",
            metavar="HOW",
            help="ctc: digits and foreign letters make a clip fail (fail), or stand for any sound (star).",
            autocompletion=among("fail", "star"),
        ),
    ] = "fail",
    heads: Annotated[
        Path | None, typer.Option("--heads", metavar="FILE", help="whisper: JSON of heads; default: the model's own.")
    ] = None,
    leading_space: Annotated[
        bool | None,
        typer.Option(
            "--leading-space/--no-leading-space", help="whisper: texts begin with a space; default: as trained."
        ),
    ] = None,
    language: Language = "en",
    batch_size: Annotated[int, typer.Option("--batch-size", metavar="N", help="Clips at once.")] = 8,
    splits: Splits = None,
    max_samples: Samples = None,
    seed: Seed = 0,
    shard: Shard = None,
    device: Device = "auto",
    rows_per_part: RowsPerPart = 256,
    max_failures: MaxFailures = 0.05,
    max_seconds: Annotated[float, typer.Option("--max-seconds", metavar="SECONDS", help="Longest clip.")] = 300.0,
    text_pattern: TextPattern = None,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Find when each word of a corpus is said, from sound and transcript; `words` cuts by it.

    \b
    Examples:
      whisperprobe align speech --method ctc --model models/wav2vec2-base-960h --out alignment
      whisperprobe align speech --method whisper --model openai/whisper-small --out alignment
      whisperprobe align speech --method textgrid --textgrids mfa_output --out alignment

    Align the unfiltered corpus: its word times hold for every condition. Silence between words is split between them.
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from whisperprobe.alignment.corpus import align_corpus

    folder = align_corpus(
        source, out, method=method, model=model, textgrids=textgrids, edges=edges, shift=shift, min_score=min_score,
        unknown=unknown, heads=heads, leading_space=leading_space, language=language, batch_size=batch_size,
        splits=listed(splits), max_samples=max_samples, seed=seed, shard=shard, device=device,
        rows_per_part=rows_per_part, max_failures=max_failures, max_seconds=max_seconds, text_pattern=text_pattern,
    )  # fmt: skip
    say(f"alignment: {folder}")


def words(
    source: Source,
    out: Out,
    alignment: Annotated[
        Path, typer.Option("--alignment", "-a", metavar="DIR", help="What align has written, of the unfiltered corpus.")
    ],
    condition: ConditionName = None,
    padding: Annotated[float, typer.Option("--padding", metavar="SECONDS", help="Sound kept around each word.")] = 0.0,
    min_seconds: Annotated[
        float, typer.Option("--min-seconds", metavar="SECONDS", help="Leave shorter words out.")
    ] = 0.0,
    sample_rate: Annotated[int, typer.Option("--sample-rate", metavar="HZ", help="Rate of the words.")] = 16_000,
    format: SoundFormat = "flac24",
    splits: Splits = None,
    max_samples: Samples = None,
    seed: Seed = 0,
    balance: Annotated[
        str | None,
        typer.Option(
            "--balance",
            metavar="COLUMN",
            help="With --max-samples: draw the values of a column, e.g. text, evenly.",
        ),
    ] = None,
    workers: Workers = 1,
    shard: Shard = None,
    rows_per_part: RowsPerPart = 256,
    max_failures: MaxFailures = 0.05,
    text_pattern: TextPattern = None,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Cut every word out of its sentence: a corpus of words, which mask, probe, finetune and ldl take.

    \b
    Examples:
      whisperprobe words speech --alignment alignment --out words
      whisperprobe words speech_hfloss --alignment alignment --out words_hfloss
      whisperprobe words speech --alignment alignment --out words_hfloss --condition hfloss

    Sentences are filtered first and cut then: give the filtered corpus, or --condition. `audiogram mask` on words
    that were cut unfiltered is the other order. The manifest says which.
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from whisperprobe.alignment.words import cut_words

    folder = cut_words(
        source, alignment, out, condition=heard_through(condition), padding=padding, min_seconds=min_seconds,
        sample_rate=sample_rate, format=format, splits=listed(splits), max_samples=max_samples, seed=seed,
        balance=balance, workers=workers, shard=shard, rows_per_part=rows_per_part, max_failures=max_failures,
        text_pattern=text_pattern,
    )  # fmt: skip
    say(f"words: {folder}")
