"""Claims about minicons, on a GPT-2 of random weights; `python -m comparison.minicons_scorers`.

Whisper is not among the models that it takes. Where a question is about text as about sound it answers for text.
"""

from __future__ import annotations

import importlib.metadata
import math
import sys
import tempfile
from functools import cache
from typing import Any

import pytest
import torch
from minicons.cwe import CWE
from minicons.scorer import IncrementalLMScorer, Seq2SeqScorer
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from comparison.claims import Claims
from comparison.listeners import DEMO
from comparison.rows_listeners import WHISPER, rows_of

SEARCH = ["minicons.scorer", "minicons.cwe", "minicons.supervised", "minicons.scorer:IncrementalLMScorer"]
claim = Claims("minicons", ["minicons"], SEARCH, SEARCH[:3])

END = "<|endoftext|>"
TEXTS = ["the keys to the cabinet are on the table", "a ship", "green ideas sleep furiously tonight"]
SOUND = ("times", "align", "long", "vad", "disfluencies", "subtitles", "language", "hearing", "trimmed", "finetune")


def save_model(folder: str) -> None:
    """A GPT-2 with a tokenizer of its own, as a tool would download it."""
    backend = Tokenizer(BPE())
    backend.pre_tokenizer = ByteLevel(add_prefix_space=True)
    alphabet = ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=300, initial_alphabet=alphabet, special_tokens=[END], show_progress=False)
    backend.train_from_iterator(TEXTS, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=END, eos_token=END, unk_token=END)
    torch.manual_seed(0)
    end = tokenizer.bos_token_id
    shape = {"n_positions": 64, "n_embd": 24, "n_layer": 2, "n_head": 2, "initializer_range": 0.3}
    config = GPT2Config(vocab_size=len(tokenizer), bos_token_id=end, eos_token_id=end, **shape)
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@cache
def opened() -> tuple[IncrementalLMScorer, CWE]:
    with tempfile.TemporaryDirectory() as folder:
        save_model(folder)
        return IncrementalLMScorer(folder, "cpu"), CWE(folder, "cpu")


def scorer() -> IncrementalLMScorer:
    return opened()[0]


def total(x: torch.Tensor) -> float:
    return float(x.sum())


@claim("tokens", "partly", "token_score")
def _() -> str:
    (scores,) = scorer().token_score(TEXTS[0], bos_token=True)
    assert all(score <= 0 for _, score in scores)
    return "of a text that is given; it writes none"


@claim("rank", "partly", "token_score(rank)", "MaskedLMScorer.entropy")
def _() -> str:
    (scores,) = scorer().token_score(TEXTS[0], bos_token=True, rank=True)
    assert all(rank >= 1 for *_, rank in scores[1:])
    return "ranks of tokens; the entropy of a masked word"


@claim("surprisal", "yes", "token_score(surprisal, base_two)")
def _() -> str:
    nats, bits = (scorer().token_score(TEXTS[1], bos_token=True, surprisal=True, base_two=two)[0] for two in (0, 1))
    assert nats[1][1] == pytest.approx(bits[1][1] * math.log(2), rel=1e-4)
    return "nats, or bits"


@claim("forced", "yes", "sequence_score", "conditional_score", "Seq2SeqScorer")
def _() -> str:
    assert scorer().conditional_score(["the keys to"], ["the cabinet"])[0] < 0
    return "by models of text"


@claim("word_end", "yes", "token_score(bow_correction)")
def _() -> str:
    plain, corrected = (
        scorer().sequence_score(TEXTS[:1], bos_token=True, bow_correction=on)[0] for on in (False, True)
    )
    assert plain != corrected
    return "the correction for the beginning of the next word"


@claim("top_k", "yes", "next_word_distribution", "topk")
def _() -> str:
    assert len(scorer().topk(scorer().next_word_distribution(["the keys"]), 3)[0][0]) == 3
    return "of the next token, or for a masked word"


@claim("lexicon", "partly", "fixed_label_score", "query")
def _() -> str:
    (found,) = scorer().fixed_label_score(["the keys to the"], ["cabinet", "table"], probs=True)
    assert len(found) == 2
    return "given continuations of a text, each with its score"


@claim("hidden", "yes", "CWE.extract_representation(layer)")
def _() -> str:
    assert opened()[1].extract_representation([[TEXTS[0], "cabinet"]], layer=1).shape == (1, 24)
    return "of words in a text, of any layer"


@claim("confidence", "partly", "word_score_tokenized")
def _() -> str:
    (words,) = scorer().word_score_tokenized(TEXTS[:1], tokenize_function=str.split, surprisal=True, base_two=True)
    assert [word for word, _ in words] == TEXTS[0].split()
    return "surprisal of the words of a text, its tokens added up"


for row in SOUND:

    @claim(row, "none")
    def _() -> None:
        with pytest.raises(ValueError, match="Unrecognized configuration class"):
            Seq2SeqScorer(str(DEMO / "model"), "cpu")


@claim("batch", "yes", "token_score")
def _() -> str:
    assert len(scorer().token_score(TEXTS, bos_token=True)) == 3
    return "texts"


@claim("alone", "yes", "sequence_score")
def _() -> str:
    together = scorer().sequence_score(TEXTS, reduction=total, bos_token=True)
    alone = [scorer().sequence_score([text], reduction=total, bos_token=True)[0] for text in TEXTS]
    assert together == pytest.approx(alone, abs=1e-3)
    return "but for rounding"


@claim("families", "yes", "IncrementalLMScorer", "MaskedLMScorer", "Seq2SeqScorer", "MambaScorer", "VLMScorer")
def _() -> str:
    return "models of text, and of images with text; no Whisper"


@claim("command", "yes", "bin.score_cli.process")
def _() -> str:
    assert importlib.metadata.entry_points(group="console_scripts", name="minicons")
    return "`minicons`: a file of sentences"


@claim("device", "fact", "IncrementalLMScorer(device)")
def _() -> str:
    return "one of torch's devices"


@claim("requires", "fact")
def _() -> str:
    needed = [one for one in importlib.metadata.requires("minicons") or [] if "extra" not in one]
    return f"{len(needed)} distributions, torch and transformers among them"


@claim("licence", "fact")
def _() -> str:
    return importlib.metadata.metadata("minicons")["License"]


@claim("python", "fact")
def _() -> str:
    found: Any = importlib.metadata.metadata("minicons")
    return f"{found['Version']}, Python {found['Requires-Python'].removeprefix('>=').split('.0,')[0]} or newer"


claim.idle("loss", "adapters", "again", "large")

if __name__ == "__main__":
    sys.stdout.write(claim.report(rows_of(WHISPER)))
