"""`finetune`: from speech and a model, or a model's shape, to a folder that plain transformers loads."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiogram.console import stop_on_signals
from audiogram.listening import as_condition
from whisperprobe.training.adapters import Lora
from whisperprobe.training.augment import Augmentation
from whisperprobe.training.batch_plan import BatchPlan
from whisperprobe.training.inputs import corpus_of, device_of, listener_of, tokenizer_digest
from whisperprobe.training.options import check_options, chosen_precision
from whisperprobe.training.processes import Processes
from whisperprobe.training.recipes import DEFAULTS, settings
from whisperprobe.training.records import RunFolder
from whisperprobe.training.surroundings import quiet_generators, quiet_transformers, told_full_disk

if TYPE_CHECKING:
    from audiogram import Condition

__all__ = ["FinetuneResult", "finetune"]


@dataclass(frozen=True)
class FinetuneResult:
    """What a training run gave.

    Attributes
    ----------
    path : Path
        The model folder.
    steps : int
        Optimiser steps taken.
    step : int
        The step whose weights were kept.
    seconds : float
        Of training, reading and evaluation not counted, and of the last start only.
    clips_per_second : float
        Of training.
    evaluation : dict
        Of the kept weights on the validation split: `loss`, `wer`, `cer`, `word_accuracy`, `n_clips`, `n_words`; empty
        without one.
    """

    path: Path
    steps: int
    step: int
    seconds: float
    clips_per_second: float
    evaluation: dict[str, float] = field(default_factory=dict)


def finetune(
    source: Any,
    out: str | Path,
    *,
    model: str | Path | None = None,
    from_config: Mapping[str, Any] | None = None,
    vocabulary_size: int = 512,
    tokenizer: str | Path | None = None,
    condition: str | Condition | None = None,
    recipe: str | None = None,
    max_steps: int | None = None,
    epochs: float | None = None,
    learning_rate: float | None = None,
    warmup_steps: int | None = None,
    scheduler: str | None = None,
    weight_decay: float | None = None,
    clip_gradient: float | None = None,
    global_batch: int | None = None,
    batch_size: int | None = None,
    auto_batch: bool = False,
    precision: str = "auto",
    gradient_checkpointing: bool = False,
    freeze: str | None = None,
    lora: Any = None,
    seed: int = 0,
    language: str = "en",
    task: str = "transcribe",
    leading_space: bool = False,
    augment: Any = None,
    padding: str | None = None,
    margin: float | None = None,
    group_by_length: bool | None = None,
    workers: int | None = None,
    evaluate: bool = True,
    eval_every: int | None = None,
    best_metric: str = "wer",
    keep: str = "best",
    patience: int | None = None,
    save_every: int | None = None,
    save_total_limit: int = 2,
    log_every: int | None = None,
    tensorboard: bool | None = None,
    resume: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    text_pattern: str | None = None,
    text_map: Mapping[str, str] | None = None,
    split: Any = None,
    max_samples: int | None = None,
) -> FinetuneResult:
    """Train a Whisper model on a corpus: an existing one further, or a new one from random weights.

    Trains on the split "train", scores on "validation" and never looks at "test". Stopped by SIGTERM, SIGUSR1 or a
    power cut, the same call goes on from the last whole checkpoint; on a CPU it ends with the same weights as an
    undisturbed run. A finished run is returned at once. Nothing is fetched but a model named by its hub name.

    Started by `torchrun --nproc-per-node N`, N processes share every step, each on a GPU of its own or, with device
    "cpu", on the CPU. What is learnt does not depend on N, but for rounding.

    Parameters
    ----------
    source : str, Path or Corpus
        What `audiogram.corpus.open_corpus` opens: a folder of audio, a Parquet dataset, a masked corpus; or what
        `whisperprobe.write_log_mel` has written for this model, which takes no condition and no split.
    out : str or Path
        The model folder to write; new, empty, or of the same call. One process, or one torchrun, at a time.
    model : str or Path, optional
        Folder or hub name of the Whisper to train further.
    from_config : mapping, optional
        Shape of a new Whisper instead: fields of `WhisperConfig`, `attention_heads`, `ffn_dim`, `n_mels`,
        `window_seconds` (whole seconds).
    vocabulary_size : int, default 512
        Of the tokenizer that is trained on the transcripts, with `from_config`.
    tokenizer : str or Path, optional
        Folder of a tokenizer to use instead of training one, with `from_config`.
    condition : str or Condition, optional
        Hearing condition applied to the sound on the fly; none for a corpus that is masked already.
    recipe : {"study", "pilot"}, optional
        Values for what is left out below: "study" (large-v3: 3 epochs, rate 1e-5, 500 warm-up steps, 64 clips per
        step, 8 at once, saved and evaluated every 1000 steps), "pilot" (10,000 steps, rate 1.5e-5, 1000 warm-up
        steps, weight decay 0.05, clipping 0.5, 16 clips per step, 1 at once, saved and evaluated every 500 steps).
    max_steps, epochs : int, float, optional
        How long to train: one of the two; default 3 epochs.
    learning_rate : float, default 1e-4
        Peak rate of AdamW. 1e-5 suits large models, 1e-3 small ones from random weights.
    warmup_steps : int, default 0
        Steps of linear rise.
    scheduler : {"linear", "cosine", "constant"}
        What the rate does after the warm-up; default "linear".
    weight_decay : float, default 0.0
        Of AdamW; not for biases and norms.
    clip_gradient : float, default 1.0
        Largest norm of the gradient.
    global_batch : int, default 32
        Clips per step, over all processes. The loss of a step is the mean over all its tokens.
    batch_size : int, optional
        Clips that a device holds at once; gradients are accumulated until the step is full. Default: each process's
        share of the step. Without `global_batch` or a recipe it is the step itself.
    auto_batch : bool, default False
        Try which batch fits into memory, from `batch_size` down.
    precision : {"auto", "float32", "bf16"}
        "bf16": products in bfloat16, weights and optimiser in float32; needs a GPU that has it. "auto": where there is
        one.
    gradient_checkpointing : bool, default False
        Compute activations anew in the backward pass: about a third more time, much less memory.
    freeze : {"encoder", "decoder"}, optional
        Half of the model that stays as it is.
    lora : bool, int, mapping or Lora, optional
        Train low-rank adapters instead of the weights: True, their rank, or a table of `rank` (32), `alpha` (twice the
        rank), `dropout` (0) and `targets` (["q_proj", "v_proj"]). They are merged at the end, and kept in `adapter/`.
    seed : int, default 0
        Of weights, order and augmentation.
    language, task : str
        Of the prompt, and of what the saved generation config asks for.
    leading_space : bool, default False
        Whether texts are learnt with a space before them.
    augment : bool, str, mapping or Augmentation, optional
        True or "voices": speed, shift, gain, noise and masks; "masks": SpecAugment alone; or a table of
        `Augmentation`'s options.
    padding : {"window", "trimmed"}, optional
        Hear every clip in the model's whole window, or only as long as it is. Recorded in the model folder, so that
        probes do the same. Default: as the model was trained.
    margin : float, optional
        Silence behind the clip that a window holds at least with `padding` "trimmed", seconds; default 1.
    group_by_length : bool, optional
        Whether clips of like length share a step; default: with trimmed windows.
    workers : int, optional
        Processes that read and decode, for each process that trains; default: up to 4, none where all clips are kept
        in memory.
    evaluate : bool, default True
        Whether to score on the validation split: at the end, and every `eval_every` steps.
    eval_every : int, optional
        Steps between evaluations.
    best_metric : {"wer", "cer", "loss", "word_accuracy", "sentence_accuracy"}
        By which the best of several evaluations is chosen; of equal ones the one with the lower loss.
    keep : {"best", "last"}
        Which weights the model folder gets, where there were evaluations.
    patience : int, optional
        End after so many evaluations without anything better.
    save_every : int, optional
        Steps between checkpoints; default a tenth of the run, at least 100.
    save_total_limit : int, default 2
        Newest checkpoints to keep while training; the best is kept besides.
    log_every : int, optional
        Steps between rows of training.csv; default a hundredth of the run, at most 25.
    tensorboard : bool, optional
        Whether to write TensorBoard's event files; default: where it is installed.
    resume : {"auto", "never"}
        "never" starts over.
    device : {"auto", "cpu", "cuda"}
        Where to compute; of several GPUs the first that CUDA_VISIBLE_DEVICES names.
    threads : int, optional
        Of torch, on the CPU.
    text_pattern, text_map, split
        See `audiogram.corpus.open_corpus`.
    max_samples : int, optional
        Train on a seeded random sample of this many clips.

    Returns
    -------
    FinetuneResult

    Raises
    ------
    InputError
        For a wrong option, a corpus that does not fit the model, a folder of another run.
    WorkError
        When the loss stops being finite, memory runs out, or another process works on the folder; the last good
        checkpoint is kept.
    StoppedError
        When a signal asked to stop; a checkpoint has been written.
    """
    given = dict(locals())
    chosen = settings(recipe, {name: given[name] for name in (*DEFAULTS, "max_steps")})
    if not evaluate and eval_every is None:  # what a recipe says of evaluations then does not matter
        chosen["eval_every"] = None
    check_options({**given, **chosen, "batch_size": chosen["batch_size"] or batch_size})
    augmentation, adapters = Augmentation.of(augment), Lora.of(lora)
    hearing = None if condition is None else as_condition(condition)
    where = device_of(device)
    computed_in = chosen_precision(precision, where)
    processes = Processes.here(where)
    plan = BatchPlan.of(chosen["global_batch"], chosen["batch_size"], processes.count)
    reading = {"text_pattern": text_pattern, "text_map": text_map, "split": split}
    corpus, masked = corpus_of(source, hearing, max_samples, seed, reading)
    from whisperprobe.training.model_folder import weights_digest

    options = {
        "corpus": corpus.describe(), "corpus_fingerprint": corpus.fingerprint(), "corpus_condition": masked,
        "model": None if model is None else str(model),
        "model_sha256": None if model is None else weights_digest(model),
        "from_config": None if from_config is None else dict(from_config),
        "vocabulary_size": vocabulary_size if from_config is not None and tokenizer is None else None,
        "tokenizer": None if tokenizer is None else str(tokenizer),
        "tokenizer_sha256": tokenizer_digest(tokenizer),
        "condition": None if hearing is None else hearing.to_dict(),
        "recipe": recipe, "max_steps": chosen["max_steps"], "epochs": chosen["epochs"],
        **{name: chosen[name] for name in (
            "learning_rate", "warmup_steps", "scheduler", "weight_decay", "clip_gradient", "eval_every",
        )},
        "global_batch": plan.global_batch, "precision": precision, "freeze": freeze,
        "lora": None if adapters is None else adapters.to_dict(),
        "seed": seed, "language": language, "task": task, "leading_space": leading_space,
        "augment": None if augmentation is None else augmentation.to_dict(),
        "padding": padding, "margin": (1.0 if margin is None else margin) if padding == "trimmed" else None,
        "group_by_length": padding == "trimmed" if group_by_length is None else group_by_length,
        "evaluate": evaluate, "best_metric": best_metric, "keep": keep, "patience": patience,
        "max_samples": max_samples,
    }  # fmt: skip
    folder = RunFolder(Path(out), options)
    done = processes.first(lambda: folder.finished() if resume == "auto" else None)
    if done is not None:
        return _result(folder.path, done)
    with contextlib.ExitStack() as stack:
        for around in (told_full_disk(folder.path), stop_on_signals(), quiet_generators(threads), quiet_transformers()):
            stack.enter_context(around)
        processes.first(lambda: stack.enter_context(folder.held()))
        processes.first(lambda: folder.claim(anew=resume == "never"))
        done = processes.first(folder.results)  # another process may have come to the end of it meanwhile
        if done is None:
            from whisperprobe.training.fitting import Run, fit

            how = {
                "save_every": chosen["save_every"], "log_every": chosen["log_every"], "workers": workers,
                "save_total_limit": save_total_limit, "gradient_checkpointing": gradient_checkpointing,
                "auto_batch": auto_batch, "tensorboard": tensorboard,
            }  # fmt: skip
            run = Run(folder, corpus, hearing, augmentation, adapters, plan, processes, where, computed_in, how)
            done = fit(run, listener_of(corpus, model, from_config, vocabulary_size, tokenizer, language, task, seed))
    return _result(folder.path, done)


def _result(path: Path, results: Mapping[str, Any]) -> FinetuneResult:
    return FinetuneResult(
        path, results["steps"], results["step"], results["seconds"], results["clips_per_second"],
        dict(results["evaluation"]),
    )  # fmt: skip
