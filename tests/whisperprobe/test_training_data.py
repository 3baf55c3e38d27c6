"""What the trainer is given: labels to the token, batches to the sample, in an order that can be repeated."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration
from transformers.models.whisper.modeling_whisper import shift_tokens_right

import audiogram
from audiogram.corpus import open_corpus
from audiogram.errors import InputError
from whisperprobe.features import WindowSpec, log_mel
from whisperprobe.labels import prompt_ids
from whisperprobe.training.augment import Augmentation
from whisperprobe.training.data import EpochSampler, Labels, Speech, SpeechDataset, read_speech
from whisperprobe.training.tokenizer import train_tokenizer

RATE = 16_000
WINDOW = WindowSpec(80, 100)
TOKENIZER = train_tokenizer(["ship", "chip", "fish"] * 2, 300)
PROMPT = tuple(
    TOKENIZER.convert_tokens_to_ids(["<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"])
)
LABELS = Labels(TOKENIZER, PROMPT, 32)


def noise(n: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def speech(lengths: list[int], texts: list[str] | None = None) -> Speech:
    texts = texts or ["ship"] * len(lengths)
    return Speech(
        ids=[f"c{i}" for i in range(len(lengths))], texts=texts, labels=[LABELS(t) for t in texts],
        lengths=lengths, rows=list(range(len(lengths))), waveforms=[noise(n, i) for i, n in enumerate(lengths)],
    )  # fmt: skip


def some(dataset: SpeechDataset, pairs: list[tuple[int, int]]) -> dict[str, Any]:
    return dataset.prepare(dataset.__getitems__(pairs), "cpu")


def everything(dataset: SpeechDataset, epoch: int = 0) -> dict[str, Any]:
    return some(dataset, [(epoch, i) for i in range(len(dataset))])


# Labels


def test_labels_hold_prompt_text_and_end_and_no_start_token() -> None:
    ids = LABELS("  ship ")
    assert ids == [*PROMPT[1:], *TOKENIZER.encode("ship", add_special_tokens=False), TOKENIZER.eos_token_id]
    assert PROMPT[0] not in ids
    spaced = Labels(TOKENIZER, PROMPT, 32, leading_space=True)("ship")
    assert TOKENIZER.decode(spaced, skip_special_tokens=True) == " ship"


@pytest.mark.parametrize("multilingual", [True, False])
def test_decoder_reads_the_prompt_once_and_learns_to_write_all_that_follows(multilingual: bool) -> None:
    settings = GenerationConfig(
        is_multilingual=multilingual, decoder_start_token_id=PROMPT[0], no_timestamps_token_id=PROMPT[-1]
    )
    prompt = prompt_ids(TOKENIZER, settings, language="en", task="transcribe")
    assert prompt == list(PROMPT if multilingual else (PROMPT[0], PROMPT[-1]))
    ids = Labels(TOKENIZER, tuple(prompt), 32)("ship")
    read = shift_tokens_right(torch.tensor([ids]), TOKENIZER.pad_token_id, PROMPT[0])[0].tolist()
    text = TOKENIZER.encode("ship", add_special_tokens=False)
    assert read == [*prompt, *text]  # the start token once, the end token not read
    assert ids == [*prompt[1:], *text, TOKENIZER.eos_token_id]


def test_a_leading_space_is_recorded() -> None:
    assert Labels(TOKENIZER, PROMPT, 32, leading_space=True).describe()["leading_space"] is True
    assert LABELS.describe() != Labels(TOKENIZER, PROMPT, 32, leading_space=True).describe()


def test_special_tokens_in_a_transcript_are_plain_characters() -> None:
    ids = LABELS("a <|endoftext|> b")
    assert ids.count(TOKENIZER.eos_token_id) == 1
    assert TOKENIZER.decode(ids[3:-1]) == "a <|endoftext|> b"


def test_padding_is_masked_by_length_and_the_end_token_stays() -> None:
    batch = everything(SpeechDataset(speech([4000, 5000], ["ship", "a fishy chip"]), WINDOW))
    short, long = LABELS("ship"), LABELS("a fishy chip")
    assert batch["labels"].shape == (2, len(long))
    assert batch["labels"][0].tolist() == short + [-100] * (len(long) - len(short))
    assert batch["labels"][1].tolist() == long
    assert TOKENIZER.pad_token_id == TOKENIZER.eos_token_id == batch["labels"][0][len(short) - 1]


def test_padding_in_the_batch_does_not_move_the_loss_of_a_clip() -> None:
    torch.manual_seed(0)
    end = TOKENIZER.eos_token_id
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=len(TOKENIZER), d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64, max_source_positions=50,
            max_target_positions=32, pad_token_id=end, bos_token_id=end, eos_token_id=end,
            decoder_start_token_id=PROMPT[0], begin_suppress_tokens=None,
        )
    ).eval()  # fmt: skip
    batch = everything(SpeechDataset(speech([4000, 5000], ["ship", "a fishy chip"]), WINDOW))
    labels = batch["labels"][:1]
    length = len(LABELS("ship"))
    padded = model(input_features=batch["input_features"][:1], labels=labels).loss
    alone = model(input_features=batch["input_features"][:1], labels=labels[:, :length]).loss
    assert padded.item() == pytest.approx(alone.item(), rel=1e-5)


# Batches


def test_features_are_those_of_log_mel_whether_kept_or_not() -> None:
    lengths = [3000, 16_000, 9999]
    expected = log_mel([noise(n, i) for i, n in enumerate(lengths)], WINDOW)
    kept = SpeechDataset(speech(lengths), WINDOW)
    fresh = SpeechDataset(speech(lengths), WINDOW, cache_bytes=0)
    assert kept.features is not None
    assert fresh.features is None
    assert torch.equal(everything(kept)["input_features"], expected)
    assert torch.allclose(everything(fresh)["input_features"], expected, atol=1e-5)


def test_augmentation_depends_on_epoch_and_clip_and_not_on_the_batch() -> None:
    dataset = SpeechDataset(speech([8000] * 4), WINDOW, augment=Augmentation.of("voices"), seed=3)
    first, again, later = everything(dataset, 0), everything(dataset, 0), everything(dataset, 1)
    assert torch.equal(first["input_features"], again["input_features"])
    assert not torch.allclose(first["input_features"], later["input_features"], atol=1e-3)
    alone = some(dataset, [(0, 2)])["input_features"][0]
    assert torch.allclose(alone, first["input_features"][2], atol=1e-5)


def test_masks_leave_the_kept_features_alone() -> None:
    dataset = SpeechDataset(speech([8000] * 2), WINDOW, augment=Augmentation.of("masks"), seed=3)
    before = SpeechDataset(speech([8000] * 2), WINDOW)
    assert not torch.equal(everything(dataset)["input_features"], everything(before)["input_features"])
    assert all(torch.equal(a, b) for a, b in zip(dataset.features, before.features, strict=True))


def test_every_epoch_has_every_clip_once_in_another_order() -> None:
    order = EpochSampler(50, seed=1)
    first = list(order)
    order.epoch = 1
    second = list(order)
    assert sorted(i for _, i in first) == list(range(50)) == sorted(i for _, i in second)
    assert [i for _, i in first] != [i for _, i in second]
    assert {epoch for epoch, _ in second} == {1}
    order.epoch = 0
    assert list(order) == first


# Conditions


def test_a_condition_on_the_fly_is_what_the_condition_does() -> None:
    hfloss = audiogram.condition("hfloss")
    lengths = [3000, 16_000]
    expected = log_mel([hfloss(noise(n, i), RATE) for i, n in enumerate(lengths)], WINDOW)
    for options in ({}, {"cache_bytes": 0}, {"augment": Augmentation(gain_db=6, probability=0.0)}):
        dataset = SpeechDataset(speech(lengths), WINDOW, condition=hfloss, **options)
        assert torch.allclose(everything(dataset)["input_features"], expected, atol=1e-4)


# Reading


@dataclass
class Memory:
    """The least that a corpus is."""

    clips: list[Any]

    def count(self, split: str) -> int:
        return len(self.clips)

    def read(self, split: str, rows: Any) -> Any:
        return (self.clips[i] for i in rows)


@dataclass
class MemoryClip:
    id: str
    text: str
    sound: np.ndarray
    rate: int = RATE
    read: list[str] = field(default_factory=list)

    def audio(self) -> tuple[np.ndarray, int]:
        return self.sound, self.rate


def test_masking_noise_is_drawn_by_clip_id_as_in_a_masked_corpus() -> None:
    lengths = [4000, 5000]
    noisy = audiogram.Condition("noisy", "hfloss", noise={"kind": "white", "snr_db": 5, "seed": 3})
    heard = [noisy(noise(n, i), RATE, keys=f"c{i}") for i, n in enumerate(lengths)]
    dataset = SpeechDataset(speech(lengths), WINDOW, condition=noisy)
    torch.testing.assert_close(everything(dataset)["input_features"], log_mel(heard, WINDOW), atol=1e-5, rtol=0)


def test_other_rates_are_resampled_once() -> None:
    t = np.arange(24_000) / 48_000
    clip = MemoryClip("a", "ship", np.sin(2 * np.pi * 500 * t).astype(np.float32), 48_000)
    found = read_speech(Memory([clip]), "train", WINDOW, LABELS)
    assert list(found.lengths) == [8000]
    assert found.waveforms is not None
    assert len(found.waveforms[0]) == 8000


def test_clips_that_cannot_be_learnt_are_counted_by_reason_and_refused_above_a_twentieth() -> None:
    fine = [MemoryClip(f"f{i}", "ship", noise(4000, i)) for i in range(60)]
    bad = [MemoryClip("empty", "  ", noise(4000)), MemoryClip("long", "ship", noise(20_000)),
           MemoryClip("silent", "ship", np.zeros(4000, np.float32))]  # fmt: skip
    found = read_speech(Memory([*bad, *fine]), "train", WINDOW, LABELS)
    assert found.ids == [clip.id for clip in fine]
    assert found.excluded == {"without text": 1, "longer than the model's window of 1 s": 1, "unreadable": 1}
    assert list(found.rows) == list(range(3, 63))
    worse = MemoryClip("wordy", "fishy chip " * 20, noise(4000))
    with pytest.raises(InputError) as told:
        read_speech(Memory([worse, *bad, *fine]), "train", WINDOW, LABELS)
    for part in (
        "4 of the 64 clips of split 'train'", "1 without text (the first: 'empty')",
        "window of 1 s (the first: 'long')", "than the decoder's 32 positions (the first: 'wordy')",
        "'silent': silent: every sample is 0",
    ):  # fmt: skip
        assert part in str(told.value)


def test_a_corpus_too_large_for_memory_is_read_batch_by_batch(tmp_path: Path) -> None:
    for i in range(6):
        soundfile.write(tmp_path / f"fish_{i}.wav", noise(4000 + 100 * i, i), RATE, subtype="FLOAT")
    corpus = open_corpus(tmp_path, text_pattern=r"(?P<text>[a-z]+)_\d")
    split = corpus.splits[0]
    kept = read_speech(corpus, split, WINDOW, LABELS)
    streamed = read_speech(corpus, split, WINDOW, LABELS, cache_bytes=40_000)
    assert streamed.waveforms is None
    assert streamed.lengths == kept.lengths
    assert streamed.texts == ["fish"] * 6
    small, large = SpeechDataset(streamed, WINDOW), SpeechDataset(kept, WINDOW)
    pairs = [(0, 4), (0, 1), (0, 5)]
    assert torch.allclose(some(small, pairs)["input_features"], some(large, pairs)["input_features"], atol=1e-5)
