"""The commands `whisperprobe commonvoice download` and `whisperprobe commonvoice import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audiogram.command_help import TaughtCommand, program
from audiogram.console import configure
from whisperprobe.cli_options import AsJson, Debug, LogLevel, MaxSamples, Out, Quiet, Seed, print_json, say

__all__ = ["commonvoice"]

commonvoice = program(
    """Mozilla Common Voice: download a release from the Data Collective, import it as Parquet.

    \b
    Examples:
      whisperprobe commonvoice download --dataset cminc35no007no707hql26lzk --out downloads
      whisperprobe commonvoice import cv-corpus-23.0-2025-09-05-en.tar.gz speech --splits train,validation,test
    """
)


@commonvoice.command("download", cls=TaughtCommand)
def download_command(
    dataset: Annotated[
        str, typer.Option("--dataset", metavar="ID_OR_SLUG", help="The last part of the address of the dataset's page.")
    ],
    out: Out,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Download the archive of a release from the Mozilla Data Collective, and compare it with its published SHA-256.

    \b
    Examples:
      export MDC_API_KEY=...                # made at https://mozilladatacollective.com/api-reference
      whisperprobe commonvoice download --dataset cminc35no007no707hql26lzk --out downloads

    The terms of the dataset must have been accepted on its page. Interrupted in any way, the same command goes on where
    it was. MDC_API_URL names another address of the service.
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from whisperprobe.corpora.release_download import download_release

    say(f"downloaded: {download_release(dataset, out)}")


@commonvoice.command("import", cls=TaughtCommand)
def import_command(
    release: Annotated[
        Path, typer.Argument(metavar="RELEASE", help="The archive (.tar.gz), or the extracted LOCALE folder.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write to.")],
    splits: Annotated[
        list[str] | None,
        typer.Option(
            "--splits",
            metavar="NAME",
            help="train, validation (dev), test, validated, invalidated, other, with commas between, or repeated. "
            "Default: all.",
        ),
    ] = None,
    max_samples: MaxSamples = None,
    seed: Seed = 0,
    workers: Annotated[int, typer.Option("--workers", "-j", metavar="N", help="Processes, for a folder.")] = 1,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="I/N",
            help="For a folder: only the parts I modulo N, I from 0, one per task; default: all.",
        ),
    ] = None,
    rows_per_part: Annotated[int, typer.Option("--rows-per-part", metavar="N", help="Clips in one file.")] = 1024,
    max_failures: Annotated[
        float, typer.Option("--max-failures", metavar="SHARE", help="Highest share of failures in a split.")
    ] = 0.05,
    spool_gb: Annotated[
        float,
        typer.Option("--spool-gb", metavar="GB", help="Disk for clips of an archive on their way; less takes longer."),
    ] = 32.0,
    as_json: AsJson = False,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write a release of Common Voice as a Parquet corpus: clips as they are (MP3), every column, split by split.

    \b
    Examples:
      whisperprobe commonvoice import cv-corpus-23.0-2025-09-05-en.tar.gz speech --splits train,validation,test
      whisperprobe commonvoice import cv-corpus-23.0-2025-09-05/en speech --workers 4

    An archive is not extracted: it is read once to check it, then once for every --spool-gb of its clips. Stopped in
    any way, the same command goes on where it was. Clips that cannot be used are in OUT/failures, with the reason.
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from whisperprobe.corpora.release_import import import_release

    names = [name for given in splits for name in given.replace(" ", "").split(",") if name] if splits else None
    report = import_release(
        release,
        out,
        splits=names,
        max_samples=max_samples,
        seed=seed,
        workers=workers,
        shard=shard,
        rows_per_part=rows_per_part,
        max_failures=max_failures,
        spool_gb=spool_gb,
    )
    if as_json:
        print_json({"corpus": out, "rows_in": report.rows_in, "rows_out": report.rows_out, "failed": report.failed})
        return
    say(f"imported: {out} ({report.rows_out} of {report.rows_in} clips, {report.failed} failed)")
