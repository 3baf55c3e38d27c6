"""Prompts, ground truth, variants, normalisation."""

from __future__ import annotations

import pytest
from transformers import GenerationConfig

from audiogram.errors import InputError
from whisperprobe import labels
from whisperprobe.training.tokenizer import train_tokenizer

PROMPT = ["<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["sick", " sick", "Sick", "ship", "naïve café", "Straße"] * 3, 420, languages=("en", "de"))


def config(tokenizer, **values):
    start = tokenizer.get_added_vocab()["<|startoftranscript|>"]
    return GenerationConfig(**{"decoder_start_token_id": start, **values})


def names(tokenizer, ids):
    return tokenizer.convert_ids_to_tokens(ids)


def test_multilingual_prompt_from_the_generation_config(tokenizer):
    settings = config(
        tokenizer, is_multilingual=True, lang_to_id={"<|en|>": 7}, task_to_id={"transcribe": 8, "translate": 9},
        no_timestamps_token_id=10,
    )  # fmt: skip
    assert labels.prompt_ids(tokenizer, settings)[1:] == [7, 8, 10]
    assert labels.prompt_ids(tokenizer, settings, language="English", task="translate")[1:] == [7, 9, 10]


@pytest.mark.parametrize("values", [{}, {"is_multilingual": True}, {"decoder_start_token_id": None}])
def test_what_the_generation_config_does_not_say_is_in_the_tokenizer(tokenizer, values):
    assert names(tokenizer, labels.prompt_ids(tokenizer, config(tokenizer, **values))) == PROMPT
    german = names(tokenizer, labels.prompt_ids(tokenizer, config(tokenizer, **values), language="german"))
    assert german == [PROMPT[0], "<|de|>", *PROMPT[2:]]


@pytest.mark.parametrize("values", [{"is_multilingual": False}, {"forced_decoder_ids": [[1, 5]]}])
def test_english_only_prompt_has_neither_language_nor_task(tokenizer, values):
    assert names(tokenizer, labels.prompt_ids(tokenizer, config(tokenizer, **values))) == [PROMPT[0], PROMPT[3]]


@pytest.mark.parametrize("options", [{"language": "de"}, {"task": "translate"}])
def test_english_only_checkpoints_refuse_other_languages_and_tasks(tokenizer, options):
    with pytest.raises(InputError, match="English-only"):
        labels.prompt_ids(tokenizer, config(tokenizer, is_multilingual=False), **options)


def test_unknown_language_and_task_list_close_matches(tokenizer):
    with pytest.raises(InputError, match=r"unknown language 'englsh'.*'english'"):
        labels.prompt_ids(tokenizer, config(tokenizer), language="englsh")
    with pytest.raises(InputError, match="unknown task 'transcrib'"):
        labels.prompt_ids(tokenizer, config(tokenizer), task="transcrib")


def test_a_language_without_a_token_is_refused(tokenizer):
    with pytest.raises(InputError, match=r"<\|haw\|>"):
        labels.prompt_ids(tokenizer, config(tokenizer), language="haw")


def test_ground_truth_has_its_first_letter_capitalised_and_no_leading_space(tokenizer):
    decode = tokenizer.decode
    assert decode(labels.ground_truth_ids(" sick ship ", tokenizer)) == "Sick ship"
    assert decode(labels.ground_truth_ids("McGee", tokenizer)) == "McGee"
    assert labels.ground_truth_ids("  ", tokenizer) == []


def test_special_tokens_written_in_a_text_are_plain_characters(tokenizer):
    ids = labels.ground_truth_ids("a<|endoftext|>", tokenizer)
    assert tokenizer.eos_token_id not in ids
    assert tokenizer.decode(ids) == "A<|endoftext|>"


def test_six_variants_of_a_mixed_case_text(tokenizer):
    variants = labels.text_variants("sick Ship", tokenizer)
    assert [v.name for v in variants] == list(labels.VARIANT_NAMES)
    assert [v.text for v in variants] == [
        "sick Ship",
        "sick ship",
        "Sick Ship",
        " sick Ship",
        " sick ship",
        " Sick Ship",
    ]
    assert all(tokenizer.decode(list(v.token_ids)) == v.text for v in variants)


def test_one_variant_per_distinct_token_sequence(tokenizer):
    assert [v.name for v in labels.text_variants("sick", tokenizer)] == [
        "as_given", "capitalised", "space_as_given", "space_capitalised",
    ]  # fmt: skip
    assert [v.name for v in labels.text_variants("42", tokenizer)] == ["as_given", "space_as_given"]
    assert labels.text_variants(" ", tokenizer) == []


def test_english_normaliser_without_a_spelling_table(tokenizer):
    assert tokenizer.english_spelling_normalizer is None
    normalise = labels.text_normaliser(tokenizer, "en")
    assert normalise(" Mr. Hill's  twenty-one, (um) cats! ") == "mister hill is 21 cats"


def test_english_normaliser_with_a_spelling_table():
    class Spelling:
        english_spelling_normalizer = {"colour": "color"}  # noqa: RUF012

    assert labels.text_normaliser(Spelling())("The Colour") == "the color"


def test_other_languages_get_the_basic_normaliser(tokenizer):
    assert labels.text_normaliser(tokenizer, "german")(" Straße, [Lärm] zwanzig! ") == "straße zwanzig"


def test_silence_is_not_a_filler(tokenizer):
    normalise = labels.text_normaliser(tokenizer)
    assert normalise("mm") == normalise("") == ""
    assert not labels.same_text("", "mm", normalise)
    assert labels.same_text(" Mm", "mm", normalise)
    assert labels.same_text("Two!", "2", normalise)
    assert not labels.same_text("tow", "two", normalise)
