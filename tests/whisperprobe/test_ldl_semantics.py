"""Semantic spaces that are text, tables or a Whisper's own; fastText models have their own tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file
from transformers import WhisperTokenizer

from audiogram.errors import InputError
from whisperprobe.ldl import open_semantics

MODEL = Path(__file__).parents[2] / "src" / "whisperprobe" / "whisperprobe" / "demo" / "model"
WORDS = ["ship", "nan", "NA", "null", "été", "Paris"]
VECTORS = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)


def write_space(folder: Path, ending: str) -> Path:
    path = folder / f"space{ending}"
    table = pd.DataFrame(VECTORS.astype(np.float64), columns=["d1", "d2", "d3"])
    table.insert(0, "word", WORDS)
    lines = [" ".join([w, *map(repr, v.tolist())]) for w, v in zip(WORDS, VECTORS.astype(float), strict=True)]
    if ending == ".csv":
        table.to_csv(path, index=False)
    elif ending == ".tsv":
        table.rename(columns={"word": "Lemma"}).to_csv(path, index=False, sep="\t")
    elif ending == ".parquet":
        table.to_parquet(path)
    elif ending == ".npz":
        np.savez(path, words=np.array(WORDS), vectors=VECTORS)
    elif ending == ".vec":
        path.write_text("\n".join(["6 3", *(line + " " for line in lines)]), encoding="utf-8")  # as fastText ends lines
    else:
        path.write_text("\r\n".join([*lines, ""]), encoding="utf-8")
    return path


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".npz", ".vec", ".txt"])
def test_every_kind_of_file_gives_the_same_vectors(tmp_path: Path, ending: str) -> None:
    path = write_space(tmp_path, ending)
    space = open_semantics(path)
    found = space.look_up([*WORDS, "unheard"])
    assert found.vectors[:-1] == pytest.approx(VECTORS, abs=1e-7)
    assert found.vectors.dtype == np.float32
    assert found.counts == {"exact": 6, "missing": 1}
    assert found.missing == ["unheard"]
    said = space.describe()
    assert (said["name"], said["dimensions"], said["source"]) == ("space", 3, str(path))
    assert open_semantics(space) is space
    content = path.read_bytes()
    assert open_semantics(path).describe() == said
    path.write_bytes(content.replace(b"ship", b"shap"))
    if ending != ".npz":  # words are UTF-32 there
        assert open_semantics(path).describe()["fingerprint"] != said["fingerprint"]


def test_a_column_of_lists_is_a_table_too(tmp_path: Path) -> None:
    table = pd.DataFrame({"Word": WORDS, "vector": list(VECTORS)})
    table.to_parquet(tmp_path / "a.parquet")
    assert np.array_equal(open_semantics(tmp_path / "a.parquet").look_up(WORDS).vectors, VECTORS)
    pd.DataFrame({"word": WORDS, "vector": [VECTORS[0], *([VECTORS[0][:2]] * 5)]}).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(InputError, match="2 to 3 numbers; all need as many"):
        open_semantics(tmp_path / "b.parquet")


def test_spellings_are_tried_in_order_and_counted() -> None:
    space = open_semantics({"Paris": [1.0], "ship": [2.0], "SHIP": [3.0]})
    found = space.look_up(["paris", "Ship", "SHIP", " ship ", "PARIS", "", "chip"])
    assert found.vectors[:, 0].tolist() == [1, 2, 3, 2, 1, 0, 0]
    assert found.found.tolist() == ["capitalised", "lower", "exact", "exact", "capitalised", "missing", "missing"]
    assert space.look_up([]).vectors.shape == (0, 1)
    assert space.describe()["fingerprint"] != open_semantics({"Paris": [1.5]}).describe()["fingerprint"]


def test_whispers_own_space_is_the_mean_of_the_tokens_of_the_capitalised_word() -> None:
    space = open_semantics(f"whisper:{MODEL}")
    tokenizer = WhisperTokenizer.from_pretrained(MODEL)
    weights = load_file(MODEL / "model.safetensors")
    E = weights.get("proj_out.weight", weights["model.decoder.embed_tokens.weight"]).double().numpy()
    found = space.look_up(["thick", "Thick", "unheard of"])
    for vector, spelling in zip(found.vectors, ("Thick", "Thick", "Unheard of"), strict=True):
        ids = tokenizer.encode(spelling, add_special_tokens=False)
        assert vector == pytest.approx(E[ids].mean(axis=0), abs=1e-6)
    assert found.found.tolist() == ["exact"] * 3
    assert (space.name, space.kind, space.dimensions) == ("whisper:model", "whisper", E.shape[1])
    assert space.look_up([""]).missing == [""]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.vec", "", "is empty"),
        ("a.vec", "3 2\nship 1 2\nchip 3 4\n", "says that it has 3 words and has 2"),
        ("a.vec", "2 2\nship 1 2\nchip 3", "the last one.* does not have 2 numbers"),
        ("a.vec", "2 2\nship\nchip 3 4\n", "after 0 words is no word and its numbers"),
        ("a.vec", "<html>\n<body> nothing here\n", "does not begin with a word and its numbers"),
        ("a.vec", "0 2\n", "has no words"),
        ("a.txt", "just a text\n", "does not begin with a word and its numbers"),
        ("a.csv", "word,a\nship,1\nship,2\n", "a vector for 'ship' twice"),
        ("a.csv", "word,a\nship,1\nchip,x\n", "not numbers"),
        ("a.csv", "word,a\nship,1\nchip,\n", "not numbers"),
        ("a.csv", "a,b\n1,2\n", r"0 columns that could hold the words \(none\)"),
        ("a.csv", "x,y,a\nship,shop,2\n", r"2 columns that could hold the words \(x, y\)"),
        ("a.csv", "", "cannot be read as word vectors"),
        ("a.parquet", "no parquet", "cannot be read as word vectors"),
        ("a.npz", "no zip", "cannot be read as word vectors"),
        ("a.bin.gz", "x", "unpack it first"),
        ("a.model", "x", r"ends in \.model, so what it holds is unknown"),
    ],
)
def test_what_is_no_semantic_space_is_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message) as error:
        open_semantics(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)


def test_a_damaged_line_is_found_when_its_word_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.vec").write_text("3 2\nship 1 2\nchip 3 four\nfish 5 6\n")
    space = open_semantics(tmp_path / "a.vec")
    assert space.look_up(["ship"]).vectors.tolist() == [[1, 2]]
    with pytest.raises(InputError, match="the line of the word 'chip' does not have 2 numbers"):
        space.look_up(["chip"])
    (tmp_path / "b.vec").write_text("1 2\nship nan 2\n")
    with pytest.raises(InputError, match="the vector of 'ship' holds NaN"):
        open_semantics(tmp_path / "b.vec").look_up(["ship"])


def test_other_mistakes_are_said(tmp_path: Path) -> None:
    for source, message in (
        (tmp_path / "nowhere.vec", "there is no file"),
        ({}, "the mapping of word vectors is empty"),
        ({"a": [1.0], "b": [1.0, 2.0]}, "of one length"),
        (f"whisper:{tmp_path}", "no output embedding"),
        ("whisper:", "'whisper:' names no model behind the colon; give whisper:MODEL"),
    ):
        with pytest.raises(InputError, match=message):
            open_semantics(source)
    np.savez(tmp_path / "a.npz", other=np.zeros(3))
    with pytest.raises(InputError, match="'words' and 'vectors' are needed"):
        open_semantics(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", words=np.array(["a", "b"]), vectors=np.zeros((3, 2)))
    with pytest.raises(InputError, match=r"2 words and vectors of shape \(3, 2\)"):
        open_semantics(tmp_path / "b.npz")


def test_names_of_rows_are_no_dimension(tmp_path: Path) -> None:
    """R's write.csv and pandas' to_csv put them in front, in a column without a name."""
    path = tmp_path / "space.csv"
    rows = ['"1","ship",0.5,2', '"2","thick",1,4']
    for header, lines in (('"","word","d1","d2"', rows), ('"word","d1","d2"', rows), ('"","d1","d2"', ["ship,0.5,2"])):
        path.write_text("\n".join([header, *lines, ""]))
        assert open_semantics(path).look_up(["ship"]).vectors.tolist() == [[0.5, 2.0]]
    pd.DataFrame({"d1": [0.5], "d2": [2.0]}, index=pd.Index(["ship"], name="word")).to_parquet(tmp_path / "a.parquet")
    assert open_semantics(tmp_path / "a.parquet").look_up(["ship"]).vectors.tolist() == [[0.5, 2.0]]


def test_endings_in_capitals_byte_order_marks_and_words_as_bytes(tmp_path: Path) -> None:
    table = pd.DataFrame({"word": ["ship"], "d1": [0.5], "d2": [2.0]})
    table.to_csv(tmp_path / "A.TSV", index=False, sep="\t")
    table.to_parquet(tmp_path / "A.PARQUET")
    (tmp_path / "a.vec").write_text("1 2\nship 0.5 2\n", encoding="utf-8-sig")
    (tmp_path / "a.txt").write_text("ship 0.5 2\n", encoding="utf-8-sig")
    np.savez(tmp_path / "a.npz", words=np.array([b"ship"]), vectors=[[0.5, 2.0]])
    (tmp_path / "a.npz").rename(tmp_path / "A.NPZ")
    for name in ("A.TSV", "A.PARQUET", "a.vec", "a.txt", "A.NPZ"):
        assert open_semantics(tmp_path / name).look_up(["ship"]).vectors.tolist() == [[0.5, 2.0]], name


def test_what_is_no_table_of_vectors_is_said(tmp_path: Path) -> None:
    def refused(match: str) -> None:
        with pytest.raises(InputError, match=match):
            open_semantics(path)

    path = tmp_path / "a.csv"
    path.write_text("word;d1;d2\nship;0,5;2\n")
    refused("single column 'word;d1;d2'.*commas separate columns")
    path.write_text("word,d1\n")
    refused("0 words and 1 columns of numbers")
    path.write_text("word\nship\n")
    refused("1 words and 0 columns of numbers")
    path = tmp_path / "a.parquet"
    pd.DataFrame({"word": ["ship", None], "d1": [1.0, 2.0]}).to_parquet(path)
    refused("row 2 has no word")
    path = tmp_path / "a.npz"
    with path.open("wb") as file:
        np.save(file, np.eye(2))
    refused("one array without a name")
    np.savez(path, words=["ship"], vectors=[[1j]])
    refused("complex")


def test_words_that_are_no_list_of_texts_are_refused() -> None:
    space = open_semantics({"ship": [1.0]})
    with pytest.raises(InputError, match="give a list of words"):
        space.look_up("ship")
    for wrong in (None, 3):
        with pytest.raises(InputError, match=f"received {wrong} among the words"):
            space.look_up(["ship", wrong])  # type: ignore[list-item]
        with pytest.raises(InputError, match="give a file, whisper:MODEL or a mapping"):
            open_semantics(wrong)  # type: ignore[arg-type]
