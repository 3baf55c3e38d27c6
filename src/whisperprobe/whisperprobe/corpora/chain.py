"""Where a corpus or a run came from: every stage back to the source, with its rows in, out and failed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from audiogram.corpus import is_complete, read_manifest, stage_parts
from audiogram.errors import InputError

__all__ = ["Link", "chain_of"]


@dataclass(frozen=True)
class Link:
    """One stage of the way from the source to here.

    Attributes
    ----------
    stage : str
        Name of the stage; of the first link, the kind of the source.
    place : str
        Its folder, as it was called.
    rows_in, rows_out, failed : int or None
        Clips; None where nobody knows any more. The source itself has `rows_out` only.
    offered : int or None
        Clips that the stage before had; more than `rows_in` where a sample or some splits were taken.
    note : str
        What else is to be said.
    """

    stage: str
    place: str
    rows_in: int | None
    rows_out: int | None
    failed: int | None
    offered: int | None = None
    note: str = ""

    def __str__(self) -> str:
        if self.rows_in is None:
            clips = "an unknown number of clips" if self.rows_out is None else f"{self.rows_out} clips"
            said = f"{self.place} ({self.stage}): {clips}"
        else:
            of = f" of {self.offered}" if self.offered not in (None, self.rows_in) else ""
            out = "out ?, failed ?" if self.rows_out is None else f"out {self.rows_out}, failed {self.failed}"
            said = f"{self.stage} -> {self.place}: in {self.rows_in}{of}, {out}"
        return said + (f"  [{self.note}]" if self.note else "")


def chain_of(root: Path, manifest: Mapping[str, Any], rows_out: int | None, failed: int | None) -> tuple[Link, ...]:
    """Follow the manifests back to the source.

    Parameters
    ----------
    root : Path
        The folder at the end of the chain.
    manifest : mapping
        Its manifest, which holds those of all stages before.
    rows_out, failed : int or None
        Its clips, as they were counted.

    Returns
    -------
    tuple of Link
        The source first, `root` last.
    """
    links: list[Link] = []
    place, note = str(root), ""
    while True:
        source = manifest.get("input", {})
        offered = sum(source["rows"].values()) if "rows" in source else None
        rows_in = sum(manifest["plan"]["rows"].values())
        links.append(Link(str(manifest["stage"]), place, rows_in, rows_out, failed, offered, note))
        place, before = str(source.get("source", "unknown")), source.get("upstream")
        if "sentences" in manifest:  # words were cut from clips: from here on clips are counted, and these are fewer
            source = manifest["sentences"]
            offered = sum(source["rows"].values())
        if before is None:
            here = "" if Path(place).exists() else "not here"
            links.append(Link(str(source.get("kind", "unknown")), place, None, offered, None, note=here))
            return tuple(reversed(links))
        manifest = before
        rows_out, failed, note = _counted(Path(place), manifest, offered)


def _counted(folder: Path, manifest: Mapping[str, Any], offered: int | None) -> tuple[int | None, int | None, str]:
    """Rows out and failed of a stage before: counted where it still is, else as the next stage found it."""
    rows_in = sum(manifest["plan"]["rows"].values())
    guessed = None if offered is None else rows_in - offered
    if not (folder / "manifest.json").is_file():
        return offered, guessed, "not here; as the next stage found it"
    try:
        if json.loads(json.dumps(manifest)) != read_manifest(folder):
            return offered, guessed, "another run by now; as the next stage found it"
        if not is_complete(folder):
            return offered, guessed, "parts are missing by now; as the next stage found it"
        failed = sum(int(pq.read_metadata(part.failures(folder)).num_rows) for part in stage_parts(folder))
    except (InputError, OSError, pa.ArrowException):
        return offered, guessed, "damaged by now; as the next stage found it"
    return rows_in - failed, failed, ""
