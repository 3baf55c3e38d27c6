"""Study files: what is accepted, what is refused, and what the refusal says."""

from __future__ import annotations

import copy
import inspect
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

import audiogram as ag
from audiogram.errors import AudiogramError, InputError
from whisperprobe.study_file import Study, read_study
from whisperprobe.study_schema import ARCHITECTURE, TABLES, TRAINING

FULL = """
name = "digits"
seeds = [1, 2]

[corpus]
source = "fsdd"
text_pattern = '(?P<text>\\d)_(?P<speaker>[a-z]+)_(?P<take>\\d+)'
text_map = { 0 = "zero", 1 = "one" }
split = { column = "speaker", test = ["nicolas"], validation = 0.1 }

[conditions]
use = ["normal", "hfloss", "steep"]
[conditions.steep]
audiogram = "250:10,1000:20,4000:70"
filter = "attenuation"

[model]
base = "openai/whisper-small"

[finetune]
max_steps = 150
learning_rate = 1e-3

[probe]
source = "corpus"
listen = "all"
top_k = 100

[report]
title = "Digits through three audiograms"
"""


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the full study as data, with one value set (None: removed) by its dotted path."""
    study: dict[str, Any] = copy.deepcopy(tomllib.loads(FULL))
    *tables, key = path.split(".")
    table = study
    for name in tables:
        table = table.setdefault(name, {})
    if value is None:
        del table[key]
    else:
        table[key] = value
    return study


def test_the_documented_example_is_read() -> None:
    study = Study.from_dict(tomllib.loads(FULL), "/data", "digits.toml")
    assert study.seeds == (1, 2)
    assert [c.name for c in study.conditions] == ["normal", "hfloss", "steep"]
    assert study.conditions[1] == ag.condition("hfloss")
    assert float(study.conditions[2].audiogram.at(4000)) == 70
    assert study.corpus["text_map"] == {"0": "zero", "1": "one"}
    assert study.probe["splits"] == ["test"]
    assert study.report == {"title": "Digits through three audiograms", "examples": 6}
    assert study.model["language"] == "en"


def test_plain_data_and_back() -> None:
    study = Study.from_dict(tomllib.loads(FULL), "/data")
    data = json.loads(json.dumps(study.to_dict()))
    assert Study.from_dict(data, "/data") == study


def test_defaults() -> None:
    least = {"name": "least", "corpus": {"source": "s"}, "model": {"base": "m"}}
    study = Study.from_dict(least)
    assert study.seeds == (1,)
    assert [c.name for c in study.conditions] == ["normal", "lfloss", "hfloss"]
    assert study.finetune is None
    assert study.report["title"] == "least"


def test_an_audiogram_file_beside_the_study(tmp_path: Path) -> None:
    ear = ag.Audiogram([500, 4000], [10, 60])
    (tmp_path / "ear.json").write_text(json.dumps(ear.to_dict()), encoding="utf-8")
    study = changed("conditions", {"use": ["mine"], "mine": {"audiogram": "ear.json"}})
    (condition,) = Study.from_dict(study, tmp_path).conditions
    assert condition.audiogram.thresholds == (10, 60)


UNKNOWN = [
    ("sead", 1, ["top level of study.toml", "'sead'", "'seeds'"]),
    ("finetune.learning_rat", 1e-3, ["[finetune]", "study.toml", "'learning_rat'", "'learning_rate'"]),
    ("probe.topk", 5, ["[probe]", "'topk'", "'top_k'"]),
    ("corpus.split.colum", "x", ["[corpus.split]", "'colum'", "'column'"]),
    ("conditions.steep.fliter", "x", ["[conditions.steep]", "'fliter'", "'filter'"]),
    ("report.top_k", 5, ["[report]", "'top_k'", "belongs to [probe]"]),
]


@pytest.mark.parametrize(("path", "value", "said"), UNKNOWN, ids=[u[0] for u in UNKNOWN])
def test_an_unknown_key_is_named_with_its_table_and_close_matches(path: str, value: Any, said: list[str]) -> None:
    with pytest.raises(InputError) as error:
        Study.from_dict(changed(path, value))
    assert all(part in str(error.value) for part in said), error.value


WRONG = [
    ("name", 3, ["'name'", "3 (a whole number)", "a name"]),
    ("name", "a/b", ["'a/b'", "letters"]),
    ("seeds", [1, 1], ["'seeds'", "[1, 1]", "different whole numbers"]),
    ("seeds", [], ["'seeds'", "list"]),
    ("seeds", [1.5], ["'seeds'", "whole"]),
    ("corpus", "fsdd", ["'corpus'", "'fsdd' (text)", "a table"]),
    ("corpus.source", ["a"], ["[corpus]", "'source'", "(a list)", "a folder"]),
    ("corpus.text_pattern", "(", ["[corpus]", "'text_pattern'", "'('", "no regular expression"]),
    ("corpus.text_pattern", "(?P<word>.)", ["'text_pattern'", "word", "(?P<text>...)"]),
    ("corpus.text_map", {"0": 0}, ["'text_map'", "text to text"]),
    ("corpus.split", "speaker", ["'split'", "'speaker' (text)", "table"]),
    ("corpus.split.validation", 1.0, ["[corpus.split]", "'validation'", "1.0 (a number)", "0 up to"]),
    ("corpus.split.test", None, ["'test'"]),
    ("corpus.split.column", None, ["'column'"]),
    ("corpus.sample_rate", "16000", ["'sample_rate'", "'16000' (text)", "a whole number"]),
    ("conditions.use", "hfloss", ["'use'", "'hfloss' (text)", "list"]),
    ("conditions.use", ["normal", "hflos"], ["'hflos'", "'hfloss'"]),
    ("conditions.steep", "x", ["'steep'", "(text)", "table"]),
    ("conditions.steep.audiogram", None, ["[conditions.steep]", "'audiogram'"]),
    ("conditions.steep.audiogram", "bisgard", ["bisgard"]),
    ("conditions.steep.filter", "atenuation", ["'atenuation'", "'attenuation'"]),
    ("conditions.normal", {"audiogram": "hfloss"}, ["[conditions.normal]", "built-in"]),
    ("conditions.base", {"audiogram": "hfloss"}, ["'base'", "unadapted"]),
    ("model", {}, ["[model]", "neither"]),
    ("model.from_scratch", {"d_model": 16, "epochs": 1}, ["[model]", "both"]),
    ("model", {"from_scratch": {"d_model": 16}}, ["[model.from_scratch]", "neither epochs nor max_steps"]),
    ("model", {"from_scratch": {"d_model": "big", "epochs": 1}}, ["[model.from_scratch]", "'d_model'", "'big' (text)"]),
    ("finetune.max_steps", True, ["[finetune]", "'max_steps'", "true (true or false)", "a whole number"]),
    ("finetune.learning_rate", "fast", ["[finetune]", "'learning_rate'", "'fast' (text)", "above 0"]),
    ("finetune.epochs", 2, ["[finetune]", "both epochs and max_steps"]),
    (
        "model",
        {"from_scratch": {"d_model": 16, "epochs": 1, "condition": "hflos"}},
        ["[model.from_scratch]", "Did you mean 'hfloss'"],
    ),
    ("finetune.learning_rate", float("inf"), ["[finetune]", "'learning_rate'", "a number above 0"]),
    ("seeds", [2**64], ["'seeds'", "different whole numbers"]),
    (
        "conditions.hall",
        {"audiogram": "normal", "noise": {"file": "none.wav", "snr_db": 0}},
        ["[conditions.hall]", "no noise file", "none.wav"],
    ),
    ("probe.listen", "everything", ["'listen'", "'all', 'own', 'unmasked'"]),
    ("probe.text_map", {"0": "zero"}, ["[probe]", "'text_map'", "[corpus]"]),
    ("probe", {"long_audio": "cut"}, ["[probe]", "'long_audio'", "'refuse', 'windows'"]),
    ("probe", {"long_audio": "windows", "n_best": 2}, ["[probe]", "'n_best'", '"windows"']),
    ("probe", {"long_audio": "windows", "encoder": "mean"}, ["[probe]", "'encoder'", '"windows"']),
    ("probe", {"padding": "trimmed", "margin": -1}, ["[probe]", "'margin'", "0 or more"]),
    ("probe", {"margin": 0.5}, ["[probe]", "'margin'", 'padding = "trimmed"']),
    ("finetune.margin", 0.5, ["[finetune]", "margin is 0.5", "padding 'trimmed'"]),
    ("finetune.scheduler", "liner", ["[finetune]", "'scheduler'", "'linear', 'cosine', 'constant'"]),
    ("finetune.augment", "loud", ["[finetune]", "unknown augmentation 'loud'"]),
    ("finetune.augment", {"speed": 3.0}, ["[finetune]", "speed is 3.0"]),
    ("finetune.augment", {"sped": 0.1}, ["[finetune]", "'sped'", "Did you mean 'speed'"]),
    ("finetune.lora", {"rank": 0}, ["[finetune]", "rank is 0"]),
    ("finetune.device", "gpu", ["[finetune]", "'device'", "'auto', 'cpu', 'cuda'"]),
    ("finetune.patience", 2, ["[finetune]", "patience counts evaluations"]),
    ("finetune", {"max_steps": 2, "precision": "bf16", "device": "cpu"}, ["[finetune]", "'bf16' needs a GPU"]),
    ("model", {"from_scratch": {"d_model": 16, "epochs": 1, "freeze": "encoder"}}, ["from_scratch]", "freeze"]),
    ("probe.device", "gpu", ["[probe]", "'device'", "'gpu' (text)", "'cuda:1'"]),
    ("probe.dtype", "float8", ["[probe]", "'dtype'", "'bfloat16'"]),
    ("probe", {"padding": "trimmed", "encoder": "window"}, ["[probe]", "encoder", '"mean"']),
    ("probe.timestamps", "yes", ["[probe]", "'timestamps'", "true or false"]),
    ("compare.human", {"word": "Item"}, ["compare.human", "lacks the key 'file'"]),
    ("compare.human", {"file": "m.txt", "words": "Item"}, ["[compare.human]", "'words'", "Did you mean 'word'"]),
    (
        "compare.human",
        {"file": "m.txt", "baseline": "Duration"},
        ["[compare.human]", "'baseline'", "a list of columns"],
    ),
    ("compare.human", {"file": "m.txt", "log": ["Freq"]}, ["compare.human.log", "'Freq'"]),
    ("compare", {"measures": ["word_surprisal"]}, ["[compare]", "'measures'", "no 'human'"]),
    ("compare.resamples", 10, ["[compare]", "'resamples'", "100 or more"]),
    ("model", None, ["lacks", "'model'"]),
]


@pytest.mark.parametrize(("path", "value", "said"), WRONG, ids=[f"{w[0]}={w[1]}"[:40] for w in WRONG])
def test_a_wrong_value_names_key_received_and_expected(path: str, value: Any, said: list[str]) -> None:
    with pytest.raises(AudiogramError) as error:
        Study.from_dict(changed(path, value), file="study.toml")
    assert error.value.exit_code == 2
    assert all(part in str(error.value) for part in said), error.value
    assert "study.toml" in str(error.value)


def test_a_file_that_is_not_there_or_no_toml(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("x = 1", encoding="utf-8")
    with pytest.raises(InputError, match=r"no study file at .*study\.toml.*other\.toml"):
        read_study(tmp_path / "study.toml")
    with pytest.raises(InputError, match="is a folder"):
        read_study(tmp_path)
    broken = tmp_path / "broken.toml"
    broken.write_text("a = 1\nb = = 2\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"not valid TOML.*line 2"):
        read_study(broken)
    broken.write_text('name = "x"', encoding="utf-8-sig")
    with pytest.raises(InputError, match="lacks the table 'corpus'"):  # a byte order mark does no harm
        read_study(broken)
    broken.write_bytes(b"name = '\xff'")
    with pytest.raises(InputError, match="not UTF-8"):
        read_study(broken)


def test_another_source_replaces_the_files_own(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(FULL, encoding="utf-8")
    assert read_study(tmp_path / "s.toml", source=tmp_path / "there").corpus["source"] == str(tmp_path / "there")


def test_the_schema_offers_what_finetune_takes() -> None:
    from whisperprobe import finetune

    taken = set(inspect.signature(finetune).parameters)
    given = {"source", "out", "model", "from_config", "vocabulary_size", "condition", "seed", "resume", "tokenizer"}
    given |= {"text_pattern", "text_map", "split"}
    assert set(TRAINING) == taken - given


def test_the_schema_offers_what_probe_and_mask_take() -> None:
    from whisperprobe import probe_corpus

    own = {"source", "listen", "text_pattern", "text_map", "max_samples"}
    assert set(TABLES["probe"]) - own <= set(inspect.signature(probe_corpus).parameters)
    own = {"source", "split", "text_pattern", "text_map", "max_samples"}
    assert set(TABLES["corpus"]) - own <= set(inspect.signature(ag.mask_corpus).parameters)


def test_the_schema_offers_the_shapes_that_finetune_knows() -> None:
    from whisperprobe.training.model_folder import _ALIASES, _SHAPE

    assert set(ARCHITECTURE) == {*_SHAPE, *_ALIASES}
