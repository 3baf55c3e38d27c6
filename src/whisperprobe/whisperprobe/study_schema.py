"""The study file's keys: what each table may hold, of which type, and what is said when it does not.

A study is one TOML file. Every table is checked against the keys listed here before anything runs, so that a
misspelt key costs seconds and not a night of computing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from audiogram.errors import InputError, unknown_name
from whisperprobe.study_keys import (
    Key,
    describe,
    device,
    is_int,
    is_number,
    names,
    number,
    one_of,
    subset,
    table,
    text,
    true_or_false,
    whole,
)

__all__ = ["ARCHITECTURE", "TABLES", "TRAINING", "check_table"]


def _is_test_part(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) > 0 and all(isinstance(v, (str, int)) and not isinstance(v, bool) for v in value)
    return is_number(value) and 0 < value < 1


def _is_distinct_seeds(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(is_int(s, 0) and s < 2**32 for s in value)
        and len(set(value)) == len(value)
    )


def _is_layers(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) > 0 and all(is_int(v, 0) for v in value) and len(set(value)) == len(value)
    return isinstance(value, str) and value == "all"


_POSITIVE = "a number above 0"
_SHARE = "a number from 0 up to, not including, 1"
_TEXT_MAP = table(
    'a table from text to text, e.g. { 0 = "zero" }', lambda v: all(isinstance(t, str) for t in v.values())
)
_LISTEN = ("all", "own", "unmasked")

# Options of whisperprobe.finetune that a study may set; what it sets by itself (source, model, out, seed) is not here.
TRAINING: dict[str, Key] = {
    "recipe": one_of("study", "pilot"),
    "epochs": number(_POSITIVE, lambda v: v > 0),
    "max_steps": whole(1),
    "learning_rate": number(_POSITIVE, lambda v: v > 0),
    "warmup_steps": whole(0),
    "scheduler": one_of("linear", "cosine", "constant"),
    "global_batch": whole(1),
    "batch_size": whole(1),
    "auto_batch": true_or_false(),
    "precision": one_of("auto", "float32", "bf16"),
    "gradient_checkpointing": true_or_false(),
    "freeze": one_of("encoder", "decoder"),
    "lora": Key(
        "true, a rank, or a table such as { rank = 32, alpha = 64 }", lambda v: isinstance(v, (bool, int, dict))
    ),
    "weight_decay": number("a number, 0 or more", lambda v: v >= 0),
    "clip_gradient": number(_POSITIVE, lambda v: v > 0),
    "augment": Key("the name of an augmentation or a table of its options", lambda v: isinstance(v, (str, dict, bool))),
    "padding": one_of("window", "trimmed"),
    "margin": number("a number of seconds, 0 or more", lambda v: 0 <= v < math.inf),
    "group_by_length": true_or_false(),
    "workers": whole(0),
    "evaluate": true_or_false(),
    "eval_every": whole(1),
    "best_metric": one_of("wer", "cer", "loss", "word_accuracy", "sentence_accuracy"),
    "keep": one_of("best", "last"),
    "patience": whole(1),
    "max_samples": whole(1),
    "leading_space": true_or_false(),
    "save_every": whole(1),
    "save_total_limit": whole(1),
    "log_every": whole(1),
    "tensorboard": true_or_false(),
    "device": one_of("auto", "cpu", "cuda"),
    "threads": whole(1),
    "language": text("a language code, e.g. 'en'"),
    "task": one_of("transcribe", "translate"),
}

# Shape and regularisation of a model trained from random initialisation: keys of transformers' WhisperConfig,
# and finetune's short names for some of them.
ARCHITECTURE: dict[str, Key] = {
    **{
        name: whole(1)
        for name in (
            "d_model", "encoder_layers", "decoder_layers", "encoder_attention_heads", "decoder_attention_heads",
            "encoder_ffn_dim", "decoder_ffn_dim", "num_mel_bins", "max_source_positions", "max_target_positions",
            "attention_heads", "ffn_dim", "n_mels", "window_seconds",
        )
    },
    **{
        name: number(_SHARE, lambda v: 0 <= v < 1)
        for name in ("dropout", "attention_dropout", "activation_dropout", "encoder_layerdrop", "decoder_layerdrop")
    },
    "activation_function": text("the name of an activation function, e.g. 'gelu'"),
    "init_std": number(_POSITIVE, lambda v: v > 0),
    "scale_embedding": true_or_false(),
}  # fmt: skip

FROM_SCRATCH: dict[str, Key] = {
    **ARCHITECTURE,
    "condition": text('the name of one of the study\'s conditions, or "unmasked"'),
    "vocabulary_size": whole(1),
    "tokenizer": text("the folder of a WhisperTokenizer"),
    **TRAINING,
}

TABLES: dict[str, dict[str, Key]] = {
    "": {
        "name": text("a name for the study"),
        "seeds": Key("a list of different whole numbers, e.g. [1, 2]", _is_distinct_seeds, [1]),
        **{
            name: table("a table")
            for name in ("corpus", "conditions", "model", "finetune", "probe", "ldl", "compare", "report")
        },
    },
    "corpus": {
        "source": text("a folder of audio or of Parquet files"),
        "text_pattern": text("a regular expression with named groups, one of them 'text'"),
        "text_map": _TEXT_MAP,
        "split": table('a table, e.g. { column = "speaker", test = ["nicolas"], validation = 0.1 }'),
        "splits": names('a list of splits, e.g. ["train", "validation", "test"]'),
        "sample_rate": whole(8000, 16000),
        "format": one_of("flac24", "flac16", "wav", "wav32f", default="flac24"),
        "max_samples": whole(1),
        "max_seconds": number(_POSITIVE, lambda v: v > 0),
        "max_failures": number(_SHARE, lambda v: 0 <= v < 1, 0.05),
        "rows_per_part": whole(1),
        "workers": whole(1, 1),
    },
    "corpus.split": {
        "column": text("the name of a column"),
        "test": Key("a list of values of the column, or a share between 0 and 1", _is_test_part),
        "validation": number(_SHARE, lambda v: 0 <= v < 1, 0.1),
        "seed": whole(0, 0),
    },
    "model": {
        "base": text("a model's name on the Hugging Face hub, or its folder"),
        "from_scratch": table('a table, e.g. { d_model = 128, encoder_layers = 3, decoder_layers = 2, epochs = 30 }'),
        "language": text("a language code, e.g. 'en'", "en"),
        "task": one_of("transcribe", "translate", default="transcribe"),
    },
    "model.from_scratch": FROM_SCRATCH,
    "finetune": TRAINING,
    "probe": {
        "source": text('"corpus", or a folder of audio or of Parquet files', "corpus"),
        "listen": one_of(*_LISTEN, default="all"),
        "splits": names('a list of splits, e.g. ["test"]'),
        "text_pattern": text("a regular expression with named groups, one of them 'text'"),
        "text_map": _TEXT_MAP,
        "max_samples": whole(1),
        "max_failures": number(_SHARE, lambda v: 0 <= v < 1, 0.05),
        "rows_per_part": whole(1),
        "top_k": whole(1, 1000),
        "batch_size": whole(1, 16),
        "vectors": one_of("greedy", "both", "none", default="greedy"),
        "layers": Key('"all" or a list of different layers from 0 up, e.g. [0, 4]', _is_layers),
        "layer_vectors": true_or_false(),
        "encoder": one_of("none", "mean", "window", default="none"),
        "lexicon": text("a file with one word per line"),
        "candidates": whole(1),
        "competitors": whole(1, 10),
        "n_best": whole(0, 0),
        "homophones": text("a file with one set of words that sound alike per line"),
        "long_audio": one_of("refuse", "windows", default="refuse"),
        "padding": one_of("window", "trimmed"),
        "margin": number("a number of seconds, 0 or more", lambda v: 0 <= v < math.inf),
        "agreement": whole(0, 64),
        "device": device(r"auto|cpu|mps|cuda(:\d+)?", "'auto', 'cpu', 'mps', 'cuda' or 'cuda:1'", "auto"),
        "dtype": one_of("float64", "float32", "float16", "bfloat16"),
        "max_new_tokens": whole(1),
        "timestamps": true_or_false(),
    },
    "ldl": {
        "cues": subset("cfbsf", "log-mel", default=["cfbsf"]),
        "boundary": one_of("max", "min"),
        "sampling": one_of("equispaced", "random"),
        "top_hz": number(_POSITIVE, lambda v: v > 0),
        "semantics": text('"whisper", "whisper:MODEL", or a file of word vectors', "whisper"),
        "rule": one_of("nlms", "lms", "endstate", "fil", default="nlms"),
        "rate": number(_POSITIVE, lambda v: v > 0),
        "epsilon": number("a number, 0 or more", lambda v: v >= 0),
        "epochs": whole(1),
        "shuffle": true_or_false(),
        "ridge": number("a number, 0 or more", lambda v: v >= 0),
        "frequencies": text("a table with the columns word and frequency"),
        "production": true_or_false(),
        "neighbours": whole(1, 10),
        "max_samples": whole(1),
        "max_failures": number(_SHARE, lambda v: 0 <= v < 1, 0.05),
        "block": whole(1),
        "save_every": whole(1),
        "device": device(r"auto|cpu|cuda(:\d+)?(,cuda:\d+)*", "'cpu', 'auto', 'cuda', or 'cuda:0,cuda:1'", "cpu"),
        "workers": whole(1, 1),
    },
    "compare": {
        "resamples": whole(100, 2000),
        "seed": whole(0, 0),
        "human": table('a table, e.g. { file = "mald.txt", word = "Item", baseline = ["Duration"] }'),
        "measures": names('a list of columns of the runs, e.g. ["word_surprisal"]'),
        "pronunciations": text('"cmudict", or a table with the columns Word and Pronunciation'),
    },
    "compare.human": {
        "file": text("a text table of people's responses"),
        "items": text("a text table with one row per item"),
        **{
            name: text("the name of a column")
            for name in ("word", "subject", "rt", "accuracy", "is_word", "response", "pronunciation")
        },
        "baseline": names('a list of columns, e.g. ["Duration", "FreqSUBTLEX"]'),
        "log": names('a list of columns of the baseline, e.g. ["FreqSUBTLEX"]'),
        "decimal": one_of(".", ",", default="."),
    },
    "report": {
        "title": text("the report's title"),
        "description": text("what the study is about, in a few sentences"),
        "examples": whole(0, 6),
    },
}  # fmt: skip


def check_table(table: str, values: object, file: str) -> dict[str, Any]:
    """Check one table of a study file and fill in its defaults.

    Parameters
    ----------
    table : str
        Dotted name, a key of `TABLES`; "" is the top level.
    values : object
        What the file holds there.
    file : str
        Name of the file, for the error.

    Returns
    -------
    dict
        The given values and the defaults of the rest, in the schema's order.

    Raises
    ------
    InputError
        For what is no table, an unknown key, or a value of the wrong type; names table, key, received and expected.
    """
    keys = TABLES[table]
    where = f"table [{table}] of {file}" if table else f"the top level of {file}"
    if not isinstance(values, Mapping):
        raise InputError(f"{file}: {table} must be a table, received {describe(values)}. Write it as [{table}].")
    for name, value in values.items():
        if name not in keys:
            raise _unknown_key(table, name, where, keys)
        if not keys[name].accepts(value):
            raise InputError(f"{where}, key {name!r}: received {describe(value)}, expected {keys[name].expected}.")
    known = {name: values.get(name, key.default) for name, key in keys.items()}
    return {name: value for name, value in known.items() if value is not None}


def _unknown_key(table: str, name: str, where: str, keys: Mapping[str, Key]) -> InputError:
    elsewhere = [f"[{t}]" for t, known in TABLES.items() if t and t != table and name in known]
    error = unknown_name(f"key in {where}:", name, keys)
    return InputError(f"{error} A key of that name belongs to {' or '.join(elsewhere)}.") if elsewhere else error
