"""Corpora from folders and Parquet: ids, splits, text, columns, samples, fingerprints."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from audiogram.corpus import SplitRule, open_corpus
from audiogram.corpus.selection import draw
from audiogram.errors import InputError

TONE = np.full(160, 0.25, dtype=np.float32)


def sound(path: Path, samples: np.ndarray = TONE, rate: int = 16_000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate)
    return path


def digits(root: Path) -> Path:
    for digit in range(3):
        for speaker in ("anna", "ben", "carla"):
            for take in range(2):
                sound(root / f"{digit}_{speaker}_{take}.wav")
    return root


PATTERN = r"(?P<text>\d)_(?P<speaker>[a-z]+)_(?P<take>\d+)"


def test_two_files_of_one_name_are_two_clips(tmp_path: Path) -> None:
    sound(tmp_path / "a" / "yes.wav")
    sound(tmp_path / "b" / "deep" / "yes.wav")
    corpus = open_corpus(tmp_path)
    assert corpus.splits == ("train",)
    assert corpus.ids("train") == ["a/yes", "b/deep/yes"]
    assert [clip.text for clip in corpus.read("train")] == ["yes", "yes"]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    sound(tmp_path / "corpus" / "a" / "yes.wav")
    sound(tmp_path / "elsewhere" / "no.wav")
    (tmp_path / "corpus" / "a" / "up").symlink_to("..")
    (tmp_path / "corpus" / "a" / "self").symlink_to(".")
    (tmp_path / "corpus" / "b").symlink_to(tmp_path / "elsewhere")
    assert open_corpus(tmp_path / "corpus").ids("train") == ["a/yes", "b/no"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_what_is_no_file_is_a_bad_clip_and_nothing_waits_for_it(tmp_path: Path) -> None:
    sound(tmp_path / "good.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "endless.wav").symlink_to("/dev/zero")
    (tmp_path / "gone.wav").symlink_to("nowhere.wav")
    corpus = open_corpus(tmp_path)
    assert corpus.fingerprint()
    clips = {clip.id: clip for clip in corpus.read("train")}
    assert clips.pop("good").audio()[1] == 16_000
    for name, said in (("pipe", "not a file"), ("endless", "not a file"), ("gone", "No such file")):
        with pytest.raises(InputError, match=said):
            clips[name].audio()


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    os.rename(tmp_path / "a.wav", os.fsencode(tmp_path) + b"/\xff.wav")
    with pytest.raises(InputError, match="not UTF-8"):
        open_corpus(tmp_path)


def test_files_that_differ_in_their_ending_alone_keep_it(tmp_path: Path) -> None:
    for name in ("yes.wav", "yes.flac", "no.wav"):
        sound(tmp_path / name)
    assert open_corpus(tmp_path).ids("train") == ["no", "yes.flac", "yes.wav"]


def test_split_folders_are_splits(tmp_path: Path) -> None:
    for folder in ("train/x", "dev", "test"):
        sound(tmp_path / folder / "w.wav")
    corpus = open_corpus(tmp_path)
    assert corpus.splits == ("train", "validation", "test")
    assert corpus.ids("validation") == ["dev/w"]
    sound(tmp_path / "bonus" / "w.wav")  # not all folders are splits any more: all are just folders
    assert open_corpus(tmp_path).splits == ("train",)


def test_pattern_gives_text_and_columns(tmp_path: Path) -> None:
    corpus = open_corpus(digits(tmp_path), text_pattern=PATTERN, text_map={0: "zero", "1": "one"})
    assert corpus.columns == ("speaker", "take")
    clip = next(corpus.read("train", [1]))
    assert (clip.id, clip.text, clip.metadata) == ("0_anna_1", "zero", {"speaker": "anna", "take": "1"})
    assert {row["text"] for row in corpus.rows("train")} == {"zero", "one", "2"}


def test_pattern_may_speak_of_the_whole_path(tmp_path: Path) -> None:
    sound(tmp_path / "yes" / "a1_nohash_0.wav")
    corpus = open_corpus(tmp_path, text_pattern=r"(?P<text>\w+)/(?P<speaker>[^_]+)_nohash_\d+")
    assert dict(corpus.rows("train")[0]) == {"id": "yes/a1_nohash_0", "text": "yes", "speaker": "a1"}


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(?P<text", "not a regular expression"),
        (r"\d_\w+", "no named group"),
        (r"(?P<id>.*)", "cannot be called 'id'"),
        (r"(?P<text>x+)", "nor does any other name"),
    ],
)
def test_a_wrong_pattern_is_refused(tmp_path: Path, pattern: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        open_corpus(digits(tmp_path), text_pattern=pattern)


def test_a_name_that_does_not_match_is_a_bad_clip(tmp_path: Path) -> None:
    sound(digits(tmp_path) / "silence.wav")
    clip = list(open_corpus(tmp_path, text_pattern=PATTERN).read("train"))[-1]
    with pytest.raises(InputError, match=r"'silence.wav' does not match --text-pattern"):
        clip.audio()


def test_a_text_map_that_maps_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="maps none of the corpus's texts"):
        open_corpus(digits(tmp_path), text_pattern=PATTERN, text_map={"seven": "7"})


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_metadata_files(tmp_path: Path, kind: str) -> None:
    sound(tmp_path / "train" / "a.wav")
    sound(tmp_path / "train" / "b.wav")
    sound(tmp_path / "train" / "unlisted.wav")
    rows = [("a.wav", "Hello, there", "anna"), ("b.wav", 'a "b"', "ben"), ("gone.wav", "gone", "ben")]
    if kind == "csv":
        text = 'file_name,sentence,speaker\na.wav,"Hello, there",anna\nb.wav,"a ""b""",ben\ngone.wav,gone,ben\n'
    else:
        keys = ("file_name", "sentence", "speaker")
        text = "".join(json.dumps(dict(zip(keys, row, strict=True))) + "\n" for row in rows)
    (tmp_path / "train" / f"metadata.{kind}").write_text(text)
    corpus = open_corpus(tmp_path)
    clips = list(corpus.read("train"))
    assert [(c.text, c.metadata["speaker"]) for c in clips] == [(text, speaker) for _, text, speaker in rows]
    assert corpus.columns == ("sentence", "speaker")
    with pytest.raises(InputError, match="no such file"):
        clips[2].audio()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("metadata.csv", "path,text\na.wav,x\n", "no 'file_name'"),
        ("metadata.csv", "file_name,text\na.wav,x,y\n", "more or fewer fields"),
        ("metadata.csv", "file_name,text\na.wav,x\na.wav,y\n", "listed twice"),
        ("metadata.csv", "file_name,text\n../../etc/a.wav,x\n", "outside"),
        ("metadata.csv", "file_name,text\n.,x\n", "itself"),
        ("metadata.csv", "file_name,text\n", "lists no file"),
        ("metadata.csv", "file_name,text,text\na.wav,x,y\n", "'text' twice"),
        ("metadata.jsonl", "[1]\n", "not an object"),
        ("metadata.jsonl", "{\n", "cannot be read"),
    ],
)
def test_wrong_metadata_is_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    sound(tmp_path / "a.wav")
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=said):
        open_corpus(tmp_path)


def test_the_metadatas_own_id_is_taken(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    (tmp_path / "metadata.csv").write_text("file_name,id,text\na.wav,cv-17,hello\n")
    assert dict(open_corpus(tmp_path).rows("train")[0]) == {"id": "cv-17", "text": "hello"}


def test_sources_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        open_corpus(tmp_path / "nowhere")
    with pytest.raises(InputError, match="'' does not exist"):
        open_corpus("")
    with pytest.raises(InputError, match="no audio in"):
        open_corpus(tmp_path)
    with pytest.raises(InputError, match="a single file"):
        open_corpus(sound(tmp_path / "a.wav"))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        open_corpus(tmp_path / "broken.parquet")


def parquet(path: Path, count: int, first: int = 0, **columns: object) -> Path:
    encoded = sound(path.parent / "x.wav").read_bytes()
    (path.parent / "x.wav").unlink()
    rows = [
        {"audio": {"bytes": encoded, "path": f"c{first + i}.wav"}, "sentence": f"s{first + i}"} for i in range(count)
    ]
    table = pa.Table.from_pylist(rows)
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=4)
    return path


def test_parquet_of_others(tmp_path: Path) -> None:
    parquet(tmp_path / "data" / "train-00000-of-00002.parquet", 7)
    parquet(tmp_path / "data" / "train-00001-of-00002.parquet", 5, first=7)
    parquet(tmp_path / "data" / "dev.parquet", 3, first=12)
    corpus = open_corpus(tmp_path)
    assert {split: corpus.count(split) for split in corpus.splits} == {"train": 12, "validation": 3}
    assert corpus.ids("train") == [f"c{i}" for i in range(12)]
    assert [c.text for c in corpus.read("train", [11, 0, 5, 5, 2])] == ["s11", "s0", "s5", "s5", "s2"]
    assert next(corpus.read("validation")).audio()[0].shape == (160,)
    assert corpus.columns == ("sentence",)
    assert corpus.rows("train")[3:5][1] == {"id": "c4", "text": "s4", "sentence": "s4"}


def test_parquet_ids(tmp_path: Path) -> None:
    assert open_corpus(parquet(tmp_path / "a.parquet", 2, id=[3, 5])).ids("train") == ["3", "5"]
    with pytest.raises(InputError, match="3 is there 2 times"):
        open_corpus(parquet(tmp_path / "b.parquet", 3, id=[3, 5, 3]))
    parquet(tmp_path / "n" / "train.parquet", 2)
    parquet(tmp_path / "n" / "test.parquet", 2)  # paths that repeat across splits name nothing
    assert open_corpus(tmp_path / "n").ids("test") == ["test-00000000", "test-00000001"]


def test_parquet_without_sound_or_of_two_minds_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="no column of sound"):
        open_corpus(tmp_path / "a.parquet")
    parquet(tmp_path / "b" / "train-0-of-2.parquet", 2)
    parquet(tmp_path / "b" / "train-1-of-2.parquet", 2, age=[1, 2])
    with pytest.raises(InputError, match="other columns"):
        open_corpus(tmp_path / "b")


def test_split_by_speaker(tmp_path: Path) -> None:
    corpus = open_corpus(digits(tmp_path), text_pattern=PATTERN, split=SplitRule("speaker", ["ben"], validation=0.25))
    assert corpus.splits == ("train", "validation", "test")
    assert {row["speaker"] for row in corpus.rows("test")} == {"ben"}
    assert corpus.count("validation") == 3
    everything = sorted(id for split in corpus.splits for id in corpus.ids(split))
    assert everything == sorted(open_corpus(tmp_path).ids("train"))
    assert corpus.ids("train") == sorted(corpus.ids("train"))
    clip = next(corpus.read("test"))
    assert (clip.split, clip.metadata["speaker"]) == ("test", "ben")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"column": "speaker", "test": ["dora"]}, "no clip has speaker 'dora'. Its values: anna, ben, carla"),
        ({"column": "speker", "test": ["ben"]}, "Did you mean 'speaker'"),
        ({"column": "speaker", "test": "ben"}, "a list of its values"),
        ({"column": None, "test": ["ben"]}, "share of the clips"),
        ({"column": "speaker", "test": ["ben"], "validation": 1.5}, "validation is 1.5"),
        ({"colum": "speaker"}, "unknown key 'colum'"),
    ],
)
def test_a_wrong_split_is_refused(tmp_path: Path, rule, said: str) -> None:
    with pytest.raises(InputError, match=said):
        open_corpus(digits(tmp_path), text_pattern=PATTERN, split=SplitRule.from_dict(rule))


def test_a_rule_reads_back(tmp_path: Path) -> None:
    for rule in (SplitRule("take", (1, 2), 0.2, 7), SplitRule(None, 0.3)):
        assert SplitRule.from_dict(json.loads(json.dumps(rule.to_dict()))) == rule


@given(st.integers(0, 60), st.integers(0, 70), st.integers(0, 5))
def test_a_draw_is_seeded_ordered_and_stable(count: int, wanted: int, seed: int) -> None:
    ids = [f"clip {i}" for i in range(count)]
    drawn = draw(ids, wanted, seed, "sample")
    assert len(drawn) == min(wanted, count)
    assert list(drawn) == sorted(set(drawn.tolist()))
    chosen = {ids[i] for i in drawn}
    backwards = ids[::-1]
    assert {backwards[i] for i in draw(backwards, wanted, seed, "sample")} == chosen
    fewer = {ids[i] for i in draw(ids, max(wanted - 1, 0), seed, "sample")}
    assert fewer <= chosen


def test_samples(tmp_path: Path) -> None:
    corpus = open_corpus(digits(tmp_path), text_pattern=PATTERN, split=SplitRule(None, 0.5, 0.0))
    sample = corpus.sample(3, seed=1)
    assert {split: sample.count(split) for split in sample.splits} == {"train": 3, "test": 3}
    assert set(sample.ids("test")) < set(corpus.ids("test"))
    assert sample.ids("test") != corpus.ids("test")[:3] or sample.ids("train") != corpus.ids("train")[:3]
    assert corpus.sample(3, seed=1).fingerprint() == sample.fingerprint() != corpus.sample(3, seed=2).fingerprint()
    assert corpus.sample(None) is corpus
    with pytest.raises(InputError, match="at least 1"):
        corpus.sample(0)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_parquet_reads_any_rows_in_any_order(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    root = tmp_path_factory.mktemp("p")
    counts = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    for number, count in enumerate(counts):
        parquet(root / f"train-{number:05d}-of-{len(counts):05d}.parquet", count, first=sum(counts[:number]))
    rows = data.draw(st.lists(st.integers(0, sum(counts) - 1), max_size=12))
    assert [clip.id for clip in open_corpus(root).read("train", rows)] == [f"c{row}" for row in rows]


def test_a_fingerprint_notices_and_does_not_imagine(tmp_path: Path) -> None:
    before = open_corpus(digits(tmp_path)).fingerprint()
    (tmp_path / "0_anna_0.wav").touch()
    assert open_corpus(tmp_path).fingerprint() == before
    assert open_corpus(tmp_path, text_pattern=PATTERN).fingerprint() != before
    sound(tmp_path / "0_anna_0.wav", -TONE)
    after = open_corpus(tmp_path).fingerprint()
    assert after != before
    (tmp_path / "0_anna_0.wav").unlink()
    assert open_corpus(tmp_path).fingerprint() not in (before, after)


def test_bad_sound_says_what_is_wrong(tmp_path: Path) -> None:
    sound(tmp_path / "stereo.wav", np.stack([TONE, TONE / 2], axis=1))
    sound(tmp_path / "nothing.wav", np.zeros(0))
    sound(tmp_path / "hour.wav", np.zeros(100 * 301), 100)
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("hello")
    (tmp_path / "linked.wav").symlink_to(tmp_path / "nowhere.wav")
    soundfile.write(tmp_path / "nan.wav", np.array([0.1, np.nan]), 16_000, subtype="FLOAT")
    clips = {clip.id: clip for clip in open_corpus(tmp_path).read("train")}
    np.testing.assert_allclose(clips.pop("stereo").audio()[0], 0.75 * TONE, atol=1e-4)
    said = {"nothing": "no samples", "hour": "301", "empty": "empty", "text": "cannot read", "linked": "No such file",
            "nan": "NaN or infinite"}  # fmt: skip
    assert set(said) == set(clips)
    for id, clip in clips.items():
        with pytest.raises(InputError, match=said[id]):
            clip.audio()


def test_a_folder_of_two_minds_is_refused(tmp_path: Path) -> None:
    parquet(tmp_path / "both" / "train.parquet", 2)
    sound(tmp_path / "both" / "a.wav")
    with pytest.raises(InputError, match="holds both audio files and Parquet"):
        open_corpus(tmp_path / "both")
    (tmp_path / "study" / "corpus_normal" / "data").mkdir(parents=True)
    parquet(tmp_path / "study" / "corpus_normal" / "data" / "train-00000-of-00001.parquet", 2)
    (tmp_path / "study" / "corpus_normal" / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match=r"no corpus itself but holds the output of a stage, .*corpus_normal"):
        open_corpus(tmp_path / "study")
