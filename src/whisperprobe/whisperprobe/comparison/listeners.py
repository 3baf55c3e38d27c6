"""Who listened, and what is measured of it: every kind of run that can be compared, with its own measures by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from audiogram.errors import InputError

__all__ = ["LISTENERS", "WHISPER", "Listener", "describe_measure", "listener_of_stage", "read_listener"]


WHISPER = "whisper"


@dataclass(frozen=True)
class Listener:
    """A kind of listener.

    Parameters
    ----------
    name : str
        How it is called in tables and before the labels of its models.
    measures : mapping of str to str
        Its numeric columns of `clips` that say how well a clip was heard, with words for them; the most telling first.
    """

    name: str
    measures: Mapping[str, str]


LISTENERS = {
    "probe": Listener(
        WHISPER,
        {
            "word_surprisal": "surprisal of the spoken word (bits)",
            "word_mean_rank": "mean rank of the spoken word's tokens",
            "word_mean_entropy": "entropy at the spoken word's tokens (nats)",
            "mean_entropy": "entropy at the answer's tokens (nats)",
            "cosine_similarity": "cosine of the answer's states with the spoken word",
            "semantic_density": "density around the answer's states",
            "lexicon_rank": "rank of the spoken word in the lexicon",
            "lexicon_entropy": "entropy over the lexicon (nats)",
        },
    ),
    "ldl": Listener(
        "ldl",
        {
            "target_correlation": "correlation of the predicted with the spoken meaning",
            "rank": "rank of the spoken word among word types",
            "nearest_correlation": "correlation with the nearest meaning",
            "semantic_neighbourhood_density": "density around the predicted meaning",
            "l1_norm": "L1 norm of the predicted meaning",
            "l2_norm": "L2 norm of the predicted meaning",
            "uncertainty": "uncertainty",
            "functional_load": "functional load",
            "semantic_support_for_form": "semantic support for the form",
            "form_correlation": "correlation of the predicted with the heard form",
        },
    ),
}
"""Listeners by the stage that their runs' manifests name."""


def listener_of_stage(manifest: Mapping[str, Any], folder: str | Path) -> Listener:
    """Return who listened in a run.

    A run may say so itself: ``listener`` (a name) and ``measures`` (names of columns) in its manifest or the manifest's
    options; else the stage tells.

    Raises
    ------
    InputError
        The folder is no run of a listener.
    """
    stage = manifest.get("stage")
    said = {**(manifest.get("options") or {}), **manifest}
    name, measures = said.get("listener"), said.get("measures")
    if isinstance(name, str) and name and isinstance(measures, list) and all(isinstance(m, str) for m in measures):
        return Listener(name, {m: describe_measure(m) for m in measures})
    if stage in LISTENERS:
        return LISTENERS[str(stage)]
    raise InputError(
        f"{folder} was written by the stage {stage!r}, not by a probe or by ldl evaluate. Give a run of a listener."
    )


def read_listener(folder: Path) -> tuple[Listener, pd.DataFrame, dict[str, Any]]:
    """Read a run: who listened, its clips, its manifest; columns that hold lists are left out.

    Raises
    ------
    InputError
        The folder is no run of a listener, or it is not finished.
    """
    from audiogram.corpus import read_manifest, stage_parts
    from audiogram.corpus.stages import is_complete

    if not (folder / "manifest.json").is_file():
        raise InputError(
            f"{folder} is not a probe run: it has no manifest.json. Give a folder `whisperprobe probe` wrote."
        )
    manifest = read_manifest(folder)
    listener = listener_of_stage(manifest, folder)
    if not is_complete(folder):
        raise InputError(f"{folder} is not finished. Start it again with the same options; it will go on.")
    if manifest["stage"] == "probe":
        from whisperprobe.probing.store import load_probes

        clips = load_probes(folder).clips
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        files = [file for part in stage_parts(folder) if (file := part.table(folder, "clips")).is_file()]
        if not files:
            raise InputError(f"{folder} holds no clips. See its failures table for why.")
        table = pa.concat_tables([pq.read_table(file) for file in files], promote_options="permissive")
        clips = table.select([f.name for f in table.schema if not pa.types.is_nested(f.type)]).to_pandas()
    return listener, clips, manifest


def describe_measure(measure: str) -> str:
    """Say what a measure is, in words; one that no listener here describes is called by its name.

    Examples
    --------
    >>> describe_measure("word_surprisal"), describe_measure("loudness")
    ('surprisal of the spoken word (bits)', 'loudness')
    """
    if measure == "correct":
        return "word accuracy"
    return next((who.measures[measure] for who in LISTENERS.values() if measure in who.measures), measure)
