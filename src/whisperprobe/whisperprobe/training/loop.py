"""transformers' trainer with this project's batches, its sealed checkpoints and its manners: stop, log, refuse NaN."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Seq2SeqTrainer, Seq2SeqTrainingArguments, TrainerCallback

from audiogram.console import Progress, stop_requested
from audiogram.errors import WorkError
from whisperprobe.training.data import EpochSampler, SpeechDataset, collate
from whisperprobe.training.options import SCHEDULERS
from whisperprobe.training.records import RunFolder, seal_checkpoint

__all__ = ["SpeechTrainer", "training_arguments"]


def training_arguments(
    folder: RunFolder, *, device: str, max_steps: int, learning_rate: float, warmup_steps: int, scheduler: str,
    batch_size: int, weight_decay: float, clip_gradient: float, seed: int, save_every: int, log_every: int,
) -> Seq2SeqTrainingArguments:  # fmt: skip
    """Translate this project's options into transformers'; everything that costs time or a network is off."""
    on_gpu = device.startswith("cuda")
    arguments = Seq2SeqTrainingArguments(
        output_dir=str(folder.checkpoints),
        per_device_train_batch_size=batch_size,
        max_steps=max_steps,
        learning_rate=learning_rate,
        lr_scheduler_type=SCHEDULERS[scheduler],
        warmup_steps=warmup_steps,
        weight_decay=weight_decay,
        max_grad_norm=clip_gradient,
        optim="adamw_torch_fused",
        bf16=on_gpu and torch.cuda.is_bf16_supported(),
        seed=seed,
        data_seed=seed,
        logging_strategy="steps",
        logging_steps=log_every,
        logging_first_step=True,
        logging_nan_inf_filter=False,  # a NaN is to stop the run, not to be averaged away
        save_strategy="steps",
        save_steps=save_every,
        save_total_limit=2,
        eval_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_num_workers=0,
        dataloader_pin_memory=on_gpu,
        use_cpu=not on_gpu,
        push_to_hub=False,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several GPUs: DDP through torchrun, never DataParallel
    return arguments


class SpeechTrainer(Seq2SeqTrainer):
    """Seq2SeqTrainer over a `SpeechDataset`.

    Parameters
    ----------
    model : WhisperForConditionalGeneration
        Float32 weights.
    arguments : Seq2SeqTrainingArguments
        From `training_arguments`.
    dataset : SpeechDataset
        What to learn.
    folder : RunFolder
        Where the run writes.
    """

    def __init__(self, model: Any, arguments: Seq2SeqTrainingArguments, dataset: SpeechDataset, folder: RunFolder):
        self.order = EpochSampler(len(dataset), arguments.seed)
        super().__init__(model=model, args=arguments, train_dataset=dataset, data_collator=collate)
        # Whisper's forward takes any keyword, so transformers believes that it divides its loss by the number of
        # tokens of all accumulated batches. It does not: it takes the mean over its own batch.
        self.model_accepts_loss_kwargs = False
        self.remove_callback(PrinterCallback)
        self.manners = _Manners(folder, self.order, arguments.per_device_train_batch_size)
        self.add_callback(self.manners)

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochSampler:
        return self.order

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        """Mean cross-entropy over the batch's tokens; a loss that is not finite ends the run."""
        outputs = model(**inputs, use_cache=False)
        if not bool(torch.isfinite(outputs.loss)):
            step = self.state.global_step + 1
            raise WorkError(
                f"the loss became {outputs.loss.item()} at step {step} (epoch {self.order.epoch + 1}). The last good "
                "checkpoint is kept. Lower the learning rate, lengthen the warm-up, or clip the gradient harder."
            )
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def close(self) -> None:
        """End the progress display, also after an error."""
        self.manners.close()

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: nothing shows it, and it costs time at every step."""
        return 0

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        seal_checkpoint(Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}")


class _Manners(TrainerCallback):
    """Progress, training.csv, the epoch that the data needs, and stopping on request."""

    def __init__(self, folder: RunFolder, order: EpochSampler, batch_size: int) -> None:
        self.folder, self.order, self.batch_size = folder, order, batch_size
        self.progress: Progress | None = None
        self.last_step, self.last_time, self.note = 0, 0.0, ""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.folder.trim_curve(state.global_step)
        self.last_step, self.last_time = state.global_step, time.monotonic()
        self.progress = Progress("training", state.max_steps, done=state.global_step, unit="steps")
        self.progress.__enter__()

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.order.epoch = state.global_step // -(-self.order.n // self.batch_size)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.progress is not None:
            self.progress.advance(1, self.note)
        if stop_requested():
            control.should_save = control.should_log = control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        logs = given["logs"]
        if "loss" not in logs:  # the summary at the end
            return
        now = time.monotonic()
        clips = (state.global_step - self.last_step) * self.batch_size
        rate = clips / max(now - self.last_time, 1e-9)
        self.last_step, self.last_time, self.note = state.global_step, now, f"loss {logs['loss']:.3f}"
        self.folder.add_to_curve({**logs, "step": state.global_step, "epoch": state.epoch, "clips_per_second": rate})

    def close(self) -> None:
        """End the progress bar, also after an error."""
        if self.progress is not None:
            self.progress.__exit__(None, None, None)
            self.progress = None

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.close()
