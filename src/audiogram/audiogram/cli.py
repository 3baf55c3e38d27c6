"""The command `audiogram`."""

from __future__ import annotations

import contextlib
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audiogram.command_help import TaughtCommand, program
from audiogram.command_options import (
    AsJson,
    Debug,
    LogLevel,
    Quiet,
    presets_named,
    print_json,
    say,
    version_option,
)
from audiogram.console import configure, run_app
from audiogram.corpus.command import mask
from audiogram.errors import AudiogramWarning, InputError, WorkError
from audiogram.simulate_command import AUDIOGRAM_HELP, simulate

if TYPE_CHECKING:
    from audiogram.listener import Listener
    from audiogram.thresholds import Audiogram

__all__ = ["app", "main"]

app = program(
    """Audiograms and hearing-loss filters for sound and for corpora of speech.

    \b
    Examples:
      audiogram show hfloss
      audiogram simulate in.wav out.flac --condition hfloss
      audiogram mask recordings/ masked --workers 4
      audiogram --install-completion        # names and options with the Tab key, in bash, zsh and fish

    Every command says more: audiogram mask --help.
    """,
    name="audiogram",
)

_EARS_HELP = f"{AUDIOGRAM_HELP} A .json file may also have a listener with two ears."
_SPEECH_LEVEL = 65.0  # dB SPL, at which the speech intelligibility index is shown


def main() -> None:
    """Entry point of the command line."""
    sys.exit(run_app(app))


@app.callback()
def _program(version: Annotated[bool, version_option("audiogram")] = False) -> None:
    pass


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Columns for people; tab-separated values where the output is piped on."""
    lines = [header, *rows]
    if not sys.stdout.isatty():
        for line in lines:
            say("\t".join(line))
        return
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    for line in lines:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@app.command("presets", cls=TaughtCommand)
def _presets(as_json: AsJson = False, log_level: LogLevel = "info", quiet: Quiet = False, debug: Debug = False) -> None:
    """List the audiograms that have a name.

    \b
    Examples:
      audiogram presets
      audiogram presets --json
      audiogram show bisgaard-n3
      audiogram show iso7029-male-70-p90

    With each: average (PTA4: 500, 1000, 2000, 4000 Hz), WHO grade, and speech intelligibility index (SII, 0 to 1) for
    speech at 65 dB SPL in quiet. lfloss and hfloss are losses at low and at high frequencies, normal is 10 dB HL
    throughout; bisgaard-n1 to -n7 and -s1 to -s3 are standard losses, flat or sloping and steep. Not listed, by age and
    sex, are iso7029-male-70 and the like (the median), with a percentile iso7029-female-60-p90. A name stands wherever
    an audiogram is asked for.
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from audiogram.standard_audiograms import preset, presets

    ears = [preset(name) for name in presets()]
    if as_json:
        print_json(
            [
                {
                    "name": ear.name,
                    "pta4_dbhl": ear.pta(),
                    "grade": ear.grade(),
                    "sii_at_65_dbspl": ear.sii(_SPEECH_LEVEL),
                }
                for ear in ears
            ]
        )
        return
    header = ("name", "PTA4 (dB HL)", "grade", "SII (65 dB SPL)")
    _table(header, [(ear.name, f"{ear.pta():g}", ear.grade(), f"{ear.sii(_SPEECH_LEVEL):.2f}") for ear in ears])


@app.command("show", cls=TaughtCommand)
def _show(
    audiogram: Annotated[str, typer.Argument(metavar="NAME", help=_EARS_HELP, autocompletion=presets_named)],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, which any command takes as an audiogram when it is a file.")
    ] = False,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show an audiogram: thresholds, what was masked or not heard, bone conduction, average, grade and SII.

    \b
    Examples:
      audiogram show hfloss
      audiogram show 250:10,500:20,1000:30,2000:40,4000:60
      audiogram show hfloss --json > ear.json
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from audiogram.interchange import ears_of, to_json
    from audiogram.thresholds import Audiogram

    found = _read(audiogram)
    if not found:
        raise InputError(f"{audiogram} is an empty list; there is no audiogram to show.")
    if as_json:
        typer.echo(to_json(found))
        return
    if isinstance(found, Audiogram):
        _show_ear(found, "")
        return
    for i, ear in enumerate(ears_of(found)):
        if i:
            say("")
        _show_ear(ear, " ".join(part for part in (ear.ear, "ear", ear.name) if part))


def _show_ear(ear: Audiogram, heading: str) -> None:
    if heading:
        say(heading)
    air = _cells(ear)
    bone = _cells(ear.bone) if ear.bone is not None else {}
    frequencies = sorted(air | bone)
    header = ("frequency (Hz)", "threshold (dB HL)", *(("bone (dB HL)",) if bone else ()))
    _table(header, [(f"{f:g}", air.get(f, ""), *((bone.get(f, ""),) if bone else ())) for f in frequencies])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AudiogramWarning)  # what is a bound is printed as one
        try:
            average = f"PTA4 {ear.pta():g} dB HL, {ear.grade()} (WHO 2021)"
        except InputError as error:
            average = f"PTA4 unknown: {error}"
        say(average)
        say(f"SII {ear.sii(_SPEECH_LEVEL):.2f} for speech at {_SPEECH_LEVEL:g} dB SPL in quiet (ANSI S3.5-1997)")


def _read(text: str) -> Audiogram | Listener | list[Audiogram | Listener]:
    """What a name, a file or pairs are; a JSON file may also have listeners."""
    from audiogram.interchange import read_json
    from audiogram.standard_audiograms import parse_audiogram

    plain: object = None
    if Path(text).suffix.lower() == ".json":
        with contextlib.suppress(OSError, ValueError, RecursionError):  # said by whoever reads it in earnest
            plain = json.loads(Path(text).read_text(encoding="utf-8-sig"))
    if isinstance(plain, list) or (isinstance(plain, dict) and not plain.keys().isdisjoint(("left", "right"))):
        return read_json(text)
    return parse_audiogram(text)


def _cells(ear: Audiogram) -> dict[float, str]:
    """Threshold at each frequency as text, with what there is to say about it."""
    cells = {}
    for f, t in zip(ear.frequencies, ear.thresholds, strict=True):
        notes = ["masked"] * (f in ear.masked) + ["no response"] * (f in ear.no_response)
        cells[f] = f"{t:g}" + (f" ({', '.join(notes)})" if notes else "")
    return cells


@app.command("plot", cls=TaughtCommand)
def _plot(
    audiograms: Annotated[list[str], typer.Argument(metavar="NAME...", help=_EARS_HELP, autocompletion=presets_named)],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Figure: .png, .svg or .pdf.")],
    speech_banana: Annotated[
        bool, typer.Option("--speech-banana", help="Shade the levels of conversational speech.")
    ] = False,
    grades: Annotated[bool, typer.Option("--grades", help="Mark the WHO's grades of hearing loss.")] = False,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Draw one or several audiograms as the clinic does.

    \b
    Examples:
      audiogram plot hfloss -o hfloss.png
      audiogram plot lfloss hfloss bisgaard-n3 -o losses.svg --speech-banana --grades
      audiogram plot listener.json -o listener.pdf
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from audiogram.interchange import ears_of
    from audiogram.plotting import plot_audiogram

    formats = (".png", ".svg", ".pdf")
    if out.suffix.lower() not in formats:
        raise InputError(f"no figure format is known for {out.name!r}; name it {', '.join(formats)}.")
    ears = [_read(text) for text in audiograms]
    ax = plot_audiogram(ears_of(ears), speech_banana=speech_banana, grades=grades)
    try:
        ax.figure.savefig(out, dpi=200)  # type: ignore[union-attr]  # a figure of its own
    except OSError as error:
        raise WorkError(f"cannot write {out}: {error.strerror or error}.") from None
    say(str(out))


@app.command("filters", cls=TaughtCommand)
def _filters(as_json: AsJson = False, log_level: LogLevel = "info", quiet: Quiet = False, debug: Debug = False) -> None:
    """List the installed filters: name, distribution, version and state. No filter is imported for it.

    \b
    Examples:
      audiogram filters
      audiogram filters --json
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from audiogram.filters.registry import list_filters

    header = ("name", "distribution", "version", "state")
    rows = [(f.name or "?", f.distribution, f.version, f.state) for f in list_filters()]
    if as_json:
        print_json([dict(zip(header, row, strict=True)) for row in rows])
    else:
        _table(header, rows)


app.command("simulate", cls=TaughtCommand)(simulate)
app.command("mask", cls=TaughtCommand)(mask)


if __name__ == "__main__":
    main()
