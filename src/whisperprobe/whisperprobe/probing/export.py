"""`export_run`: a probe run as other programs read it: the JSON of older scripts, or CSV."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from audiogram.console import Progress, check_stop
from audiogram.errors import InputError, WorkError, unknown_name
from whisperprobe.probing.store import ProbeResult, load_probes

__all__ = ["FORMATS", "audio_ids", "export_run"]

FORMATS = ("legacy-json", "csv")


def export_run(
    run: str | Path | ProbeResult,
    out: str | Path | None = None,
    *,
    format: str,
    model: str | Path | None = None,
    top_k: int | None = None,
) -> Path:
    """Write a probe run in another format.

    Parameters
    ----------
    run : path or ProbeResult
        A finished probe run.
    out : path, optional
        Folder to write; by default beside the run, with the format's name after its own. It must not exist, or be
        empty: nothing is overwritten. It appears whole, or not at all.
    format : {"legacy-json", "csv"}
        `legacy-json`: `results.json` for the run and one file per clip in `clips/`, with the fields of the scripts that
        came before this library (docs/legacy-json.md). `csv`: one file per table.
    model : path or hub name, optional
        Where the run's model is now, for `legacy-json`; by default where it was.
    top_k : int, optional
        How many of the most probable tokens to list, for `legacy-json`; by default as many as the run kept.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        An unknown format, a run without hidden states, a model that is not the run's, a folder that is not empty.
    WorkError
        The folder cannot be written.
    """
    if format not in FORMATS:
        raise unknown_name("format", format, FORMATS)
    result = run if isinstance(run, ProbeResult) else load_probes(run)
    if out is None:
        if result.path is None:
            raise InputError("a run in memory has no folder to be exported beside; give out.")
        out = result.path.with_name(f"{result.path.name}-{format}")
    target = Path(out)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(
            f"{target} exists and is not empty; nothing is overwritten. Name another folder, or remove it."
        )
    unfinished = target.with_name(f".{target.name}.part")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        if format == "csv":
            _write_csv(result, unfinished)
        else:
            from whisperprobe.probing.legacy import Legacy

            _write_json(Legacy(result, model=model, top_k=top_k), unfinished)
        if target.exists():
            target.rmdir()
        os.replace(unfinished, target)
    except OSError as error:
        raise WorkError(f"{target} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def _write_csv(result: ProbeResult, folder: Path) -> None:
    for name in result.table_names:
        result.table(name).to_csv(folder / f"{name}.csv", index=False)
    result.failures.to_csv(folder / "failures.csv", index=False)


def _write_json(entries: Any, folder: Path) -> None:
    """The whole run as one file, and every clip as its own, both from the same text; a clip at a time."""
    (folder / "clips").mkdir()
    head = json.dumps(entries.head(), ensure_ascii=False, allow_nan=False)
    with open(folder / "results.json", "w", encoding="utf-8") as whole, Progress("exporting", len(entries)) as progress:
        whole.write(head.removesuffix("}") + ', "results": [')
        for i, entry in enumerate(entries):
            check_stop()
            text = json.dumps(entry, ensure_ascii=False, allow_nan=False)
            whole.write((",\n" if i else "\n") + text)
            (folder / "clips" / f"{entry['audio_id']}.json").write_text(text + "\n", encoding="utf-8")
            progress.advance()
        whole.write("\n]}\n")


def audio_ids(clip_ids: Iterable[str]) -> list[str]:
    """Names of clips that can be file names: the bare stem as in the older scripts, more of the path where stems meet.

    Examples
    --------
    >>> audio_ids(["a/yes", "b/yes", "b/no"])
    ['a_yes', 'b_yes', 'no']
    """
    ids = list(clip_ids)
    stems = [_plain(i.rsplit("/", 1)[-1]) for i in ids]
    often = Counter(stem.casefold() for stem in stems)
    names = [
        stem if often[stem.casefold()] == 1 else _plain(i.replace("/", "_")) for i, stem in zip(ids, stems, strict=True)
    ]
    taken: set[str] = set()
    for n, name in enumerate(names):
        number, free = 2, name
        while free.casefold() in taken:  # folded: on some file systems Yes.json and yes.json are one file
            free, number = f"{name}-{number}", number + 1
        names[n] = free
        taken.add(free.casefold())
    return names


def _plain(text: str) -> str:
    """Without characters that a file name cannot have, and short enough for one."""
    kept = "".join(c if c.isprintable() and c not in '\\/:*?"<>|' else "_" for c in text).strip(" .")
    return kept.encode()[:200].decode(errors="ignore") or "clip"
