"""The commands that turn corpora into something else, and look whether it is whole: logmel, extract, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audiogram.console import configure
from audiogram.errors import WorkError
from whisperprobe.cli_options import (
    AsJson,
    ConditionName,
    Debug,
    Device,
    Language,
    LogLevel,
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

__all__ = ["extract", "logmel", "verify"]

Sources = Annotated[
    list[str],
    typer.Argument(metavar="SOURCE...", help="Corpora: folders of audio, Parquet, masked, ...", show_default=False),
]
Folder = Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.", show_default=False)]
Splits = Annotated[
    list[str] | None,
    typer.Option("--splits", metavar="NAME", help="Splits, with commas between, or repeated; default: all."),
]
Samples = Annotated[
    int | None,
    typer.Option("--max-samples", metavar="N", help="A seeded sample of N clips of every split; default: all."),
]
Workers = Annotated[int, typer.Option("--workers", "-j", metavar="N", help="Processes.")]
Shard = Annotated[
    str | None,
    typer.Option("--shard", metavar="I/N", help="Only the parts I modulo N, I from 0: one per task; default: all."),
]
RowsPerPart = Annotated[int, typer.Option("--rows-per-part", metavar="N", help="Clips in one file.")]
MaxFailures = Annotated[
    float, typer.Option("--max-failures", metavar="SHARE", help="Share of bad clips that is borne.")
]


def logmel(
    sources: Sources,
    out: Folder,
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="M", help="Whose bands, window and tokenizer: folder or hub name.")
    ] = "openai/whisper-large-v3",
    condition: ConditionName = None,
    dtype: Annotated[
        str,
        typer.Option(
            "--dtype",
            metavar="DTYPE",
            help="What they are stored in: float16 or float32.",
            autocompletion=among("float16", "float32"),
        ),
    ] = "float16",
    labels: Annotated[
        bool, typer.Option("--labels/--no-labels", help="Tokenise the texts; without, finetune does.")
    ] = True,
    language: Language = "en",
    task: Task = "transcribe",
    leading_space: Annotated[bool, typer.Option("--leading-space", help="Labels begin with a space.")] = False,
    splits: Splits = None,
    max_samples: Samples = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Seed of the order of clips and of --max-samples.")
    ] = 42,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave finished folders as they are, whatever they hold.")
    ] = False,
    workers: Workers = 1,
    shard: Shard = None,
    device: Device = "auto",
    rows_per_part: RowsPerPart = 256,
    max_failures: MaxFailures = 0.05,
    text_pattern: TextPattern = None,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write corpora as the log-mel spectrograms that a Whisper model hears, with labels; finetune takes them.

    \b
    Examples:
      whisperprobe logmel speech_hfloss mels/hfloss --model models/base
      whisperprobe logmel speech_normal speech_lfloss speech_hfloss mels --model models/base --skip-existing
      whisperprobe logmel speech mels/hfloss --condition hfloss --model openai/whisper-large-v3 --no-labels

    With several sources each gets a folder of its own name in OUT. Only the frames that see sound are stored; they
    are padded when they are read.
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from whisperprobe.corpora.log_mel_corpus import write_log_mel

    folders = write_log_mel(
        sources, out, model=model, condition=heard_through(condition), dtype=dtype, labels=labels,
        language=language, task=task, leading_space=leading_space, splits=listed(splits), max_samples=max_samples,
        seed=seed, skip_existing=skip_existing, workers=workers, shard=shard, device=device,
        rows_per_part=rows_per_part, max_failures=max_failures, text_pattern=text_pattern,
    )  # fmt: skip
    say(*(f"log-mels: {folder}" for folder in folders))


def extract(
    source: Source,
    out: Folder,
    sample_rate: Annotated[
        int, typer.Option("--sample-rate", metavar="HZ", help="Rate of the files; 0 keeps each clip's own.")
    ] = 16_000,
    splits: Splits = None,
    max_samples: Samples = None,
    seed: Seed = 0,
    workers: Workers = 1,
    shard: Shard = None,
    rows_per_part: RowsPerPart = 256,
    max_failures: MaxFailures = 0.05,
    text_pattern: TextPattern = None,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write a corpus as pairs of files, ID.wav and ID.txt, for aligners and other tools.

    \b
    Examples:
      whisperprobe extract speech_hfloss files
      whisperprobe extract cv-corpus-23.0/en files --splits test --max-samples 1000 --sample-rate 22050

    The folders of an id are kept. What could not be written is in OUT/failures; OUT/data lists everything else.
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from whisperprobe.corpora.extract import extract_corpus

    folder = extract_corpus(
        source, out, sample_rate=sample_rate or None, splits=listed(splits), max_samples=max_samples, seed=seed,
        workers=workers, shard=shard, rows_per_part=rows_per_part, max_failures=max_failures, text_pattern=text_pattern,
    )  # fmt: skip
    say(f"files: {folder}")


def verify(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A corpus, log-mels or a probe run: whatever a stage wrote.", show_default=False
        ),
    ],
    max_samples: Annotated[
        int | None,
        typer.Option(
            "--max-samples", metavar="N", help="Decode about N clips of every split, a seeded sample; default: all."
        ),
    ] = None,
    seed: Seed = 0,
    source: Annotated[
        bool, typer.Option("--source/--no-source", help="Compare the source with what the manifest says of it.")
    ] = True,
    workers: Workers = 1,
    as_json: AsJson = False,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Read all that a stage wrote again: counts, checksums, sound, leftovers; and say where it came from.

    \b
    Examples:
      whisperprobe verify speech_hfloss
      whisperprobe verify probes/hfloss
      whisperprobe verify corpus --max-samples 1000 --workers 4
      whisperprobe verify corpus --quiet && echo whole

    Exit codes: 0 sound, 1 damaged or unfinished (every fault is named), 2 not the output of a stage.
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from whisperprobe.corpora.verify import verify_folder

    found = verify_folder(folder, max_samples=max_samples, seed=seed, source=source, workers=workers)
    if as_json:
        print_json({"sound": found.sound, **vars(found)})
    else:
        say(*found.lines())
    if not found.sound:
        more = f" (and {len(found.problems) - 1} more)" if len(found.problems) > 1 else ""
        raise WorkError(f"{folder} is damaged: {found.problems[0]}{more}")


def listed(names: list[str] | None) -> list[str] | None:
    """Names that were given with commas between, or one by one."""
    return [name for one in names for name in one.replace(" ", "").split(",") if name] if names else None
