"""What happens around each step of training: progress, stopping on request, refusing gradients that are no numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from audiogram.console import Progress, stop_requested
from audiogram.errors import WorkError

if TYPE_CHECKING:
    from whisperprobe.training.curves import Curves
    from whisperprobe.training.loop import SpeechTrainer

__all__ = ["Manners", "TrainingOverError"]

_NAMED = 8  # clips that an error lists


class TrainingOverError(Exception):
    """A run that was started again has nothing left to train."""


class Manners(TrainerCallback):
    """Decides with all processes together when to evaluate and when to stop.

    Parameters
    ----------
    trainer : SpeechTrainer
        Whose steps are watched.
    curves : Curves
        Has the note behind the progress bar.
    """

    def __init__(self, trainer: SpeechTrainer, curves: Curves) -> None:
        self.trainer, self.curves = trainer, curves
        self.progress: Progress | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        trainer = self.trainer
        state.epoch = trainer.order.epoch_at(state.global_step)
        if trainer.lacks_evaluation():  # asked to stop, the run ended before it; the checkpoint of this step is there
            if trainer.processes.is_first:  # it may have been made up for already, by a start that was killed
                self.curves.evaluation.cut(state.global_step - 1)
            trainer.evaluate()
        if trainer.is_over() or control.should_training_stop:
            raise TrainingOverError
        control.should_save = False
        if trainer.processes.is_first:
            self.progress = Progress("training", state.max_steps, done=state.global_step, unit="steps")
            self.progress.__enter__()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # After the exchange of gradients: what is no number in one process is none in all of them.
        gradients = [p.grad for p in self.trainer.trained.parameters() if p.grad is not None]
        if not bool(torch.isfinite(torch.nn.utils.get_total_norm(gradients))):
            self._refuse(state.global_step + 1)

    def _refuse(self, step: int) -> None:
        trainer = self.trainer
        mine = [(loss.item(), trainer.dataset.names(batch)) for batch, loss in trainer.heard]
        everyone = [batch for share in trainer.processes.gather(mine) for batch in share]
        bad = [(loss, names) for loss, names in everyone if loss - loss != 0]  # NaN and infinities
        what = f"loss became {bad[0][0]}" if bad else "gradient is no finite number"
        clips = [name for _, names in (bad or everyone) for name in names]
        more = f" and {len(clips) - _NAMED} more" if len(clips) > _NAMED else ""
        raise WorkError(
            f"the {what} at step {step} (epoch {int(trainer.order.epoch_at(step - 1)) + 1}), with the clips "
            f"{', '.join(clips[:_NAMED])}{more}. The last good checkpoint is kept. Look at these clips; or lower the "
            "learning rate, lengthen the warm-up, clip the gradient harder."
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        trainer = self.trainer
        trainer.heard.clear()
        state.epoch = trainer.order.epoch_at(state.global_step)
        if self.progress is not None:
            self.progress.advance(1, self.curves.note)
        control.should_evaluate = trainer.course.is_evaluated(state.global_step)
        if trainer.processes.any(stop_requested()):
            control.should_save = control.should_log = control.should_training_stop = True
            control.should_evaluate = False  # it may take longer than one who stops us will wait

    def close(self) -> None:
        """End the progress bar and the curves' files, also after an error."""
        if self.progress is not None:
            self.progress.__exit__(None, None, None)
            self.progress = None
        self.curves.close()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.close()
