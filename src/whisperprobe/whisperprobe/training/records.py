"""What a training run writes down: options, sealed checkpoints, training.csv, results, model card."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audiogram.errors import InputError

__all__ = ["RunFolder", "last_sealed_checkpoint", "seal_checkpoint"]

OPTIONS = "finetune.json"
RESULTS = "results.json"
CHECKPOINTS = "checkpoints"
CURVE = "training.csv"
SEAL = "complete.json"
COLUMNS = ("step", "epoch", "loss", "learning_rate", "grad_norm", "clips_per_second")


class RunFolder:
    """The output folder of one training run: belongs to one set of options, for good.

    Parameters
    ----------
    path : Path
        The folder; made where missing.
    options : mapping
        JSON-able; everything that the resulting weights depend on.

    Raises
    ------
    InputError
        If the folder belongs to a run of other options (naming them) or to something else, or cannot be written.
    """

    def __init__(self, path: Path, options: Mapping[str, Any]) -> None:
        self.path = path
        self.options = json.loads(json.dumps(options))
        file = path / OPTIONS
        try:
            path.mkdir(parents=True, exist_ok=True)
            if file.is_file():
                self._check_same(json.loads(file.read_text(encoding="utf-8")))
            elif any(path.iterdir()):
                raise InputError(
                    f"{path} holds something else already ({sorted(p.name for p in path.iterdir())[0]}, ...) and no "
                    f"{OPTIONS}: it is no training run. Give a new or empty folder."
                )
            else:
                write_json(file, self.options)
        except OSError as error:
            raise InputError(f"the output folder {path} cannot be written: {error.strerror or error}.") from error
        except json.JSONDecodeError as error:
            raise InputError(f"{file} is not JSON ({error}); remove {path} to train anew.") from error

    def _check_same(self, before: Mapping[str, Any]) -> None:
        # Where corpus and model lie does not matter as long as they are the same.
        moved = {"corpus", *(["model"] if self.options.get("model_sha256") else [])}
        keys = sorted({*before, *self.options} - moved)
        differing = [key for key in keys if before.get(key) != self.options.get(key)]
        if differing:
            told = "; ".join(
                f"{k}: {_short(before.get(k))} there, {_short(self.options.get(k))} now" for k in differing
            )
            raise InputError(
                f"{self.path} belongs to a training run with other options ({told}). Give another folder, or the same "
                "options to go on."
            )

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie until the run is done."""
        return self.path / CHECKPOINTS

    @property
    def curve(self) -> Path:
        """The run's training.csv."""
        return self.path / CURVE

    def results(self) -> dict[str, Any] | None:
        """What a finished run found; None for one that is not."""
        file = self.path / RESULTS
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None

    def start_over(self) -> None:
        """Forget an unfinished or finished run of the same options."""
        (self.path / RESULTS).unlink(missing_ok=True)
        self.curve.unlink(missing_ok=True)
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def finish(self, results: Mapping[str, Any]) -> None:
        """Write the results, last of all, and drop the checkpoints."""
        write_json(self.path / RESULTS, results)
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def trim_curve(self, step: int) -> None:
        """Drop the rows of training.csv behind a step, and write its heading where there is none."""
        rows: list[list[str]] = []
        if step and self.curve.is_file():
            with self.curve.open(newline="", encoding="utf-8") as stream:
                rows = [r for r in list(csv.reader(stream))[1:] if len(r) == len(COLUMNS) and int(r[0]) <= step]
        temporary = self.curve.with_name(f".{CURVE}")
        with temporary.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream, lineterminator="\n").writerows([list(COLUMNS), *rows])
        os.replace(temporary, self.curve)

    def add_to_curve(self, row: Mapping[str, Any]) -> None:
        """Append one row to training.csv."""
        values = [row.get(name) for name in COLUMNS]
        with self.curve.open("a", newline="", encoding="utf-8") as stream:
            csv.writer(stream, lineterminator="\n").writerow(
                ["" if v is None else f"{v:.8g}" if isinstance(v, float) else v for v in values]
            )


def write_json(file: Path, value: Any) -> None:
    """Write JSON whole or not at all."""
    temporary = file.with_name(f".{file.name}")
    temporary.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, file)


def seal_checkpoint(folder: Path) -> None:
    """Mark a checkpoint as whole: its files and their sizes, written after all of them lie on the disk."""
    files = sorted(f for f in folder.rglob("*") if f.is_file() and f.name != SEAL)
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    write_json(folder / SEAL, {str(f.relative_to(folder)): f.stat().st_size for f in files})


def last_sealed_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that is whole. Those that are not, cut off while being written, are removed.

    `transformers.trainer_utils.get_last_checkpoint` would return a damaged one.
    """
    found = sorted(folder.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]), reverse=True)
    whole = None
    for checkpoint in found:
        if not _is_whole(checkpoint):
            shutil.rmtree(checkpoint)
        elif whole is None:
            whole = checkpoint
    return whole


def _is_whole(checkpoint: Path) -> bool:
    try:
        sizes = json.loads((checkpoint / SEAL).read_text(encoding="utf-8"))
        return bool(sizes) and all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."


def model_card(options: Mapping[str, Any], results: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """The README.md of a trained model: data, condition, options, results, versions, how to make it again."""
    condition = options.get("condition") or options.get("corpus_condition")
    heard = condition["name"] if isinstance(condition, dict) else "as recorded"
    start = f"`{options['model']}`" if options.get("model") else "random weights"
    evaluation = results.get("evaluation") or {}
    measured = "\n".join(f"| {name} | {value:.4g} |" for name, value in evaluation.items()) or "| none | |"
    excluded = results.get("excluded") or {}
    left_out = "; ".join(f"{n} {reason}" for reason, n in excluded.items()) or "none"
    shown = {k: v for k, v in options.items() if v is not None and k not in ("corpus", "condition", "corpus_condition")}
    arguments = "\n".join(f"| {name} | `{_short(value)}` |" for name, value in sorted(shown.items()))
    corpus = json.dumps(options.get("corpus"), indent=2, sort_keys=True, ensure_ascii=False)
    filtered = json.dumps(condition, indent=2, sort_keys=True, ensure_ascii=False) if condition else "none"
    return f"""---
library_name: transformers
pipeline_tag: automatic-speech-recognition
language: {options.get("language")}
tags: [whisper, hearing-loss]
---

# A Whisper that heard: {heard}

Trained by `whisperprobe.finetune` from {start} on {results["n_clips"]} clips, {results["steps"]} steps of
{options["batch_size"]}. Loads with plain transformers: `WhisperForConditionalGeneration.from_pretrained`,
`WhisperProcessor.from_pretrained`. It takes {results["bands"]} mel bands in windows of {results["window_seconds"]:g} s.

## Results on the validation split

| measure | value |
| --- | --- |
{measured}

Words are compared under Whisper's text normaliser. The test split was not looked at.
Clips left out of training: {left_out}.

## Data

```json
{corpus}
```

Hearing condition:

```json
{filtered}
```

## Options

| option | value |
| --- | --- |
{arguments}

The loss over steps is in `{CURVE}`. The same call with the options in `{OPTIONS}` gives the same model on the same
machine type, number of threads and versions: {", ".join(f"{name} {version}" for name, version in versions.items())}.
"""
