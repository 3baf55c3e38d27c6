"""The command `audiogram simulate`."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from audiogram.command_options import Debug, LogLevel, Quiet, among, conditions_named, filters_named, presets_named, say
from audiogram.console import configure
from audiogram.errors import AudiogramWarning, InputError

__all__ = ["AUDIOGRAM_HELP", "simulate"]

AUDIOGRAM_HELP = "Preset, .json or .csv file, or pairs of Hz and dB HL like 250:10,500:20."
_FAINT_DBFS = -40.0


def _heard(*names: str, **more: Any) -> Any:
    return typer.Option(*names, rich_help_panel="A condition made here", **more)


def simulate(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Sound file.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Sound file to write: .flac or .wav.")],
    condition: Annotated[
        str | None,
        typer.Option(
            "--condition",
            "-c",
            metavar="NAME|FILE",
            help="Built-in condition (normal, lfloss, hfloss), or a .toml or .json file with one; or give --audiogram.",
            autocompletion=conditions_named,
        ),
    ] = None,
    audiogram: Annotated[
        str | None,
        _heard("--audiogram", metavar="NAME|FILE|PAIRS", help=AUDIOGRAM_HELP, autocompletion=presets_named),
    ] = None,
    filter: Annotated[
        str, _heard("--filter", metavar="NAME", help="Filter; see `audiogram filters`.", autocompletion=filters_named)
    ] = "attenuation",
    option: Annotated[
        list[str] | None, _heard("--option", metavar="KEY=VALUE", help="Option of the filter; may be repeated.")
    ] = None,
    normalise: Annotated[
        str,
        _heard(
            "--normalise",
            metavar="HOW",
            help="Gain after the filter: none, peak (to 1), rms (to IN's), input (as IN to 1).",
            autocompletion=among("none", "peak", "rms", "input"),
        ),
    ] = "none",
    full_scale: Annotated[
        float | None,
        _heard("--full-scale-dbspl", metavar="DB", help="Level in dB SPL of a signal whose RMS is 1."),
    ] = None,
    speech_level: Annotated[
        float | None,
        _heard("--speech-dbspl", metavar="DB", help="Level in dB SPL at which the speech in IN is heard."),
    ] = None,
    noise: Annotated[
        str | None,
        _heard(
            "--noise",
            metavar="NOISE",
            help="Masker: white, speech-shaped (as IN is), a sound file, or a corpus whose speech shapes it.",
            autocompletion=among("white", "speech-shaped"),
        ),
    ] = None,
    snr: Annotated[float | None, _heard("--snr-db", metavar="DB", help="Speech level above the masker in dB.")] = None,
    seed: Annotated[int | None, _heard("--seed", metavar="N", help="Seed of the masker; default 0.")] = None,
    sample_rate: Annotated[
        int | None,
        typer.Option("--sample-rate", metavar="HZ", help="Resample before the filter; default: the rate of IN."),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="flac24, flac16, wav or wav32f; default by the name of OUT.",
            autocompletion=among("flac24", "flac16", "wav", "wav32f"),
        ),
    ] = None,
    max_seconds: Annotated[
        float, typer.Option("--max-seconds", metavar="SECONDS", help="Refuse longer sound.")
    ] = 7200.0,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write what a sound file sounds like through an audiogram. Several channels are averaged to one.

    \b
    Examples:
      audiogram simulate in.wav out.flac --condition hfloss
      audiogram simulate in.wav out.flac --audiogram 500:20,4000:70 --filter attenuation --option n_fft=1024
      audiogram simulate in.wav out.flac --audiogram hfloss --noise speech-shaped --snr-db 5 --normalise peak
      audiogram simulate in.wav out.flac --audiogram bisgaard-n3 --filter msbg --speech-dbspl 65
      audiogram simulate in.wav out.flac --audiogram ear.csv --filter threshold_noise --speech-dbspl 65 --normalise peak
      audiogram simulate in.wav out.flac --condition mine.toml
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from audiogram import sound
    from audiogram.condition_files import named_condition
    from audiogram.listening import Condition

    if (condition is None) == (audiogram is None):
        given = "neither" if condition is None else "both"
        raise InputError(
            f"simulate needs either --condition or --audiogram, received {given}; see audiogram simulate --help."
        )
    if condition is not None:
        others = (noise, full_scale, speech_level, snr, seed)
        if option or filter != "attenuation" or normalise != "none" or any(one is not None for one in others):
            raise InputError("--condition fixes filter, options, level, noise and normalisation; use --audiogram.")
        chosen = named_condition(condition)
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
    chosen_format = format or sound.format_of(target)
    x, rate = sound.read(source, max_seconds=max_seconds)
    if sample_rate is not None:
        x, rate = sound.resample(x, rate, sample_rate), sample_rate
    heard = chosen(x, rate)
    if chosen.normalise == "none":
        _warn_if_faint(heard)
    sound.write(target, heard, rate, chosen_format)
    say(f"{target}: {len(x) / rate:.2f} s at {rate} Hz, {chosen_format}")


def _warn_if_faint(heard: np.ndarray[Any, np.dtype[Any]]) -> None:
    peak = float(np.abs(heard).max())
    if 0 < peak < 10 ** (_FAINT_DBFS / 20):
        warnings.warn(
            f"what is heard peaks {-20 * np.log10(peak):.0f} dB below full scale, too faint to listen to; "
            '--normalise peak, or normalise = "peak" in the condition\'s file, brings it to full scale.',
            AudiogramWarning,
            stacklevel=2,
        )


def _parsed_options(pairs: list[str]) -> dict[str, Any]:
    """`key=value` pairs; a value is JSON (a number, true, false, null, a list) where it can be, else text."""
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


def _parsed_noise(noise: str | None, snr: float | None, seed: int | None) -> dict[str, Any] | None:
    if noise is None:
        if snr is not None:
            raise InputError("--snr-db needs --noise white, speech-shaped or a sound file.")
        if seed is not None:
            raise InputError("--seed is of the masker, but there is no --noise; a filter's is --option seed=...")
        return None
    seed = seed or 0
    if snr is None:
        raise InputError("--noise needs --snr-db, the speech level above it in dB.")
    if noise in ("white", "speech-shaped"):
        return {"kind": noise, "snr_db": snr, "seed": seed}
    if not Path(noise).exists():
        raise InputError(f"--noise {noise!r} is neither white nor speech-shaped nor a file or folder that exists.")
    if Path(noise).is_dir() or Path(noise).suffix == ".parquet":
        return {"kind": "speech-shaped", "corpus": noise, "snr_db": snr, "seed": seed}
    return {"kind": "file", "file": noise, "snr_db": snr, "seed": seed}
