"""Vocabulary: every token in exactly one group, bytes that are no text alone, special tokens together."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from audiogram.errors import InputError
from whisperprobe import measures
from whisperprobe.probing.decode import Suppression
from whisperprobe.probing.head import Head, group_logits
from whisperprobe.probing.vocabulary import KINDS, SPECIAL_GROUP_TEXT, normal_form, vocabulary_of
from whisperprobe.training.tokenizer import train_tokenizer

WORDS = ["sick", "the sick", "Sick", "the SICK", "ship", "Straße", "STRASSE", "the strasse", "naïve"]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(WORDS * 5, 460, timestamps=True)


@pytest.fixture(scope="module")
def vocabulary(tokenizer):
    return vocabulary_of(tokenizer, len(tokenizer) + 3)


def one_id(tokenizer, text):
    (i,) = tokenizer.encode(text, add_special_tokens=False)
    return i


def test_every_token_is_in_one_group_and_blocks_cover_them_all(vocabulary):
    assert sorted(vocabulary.group_order) == list(range(len(vocabulary)))
    assert sum(size * count for size, count in vocabulary.group_sizes) == len(vocabulary)
    assert (np.diff(vocabulary.groups[vocabulary.group_order]) >= 0).all()
    assert len(vocabulary.group_texts) == sum(count for _, count in vocabulary.group_sizes)


def test_case_and_space_do_not_make_another_group(tokenizer, vocabulary):
    ids = [one_id(tokenizer, text) for text in ("sick", " sick", "Sick", " SICK")]
    assert len(set(ids)) == 4
    members = vocabulary.members(vocabulary.groups[ids[0]])
    assert set(ids) <= set(members)
    assert {tokenizer.decode([i]).strip().lower() for i in members} == {"sick"}
    assert {vocabulary.group_of(text) for text in ("SICK ", "sick")} == {vocabulary.groups[ids[0]]}
    assert vocabulary.group_texts[vocabulary.groups[ids[0]]] == "sick"
    assert vocabulary.group_of("never in there") is None


def test_groups_fold_case_as_unicode_does(tokenizer, vocabulary):
    together = {vocabulary.groups[one_id(tokenizer, text)] for text in ("Straße", "STRASSE", " strasse")}
    assert len(together) == 1


def test_bytes_that_are_no_text_alone_stay_single(vocabulary, tokenizer):
    byte = tokenizer.get_vocab()["Ã"]  # 0xC3, the first byte of ï
    assert vocabulary.tokens[byte] == "\\xc3"
    assert list(vocabulary.members(vocabulary.groups[byte])) == [byte]
    assert KINDS[vocabulary.kinds[byte]] == "text"
    fractions = [i for i, text in enumerate(vocabulary.tokens) if "\\x" in text]
    assert len(fractions) >= 128  # every single byte above ASCII
    assert all(list(vocabulary.members(vocabulary.groups[i])) == [i] for i in fractions)


def test_special_tokens_timestamps_and_unused_ids_are_one_group(vocabulary, tokenizer):
    added = set(tokenizer.get_added_vocab().values())
    unused = set(range(len(tokenizer), len(tokenizer) + 3))
    group = vocabulary.groups[tokenizer.eos_token_id]
    assert set(vocabulary.members(group)) == added | unused
    assert vocabulary.group_texts[group] == SPECIAL_GROUP_TEXT


def test_kinds(vocabulary, tokenizer):
    def kind(token):
        return KINDS[vocabulary.kinds[tokenizer.get_vocab()[token]]]

    assert kind("<|endoftext|>") == "end"
    assert kind("<|0.00|>") == kind("<|30.00|>") == "timestamp"
    assert kind("<|en|>") == kind("<|notimestamps|>") == "special"
    assert kind(".") == kind("-") == kind("Ġ") == "punctuation"
    assert kind("a") == kind("$") == kind("sick") == "text"


def test_a_word_ends_before_a_space_punctuation_or_the_end(vocabulary, tokenizer):
    vocab = tokenizer.get_vocab()
    ends = {token for token, i in vocab.items() if vocabulary.word_ends[i]}
    assert {"<|endoftext|>", "Ġ", "Ġsick", ".", "'", "-"} <= ends
    assert not ends & {"sick", "a", "<|en|>", "<|0.00|>", "$", "Ã"}


def test_masses_add_to_one(vocabulary):
    torch.manual_seed(0)
    z = torch.randn(5, len(vocabulary), dtype=torch.float64) * 4
    head = Head.of(_Output(len(vocabulary)), vocabulary, Suppression())
    log_p = group_logits(z, head) - measures.log_normaliser(z)[:, None]
    assert torch.allclose(log_p.exp().sum(-1), torch.ones(5, dtype=torch.float64), atol=1e-12)
    p = torch.softmax(z, -1)
    for group in range(log_p.shape[1]):
        plain = math.fsum(float(p[2, i]) for i in vocabulary.members(group))
        assert float(log_p[2, group]) == pytest.approx(math.log(plain), abs=1e-12)


class _Output:
    """The output side of a model and nothing else."""

    def __init__(self, size):
        self.weight = torch.ones(size, 2, dtype=torch.float64)

    def get_output_embeddings(self):
        return self


def test_built_once_per_tokenizer(tokenizer):
    assert vocabulary_of(tokenizer, 2000) is vocabulary_of(tokenizer, 2000)
    assert vocabulary_of(tokenizer, 2001) is not vocabulary_of(tokenizer, 2000)


def test_a_tokenizer_of_another_model_is_refused(tokenizer):
    with pytest.raises(InputError, match="different checkpoints"):
        vocabulary_of(tokenizer, len(tokenizer) - 1)


def test_one_key_for_tokens_and_lookups():
    assert normal_form(" Straße\n") == normal_form("STRASSE") == "strasse"
