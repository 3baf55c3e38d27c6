"""transformers' trainer with this project's batches, exact accumulation, evaluations and sealed checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Seq2SeqTrainer, Seq2SeqTrainingArguments

from audiogram.errors import StoppedError
from whisperprobe.training.checkpoints import checkpoint_at, drop_checkpoints, seal_checkpoint
from whisperprobe.training.data import EpochSampler, SpeechDataset, collate, worker_init
from whisperprobe.training.options import SCHEDULERS
from whisperprobe.training.selection import best_evaluation, evaluations_in, is_exhausted
from whisperprobe.training.step_order import StepOrder
from whisperprobe.training.watching import Manners, TrainingOverError

if TYPE_CHECKING:
    from whisperprobe.training.batch_plan import BatchPlan
    from whisperprobe.training.curves import Curves
    from whisperprobe.training.model_folder import Listener
    from whisperprobe.training.processes import Processes

__all__ = ["Course", "SpeechTrainer", "training_arguments"]

_log = logging.getLogger("whisperprobe")


@dataclass(frozen=True)
class Course:
    """What happens when, in a training run.

    Attributes
    ----------
    steps : int
        Optimiser steps.
    log_every, save_every : int
        Steps between rows of the curve, and between checkpoints.
    eval_every : int, optional
        Steps between evaluations; without, only the end is evaluated.
    evaluate : bool
        Whether there are evaluations at all.
    best_metric : str
        Score by which one evaluation is better than another.
    patience : int, optional
        Evaluations without anything better after which the run ends.
    save_total_limit : int
        Newest checkpoints to keep; that of the best evaluation is kept besides.
    """

    steps: int
    log_every: int
    save_every: int
    eval_every: int | None = None
    evaluate: bool = False
    best_metric: str = "wer"
    patience: int | None = None
    save_total_limit: int = 2

    def is_evaluated(self, step: int) -> bool:
        """Whether the model is evaluated after this step."""
        regular = self.eval_every is not None and step % self.eval_every == 0
        return self.evaluate and step > 0 and (regular or step == self.steps)


def training_arguments(
    folder: Path, course: Course, plan: BatchPlan, *, device: str, bf16: bool, learning_rate: float, warmup_steps: int,
    scheduler: str, weight_decay: float, clip_gradient: float, seed: int, workers: int,
    find_unused: bool,
) -> Seq2SeqTrainingArguments:  # fmt: skip
    """Translate this project's options into transformers'; everything that costs time or a network is off."""
    on_gpu = device.startswith("cuda")
    arguments = Seq2SeqTrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=plan.batch_size,
        gradient_accumulation_steps=plan.accumulation,
        max_steps=course.steps,
        learning_rate=learning_rate,
        lr_scheduler_type=SCHEDULERS[scheduler],
        warmup_steps=warmup_steps,
        weight_decay=weight_decay,
        max_grad_norm=clip_gradient,
        optim="adamw_torch_fused",
        bf16=bf16,
        seed=seed,
        data_seed=seed,
        logging_strategy="steps",
        logging_steps=course.log_every,
        logging_first_step=True,
        logging_nan_inf_filter=False,  # a NaN is to stop the run, not to be averaged away
        save_strategy="steps",
        save_steps=course.save_every,
        eval_strategy="no",
        report_to=[],
        disable_tqdm=True,
        log_level="error",
        log_level_replica="error",
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_num_workers=workers,
        dataloader_pin_memory=on_gpu,
        ddp_find_unused_parameters=find_unused,
        ddp_backend="gloo" if plan.processes > 1 and not on_gpu else None,
        use_cpu=not on_gpu,
        push_to_hub=False,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several GPUs: DDP through torchrun, never DataParallel
    return arguments


class SpeechTrainer(Seq2SeqTrainer):
    """Seq2SeqTrainer over a `SpeechDataset`.

    The loss of a step is the mean over all its tokens, however many batches and processes it is dealt out to.

    Parameters
    ----------
    listener : Listener
        Float32 weights.
    around : torch.nn.Module
        What is trained: the listener's model, or peft's wrapping of it.
    arguments : Seq2SeqTrainingArguments
        From `training_arguments`.
    dataset : SpeechDataset
        What to learn.
    order : StepOrder
        In which order.
    course : Course
        What happens when.
    processes : Processes
        Those that train together.
    score : callable
        Takes the step; returns the scores on the validation split, the same in every process.
    curves : Curves
        Writes them.
    """

    def __init__(
        self, listener: Listener, around: Any, arguments: Seq2SeqTrainingArguments, dataset: SpeechDataset,
        order: StepOrder, course: Course, processes: Processes, score: Callable[[int], dict[str, float]],
        curves: Curves,
    ) -> None:  # fmt: skip
        self.listener, self.trained, self.dataset, self.order = listener, around, dataset, order
        self.course, self.processes, self.score = course, processes, score
        self.raw: dict[str, Any] = {}  # the batch at hand, as it was read
        self.heard: list[tuple[dict[str, Any], torch.Tensor]] = []  # this step's batches and their losses
        super().__init__(model=around, args=arguments, train_dataset=dataset, data_collator=collate)
        # Then the trainer counts the tokens of a whole step and leaves it to the loss to divide by them.
        self.model_accepts_loss_kwargs = True
        self.remove_callback(PrinterCallback)
        self.manners = Manners(self, curves)
        self.add_callback(self.manners)
        self.add_callback(curves)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Batches in the run's order, dealt out to the processes in turn."""
        workers = self.args.dataloader_num_workers
        loader: DataLoader[Any] = DataLoader(
            self.dataset, batch_size=self.args.per_device_train_batch_size, sampler=self.order,
            collate_fn=collate, num_workers=workers, pin_memory=self.args.dataloader_pin_memory,
            worker_init_fn=worker_init if workers else None,
        )  # fmt: skip
        return self.accelerator.prepare(loader)  # type: ignore[no-any-return]

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        self.raw = inputs
        return dict(self.dataset.prepare(inputs, self.args.device))

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        """Share of this batch in the mean cross-entropy over all tokens of the step."""
        outputs = model(**inputs, use_cache=False)
        loss = outputs.loss
        if num_items_in_batch is not None:
            # Whisper gives the mean over its own batch; DDP will take the mean over the processes
            tokens = (inputs["labels"] != -100).sum()
            loss = loss * (tokens * self.processes.count / num_items_in_batch)
        self.heard.append((self.raw, loss.detach()))
        return (loss, outputs) if return_outputs else loss

    def train(self, *args: Any, **given: Any) -> Any:
        """Train to the end, unless there is nothing left to do."""
        try:
            return super().train(*args, **given)
        except TrainingOverError:
            return None

    def evaluations(self) -> list[dict[str, Any]]:
        """All evaluations of the run so far, those before a restart too."""
        return evaluations_in(self.state.log_history)

    def is_over(self) -> bool:
        """Whether the run has come to its end: no step and no evaluation is left, or patience is exhausted."""
        step, found = self.state.global_step, self.evaluations()
        if found and is_exhausted(found, self.course.best_metric, self.course.patience):
            return True
        return step >= self.course.steps and not self.lacks_evaluation()

    def lacks_evaluation(self) -> bool:
        """Whether the present step is yet to be evaluated."""
        step = self.state.global_step
        return self.course.is_evaluated(step) and all(found["step"] != step for found in self.evaluations())

    def evaluate(self, *args: Any, **given: Any) -> dict[str, float]:
        """Score the model as it is; the best so far is saved, and a run that gets no better is ended."""
        self.control.should_evaluate = False
        try:
            scores = self.score(self.state.global_step)
        except StoppedError:  # the evaluation is made up for at the next start, from the checkpoint of this step
            self.control.should_save = self.control.should_training_stop = True
            return {}
        metrics = {f"eval_{name}": value for name, value in scores.items()}
        self.log(metrics)
        found, course = self.evaluations(), self.course
        best = best_evaluation(found, course.best_metric)
        if best is not None and best["step"] == self.state.global_step:
            self.control.should_save = True
        if is_exhausted(found, course.best_metric, course.patience):
            _log.info("no better %s in %s evaluations: the run ends here.", course.best_metric, course.patience)
            self.control.should_save = self.control.should_training_stop = True
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self.processes.barrier()  # each process has written its own random state
        if self.processes.is_first:
            folder = Path(str(self.args.output_dir))
            seal_checkpoint(checkpoint_at(folder, self.state.global_step))
            best = best_evaluation(self.evaluations(), self.course.best_metric)
            drop_checkpoints(folder, keep=self.course.save_total_limit, best=None if best is None else best["step"])

    def close(self) -> None:
        """End displays and files, also after an error."""
        self.manners.close()

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: nothing shows it, and it costs time at every step."""
        return 0


def epoch_order(dataset: SpeechDataset, seed: int, plan: BatchPlan, *, grouped: bool) -> EpochSampler:
    """The order of one epoch; grouped: clips of a step have like lengths."""
    if not grouped:
        return EpochSampler(len(dataset), seed)
    return EpochSampler(len(dataset), seed, lengths=dataset.speech.lengths, group=plan.global_batch)
