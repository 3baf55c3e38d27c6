"""The columns of every table of a probe run, in one place."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

__all__ = [
    "ALTERNATIVES",
    "CLIPS",
    "COMPETITORS",
    "CORRECT_HOMOPHONE",
    "ENCODER_ROW",
    "GROUND_TRUTH",
    "LAYERS",
    "LEXICON",
    "N_WINDOWS",
    "SCHEMAS",
    "TOKENS",
    "WINDOW",
    "scalar_type",
    "scalars",
    "source_columns",
    "tables_of",
]

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

LEXICON = pa.schema(
    [
        ("lexicon_words", pa.int32()),
        ("lexicon_found", pa.bool_()),
        ("lexicon_best", pa.string()),
        ("lexicon_rank", pa.int32()),
        ("lexicon_probability", pa.float64()),
        ("lexicon_entropy", pa.float64()),
        ("lexicon_mass", pa.float64()),
    ]
)
"""What a lexicon adds to `clips`: how many words were scored, whether the spoken one was let through, the best of
them; rank and probability of the spoken word among them; the entropy over them and their share of all answers."""

ENCODER_ROW = pa.field("encoder_row", pa.int64())
"""What encoder states add to `clips`: the clip's row in them."""

CORRECT_HOMOPHONE = pa.field("correct_homophone", pa.bool_())
"""What a list of homophones adds to `clips`: `correct`, words that sound alike taken as one."""

N_WINDOWS = pa.field("n_windows", pa.int32())
WINDOW = pa.field("window", pa.int32())
"""What is added where clips longer than the model's window are cut: to `clips`, how many windows the clip took; to
`tokens`, which of them the row is from, from 0."""

LAYERS = pa.schema(
    [
        ("clip_id", pa.string()),
        ("decoding", pa.string()),
        ("variant", pa.string()),
        ("position", pa.int32()),
        ("layer", pa.int32()),
        ("log_probability", pa.float64()),
        ("rank", pa.int32()),
        ("entropy", pa.float64()),
    ]
)
"""One row per row of `tokens` and decoder layer asked for; layer 0 is the embedding."""

COMPETITORS = pa.schema(
    [
        ("clip_id", pa.string()),
        ("place", pa.int32()),
        ("word", pa.string()),
        ("log_probability", pa.float64()),
        ("probability", pa.float64()),
    ]
)
"""The most probable words of the lexicon for each clip, the spoken one among them where it belongs."""

ALTERNATIVES = pa.schema(
    [
        ("clip_id", pa.string()),
        ("place", pa.int32()),
        ("text", pa.string()),
        ("token_ids", pa.string()),
        ("n_tokens", pa.int32()),
        ("log_probability", pa.float64()),
        ("score", pa.float64()),
    ]
)
"""The answers of a beam search for each clip; `token_ids` are numbers with spaces between, the end token included."""

SCHEMAS = {
    "clips": CLIPS,
    "tokens": TOKENS,
    "ground_truth": GROUND_TRUTH,
    "layers": LAYERS,
    "competitors": COMPETITORS,
    "alternatives": ALTERNATIVES,
}
"""Every table of a run, by name; `clips` without what options and source add to it."""

_TABLE_OF = {"layers": "layers", "lexicon": "competitors", "n_best": "alternatives"}
"""Which option a further table comes from."""


def tables_of(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the tables beside `clips` of a run, from its manifest's options."""
    return ("tokens", "ground_truth", *(table for option, table in _TABLE_OF.items() if options.get(option)))


def source_columns(names: Sequence[str]) -> dict[str, str]:
    """Return what each column of a source is called in `clips`: its own name, or `source_` and its name.

    The id, the audio and the text are not copied: they are `clip_id` and `text` already.
    """
    # whatever is asked for, a column keeps its name
    taken = {*CLIPS.names, *LEXICON.names, ENCODER_ROW.name, CORRECT_HOMOPHONE.name, N_WINDOWS.name}
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


def scalar_type(kind: pa.DataType) -> pa.DataType:
    """Return what a column of the source has for a type in `clips`: what R cannot read is text, nested values JSON."""
    if pa.types.is_dictionary(kind):
        return scalar_type(kind.value_type)
    return pa.string() if pa.types.is_nested(kind) else kind


def scalars(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return values of a type of the source as a column of its `scalar_type`."""
    if pa.types.is_nested(kind):
        values = [None if v is None else json.dumps(v, ensure_ascii=False, default=str) for v in values]
    return pa.array(values, scalar_type(kind))
