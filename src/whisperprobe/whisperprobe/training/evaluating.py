"""Scores of a model on the validation split, found by one process or several, and a table of what it wrote."""

from __future__ import annotations

import contextlib
import csv
import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from audiogram.console import check_stop, stop_requested
from audiogram.corpus.files import write_whole
from audiogram.errors import StoppedError
from whisperprobe.labels import prompt_ids, same_text, text_normaliser
from whisperprobe.probing.batches import end_id_of
from whisperprobe.probing.decode import Suppression, at_least_float32, encode, greedy_decode, room_for_text
from whisperprobe.training.curve_tables import EVALUATIONS
from whisperprobe.training.data import SpeechDataset, collate, worker_init
from whisperprobe.training.metrics import text_scores
from whisperprobe.training.processes import Processes

if TYPE_CHECKING:
    from whisperprobe.training.model_folder import Listener

__all__ = ["Evaluation"]

_log = logging.getLogger("whisperprobe")
_ALONE = Processes()
_COLUMNS = ("clip_id", "text", "hypothesis", "correct", "loss")


class _Heard(NamedTuple):
    """What became of one clip."""

    row: int
    loss: float  # summed over its tokens
    tokens: int
    text: str


class _Share(NamedTuple):
    """A batch."""

    rows: list[int]  # of the dataset
    features: torch.Tensor
    labels: torch.Tensor
    positions: int | None  # of the encoder; none: all


@dataclass(frozen=True)
class Evaluation:
    """How a model is scored while it is trained and at the end.

    Parameters
    ----------
    folder : Path, optional
        Run folder whose `evaluations/step-N.csv` shows the first hypotheses; none: nothing is written.
    language, task : str
        Of the prompt, as in training.
    batch_size : int, default 32
        Clips at once, in each process.
    device : str or torch.device, default "cpu"
        Where the model is.
    autocast : torch.dtype, optional
        Precision in which the model was trained over its float32 weights, such as `torch.bfloat16`.
    shown : int, default 20
        How many hypotheses the table holds: those of the split's first clips.
    workers : int, default 0
        Processes that read clips, for each that scores.
    processes : Processes
        Those that share the work; by default this one alone.
    """

    folder: Path | None = None
    language: str = "en"
    task: str = "transcribe"
    batch_size: int = 32
    device: str | torch.device = "cpu"
    autocast: torch.dtype | None = None
    shown: int = 20
    workers: int = 0
    processes: Processes = _ALONE

    def run(self, listener: Listener, dataset: SpeechDataset, step: int = 0) -> dict[str, float]:
        """Score a model on a dataset. All of `processes` call it and get the same scores.

        Parameters
        ----------
        listener : Listener
            The model itself, not what DDP wraps around it.
        dataset : SpeechDataset
            Without augmentation; the same in every process.
        step : int
            Optimiser steps so far, for the table's name.

        Returns
        -------
        dict
            `loss` (mean cross-entropy over all tokens, those of the prompt behind the start token included, as in
            training) and those of `text_scores`. They depend neither on the batch size nor on the number of
            processes, but for the rounding of batched matrix products.

        Raises
        ------
        StoppedError
            When a signal asked any of the processes to stop; nothing is written then.
        """
        scores, heard = self.hear(listener, dataset)
        if self.folder is not None and self.processes.is_first:
            self._show(self.folder, listener, dataset, heard[: self.shown], step)
        return scores

    def hear(self, listener: Listener, dataset: SpeechDataset) -> tuple[dict[str, float], list[_Heard]]:
        """Score without writing anything; also returns what became of every clip, in the dataset's order."""
        heard: list[_Heard] = []
        with _evaluating(listener.model), self._precision():
            for share in self._batches(dataset):
                heard += self._hear(listener, dataset, share)
                if stop_requested():
                    break
        heard = self._gathered(heard)
        loss = sum(h.loss for h in heard) / max(sum(h.tokens for h in heard), 1)
        scores = text_scores(
            [dataset.speech.texts[h.row] for h in heard], [h.text for h in heard],
            tokenizer=listener.tokenizer, language=self.language,
        )  # fmt: skip
        return {"loss": loss, **scores}, heard

    def _batches(self, dataset: SpeechDataset) -> Iterator[_Share]:
        """This process's share. Batches are dealt out whole, so that each is the same however many there are."""
        alike: dict[int | None, list[int]] = {}  # one length of trimmed window to a batch: nothing needs a mask then
        for row, samples in enumerate(dataset.speech.lengths):
            alike.setdefault(dataset.windowing.positions(samples, dataset.window), []).append(row)
        dealt = [
            (positions, rows[i : i + self.batch_size])
            for positions, rows in alike.items()
            for i in range(0, len(rows), self.batch_size)
        ][self.processes.rank :: self.processes.count]
        workers = self.workers if dataset.wants_workers else 0
        loader = DataLoader(
            dataset, batch_sampler=[[(0, row) for row in rows] for _, rows in dealt], collate_fn=collate,
            num_workers=workers, worker_init_fn=worker_init if workers else None,
            generator=torch.Generator(),  # torch's own is the training's: dropout must not depend on evaluations
        )  # fmt: skip
        for (positions, rows), batch in zip(dealt, loader, strict=True):
            inputs = dataset.prepare(batch, self.device)
            # a clip that cannot be read any more is heard as its neighbour, which has a row of its own
            own = [i for i, (row, heard) in enumerate(zip(rows, batch["index"], strict=True)) if row == heard]
            if own:
                yield _Share([rows[i] for i in own], inputs["input_features"][own], inputs["labels"][own], positions)

    def _hear(self, listener: Listener, dataset: SpeechDataset, share: _Share) -> list[_Heard]:
        from transformers.models.whisper.modeling_whisper import shift_tokens_right

        model: Any = listener.model
        settings, labels = model.generation_config, share.labels
        states, cross_cache = encode(model, share.features, share.positions)
        prompt = prompt_ids(listener.tokenizer, settings, language=self.language, task=self.task)
        # A model that has not learnt to stop would write on to the decoder's last position, at the cost of minutes.
        longest = int(dataset.label_lengths.max())
        written = greedy_decode(
            model, states, cross_cache, prompt, Suppression.of(settings, model.config.vocab_size),
            end_id=end_id_of(settings, listener.tokenizer),
            max_new_tokens=min(2 * longest + 8, room_for_text(model, prompt)),
        )  # fmt: skip
        texts = listener.tokenizer.batch_decode(written.token_ids, skip_special_tokens=True)
        read = shift_tokens_right(labels, model.config.pad_token_id, model.config.decoder_start_token_id)
        hidden = model.model.decoder(input_ids=read, encoder_hidden_states=states, use_cache=False).last_hidden_state
        logits = at_least_float32(model.get_output_embeddings()(hidden))
        losses = cross_entropy(logits.transpose(1, 2), labels, ignore_index=-100, reduction="none")
        summed = losses.double().sum(1).tolist()
        counts = (labels != -100).sum(1).tolist()
        return [_Heard(*values) for values in zip(share.rows, summed, counts, texts, strict=True)]

    def _gathered(self, mine: list[_Heard]) -> list[_Heard]:
        """What all processes heard, in the dataset's order; StoppedError in all of them where one is asked to stop."""
        everyone = self.processes.gather((stop_requested(), mine))
        if any(stopped for stopped, _ in everyone):
            check_stop()
            raise StoppedError("stopped on request to another process; start the same command again to go on.")
        return sorted(h for _, share in everyone for h in share)

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        if self.autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(torch.device(self.device).type, dtype=self.autocast)

    def _show(
        self, folder: Path, listener: Listener, dataset: SpeechDataset, heard: Sequence[_Heard], step: int
    ) -> None:
        """Write the table of hypotheses, whole or not at all, and tell it to whoever reads the debug log."""
        normalise = text_normaliser(listener.tokenizer, self.language)
        speech, stream = dataset.speech, io.StringIO()
        # a model may write line ends of any kind, which csv would leave bare
        writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(_COLUMNS)
        for h in heard:
            clip, text = speech.ids[h.row], speech.texts[h.row]
            correct = same_text(h.text, text, normalise)
            writer.writerow([clip, text, h.text, str(correct).lower(), float(f"{h.loss / h.tokens:.6g}")])
            _log.debug("step %d, %s: said %r, wrote %r", step, clip, text, h.text)
        file = folder / EVALUATIONS / f"step-{step}.csv"
        file.parent.mkdir(exist_ok=True)
        write_whole(file, stream.getvalue().encode())


@contextlib.contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)
