"""The README.md of a trained model: what it heard, how it was trained, how good it is, how to make it again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from whisperprobe.training.curve_tables import EVALUATION, EVALUATIONS, TRAINING
from whisperprobe.training.reproducing import command, python_call

__all__ = ["model_card", "write_card"]

PICTURE = "training.png"
_SCORES = {
    "wer": "word error rate", "cer": "character error rate", "word_accuracy": "words written exactly",
    "sentence_accuracy": "sentences written exactly", "loss": "loss, nats per token", "n_clips": "clips",
    "n_words": "words",
}  # fmt: skip
_RATES = ("wer", "cer", "word_accuracy", "sentence_accuracy")
_ELSEWHERE = ("corpus", "corpus_fingerprint", "condition", "corpus_condition", "from_config", "augment", "lora")


def write_card(folder: Path, options: Mapping[str, Any], results: Mapping[str, Any]) -> None:
    """Write a model folder's README.md and, for a run that was evaluated on the way, the picture that it shows.

    Parameters
    ----------
    folder : Path
        The model folder, with the run's tables.
    options, results : mapping
        What `finetune.json` and `results.json` hold.
    """
    drawn = _picture(folder, results)
    (folder / "README.md").write_text(model_card(options, results, name=folder.name, picture=drawn), encoding="utf-8")


def _picture(folder: Path, results: Mapping[str, Any]) -> bool:
    """Draw the run's curves, where there is more than one evaluation to join by a line."""
    file = folder / EVALUATION
    if not file.is_file() or len(file.read_text(encoding="utf-8").splitlines()) < 3:
        return False
    from whisperprobe.training.curve_reading import read_runs
    from whisperprobe.training.figure_files import write_figure
    from whisperprobe.training.plots import draw_runs

    (run,) = read_runs([folder])
    best = results.get("best") or {}
    write_figure(draw_runs([replace(run, best_step=best.get("step", run.best_step))]), folder / PICTURE, dpi=120)
    return True


def model_card(
    options: Mapping[str, Any], results: Mapping[str, Any], *, name: str = "model", picture: bool = False
) -> str:
    """Return the text of a model's card, with the header that the hub reads.

    Parameters
    ----------
    options, results : mapping
        What `finetune.json` and `results.json` hold.
    name : str
        Of the model, for the hub's table of results.
    picture : bool, default False
        Whether the folder has a picture of the curves.
    """
    condition = options.get("condition") or options.get("corpus_condition")
    heard = condition["name"] if isinstance(condition, Mapping) else condition or "as recorded"
    parts = [
        f"---\n{_header(options, results, name)}\n---",
        f"# A Whisper that heard: {heard}",
        _summary(options, results),
        "## Results\n\n" + _scores(results, picture),
        "## Data\n\n" + _data(options, results),
        "## Hearing\n\n" + _hearing(condition),
        "## Training\n\n" + _training(options, results),
        "## How to reproduce\n\n" + _again(options, results),
        "## Licence\n\nNone is stated. What the base model and the data allow decides which one this model can have; "
        "add `license:` to the header of this file before you publish it.",
    ]
    return "\n\n".join(parts) + "\n"


def _header(options: Mapping[str, Any], results: Mapping[str, Any], name: str) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    from whisperprobe.labels import language_code

    code = language_code(options["language"])
    base = options.get("model") if options.get("model_sha256") is None else None  # the hub knows no local folder
    scores = results.get("evaluation") or {}
    corpus = _corpus_name(options)
    measured: list[Any] = [
        EvalResult(
            task_type="automatic-speech-recognition", dataset_type=re.sub(r"[^\w.-]+", "-", corpus) or "speech",
            dataset_name=corpus, dataset_split="validation", metric_type="accuracy" if "accuracy" in key else key,
            metric_name=_SCORES[key].capitalize(), metric_value=round(float(scores[key]), 6),
        )
        for key in (*_RATES, "loss") if key in scores
    ]  # fmt: skip
    data: Any = ModelCardData(
        language="jv" if code == "jw" else code,  # Whisper's own code for Javanese is none of ISO 639
        library_name="transformers", pipeline_tag="automatic-speech-recognition", base_model=base,
        tags=["whisper", "whisperprobe", "hearing-loss"], metrics=["wer", "cer"] if "wer" in scores else None,
        eval_results=measured or None, model_name=re.sub(r"[^\w.-]+", "-", name) or "model",
    )  # fmt: skip
    return str(data.to_yaml()).strip()


def _summary(options: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    start = f"from `{options['model']}`" if options.get("model") else "from random weights"
    steps, kept = results["steps"], results.get("step", results["steps"])
    which = "" if kept == steps else f" The weights are those of step {kept:,}, the best."
    return f"""Trained with `whisperprobe finetune` {start} on {results["n_clips"]:,} clips of speech, {steps:,} steps
of {options["global_batch"]} clips.{which} It takes {results["bands"]} mel bands in windows of \
{results["window_seconds"]:g} s, longer clips are to be cut, and is asked for language
`{options["language"]}` and task `{options["task"]}` by its generation config:

```python
from transformers import WhisperForConditionalGeneration, WhisperProcessor

model = WhisperForConditionalGeneration.from_pretrained("FOLDER")
processor = WhisperProcessor.from_pretrained("FOLDER")
features = processor(waveform, sampling_rate=16_000, return_tensors="pt").input_features
print(processor.batch_decode(model.generate(features), skip_special_tokens=True))
```{_windows(options)}"""


def _windows(options: Mapping[str, Any]) -> str:
    if options.get("padding") != "trimmed":
        return ""
    return (
        f"\n\nIt was trained on windows trimmed to the clip and {options['margin']:g} s of silence, as "
        "`listening.json` says. `whisperprobe` hears that way; plain transformers pads to the whole window, which this "
        "model has never seen, and may do worse."
    )


def _scores(results: Mapping[str, Any], picture: bool) -> str:
    scores = results.get("evaluation") or {}
    if not scores:
        return "The model was not scored: there was no validation split, or evaluation was off."
    rows = [f"| {_SCORES[key]} | `{key}` | {_value(key, scores[key])} |" for key in _SCORES if key in scores]
    best = results.get("best") or {}
    chosen = ""
    if best:
        chosen = f" Of the evaluations, that of step {best['step']:,} was best by `{best['metric']}`."
        if results.get("kept") == "last":
            chosen += f" The weights are those of the last step, {results['steps']:,}."
    lines = [
        "On the validation split; the test split was not looked at. Words are compared under Whisper's text "
        f"normaliser.{chosen}",
        "| measure | in the tables | value |\n| --- | --- | --- |\n" + "\n".join(rows),
        f"`{EVALUATION}` has all evaluations, `{EVALUATIONS}/` what the model wrote for the first clips at each of "
        f"them, `{TRAINING}` the training loss.",
    ]
    if picture:
        lines.insert(2, f"![Loss and error rates over optimiser steps]({PICTURE})")
    return "\n\n".join(lines)


def _value(key: str, value: float) -> str:
    if key in _RATES:
        return f"{100 * value:.2f} %"
    return f"{value:,.0f}" if key.startswith("n_") else f"{value:.4f}"


def _data(options: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    corpus = options.get("corpus") or {}
    splits = results.get("splits") or {"train": {"clips": results["n_clips"], "excluded": results.get("excluded")}}
    rows = []
    for split, said in splits.items():
        hours = f"{said['hours']:.3g}" if said.get("hours") is not None else "–"
        left_out = "; ".join(f"{n} {reason}" for reason, n in (said.get("excluded") or {}).items()) or "none"
        rows.append(f"| {split} | {said['clips']:,} | {hours} | {left_out} |")
    parts = [
        f"`{_corpus_name(options)}` ({corpus.get('kind', 'corpus')}), fingerprint "
        f"`{options.get('corpus_fingerprint') or corpus.get('fingerprint')}`.",
        "| split | clips | hours | left out |\n| --- | --- | --- | --- |\n" + "\n".join(rows),
    ]
    if failed := {split: said["failures"] for split, said in splits.items() if said.get("failures")}:
        told = "; ".join(f"{n} {reason} ({split})" for split, found in failed.items() for reason, n in found.items())
        parts.append(f"Clips that turned out to be unusable while training: {told}. Others were heard in their place.")
    read = {name: value for name, value in corpus.items() if name != "fingerprint"}  # of the files, not of these clips
    return "\n\n".join([*parts, _folded("How the corpus was read", read)])


def _hearing(condition: Any) -> str:
    if not condition:
        return "The speech was heard as it was recorded, through no hearing condition."
    if not isinstance(condition, Mapping):
        return f"The speech was filtered before, through the condition `{condition}`."
    from audiogram import Condition
    from whisperprobe.report.methods import describe_condition

    said = describe_condition(Condition.from_dict(condition))
    rows = {
        "thresholds, dB HL": said["thresholds"], "average of 500, 1000, 2000, 4000 Hz": said["pta"],
        "grade (WHO 2021)": said["grade"], "filter": f"`{said['filter']}`", "its options": said["options"],
        "presentation level": said["level"], "noise": said["noise"], "normalised": said["normalise"],
    }  # fmt: skip
    table = "\n".join(f"| {what} | {value} |" for what, value in rows.items())
    return (
        f"Training and scoring heard the speech through `{condition['name']}`.\n\n| condition | |\n| --- | --- |\n"
        f"{table}\n\n{_folded('The condition in full', condition)}"
    )


def _training(options: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    shown = {name: value for name, value in options.items() if value is not None and name not in _ELSEWHERE}
    shown |= {
        name: results[name]
        for name in ("batch_size", "accumulation", "processes", "gradient_checkpointing", "model_revision")
        if results.get(name) is not None
    }
    rows = "\n".join(
        f"| `{name}` | `{json.dumps(value, ensure_ascii=False)}` |" for name, value in sorted(shown.items())
    )
    where = f" on {results['devices']}" if results.get("devices") else ""
    speed = f"{results['clips_per_second']:.3g} clips per second{where}, {results['seconds'] / 3600:.3g} hours."
    folded = [
        _folded(what, options[name])
        for name, what in (("from_config", "Shape"), ("lora", "LoRA"), ("augment", "Augmentation"))
        if options.get(name)
    ]
    return "\n\n".join([speed, f"| option | value |\n| --- | --- |\n{rows}", *folded])


def _again(options: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    line = command(options, results)
    if line is None:
        parts = [f"```python\n{python_call(options, results)}\n```"]
    else:
        parts = [f"```\n{line}\n```"]
        if options.get("from_config"):
            parts.append("with the shape above as `shape.json`.")
    digest = f" Weights: SHA-256 `{results['weights_sha256']}`." if results.get("weights_sha256") else ""
    parts.append(
        "The same call gives the same weights on the same kind of machine with the same number of threads and these "
        f"versions: {versions}.{digest}"
    )
    return "\n\n".join(parts)


def _corpus_name(options: Mapping[str, Any]) -> str:
    return Path(str((options.get("corpus") or {}).get("source", "speech"))).name or "speech"


def _folded(title: str, value: Any) -> str:
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    return f"<details><summary>{title}</summary>\n\n```json\n{text}\n```\n\n</details>"
