"""One training run, from data and model to the folder that it leaves: what `finetune` does once all is checked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch

from audiogram.console import check_stop
from audiogram.errors import StoppedError, WorkError
from whisperprobe.training.adapters import ADAPTER, merge_adapters
from whisperprobe.training.batch_fitting import told_out_of_memory
from whisperprobe.training.checkpoints import checkpoint_at, is_whole, last_checkpoint, step_of
from whisperprobe.training.curves import Curves
from whisperprobe.training.evaluating import Evaluation
from whisperprobe.training.hearing import heard_by
from whisperprobe.training.loop import SpeechTrainer, epoch_order, training_arguments
from whisperprobe.training.model_card import write_card
from whisperprobe.training.model_folder import Listener, weights_digest
from whisperprobe.training.preparing import (
    Run,
    check_metric,
    course_of,
    data_of,
    heard_as,
    labels_of,
    plan_of,
    trained_part,
)
from whisperprobe.training.selection import best_evaluation
from whisperprobe.training.step_order import StepOrder
from whisperprobe.training.surroundings import devices_in_words, usable_cores, versions

if TYPE_CHECKING:
    pass

__all__ = ["Run", "fit"]

_LEAST_SCORED = 8  # clips scored at once: without gradients that many need no more room than one to train on


def fit(run: Run, listener: Listener) -> dict[str, Any]:
    """Train, choose, save; returns what `results.json` holds, in every process."""
    options = run.folder.options
    listener = heard_as(listener, options)
    labels = labels_of(listener, options)
    dataset, scored, splits = data_of(run, listener, labels)
    if scored is not None:
        check_metric(options, listener, scored)
    check_stop()
    course = course_of(run, len(dataset), scored is not None)
    model: Any = listener.model
    use_cache = model.config.use_cache  # transformers' trainer switches it off and leaves it so
    around = trained_part(run, model)
    with told_out_of_memory(run.plan):
        plan = plan_of(run, listener, around, dataset)
    workers = run.how["workers"]
    if workers is None:
        workers = min(4, max(usable_cores() // run.processes.count - 1, 0)) if dataset.wants_workers else 0
    arguments = training_arguments(
        run.folder.checkpoints, course, plan, device=run.device, bf16=run.precision == "bf16", workers=workers,
        find_unused=bool(model.config.encoder_layerdrop or model.config.decoder_layerdrop),
        **{k: options[k] for k in (
            "learning_rate", "warmup_steps", "scheduler", "weight_decay", "clip_gradient", "seed",
        )},
    )  # fmt: skip
    evaluation = Evaluation(
        run.folder.path, language=options["language"], task=options["task"], device=arguments.device,
        batch_size=max(plan.batch_size, _LEAST_SCORED), autocast=torch.bfloat16 if run.precision == "bf16" else None,
        workers=workers, processes=run.processes,
    )  # fmt: skip
    clock = _Clock()

    def score(step: int) -> dict[str, float]:
        assert scored is not None
        with clock:
            return evaluation.run(listener, scored, step)

    order = StepOrder(epoch_order(dataset, options["seed"], plan, grouped=options["group_by_length"]), course.steps,
                      plan.global_batch)  # fmt: skip
    curves = Curves(
        run.folder.path, clips_per_step=plan.global_batch, device=arguments.device, tensorboard=run.how["tensorboard"]
    )
    with told_out_of_memory(plan):
        trainer = SpeechTrainer(listener, around, arguments, dataset, order, course, run.processes, score, curves)
    found = run.processes.first(lambda: last_checkpoint(run.folder.checkpoints))
    begun = time.monotonic()
    try:
        with told_out_of_memory(plan), heard_by(listener.model, listener.windowing):
            trainer.train(resume_from_checkpoint=None if found is None else str(found))
    finally:
        trainer.close()
    seconds = time.monotonic() - begun - clock.seconds
    if not trainer.is_over():
        check_stop()
        raise StoppedError("stopped on request to another process; start the same command again to go on.")
    steps = trainer.state.global_step
    splits["train"]["failures"] = _added(run.processes.gather(dict(dataset.failures)))
    results = {
        "steps": steps, "seconds": seconds,
        "clips_per_second": (steps - (0 if found is None else step_of(found))) * plan.global_batch / max(seconds, 1e-9),
        **_chosen(run, trainer, steps),
        "n_clips": len(dataset), "excluded": splits["train"]["excluded"], "splits": splits,
        "bands": listener.window.n_mels, "window_seconds": listener.window.seconds,
        "recipe": options["recipe"], "global_batch": plan.global_batch, "batch_size": plan.batch_size,
        "accumulation": plan.accumulation, "processes": plan.processes, "precision": run.precision,
        "gradient_checkpointing": run.how["gradient_checkpointing"], "workers": workers,
        "model_revision": getattr(model.config, "_commit_hash", None),  # of a model from the hub
        "devices": devices_in_words(run.device, run.processes.count), "versions": versions(run.hearing),
    }  # fmt: skip
    model.config.use_cache = use_cache

    def save() -> None:
        model.to("cpu")
        if run.lora is not None:
            merge_adapters(around, run.folder.path / ADAPTER, str(options["model"]))
        listener.save(run.folder.path)
        results["weights_sha256"] = weights_digest(run.folder.path)
        write_card(run.folder.path, options, results)
        run.folder.finish(results)

    run.processes.first(save)
    return results


def _chosen(run: Run, trainer: SpeechTrainer, steps: int) -> dict[str, Any]:
    """Load the weights to keep, and say which they are and how good."""
    found, metric = trainer.evaluations(), trainer.course.best_metric
    best = best_evaluation(found, metric)
    if best is None:
        return {"step": steps, "kept": "last", "evaluation": {}}
    step = steps
    if run.folder.options["keep"] == "best":
        step = int(best["step"])
        if step != steps:
            _load(run, trainer, step)
    scores = next((dict(s) for s in found if s["step"] == step), {})
    scores.pop("step", None)
    return {
        "step": step, "kept": run.folder.options["keep"], "evaluation": scores,
        "best": {"metric": metric, "step": int(best["step"]), "value": best[metric]},
    }  # fmt: skip


def _added(counts: list[dict[str, int]]) -> dict[str, int]:
    """Counts of all processes, added up."""
    return {name: sum(one.get(name, 0) for one in counts) for name in sorted({n for one in counts for n in one})}


def _load(run: Run, trainer: SpeechTrainer, step: int) -> None:
    checkpoint = checkpoint_at(run.folder.checkpoints, step)
    if not run.processes.first(lambda: is_whole(checkpoint)):
        raise WorkError(
            f"the best model, that of step {step}, was in {checkpoint}, which is damaged or gone. Train anew: "
            "resume='never'."
        )
    trainer._load_from_checkpoint(str(checkpoint))


class _Clock:
    """Adds up the time spent within it."""

    def __init__(self) -> None:
        self.seconds = self._since = 0.0

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.monotonic() - self._since
