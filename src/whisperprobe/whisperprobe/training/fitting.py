"""One training run, from data and model to the folder that it leaves: what `finetune` does once all is checked."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from audiogram.console import check_stop
from audiogram.errors import InputError, StoppedError, WorkError
from whisperprobe.labels import prompt_ids
from whisperprobe.probing.windowing import Windowing
from whisperprobe.training.adapters import ADAPTER, Lora, freeze_half, merge_adapters, with_adapters
from whisperprobe.training.batch_fitting import fitting_plan, one_step, told_out_of_memory
from whisperprobe.training.batch_plan import BatchPlan
from whisperprobe.training.checkpoints import checkpoint_at, is_whole, last_checkpoint, step_of
from whisperprobe.training.curves import Curves
from whisperprobe.training.data import Labels, SpeechDataset, read_speech
from whisperprobe.training.evaluating import Evaluation
from whisperprobe.training.hearing import heard_by
from whisperprobe.training.loop import Course, SpeechTrainer, epoch_order, training_arguments
from whisperprobe.training.metrics import text_scores
from whisperprobe.training.model_card import write_card
from whisperprobe.training.model_folder import Listener, weights_digest
from whisperprobe.training.selection import best_evaluation
from whisperprobe.training.step_order import StepOrder
from whisperprobe.training.surroundings import devices_in_words, usable_cores, versions

if TYPE_CHECKING:
    from audiogram import Condition
    from whisperprobe.training.augment import Augmentation
    from whisperprobe.training.processes import Processes
    from whisperprobe.training.records import RunFolder

__all__ = ["Run", "fit"]

_log = logging.getLogger("whisperprobe")
_LEAST_SCORED = 8  # clips scored at once: without gradients that many need no more room than one to train on


@dataclass(frozen=True)
class Run:
    """A training run, checked: everything but the model.

    Attributes
    ----------
    folder : RunFolder
        With `options`: what the result depends on.
    corpus : Corpus
        What is heard.
    hearing : Condition or None
        Through which condition.
    augmentation : Augmentation or None
        For training.
    lora : Lora or None
        Whether adapters are trained, and which.
    plan : BatchPlan
        How the clips of a step are dealt out.
    processes : Processes
        To whom.
    device : str
        "cpu" or "cuda".
    precision : str
        "float32" or "bf16".
    how : mapping
        Options that the result does not depend on: save_every, save_total_limit, log_every, gradient_checkpointing,
        auto_batch, workers, tensorboard.
    """

    folder: RunFolder
    corpus: Any
    hearing: Condition | None
    augmentation: Augmentation | None
    lora: Lora | None
    plan: BatchPlan
    processes: Processes
    device: str
    precision: str
    how: Mapping[str, Any]


def fit(run: Run, listener: Listener) -> dict[str, Any]:
    """Train, choose, save; returns what `results.json` holds, in every process."""
    options = run.folder.options
    listener = _heard_as(listener, options)
    labels = _labels(listener, options)
    dataset, scored, splits = _data(run, listener, labels)
    if scored is not None:
        _check_metric(options, listener, scored)
    check_stop()
    course = _course(run, len(dataset), scored is not None)
    model: Any = listener.model
    use_cache = model.config.use_cache  # transformers' trainer switches it off and leaves it so
    around = _trained_part(run, model)
    with told_out_of_memory(run.plan):
        plan = _plan(run, listener, around, dataset)
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


def _heard_as(listener: Listener, options: Mapping[str, Any]) -> Listener:
    """The listener with the windows that the run asks for; by default those that its model was trained with."""
    if options["padding"] is None:
        return listener
    return replace(listener, windowing=Windowing(options["padding"], options["margin"]))


def _labels(listener: Listener, options: Mapping[str, Any]) -> Labels:
    """What the decoder is to write; the generation config is made to ask for the same."""
    model: Any = listener.model
    settings = model.generation_config
    prompt = prompt_ids(listener.tokenizer, settings, language=options["language"], task=options["task"])
    if getattr(settings, "is_multilingual", False):
        settings.language, settings.task = options["language"], options["task"]
    if getattr(settings, "forced_decoder_ids", None):  # an older way to say the same; it would win
        settings.forced_decoder_ids = None
    return Labels(
        listener.tokenizer, tuple(prompt), model.config.max_target_positions, leading_space=options["leading_space"]
    )


def _data(
    run: Run, listener: Listener, labels: Labels
) -> tuple[SpeechDataset, SpeechDataset | None, dict[str, dict[str, Any]]]:
    """The clips to learn from, those to score with, and what is to be told about both."""
    options, corpus = run.folder.options, run.corpus
    there = "validation" in corpus.splits and corpus.count("validation") > 0
    needing = "patience" if options["patience"] is not None else "eval_every"  # a recipe asks for the latter if it can
    if not there and options[needing] is not None and (needing == "patience" or options["recipe"] is None):
        raise InputError(
            f"{needing} needs clips to score with, and the corpus has no split 'validation'. Give it one "
            f"(split = {{..., validation = 0.1}}), or leave {needing} out."
        )
    read, splits = {}, {}
    for split in ["train", *(["validation"] if there and options["evaluate"] else [])]:
        speech = read_speech(corpus, split, listener.window, labels)
        for reason, n in speech.excluded.items() if run.processes.is_first else ():
            _log.warning("%d clips of split %s are left out: %s.", n, split, reason)
        hours = sum(speech.lengths) / listener.window.sample_rate / 3600
        splits[split] = {"clips": len(speech.ids), "hours": round(hours, 4), "excluded": dict(speech.excluded)}
        learning = split == "train"
        read[split] = SpeechDataset(
            speech, listener.window, condition=run.hearing, windowing=listener.windowing,
            augment=run.augmentation if learning else None, seed=options["seed"],
        )  # fmt: skip
    return read["train"], read.get("validation"), splits


def _check_metric(options: Mapping[str, Any], listener: Listener, scored: SpeechDataset) -> None:
    """Refuse, before anything is learnt, a metric that these texts will not give."""
    texts = scored.speech.texts
    perfect = text_scores(texts, texts, tokenizer=listener.tokenizer, language=options["language"])
    best_evaluation([{"step": 0, "loss": 0.0, **perfect}], options["best_metric"])


def _course(run: Run, clips: int, evaluate: bool) -> Course:
    """How many steps, and what happens at which; refuses a warm-up that never ends."""
    options, how = run.folder.options, run.how
    # every clip is heard so many times at least; what binary fractions add is no clip
    steps = options["max_steps"] or max(1, math.ceil(options["epochs"] * clips / run.plan.global_batch - 1e-9))
    if options["warmup_steps"] > steps:
        raise InputError(
            f"warmup_steps is {options['warmup_steps']}, but the run has {steps} steps only: the learning rate would "
            "never be reached. Train longer or warm up less."
        )
    return Course(
        steps=steps,
        log_every=how["log_every"] or max(1, min(25, steps // 100)),
        save_every=how["save_every"] or max(100, math.ceil(steps / 10)),
        eval_every=options["eval_every"],
        evaluate=evaluate,
        best_metric=options["best_metric"],
        patience=options["patience"],
        save_total_limit=how["save_total_limit"],
    )


def _trained_part(run: Run, model: Any) -> Any:
    """Freeze what is not to change, put in adapters, and choose what the backward pass keeps."""
    options, around = run.folder.options, model
    if run.lora is not None:
        around = with_adapters(model, run.lora, seed=options["seed"], freeze=options["freeze"])
    elif options["freeze"] is not None:
        freeze_half(model, options["freeze"])
    if run.how["gradient_checkpointing"]:
        how = {"use_reentrant": False}
        if hasattr(model, "activation_checkpointing_enable"):
            model.activation_checkpointing_enable(activation_checkpointing_kwargs=how)
        else:  # its name until transformers 5.2x
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=how)
    return around


def _plan(run: Run, listener: Listener, around: Any, dataset: SpeechDataset) -> BatchPlan:
    """The planned portions, or the largest that fit where that was asked for."""
    if not run.how["auto_batch"]:
        return run.plan
    device = torch.device("cuda", torch.cuda.current_device()) if run.device == "cuda" else torch.device("cpu")
    around.to(device)

    def forward(inputs: dict[str, Any]) -> Any:
        with heard_by(listener.model, listener.windowing):
            return around(**inputs, use_cache=False).loss

    attempt = one_step(around, forward, dataset, device, bf16=run.precision == "bf16", shared=run.processes.count > 1)
    return fitting_plan(run.plan, run.processes, attempt)


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
