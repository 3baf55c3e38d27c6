"""The command `audiogram`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from audiogram.console import configure, is_quiet, run_app
from audiogram.corpus.command import mask

__all__ = ["app", "main"]

app = typer.Typer(
    name="audiogram",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Audiograms and hearing-loss filters for sound and for corpora of speech.",
)

LogLevel = Annotated[str, typer.Option("--log-level", help="debug, info, warning or error.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
_AUDIOGRAM_HELP = "Preset, .json or .csv file, or pairs of Hz and dB HL like 250:10,500:20."


def main() -> None:
    """Entry point of the command line."""
    sys.exit(run_app(app))


def _print(text: str) -> None:
    if not is_quiet():
        typer.echo(text)


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Columns for people; tab-separated values where the output is piped on."""
    lines = [header, *rows]
    if not sys.stdout.isatty():
        for line in lines:
            _print("\t".join(line))
        return
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    for line in lines:
        _print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@app.command("presets")
def _presets(log_level: LogLevel = "info", quiet: Quiet = False, debug: Debug = False) -> None:
    """List the audiograms that have a name, with average (PTA4: 500, 1000, 2000, 4000 Hz) and WHO grade.

    lfloss and hfloss are losses at low and at high frequencies, normal is 10 dB HL throughout. A name stands wherever
    an audiogram is asked for; `audiogram show NAME` prints its thresholds.

    \b
    Example:
      audiogram presets
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from audiogram.standard_audiograms import preset, presets

    ears = [preset(name) for name in presets()]
    _table(("name", "PTA4 (dB HL)", "grade"), [(ear.name, f"{ear.pta():g}", ear.grade()) for ear in ears])


@app.command("show")
def _show(
    audiogram: Annotated[str, typer.Argument(metavar="NAME", help=_AUDIOGRAM_HELP)],
    json: Annotated[bool, typer.Option("--json", help="Print JSON, as --audiogram reads it from a file.")] = False,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show an audiogram: thresholds, average and grade.

    \b
    Examples:
      audiogram show hfloss
      audiogram show 250:10,500:20,1000:30,2000:40,4000:60
      audiogram show hfloss --json > ear.json
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from audiogram.errors import InputError
    from audiogram.standard_audiograms import parse_audiogram

    ear = parse_audiogram(audiogram)
    if json:
        _print(ear.to_json())
        return
    rows = zip(ear.frequencies, ear.thresholds, strict=True)
    _table(("frequency (Hz)", "threshold (dB HL)"), [(f"{f:g}", f"{t:g}") for f, t in rows])
    try:
        _print(f"PTA4 {ear.pta():g} dB HL, {ear.grade()} (WHO 2021)")
    except InputError as error:
        _print(f"PTA4 unknown: {error}")


@app.command("filters")
def _filters(log_level: LogLevel = "info", quiet: Quiet = False, debug: Debug = False) -> None:
    """List the installed filters: name, distribution, version and state. No filter is imported for it.

    \b
    Example:
      audiogram filters
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from audiogram.filters.registry import list_filters

    found = list_filters()
    rows = [(f.name or "?", f.distribution, f.version, f.state) for f in found]
    _table(("name", "distribution", "version", "state"), rows)


@app.command("simulate")
def _simulate(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Sound file.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Sound file to write: .flac or .wav.")],
    condition: Annotated[
        str | None, typer.Option("--condition", help="Built-in condition: normal, lfloss or hfloss.")
    ] = None,
    audiogram: Annotated[str | None, typer.Option("--audiogram", help=_AUDIOGRAM_HELP)] = None,
    filter: Annotated[str, typer.Option("--filter", help="Filter; see `audiogram filters`.")] = "attenuation",
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="Option of the filter; repeatable.")
    ] = None,
    normalise: Annotated[
        str,
        typer.Option(
            "--normalise", help="Gain after the filter: none, peak (to 1), rms (to IN's), input (as IN to 1)."
        ),
    ] = "none",
    full_scale: Annotated[
        float | None, typer.Option("--full-scale-dbspl", help="dB SPL of a signal whose RMS is 1.")
    ] = None,
    speech_level: Annotated[float | None, typer.Option("--speech-dbspl", help="Level of the speech in dB SPL.")] = None,
    noise: Annotated[str | None, typer.Option("--noise", help="Masker: white, speech-shaped, or a sound file.")] = None,
    snr: Annotated[float | None, typer.Option("--snr-db", help="Speech level above the masker in dB.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the masker.")] = 0,
    sample_rate: Annotated[
        int | None, typer.Option("--sample-rate", help="Resample to this many Hz before the filter.")
    ] = None,
    format: Annotated[
        str | None, typer.Option("--format", help="flac24, flac16, wav or wav32f; default by the name of OUT.")
    ] = None,
    max_seconds: Annotated[float, typer.Option("--max-seconds", help="Refuse longer sound.")] = 7200.0,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write what a sound file sounds like through an audiogram. Several channels are averaged to one.

    \b
    Examples:
      audiogram simulate speech.wav heard.flac --condition hfloss
      audiogram simulate speech.wav heard.flac --audiogram 500:20,4000:70 --filter attenuation --option n_fft=1024
      audiogram simulate speech.wav heard.flac --audiogram hfloss --noise speech-shaped --snr-db 5 --normalise peak
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from audiogram import sound
    from audiogram.errors import InputError
    from audiogram.listening import Condition
    from audiogram.listening import condition as built_in

    if (condition is None) == (audiogram is None):
        given = "neither" if condition is None else "both"
        raise InputError(
            f"simulate needs either --condition or --audiogram, received {given}; see audiogram simulate --help."
        )
    if condition is not None:
        if option or filter != "attenuation" or normalise != "none" or noise or full_scale or speech_level:
            raise InputError("--condition fixes filter, options, level, noise and normalisation; use --audiogram.")
        chosen = built_in(condition)
    else:
        level = {"full_scale_dbspl": full_scale, "speech_dbspl": speech_level}
        chosen = Condition(
            "simulate",
            audiogram,  # type: ignore[arg-type]  # a string is read by Condition itself
            filter,
            _parsed_options(option or []),
            level={k: v for k, v in level.items() if v is not None} or None,
            noise=_parsed_noise(noise, snr, seed),
            normalise=normalise,  # type: ignore[arg-type]  # checked by Condition
        )
    chosen_format = format or _format_of(target)
    x, rate = sound.read(source, max_seconds=max_seconds)
    if sample_rate is not None:
        x, rate = sound.resample(x, rate, sample_rate), sample_rate
    sound.write(target, chosen(x, rate), rate, chosen_format)
    _print(f"{target}: {len(x) / rate:.2f} s at {rate} Hz, {chosen_format}")


app.command("mask")(mask)


def _format_of(target: Path) -> str:
    from audiogram.errors import InputError

    formats = {".flac": "flac24", ".wav": "wav"}
    if target.suffix.lower() not in formats:
        raise InputError(f"no sound format is known for {target.name!r}; name it .flac or .wav, or give --format.")
    return formats[target.suffix.lower()]


def _parsed_options(pairs: list[str]) -> dict[str, Any]:
    """`key=value` pairs; a value is JSON (a number, true, false, null, a list) where it can be, else text."""
    import json

    from audiogram.errors import InputError

    result: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise InputError(f"--option {pair!r} is not KEY=VALUE, as in --option n_fft=1024.")
        if key in result:
            raise InputError(f"--option {key} is given twice.")
        try:
            result[key] = json.loads(text)
        except ValueError:
            result[key] = text
    return result


def _parsed_noise(noise: str | None, snr: float | None, seed: int) -> dict[str, Any] | None:
    from audiogram.errors import InputError

    if noise is None:
        if snr is not None:
            raise InputError("--snr-db needs --noise white, speech-shaped or a sound file.")
        return None
    if snr is None:
        raise InputError("--noise needs --snr-db, the speech level above it in dB.")
    if noise in ("white", "speech-shaped"):
        return {"kind": noise, "snr_db": snr, "seed": seed}
    if not Path(noise).exists():
        raise InputError(f"--noise {noise!r} is neither white nor speech-shaped nor a file that exists.")
    return {"kind": "file", "file": noise, "snr_db": snr, "seed": seed}


if __name__ == "__main__":
    main()
