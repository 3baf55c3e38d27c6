"""A small wav2vec 2.0 CTC model of characters, trained from random weights on sentences; for benchmarks/alignment.py.

Label priors (Huang et al. 2024, "Less peaky and more accurate CTC forced alignment by label priors") are taken off the
log-probabilities in the loss: without them the model learns late and names characters a constant time after they are
said, which CTC's loss does not mind.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from spoken_sentences import Sentence

LETTERS = ["<pad>", "|", *"abcdefghijklmnopqrstuvwxyz'"]
LABEL = {letter: number for number, letter in enumerate(LETTERS)}
BATCH, AT_ONCE = 8, 10
PRIOR_WEIGHT, PRIOR_MEMORY = 0.3, 0.98


def train_ctc(spoken: Sequence[Sentence], folder: Path, *, steps: int, seed: int = 0) -> Path:
    """Train a model of 0.7 million parameters, 20 ms frames, and save it with tokenizer and feature extractor."""
    from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    config = Wav2Vec2Config(
        vocab_size=len(LETTERS), pad_token_id=0, hidden_size=128, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=384, conv_dim=(96, 128, 128), conv_stride=(20, 8, 2), conv_kernel=(80, 16, 4),
        num_feat_extract_layers=3, feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True,
        num_conv_pos_embeddings=32, num_conv_pos_embedding_groups=8, apply_spec_augment=False, hidden_dropout=0.05,
        attention_dropout=0.05, activation_dropout=0.0, feat_proj_dropout=0.05, final_dropout=0.0, layerdrop=0.0,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = Wav2Vec2ForCTC(config).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=2e-3, total_steps=steps, pct_start=0.1)
    priors = Priors()
    for step, rows in zip(range(steps), batches(spoken, seed), strict=False):
        sound, mask, labels = tensors(rows)
        log_p = model(sound, attention_mask=mask).logits.log_softmax(-1)
        frames = model._get_feat_extract_output_lengths(mask.sum(1))
        loss = priors.loss(log_p, frames, labels)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            print(f"CTC: step {step + 1} of {steps}, loss {float(loss.detach()):.3f}", flush=True)
    model.eval().save_pretrained(folder)
    (folder / "letters.json").write_text(json.dumps(LABEL), encoding="utf-8")
    Wav2Vec2CTCTokenizer(
        str(folder / "letters.json"), pad_token="<pad>", unk_token="<pad>", bos_token=None, eos_token=None
    ).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(folder)
    return folder


class Priors:
    """How often each label is named, followed as training goes on, and the CTC loss that it is taken off in."""

    def __init__(self) -> None:
        self._prior = torch.full((len(LETTERS),), 1 / len(LETTERS))

    def loss(self, log_p: torch.Tensor, frames: torch.Tensor, labels: Sequence[torch.Tensor]) -> torch.Tensor:
        """CTC loss of log-probabilities (clips, frames, labels)."""
        with torch.no_grad():
            now = torch.cat([one[:n].exp() for one, n in zip(log_p, frames, strict=True)]).mean(0)
            self._prior = PRIOR_MEMORY * self._prior + (1 - PRIOR_MEMORY) * now
        less = (log_p - PRIOR_WEIGHT * self._prior.clamp_min(1e-6).log()).transpose(0, 1)
        lengths = torch.tensor([len(one) for one in labels])
        return torch.nn.functional.ctc_loss(less, torch.cat(list(labels)), frames, lengths, zero_infinity=True)


def batches(spoken: Sequence[Sentence], seed: int, size: int = BATCH) -> Iterator[list[Sentence]]:
    """Batches of like lengths, in random order, for ever."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(spoken))
        for start in range(0, len(order) - size * AT_ONCE + 1, size * AT_ONCE):
            some = sorted(order[start : start + size * AT_ONCE], key=lambda i: len(spoken[i].x))
            for k in rng.permutation(AT_ONCE):
                yield [spoken[i] for i in some[k * size : (k + 1) * size]]


def tensors(rows: Sequence[Sentence]) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Sound of mean 0 and variance 1, its mask, and the labels of each text."""
    longest = max(len(row.x) for row in rows)
    sound, mask = torch.zeros(len(rows), longest), torch.zeros(len(rows), longest, dtype=torch.int64)
    for i, row in enumerate(rows):
        sound[i, : len(row.x)] = torch.from_numpy((row.x - row.x.mean()) / np.sqrt(row.x.var() + 1e-7))
        mask[i, : len(row.x)] = 1
    return sound, mask, [torch.tensor([LABEL[c] for c in row.text.replace(" ", "|")]) for row in rows]
