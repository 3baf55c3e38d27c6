"""Surprisal and rank against minicons: a text model through the scoring kernel that scores Whisper's tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from minicons.scorer import IncrementalLMScorer

from whisperprobe import measures
from whisperprobe.probing.decode import Suppression
from whisperprobe.probing.head import Head
from whisperprobe.probing.packing import pack
from whisperprobe.probing.score import Targets, score
from whisperprobe.probing.vocabulary import vocabulary_of

SENTENCES = [
    "The keys to the cabinet are on the table.",
    "The keys to the cabinet is on the table.",
    "Colourless green ideas sleep furiously",
    "naïve Straße",
    "I",
]
END = "<|endoftext|>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A GPT-2 of random weights with a tokenizer of its own, on disk as a tool would download it."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.trainers import BpeTrainer
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    backend = Tokenizer(BPE())
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False)
    trainer = BpeTrainer(
        vocab_size=400, initial_alphabet=ByteLevel.alphabet(), special_tokens=[END], show_progress=False
    )
    backend.train_from_iterator(SENTENCES * 3, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=END, eos_token=END, unk_token=END)
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    size = len(tokenizer)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=size, n_positions=64, n_embd=48, n_layer=2, n_head=3, initializer_range=0.3,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        )
    )  # fmt: skip
    torch.random.set_rng_state(state)
    path = tmp_path_factory.mktemp("gpt2")
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def scorer(folder):
    return IncrementalLMScorer(str(folder), "cpu")


@pytest.fixture(scope="module")
def kernel(scorer):
    """Our rows of every sentence: all of them side by side in one pass of the decoder, as a clip's variants are."""
    model, tokenizer = scorer.model, scorer.tokenizer
    vocabulary = vocabulary_of(tokenizer, model.get_output_embeddings().weight.shape[0])
    head = Head.of(model, vocabulary, Suppression())
    ids = [tokenizer.encode(sentence) for sentence in SENTENCES]
    packed = pack([tokenizer.bos_token_id], [list(enumerate(ids))], vocabulary.end_id)
    mask = torch.zeros(packed.visible.shape).masked_fill(~torch.from_numpy(packed.visible), torch.finfo().min)
    with torch.inference_mode():
        hidden = model.transformer(
            input_ids=torch.from_numpy(packed.input_ids),
            position_ids=torch.from_numpy(packed.position_ids),
            attention_mask=mask[:, None],
        ).last_hidden_state
        states = hidden.reshape(-1, hidden.shape[-1])[torch.from_numpy(packed.states)]
        none = Targets(*(np.empty(0, dtype=np.int64) for _ in range(3)))
        scores = score(states, packed, none, head, keep=np.empty(0, dtype=np.int64), top_k=0)
    return packed.rows, scores.rows, head, states


@pytest.mark.parametrize("number", range(len(SENTENCES)))
def test_surprisal_and_rank_of_every_token(number, scorer, kernel):
    rows, columns, *_ = kernel
    theirs = scorer.token_score(SENTENCES[number], bos_token=True, surprisal=True, base_two=True, rank=True)[0][1:]
    own = rows.variant == number
    assert scorer.tokenizer.convert_ids_to_tokens(rows.token_id[own].tolist()) == [token for token, *_ in theirs]
    assert columns["surprisal"][own] == pytest.approx(np.array([bits for _, bits, _ in theirs]), abs=1e-4)
    assert columns["rank"][own].tolist() == [rank for *_, rank in theirs]


def test_probability_and_joint_log_probability(scorer, kernel):
    rows, columns, *_ = kernel
    joint = measures.clip_sums(columns["log_probability"], rows.variant, len(SENTENCES))
    theirs = scorer.sequence_score(SENTENCES, reduction=lambda x: x.sum().item(), bos_token=True)
    assert joint == pytest.approx(np.array(theirs), abs=1e-4)
    for number, found in enumerate(scorer.token_score(SENTENCES, bos_token=True, prob=True)):
        expected = np.array([p for _, p in found[1:]])
        assert columns["probability"][rows.variant == number] == pytest.approx(expected, rel=1e-4)
