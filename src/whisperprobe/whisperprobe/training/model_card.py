"""The README.md of a trained model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

CURVE = "training.csv"
OPTIONS = "finetune.json"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."


def model_card(options: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    """The README.md of a trained model: data, condition, options, results, versions, how to make it again."""
    versions = results["versions"]
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
{options["global_batch"]}. Loads with plain transformers: `WhisperForConditionalGeneration.from_pretrained`,
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
