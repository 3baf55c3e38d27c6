"""`finetune`: from speech and a model, or a model's shape, to a folder that plain transformers loads."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiogram.console import check_stop, stop_on_signals
from audiogram.errors import InputError, unknown_name
from audiogram.listening import as_condition
from whisperprobe.devices import chosen_device
from whisperprobe.training.augment import Augmentation
from whisperprobe.training.options import check_numbers
from whisperprobe.training.records import RunFolder, last_sealed_checkpoint, model_card
from whisperprobe.training.surroundings import quiet_generators, quiet_transformers, told_full_disk, versions

if TYPE_CHECKING:
    from audiogram import Condition
    from whisperprobe.training.data import Speech
    from whisperprobe.training.model_folder import Listener

__all__ = ["FinetuneResult", "finetune"]

_log = logging.getLogger("whisperprobe")
DEFAULT_EPOCHS = 3


@dataclass(frozen=True)
class FinetuneResult:
    """What a training run gave.

    Attributes
    ----------
    path : Path
        The model folder.
    steps : int
        Optimiser steps.
    seconds : float
        Of training, reading and evaluation not counted, and of the last start only.
    clips_per_second : float
        Of training.
    evaluation : dict
        On the validation split: `loss`, `wer`, `cer`, `word_accuracy`, `n_clips`, `n_words`; empty without one.
    """

    path: Path
    steps: int
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
    max_steps: int | None = None,
    epochs: float | None = None,
    learning_rate: float = 1e-4,
    warmup_steps: int = 0,
    scheduler: str = "linear",
    batch_size: int = 32,
    weight_decay: float = 0.0,
    clip_gradient: float = 1.0,
    seed: int = 0,
    language: str = "en",
    task: str = "transcribe",
    leading_space: bool = False,
    augment: Any = None,
    evaluate: bool = True,
    resume: str = "auto",
    save_every: int | None = None,
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
    undisturbed run. A finished run is returned at once.

    Parameters
    ----------
    source : str, Path or Corpus
        What `audiogram.corpus.open_corpus` opens: a folder of audio, a Parquet dataset, a masked corpus; or what
        `whisperprobe.write_log_mel` has written for this model, which takes no condition and no split.
    out : str or Path
        The model folder to write; new, empty, or of the same call.
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
    max_steps, epochs : int, float, optional
        How long to train: one of the two; default 3 epochs.
    learning_rate : float, default 1e-4
        Peak rate of AdamW. 1e-3 suits small models from random weights.
    warmup_steps : int, default 0
        Steps of linear rise.
    scheduler : {"linear", "cosine", "constant"}
        What the rate does after the warm-up.
    batch_size : int, default 32
        Clips per step.
    weight_decay : float, default 0.0
        Of AdamW; not for biases and norms.
    clip_gradient : float, default 1.0
        Largest norm of the gradient.
    seed : int, default 0
        Of weights, order and augmentation.
    language, task : str
        Of the prompt, and of what the saved generation config asks for.
    leading_space : bool, default False
        Whether texts are learnt with a space before them.
    augment : bool, str, mapping or Augmentation, optional
        True or "voices": speed, shift, gain, noise and masks; "masks": SpecAugment alone; or a table of
        `Augmentation`'s options.
    evaluate : bool, default True
        Whether to score on the validation split at the end.
    resume : {"auto", "never"}
        "never" starts over.
    save_every : int, optional
        Steps between checkpoints; default a tenth of the run, at least 100.
    device : str, default "auto"
        "cpu", "cuda", or whichever there is.
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
        When the loss stops being finite; the last good checkpoint is kept.
    StoppedError
        When a signal asked to stop; a checkpoint has been written.
    """
    check_numbers(locals())
    if resume not in ("auto", "never"):
        raise unknown_name("resume", resume, ("auto", "never"))
    if (model is None) == (from_config is None):
        raise InputError("finetune needs either a model to train further or from_config, the shape of a new one.")
    if model is not None and tokenizer is not None:
        raise InputError("a tokenizer can only be given with from_config: a model has its own.")
    augmentation = Augmentation.of(augment)
    hearing = None if condition is None else as_condition(condition)
    where = chosen_device(device)

    from whisperprobe.training.data import open_speech, training_split
    from whisperprobe.training.model_folder import weights_digest

    corpus = open_speech(source, text_pattern=text_pattern, text_map=text_map, split=split)
    if max_samples is not None:
        corpus = corpus.sample(max_samples, seed)
    training_split(corpus)
    masked = (corpus.manifest or {}).get("condition")
    if masked and hearing is not None:
        raise InputError(
            f"the corpus is filtered already (condition {_name(masked)!r}), and condition {hearing.name!r} would "
            "filter it again. Give the unfiltered corpus, or no condition."
        )
    options = {
        "corpus": corpus.describe(), "corpus_fingerprint": corpus.fingerprint(), "corpus_condition": masked,
        "model": None if model is None else str(model),
        "model_sha256": None if model is None else weights_digest(model),
        "from_config": None if from_config is None else dict(from_config),
        "vocabulary_size": vocabulary_size if from_config is not None and tokenizer is None else None,
        "tokenizer": None if tokenizer is None else str(tokenizer),
        "condition": None if hearing is None else hearing.to_dict(),
        "max_steps": max_steps, "epochs": DEFAULT_EPOCHS if max_steps is None and epochs is None else epochs,
        "learning_rate": learning_rate, "warmup_steps": warmup_steps, "scheduler": scheduler, "batch_size": batch_size,
        "weight_decay": weight_decay, "clip_gradient": clip_gradient, "seed": seed, "language": language, "task": task,
        "leading_space": leading_space, "augment": None if augmentation is None else augmentation.to_dict(),
        "evaluate": evaluate, "max_samples": max_samples,
    }  # fmt: skip
    folder = RunFolder(Path(out), options)
    if resume == "never":
        folder.start_over()
    if (done := folder.results()) is not None:
        return _result(folder.path, done)
    with told_full_disk(folder.path), stop_on_signals(), quiet_generators(threads), quiet_transformers():
        listener = _listener(corpus, model, from_config, vocabulary_size, tokenizer, language, task, seed)
        results = _train(folder, listener, corpus, hearing, augmentation, where, save_every)
        folder.finish(results)
    return _result(folder.path, results)


def _train(
    folder: RunFolder, listener: Listener, corpus: Any, hearing: Condition | None, augmentation: Augmentation | None,
    device: str, save_every: int | None,
) -> dict[str, Any]:  # fmt: skip
    """Train, save and score; returns what `results.json` holds."""
    from whisperprobe.labels import prompt_ids
    from whisperprobe.training.data import Labels, SpeechDataset, read_speech
    from whisperprobe.training.loop import SpeechTrainer, training_arguments

    options, window = folder.options, listener.window
    model: Any = listener.model
    prompt = prompt_ids(listener.tokenizer, model.generation_config, language=options["language"], task=options["task"])
    labels = Labels(
        listener.tokenizer, tuple(prompt), model.config.max_target_positions, leading_space=options["leading_space"]
    )
    if getattr(model.generation_config, "is_multilingual", False):
        model.generation_config.language, model.generation_config.task = options["language"], options["task"]
    if getattr(model.generation_config, "forced_decoder_ids", None):  # an older way to say the same; it would win
        model.generation_config.forced_decoder_ids = None
    speech = read_speech(corpus, "train", window, labels)
    _tell_excluded("train", speech)
    check_stop()
    seed, batch_size = options["seed"], options["batch_size"]
    dataset = SpeechDataset(speech, window, condition=hearing, augment=augmentation, seed=seed)
    steps_per_epoch = math.ceil(len(dataset) / batch_size)
    steps = options["max_steps"] or max(1, round(options["epochs"] * steps_per_epoch))
    if options["warmup_steps"] > steps:
        raise InputError(
            f"warmup_steps is {options['warmup_steps']}, but the run has {steps} steps only: the learning rate would "
            "never be reached. Train longer or warm up less."
        )
    log_every = max(1, min(25, steps // 100))
    save_every = max(1, save_every or max(100, math.ceil(steps / 10)))
    arguments = training_arguments(
        folder, device=device, max_steps=steps, save_every=save_every, log_every=log_every,
        **{k: options[k] for k in (
            "learning_rate", "warmup_steps", "scheduler", "batch_size", "weight_decay", "clip_gradient", "seed",
        )},
    )  # fmt: skip
    use_cache = model.config.use_cache  # transformers' trainer switches it off and leaves it so
    trainer = SpeechTrainer(model, arguments, dataset, folder)
    checkpoint = last_sealed_checkpoint(folder.checkpoints) if folder.checkpoints.is_dir() else None
    begun, first = time.monotonic(), 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2])
    try:
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    finally:
        trainer.close()
    seconds = time.monotonic() - begun
    model.config.use_cache = use_cache
    if trainer.state.global_step < steps:
        check_stop()
    trained = (steps - first) * min(batch_size, len(dataset))
    evaluation: dict[str, float] = {}
    excluded = dict(speech.excluded)
    if options["evaluate"] and "validation" in corpus.splits and corpus.count("validation"):
        from whisperprobe.training.metrics import evaluate_listener

        heard = read_speech(corpus, "validation", window, labels)
        _tell_excluded("validation", heard)
        evaluation, _ = evaluate_listener(
            listener, SpeechDataset(heard, window, condition=hearing), language=options["language"],
            task=options["task"], batch_size=batch_size, device=device,
        )  # fmt: skip
    results = {
        "steps": steps, "seconds": seconds, "clips_per_second": trained / max(seconds, 1e-9), "evaluation": evaluation,
        "n_clips": len(dataset), "excluded": excluded, "bands": window.n_mels, "window_seconds": window.seconds,
        "versions": versions(hearing),
    }  # fmt: skip
    model.to("cpu")
    listener.save(folder.path)
    (folder.path / "README.md").write_text(model_card(options, results, results["versions"]), encoding="utf-8")
    return results


def _listener(
    corpus: Any, model: Any, shape: Any, vocabulary_size: int, tokenizer: Any, language: str, task: str, seed: int
) -> Listener:
    from whisperprobe.labels import language_code
    from whisperprobe.training.model_folder import load_listener, new_listener

    if model is not None:
        return load_listener(model)
    code = language_code(language)
    if tokenizer is not None:
        from transformers import WhisperTokenizer

        if not (Path(tokenizer) / "tokenizer.json").is_file():
            raise InputError(f"{tokenizer} has no tokenizer.json; give the folder of a WhisperTokenizer.")
        words = WhisperTokenizer.from_pretrained(str(tokenizer))
    else:
        from whisperprobe.training.tokenizer import train_tokenizer

        texts = (row["text"] or "" for row in corpus.rows("train"))
        words = train_tokenizer(texts, vocabulary_size, languages=[code], task=task)
    return new_listener(shape, words, language=code, task=task, seed=seed)


def _tell_excluded(split: str, speech: Speech) -> None:
    for reason, n in speech.excluded.items():
        _log.warning("%s: %d clips left out, %s", split, n, reason)


def _name(condition: Any) -> str:
    return str(condition.get("name")) if isinstance(condition, Mapping) else str(condition)


def _result(path: Path, results: Mapping[str, Any]) -> FinetuneResult:
    return FinetuneResult(
        path, results["steps"], results["seconds"], results["clips_per_second"], dict(results["evaluation"])
    )
