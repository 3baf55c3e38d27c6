"""The command `whisperprobe ldl cues`: the cues of a corpus of spoken words, written once for all fits."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from audiogram.console import configure
from whisperprobe.cli_corpora import Folder, MaxFailures, RowsPerPart, Samples, Shard, Splits, Workers, listed
from whisperprobe.cli_options import (
    ConditionName,
    Debug,
    Device,
    LogLevel,
    Quiet,
    Seed,
    Source,
    TextPattern,
    among,
    heard_through,
    say,
)

__all__ = ["cues"]


def cues(
    source: Source,
    out: Folder,
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            "-k",
            metavar="KIND",
            help="cfbsf (frequency band summaries of chunks) or log_mel.",
            autocompletion=among("cfbsf", "log_mel"),
        ),
    ] = "cfbsf",
    condition: ConditionName = None,
    boundary: Annotated[
        str | None,
        typer.Option(
            "--boundary",
            metavar="WHERE",
            help="cfbsf: chunks begin where the envelope is at a max (default) or min.",
            autocompletion=among("max", "min"),
        ),
    ] = None,
    sampling: Annotated[
        str | None,
        typer.Option(
            "--sampling",
            metavar="HOW",
            help="cfbsf: the 20 frames of a chunk, equispaced (default) or random.",
            autocompletion=among("equispaced", "random"),
        ),
    ] = None,
    full_scale: Annotated[
        float | None,
        typer.Option(
            "--full-scale",
            metavar="X",
            help="cfbsf: full scale before ln(energy + 1).",
            show_default="32768, 16 bits",
        ),
    ] = None,
    top_hz: Annotated[
        float | None,
        typer.Option(
            "--top-hz", metavar="HZ", help="cfbsf: upper edge of the bands; 4000 for 8 kHz.", show_default="8000"
        ),
    ] = None,
    splits: Splits = None,
    max_samples: Samples = None,
    seed: Seed = 0,
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
    """Write the cues of a corpus of spoken words, for analyses of one's own.

    \b
    Examples:
      whisperprobe ldl cues words_hfloss cues/hfloss
      whisperprobe ldl cues words cues/hfloss --condition hfloss --kind log_mel --workers 4
      whisperprobe ldl cues fsdd cues/min --boundary min --top-hz 4000

    In Python, ldl.open_cues(OUT) gives them as matrices, events x cues. Words that are silent, too short for a boundary
    or cut are kept and counted; a word without sound is a row of OUT/failures.
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from whisperprobe.ldl.cues_corpus import write_cues

    told = {"boundary": boundary, "sampling": sampling, "full_scale": full_scale, "top_hz": top_hz}
    options: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
    folder = write_cues(
        source, out, kind=kind, condition=heard_through(condition), splits=listed(splits), max_samples=max_samples,
        seed=seed, workers=workers, shard=shard, device=device, rows_per_part=rows_per_part, max_failures=max_failures,
        text_pattern=text_pattern, **options,
    )  # fmt: skip
    say(f"cues: {folder}")
