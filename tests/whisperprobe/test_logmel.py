"""Corpora as log-mels: what Whisper's extractor makes, stored small, trained on with the same loss."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from transformers import WhisperFeatureExtractor

import audiogram
from audiogram import Condition, mask_corpus, open_corpus
from audiogram.console import run_app
from audiogram.corpus import Part, read_manifest
from audiogram.errors import InputError, WorkError
from whisperprobe import open_log_mel, write_log_mel
from whisperprobe.cli import app
from whisperprobe.corpora.clip_sound import heard_sound
from whisperprobe.features import WindowSpec, heard_frames, log_mel
from whisperprobe.labels import Labels
from whisperprobe.probing.hearing import Hearing
from whisperprobe.probing.probe import Probe
from whisperprobe.training.data import SpeechDataset, read_speech
from whisperprobe.training.filtering import filtered
from whisperprobe.training.model_folder import load_listener, new_listener
from whisperprobe.training.tokenizer import train_tokenizer
from whisperprobe.training.trainer import finetune

RATE = 16_000
WORDS = ("ship", "chip", "fish", "thick")
SHAPE = {"d_model": 64, "encoder_layers": 1, "decoder_layers": 1, "window_seconds": 1, "max_target_positions": 32}


def sound(seed: int, samples: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    tone = np.sin(2 * np.pi * rng.uniform(200, 5000) * np.arange(samples) / RATE)
    return (0.3 * tone + 0.02 * rng.standard_normal(samples)).astype(np.float32)


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech")
    rng = np.random.default_rng(0)
    for split, count in (("train", 24), ("validation", 6)):
        (folder / split).mkdir()
        for i in range(count):
            name = f"{WORDS[i % 4]}_{i:02}.flac"
            soundfile.write(folder / split / name, sound(i, int(rng.integers(800, 16_000))), RATE, subtype="PCM_24")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tokenizer = train_tokenizer(WORDS * 3, 300)
    new_listener(SHAPE, tokenizer, language="en", task="transcribe", seed=0).save(folder)
    return folder


PATTERN = r"(?P<text>[a-z]+)_(?P<take>\d+)"


@pytest.fixture(scope="module")
def mels(speech: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mels") / "speech"
    (folder,) = write_log_mel(speech, out, model=model, text_pattern=PATTERN, rows_per_part=10)
    assert folder == out
    return out


# What is stored


@pytest.mark.parametrize(("dtype", "within"), [("float16", 1e-3), ("float32", 1e-4)])
@pytest.mark.parametrize("bands", [80, 128])
def test_equal_to_whispers_extractor(speech: Path, tmp_path: Path, bands: int, dtype: str, within: float) -> None:
    name = {80: "openai/whisper-tiny", 128: "openai/whisper-large-v3"}[bands]
    sample = open_corpus(speech).sample(4, seed=1)
    (out,) = write_log_mel(sample, tmp_path / "mels", model=name, labels=False, dtype=dtype)
    opened = open_log_mel(out)
    theirs = WhisperFeatureExtractor(feature_size=bands)
    for split in opened.splits:
        clips = [clip.audio()[0] for clip in sample.read(split)]
        expected = theirs(clips, sampling_rate=RATE, return_tensors="pt").input_features
        ours = opened.features(split, range(len(clips)))
        assert ours.shape == expected.shape == (4, bands, 3000)
        assert float((ours - expected).abs().max()) <= within


def test_only_frames_that_see_sound_are_stored(mels: Path, speech: Path) -> None:
    window, opened = WindowSpec(80, 100), open_log_mel(mels)
    for split in opened.splits:
        lengths = [len(clip.audio()[0]) for clip in open_corpus(speech).read(split)]
        assert opened.table(split)["samples"].to_pylist() == lengths
        assert opened.table(split)["frames"].to_pylist() == [heard_frames(n, window) for n in lengths]
    stored = sum(path.stat().st_size for path in (mels / "vectors").iterdir())
    frames = sum(sum(opened.table(split)["frames"].to_pylist()) for split in opened.splits)
    assert stored <= 2 * 80 * frames + 4 * 200


@pytest.mark.parametrize("samples", [1, 160, 15_700, 15_799, 15_800, 15_801, 15_960, 16_000])
def test_padding_is_what_the_model_would_have_heard(tmp_path: Path, samples: int) -> None:
    soundfile.write(tmp_path / "a.wav", sound(samples, samples), RATE, subtype="FLOAT")
    window = WindowSpec(80, 100)
    (clip,) = open_corpus(tmp_path).read("train")
    whole = log_mel([clip.audio()[0]], window)[0]
    behind = whole[:, heard_frames(samples, window) :]
    assert behind.numel() == 0 or float(behind.max()) == float(behind.min())


def test_every_column_and_the_labels_are_kept(mels: Path, model: Path, speech: Path) -> None:
    table = pq.read_table(mels / "clips" / "validation-00000-of-00001.parquet")
    rows = table.to_pylist()
    source = list(open_corpus(speech, text_pattern=PATTERN).rows("validation"))
    assert [(r["id"], r["text"], r["take"]) for r in rows] == [(r["id"], r["text"], r["take"]) for r in source]
    from transformers import WhisperTokenizer

    tokenizer = WhisperTokenizer.from_pretrained(model)
    specials = tokenizer.convert_tokens_to_ids(["<|en|>", "<|transcribe|>", "<|notimestamps|>"])
    for row in rows:
        inner = tokenizer(row["text"], add_special_tokens=False).input_ids
        assert row["labels"] == [*specials, *inner, tokenizer.eos_token_id]


def test_clips_are_handed_out_shuffled_by_the_seed(mels: Path, speech: Path, model: Path, tmp_path: Path) -> None:
    opened = open_log_mel(mels)
    handed = opened.padded("train")
    ids = [clip["id"] for clip in handed]
    assert ids != opened.ids("train")
    assert sorted(ids) == sorted(opened.ids("train")) == sorted(open_corpus(speech).ids("train"))
    again = [clip["id"] for clip in open_log_mel(mels).padded("train")]
    assert again == ids
    (other,) = write_log_mel(speech, tmp_path / "other", model=model, text_pattern=PATTERN, seed=7)
    assert [clip["id"] for clip in open_log_mel(other).padded("train")] != ids
    first, row = handed[0], opened.ids("train").index(ids[0])
    torch.testing.assert_close(first["input_features"], opened.features("train", [row])[0])
    assert first["input_features"].shape == (80, 100)
    assert len(handed[2:5]) == 3


def test_a_sample_is_that_of_the_corpus(mels: Path, speech: Path) -> None:
    assert open_log_mel(mels).sample(5, seed=3).ids("train") == open_corpus(speech).sample(5, seed=3).ids("train")


def test_workers_and_shards_change_no_byte(mels: Path, speech: Path, model: Path, tmp_path: Path) -> None:
    given = {"model": model, "text_pattern": PATTERN, "rows_per_part": 10}
    write_log_mel(speech, tmp_path / "a", shard="1/2", **given)
    with pytest.raises(InputError, match="not finished"):
        open_log_mel(tmp_path / "a")
    write_log_mel(speech, tmp_path / "a", workers=2, **given)
    files = sorted(path.relative_to(mels) for path in mels.rglob("*") if path.is_file())
    assert [p.relative_to(tmp_path / "a") for p in sorted((tmp_path / "a").rglob("*")) if p.is_file()] == files
    assert all((mels / file).read_bytes() == (tmp_path / "a" / file).read_bytes() for file in files)


def test_bad_clips_are_failures(tmp_path: Path, model: Path) -> None:
    (tmp_path / "s").mkdir()
    soundfile.write(tmp_path / "s" / "good.wav", sound(0, 4000), RATE)
    soundfile.write(tmp_path / "s" / "long.wav", sound(0, 16_001), RATE)
    (tmp_path / "s" / "empty.wav").write_bytes(b"")
    with pytest.raises(WorkError, match="more than --max-failures"):
        write_log_mel(tmp_path / "s", tmp_path / "few", model=model)
    (out,) = write_log_mel(tmp_path / "s", tmp_path / "all", model=model, max_failures=1)
    failed = {r["id"]: r["error"] for r in pq.read_table(Part("train", 0, 1, 0, 3).failures(out)).to_pylist()}
    assert open_log_mel(out).ids("train") == ["good"]
    assert set(failed) == {"long", "empty"}
    assert "window of 1 s" in failed["long"]


# Conditions


NOISY = Condition(
    "noisy", audiogram.preset("hfloss"), noise={"kind": "white", "snr_db": 5, "seed": 3}, normalise="peak"
)


@pytest.mark.parametrize("condition", ["hfloss", NOISY], ids=str)
def test_a_condition_on_the_fly_is_the_written_corpus(
    speech: Path, tmp_path: Path, model: Path, condition: str | Condition
) -> None:
    name = condition if isinstance(condition, str) else condition.name
    heard = audiogram.condition(condition) if isinstance(condition, str) else condition
    sample, window = open_corpus(speech).sample(3), WindowSpec.of(model)
    written = mask_corpus(sample, tmp_path / "masked", [condition])[name]
    for split in sample.splits:
        for before, after in zip(sample.read(split), open_corpus(written).read(split), strict=True):
            fly = heard_sound(before, window, heard)
            assert np.abs(fly - heard_sound(after, window, None)).max() <= 2**-23
    (fly_mels,) = write_log_mel(sample, tmp_path / "fly", model=model, condition=condition, dtype="float32")
    (mels,) = write_log_mel(written, tmp_path / "written", model=model, dtype="float32")
    a, b = (open_log_mel(folder).features("train", range(3)) for folder in (fly_mels, mels))
    assert float((a - b).abs().max()) <= 1e-3
    assert read_manifest(fly_mels)["condition"] == read_manifest(mels)["condition"] == heard.to_dict()
    labels = open_log_mel(mels).manifest["options"]["labels"]
    assert labels == open_log_mel(fly_mels).manifest["options"]["labels"]
    with pytest.raises(InputError, match="filtered already"):
        write_log_mel(written, tmp_path / "twice", model=model, condition="hfloss")


def test_what_finetune_and_probe_hear_on_the_fly_is_the_written_corpus(
    speech: Path, tmp_path: Path, model: Path
) -> None:
    corpus, listener = open_corpus(speech, text_pattern=PATTERN), load_listener(model)
    window, labels = listener.window, Labels(listener.tokenizer, (0,), 32)
    probe = Probe(listener.model.eval(), listener.tokenizer)
    for condition in (audiogram.condition("lfloss"), NOISY):
        written = mask_corpus(corpus, tmp_path / "masked", [condition])[condition.name]
        expected = {clip.id: clip.audio()[0] for clip in open_corpus(written).read("train")}
        read = read_speech(corpus, "train", window, labels)
        trained = SpeechDataset(read, window, condition=condition, cache_bytes=0)
        assert trained.features is None  # the sound itself is still there
        probed = Hearing(probe, condition, workers=1, ahead=2)(corpus.read("train"))
        heard = {clip.id: x for clip, (x, _) in probed}
        assert set(trained.speech.ids) == set(heard) == set(expected)
        sounds = [torch.from_numpy(x) for x in trained.speech.waveforms]
        for id, x in zip(trained.speech.ids, filtered(sounds, condition, RATE, trained.speech.ids), strict=True):
            assert np.abs(x.numpy() - expected[id]).max() <= 2**-23
            assert np.abs(heard[id] - expected[id]).max() <= 2**-23


# Training


def losses(folder: Path) -> list[float]:
    with (folder / "training.csv").open() as stream:
        return [float(row["loss"]) for row in csv.DictReader(stream)]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_training_on_log_mels_is_training_on_the_sound(
    speech: Path, model: Path, mels: Path, tmp_path: Path, dtype: str
) -> None:
    short = {"model": model, "max_steps": 4, "batch_size": 8, "learning_rate": 1e-3, "device": "cpu", "threads": 1}
    if dtype == "float32":
        (mels,) = write_log_mel(speech, tmp_path / "mels", model=model, text_pattern=PATTERN, dtype=dtype)
    heard = finetune(speech, tmp_path / "sound", text_pattern=PATTERN, **short)
    read = finetune(mels, tmp_path / "read", **short)
    assert losses(read.path) == pytest.approx(losses(heard.path), rel=1e-3 if dtype == "float16" else 1e-5)
    assert read.evaluation["loss"] == pytest.approx(heard.evaluation["loss"], rel=1e-3)
    assert len(losses(read.path)) == 4


def test_batches_are_equal_whether_kept_in_memory_or_read(mels: Path, model: Path) -> None:
    listener = load_listener(model)
    prompt = listener.tokenizer.convert_tokens_to_ids(
        ["<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"]
    )
    opened = open_log_mel(mels)
    labels = Labels(listener.tokenizer, tuple(prompt), 32)
    assert opened.manifest["options"]["labels"] == labels.describe()
    kept = SpeechDataset(read_speech(opened, "train", listener.window, labels), listener.window)
    read = SpeechDataset(read_speech(opened, "train", listener.window, labels), listener.window, cache_bytes=0)
    assert read.features is None
    pairs = [(0, 5), (0, 1), (0, 23)]
    a, b = (one.prepare(one.__getitems__(pairs), "cpu") for one in (kept, read))
    assert a.keys() == b.keys() == {"input_features", "labels"}
    assert torch.equal(a["input_features"], b["input_features"])
    assert torch.equal(a["labels"], b["labels"])
    spaced = Labels(listener.tokenizer, tuple(prompt), 32, leading_space=True)  # not those that are stored
    again = read_speech(opened, "train", listener.window, spaced)
    assert again.labels == [spaced(text) for text in again.texts]
    with pytest.raises(InputError, match=r"log-mels of 80 bands for windows of 1 s; the model takes 128 bands"):
        read_speech(opened, "train", WindowSpec(128, 3000), labels)


def test_what_needs_sound_is_refused(mels: Path, model: Path, tmp_path: Path) -> None:
    short = {"model": model, "max_steps": 1, "evaluate": False}
    with pytest.raises(InputError, match="takes no text_pattern"):
        finetune(mels, tmp_path / "a", text_pattern=PATTERN, **short)
    with pytest.raises(InputError, match="augmentation of the sound needs sound"):
        finetune(mels, tmp_path / "b", augment="voices", **short)
    with pytest.raises(InputError, match="condition 'hfloss' needs sound"):
        finetune(mels, tmp_path / "c", condition="hfloss", **short)
    assert finetune(mels, tmp_path / "d", augment="masks", **short).steps == 1
    with pytest.raises(InputError, match="is the output of 'log-mel', not a corpus of sound"):
        open_corpus(mels)


# Calls


def test_several_corpora_each_get_their_folder(speech: Path, model: Path, tmp_path: Path) -> None:
    sample = open_corpus(speech).sample(2)
    written = mask_corpus(sample, tmp_path / "speech", ["normal", "hfloss"])
    folders = write_log_mel(list(written.values()), tmp_path / "mels", model=model)
    assert folders == [tmp_path / "mels" / "speech_normal", tmp_path / "mels" / "speech_hfloss"]
    assert [read_manifest(folder)["condition"]["name"] for folder in folders] == ["normal", "hfloss"]
    before = (folders[0] / "manifest.json").read_bytes()
    with pytest.raises(InputError, match="dtype"):
        write_log_mel(list(written.values()), tmp_path / "mels", model=model, dtype="float32")
    again = write_log_mel(
        list(written.values()), tmp_path / "mels", model=model, dtype="float32", skip_existing=True
    )  # fmt: skip
    assert again == folders
    assert (folders[0] / "manifest.json").read_bytes() == before
    with pytest.raises(InputError, match="two sources are called 'speech_normal'"):
        write_log_mel([written["normal"], written["normal"]], tmp_path / "mels", model=model)


def test_a_tokenizer_that_cannot_be_had_is_said(speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import WhisperTokenizer

    def offline(*_: object, **__: object) -> None:
        raise OSError("We couldn't connect to 'https://huggingface.co'.\nCheck your connection.")

    monkeypatch.setattr(WhisperTokenizer, "from_pretrained", offline)
    with pytest.raises(InputError, match=r"tokenizer of 'openai/whisper-large-v3' cannot be had.*--no-labels"):
        write_log_mel(speech, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command(speech: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = ["--model", str(model), "--max-samples", "2", "--log-level", "warning"]
    assert run_app(app, ["logmel", str(speech), str(tmp_path / "mels"), *said]) == 0
    assert f"log-mels: {tmp_path / 'mels'}" in capsys.readouterr().out
    assert open_log_mel(tmp_path / "mels").count("train") == 2
    assert read_manifest(tmp_path / "mels")["options"]["shuffle_seed"] == 42
    assert run_app(app, ["logmel", str(speech), str(tmp_path / "x"), "--dtype", "int8", *said]) == 2
    assert run_app(app, ["logmel", str(tmp_path / "nowhere"), str(tmp_path / "x"), *said]) == 2
    assert run_app(app, ["logmel", str(speech)]) == 2
