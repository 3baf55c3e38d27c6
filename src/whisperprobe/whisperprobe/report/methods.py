"""What was done, ready for a methods section: conditions, listeners, training, measures, intervals, software."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiogram.errors import InputError
from whisperprobe.comparison.listeners import WHISPER
from whisperprobe.comparison.naming import BASE, lexicon_of
from whisperprobe.comparison.result import Comparison
from whisperprobe.comparison.severity import pta4, severities
from whisperprobe.comparison.words import and_between
from whisperprobe.report.cells import Cell, SmallTable, number

if TYPE_CHECKING:
    from audiogram.listening import Condition

__all__ = ["conditions_table", "describe_condition", "methods_text", "training_options", "training_table"]

_TRAINED = {
    "model": "base model", "from_config": "shape", "n_clips": "training recordings", "max_steps": "steps",
    "epochs": "epochs", "batch_size": "batch size",
    "global_batch": "global batch", "learning_rate": "learning rate", "scheduler": "schedule",
    "warmup_steps": "warm-up steps", "weight_decay": "weight decay", "clip_gradient": "gradients clipped at",
    "precision": "precision", "padding": "padding", "freeze": "frozen", "lora": "LoRA", "augment": "augmentation",
    "recipe": "recipe", "seed": "seed",
}  # fmt: skip
"""Options of a training that a methods section names, in its words."""


def conditions_table(conditions: Sequence[Condition]) -> SmallTable:
    """Every condition in full: its audiogram and its filter in words."""
    return SmallTable(
        "conditions-table",
        "The conditions in full. PTA4: mean threshold over 500, 1000, 2000 and 4000\u00a0Hz, – where not all four are "
        "given. SII: speech intelligibility index of the audiogram (ANSI S3.5), speech of normal effort "
        "(62.35\u00a0dB\u00a0SPL) in quiet.",
        (
            "Condition", "Thresholds (dB\u00a0HL)", "PTA4 (dB)", "SII", "WHO grade", "Filter and options", "Level",
            "Noise", "Normalisation",
        ),
        tuple(_condition_row(c) for c in conditions),
    )  # fmt: skip


def _condition_row(condition: Condition) -> tuple[str | Cell, ...]:
    said = describe_condition(condition)
    pta, sii = pta4(condition.audiogram), severities([condition])[0].sii
    return (
        said["name"], said["thresholds"], number(said["pta"], pta), number(said["sii"], sii), said["grade"],
        said["filter"] + ("" if said["options"] == "–" else f": {said['options']}"), said["level"], said["noise"],
        said["normalise"],
    )  # fmt: skip


def describe_condition(condition: Any) -> dict[str, str]:
    """A condition's audiogram and filter in words."""
    ear = condition.audiogram
    pairs = ", ".join(f"{_frequency(f)}:\u00a0{t:g}" for f, t in zip(ear.frequencies, ear.thresholds, strict=True))
    options = dict(condition.options or {})
    level, noise = getattr(condition, "level", None), getattr(condition, "noise", None)
    return {
        "name": condition.name,
        "thresholds": pairs,
        "pta": "–" if (pta := pta4(ear)) is None else f"{pta:.1f}",
        "sii": "–" if (sii := severities([condition])[0].sii) is None else f"{sii:.2f}",
        "grade": "–" if pta is None else str(ear.grade()),
        "filter": condition.filter,
        "options": ", ".join(f"{k} = {v}" for k, v in options.items()) or "–",
        "level": _words(level) or "not modelled",
        "noise": _words(noise) or "none",
        "normalise": condition.normalise,
    }


def methods_text(
    comparison: Comparison,
    versions: Mapping[str, str],
    training: Mapping[str, str | Path] | None = None,
    conditions: Sequence[Condition] = (),
) -> list[str]:
    """Paragraphs for a methods section: speech and listeners, conditions, training, measures, intervals, software."""
    clips = comparison.clips
    seeds = sorted({int(s) for s in clips["seed"].dropna()})
    tuned = [m for m in comparison.models if m in comparison.conditions]
    lexicons = [m for m in comparison.models if lexicon_of(m, comparison.conditions)]
    listeners = and_between(
        (["the unadapted model"] if BASE in comparison.models else [])
        + ([f"models fine-tuned on {and_between(tuned)}"] if tuned else [])
        + [f"the model {m}" for m in comparison.models if m != BASE and m not in (*tuned, *lexicons)]
        + (["discriminative lexicons"] if lexicons else [])
    )
    repeated = f" The study was repeated with seeds {and_between([str(s) for s in seeds])}." if len(seeds) > 1 else ""
    software = and_between([f"{name} {version}" for name, version in versions.items()])
    return [
        f"Recordings were filtered through hearing conditions, and {listeners} "
        f"{'answered to' if lexicons else 'transcribed'} {clips['clip_id'].nunique():,} recordings of "
        f"{clips['word'].nunique():,} words under {and_between(list(comparison.conditions))}."
        f"{repeated}{_base_model(comparison)} An answer counts as correct "
        "when it equals the spoken word after Whisper's text normalisation. Surprisal is −log₂ of the probability of "
        "the spoken word, read in by teacher forcing, summed over its spelling variants (lower case, capitalised, with "
        "and without leading space), the end of the word included.",
        _conditions(conditions),
        _training(training or {}),
        f"Intervals are 95 % bootstrap intervals over words: {comparison.resamples:,} resamples of words (seed "
        f"{comparison.seed}), each word with all of its recordings; seeds are averaged; percentiles are expanded for "
        "few words (Hesterberg, 2015, The American Statistician 69, 371–386). The same resamples serve all cells, so "
        "differences between cells are paired by word. The intervals say how far the result would carry over to other "
        "words of the same kind, not to other voices, models or trainings. Where a cell is at 0 or 100 % for every "
        "word, resampling cannot show the remaining uncertainty and the interval has no width. The interval of a "
        "single word's change is Student's t over its recordings, each compared with itself; it is for a word looked "
        "at alone, not corrected for the number of words.",
        f"Software: {software}." if software else "",
    ]


def _conditions(conditions: Sequence[Condition]) -> str:
    """Every condition in full: the paper that this is pasted into lacks the report's table."""
    ears, ways = [], []
    for said in map(describe_condition, conditions):
        options = "" if said["options"] == "–" else f" ({said['options']})"
        ears.append(f"{said['name']} (thresholds {said['thresholds']} dB\u00a0HL)")
        ways.append(
            f"filter {said['filter']}{options}, presentation level {said['level']}, added noise {said['noise']}, "
            f"normalisation {said['normalise']}"
        )
    if len(set(ways)) == 1:
        return f"The conditions were {and_between(ears)}; {ways[0]}{' in all' if len(ways) > 1 else ''}."
    told = [f"{ear}: {way}" for ear, way in zip(ears, ways, strict=True)]
    return f"The conditions were {'; '.join(told)}." if told else ""


def _base_model(comparison: Comparison) -> str:
    """Which Whisper listened unadapted, as the manifests of its probe runs have it."""
    runs = [run for run in comparison.runs if run.get("listener", WHISPER) == WHISPER]
    options = next((dict(run["manifest"].get("options") or {}) for run in runs if run["model"] == BASE), None)
    if not options or not options.get("model"):
        return ""
    told = [f"{key} {options[key]}" for key in ("dtype", "language", "task") if options.get(key)]
    if options.get("window_seconds"):
        told.append(f"a window of {options['window_seconds']:g} s")
    digest = str(options.get("model_sha256") or "")[:12]  # over the digests of the files: not what sha256sum prints
    sha = f", digest of the weights in the manifest {digest}" if digest else ""
    how = f" ({', '.join(told)}{sha})" if told else ""
    return f" The unadapted model was {_model_name(options['model'])}{how}; answers were decoded greedily."


def _model_name(model: object) -> str:
    """A hub's name as it is; of a folder, its own name: where it lay tells a reader nothing."""
    text = str(model)
    return (
        text
        if text.count("/") == 1 and not text.startswith((".", "/", "~"))
        else f"a local checkpoint, “{Path(text).name}”"
    )


def _training(training: Mapping[str, str | Path]) -> str:
    read = {label: options for label, folder in training.items() if (options := training_options(folder))}
    if not read:
        return ""
    differ = [k for k in _TRAINED if len({json.dumps(o.get(k), sort_keys=True) for o in read.values()}) > 1]
    shared = next(iter(read.values()))
    told = [f"{says} {_option(shared[k])}" for k, says in _TRAINED.items() if k not in differ and _said(shared.get(k))]
    more = f"; they differ in {and_between([_TRAINED[k] for k in differ])} (table of trainings)" if differ else ""
    return (
        f"Fine-tuning ({and_between(list(read))}): {'; '.join(told) or 'default options'}{more}. The optimiser was "
        "AdamW, the loss the cross-entropy of the transcript's tokens."
    )


def training_table(training: Mapping[str, str | Path]) -> SmallTable | None:
    """The options of every training; None where no folder says any."""
    read = {label: options for label, folder in training.items() if (options := training_options(folder))}
    if not read:
        return None
    keys = [k for k in _TRAINED if any(_said(o.get(k)) for o in read.values())]
    rows = []
    for label, options in read.items():
        values = (options.get(k) for k in keys)
        rows.append((label, *(number(_option(v), v) if _is_number(v) else _option(v) for v in values)))
    titles = ("Model", *(_TRAINED[k][0].upper() + _TRAINED[k][1:] for k in keys))
    return SmallTable("training-table", "Options of every training.", titles, tuple(rows))


def training_options(folder: str | Path) -> dict[str, Any]:
    """What `finetune.json` of a model folder says, with what `results.json` knows better; none: nothing."""
    found = _json(Path(folder) / "finetune.json")
    if isinstance(found.get("model"), str):
        found["model"] = _model_name(found["model"])
    results = _json(Path(folder) / "results.json") if found else {}
    return found | {key: results[key] for key in ("n_clips", "precision") if key in results}  # "auto" says little


def _json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except ValueError as error:
        raise InputError(f"{file} is not JSON ({error}). The model's folder is damaged; copy it again.") from error


def _said(value: Any) -> bool:
    """Whether there is something to tell: 0 is, of a seed, of weight decay and of warm-up steps; False is not."""
    return value is not False and value not in (None, "", [], {})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _option(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} = {v}" for k, v in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def _frequency(hertz: float) -> str:
    return f"{hertz / 1000:g}\u00a0kHz" if hertz >= 1000 else f"{hertz:g}\u00a0Hz"


def _words(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{k} = {v}" for k, v in value.items())
    return f"{value:g} dB SPL" if isinstance(value, int | float) else str(value)
