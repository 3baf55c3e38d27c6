"""What `datasets.save_to_disk` wrote is a source: new and older layouts, every row, column and sample."""

from __future__ import annotations

import io
import json
import pickle
import re
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pytest
import soundfile

from audiogram import mask_corpus, open_corpus
from audiogram.errors import InputError

ROOT = Path(__file__).parents[2]
RATE = 16_000


def noise(seed: int, samples: int = 800) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).normal(size=samples)).astype(np.float32)


def flac(seed: int) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, noise(seed), RATE, format="FLAC", subtype="PCM_24")
    return buffer.getvalue()


def encoded(first: int, count: int) -> datasets.Dataset:
    """Clips as an Audio feature stores them; no decoder is needed to make or to save them."""
    rows = range(first, first + count)
    table = pa.table(
        {
            "audio": pa.array([{"bytes": flac(i), "path": f"c{i}.flac"} for i in rows]),
            "sentence": [f"word {i}" for i in rows],
            "age": pa.array([None if i % 2 else i for i in rows], pa.int32()),
        }
    )
    features = datasets.Features(
        {"audio": datasets.Audio(RATE), "sentence": datasets.Value("string"), "age": datasets.Value("int32")}
    )
    return datasets.Dataset(table.cast(features.arrow_schema))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "speech"
    whole = datasets.DatasetDict({"train": encoded(0, 7), "dev": encoded(7, 3)})
    whole.save_to_disk(folder, num_shards={"train": 2, "dev": 1})
    return folder


def test_a_datasetdict_is_read_row_by_row(saved: Path) -> None:
    corpus = open_corpus(saved)
    assert {split: corpus.count(split) for split in corpus.splits} == {"train": 7, "validation": 3}
    assert corpus.ids("train") == [f"c{i}" for i in range(7)]
    assert corpus.columns == ("sentence", "age")
    for number, clip in enumerate(corpus.read("validation"), start=7):
        assert (clip.text, clip.metadata["age"]) == (f"word {number}", None if number % 2 else number)
        x, rate = clip.audio()
        assert rate == RATE
        assert np.abs(x - noise(number)).max() <= 2**-23
    assert [c.text for c in corpus.read("train", [6, 0, 3, 3])] == ["word 6", "word 0", "word 3", "word 3"]
    assert corpus.rows("train")[5] == {"id": "c5", "text": "word 5", "sentence": "word 5", "age": None}


def test_a_reader_goes_to_other_processes(saved: Path) -> None:
    reader = pickle.loads(pickle.dumps(open_corpus(saved).reader("train", 2, 5)))
    assert [clip.id for clip in reader] == ["c2", "c3", "c4"]


def test_a_dataset_alone_is_one_split(tmp_path: Path) -> None:
    encoded(0, 4).save_to_disk(tmp_path / "one")
    assert open_corpus(tmp_path / "one").splits == ("train",)
    state = json.loads((tmp_path / "one" / "state.json").read_text())
    (tmp_path / "one" / "state.json").write_text(json.dumps({**state, "_split": "dev"}))
    assert open_corpus(tmp_path / "one").splits == ("validation",)


def test_rows_come_in_the_order_that_was_saved_beside_the_table(tmp_path: Path) -> None:
    encoded(0, 5).save_to_disk(tmp_path / "one")
    folder = tmp_path / "one"
    order = pa.table({"indices": pa.array([4, 0, 2], pa.uint64())})
    with pa.OSFile(str(folder / "indices.arrow"), "wb") as file, pa.ipc.new_stream(file, order.schema) as stream:
        stream.write_table(order)
    state = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps({**state, "_indices_data_files": [{"filename": "indices.arrow"}]}))
    corpus = open_corpus(folder)
    assert corpus.ids("train") == ["c4", "c0", "c2"]
    assert [clip.text for clip in corpus.read("train", [1, 2])] == ["word 0", "word 2"]
    assert corpus.count("train") == 3


def test_a_shuffled_selection_is_saved_in_its_order(tmp_path: Path) -> None:
    chosen = encoded(0, 9).shuffle(seed=3).select(range(5))
    chosen.save_to_disk(tmp_path / "one")
    expected = [
        path.removesuffix(".flac") for path in chosen.data.column("audio").combine_chunks().field("path").to_pylist()
    ]
    indices = chosen._indices.column(0).to_pylist()
    assert open_corpus(tmp_path / "one").ids("train") == [expected[i] for i in indices]


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("channels", [1, 2])
def test_decoded_samples_of_older_saves(tmp_path: Path, kind: str, channels: int) -> None:
    clips = [noise(i, 500 + i).astype(kind) for i in range(3)]
    stored = [x.tolist() if channels == 1 else [x.tolist(), (x / 2).tolist()] for x in clips]
    rows = [
        {"audio": {"path": f"/home/a/clips/{i // 2}/w{i}.wav", "array": x, "sampling_rate": 8000}, "text": f"t{i}"}
        for i, x in enumerate(stored)
    ]
    samples = datasets.Value(kind) if channels == 1 else datasets.Sequence(datasets.Value(kind))
    string, whole = datasets.Value("string"), datasets.Value("int64")
    features = {"path": string, "array": datasets.Sequence(samples), "sampling_rate": whole}
    plain = datasets.Features({"audio": features, "text": datasets.Value("string")})
    datasets.Dataset.from_list(rows, features=plain).save_to_disk(tmp_path / "old")
    corpus = open_corpus(tmp_path / "old")
    assert corpus.ids("train") == ["0/w0", "0/w1", "1/w2"]  # the other machine's folder is no part of a name
    for clip, x in zip(corpus.read("train"), clips, strict=True):
        y, rate = clip.audio()
        assert rate == 8000
        np.testing.assert_allclose(y, x if channels == 1 else 0.75 * x, atol=1e-7)


def test_decoded_clips_that_are_none_are_failures_and_not_silence(tmp_path: Path) -> None:
    rows = [
        {"audio": {"array": x, "sampling_rate": rate}, "text": "a"}
        for x, rate in (([0.5, float("nan")], RATE), ([], RATE), ([0.5, 0.1], None), (None, None), ([0.5, 0.1], RATE))
    ]
    kind = datasets.Features(
        {"audio": {"array": datasets.Sequence(datasets.Value("float32")), "sampling_rate": datasets.Value("int64")},
         "text": datasets.Value("string")}
    )  # fmt: skip
    datasets.Dataset.from_list(rows, features=kind).save_to_disk(tmp_path / "old")
    clips = list(open_corpus(tmp_path / "old").read("train"))
    for clip, said in zip(clips, ("NaN", "no samples", "sampling_rate", "no sound"), strict=False):
        with pytest.raises(InputError, match=said):
            clip.audio()
    assert len(clips[4].audio()[0]) == 2


def test_paths_that_were_not_embedded_are_followed(tmp_path: Path) -> None:
    for name in ("a/yes", "b/yes"):
        (tmp_path / "clips" / name).parent.mkdir(parents=True)
        soundfile.write(tmp_path / "clips" / f"{name}.wav", noise(1), RATE)
    names = [str(tmp_path / "clips" / f"{name}.wav") for name in ("a/yes", "b/yes")]
    datasets.Dataset.from_dict({"audio": names, "text": ["x", "y"]}).save_to_disk(tmp_path / "old")
    corpus = open_corpus(tmp_path / "old")
    assert corpus.ids("train") == ["a/yes", "b/yes"]
    assert [len(clip.audio()[0]) for clip in corpus.read("train")] == [800, 800]


def test_it_is_masked_with_every_column(saved: Path, tmp_path: Path) -> None:
    folder = mask_corpus(saved, tmp_path / "masked", ["hfloss"], workers=2, rows_per_part=3)["hfloss"]
    before, after = open_corpus(saved), open_corpus(folder)
    assert after.columns == ("sentence", "age")
    for split in before.splits:
        assert list(before.rows(split)) == list(after.rows(split))
    assert after.schema().field("age").type == pa.int32()


def test_a_fingerprint_follows_the_content(tmp_path: Path) -> None:
    for name, first in (("a", 0), ("b", 0), ("c", 1)):
        encoded(first, 3).save_to_disk(tmp_path / name)
    marks = [open_corpus(tmp_path / name).fingerprint() for name in "abc"]
    assert marks[0] == marks[1] != marks[2]


def test_damage_is_named(tmp_path: Path) -> None:
    encoded(0, 3).save_to_disk(tmp_path / "one")
    with pytest.raises(InputError, match=r"holds what datasets\.save_to_disk wrote, .*one; give that"):
        open_corpus(tmp_path)
    data = next((tmp_path / "one").glob("*.arrow"))
    whole = data.read_bytes()
    data.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read as a saved dataset"):
        open_corpus(tmp_path / "one")
    data.unlink()
    with pytest.raises(InputError, match="cannot be read as a saved dataset"):
        open_corpus(tmp_path / "one")
    (tmp_path / "one" / "state.json").write_text("{")
    with pytest.raises(InputError, match=r"state\.json cannot be read"):
        open_corpus(tmp_path / "one")
    (tmp_path / "dict").mkdir()
    (tmp_path / "dict" / "dataset_dict.json").write_text('{"splits": []}')
    with pytest.raises(InputError, match="names no splits"):
        open_corpus(tmp_path / "dict")


def test_the_page_on_the_older_layout_works(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "older-layout.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len([line for line in code.strip().splitlines() if line]) == 3
    masked = mask_corpus(saved, tmp_path / "speech", ["hfloss"])["hfloss"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    exec(compile(code, "older-layout.md", "exec"), {})
    older = datasets.load_from_disk(tmp_path / "speech_hfloss_saved")
    assert {split: rows.num_rows for split, rows in older.items()} == {"train": 7, "validation": 3}
    assert older["train"].features["audio"] == datasets.Audio(RATE)
    before, after = open_corpus(masked), open_corpus(tmp_path / "speech_hfloss_saved")
    for split in before.splits:
        for a, b in zip(before.read(split), after.read(split), strict=True):
            assert (a.id, a.text, a.encoded) == (b.id, b.text, b.encoded)
