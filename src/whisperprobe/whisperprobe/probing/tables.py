"""How what a batch measures becomes rows of the tables of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from whisperprobe.labels import VARIANT_NAMES
from whisperprobe.probing.packing import Rows
from whisperprobe.probing.schemas import CLIPS, GROUND_TRUTH, LAYERS, TOKENS
from whisperprobe.probing.score import Scores, Targets
from whisperprobe.probing.vocabulary import KINDS, Vocabulary

__all__ = ["clips_table", "ground_truth_table", "layers_table", "table_of", "tokens_table"]

DECODINGS = pa.array(["greedy", "forced"])


def _column(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    """An Arrow column; NaN means null."""
    return pa.array(values, from_pandas=True).cast(kind)


class _Strings:
    """Strings of a vocabulary as Arrow arrays, so that a column of them is one `take`."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.tokens = pa.array(vocabulary.tokens)
        self.groups = pa.array(vocabulary.group_texts)


_strings: dict[int, tuple[Vocabulary, _Strings]] = {}


def _strings_of(vocabulary: Vocabulary) -> _Strings:
    # keyed by identity, and the vocabulary is held, so the identity stays its own
    if id(vocabulary) not in _strings:
        _strings[id(vocabulary)] = (vocabulary, _Strings(vocabulary))
    return _strings[id(vocabulary)][1]


def tokens_table(
    ids: Sequence[str],
    rows: Rows,
    scores: Scores,
    vocabulary: Vocabulary,
    vector_offset: int = 0,
    *,
    window: np.ndarray,
    schema: pa.Schema = TOKENS,
) -> pa.Table:
    """Return rows of `tokens`.

    Parameters
    ----------
    ids : sequence of str
        Clip ids of the batch.
    rows, scores : Rows, Scores
        What was scored, and how.
    vocabulary : Vocabulary
        Names of the tokens.
    vector_offset : int, default 0
        `vector_row` of the batch's first kept row.
    window : int64 array, shape (rows,)
        Which window of its clip each row is from.
    schema : Schema
        The columns that are asked for.
    """
    strings = _strings_of(vocabulary)
    token = pa.array(rows.token_id)
    vector_row = pa.array(np.full(len(rows), np.nan), from_pandas=True).cast(pa.int64())
    if len(scores.kept):
        at = np.full(len(rows), -1, dtype=np.int64)
        at[scores.kept] = vector_offset + np.arange(len(scores.kept))
        vector_row = pa.array(at, mask=at < 0)
    columns: dict[str, Any] = {
        **_row_names(ids, rows),
        "token_id": rows.token_id,
        "token": strings.tokens.take(token),
        "kind": pa.array(KINDS).take(pa.array(vocabulary.kinds[rows.token_id])),
        "normalised_text": strings.groups.take(pa.array(vocabulary.groups[rows.token_id])),
        "word_end_mass": np.exp(scores.rows["log_word_end"]),
        "vector_row": vector_row,
        "window": window,
    }
    columns.update({name: values for name, values in scores.rows.items() if name in TOKENS.names})
    return table_of(columns, schema)


def _row_names(ids: Sequence[str], rows: Rows, repeat: int = 1) -> dict[str, Any]:
    """What says which row it is, each so many times."""
    forced = np.repeat(~rows.greedy, repeat)
    return {
        "clip_id": pa.array(ids, pa.string()).take(pa.array(np.repeat(rows.clip, repeat))),
        "decoding": DECODINGS.take(pa.array(forced.astype(np.int8))),
        "variant": pa.array(VARIANT_NAMES).take(pa.array(np.repeat(rows.variant, repeat), mask=~forced)),
        "position": np.repeat(rows.position, repeat),
    }


def layers_table(ids: Sequence[str], rows: Rows, layers: Sequence[int], columns: Mapping[str, np.ndarray]) -> pa.Table:
    """Return rows of `layers`; columns `(rows, layers)` from `layers.layer_columns`."""
    flat = {name: values.reshape(-1) for name, values in columns.items()}
    layer = np.tile(np.asarray(layers, dtype=np.int64), len(rows))
    return table_of({**_row_names(ids, rows, len(layers)), "layer": layer, **flat}, LAYERS)


def ground_truth_table(
    ids: Sequence[str], rows: Rows, targets: Targets, scores: Scores, vocabulary: Vocabulary
) -> pa.Table:
    """Return rows of `ground_truth`; parameters as `tokens_table`."""
    columns: dict[str, Any] = {
        "clip_id": pa.array(ids, pa.string()).take(pa.array(rows.clip[targets.row])),
        "position": rows.position[targets.row],
        "target_index": targets.index,
        "token_id": targets.token_id,
        "token": _strings_of(vocabulary).tokens.take(pa.array(targets.token_id)),
        **scores.targets,
    }
    return table_of(columns, GROUND_TRUTH)


def clips_table(
    ids: Sequence[str],
    texts: Sequence[str | None],
    predictions: Sequence[str | None],
    correct: Sequence[bool | None],
    pooled: Mapping[str, Any],
    schema: pa.Schema = CLIPS,
) -> pa.Table:
    """Return rows of `clips`, without the columns of the source; `pooled` has all that is measured per clip."""
    columns: dict[str, Any] = {
        "clip_id": pa.array(ids, pa.string()),
        "text": pa.array(texts, pa.string()),
        "prediction": pa.array(predictions, pa.string()),
        "correct": pa.array(correct, pa.bool_()),
        **pooled,
    }
    return table_of(columns, schema)


def table_of(columns: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    """Return a table with the columns of a schema, made of arrays in which NaN means missing, or of lists."""
    arrays = []
    for entry in schema:
        values = columns[entry.name]
        if isinstance(values, list):
            values = pa.array(values, entry.type)
        arrays.append(_column(values, entry.type) if isinstance(values, np.ndarray) else values.cast(entry.type))
    return pa.Table.from_arrays(arrays, schema=schema)
