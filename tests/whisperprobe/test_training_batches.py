"""Which clips make a batch: all of them once an epoch, of like length where wanted, read by processes or without."""

from __future__ import annotations

import os
import signal
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from audiogram.corpus import open_corpus
from audiogram.errors import InputError
from whisperprobe.features import WindowSpec
from whisperprobe.labels import Labels
from whisperprobe.training.augment import Augmentation
from whisperprobe.training.data import EpochSampler, SpeechDataset, collate, read_speech, worker_init
from whisperprobe.training.step_order import StepOrder
from whisperprobe.training.tokenizer import train_tokenizer

RATE = 16_000
WINDOW = WindowSpec(80, 100)
TOKENIZER = train_tokenizer(["ship", "chip", "fish"] * 2, 300)
LABELS = Labels(TOKENIZER, tuple(TOKENIZER.convert_tokens_to_ids(["<|startoftranscript|>", "<|notimestamps|>"])), 32)

# Grouping


@given(st.integers(1, 60), st.integers(0, 9), st.integers(0, 3), st.integers(0, 5))
def test_every_epoch_has_every_clip_once_whatever_the_group(n: int, group: int, epoch: int, seed: int) -> None:
    lengths = np.random.default_rng(seed).integers(1, 1000, n)
    order = EpochSampler(n, seed, lengths, group)
    order.epoch = epoch
    found = list(order)
    assert sorted(i for _, i in found) == list(range(n))
    assert {e for e, _ in found} == {epoch}
    assert found == list(order)


def spread(lengths: np.ndarray, order: EpochSampler, steps: int, size: int) -> list[int]:
    """Longest minus shortest of every step."""
    stream = [i for _, i in StepOrder(order, steps, size)]
    cut = lengths[np.array(stream)].reshape(steps, size)
    assert all(np.all(np.diff(step) >= 0) for step in cut) or order.group == 0 or len(order) % size
    return (cut.max(1) - cut.min(1)).tolist()


def test_steps_have_clips_of_like_length_also_where_they_cross_epochs() -> None:
    lengths = np.random.default_rng(1).integers(1000, 100_000, 1003)  # epochs do not end where steps do
    grouped = spread(lengths, EpochSampler(1003, 3, lengths, 16), 180, 16)
    plain = spread(lengths, EpochSampler(1003, 3), 180, 16)
    mixed = [width for width in grouped if width > 20_000]
    assert np.median(grouped) < 0.1 * np.median(plain)
    assert len(mixed) <= 2 * 3  # two ends of each of three epochs


def test_which_lengths_come_when_is_left_to_chance() -> None:
    lengths = np.arange(640)
    order = EpochSampler(640, 3, lengths, 16)
    means = []
    for order.epoch in range(3):
        means.append(lengths[[i for _, i in order]].reshape(-1, 16).mean(1))
        assert abs(np.corrcoef(np.arange(40), means[-1])[0, 1]) < 0.5
    assert not np.array_equal(means[0], means[1])


def test_a_run_taken_up_again_meets_the_same_clips() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 50)
    whole = list(StepOrder(EpochSampler(50, 2, lengths, 8), 20, 8))
    again = list(islice(StepOrder(EpochSampler(50, 2, lengths, 8), 20, 8), 7 * 8, None))
    assert whole[7 * 8 :] == again


# Reading


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("speech")
    rng = np.random.default_rng(0)
    for i in range(40):
        x = 0.1 * rng.standard_normal(4000 + 200 * i)
        soundfile.write(root / f"fish_{i:02}.wav", x.astype(np.float32), RATE, subtype="FLOAT")
    return root


def streamed(folder: Path, **options: object) -> SpeechDataset:
    corpus = open_corpus(folder, text_pattern=r"(?P<text>[a-z]+)_\d+")
    speech = read_speech(corpus, "train", WINDOW, LABELS, cache_bytes=0)
    assert speech.waveforms is None
    return SpeechDataset(speech, WINDOW, cache_bytes=0, **options)  # type: ignore[arg-type]


def test_processes_read_what_one_process_reads(folder: Path) -> None:
    dataset = streamed(folder, augment=Augmentation(speed=0.2, ears="bisgaard", time_masks=1, frequency_masks=1))
    assert dataset.wants_workers
    order = StepOrder(EpochSampler(40, 1), 4, 16)
    batches = []
    for workers in (0, 2):
        loader = DataLoader(
            dataset, batch_size=8, sampler=order, collate_fn=collate, num_workers=workers,
            worker_init_fn=worker_init if workers else None,
        )  # fmt: skip
        batches.append([dataset.prepare(batch, "cpu") for batch in loader])
    assert len(batches[0]) == len(batches[1]) == 8
    for a, b in zip(*batches, strict=True):
        assert torch.equal(a["input_features"], b["input_features"])
        assert torch.equal(a["labels"], b["labels"])


def test_what_is_kept_needs_no_processes(folder: Path) -> None:
    corpus = open_corpus(folder, text_pattern=r"(?P<text>[a-z]+)_\d+")
    kept = SpeechDataset(read_speech(corpus, "train", WINDOW, LABELS), WINDOW)
    assert not kept.wants_workers
    assert kept.speech.waveforms is None  # as log-mels, not twice
    assert kept.names(kept[0, 3]) == ["fish_03"]


def test_nothing_is_held_of_a_corpus_that_does_not_fit(folder: Path) -> None:
    dataset = streamed(folder)
    before = {name: id(value) for name, value in vars(dataset.speech).items()}
    for start in range(0, 40, 8):
        dataset.prepare(dataset.__getitems__([(0, i) for i in range(start, start + 8)]), "cpu")
    assert {name: id(value) for name, value in vars(dataset.speech).items()} == before
    assert dataset.features is None


def test_signals_are_for_the_parent() -> None:
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    try:
        worker_init(0)
        for one in before:
            os.kill(os.getpid(), one)
            assert signal.getsignal(one) == signal.SIG_IGN
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


# Clips that turn bad


def test_a_clip_that_cannot_be_read_any_more_is_replaced_by_its_neighbour_and_told(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here = tmp_path / "speech"
    here.mkdir()
    for file in folder.iterdir():
        (here / file.name).write_bytes(file.read_bytes())
    dataset = streamed(here)
    (here / "fish_07.wav").write_bytes(b"RIFF")
    raw = dataset.__getitems__([(0, 3), (0, 7), (0, 11)])
    assert dataset.names(raw) == ["fish_03", "fish_08", "fish_11"]
    found = dataset.prepare(raw, "cpu")
    fine = streamed(folder)
    expected = fine.prepare(fine.__getitems__([(0, 3), (0, 8), (0, 11)]), "cpu")
    assert torch.equal(found["input_features"], expected["input_features"])
    assert dataset.failures == {"unreadable while training": 1}
    assert "'fish_07' is left out" in caplog.text
    dataset.prepare(dataset.__getitems__([(1, 7)]), "cpu")
    assert dataset.failures == {"unreadable while training": 1}  # counted once
    soundfile.write(here / "fish_20.wav", np.zeros(4000, np.float32), RATE)
    dataset.prepare(dataset.__getitems__([(0, 20)]), "cpu")
    (here / "fish_21.wav").unlink()
    with pytest.raises(InputError, match=r"3 of the 40 clips could not be read while training, more than 5%.*fish_21"):
        dataset.prepare(dataset.__getitems__([(0, 21)]), "cpu")


def test_a_corpus_that_vanishes_ends_the_run(folder: Path, tmp_path: Path) -> None:
    here = tmp_path / "speech"
    here.mkdir()
    for file in folder.iterdir():
        (here / file.name).write_bytes(file.read_bytes())
    dataset = streamed(here)
    for file in here.iterdir():
        file.unlink()
    with pytest.raises(InputError, match="20 clips in a row cannot be read, the last:"):
        dataset.__getitems__([(0, 0)])
