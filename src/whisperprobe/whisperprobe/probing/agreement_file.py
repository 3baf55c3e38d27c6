"""The agreement of a trimmed run with the padded one, on a sample of its clips: OUT/agreement.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiogram.corpus.files import write_whole
from audiogram.errors import InputError
from whisperprobe.json_files import read_json
from whisperprobe.probing.agreement import Agreement, probe_agreement
from whisperprobe.probing.batches import NotFiniteError
from whisperprobe.probing.extras import NOTHING_MORE
from whisperprobe.probing.in_memory import probe_in_memory
from whisperprobe.probing.windowing import Windowing

if TYPE_CHECKING:
    from audiogram.corpus import Corpus
    from whisperprobe.probing.hearing import Hearing
    from whisperprobe.probing.probe import Probe
    from whisperprobe.probing.store import ProbeResult

__all__ = ["FILE", "read_agreement", "write_agreement"]

FILE = "agreement.json"


def write_agreement(
    out: Path,
    probe: Probe,
    corpus: Corpus,
    hearing: Hearing,
    windowing: Windowing,
    *,
    splits: Sequence[str] | None,
    clips: int,
    seed: int,
    batch_size: int,
) -> None:
    """Probe a sample of the corpus trimmed and padded, and write how well they agree.

    The same sample and the same bytes, whichever shard writes it; a file of the same sample is left as it is.

    Parameters
    ----------
    out : Path
        The run's folder.
    probe, corpus, hearing, windowing, splits, batch_size
        As of the run.
    clips : int
        How many clips of each split.
    seed : int
        Of the draw.
    """
    asked = {"clips_per_split": clips, "seed": seed, "reference": "window", **windowing.describe()}
    found = _read(out)
    if found is not None and found.get("sample") == asked:
        return
    sample = corpus.sample(clips, seed)
    chosen = [clip for split in sample.splits if splits is None or split in splits for clip in sample.read(split)]
    heard = [(clip.id, *own) for clip, own in hearing(chosen) if not isinstance(own, InputError)]
    results: list[ProbeResult] = []
    while len(results) < 2:
        how = windowing if results else replace(windowing, padding="window")
        try:
            results.append(_probed(probe, heard, batch_size, how))
        except NotFiniteError as error:  # failures of the run, or what would be one if it were padded
            heard, results = [own for own in heard if own[0] not in error.ids], []
    said = {"sample": asked, **probe_agreement(*results).to_dict()}
    write_whole(out / FILE, (json.dumps(said, indent=2) + "\n").encode())


def _probed(
    probe: Probe, heard: Sequence[tuple[str, Any, str | None]], batch_size: int, windowing: Windowing
) -> ProbeResult:
    return probe_in_memory(
        probe,
        [name for name, _, _ in heard],
        [x for _, x, _ in heard],
        [text for _, _, text in heard],
        sample_rate=probe.window.sample_rate,
        top_k=0,
        decodings=("greedy", "forced"),
        vectors="none",
        batch_size=batch_size,
        extras=NOTHING_MORE,
        windowing=windowing,
    )


def read_agreement(out: Path) -> Agreement | None:
    """Return the agreement that was written to a run's folder, or None where there is none."""
    found = _read(out)
    return None if found is None else Agreement.from_dict(found)


def _read(out: Path) -> dict[str, Any] | None:
    return read_json(out / FILE, "remove it and start the probe again") if (out / FILE).is_file() else None
