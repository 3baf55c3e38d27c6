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
from audiogram.errors import InputError
from whisperprobe.probing.arrays import PartedArray, map_safetensors

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from whisperprobe.probing.batches import Batch
    from whisperprobe.probing.output_side import OutputSide

__all__ = ["ProbeResult", "TopK", "condition_of", "load_probes"]

TABLES = ("clips", "tokens", "ground_truth")
VECTOR_NAMES = ("hidden", "top_k_ids", "top_k_log_probabilities")


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
        cls, batches: Sequence[Batch], manifest: dict[str, Any], side: OutputSide | None = None
    ) -> ProbeResult:
        """Join batches in memory; `side` is the output side of the model that made them."""
        import pyarrow as pa

        from whisperprobe.probing import tables

        schemas = {"clips": tables.CLIPS, "tokens": tables.TOKENS, "ground_truth": tables.GROUND_TRUTH}
        joined = {
            name: pa.concat_tables([getattr(b, name) for b in batches]) if batches else schema.empty_table()
            for name, schema in schemas.items()
        }
        vectors = {
            name: np.concatenate([b.vectors[name] for b in batches if b.vectors])
            for name in VECTOR_NAMES
            if any(b.vectors for b in batches)
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

    @property
    def hidden(self) -> Any:
        """Hidden states, float32 `(rows, d)`."""
        return self._array("hidden")

    @property
    def top_k(self) -> TopK:
        """Most probable tokens: ids and log-probabilities (float16), `(rows, k)`."""
        return TopK(self._array("top_k_ids"), self._array("top_k_log_probabilities"))

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

    def table(self, name: str) -> pd.DataFrame:
        """A table by its name, as the attribute of that name has it."""
        return self._frame(name)

    def _frame(self, name: str) -> pd.DataFrame:
        import pandas as pd

        table: pa.Table = self._tables[name]
        integers = {}
        for entry in table.schema:
            # a missing vector row or target must not turn whole numbers into floating point
            if str(entry.type) in ("int32", "int64") and table[entry.name].null_count:
                integers[entry.type] = pd.Int64Dtype() if str(entry.type) == "int64" else pd.Int32Dtype()
        frame: pd.DataFrame = table.to_pandas(types_mapper=integers.get if integers else None)
        return frame

    def _array(self, name: str) -> Any:
        if name not in self._vectors:
            raise InputError("this run kept no vectors; probe again with vectors='greedy' or 'both'.")
        return self._vectors[name]

    def __repr__(self) -> str:
        options = self.manifest.get("options", {})
        clips = self._tables["clips"]
        correct = [c for c in clips["correct"].to_pylist() if c is not None]
        lines = [
            f"ProbeResult of {options.get('model', 'a model')}, {self.path or 'in memory'}",
            f"  clips         {len(clips)}"
            + (f", {np.mean(correct):.1%} of {len(correct)} correct" if correct else ""),
        ]
        if correct:
            import pyarrow.compute as pc

            surprisal = pc.mean(clips["word_surprisal"]).as_py()
            lines[-1] += "" if surprisal is None else f", word surprisal {surprisal:.2f} bits"
        lines.append(f"  tokens        {len(self._tables['tokens'])} rows")
        lines.append(f"  ground_truth  {len(self._tables['ground_truth'])} rows")
        for name in ("hidden", "top_k_ids"):
            if name in self._vectors:
                shape = " × ".join(map(str, self._vectors[name].shape))
                lines.append(f"  {name.removesuffix('_ids'):<13} {shape} {self._vectors[name].dtype}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        import html

        return f"<pre>{html.escape(repr(self))}</pre>{self.clips.head().to_html()}"


class _LazyTables(Mapping[str, Any]):
    """Tables of a run's folder, read when first asked for."""

    def __init__(self, path: Path, offsets: Sequence[int]) -> None:
        self._path, self._offsets = path, offsets
        self._read = functools.lru_cache(maxsize=None)(self._read_table)

    def __getitem__(self, name: str) -> pa.Table:
        if name not in TABLES:
            raise KeyError(name)
        return self._read(name)

    def __iter__(self) -> Any:
        return iter(TABLES)

    def __len__(self) -> int:
        return len(TABLES)

    def _read_table(self, name: str) -> pa.Table:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        from whisperprobe.probing import tables

        pieces = []
        for part, offset in zip(stage_parts(self._path), self._offsets, strict=True):
            file = part.table(self._path, name)
            if file.is_file():
                piece = pq.read_table(file)
                if "vector_row" in piece.column_names:
                    shifted = pc.add(piece["vector_row"], offset)
                    piece = piece.set_column(piece.schema.get_field_index("vector_row"), "vector_row", shifted)
                pieces.append(piece)
        schema = {"clips": tables.CLIPS, "tokens": tables.TOKENS, "ground_truth": tables.GROUND_TRUTH}[name]
        return pa.concat_tables(pieces, promote_options="permissive") if pieces else schema.empty_table()


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
    lengths = [len(m["hidden"]) if m else 0 for m in maps]
    offsets = [0, *np.cumsum(lengths).tolist()[:-1]] if parts else []
    vectors = {}
    for name in VECTOR_NAMES:
        found = [m[name] for m in maps if name in m]
        if found:
            vectors[name] = PartedArray(found)
    return ProbeResult(manifest, folder, _LazyTables(folder, offsets), vectors)
