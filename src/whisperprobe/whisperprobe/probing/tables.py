"""The tables of a probe run: their columns, in DESIGN's spelling, and how a batch becomes rows of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from whisperprobe.labels import VARIANT_NAMES
from whisperprobe.probing.packing import Rows
from whisperprobe.probing.score import Scores, Targets
from whisperprobe.probing.vocabulary import KINDS, Vocabulary

__all__ = ["CLIPS", "GROUND_TRUTH", "TOKENS", "clips_table", "ground_truth_table", "source_columns", "tokens_table"]

TOKENS = pa.schema(
    [
        ("clip_id", pa.string()),
        ("decoding", pa.string()),
        ("variant", pa.string()),
        ("position", pa.int32()),
        ("token_id", pa.int32()),
        ("token", pa.string()),
        ("kind", pa.string()),
        ("log_probability", pa.float64()),
        ("processed_log_probability", pa.float64()),
        ("probability", pa.float64()),
        ("surprisal", pa.float64()),
        ("rank", pa.int32()),
        ("ties", pa.int32()),
        ("entropy", pa.float64()),
        ("semantic_density", pa.float64()),
        ("normalised_text", pa.string()),
        ("normalised_probability", pa.float64()),
        ("normalised_rank", pa.int32()),
        ("normalised_entropy", pa.float64()),
        ("word_end_mass", pa.float64()),
        ("vector_row", pa.int64()),
    ]
)
"""One row per scored token; `position` counts from 0, `variant` is null for greedy rows, `vector_row` is null where no
vectors were kept."""

GROUND_TRUTH = pa.schema(
    [
        ("clip_id", pa.string()),
        ("position", pa.int32()),
        ("target_index", pa.int32()),
        ("token_id", pa.int32()),
        ("token", pa.string()),
        ("rank", pa.int32()),
        ("probability", pa.float64()),
        ("cosine_similarity", pa.float64()),
        ("correlation", pa.float64()),
    ]
)
"""One row per greedy position and token of the ground truth; both count from 0."""

CLIPS = pa.schema(
    [
        ("clip_id", pa.string()),
        ("text", pa.string()),
        ("prediction", pa.string()),
        ("correct", pa.bool_()),
        ("n_tokens", pa.int32()),
        ("log_probability", pa.float64()),
        ("word_log_probability", pa.float64()),
        ("prefix_log_probability", pa.float64()),
        ("word_surprisal", pa.float64()),
        ("word_mean_rank", pa.float64()),
        ("word_mean_entropy", pa.float64()),
        ("mean_rank", pa.float64()),
        ("mean_probability", pa.float64()),
        ("geometric_mean_probability", pa.float64()),
        ("mean_entropy", pa.float64()),
        ("cosine_similarity", pa.float64()),
        ("correlation", pa.float64()),
        ("semantic_density", pa.float64()),
    ]
)
"""One row per clip; behind these stand the columns of the source.

`n_tokens` counts the greedy text tokens, over which `log_probability` (joint) and all columns from `mean_rank` on are
pooled: without punctuation, timestamps and the end token. The columns that begin with `word_`, and
`prefix_log_probability`, are those of the forced ground truth."""

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
    ids: Sequence[str], rows: Rows, scores: Scores, vocabulary: Vocabulary, vector_offset: int = 0
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
    """
    strings = _strings_of(vocabulary)
    token = pa.array(rows.token_id)
    forced = ~rows.greedy
    vector_row = pa.array(np.full(len(rows), np.nan), from_pandas=True).cast(pa.int64())
    if len(scores.kept):
        at = np.full(len(rows), -1, dtype=np.int64)
        at[scores.kept] = vector_offset + np.arange(len(scores.kept))
        vector_row = pa.array(at, mask=at < 0)
    columns: dict[str, Any] = {
        "clip_id": pa.array(ids, pa.string()).take(pa.array(rows.clip)),
        "decoding": DECODINGS.take(pa.array(forced.astype(np.int8))),
        "variant": pa.array(VARIANT_NAMES).take(pa.array(rows.variant, mask=~forced)),
        "position": rows.position,
        "token_id": rows.token_id,
        "token": strings.tokens.take(token),
        "kind": pa.array(KINDS).take(pa.array(vocabulary.kinds[rows.token_id])),
        "normalised_text": strings.groups.take(pa.array(vocabulary.groups[rows.token_id])),
        "word_end_mass": np.exp(scores.rows["log_word_end"]),
        "vector_row": vector_row,
    }
    columns.update({name: values for name, values in scores.rows.items() if name in TOKENS.names})
    return _table(columns, TOKENS)


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
    return _table(columns, GROUND_TRUTH)


def clips_table(
    ids: Sequence[str],
    texts: Sequence[str | None],
    predictions: Sequence[str | None],
    correct: Sequence[bool | None],
    pooled: Mapping[str, np.ndarray],
) -> pa.Table:
    """Return rows of `clips`, without the columns of the source."""
    columns: dict[str, Any] = {
        "clip_id": pa.array(ids, pa.string()),
        "text": pa.array(texts, pa.string()),
        "prediction": pa.array(predictions, pa.string()),
        "correct": pa.array(correct, pa.bool_()),
        **pooled,
    }
    return _table(columns, CLIPS)


def _table(columns: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    arrays = []
    for entry in schema:
        values = columns[entry.name]
        arrays.append(_column(values, entry.type) if isinstance(values, np.ndarray) else values.cast(entry.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def source_columns(names: Sequence[str]) -> dict[str, str]:
    """Return what each column of a source is called in `clips`: its own name, or `source_` and its name.

    The id, the audio and the text are not copied: they are `clip_id` and `text` already.
    """
    taken = set(CLIPS.names)
    out = {}
    for name in names:
        if name in ("id", "audio", "text"):
            continue
        new = name
        while new in taken:
            new = f"source_{new}"
        taken.add(new)
        out[name] = new
    return out
