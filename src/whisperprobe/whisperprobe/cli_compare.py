"""The command `compare`: runs of listeners beside each other, and against people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audiogram.console import configure
from audiogram.errors import InputError
from whisperprobe.cli_options import AsJson, Debug, LogLevel, Quiet, Seed, print_json, say

if TYPE_CHECKING:
    from whisperprobe.comparison.result import Comparison

__all__ = ["compare_runs"]

_PEOPLE = "People"


def _people(*names: str, help: str, metavar: str = "COLUMN") -> Any:
    return typer.Option(*names, metavar=metavar, help=help, rich_help_panel=_PEOPLE)


def compare_runs(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Runs: folders, or MODEL:CONDITION[@SEED]=folder.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Folder to save the comparison in; default: it is only said."),
    ] = None,
    resamples: Annotated[
        int, typer.Option("--resamples", metavar="N", help="Bootstrap resamples, at least 100.")
    ] = 2000,
    common: Annotated[
        bool, typer.Option("--common", help="Compare the clips that all runs hold, leave out the rest.")
    ] = False,
    human: Annotated[
        Path | None, _people("--human", metavar="FILE", help="Table of people's responses, by trial or by word.")
    ] = None,
    items: Annotated[
        Path | None, _people("--items", metavar="FILE", help="Table of the items: IsWord, duration, frequency, ...")
    ] = None,
    word: Annotated[str | None, _people("--word", help="Column of words; default Item, Word, Text, ...")] = None,
    subject: Annotated[str | None, _people("--subject", help="Column of people; default Subject, Participant.")] = None,
    rt: Annotated[str | None, _people("--rt", help="Column of reaction times; default RT.")] = None,
    accuracy: Annotated[str | None, _people("--accuracy", help="Column of right and wrong; default ACC.")] = None,
    is_word: Annotated[str | None, _people("--is-word", help="Column that tells words; default IsWord.")] = None,
    response: Annotated[
        str | None, _people("--response", help="Column of responses as they are, instead of log RT.")
    ] = None,
    baseline: Annotated[
        list[str] | None, _people("--baseline", help="Column that a measure must beat; may be repeated.")
    ] = None,
    log: Annotated[
        list[str] | None, _people("--log", help="Column of the baseline to enter as ln(1 + x); may be repeated.")
    ] = None,
    measure: Annotated[
        list[str] | None, _people("--measure", metavar="NAME", help="Measure to test; default all of each listener.")
    ] = None,
    pronunciation: Annotated[
        str | None, _people("--pronunciation-column", help="Column of pronunciations (ARPABET).")
    ] = None,
    pronunciations: Annotated[
        str | None,
        _people(
            "--pronunciations", metavar="SOURCE", help="cmudict, or a table Word, Pronunciation: analyse words' sounds."
        ),
    ] = None,
    decimal: Annotated[str, _people("--decimal", metavar="MARK", help="Decimal mark of numbers, . or ,")] = ".",
    seed: Seed = 0,
    as_json: AsJson = False,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare runs of listeners over the same clips, and with people by word, and say what was found.

    \b
    Examples:
      whisperprobe compare probes/base-normal probes/base-hfloss --out comparison
      whisperprobe compare base:normal=probes/a base:hfloss=probes/b hfloss:hfloss=probes/c --out comparison
      whisperprobe compare base:normal=probes/a ldl:normal=ldl/a --human MALD1_ResponseData.txt
          --items MALD1_ItemData.txt --baseline Duration --baseline FreqSUBTLEX --log FreqSUBTLEX --out comparison
      whisperprobe compare probes/* --pronunciations cmudict --out comparison
      whisperprobe compare probes/* --json > comparison.json

    RUN is what `probe` or `ldl evaluate` wrote. MODEL is base for the unadapted model, else the condition that it was
    fine-tuned on: the findings and the report word it so. Without labels, the model is named after its folder and the
    condition is read from the run. `whisperprobe report comparison` shows it all on a page.
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    given = {
        "items": items, "word": word, "subject": subject, "rt": rt, "accuracy": accuracy, "is_word": is_word,
        "response": response, "baseline": baseline, "log": log, "pronunciation": pronunciation,
    }  # fmt: skip
    chosen = {name: value for name, value in given.items() if value}
    if human is None and (chosen or measure):
        name = "measure" if measure else next(iter(chosen)).replace("_", "-")
        name = "pronunciation-column" if name == "pronunciation" else name
        raise InputError(f"--{name} is about people's responses, and no --human FILE was given. Name their file.")
    from whisperprobe.comparison.conditions import compare
    from whisperprobe.comparison.summary import summarise

    comparison = compare(
        [_labelled(run) for run in runs],
        out=out,
        seed=seed,
        resamples=resamples,
        clips="common" if common else "same",
        human=None if human is None else {"file": human, "decimal": decimal, **chosen},
        measures=measure,
        pronunciations=pronunciations,
    )
    if as_json:
        print_json(_data(comparison, out))
        return
    say(*summarise(comparison))
    if out is not None:
        say(f"comparison: {out}")


def _data(comparison: Comparison, out: Path | None) -> dict[str, Any]:
    from whisperprobe.comparison.summary import summarise

    measures = dict.fromkeys(name for model in comparison.models for name in comparison.measures_of(model))
    cells = [{"measure": name, **row} for name in measures for row in comparison.matrix(name).to_dict("records")]
    return {"findings": summarise(comparison), "cells": cells, "left_out": comparison.left_out, "folder": out}


def _labelled(run: str) -> Any:
    """Read ``MODEL:CONDITION[@SEED]=folder``; a folder alone stays as it is."""
    import re

    from whisperprobe.comparison.conditions import ProbeRun

    match = re.fullmatch(r"([\w.-]+):([\w.-]+)(?:@(\d+))?=(.+)", run)
    if match is None:
        return run
    return ProbeRun(match[4], match[1], match[2], int(match[3]) if match[3] else None)
