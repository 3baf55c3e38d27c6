"""What a listener understood of a corpus, on disk: its tables and their columns, and how they are opened."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from audiogram.corpus import is_complete, read_manifest, stage_parts
from audiogram.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CHUNKS", "CLIPS", "NEIGHBOURS", "STAGE", "LdlResult", "load_ldl"]

STAGE = "ldl"

CLIPS = pa.schema(
    [
        ("clip_id", pa.string()),
        ("text", pa.string()),
        ("prediction", pa.string()),
        ("correct", pa.bool_()),
        ("target_correlation", pa.float64()),
        ("rank", pa.int32()),
        ("ties", pa.int32()),
        ("nearest_correlation", pa.float64()),
        ("semantic_neighbourhood_density", pa.float64()),
        ("uncertainty", pa.float64()),
        ("l1_norm", pa.float64()),
        ("l2_norm", pa.float64()),
        ("functional_load", pa.float64()),
        ("semantic_support_for_form", pa.float64()),
        ("form_correlation", pa.float64()),
        ("learnt_events", pa.int64()),
        ("lexicon_words", pa.int32()),
        ("cue_units", pa.int32()),
        ("cut", pa.bool_()),
        ("silent", pa.bool_()),
    ]
)
"""One row per word; behind these stand the columns of the source. Without a text there is no target: what compares with
it is null."""

NEIGHBOURS = pa.schema(
    [("clip_id", pa.string()), ("place", pa.int32()), ("word", pa.string()), ("correlation", pa.float64())]
)
"""The words whose meanings are nearest to what was understood, from place 1 on; none for a word that was not heard."""

CHUNKS = pa.schema([("clip_id", pa.string()), ("chunk", pa.int32()), ("functional_load", pa.float64())])
"""Each chunk of a word, from 0 on, and its functional load; of log-mel cues, each tenth of a second."""

_SCHEMAS = {"clips": CLIPS, "neighbours": NEIGHBOURS, "chunks": CHUNKS}


@dataclass(frozen=True, eq=False)
class LdlResult:
    """What `evaluate_corpus` wrote; tables are read when first used.

    Attributes
    ----------
    path : Path
        The folder.
    manifest : dict
        What was run: model, condition, options, corpus.
    clips : DataFrame
        One row per word: `prediction`, `correct`, `target_correlation`, `rank`, ...; then the columns of the source.
    neighbours : DataFrame
        The nearest words of each: clip_id, place, word, correlation.
    chunks : DataFrame
        The chunks of each: clip_id, chunk, functional_load.
    failures : DataFrame
        Words that could not be heard or have no vector: id, error.
    """

    path: Path
    manifest: dict[str, Any]

    @cached_property
    def clips(self) -> pd.DataFrame:
        """One row per word."""
        return self._read("clips")

    @cached_property
    def neighbours(self) -> pd.DataFrame:
        """The nearest words of each."""
        return self._read("neighbours")

    @cached_property
    def chunks(self) -> pd.DataFrame:
        """The chunks of each."""
        return self._read("chunks")

    @cached_property
    def failures(self) -> pd.DataFrame:
        """Words without a result, and why."""
        return self._read("failures")

    def _read(self, name: str) -> pd.DataFrame:
        import pyarrow.parquet as pq

        files = [file for part in stage_parts(self.path) if (file := part.table(self.path, name)).is_file()]
        empty = _SCHEMAS[name].empty_table() if name in _SCHEMAS else pa.table({"id": [], "error": []})
        table = pa.concat_tables([pq.read_table(f) for f in files], promote_options="permissive") if files else empty
        frame: pd.DataFrame = table.to_pandas(integer_object_nulls=False)
        return frame


def load_ldl(path: str | Path) -> LdlResult:
    """Open what `evaluate_corpus` has written.

    Parameters
    ----------
    path : path
        The folder.

    Returns
    -------
    LdlResult

    Raises
    ------
    InputError
        It is another folder, or not finished.
    """
    folder = Path(path)
    manifest = read_manifest(folder)
    if manifest["stage"] != STAGE:
        raise InputError(f"{folder} is the output of {manifest['stage']!r}, not of ldl evaluate. Check the path.")
    if not is_complete(folder):
        raise InputError(f"{folder} is not finished. Start its `ldl evaluate` again; it will go on.")
    return LdlResult(folder, manifest)
