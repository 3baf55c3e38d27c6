"""A small Whisper, trained from random weights on sentences; for benchmarks/alignment.py.

While it learns to write, a second output on its encoder learns CTC (Watanabe et al. 2017, "Hybrid CTC/attention
architecture for end-to-end speech recognition"), with which attention finds its way along the sound in minutes instead
of hours; it is thrown away afterwards. Neither loss is told when a word is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from small_ctc import LABEL, LETTERS, Priors, batches
from spoken_sentences import Sentence

from whisperprobe.features import log_mel
from whisperprobe.labels import Labels, prompt_ids
from whisperprobe.probing.trimming import trimmed_states
from whisperprobe.probing.windowing import Windowing
from whisperprobe.training.augment import Augmentation, draw
from whisperprobe.training.model_folder import new_listener
from whisperprobe.training.tokenizer import train_tokenizer

SHAPE = {
    "d_model": 96, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 6,
    "ffn_dim": 288, "n_mels": 80, "max_target_positions": 96,
}  # fmt: skip
# Hardly more tokens than there are bytes: every letter is one, and attention has to move on with each.
VOCABULARY = 270
BATCH = 16
CTC_WEIGHT = 0.3
VOICES = Augmentation(speed=0.15, gain_db=6.0, noise_snr_db=15.0, probability=0.8)


def train_whisper(
    spoken: Sequence[Sentence], folder: Path, *, steps: int, window_seconds: int, ctc_weight: float = CTC_WEIGHT,
    seed: int = 0, start: Path | None = None, peak: float = 2e-3,
) -> Path:  # fmt: skip
    """Train a model of 0.6 million parameters and save it as a folder that `whisperprobe` and transformers load.

    `start`: a model made by this function, that is gone on with; `peak`: the highest learning rate.
    """
    tokenizer = train_tokenizer([one.text for one in spoken], VOCABULARY)
    shape = {**SHAPE, "window_seconds": window_seconds}
    listener = new_listener(shape, tokenizer, language="en", task="transcribe", seed=seed)
    listener = replace(listener, windowing=Windowing("trimmed", margin=0.0))  # silence behind a clip takes time only
    if start is not None:
        weights = load_file(start / "model.safetensors")
        listener.model.load_state_dict(weights, strict=False)  # the output embedding is the input's, and not saved
        listener.model.tie_weights()
    model = listener.model.train()
    prompt = tuple(prompt_ids(tokenizer, model.generation_config))
    speak = Labels(tokenizer, prompt, model.config.max_target_positions, leading_space=True)
    torch.manual_seed(seed)
    ctc, priors = torch.nn.Linear(model.config.d_model, len(LETTERS)), Priors()
    parameters = [*model.parameters(), *ctc.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=peak, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=peak, total_steps=steps, pct_start=0.1)
    for step, rows in zip(range(steps), batches(spoken, seed, BATCH), strict=False):
        sounds = [
            VOICES.waveform(row.x, draw(seed, step, row.id), sample_rate=16_000, longest=listener.window.n_samples)
            for row in rows
        ]
        longest = listener.windowing.positions(max(map(len, sounds)), listener.window)
        features = log_mel(sounds, listener.window)
        states = trimmed_states(model, features, longest or listener.window.n_frames // 2)
        said = [torch.tensor(speak(row.text)) for row in rows]
        labels = torch.nn.utils.rnn.pad_sequence(said, batch_first=True, padding_value=-100)
        loss = model(encoder_outputs=(states,), labels=labels, use_cache=False).loss
        if ctc_weight:
            frames = torch.tensor([len(x) // 320 for x in sounds])
            letters = [torch.tensor([LABEL[c] for c in row.text.replace(" ", "|")]) for row in rows]
            loss = loss + ctc_weight * priors.loss(ctc(states).log_softmax(-1), frames, letters)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            print(f"Whisper: step {step + 1} of {steps}, loss {float(loss.detach()):.3f}", flush=True)
    model.eval()
    listener.save(folder)
    return folder
