"""`verify_folder`: whether all that a row stage has written is still there and still whole, and where it came from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audiogram.console import Progress, check_stop, stop_on_signals
from audiogram.corpus import Part, open_corpus, read_manifest, stage_parts
from audiogram.corpus.files import held_elsewhere
from audiogram.corpus.layout import FAILURES, MANIFEST, README, VECTORS
from audiogram.corpus.manifest import check_keys
from audiogram.corpus.selection import draw
from audiogram.corpus.workers import each
from audiogram.errors import InputError, WorkError
from whisperprobe.corpora.chain import Link, chain_of
from whisperprobe.corpora.log_mel_corpus import STAGE as LOG_MEL
from whisperprobe.corpora.part_checks import PartCheck, PartState
from whisperprobe.corpora.word_times import words_fingerprint

__all__ = ["Verification", "verify_folder"]


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes
    ----------
    path : Path
        The folder.
    stage : str
        What wrote it.
    problems : tuple of str
        What is wrong, each naming its file, part or clip; empty where all is sound.
    notes : tuple of str
        What could not be looked at.
    chain : tuple of Link
        The stages from the source to here.
    rows_in, rows_out, failed : int
        Clips of the finished parts.
    decoded : int
        Clips whose sound was decoded.
    """

    path: Path
    stage: str
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    chain: tuple[Link, ...]
    rows_in: int
    rows_out: int
    failed: int
    decoded: int

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def lines(self) -> list[str]:
        """Return chain, notes and problems in words."""
        out = [str(link) for link in self.chain]
        out += [f"note: {note}" for note in self.notes]
        out += [f"damaged: {problem}" for problem in self.problems]
        sounds = f", {self.decoded} decoded" if self.decoded else ""
        if self.sound:
            out.append(f"sound: {self.rows_in} rows in = {self.rows_out} out + {self.failed} failed{sounds}")
        return out


@stop_on_signals()
def verify_folder(
    path: str | Path,
    *,
    max_samples: int | None = None,
    seed: int = 0,
    source: bool = True,
    workers: int = 1,
) -> Verification:
    """Read everything again that a row stage has written, and compare it with the plan in its manifest.

    Every part must be finished; its tables readable, with the checksums that they were written with; rows in = rows out
    + failures, every clip once; vectors as many as the tables ask for, of the shape and with the checksum that they
    were written with; every clip decodable. No file may lie there that the plan does not know, or that a process has
    left that died. The source, where it is still there, must hold what it held.

    Parameters
    ----------
    path : path
        Output folder of a stage: a corpus, log-mels, a probe run.
    max_samples : int, optional
        Decode the sound of about so many clips of every split, drawn by `seed`; default all.
    seed : int, default 0
        Of that draw.
    source : bool, default True
        Whether to compare the source with the fingerprint in the manifest.
    workers : int, default 1
        Processes.

    Returns
    -------
    Verification

    Raises
    ------
    InputError
        `path` is not the output of a row stage, or an argument is out of range.
    """
    root = Path(path)
    if max_samples is not None and max_samples < 0:
        raise InputError(f"--max-samples {max_samples}: at least 0, which decodes nothing.")
    if workers < 1:
        raise InputError(f"--workers {workers}: at least 1.")
    manifest, problem = _manifest(root)
    if manifest is None:
        return Verification(root, "unknown", (problem,), (), (), 0, 0, 0, 0)
    parts = stage_parts(root)
    check = PartCheck(root, manifest, _chosen(manifest["plan"]["rows"], max_samples, seed))
    states = _checked(check, parts, workers)
    problems = [problem for state in states for problem in state.problems]
    problems += _unfinished(root, states, manifest)
    problems += _twice(states) + _mixed(states) + _strangers(root, manifest, parts)
    left, notes = _left_over(root)
    problems += left
    if source:
        changed, note = _source(manifest)
        problems, notes = problems + changed, notes + note
    done = [state for state in states if state.done]
    rows_out, failed = sum(s.rows_out for s in done), sum(s.failed for s in done)
    return Verification(
        path=root,
        stage=str(manifest["stage"]),
        problems=tuple(problems),
        notes=tuple(notes),
        chain=chain_of(root, manifest, rows_out, failed),
        rows_in=sum(len(state.part) for state in done),
        rows_out=rows_out,
        failed=failed,
        decoded=sum(state.decoded for state in states),
    )


def _manifest(root: Path) -> tuple[dict[str, Any] | None, str]:
    try:
        return _read(root), ""
    except InputError as error:
        if not (root / FAILURES).is_dir():
            raise InputError(
                f"{root} is not the output of a row stage (no manifest.json that says so). Give a corpus, log-mels or "
                "a probe run; a model's folder has nothing of the kind."
            ) from error
        return None, f"the manifest: {error}"


def _read(root: Path) -> dict[str, Any]:
    path = root / MANIFEST
    try:
        manifest = read_manifest(root)
        _check_keys(path, manifest)
        stage_parts(root)
        if not manifest["tables"] or not isinstance(manifest["options"], dict):
            raise TypeError("no tables, or options that are no table")
    except InputError:
        raise
    except (TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"{path} does not hold what a stage writes there ({error}): it was edited by hand, or damaged. Put the "
            "file back from a copy, or remove the folder and run the stage again."
        ) from error
    return manifest


def _check_keys(path: Path, manifest: Mapping[str, Any]) -> None:
    """Refuse a manifest without what is looked up in it later."""
    check_keys(path, manifest, ("tables", "input"))
    check_keys(path, manifest["input"], ("fingerprint",), "input.")
    if manifest["stage"] == LOG_MEL:
        check_keys(path, manifest["options"], ("bands", "dtype"), "options.")
    if "sentences" in manifest:  # of words that were cut from them
        check_keys(path, manifest["sentences"], ("rows",), "sentences.")
        check_keys(path, manifest, ("alignment",))
        check_keys(path, manifest["alignment"], ("path",), "alignment.")
    within, before = "input.upstream.", manifest["input"].get("upstream")
    while before is not None:
        check_keys(path, before, ("stage", "plan"), within)
        check_keys(path, before["plan"], ("rows",), f"{within}plan.")
        within, before = f"{within}input.upstream.", before.get("input", {}).get("upstream")


def _chosen(rows: Mapping[str, int], count: int | None, seed: int) -> dict[str, frozenset[int]] | None:
    if count is None:
        return None
    return {
        split: frozenset(draw([str(i) for i in range(n)], count, seed, "verify").tolist()) for split, n in rows.items()
    }


def _checked(check: PartCheck, parts: Sequence[Part], workers: int) -> list[PartState]:
    states: dict[str, PartState] = {}
    with Progress(f"verifying {check.root.name}", sum(map(len, parts))) as bar:
        found: Iterator[PartState] = map(check, parts) if workers == 1 else each(check, parts, workers)
        for state in found:
            states[state.part.stem] = state
            bar.advance(len(state.part))
            check_stop()
    return [states[part.stem] for part in parts]


def _unfinished(root: Path, states: Sequence[PartState], manifest: Mapping[str, Any]) -> list[str]:
    open_ = [state.part.stem for state in states if not state.done]
    if open_:
        return [
            f"{len(open_)} of {len(states)} parts are not finished, e.g. {open_[0]}: start the command of the stage "
            f"{manifest['stage']!r} again."
        ]
    return [] if (root / README).is_file() else [f"{root / README} is missing: start the command of the stage again."]


def _twice(states: Sequence[PartState]) -> list[str]:
    """Clips that are there more than once in a split, seen by the digests of their ids."""
    found = []
    for split in dict.fromkeys(state.part.split for state in states):
        here = [state for state in states if state.part.split == split]
        digests, counts = np.unique(np.concatenate([state.clips for state in here]), return_counts=True)
        double = digests[counts > 1]
        if len(double):
            where = [state.part.stem for state in here if np.isin(double, state.clips).any()]
            found.append(f"split {split!r}: {len(double)} clips are there more than once, in {', '.join(where[:4])}.")
    return found


def _mixed(states: Sequence[PartState]) -> list[str]:
    first: dict[str, tuple[Any, str]] = {}
    found = []
    for state in states:
        for table, schema in state.schemas.items():
            known, where = first.setdefault(table, (schema, state.part.stem))
            if not known.equals(schema):
                found.append(f"table {table!r} of part {state.part.stem} has other columns than that of {where}.")
    return found


def _strangers(root: Path, manifest: Mapping[str, Any], parts: Sequence[Part]) -> list[str]:
    """Files where the plan has others: `datasets` and `load_probes` would take them for its own."""
    planned = {part.failures(root) for part in parts} | {part.vectors(root) for part in parts}
    planned |= {part.table(root, table) for part in parts for table in manifest["tables"]}
    folders = (FAILURES, VECTORS, *manifest["tables"])
    there = [
        path
        for folder in folders
        for ending in ("parquet", "safetensors")
        for path in root.glob(f"{folder}/*.{ending}")
    ]
    return [
        f"{path} is not of this run's plan." for path in sorted(set(there) - planned) if not path.name.startswith(".")
    ]


def _left_over(root: Path) -> tuple[list[str], list[str]]:
    """What processes that died have left, and which parts others are at work on."""
    busy: list[Path] = []
    dead: list[Path] = []
    for lock in sorted(root.glob(f"{FAILURES}/.*.lock")):
        (busy if held_elsewhere(lock) else dead).append(lock)
    stems = [lock.name.removeprefix(".").removesuffix(".lock") for lock in busy]
    temporary = sorted(root.rglob(".*.tmp"))
    dead += [left for left in temporary if not any(stem in left.name for stem in stems)]
    problems = [
        f"{path} was left by a process that died; the stage's command, started again, removes it." for path in dead
    ]
    return problems, [f"part {stem} is being worked on by another process." for stem in stems]


def _fingerprint(place: str, manifest: Mapping[str, Any]) -> str:
    """What a source is told apart by, as it is now; of words, that of the sentences and of their alignment."""
    said = manifest.get("sentences") or manifest["input"]
    corpus = open_corpus(place, text_pattern=said.get("text_pattern"), text_map=said.get("text_map"))
    own = str(corpus.describe()["fingerprint"])
    return words_fingerprint(own, manifest["alignment"]["path"]) if "sentences" in manifest else own


def _source(manifest: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    said = manifest.get("input", {})
    place = said.get("source")
    if not place or not os.path.exists(place):
        return [], [f"the source {place} is not here: whether it still holds the same cannot be said."]
    try:
        now = _fingerprint(place, manifest)
    except (InputError, WorkError) as error:
        return [], [f"the source {place} cannot be opened now: {error}"]
    if now != said.get("fingerprint"):
        return [f"the source {place} does not hold any more what this was made from (or use --no-source)."], []
    return [], []
