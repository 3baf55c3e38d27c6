"""Masked corpora: the right sound, every column, every bad clip accounted for."""

from __future__ import annotations

import inspect
import io
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import typer
from hypothesis import given
from hypothesis import strategies as st

import audiogram
from audiogram import Audiogram, Condition, mask_corpus, open_corpus
from audiogram.console import run_app
from audiogram.corpus import SplitRule, command, read_manifest
from audiogram.corpus.mask_plan import MaskPlan, plan_mask
from audiogram.corpus.selection import draw
from audiogram.errors import AudiogramWarning, InputError, WorkError

NAMES = ("normal", "lfloss", "hfloss")


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).normal(size=samples)).astype(np.float32)


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech")
    for number in range(9):
        split = folder / ("test" if number % 3 == 0 else "train")
        split.mkdir(exist_ok=True)
        rate = (16_000, 48_000, 22_050)[number % 3]
        soundfile.write(split / f"{number}_anna.flac", noise(rate // 5 + number, number), rate, subtype="PCM_24")
    return folder


@pytest.fixture(scope="module")
def masked(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("masked") / "speech"
    return mask_corpus(speech, base, rows_per_part=4, text_pattern=r"(?P<text>\d)_(?P<speaker>\w+)")


def failures(folder: Path) -> dict[str, str]:
    rows = pa.concat_tables(pq.read_table(path) for path in sorted((folder / "failures").iterdir())).to_pylist()
    return {row["id"]: row["error"] for row in rows}


def test_every_condition_has_its_folder(masked: dict[str, Path]) -> None:
    assert {name: path.name for name, path in masked.items()} == {name: f"speech_{name}" for name in NAMES}


def test_a_written_clip_is_the_condition_on_the_fly(speech: Path, masked: dict[str, Path]) -> None:
    source = open_corpus(speech)
    for name, folder in masked.items():
        corpus = open_corpus(folder)
        assert corpus.splits == ("train", "test")
        for split in corpus.splits:
            for before, after in zip(source.read(split), corpus.read(split), strict=True):
                assert before.id == after.id
                x, rate = before.audio()
                x = audiogram.resample(x, rate, 16_000)
                y, rate = after.audio()
                assert rate == 16_000
                assert np.abs(audiogram.condition(name)(x, 16_000) - y).max() <= 2**-23


def test_columns_and_condition_are_kept(masked: dict[str, Path]) -> None:
    corpus = open_corpus(masked["hfloss"])
    assert corpus.columns == ("speaker",)
    assert {row["text"] for split in corpus.splits for row in corpus.rows(split)} == set("012345678")
    assert corpus.manifest is not None
    assert Condition.from_dict(corpus.manifest["condition"]) == audiogram.condition("hfloss")
    assert corpus.manifest["plugin"]["distribution"] == "audiogram"
    assert corpus.describe()["upstream"]["condition"]["name"] == "hfloss"


def test_datasets_loads_it_with_an_audio_feature(masked: dict[str, Path], tmp_path: Path) -> None:
    import datasets

    loaded = datasets.load_dataset(str(masked["lfloss"]), cache_dir=str(tmp_path))
    assert {split: rows.num_rows for split, rows in loaded.items()} == {"train": 6, "test": 3}
    assert loaded["train"].features["audio"] == datasets.Audio(sampling_rate=16_000)
    assert list(loaded["train"].features) == ["id", "audio", "text", "speaker"]
    row = loaded["test"].cast_column("audio", datasets.Audio(decode=False))[0]
    x, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
    assert rate == 16_000
    assert np.abs(x).max() == pytest.approx(1, abs=2**-22)
    assert soundfile.info(io.BytesIO(row["audio"]["bytes"])).subtype == "PCM_24"


def test_a_masked_corpus_can_be_divided_and_masked_again(masked: dict[str, Path], tmp_path: Path) -> None:
    corpus = open_corpus(masked["normal"], split=SplitRule("text", ["1", "2"], 0.0))
    with pytest.warns(AudiogramWarning, match="filtered already, through condition 'normal'"):
        again = mask_corpus(corpus, tmp_path / "again", ["normal"])["normal"]
    assert sorted(row["text"] for row in open_corpus(again).rows("test")) == ["1", "2"]
    assert read_manifest(again)["input"]["upstream"]["stage"] == "mask"


def test_workers_and_shards_and_grouping_change_no_byte(speech: Path, masked: dict[str, Path], tmp_path: Path) -> None:
    given = {"rows_per_part": 4, "text_pattern": r"(?P<text>\d)_(?P<speaker>\w+)"}
    for index in (1, 0):
        mask_corpus(speech, tmp_path / "speech", ["hfloss", "normal"], shard=(index, 2), **given)
    mask_corpus(speech, tmp_path / "speech", workers=2, **given)  # adds lfloss
    for name, folder in masked.items():
        other = tmp_path / f"speech_{name}"
        files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
        assert files == {str(p.relative_to(other)) for p in other.rglob("*") if p.is_file()}
        assert all((folder / file).read_bytes() == (other / file).read_bytes() for file in files)


def test_an_unfinished_corpus_is_not_a_source(speech: Path, tmp_path: Path) -> None:
    folder = mask_corpus(speech, tmp_path / "s", ["normal"], rows_per_part=2, shard="0/2")["normal"]
    with pytest.raises(InputError, match="is not finished"):
        open_corpus(folder)


def test_every_bad_clip_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(3):
        soundfile.write(source / f"good{number}.wav", noise(2000), 16_000)
    soundfile.write(source / "stereo.wav", np.stack([noise(2000, 1), noise(2000, 2)], axis=1), 16_000)
    soundfile.write(source / "one.wav", np.array([0.5]), 48_000)
    soundfile.write(source / "zero.wav", np.zeros(0), 16_000)
    soundfile.write(source / "silent.wav", np.zeros(2000), 16_000)
    soundfile.write(source / "long.wav", noise(8000 * 3), 8_000)
    soundfile.write(source / "inf.wav", np.array([0.1, np.inf, 0.1]), 16_000, subtype="FLOAT")
    soundfile.write(source / "nan.wav", np.array([0.1, np.nan, 0.1]), 16_000, subtype="FLOAT")
    (source / "empty.wav").write_bytes(b"")
    (source / "noise.mp3").write_bytes(np.random.default_rng(0).bytes(3000))
    (source / "cut.flac").write_bytes((source / "good0.wav").read_bytes()[:30])
    (source / "folder.wav").mkdir()
    folder = mask_corpus(source, tmp_path / "out", ["lfloss"], max_failures=1, max_seconds=2.5)["lfloss"]
    kept = open_corpus(folder).ids("train")
    failed = failures(folder)
    bad = {"zero", "silent", "long", "inf", "nan", "empty", "noise", "cut"}
    assert bad <= set(failed)
    assert set(kept) | set(failed) == {"good0", "good1", "good2", "stereo", "one", *bad}
    assert {"good0", "good1", "good2", "stereo"} <= set(kept)
    assert "silent" in failed["silent"]
    assert "2.5 s" in failed["long"]


def mutated(rng: np.random.Generator, encoded: bytes) -> bytes:
    """Cut, flip bits in the header, overwrite anywhere, double, or replace by noise."""
    data = bytearray(encoded)
    kind = rng.integers(5)
    if kind == 0:
        return bytes(data[: rng.integers(len(data))])
    if kind == 1:
        for _ in range(rng.integers(1, 20)):
            data[rng.integers(min(len(data), 200))] ^= 1 << rng.integers(8)
    elif kind == 2:
        for _ in range(rng.integers(1, 200)):
            data[rng.integers(len(data))] = rng.integers(256)
    elif kind == 3:
        return bytes(data + data)
    else:
        return rng.bytes(rng.integers(1, 4000))
    return bytes(data)


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.exhaustive)])
def test_damaged_files_are_all_accounted_for(tmp_path: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    kinds = {"wav": "WAV", "flac": "FLAC", "ogg": "OGG", "mp3": "MP3", "aiff": "AIFF", "au": "AU", "w64": "W64"}
    whole = {}
    for ending, kind in kinds.items():
        buffer = io.BytesIO()
        soundfile.write(buffer, noise(6000), 16_000, format=kind)
        whole[ending] = buffer.getvalue()
    (tmp_path / "source").mkdir()
    for number in range(count):
        ending, wrong = rng.choice(list(kinds), 2)
        name = f"{number}.{ending if rng.random() < 0.8 else wrong}"
        (tmp_path / "source" / name).write_bytes(mutated(rng, whole[ending]))
    folder = mask_corpus(tmp_path / "source", tmp_path / "out", ["hfloss"], max_failures=1)["hfloss"]
    kept, failed = open_corpus(folder).ids("train"), failures(folder)
    assert len(kept) + len(failed) == count
    assert not set(kept) & set(failed)
    assert all(np.isfinite(clip.audio()[0]).all() for clip in open_corpus(folder).read("train"))


def test_silence_stays_silence_where_nothing_is_normalised(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    soundfile.write(tmp_path / "source" / "silent.wav", np.zeros(2000), 16_000)
    plain = Condition("plain", audiogram.preset("hfloss"))
    folders = mask_corpus(tmp_path / "source", tmp_path / "out", [plain, "normal"], max_failures=1)
    x, _ = next(open_corpus(folders["plain"]).read("train")).audio()
    assert len(x) == 2000
    assert not x.any()
    assert list(failures(folders["normal"])) == ["silent"]


def test_nothing_is_clipped_or_silenced_by_the_format(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    soundfile.write(tmp_path / "source" / "w.wav", noise(2000), 16_000)
    loud = Condition("loud", Audiogram([1000], [-40]))
    faint = Condition("faint", Audiogram([1000], [130]))
    folders = mask_corpus(tmp_path / "source", tmp_path / "out", [loud, faint], max_failures=1, format="flac16")
    assert "would clip" in failures(folders["loud"])["w"]
    assert "would become silence" in failures(folders["faint"])["w"]
    assert all("--format wav32f" in failures(folder)["w"] for folder in folders.values())
    folders = mask_corpus(tmp_path / "source", tmp_path / "float", [loud, faint], format="wav32f")
    for condition in (loud, faint):
        x, _ = next(open_corpus(tmp_path / "source").read("train")).audio()
        y, _ = next(open_corpus(folders[condition.name]).read("train")).audio()
        np.testing.assert_array_equal(y, condition(x, 16_000))


def test_other_options_are_refused(speech: Path, masked: dict[str, Path]) -> None:
    base = masked["normal"].parent / "speech"
    with pytest.raises(InputError, match="sample_rate is 16000 there and 8000 now"):
        mask_corpus(speech, base, rows_per_part=4, sample_rate=8000, text_pattern=r"(?P<text>\d)_(?P<speaker>\w+)")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"conditions": ["hflos"]}, "Did you mean 'hfloss'"),
        ({"conditions": ["normal", "normal"]}, "given 2 times"),
        ({"format": "mp3"}, "mp3"),
        ({"sample_rate": 0}, "0"),
        ({"sample_rate": 16}, r"nothing above 8 Hz.*at least 1000\. Was it kHz"),
        ({"splits": ["dev"]}, "no split 'dev'; it has train, test"),
        ({"workers": 0}, "--workers 0"),
        ({"max_failures": 5}, "share between 0 and 1"),
        ({"max_seconds": 0}, "--max-seconds"),
        ({"out_base": ""}, "out_base is empty"),
        ({"conditions": "hfloss"}, "conditions is a list, got 'hfloss'"),
        ({"shard": "3/2"}, "shard 3/2"),
    ],
)
def test_a_wrong_call_is_refused_before_anything_is_written(speech: Path, tmp_path: Path, given, said: str) -> None:
    with pytest.raises(InputError, match=said):
        mask_corpus(speech, **{"out_base": tmp_path / "out", **given})
    assert not list(tmp_path.iterdir())


def test_too_many_failures_end_with_exit_1(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "w.wav").write_bytes(b"")
    with pytest.raises(WorkError, match="more than --max-failures"):
        mask_corpus(tmp_path / "source", tmp_path / "out")


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command("mask")(command.mask)
    return app


def test_the_command(app: typer.Typer, speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = tmp_path / "out"
    options = {"--condition": "hfloss", "--splits": "test", "--max-samples": "2", "--log-level": "warning"}
    options |= {"--text-pattern": r"(?P<text>\d)_(?P<speaker>\w+)", "--text-map": "0=zero"}
    arguments = [str(speech), str(base), *(word for pair in options.items() for word in pair)]
    assert run_app(app, arguments) == 0
    assert f"hfloss: {base}_hfloss" in capsys.readouterr().out
    corpus = open_corpus(f"{base}_hfloss")
    assert corpus.splits == ("test",)
    assert corpus.count("test") == 2
    assert run_app(app, [*arguments, "--format", "flac16"]) == 2
    assert 'format is "flac24" there and "flac16" now' in capsys.readouterr().err
    assert run_app(app, [str(tmp_path / "nowhere")]) == 2
    assert run_app(app, [str(speech), str(base), "--text-map", "0"]) == 2
    assert run_app(app, [str(speech), str(base), "--test", "anna"]) == 2


def test_the_command_has_every_option_of_the_function() -> None:
    renamed = {"conditions": "condition", "format": "sound_format", "split": "split_column"}
    wanted = {renamed.get(name, name) for name in inspect.signature(mask_corpus).parameters}
    assert wanted <= set(inspect.signature(command.mask).parameters)


def voices(folder: Path) -> Path:
    """Twelve clips of anna, three of ben, one of carla."""
    folder.mkdir()
    for name, count in (("anna", 12), ("ben", 3), ("carla", 1)):
        for take in range(count):
            soundfile.write(folder / f"{name}_{take:02}.wav", noise(1500, take), 16_000)
    return folder


def test_a_sample_is_balanced_over_a_column(tmp_path: Path) -> None:
    source = voices(tmp_path / "source")
    pattern = r"(?P<speaker>[a-z]+)_(?P<text>\d+)"
    for count, expected in ((6, (3, 2, 1)), (5, (2, 2, 1)), (9, (5, 3, 1)), (16, (12, 3, 1))):
        base = tmp_path / f"out{count}"
        folder = mask_corpus(source, base, ["normal"], max_samples=count, balance="speaker", text_pattern=pattern)[
            "normal"
        ]
        speakers = [row["speaker"] for row in open_corpus(folder).rows("train")]
        assert tuple(sorted(map(speakers.count, ("anna", "ben", "carla")), reverse=True)) == expected
        assert speakers == sorted(speakers)  # the source's order
        assert read_manifest(folder)["input"]["view"] == [{"max_samples": count, "seed": 0, "balance": "speaker"}]
    with pytest.raises(InputError, match="Did you mean 'speaker'"):
        mask_corpus(source, tmp_path / "x", max_samples=2, balance="speker", text_pattern=pattern)
    with pytest.raises(InputError, match="--balance speaker needs --max-samples"):
        mask_corpus(source, tmp_path / "x", balance="speaker", text_pattern=pattern)


@given(st.lists(st.integers(0, 4), max_size=40), st.integers(0, 45), st.integers(0, 3))
def test_a_balanced_draw_is_as_even_as_can_be(groups: list[int], count: int, seed: int) -> None:
    ids = [f"clip {i}" for i in range(len(groups))]
    drawn = draw(ids, count, seed, "sample", groups)
    assert len(drawn) == min(count, len(ids))
    assert list(drawn) == sorted(set(drawn.tolist()))
    got, there = Counter(groups[i] for i in drawn), Counter(groups)
    most = max((got[g] for g in there), default=0)
    assert all(got[g] in (most, most - 1) or got[g] == there[g] for g in there)
    fewer = set(draw(ids, max(count - 1, 0), seed, "sample", groups).tolist())
    assert fewer <= set(drawn.tolist())


def test_a_dry_run_says_what_there_is_to_do_and_writes_nothing(tmp_path: Path) -> None:
    source = voices(tmp_path / "source")
    (source / "bad.wav").write_bytes(b"")
    given = {"rows_per_part": 4, "conditions": ["normal", "hfloss"], "max_failures": 0.1}
    plan = plan_mask(source, tmp_path / "out", probe=17, **given)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]
    assert (plan.rows, plan.parts, plan.left) == ({"train": 17}, {"train": 5}, 17)
    assert (plan.probed, plan.failed) == (17, 1)
    assert "empty" in plan.reason
    assert plan.seconds > 0
    folders = mask_corpus(source, tmp_path / "out", **given)
    assert folders == plan.folders
    for name, folder in folders.items():  # all clips were probed: sizes are those of the sound itself
        sounds = sum(len(clip.encoded) for clip in open_corpus(folder).read("train"))
        assert plan.bytes[name] == pytest.approx(sounds, abs=17)
    done = plan_mask(source, tmp_path / "out", **given)
    assert (done.left, done.seconds) == (0, 0)
    assert plan_mask(source, tmp_path / "new", shard="1/5", **given).left == 4
    with pytest.raises(InputError, match='format is "flac24" there and "wav" now'):
        plan_mask(source, tmp_path / "out", format="wav", **given)
    with pytest.raises(InputError, match="no split 'dev'"):
        plan_mask(source, tmp_path / "out", splits=["dev"], **given)


def test_a_plan_in_words() -> None:
    plan = MaskPlan(
        source="speech", rows={"train": 3000, "test": 0}, parts={"train": 12, "test": 0}, left=2000,
        folders={"normal": Path("speech_normal")}, bytes={"normal": 2_340_000_000}, seconds=6000.0, probed=8, failed=1,
        reason="a: empty", workers=2, free=10**9,
    )  # fmt: skip
    assert plan.lines() == [
        "speech: 3000 clips, 2000 to do",
        "  train: 3000 clips in 12 parts",
        "  test: 0 clips in 0 parts",
        "normal: speech_normal, about 2.34 GB",
        "time: about 1.7 h with --workers 2; free: 1 GB, which is not enough",
        "1 of 8 clips of the probe could not be used; the first: a: empty",
        "estimated from 8 clips; nothing was written",
    ]
    nothing = replace(plan, probed=1, bytes={}).lines()
    assert "time and size: unknown, for no clip of the probe could be used" in nothing


def test_a_dry_run_of_the_command(app: typer.Typer, speech: Path, tmp_path: Path, capsys) -> None:
    base = tmp_path / "out"
    assert run_app(app, [str(speech), str(base), "-c", "hfloss", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert f"hfloss: {base}_hfloss, about" in said
    assert "nothing was written" in said
    assert not list(tmp_path.iterdir())


def test_a_plan_takes_every_option_of_the_work() -> None:
    work, plan = inspect.signature(mask_corpus).parameters, inspect.signature(plan_mask).parameters
    assert {name: p.default for name, p in plan.items() if name != "probe"} == {n: p.default for n, p in work.items()}
