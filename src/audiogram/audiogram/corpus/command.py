"""The command `audiogram mask`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from audiogram.command_options import AsJson, Debug, LogLevel, Quiet, SoundFormat, conditions_named, print_json, say
from audiogram.console import configure
from audiogram.errors import InputError

__all__ = ["mask"]


def mask(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Folder of audio, Parquet, or of load_from_disk.")],
    out_base: Annotated[
        Path | None,
        typer.Argument(metavar="OUT_BASE", help="Beginning of the output folders' names; default SOURCE."),
    ] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            "--condition",
            "-c",
            metavar="NAME|FILE",
            help="A built-in condition, or a .toml or .json file with one; may be repeated. Default: all built-in.",
            autocompletion=conditions_named,
        ),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", "-j", metavar="N", help="Processes.")] = 1,
    shard: Annotated[
        str | None,
        typer.Option("--shard", metavar="I/N", help="Only the parts I modulo N, I from 0: one per task; default: all."),
    ] = None,
    splits: Annotated[
        list[str] | None,
        typer.Option("--splits", metavar="NAME", help="Splits, with commas between, or repeated. Default: all."),
    ] = None,
    max_samples: Annotated[
        int | None,
        typer.Option("--max-samples", metavar="N", help="A seeded sample of N clips of every split; default: all."),
    ] = None,
    balance: Annotated[
        str | None,
        typer.Option("--balance", metavar="COLUMN", help="--max-samples takes as many clips of each of its values."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of --max-samples and of the split.")] = 0,
    sample_rate: Annotated[int, typer.Option("--sample-rate", metavar="HZ", help="Rate of the output.")] = 16_000,
    sound_format: SoundFormat = "flac24",
    max_seconds: Annotated[
        float, typer.Option("--max-seconds", metavar="SECONDS", help="Longer clips are failures.")
    ] = 300.0,
    max_failures: Annotated[
        float, typer.Option("--max-failures", metavar="SHARE", help="Highest share of failures in a split.")
    ] = 0.05,
    rows_per_part: Annotated[int, typer.Option("--rows-per-part", metavar="N", help="Clips in one file.")] = 256,
    text_pattern: Annotated[
        str | None,
        typer.Option(
            "--text-pattern", metavar="REGEX", help="Named groups of the file names become columns, text too."
        ),
    ] = None,
    text_map: Annotated[
        list[str] | None,
        typer.Option("--text-map", metavar="OLD=NEW", help="Replace a text, e.g. 0=zero; may be repeated."),
    ] = None,
    split_column: Annotated[
        str | None,
        typer.Option(
            "--split-column",
            metavar="COLUMN",
            help="Divide anew by this column, e.g. speaker; default: the source's own splits.",
        ),
    ] = None,
    test: Annotated[
        list[str] | None,
        typer.Option("--test", metavar="VALUE", help="Value of --split-column for the test split; may be repeated."),
    ] = None,
    validation: Annotated[
        float, typer.Option("--validation", metavar="SHARE", help="Share for validation where --split-column divides.")
    ] = 0.1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, its size and time; write nothing.")
    ] = False,
    as_json: AsJson = False,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write a corpus as it is heard through one or more conditions.

    \b
    Examples:
      audiogram mask recordings/
      audiogram mask recordings/ masked --condition hfloss --workers 4
      audiogram mask recordings/ masked -c normal -c mine.toml --splits train,test
      audiogram mask recordings/ --max-samples 1000 --balance speaker --dry-run
      audiogram mask recordings/ --dry-run --json > plan.json
      audiogram mask recordings/ --text-pattern '(?P<text>\\d)_(?P<speaker>[a-z]+)_(?P<take>\\d+)'

    Every condition gets a folder OUT_BASE_NAME of Parquet files that `datasets.load_dataset` reads. Stopped in any
    way, the same command goes on where it was. Bad clips never stop it: they are in OUT_BASE_NAME/failures.
    Built in are normal, lfloss and hfloss. One's own, in a file mine.toml, becomes OUT_BASE_mine:

    \b
      audiogram = "bisgaard-n3"          # or a .json or .csv file, or "250:10,500:20,1000:30"
      filter = "attenuation"             # and its options, level, noise and normalise, as in a study file
      normalise = "input"
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from audiogram.condition_files import named_condition
    from audiogram.corpus.mask import mask_corpus
    from audiogram.corpus.mask_plan import plan_mask
    from audiogram.corpus.selection import SplitRule

    if test and split_column is None:
        raise InputError("--test needs --split-column: the column whose values it lists.")
    if split_column is not None and not test:
        raise InputError(f"--split-column {split_column} needs --test: the values that make up the test split.")
    split = SplitRule(split_column, tuple(test or ()), validation, seed) if split_column is not None else None
    conditions = [named_condition(one) for one in condition] if condition else None
    options: dict[str, Any] = {
        "workers": workers,
        "shard": shard,
        "splits": [name for names in splits for name in names.replace(" ", "").split(",") if name] if splits else None,
        "max_samples": max_samples,
        "balance": balance,
        "sample_rate": sample_rate,
        "format": sound_format,
        "seed": seed,
        "max_failures": max_failures,
        "max_seconds": max_seconds,
        "rows_per_part": rows_per_part,
        "text_pattern": text_pattern,
        "text_map": _pairs(text_map or []),
        "split": split,
    }
    if dry_run:
        plan = plan_mask(source, out_base, conditions, **options)
        if as_json:
            print_json(plan)
        else:
            say(*plan.lines())
        return
    folders = mask_corpus(source, out_base, conditions, **options)
    if as_json:
        print_json(folders)
    else:
        say(*(f"{name}: {folder}" for name, folder in folders.items()))


def _pairs(texts: list[str]) -> dict[str, str] | None:
    pairs = {}
    for text in texts:
        old, equals, new = text.partition("=")
        if not equals or not old or not new:
            raise InputError(f"--text-map {text!r} is not of the form OLD=NEW, e.g. 0=zero.")
        pairs[old] = new
    return pairs or None
