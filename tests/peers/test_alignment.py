"""Word times by cross-attention against OpenAI's `find_alignment`, and warping against its `dtw`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import whisper
from whisper.timing import dtw_cpu, find_alignment
from whisper.tokenizer import get_tokenizer

from whisperprobe import WhisperAligner
from whisperprobe.alignment.time_warping import warp_path

# Words whose space is not a token of its own: with OpenAI such a space is part of the word, here of the gap.
TEXTS = ["thought about it", "the quick brown fox", "naïve Straße zwölf", "don't go", "x", "Привет мир"]


def times(k):
    """Ours from OpenAI's: it takes a position for where its sound begins, which is half a position later."""
    return np.maximum(np.asarray(k) - 0.01, 0)


@pytest.mark.parametrize("seed", range(5))
def test_warping(seed):
    cost = np.random.default_rng(seed).normal(size=(3 + 4 * seed, 60 - 5 * seed))
    theirs = dtw_cpu(cost)
    assert np.array_equal(np.stack(warp_path(cost)), theirs)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_random_model(seed, random_whisper, openai_tokenizer, in_openai):
    model = random_whisper(seed=seed)
    aligner = WhisperAligner(model, openai_tokenizer, batch_size=4)
    theirs, tokenizer = in_openai(model), get_tokenizer(True, num_languages=100, language="en", task="transcribe")
    rng = np.random.default_rng(seed)
    clips = [(0.2 * rng.standard_normal(n)).astype(np.float32) for n in (32_000, 16_000, 30_123, 8_000, 4_000, 20_000)]
    compared = 0
    for x, text, found in zip(clips, TEXTS, aligner(clips, TEXTS), strict=True):
        mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(x, 32_000), 128)
        words = find_alignment(theirs, tokenizer, tokenizer.encode(" " + text), mel, len(x) // 160)
        words = [w for w in words if w.word.strip() and w.word != "<|endoftext|>"]
        assert [w.word for w in found] == [w.word.strip() for w in words]
        assert np.allclose([w.start for w in found], times([w.start for w in words]))
        assert np.allclose([w.end for w in found], times([w.end for w in words]))
        compared += len(words)
    assert compared == 15


def test_the_demo_model(demo_model, demo_speech, in_openai):
    aligner = WhisperAligner.from_pretrained(demo_model, device="cpu", leading_space=False)
    theirs = in_openai(aligner.model)

    class Tokenizer:
        """What `find_alignment` asks of a tokenizer, by the demo's own vocabulary."""

        sot_sequence, no_timestamps, eot = tuple(aligner.prompt[:-1]), aligner.prompt[-1], aligner.end_id

        def split_to_word_tokens(self, tokens):
            return ["word", "end"], [tokens[:-1], tokens[-1:]]

    clips, texts = [x for x, _ in demo_speech], [text for _, text in demo_speech]
    for x, text, (found,) in zip(clips, texts, aligner(clips, texts), strict=True):
        mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(x, aligner.window.n_samples), 80)
        ids = aligner.tokenizer.encode(text, add_special_tokens=False)
        word = find_alignment(theirs, Tokenizer(), ids, mel, len(x) // 160)[0]
        assert (found.start, found.end) == pytest.approx(tuple(times([word.start, word.end])))
        # OpenAI takes its softmax over the text's tokens alone
        assert found.score == pytest.approx(word.probability, abs=1e-3)
    assert torch.is_grad_enabled()
