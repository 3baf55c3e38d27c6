"""What a training run needs before its first step: clips and labels, its course, the part that is trained."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from audiogram.errors import InputError
from whisperprobe.labels import prompt_ids
from whisperprobe.probing.windowing import Windowing
from whisperprobe.training.adapters import Lora, freeze_half, with_adapters
from whisperprobe.training.batch_fitting import fitting_plan, one_step
from whisperprobe.training.batch_plan import BatchPlan
from whisperprobe.training.data import Labels, SpeechDataset, read_speech
from whisperprobe.training.hearing import heard_by
from whisperprobe.training.loop import Course
from whisperprobe.training.metrics import text_scores
from whisperprobe.training.model_folder import Listener
from whisperprobe.training.selection import best_evaluation

if TYPE_CHECKING:
    from audiogram import Condition
    from whisperprobe.training.augment import Augmentation
    from whisperprobe.training.processes import Processes
    from whisperprobe.training.records import RunFolder

__all__ = ["Run", "check_metric", "course_of", "data_of", "heard_as", "labels_of", "plan_of", "trained_part"]

_log = logging.getLogger("whisperprobe")


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


def heard_as(listener: Listener, options: Mapping[str, Any]) -> Listener:
    """The listener with the windows that the run asks for; by default those that its model was trained with."""
    if options["padding"] is None:
        return listener
    return replace(listener, windowing=Windowing(options["padding"], options["margin"]))


def labels_of(listener: Listener, options: Mapping[str, Any]) -> Labels:
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


def data_of(
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


def check_metric(options: Mapping[str, Any], listener: Listener, scored: SpeechDataset) -> None:
    """Refuse, before anything is learnt, a metric that these texts will not give."""
    texts = scored.speech.texts
    perfect = text_scores(texts, texts, tokenizer=listener.tokenizer, language=options["language"])
    best_evaluation([{"step": 0, "loss": 0.0, **perfect}], options["best_metric"])


def course_of(run: Run, clips: int, evaluate: bool) -> Course:
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


def trained_part(run: Run, model: Any) -> Any:
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


def plan_of(run: Run, listener: Listener, around: Any, dataset: SpeechDataset) -> BatchPlan:
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
