"""The tokenizer that is trained on one's own transcripts: Whisper's layout, any text, back from the disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import WhisperFeatureExtractor, WhisperProcessor, WhisperTokenizer

from audiogram.errors import InputError
from whisperprobe.labels import prompt_ids
from whisperprobe.training.model_folder import new_listener
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


@given(st.permutations(["a fishy ship", "thick chips", "chips and fish", "猫 と 犬", "Bär", "the dish"]))
@settings(max_examples=10, deadline=None)
def test_the_same_texts_in_any_order_give_the_same_tokenizer(texts: list[str]) -> None:
    one, other = (train_tokenizer(some, 280) for some in (texts, sorted(texts)))
    assert one.backend_tokenizer.to_str() == other.backend_tokenizer.to_str()


def test_another_process_makes_the_same_tokenizer() -> None:
    program = (
        "import sys; from whisperprobe.training.tokenizer import train_tokenizer; "
        "sys.stdout.write(train_tokenizer(sys.argv[1:], 280).backend_tokenizer.to_str())"
    )
    made = subprocess.run([sys.executable, "-c", program, *WORDS], check=True, capture_output=True, text=True)
    assert made.stdout == train_tokenizer(WORDS, 280).backend_tokenizer.to_str()


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        (["猫が好き", "犬が好き", "鳥が好き"], "ja"),
        (["привет мир", "привет всем"], "ru"),
        (["नमस्ते दुनिया", "नमस्ते भारत"], "hi"),
        (["مرحبا بالعالم", "مرحبا بك"], "ar"),
        (["ไปกินข้าว", "กินข้าวเย็น"], "th"),
    ],
)
def test_scripts_other_than_latin(texts: list[str], code: str) -> None:
    tokenizer = train_tokenizer(texts * 3, 450, languages=[code])
    prompt = tokenizer.convert_ids_to_tokens(tokenizer(texts[0]).input_ids[:4])
    assert prompt == ["<|startoftranscript|>", f"<|{code}|>", "<|transcribe|>", "<|notimestamps|>"]
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.decode(ids) == text
        assert len(ids) < len(text.encode()) / 2  # bytes were merged


def test_a_corpus_of_one_word_gives_one_token_and_a_smaller_vocabulary() -> None:
    tokenizer = train_tokenizer(["fish"] * 50, 1000)
    assert len(tokenizer.encode("fish", add_special_tokens=False)) == 1
    assert len(tokenizer) == 256 + len(SPECIALS) + 3  # fi or sh or is, then longer, then fish


def test_a_vocabulary_of_any_size_may_be_asked_for() -> None:
    assert len(train_tokenizer(["fish"], 10**12)) == len(train_tokenizer(["fish"], 1000))


def test_special_tokens_in_transcripts_stay_words() -> None:
    tokenizer = train_tokenizer(["<|endoftext|> is written here", "<|en|>"], 300)
    assert tokenizer.convert_tokens_to_ids(SPECIALS) == list(range(len(tokenizer) - len(SPECIALS), len(tokenizer)))
    ids = tokenizer.encode("<|endoftext|>", add_special_tokens=False, split_special_tokens=True)
    assert tokenizer.eos_token_id not in ids
    assert tokenizer.decode(ids) == "<|endoftext|>"


def test_a_model_can_be_trained_on_a_second_language_that_its_tokenizer_was_given() -> None:
    tokenizer = train_tokenizer([*WORDS, "Bär", "Tür"], 300, languages=["en", "de"])
    listener = new_listener(
        {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "window_seconds": 1}, tokenizer,
        language="en", task="transcribe", seed=0,
    )  # fmt: skip
    settings = listener.model.generation_config
    for code in ("en", "de"):
        written = tokenizer.convert_ids_to_tokens(prompt_ids(tokenizer, settings, language=code))
        assert written == ["<|startoftranscript|>", f"<|{code}|>", "<|transcribe|>", "<|notimestamps|>"]
    with pytest.raises(InputError, match=r"<\|es\|>"):
        prompt_ids(tokenizer, settings, language="es")


def test_missing_transcripts_count_for_nothing() -> None:
    texts = [*WORDS, None, "", "  ", float("nan")]
    assert train_tokenizer(texts, 280).get_vocab() == train_tokenizer(WORDS, 280).get_vocab()


@pytest.mark.parametrize(
    ("texts", "options", "reason"),
    [
        ([], {}, "without text"),
        (["", " ", None], {}, "without text"),
        (WORDS, {"vocabulary_size": 264}, "at least 265"),
        (WORDS, {"languages": ["xx"]}, "unknown language 'xx'"),
        (WORDS, {"languages": "en"}, "sequence of codes"),
        (WORDS, {"languages": []}, "sequence of codes"),
        (WORDS, {"vocabulary_size": 300.0}, "a whole number"),
        (WORDS, {"vocabulary_size": True}, "a whole number"),
        ([7], {}, "a transcript is 7, a int"),
        ([b"fish"], {}, "a bytes"),
        (["fi\udce9sh"], {}, "cannot be written as UTF-8"),
    ],
)
def test_what_cannot_be_made_is_refused(texts: list[str], options: dict, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        train_tokenizer(texts, **options)


TOKENIZER = train_tokenizer(WORDS, 300)
