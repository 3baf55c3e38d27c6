"""Extracted releases of Common Voice as a source: tables without quoting, splits, ids, lengths, and what is damaged."""

from __future__ import annotations

import importlib.util
import pickle
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiogram.corpus import SplitRule, mask_corpus, open_corpus
from audiogram.corpus.common_voice import find_release
from audiogram.corpus.release_tables import Table
from audiogram.errors import InputError, WorkError

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_commonvoice_release.py"


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_commonvoice_release", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = load_script()


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release with the columns since 17."""
    return make.make_release(tmp_path_factory.mktemp("new"))


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release with the columns until 16.1."""
    return make.make_release(tmp_path_factory.mktemp("old"), version="16.1")


@pytest.fixture
def copy(new: Path, tmp_path: Path) -> Path:
    """A release that a test may damage."""
    return Path(shutil.copytree(new, tmp_path / new.parent.name / "en"))


def expected(release: Path, table: str) -> list[dict[str, str]]:
    """Read a table in the most naive way."""
    head, *lines = (release / f"{table}.tsv").read_bytes().decode().split("\n")[:-1]
    return [dict(zip(head.split("\t"), line.split("\t"), strict=True)) for line in lines]


@pytest.mark.parametrize("release", ["new", "old"])
def test_every_column_of_every_row_is_kept_character_by_character(release: str, request: pytest.FixtureRequest) -> None:
    root = request.getfixturevalue(release)
    corpus = open_corpus(root)
    tables = {"train": "train", "validation": "dev", "test": "test", "validated": "validated"}
    tables |= {"invalidated": "invalidated", "other": "other"}
    assert corpus.splits == tuple(tables)
    for split, table in tables.items():
        want = expected(root, table)
        rows = list(corpus.rows(split))
        assert corpus.count(split) == len(rows) == len(want)
        for row, line in zip(rows, want, strict=True):
            votes = {name: int(line.pop(name)) for name in ("up_votes", "down_votes")}
            assert {name: row[name] for name in (*line, *votes)} == {**line, **votes}
            assert row["text"] == (line["sentence"] if line["sentence"].strip() else None)
            assert row["id"] == line["path"].removesuffix(".mp3")
    assert corpus.columns == (*(make.NEW if release == "new" else make.OLD), "duration")
    assert sum(corpus.count(split) for split in corpus.splits) == 9 + 3 + 0 + 14 + 2 + 2


def test_clips_decode_at_both_rates_and_last_as_long_as_the_table_says(new: Path) -> None:
    rates = set()
    for clip in open_corpus(new).read("train"):
        x, rate = clip.audio()
        rates.add(rate)
        assert len(x) / rate == pytest.approx(clip.metadata["duration"], abs=0.1)  # MP3 pads with whole frames
    assert rates == {32_000, 48_000}


@pytest.mark.parametrize("up", [0, 1, 2])
def test_the_release_is_found_from_the_folders_above_it(new: Path, up: int) -> None:
    given = [new, new.parent, new.parent.parent][up]
    assert find_release(given) == new
    assert open_corpus(given).root == new


def test_several_languages_are_refused_by_name(copy: Path) -> None:
    shutil.copytree(copy, copy.parent / "de")
    with pytest.raises(InputError, match=r"2 languages \(de, en\); give the folder of one"):
        open_corpus(copy.parent)


def test_a_folder_beside_others_is_not_taken_for_all_of_them(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    assert find_release(tmp_path) is None


def test_any_table_may_be_absent_but_one_split(copy: Path) -> None:
    for table in ("train", "dev", "validated", "invalidated", "reported", "clip_durations", "validated_sentences"):
        (copy / f"{table}.tsv").unlink()
    corpus = open_corpus(copy)
    assert corpus.splits == ("test", "other")
    assert "duration" not in corpus.columns
    for table in ("test", "other"):
        (copy / f"{table}.tsv").unlink()
    with pytest.raises(InputError, match=r"none of train\.tsv, dev\.tsv"):
        open_corpus(copy)


def test_unknown_columns_are_kept_and_tables_may_differ_in_them(tmp_path: Path) -> None:
    release = make.make_release(tmp_path, more_columns=("mood", "id"))
    text = (release / "other.tsv").read_text(encoding="utf-8")
    (release / "other.tsv").write_text("\n".join(line.rsplit("\t", 2)[0] for line in text.split("\n")), "utf-8")
    corpus = open_corpus(release)
    assert corpus.columns == (*make.NEW, "mood", "source_id", "duration")
    assert {row["mood"] for row in corpus.rows("train")} == {""}
    assert {row["mood"] for row in corpus.rows("other")} == {None}
    assert [row["id"] for row in corpus.rows("other")] == ["common_voice_en_1016", "common_voice_en_1017"]


def test_lines_may_end_as_on_windows_and_empty_ones_are_no_rows(copy: Path) -> None:
    whole = list(open_corpus(copy).rows("train"))
    text = (copy / "train.tsv").read_bytes()
    (copy / "train.tsv").write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n") + b"\r\n\r\n")
    assert list(open_corpus(copy).rows("train")) == whole
    (copy / "train.tsv").write_bytes(text.replace(b"\n", b"\n\n").removesuffix(b"\n\n"))  # nor has the last an end
    assert list(open_corpus(copy).rows("train")) == whole


def test_a_damaged_row_is_one_bad_clip(copy: Path) -> None:
    path = copy / "train.tsv"
    lines = path.read_bytes().split(b"\n")
    lines[1] += b"\tone too many"
    lines[2] = lines[2].rsplit(b"\t", 3)[0]
    lines[3] = lines[3].replace(b"One", b"\xff\xfe")
    lines[4] = lines[4].replace(b"common_voice_en_1003", b"../../secret")
    lines[5] = lines[5].replace(b"common_voice_en_1004.mp3", b"")
    lines[6] = lines[6].replace(b"\t4\t", b"\tfour\t").replace(b"\t3\t", b"\tfour\t").replace(b"\t2\t", b"\tfour\t")
    path.write_bytes(b"\n".join(lines))
    (copy / "clips" / "common_voice_en_1006.mp3").unlink()
    (copy / "clips" / "common_voice_en_1007.mp3").write_bytes(b"")
    clips = list(open_corpus(copy).read("train"))
    said = [
        "row 1 of train.tsv has 14 fields, its header 13.",
        "row 2 of train.tsv has 10 fields, its header 13.",
        "row 3 of train.tsv is not UTF-8 (byte 220 of it).",
        "its path '../../secret.mp3' does not lead to a file in clips.",
        "its path '' does not lead to a file in clips.",
        "up_votes is 'four', not a number.",
        "clips/common_voice_en_1006.mp3 is listed in train.tsv but there is no such file.",
        "clips/common_voice_en_1007.mp3: the file is empty (0 bytes).",
        None,
    ]
    assert [clip.problem for clip in clips] == said
    for clip in clips[:-1]:
        with pytest.raises(InputError):
            clip.audio()
    assert len({clip.id for clip in clips}) == 9
    assert clips[4].id == "train-00000004"


def test_a_path_that_a_split_lists_again_gets_an_id_of_its_own(copy: Path) -> None:
    path = copy / "train.tsv"
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[:-1], lines[1], lines[2], lines[1], b""]))
    corpus = open_corpus(copy)
    ids = corpus.ids("train")
    assert ids[9:] == ["common_voice_en_1000#2", "common_voice_en_1001#2", "common_voice_en_1000#3"]
    assert ids == [row["id"] for row in corpus.rows("train")]
    assert len(set(ids)) == 12


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "train.tsv has no header: it is 0 bytes"),
        (b"path,sentence\na,b\n", "no column 'path': path,sentence. Is it tab-separated?"),
        (b"path\tsentence\tpath\n", "names column 'path' twice"),
        (b"client_id\tpath\n", "no column 'sentence'"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_table_without_a_usable_header_is_refused(copy: Path, content: bytes, said: str) -> None:
    (copy / "train.tsv").write_bytes(content)
    with pytest.raises(InputError, match=said.replace(".", r"\.").replace("?", r"\?")):
        open_corpus(copy)


def test_lengths_come_from_their_table_where_it_knows_them(copy: Path) -> None:
    (copy / "clip_durations.tsv").write_text(
        "duration[ms]\tclip\n1234\tcommon_voice_en_1001.mp3\nlong\tcommon_voice_en_1002.mp3\n5\n", encoding="utf-8"
    )
    assert [row["duration"] for row in open_corpus(copy).rows("train")] == [None, 1.234, *[None] * 7]


def test_the_fingerprint_follows_the_tables_and_the_names_of_the_clips(new: Path, copy: Path) -> None:
    first = open_corpus(new).fingerprint()
    assert open_corpus(copy).fingerprint() == first
    other = copy / "other.tsv"
    text = other.read_text(encoding="utf-8")
    other.write_text(text.replace("\t\t4\t", "\t\t5\t"), encoding="utf-8")
    assert open_corpus(copy).fingerprint() != first
    other.write_text(text, encoding="utf-8")
    assert open_corpus(copy).fingerprint() == first
    clip = next((copy / "clips").iterdir())
    clip.rename(copy / "clips" / "renamed.mp3")
    assert open_corpus(copy).fingerprint() != first


def test_a_sample_is_of_every_split_and_a_new_division_takes_each_clip_once(new: Path) -> None:
    corpus = open_corpus(new)
    sample = corpus.sample(4, seed=3)
    assert [sample.count(split) for split in sample.splits] == [4, 3, 0, 4, 2, 2]
    assert set(sample.ids("train")) < set(corpus.ids("train"))
    assert sample.ids("train") == [row["id"] for row in sample.rows("train")] == [c.id for c in sample.read("train")]
    divided = corpus.divide(SplitRule("client_id", [corpus.rows("train")[0]["client_id"]], 0.2))
    ids = [id for split in divided.splits for id in divided.ids(split)]
    assert sorted(ids) == [f"common_voice_en_{1000 + n}" for n in range(18)]


def test_readers_go_to_other_processes_and_read_any_rows_in_any_order(new: Path) -> None:
    corpus = open_corpus(new)
    reader = pickle.loads(pickle.dumps(corpus.reader("train", 2, 5)))
    assert [clip.id for clip in reader] == corpus.ids("train")[2:5]
    assert [clip.id for clip in corpus.read("train", [7, 0, 7])] == [corpus.ids("train")[i] for i in (7, 0, 7)]


def test_text_patterns_and_maps_work_beside_the_tables(new: Path) -> None:
    corpus = open_corpus(new, text_pattern=r"common_voice_(?P<language>\w+)_(?P<number>\d+)", text_map={"007": "seven"})
    assert next(iter(corpus.rows("train")))["number"] == "1000"
    assert [row["text"] for row in corpus.rows("invalidated")] == ["seven", "1e5"][:2]
    with pytest.raises(InputError, match="nor does any other name"):
        open_corpus(new, text_pattern=r"(?P<text>\d)")


def test_a_release_that_vanishes_is_not_a_corpus_of_bad_clips(copy: Path) -> None:
    corpus = open_corpus(copy)
    reader = corpus.reader("train", 0, 9)
    shutil.rmtree(copy / "clips")
    with pytest.raises(WorkError, match="has vanished"):
        reader.check_source()
    (copy / "train.tsv").unlink()
    with pytest.raises(WorkError, match=r"train\.tsv has vanished"):
        list(reader)


def test_an_archive_as_a_source_names_the_command_that_reads_it(tmp_path: Path) -> None:
    (tmp_path / "cv.tar.gz").write_bytes(b"")
    with pytest.raises(InputError, match="whisperprobe commonvoice import ARCHIVE OUT"):
        open_corpus(tmp_path / "cv.tar.gz")


def test_a_release_is_masked_as_it_lies(new: Path, tmp_path: Path) -> None:
    folder = mask_corpus(new, tmp_path / "out", ["hfloss"], splits=["validation"])["hfloss"]
    rows = list(open_corpus(folder).rows("validation"))
    assert [(r["id"], r["sentence"]) for r in rows] == [
        (r["id"], r["sentence"]) for r in open_corpus(new).rows("validation")
    ]


fields = st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]), max_size=12)


@settings(deadline=None)
@given(rows=st.lists(st.tuples(fields, fields, fields), max_size=30), block=st.integers(1, 40), crlf=st.booleans())
def test_scanning_in_blocks_of_any_size_finds_what_splitting_finds(
    rows: list[tuple[str, str, str]], block: int, crlf: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from audiogram.corpus import release_tables

    end = "\r\n" if crlf else "\n"
    rows = [row for row in rows if any(row)]
    path = tmp_path_factory.getbasetemp() / "scanned.tsv"
    path.write_bytes("".join("\t".join(row) + end for row in [("a", "b", "c"), *rows]).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release_tables, "_BLOCK", block)
        table = Table(path, ["a"])
        scanned = list(table.scan("c", "a"))
    starts = np.concatenate([np.empty(0, np.int64), *(begins for begins, _ in scanned)])
    found = [[field.as_py().decode() for _, columns in scanned for field in columns[k]] for k in (0, 1)]
    assert found == [[row[2] for row in rows], [row[0] for row in rows]]
    parsed = list(release_tables.TableRows(path, table.columns, table.crlf, starts, np.arange(len(starts))))
    assert parsed == [(n, dict(zip("abc", row, strict=True)), None) for n, row in enumerate(rows)]
