"""What a probe run leaves behind, in memory or on disk: tables as pandas, vectors as arrays.

`vector_row` is the row of a token in `hidden` and `top_k`. In the Parquet files it counts within the part: it is a row
of the safetensors file of the same name (`tokens/test-00003-of-00064.parquet` and
`vectors/test-00003-of-00064.safetensors`), so that a part can be written without knowing the others. `load_probes`
adds the number of rows in the parts before it, in the order of the manifest's plan: in a `ProbeResult` it is unique
in the whole run and indexes the arrays as they are.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from audiogram.corpus import read_manifest, stage_parts
from audiogram.errors import InputError, unknown_name
from whisperprobe.arrays import PartedArray, map_safetensors
from whisperprobe.probing import schemas, showing
from whisperprobe.probing.folder_tables import FolderTables

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from whisperprobe.probing.batches import Batch
    from whisperprobe.probing.output_side import OutputSide

__all__ = ["ProbeResult", "TopK", "condition_of", "load_probes"]

VECTOR_NAMES = ("hidden", "top_k_ids", "top_k_log_probabilities", "layer_hidden", "encoder")
_COUNTED_IN = {"vector_row": "hidden", "encoder_row": "encoder"}
"""Columns that are rows of vectors, and of which."""


class TopK(NamedTuple):
    """The most probable tokens of each vector row, most probable first: ids and ln p, `(rows, k)`."""

    ids: Any
    log_probabilities: Any


@dataclass(eq=False, repr=False)
class ProbeResult:
    """A probe run: tables as pandas, vectors as arrays that `tokens.vector_row` indexes.

    What every column means is on the page ``docs/probe-columns.md``.

    Attributes
    ----------
    clips : DataFrame
        One row per clip: `prediction`, `correct`, `word_surprisal` (bits), ...; then the columns of the source.
    tokens : DataFrame
        One row per scored token, greedy and forced: `log_probability`, `rank`, `entropy` (nats), ...
    ground_truth : DataFrame
        One row per greedy position and token of the ground truth.
    hidden : array of float32, shape (rows, d)
        Decoder states of the tokens that kept them, row `tokens.vector_row`.
    top_k : TopK
        Their most probable tokens, `ids` and `log_probabilities`, `(rows, k)`.
    failures : DataFrame
        Clips that could not be probed: id, error.
    manifest : dict
        What was run: model and hashes, prompt, options, corpus.
    path : Path or None
        The run's folder; None in memory.
    """

    manifest: dict[str, Any]
    path: Path | None
    _tables: Mapping[str, Any]
    _vectors: Mapping[str, Any]
    _side: OutputSide | None = None

    @classmethod
    def of_batches(
        cls,
        batches: Sequence[Batch],
        manifest: dict[str, Any],
        side: OutputSide | None = None,
        columns: Mapping[str, pa.Schema] | None = None,
    ) -> ProbeResult:
        """Join batches in memory; `side` is the output side of the model that made them, `columns` those by table."""
        import pyarrow as pa

        columns = columns or {name: schemas.SCHEMAS[name] for name in ("clips", *schemas.tables_of({}))}
        joined = {
            name: pa.concat_tables([b.tables[name] for b in batches]) if batches else schema.empty_table()
            for name, schema in columns.items()
        }
        vectors = {
            name: np.concatenate([b.vectors[name] for b in batches if name in b.vectors])
            for name in VECTOR_NAMES
            if any(name in b.vectors for b in batches)
        }
        return cls(manifest, None, joined, vectors, side)

    @functools.cached_property
    def tokens(self) -> pd.DataFrame:
        """One row per scored token; `position` counts from 0, `vector_row` is missing where no vectors were kept."""
        return self._frame("tokens")

    @functools.cached_property
    def clips(self) -> pd.DataFrame:
        """One row per clip, with the columns of the source."""
        return self._frame("clips")

    @functools.cached_property
    def ground_truth(self) -> pd.DataFrame:
        """One row per greedy position and token of the ground truth."""
        return self._frame("ground_truth")

    @functools.cached_property
    def layers(self) -> pd.DataFrame:
        """One row per row of `tokens` and decoder layer that was asked for; layer 0 is the embedding."""
        return self._frame("layers")

    @functools.cached_property
    def competitors(self) -> pd.DataFrame:
        """The most probable words of the lexicon for every clip, place by place."""
        return self._frame("competitors")

    @functools.cached_property
    def alternatives(self) -> pd.DataFrame:
        """The answers of the beam search for every clip, place by place."""
        return self._frame("alternatives")

    @property
    def hidden(self) -> Any:
        """Hidden states, float32 `(rows, d)`."""
        return self._array("hidden")

    @property
    def top_k(self) -> TopK:
        """Most probable tokens: ids and log-probabilities (float16), `(rows, k)`."""
        return TopK(self._array("top_k_ids"), self._array("top_k_log_probabilities"))

    @property
    def layer_hidden(self) -> Any:
        """States of the layers in `manifest["options"]["layers"]`, before the final norm, `(rows, layers, d)`."""
        return self._array("layer_hidden", "layer_vectors=True (--layer-vectors)")

    @property
    def encoder(self) -> Any:
        """Mean encoder state of each clip, float32 `(clips, d)`, row `clips.encoder_row`."""
        return self._array("encoder", "encoder='mean' (--encoder)")

    def distribution(self, rows: Any, *, model: str | Path | None = None) -> np.ndarray:
        """Whole distributions again, from the stored hidden states and the model's output embedding.

        Parameters
        ----------
        rows : int, sequence of int, or DataFrame
            Values of `tokens.vector_row`, or rows of `tokens` themselves, all with vectors.
        model : path or hub name, optional
            Where the run's model is now; by default where it was. Its weights must be the same.

        Returns
        -------
        ndarray of float32, shape (rows, V)
            ln p of every token of the vocabulary, before any suppression.

        Raises
        ------
        InputError
            The run or these tokens kept no hidden states, or the model is not there or not the run's.
        """
        from whisperprobe.probing.distributions import distribution, vector_rows

        hidden = self.hidden
        return distribution(hidden, vector_rows(rows), self.output_side(model).head)

    def output_side(self, model: str | Path | None = None) -> OutputSide:
        """Output embedding, vocabulary and tokenizer of the run's model, opened once; parameters as `distribution`."""
        if self._side is None or (model is not None and self.path is not None):
            from whisperprobe.probing.output_side import load_output_side

            self._side = load_output_side(self.manifest.get("options", {}), model)
        return self._side

    @property
    def failures(self) -> pd.DataFrame:
        """Clips that could not be probed: id, error."""
        import pandas as pd
        import pyarrow.parquet as pq

        if self.path is None:
            return pd.DataFrame({"id": [], "error": []}, dtype=str)
        parts = stage_parts(self.path)
        found: list[pd.DataFrame] = [pq.read_table(part.failures(self.path)).to_pandas() for part in parts]
        return pd.concat(found, ignore_index=True)

    @property
    def table_names(self) -> tuple[str, ...]:
        """Names of the tables that the run has; `table` gives one."""
        return tuple(self._tables)

    def count(self, name: str) -> int:
        """Count the rows of a table, without reading it."""
        return self._tables.count(name) if isinstance(self._tables, FolderTables) else len(self._tables[name])

    @property
    def vectors(self) -> Mapping[str, Any]:
        """Arrays that the run has, by name."""
        return self._vectors

    def table(self, name: str) -> pd.DataFrame:
        """A table by its name, as the attribute of that name has it."""
        return self._frame(name)

    def _frame(self, name: str) -> pd.DataFrame:
        import pandas as pd

        if name not in self._tables:
            option = {"layers": "layers='all'", "competitors": "lexicon=[...]", "alternatives": "n_best=5"}.get(name)
            if option is None:
                raise unknown_name("table", name, self._tables)
            raise InputError(f"this run has no table {name!r}; probe again with {option}.")
        table: pa.Table = self._tables[name]
        integers = {}
        for entry in table.schema:
            # a missing vector row or target must not turn whole numbers into floating point
            if str(entry.type) in ("int32", "int64") and table[entry.name].null_count:
                integers[entry.type] = pd.Int64Dtype() if str(entry.type) == "int64" else pd.Int32Dtype()
        frame: pd.DataFrame = table.to_pandas(types_mapper=integers.get if integers else None)
        return frame

    def _array(self, name: str, option: str = "vectors='greedy' or 'both' (--vectors)") -> Any:
        if name not in self._vectors:
            raise InputError(f"this run kept no vectors of that kind; probe again with {option}.")
        return self._vectors[name]

    def __repr__(self) -> str:
        return showing.as_text(self)

    def _repr_html_(self) -> str:
        return showing.as_html(self)


def condition_of(manifest: Mapping[str, Any]) -> Any:
    """What a probe run heard, as its manifest has it: the condition applied on the fly, or that of its masked corpus.

    Returns
    -------
    dict or None
        `Condition.to_dict()`; None where the recordings were heard as they are.
    """
    options = manifest.get("options") or {}
    return options.get("condition") or options.get("corpus_condition")


def load_probes(path: str | Path) -> ProbeResult:
    """Open a probe run from disk; tables are read when first used, vectors are mapped into memory.

    Parameters
    ----------
    path : str or Path
        Folder that `probe_corpus` has written.

    Returns
    -------
    ProbeResult

    Raises
    ------
    InputError
        No such folder, not a probe run, or not finished.
    """
    folder = Path(path)
    manifest = read_manifest(folder)
    if manifest.get("stage") != "probe":
        raise InputError(
            f"{folder} was written by the stage {manifest.get('stage')!r}, not by a probe. Give a probe run."
        )
    parts = stage_parts(folder)
    missing = [part for part in parts if not part.done([folder])]
    if missing:
        raise InputError(
            f"the probe run {folder} is not finished: {len(missing)} of {len(parts)} parts are missing "
            f"(first {missing[0].stem}). Start the same probe again; it goes on from there."
        )
    maps = [map_safetensors(file) if (file := part.vectors(folder)).is_file() else {} for part in parts]
    offsets = {}
    for column, name in _COUNTED_IN.items():
        lengths = [len(m[name]) if name in m else 0 for m in maps]
        offsets[column] = [0, *np.cumsum(lengths).tolist()[:-1]]
    vectors = {}
    for name in VECTOR_NAMES:
        found = [m[name] for m in maps if name in m]
        if found:
            vectors[name] = PartedArray(found)
    names = ("clips", *schemas.tables_of(manifest.get("options") or {}))
    return ProbeResult(manifest, folder, FolderTables(folder, names, offsets), vectors)
