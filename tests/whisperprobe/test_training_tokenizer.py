"""The tokenizer that is trained on one's own transcripts: Whisper's layout, any text, back from the disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import WhisperFeatureExtractor, WhisperProcessor, WhisperTokenizer

from audiogram.errors import InputError
from whisperprobe.training.tokenizer import train_tokenizer

WORDS = ["ship", "chip", "thick", "sick", "fish", "dish", "wish"] * 3
SPECIALS = [
    "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|translate|>", "<|transcribe|>", "<|startoflm|>",
    "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
]  # fmt: skip


def test_special_tokens_stand_in_whispers_order_behind_the_text_tokens() -> None:
    tokenizer = train_tokenizer(WORDS, 300)
    ids = tokenizer.convert_tokens_to_ids(SPECIALS)
    assert ids == list(range(len(tokenizer) - len(SPECIALS), len(tokenizer)))
    assert tokenizer.all_special_tokens == SPECIALS
    assert len(tokenizer) <= 300
    assert tokenizer.eos_token_id == tokenizer.pad_token_id == ids[0]


def test_words_of_the_transcripts_take_few_tokens() -> None:
    tokenizer = train_tokenizer(WORDS, 300)
    assert len(tokenizer("ship", add_special_tokens=False).input_ids) <= 2
    assert len(tokenizer("zebra", add_special_tokens=False).input_ids) > 2


def test_prompt_of_plain_transformers_is_right() -> None:
    tokenizer = train_tokenizer(WORDS, 300)
    ids = tokenizer("fish").input_ids
    expected = ["<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"]
    assert tokenizer.convert_ids_to_tokens(ids[:4]) == expected
    assert ids[-1] == tokenizer.eos_token_id
    german = train_tokenizer(WORDS, 300, languages=["de"])  # set_prefix_tokens counts languages in Whisper's order
    assert german.convert_ids_to_tokens(german("fish").input_ids[:2]) == ["<|startoftranscript|>", "<|de|>"]


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=30))
def test_any_text_comes_back(text: str) -> None:
    ids = TOKENIZER.encode(text, add_special_tokens=False, split_special_tokens=True)
    assert TOKENIZER.decode(ids) == text


@pytest.mark.parametrize("timestamps", [False, True])
def test_comes_back_from_the_disk_through_plain_transformers(tmp_path: Path, timestamps: bool) -> None:
    tokenizer = train_tokenizer(WORDS, 300, timestamps=timestamps)
    WhisperProcessor(WhisperFeatureExtractor(chunk_length=2), tokenizer).save_pretrained(tmp_path)
    for loaded in (WhisperTokenizer.from_pretrained(tmp_path), WhisperProcessor.from_pretrained(tmp_path).tokenizer):
        assert loaded.get_vocab() == tokenizer.get_vocab()
        assert loaded("a fishy Ship").input_ids == tokenizer("a fishy Ship").input_ids
        assert loaded.all_special_tokens == SPECIALS
    if timestamps:
        first = tokenizer.convert_tokens_to_ids("<|notimestamps|>") + 1
        assert tokenizer.timestamp_ids() == list(range(first, first + 1501))
        assert tokenizer.decode([first + 5], skip_special_tokens=True) == ""


def test_the_same_texts_give_the_same_tokenizer() -> None:
    assert train_tokenizer(WORDS, 280).get_vocab() == train_tokenizer(WORDS, 280).get_vocab()


@pytest.mark.parametrize(
    ("texts", "options", "reason"),
    [
        ([], {}, "without text"),
        (["", " ", None], {}, "without text"),
        (WORDS, {"vocabulary_size": 264}, "at least 265"),
        (WORDS, {"languages": ["xx"]}, "unknown language 'xx'"),
        (WORDS, {"languages": "en"}, "sequence of codes"),
    ],
)
def test_what_cannot_be_made_is_refused(texts: list[str], options: dict, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        train_tokenizer(texts, **options)


TOKENIZER = train_tokenizer(WORDS, 300)
