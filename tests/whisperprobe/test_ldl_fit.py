"""LDL fits and what they understand: the same as the matrices give by hand, resumed to the last bit, nothing lost."""

from __future__ import annotations

import csv
import json
import logging
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from audiogram.corpus import SplitRule, open_corpus
from audiogram.errors import InputError, WorkError
from whisperprobe import ldl
from whisperprobe.ldl import evaluate, stepping
from whisperprobe.ldl.curve import HeldOut, curve_points
from whisperprobe.ldl.events import Events, RowsOf, find_meanings, words_of
from whisperprobe.ldl.fit_options import FitOptions, read_frequencies
from whisperprobe.ldl.learning import event_order

WORDS = ("seven", "Oslo", "dada", "mimi")
PATTERN = r"(?P<text>[A-Za-z]+)_(?P<take>\d+)"


def spoken(word: str, take: int) -> np.ndarray:
    """A made-up word: its own two tones one after the other, each take with its own noise."""
    rng = np.random.default_rng([WORDS.index(word), take])
    t = np.arange(2400) / 16_000
    tones = [300 + 450 * WORDS.index(word), 5000 - 1100 * WORDS.index(word)]
    x = np.concatenate([np.sin(2 * np.pi * f * t) * np.hanning(len(t)) for f in tones])
    return 0.3 * x + 0.003 * rng.standard_normal(len(x))


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech")
    for split, takes in (("train", range(5)), ("validation", range(5, 7)), ("test", range(7, 9))):
        (folder / split).mkdir()
        for word in WORDS:
            for take in takes:
                soundfile.write(folder / split / f"{word}_{take}.wav", spoken(word, take), 16_000)
    return folder


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("space") / "space.npz"
    np.savez(file, words=np.array(WORDS), vectors=np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32))
    return file


@pytest.fixture(scope="module")
def cues(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ldl.write_cues(speech, tmp_path_factory.mktemp("cues") / "cues", text_pattern=PATTERN)


@pytest.fixture(scope="module")
def fitted(speech: Path, vectors: Path, tmp_path_factory: pytest.TempPathFactory) -> ldl.LdlModel:
    out = tmp_path_factory.mktemp("fit") / "normal"
    return ldl.train_corpus(
        speech, out, semantics=vectors, rate=0.5, epochs=8, text_pattern=PATTERN, condition="normal"
    )


def test_a_fit_is_what_the_matrices_give(cues: Path, vectors: Path, tmp_path: Path) -> None:
    model = ldl.train_corpus(cues, tmp_path / "fit", semantics=vectors, rate=0.5, epochs=3, seed=4, block=7)
    stored = ldl.open_cues(cues)
    C = np.asarray(stored.matrix("train", stored.fit("train")))
    S = np.stack(
        [model.lexicon.vectors[model.lexicon.index[text.lower()]] for text in stored.table("train")["text"].to_pylist()]
    )
    order = np.concatenate([event_order(len(C), 4, epoch) for epoch in range(3)])
    np.testing.assert_allclose(model.comprehension, ldl.learn(C, S, rate=0.5, order=order), atol=1e-5)
    np.testing.assert_allclose(model.production, ldl.learn(S, C, rate=0.5, order=order), atol=1e-4)
    assert model.lexicon.words == ("dada", "mimi", "oslo", "seven")
    assert model.learnt.tolist() == [5, 5, 5, 5]
    assert model.shape == stored.fit("train")


@pytest.mark.parametrize("rule", ["endstate", "fil"])
def test_solutions_are_what_the_matrices_give(cues: Path, vectors: Path, tmp_path: Path, rule: str) -> None:
    table = tmp_path / "frequencies.tsv"
    table.write_text("Word\tFrequency\nseven\t30\nOslo\t2\ndada\t1\nMimi\t0.5\nmimi.\t0.5\n")
    given = {"frequencies": table} if rule == "fil" else {}
    model = ldl.train_corpus(cues, tmp_path / "fit", semantics=vectors, rule=rule, ridge=0.01, **given)
    stored = ldl.open_cues(cues)
    C, texts = np.asarray(stored.matrix("train", model.shape)), stored.table("train")["text"].to_pylist()
    S = np.stack([model.lexicon.vectors[model.lexicon.index[text.lower()]] for text in texts])
    f = [{"seven": 30, "Oslo": 2, "dada": 1, "mimi": 1}[text] / 5 for text in texts] if rule == "fil" else [1] * 20
    np.testing.assert_allclose(model.comprehension, ldl.frequency_informed(C, S, f, ridge=0.01), atol=1e-6)
    np.testing.assert_allclose(model.production, ldl.frequency_informed(S, C, f, ridge=0.01), atol=1e-4)


def test_words_are_understood_and_the_curve_rises(fitted: ldl.LdlModel) -> None:
    rows = list(csv.DictReader((fitted.path / "curve.csv").open()))
    assert [int(row["events"]) for row in rows] == sorted({int(row["events"]) for row in rows})
    assert int(rows[-1]["events"]) == 160
    assert float(rows[-1]["accuracy"]) == 1
    assert float(rows[-1]["target_correlation"]) > float(rows[0]["target_correlation"])
    assert fitted.results["held_out"]["held_out_words"] == 8
    assert fitted.name == "normal"


def test_a_finished_fit_is_returned_and_other_options_are_refused(
    cues: Path, vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "fit"
    first = ldl.train_corpus(cues, out, semantics=vectors)
    monkeypatch.setattr(stepping, "learn_events", None)
    again = ldl.train_corpus(cues, out, semantics=vectors)
    np.testing.assert_array_equal(first.comprehension, again.comprehension)
    with pytest.raises(
        InputError, match=r"^\S+ belongs to a training run with other options \(rate: 0.1 there, 0.2 now\)"
    ):
        ldl.train_corpus(cues, out, semantics=vectors, rate=0.2)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else"):
        ldl.train_corpus(cues, tmp_path / "other", semantics=vectors)


def weights(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("model.safetensors", "curve.csv", "lexicon.parquet")}


@pytest.mark.parametrize("device", ["cpu", "cpu,cpu"])
def test_stopped_anywhere_it_ends_with_the_same_bits(
    cues: Path, vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    given = {"semantics": vectors, "epochs": 3, "block": 3, "save_every": 7, "seed": 2, "device": device}
    ldl.train_corpus(cues, tmp_path / "whole", **given)
    learn_block = stepping._learn_block
    for stop in (1, 4, 8, 20):
        blocks = 0

        def stopping(*args, stop=stop):
            nonlocal blocks
            blocks += 1
            if blocks > stop:
                raise KeyboardInterrupt
            learn_block(*args)

        monkeypatch.setattr(stepping, "_learn_block", stopping)
        out = tmp_path / f"stopped-{stop}"
        with pytest.raises(KeyboardInterrupt):
            ldl.train_corpus(cues, out, **given)
        monkeypatch.setattr(stepping, "_learn_block", learn_block)
        assert bool(list(out.glob("checkpoints/checkpoint-*"))) == (stop >= 4)
        ldl.train_corpus(cues, out, **given)
        assert weights(out) == weights(tmp_path / "whole")
        assert not (out / "checkpoints").exists()


PROGRAM = """
import os, signal, sys
from whisperprobe.ldl import stepping
from whisperprobe.cli import main
learn_block, seen, name = stepping._learn_block, 0, sys.argv.pop()
def stopping(*args):
    global seen
    seen += 1
    if seen == 9:
        os.kill(os.getpid(), getattr(signal, name))
    learn_block(*args)
stepping._learn_block = stopping
main()
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_signals(cues: Path, vectors: Path, tmp_path: Path, name: str) -> None:
    options = ["--epochs", "3", "--block", "3", "--save-every", "7", "--seed", "1", "-q"]
    call = ["ldl", "train", str(cues), "-s", str(vectors), "--out", str(tmp_path / "stopped"), *options]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    stopped = subprocess.run([sys.executable, "-c", PROGRAM, *call, name], capture_output=True, text=True, env=env)
    assert stopped.returncode == (75 if name == "SIGTERM" else -signal.SIGKILL), stopped.stderr
    saved = [int(path.name.split("-")[1]) for path in (tmp_path / "stopped" / "checkpoints").glob("checkpoint-*")]
    assert saved == [26 if name == "SIGTERM" else 18]  # the block that was being learnt from, or the last checkpoint
    for out in ("stopped", "whole"):
        ldl.train_corpus(cues, tmp_path / out, semantics=vectors, epochs=3, block=3, save_every=7, seed=1)
    assert weights(tmp_path / "stopped") == weights(tmp_path / "whole")


def test_a_damaged_checkpoint_is_told(cues: Path, vectors: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "fit" / "checkpoints" / "checkpoint-7"
    given = {"semantics": vectors}
    ldl.train_corpus(cues, tmp_path / "fit", **given)
    (tmp_path / "fit" / "results.json").unlink()
    checkpoint.mkdir(parents=True)
    (checkpoint / "state.json").write_text("{")
    with pytest.raises(WorkError, match="checkpoint-7 is damaged"):
        ldl.train_corpus(cues, tmp_path / "fit", **given)
    ldl.train_corpus(cues, tmp_path / "fit", **given, resume="never")


def test_words_that_cannot_be_learnt_are_listed(speech: Path, vectors: Path, tmp_path: Path) -> None:
    source = tmp_path / "speech"
    shutil.copytree(speech, source)
    (source / "train" / "seven_90.wav").write_bytes(b"no sound")
    soundfile.write(source / "train" / "unheardof_1.wav", spoken("dada", 1), 16_000)
    soundfile.write(source / "train" / "dada_91.wav", np.zeros(3000), 16_000)
    given = {"semantics": vectors, "text_pattern": PATTERN}
    with pytest.raises(WorkError, match=r"max-failures 0\.01"):
        ldl.train_corpus(source, tmp_path / "strict", **given, max_failures=0.01)
    model = ldl.train_corpus(source, tmp_path / "fit", **given, max_failures=0.2)
    assert model.results["left_out"] == {"train": 1, "validation": 0}
    assert model.results["silent"]["train"] == 1
    assert model.results["events"] == 21
    [row] = csv.DictReader((tmp_path / "fit" / "left_out.csv").open())
    assert (row["id"], row["text"]) == ("train/unheardof_1", "unheardof")
    assert "no vector" in row["error"]


def test_no_meaning_at_all_is_refused(cues: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of 4 words has a vector"):
        ldl.train_corpus(cues, tmp_path / "fit", semantics={"Haus": [1.0, 2.0]})


def test_evaluation_is_what_the_matrices_give(speech: Path, fitted: ldl.LdlModel, tmp_path: Path) -> None:
    out = ldl.evaluate_corpus(
        speech, tmp_path / "heard", model=fitted, condition="hfloss", text_pattern=PATTERN, neighbours=3
    )
    result = ldl.load_ldl(out)
    stored = ldl.open_cues(
        ldl.write_cues(speech, tmp_path / "cues", condition="hfloss", splits=["test"], text_pattern=PATTERN)
    )
    C = np.asarray(stored.matrix("test", fitted.shape))
    texts = stored.table("test")["text"].to_pylist()
    said = np.array([fitted.lexicon.index[text.lower()] for text in texts])
    found = ldl.meaning_measures(fitted.predict(C), said, fitted.lexicon, k=3)
    clips = result.clips
    assert clips["clip_id"].tolist() == stored.table("test")["id"].to_pylist()
    assert clips["text"].tolist() == texts
    assert clips["prediction"].tolist() == [fitted.lexicon.words[i] for i in found.nearest[:, 0]]
    assert clips["correct"].tolist() == (found.nearest[:, 0] == said).tolist()
    names = (
        "rank",
        "ties",
        "target_correlation",
        "semantic_neighbourhood_density",
        "uncertainty",
        "l1_norm",
        "l2_norm",
    )
    for name in names:
        np.testing.assert_allclose(clips[name], getattr(found, name), atol=1e-4, err_msg=name)
    support, precision = ldl.form_support(C, fitted.lexicon.vectors[said], fitted.production)
    np.testing.assert_allclose(clips["semantic_support_for_form"], support, rtol=1e-5)
    np.testing.assert_allclose(clips["form_correlation"], precision, atol=1e-6)
    _, loads = ldl.functional_loads(C, fitted.comprehension, fitted.lexicon.vectors[said], 630)
    units = stored.table("test")["units"].to_numpy()
    for t, (_, own) in enumerate(result.chunks.groupby("clip_id", sort=False)):
        heard = min(units[t], fitted.shape.units)
        np.testing.assert_allclose(own["functional_load"], loads[t, :heard], atol=1e-5)
        assert clips["functional_load"][t] == pytest.approx(loads[t, :heard].mean(), abs=1e-5)
    assert result.neighbours.groupby("clip_id")["place"].max().tolist() == [3] * 8
    assert clips["take"].tolist() == [id.rpartition("_")[2] for id in clips["clip_id"]]
    assert (clips["learnt_events"] == 5).all()
    assert result.manifest["options"]["condition"]["name"] == "hfloss"
    assert result.manifest["options"]["model"] == "normal"


def test_evaluation_in_shards_and_other_processes_gives_the_same_bytes(
    speech: Path, fitted: ldl.LdlModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"model": fitted.path, "text_pattern": PATTERN, "rows_per_part": 2, "splits": None}
    ldl.evaluate_corpus(speech, tmp_path / "one", **given)
    for shard in ("1/2", "0/2"):
        ldl.evaluate_corpus(speech, tmp_path / "shards", **given, shard=shard)
    run_stage = evaluate.run_stage  # what a worker process gets is a copy
    monkeypatch.setattr(
        evaluate, "run_stage", lambda *a, work, **g: run_stage(*a, work=pickle.loads(pickle.dumps(work)), **g)
    )
    ldl.evaluate_corpus(speech, tmp_path / "workers", **given)
    files = {p.relative_to(tmp_path / "one"): p.read_bytes() for p in (tmp_path / "one").rglob("*") if p.is_file()}
    assert len(files) > 20
    for other in ("shards", "workers"):
        assert {p.relative_to(tmp_path / other) for p in (tmp_path / other).rglob("*") if p.is_file()} == set(files)
        assert all((tmp_path / other / name).read_bytes() == data for name, data in files.items())


def test_words_that_were_never_learnt_are_sought_too(speech: Path, vectors: Path, tmp_path: Path) -> None:
    source = tmp_path / "speech"
    shutil.copytree(speech, source)
    for split in ("train", "validation"):
        for file in (source / split).glob("Oslo*"):
            file.unlink()
    soundfile.write(source / "test" / "unheardof_1.wav", spoken("dada", 1), 16_000)
    soundfile.write(source / "test" / "dada_91.wav", np.zeros(3000), 16_000)
    model = ldl.train_corpus(source, tmp_path / "fit", semantics=vectors, text_pattern=PATTERN, epochs=4)
    assert model.lexicon.words == ("dada", "mimi", "seven")
    out = tmp_path / "heard"
    given = {"model": model, "text_pattern": PATTERN}
    ldl.evaluate_corpus(source, out, **given, max_failures=0.2)
    result = ldl.load_ldl(out)
    assert result.failures["id"].tolist() == ["test/unheardof_1"]
    assert "no vector" in result.failures["error"][0]
    clips = result.clips.set_index("clip_id")
    assert (clips["lexicon_words"] == 4).all()
    assert clips.loc["test/Oslo_7", "learnt_events"] == 0
    assert clips.loc["test/Oslo_7", "rank"] >= 1
    silent = clips.loc["test/dada_91"]
    assert pd.isna(silent["prediction"])
    assert (silent["correct"], silent["silent"]) == (False, True)
    moved = tmp_path / "moved.npz"
    shutil.move(str(vectors), moved)
    try:
        with pytest.raises(InputError, match=r"is not where it was .* --semantics"):
            ldl.evaluate_corpus(source, tmp_path / "heard2", **given)
        ldl.evaluate_corpus(source, tmp_path / "heard2", **given, semantics=moved, max_failures=0.2)
        with pytest.raises(InputError, match="is not the semantic space"):
            ldl.evaluate_corpus(source, tmp_path / "heard3", **given, semantics={"oslo": np.ones(6)})
    finally:
        shutil.move(moved, vectors)


def test_words_without_a_text_are_heard_without_a_target(speech: Path, fitted: ldl.LdlModel, tmp_path: Path) -> None:
    corpus = open_corpus(speech, text_pattern=r"(?:Oslo|seven|dada|mimi)_(?P<take>\d+)")
    clips = ldl.load_ldl(ldl.evaluate_corpus(corpus, tmp_path / "heard", model=fitted)).clips
    assert clips["prediction"].notna().all()
    assert clips[["text", "correct", "rank", "target_correlation", "functional_load"]].isna().all(axis=None)
    assert np.isfinite(clips["uncertainty"]).all()


def test_several_conditions_share_a_shape(speech: Path, vectors: Path, fitted: ldl.LdlModel, tmp_path: Path) -> None:
    given = {
        "semantics": vectors,
        "text_pattern": PATTERN,
        "condition": "hfloss",
        "cues": "log_mel",
        "rule": "endstate",
    }
    normal = ldl.train_corpus(speech, tmp_path / "normal", **{**given, "condition": "normal"})
    own = ldl.train_corpus(speech, tmp_path / "own", **given)
    shared = ldl.train_corpus(speech, tmp_path / "shared", **given, shape=normal.path)
    assert shared.shape == normal.shape != own.shape
    assert shared.comprehension.shape == (50_048, 6)
    with pytest.raises(InputError, match="the shape is that of cfbsf"):
        ldl.train_corpus(speech, tmp_path / "wrong", **given, shape=fitted.path)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rule": "nmls"}, "Did you mean 'nlms'"),
        ({"rule": "fil"}, "needs frequencies"),
        ({"frequencies": {"a": 1.0}}, "takes none"),
        ({"epochs": 0}, "epochs is 0"),
        ({"save_every": True}, "save_every is True"),
        ({"max_failures": 2}, "max_failures is 2"),
        ({"curve": []}, "curve is"),
        ({"curve": [0]}, "curve is"),
        ({"ridge": -1}, "ridge is -1"),
        ({"rate": 2}, "below 2"),
        ({"rule": "endstate", "device": "cpu,cpu"}, "on one device"),
        ({"device": "tpu"}, "unknown device"),
    ],
)
def test_wrong_options_are_refused(given, said) -> None:
    with pytest.raises(InputError, match=said):
        _ = FitOptions(**given).devices


def test_wrong_sources_are_refused(
    speech: Path, cues: Path, vectors: Path, fitted: ldl.LdlModel, tmp_path: Path
) -> None:
    given = {"semantics": vectors}
    with pytest.raises(InputError, match="holds cues already; condition"):
        ldl.train_corpus(cues, tmp_path / "a", **given, condition="normal")
    with pytest.raises(InputError, match="holds cfbsf cues, and log_mel were asked for"):
        ldl.train_corpus(cues, tmp_path / "a", **given, cues="log_mel")
    with pytest.raises(InputError, match="no clips in a split 'train'"):
        ldl.train_corpus(
            speech / "test", tmp_path / "a", **given, text_pattern=PATTERN, split=SplitRule("take", ("7", "8"), 0.0)
        )
    with pytest.raises(InputError, match="unknown resume"):
        ldl.train_corpus(cues, tmp_path / "a", **given, resume="no")
    with pytest.raises(InputError, match=r"no ldl\.json"):
        ldl.load_ldl_model(cues)
    with pytest.raises(InputError, match="not of ldl evaluate"):
        ldl.load_ldl(cues)
    with pytest.raises(InputError, match="neighbours is 0"):
        ldl.evaluate_corpus(speech, tmp_path / "b", model=fitted, neighbours=0)
    unfinished = tmp_path / "unfinished"
    shutil.copytree(fitted.path, unfinished)
    (unfinished / "results.json").unlink()
    with pytest.raises(InputError, match="is not finished"):
        ldl.load_ldl_model(unfinished)
    (unfinished / "results.json").write_text(json.dumps({}))
    with pytest.raises(WorkError, match="is damaged"):
        ldl.load_ldl_model(unfinished)


def test_frequencies_of_spellings_add_and_wrong_ones_are_refused(tmp_path: Path) -> None:
    assert read_frequencies({"The": 3, "the": 2.5, "Oslo.": 1}) == {"the": 5.5, "oslo": 1.0}
    for wrong in ({"a": -1}, {"a": "many"}, {"": 1}):
        with pytest.raises(InputError, match="frequency of"):
            read_frequencies(wrong)
    (tmp_path / "x.csv").write_text("word,count\na,1\n")
    with pytest.raises(InputError, match="needs 'word' and 'frequency'"):
        read_frequencies(tmp_path / "x.csv")
    with pytest.raises(InputError, match="no table of frequencies"):
        read_frequencies(tmp_path / "y.csv")
    events = Events.of(["1", "2"], ["dada", "oslo"], find_meanings({"dada": "dada", "oslo": "Oslo"}, _space()))
    with pytest.raises(InputError, match=r"1 words have no frequency, e\.g\. 'oslo'"):
        events.weights({"dada": 2.0}, _lexicon())


def _space() -> ldl.Semantics:
    return ldl.open_semantics({"dada": [1.0, 0.0, 0.0], "Oslo": [0.0, 1.0, 2.0]})


def _lexicon() -> ldl.Lexicon:
    return find_meanings({"dada": "dada", "oslo": "Oslo"}, _space()).lexicon


def test_word_types_and_their_spellings() -> None:
    assert words_of([" Oslo.", "oslo", None, "dada!"]) == {"oslo": "Oslo.", "dada": "dada!"}
    meanings = find_meanings({"oslo": "Oslo.", "dada": "dada", "xyz": "xyz"}, _space())
    assert meanings.lexicon.words == ("dada", "oslo")
    assert meanings.found == {"dada": "exact", "oslo": "capitalised"}
    assert meanings.missing == {"xyz"}


def test_rows_are_views() -> None:
    matrix = np.arange(12).reshape(6, 2)
    rows = RowsOf(matrix, np.array([5, 0, 0]))
    assert rows.shape == (3, 2)
    np.testing.assert_array_equal(rows[:2], matrix[[5, 0]])
    np.testing.assert_array_equal(rows[np.array([2, 0])], matrix[[0, 5]])


def test_points_of_a_curve() -> None:
    lexicon = _lexicon()
    held_out = HeldOut(np.eye(3)[:2], np.array([0, 1]), lexicon)
    perfect = held_out.point(np.vstack([lexicon.vectors, np.zeros(3)]), 12, 1.5)
    assert (perfect["accuracy"], perfect["mean_rank"], perfect["events"], perfect["epoch"]) == (1, 1, 12, 1.5)
    assert perfect["target_correlation"] == pytest.approx(1)
    assert curve_points(10, [3, 99, 3]) == [3, 10]
    assert curve_points(1, 20) == [1]


def test_texts_of_several_words_are_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)  # whatever a command before this test was asked to print
    space = ldl.open_semantics({"ice cream": [1.0, 0.0], "sun": [0.0, 1.0]})
    find_meanings({"ice cream": "Ice cream", "sun": "sun"}, space)
    assert not caplog.records
    find_meanings({"ice cream": "Ice cream", "the sun": "the sun", "sun": "sun"}, space)
    assert "2 of 3 texts are several words, e.g. 'ice cream'" in caplog.text


def test_another_semantic_space_is_refused_where_every_word_was_learnt_too(
    speech: Path, fitted: ldl.LdlModel, tmp_path: Path
) -> None:
    np.savez(tmp_path / "other.npz", words=np.array(WORDS), vectors=np.eye(4))
    with pytest.raises(InputError, match="other is not the semantic space that the model was trained with"):
        ldl.evaluate_corpus(
            speech, tmp_path / "heard", model=fitted, semantics=tmp_path / "other.npz", text_pattern=PATTERN
        )
