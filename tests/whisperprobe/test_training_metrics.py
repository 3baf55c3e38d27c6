"""Error rates against counts made by hand; evaluation against plain transformers, clip by clip and in any batches."""

from __future__ import annotations

import csv
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers.modeling_outputs import BaseModelOutput

from audiogram.errors import StoppedError
from whisperprobe.features import log_mel
from whisperprobe.labels import Labels, prompt_ids
from whisperprobe.probing.trimming import trimmed_states
from whisperprobe.probing.windowing import PADDED, Windowing
from whisperprobe.training.data import Speech, SpeechDataset
from whisperprobe.training.evaluating import Evaluation
from whisperprobe.training.metrics import evaluate_listener, text_scores
from whisperprobe.training.model_folder import Listener, new_listener
from whisperprobe.training.processes import Processes
from whisperprobe.training.tokenizer import train_tokenizer

RATE = 16_000
TEXTS = ["sick", "thick", "a fish", "the ship and the chip", "moon", "noon", "bed"]


def test_words_and_characters_are_counted_over_all_clips_together() -> None:
    scores = text_scores(["the ship", "fish", "a wish"], ["the chip", "fish", "wish"])
    assert scores["wer"] == pytest.approx(2 / 5)  # one substitution, one deletion, five words said
    assert scores["cer"] == pytest.approx((1 + 2) / (8 + 4 + 6))
    assert scores["sentence_accuracy"] == pytest.approx(1 / 3)
    assert (scores["n_clips"], scores["n_words"]) == (3, 5)


def test_case_and_punctuation_do_not_count_and_silence_does() -> None:
    assert text_scores(["ship"], ["Ship."])["word_accuracy"] == 1
    assert text_scores(["ship"], [""])["wer"] == 1
    assert text_scores(["ship"], ["ship ship ship"])["wer"] == 2


def test_words_are_said_to_be_words_only_where_every_clip_is_one() -> None:
    assert "sentence_accuracy" not in text_scores(["ship", "Ship."], ["ship", "chip"])
    assert "word_accuracy" not in text_scores(["ship", "a ship"], ["ship", "a ship"])


def test_a_filler_has_no_words_to_count_but_still_must_be_written() -> None:
    scores = text_scores(["hmm"], ["hmm"])
    assert scores["word_accuracy"] == 1
    assert "wer" not in scores
    assert text_scores(["hmm"], [""])["word_accuracy"] == 0


def test_other_languages_keep_their_letters() -> None:
    assert text_scores(["Bär"], ["bär"], language="de")["word_accuracy"] == 1


# Evaluation


@pytest.fixture(scope="module")
def listener() -> Listener:
    """Random weights in float64: whatever it writes, every way to batch it must agree."""
    words = train_tokenizer(TEXTS, 300)
    shape = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "window_seconds": 2, "max_target_positions": 48}
    made = new_listener({**shape, "init_std": 0.3}, words, language="en", task="transcribe", seed=3)
    made.model.double()
    return made


@pytest.fixture
def dataset(listener: Listener) -> SpeechDataset:
    return make_dataset(listener)


def make_dataset(listener: Listener, windowing: Windowing = PADDED) -> SpeechDataset:
    """Seven clips of noise, 0.25 to 1.2 s long."""
    rng, model = np.random.default_rng(1), listener.model
    prompt = prompt_ids(listener.tokenizer, model.generation_config)
    labels = Labels(listener.tokenizer, tuple(prompt), model.config.max_target_positions)
    sounds = [rng.standard_normal(RATE // 4 + 2500 * i).astype(np.float32) for i in range(len(TEXTS))]
    speech = Speech(
        ids=[f"clip{i}" for i in range(len(TEXTS))], texts=list(TEXTS), labels=[labels(t) for t in TEXTS],
        lengths=[len(x) for x in sounds], rows=list(range(len(TEXTS))), waveforms=sounds,
    )  # fmt: skip
    return SpeechDataset(speech, listener.window, windowing=windowing)


@pytest.fixture
def features(dataset: SpeechDataset, listener: Listener) -> torch.Tensor:
    rng = np.random.default_rng(1)
    sounds = [rng.standard_normal(RATE // 4 + 2500 * i).astype(np.float32) for i in range(len(TEXTS))]
    return log_mel(sounds, listener.window).double()


def test_loss_and_texts_equal_those_of_plain_transformers_clip_by_clip(
    listener: Listener, dataset: SpeechDataset, features: torch.Tensor
) -> None:
    scores, texts = evaluate_listener(listener, dataset, batch_size=3)
    loss, count = 0.0, 0
    for one, ids, text in zip(features, dataset.speech.labels, texts, strict=True):
        with torch.no_grad():
            own = listener.model(input_features=one[None], labels=torch.tensor([ids]))
        loss, count = loss + float(own.loss) * len(ids), count + len(ids)
        limit = int(dataset.label_lengths.max()) * 2 + 8
        written = listener.model.generate(
            one[None], language="en", task="transcribe", max_new_tokens=min(limit, 44), return_timestamps=False
        )
        assert listener.tokenizer.batch_decode(written, skip_special_tokens=True) == [text]
    assert scores["loss"] == pytest.approx(loss / count, rel=1e-9)
    assert scores.items() >= text_scores(TEXTS, texts).items()
    assert len(set(texts)) > 1


def test_neither_batches_nor_the_mode_of_the_model_matter(listener: Listener, dataset: SpeechDataset) -> None:
    listener.model.train()
    before = torch.get_rng_state()
    all_scores = [Evaluation(batch_size=size).run(listener, dataset) for size in (1, 2, 5, 100)]
    assert torch.equal(torch.get_rng_state(), before)  # one that is made up for after a restart changes no dropout
    assert listener.model.training
    listener.model.eval()
    for scores in all_scores:
        assert scores == pytest.approx(all_scores[0], rel=1e-9)


def test_trimmed_windows_are_heard_clip_by_clip_whatever_the_batch(listener: Listener, features: torch.Tensor) -> None:
    dataset = make_dataset(listener, Windowing("trimmed", 0.1))
    positions = [dataset.windowing.positions(n, listener.window) for n in dataset.speech.lengths]
    assert positions == [25, 50, 50, 50, 50, 75, 75]
    loss, count = 0.0, 0
    for one, ids, length in zip(features, dataset.speech.labels, positions, strict=True):
        with torch.no_grad():
            states = BaseModelOutput(last_hidden_state=trimmed_states(listener.model, one[None], length))
            own = listener.model(encoder_outputs=states, labels=torch.tensor([ids]))
        loss, count = loss + float(own.loss) * len(ids), count + len(ids)
    scores = [Evaluation(batch_size=size).run(listener, dataset) for size in (1, 2, 100)]
    assert scores[0]["loss"] == pytest.approx(loss / count, rel=1e-9)
    assert scores[0] == pytest.approx(scores[1], rel=1e-9)
    assert scores[0] == pytest.approx(scores[2], rel=1e-9)
    assert scores[0]["loss"] != pytest.approx(Evaluation().run(listener, make_dataset(listener))["loss"], rel=1e-6)


def test_a_clip_that_cannot_be_read_any_more_is_not_scored_as_its_neighbour(
    listener: Listener, dataset: SpeechDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = Evaluation(batch_size=1).hear(listener, dataset)[1]
    plain = SpeechDataset.__getitems__
    monkeypatch.setattr(
        SpeechDataset, "__getitems__", lambda self, pairs: plain(self, [(e, 4 if i == 3 else i) for e, i in pairs])
    )
    for size in (1, 3):
        heard = Evaluation(batch_size=size).hear(listener, dataset)[1]
        assert [(h.row, h.text) for h in heard] == [(h.row, h.text) for h in alone if h.row != 3]


def test_the_first_hypotheses_are_kept_and_told(
    listener: Listener, dataset: SpeechDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "whisperprobe"):
        _, texts = evaluate_listener(listener, dataset)
        assert not caplog.messages
        Evaluation(tmp_path, shown=3, batch_size=2).run(listener, dataset, 40)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evaluations"]
    with (tmp_path / "evaluations" / "step-40.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(r["clip_id"], r["text"], r["hypothesis"]) for r in rows] == [
        (f"clip{i}", TEXTS[i], texts[i]) for i in range(3)
    ]
    assert len(caplog.messages) == 3
    assert "step 40, clip0: said 'sick', wrote" in caplog.messages[0]


@dataclass(frozen=True)
class Told(Processes):
    """One of several processes, with what the others are going to say."""

    shares: Any = None

    def gather(self, value: Any) -> list[Any]:
        return [value] * self.count if self.shares is None else self.shares


def test_processes_that_share_the_work_find_what_one_finds(listener: Listener, dataset: SpeechDataset) -> None:
    alone = Evaluation(batch_size=2)
    shares = []
    for rank in range(3):
        one = replace(alone, processes=Told(rank, 3))
        shares.append((False, list({h.row: h for h in one.hear(listener, dataset)[1]}.values())))
    assert sorted(h.row for _, share in shares for h in share) == list(range(len(TEXTS)))
    together = replace(alone, processes=Told(1, 3, shares))
    assert together.run(listener, dataset) == alone.run(listener, dataset)
    stopped = replace(alone, processes=Told(1, 3, [(False, []), (False, []), (True, [])]))
    with pytest.raises(StoppedError, match="another process"):
        stopped.run(listener, dataset)


def test_asked_to_stop_it_writes_nothing(
    listener: Listener, dataset: SpeechDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from audiogram import console

    monkeypatch.setitem(console._stop, "signal", "SIGTERM")
    with pytest.raises(StoppedError, match="SIGTERM"):
        replace(Evaluation(), folder=tmp_path).run(listener, dataset, 1)
    assert not list(tmp_path.iterdir())
