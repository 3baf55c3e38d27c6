"""`mask_corpus`: a corpus as it sounds through one or more conditions, from one decode and one forward transform."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audiogram.corpus.clips import MAX_SECONDS
from audiogram.corpus.manifest import is_complete
from audiogram.corpus.mask_work import MaskWork
from audiogram.corpus.sources import Corpus, SplitRule, open_corpus
from audiogram.errors import AudiogramWarning, InputError

if TYPE_CHECKING:
    import pyarrow as pa

    from audiogram.listening import Condition

__all__ = ["MaskJob", "MaskWork", "audio_schema", "mask_corpus", "mask_job"]

_LOWEST_RATE = 1000  # Hz


def mask_corpus(
    source: str | Path | Corpus,
    out_base: str | Path | None = None,
    conditions: Sequence[str | Condition] | None = None,
    *,
    workers: int = 1,
    shard: str | tuple[int, int] | None = None,
    splits: Sequence[str] | None = None,
    max_samples: int | None = None,
    balance: str | None = None,
    sample_rate: int = 16_000,
    format: str = "flac24",
    seed: int = 0,
    max_failures: float = 0.05,
    max_seconds: float = MAX_SECONDS,
    rows_per_part: int = 256,
    text_pattern: str | None = None,
    text_map: Mapping[Any, str] | None = None,
    split: SplitRule | None = None,
) -> dict[str, Path]:
    """Write a corpus as it is heard through conditions: one folder ``OUT_BASE_{condition}`` for each.

    Every folder is a row stage's output: Parquet with the columns ``id``, ``audio``, ``text`` and all columns of the
    source, which `datasets.load_dataset` and `open_corpus` read. A clip that cannot be used is a row of its
    ``failures``, with the reason: it is missing, empty, unreadable, longer than `max_seconds`, NaN or infinite; it is
    silent and the condition normalises; filtered, it would be clipped by `format`, or fall below its last bit
    throughout. Channels are averaged. A silent clip stays a silent clip where nothing is normalised.

    Parameters
    ----------
    source : path or Corpus
        What `open_corpus` reads.
    out_base : path, optional
        Beginning of the folders' names; default the source's.
    conditions : sequence of str or Condition, optional
        Through what; default the built-in ones.
    workers : int, default 1
        Processes; as many as there are cores, to use them all.
    shard : str or (int, int), optional
        ``"I/N"``: only the parts whose number is I modulo N.
    splits : sequence of str, optional
        Which splits; default all.
    max_samples : int, optional
        At most so many clips of every split, drawn by `seed`.
    balance : str, optional
        A column whose values, each within its split, get as many of these clips as the others, or all that they have.
    sample_rate : int, default 16000
        Rate in Hz at which the conditions are applied and the sound is written.
    format : {"flac24", "flac16", "wav", "wav32f"}, default "flac24"
        How the sound is stored.
    seed : int, default 0
        Seed of `max_samples`.
    max_failures : float, default 0.05
        Highest share of failures in a split, 0 to 1.
    max_seconds : float, default 300
        Longest clip, in s.
    rows_per_part : int, default 256
        Clips in one file.
    text_pattern, text_map, split
        See `open_corpus`.

    Returns
    -------
    dict of str to Path
        The folder of each condition.

    Raises
    ------
    InputError
        A wrong argument, or a folder that belongs to another run.
    WorkError
        Too many failures, a full disk, a worker that died; what was written stays.
    StoppedError
        A signal asked to stop.
    """
    from audiogram.corpus.stages import run_stage

    job = mask_job(
        source, out_base, conditions, max_samples=max_samples, balance=balance, sample_rate=sample_rate, format=format,
        seed=seed, max_seconds=max_seconds, text_pattern=text_pattern, text_map=text_map, split=split,
    )  # fmt: skip
    # A folder that is finished is only compared with what is asked for, not made again beside the others.
    finished = [c for c in job.conditions if is_complete(job.folders[c.name])]
    for group in (finished, [c for c in job.conditions if c not in finished]):
        if group:
            run_stage(
                **job.stage(group),
                outs=[job.folders[c.name] for c in group],
                work=job.work(group),
                rows_per_part=rows_per_part,
                shard=shard,
                workers=workers,
                splits=splits,
                max_failures=max_failures,
                readme=_card,
                label=f"masking ({', '.join(c.name for c in group)})",
            )
    return job.folders


@dataclass(frozen=True)
class MaskJob:
    """What `mask_corpus` is asked to do, checked: nothing has been read but the source's names."""

    corpus: Corpus
    conditions: tuple[Condition, ...]
    folders: dict[str, Path]
    sample_rate: int
    format: str
    max_seconds: float

    def work(self, group: Sequence[Condition]) -> MaskWork:
        """Return what masks the clips of a part."""
        return MaskWork(tuple(group), self.sample_rate, self.format, self.max_seconds)

    def stage(self, group: Sequence[Condition]) -> dict[str, Any]:
        """Return what the manifests of these conditions follow from, as `run_stage` takes it."""
        return {
            "name": "mask",
            "options": {"sample_rate": self.sample_rate, "format": self.format, "max_seconds": self.max_seconds},
            "corpus": self.corpus,
            "schemas": {"data": audio_schema(self.corpus, self.sample_rate)},
            "extra_manifest": [{"condition": c.to_dict(), "plugin": c.versions()} for c in group],
        }


def mask_job(
    source: str | Path | Corpus,
    out_base: str | Path | None,
    conditions: Sequence[str | Condition] | None,
    *,
    max_samples: int | None,
    balance: str | None,
    sample_rate: int,
    format: str,
    seed: int,
    max_seconds: float,
    text_pattern: str | None,
    text_map: Mapping[Any, str] | None,
    split: SplitRule | None,
) -> MaskJob:
    """Check the arguments of `mask_corpus`."""
    from audiogram import listening, sound

    sound.encode(np.zeros(16, np.float32), sample_rate, format)  # refuses a wrong format or rate before any work
    if sample_rate < _LOWEST_RATE:
        raise InputError(
            f"--sample-rate {sample_rate} Hz would keep nothing above {sample_rate / 2:g} Hz, and with that no speech; "
            f"give at least {_LOWEST_RATE}. Was it kHz? 16000 is what speech recognisers take."
        )
    corpus = open_corpus(source, text_pattern=text_pattern, text_map=text_map, split=split)
    corpus = corpus.sample(max_samples, seed, balance)
    if heard := (corpus.manifest or {}).get("condition"):
        name = heard.get("name") if isinstance(heard, Mapping) else heard
        warnings.warn(
            f"the source {corpus.root} has been filtered already, through condition {name!r}; what is written is heard "
            "through both, one after the other. If that is not meant, give the unfiltered corpus.",
            AudiogramWarning,
            stacklevel=2,
        )
    if not max_seconds > 0:
        raise InputError(f"--max-seconds {max_seconds}: above 0.")
    if isinstance(conditions, str | listening.Condition):
        raise InputError(f"conditions is a list, got {conditions!r}; put it in brackets.")
    chosen = [listening.as_condition(c) for c in (conditions or listening.conditions())]
    _check_names(chosen)
    if out_base is not None and not str(out_base).strip():
        raise InputError("out_base is empty; give the beginning of the folders' names, or leave it out.")
    base = str(Path(out_base) if out_base is not None else corpus.root)
    folders = {condition.name: Path(f"{base}_{condition.name}") for condition in chosen}
    return MaskJob(corpus, tuple(chosen), folders, sample_rate, format, max_seconds)


def audio_schema(corpus: Corpus, sample_rate: int) -> pa.Schema:
    """Return the columns of a corpus of sound: ``id``, ``audio``, ``text``, then those of the source.

    The metadata tells `datasets` that ``audio`` is an Audio feature.
    """
    import json

    import pyarrow as pa

    source = corpus.schema()
    audio = pa.field("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    rest = [field for field in source if field.name not in ("id", "text")]
    features = {"audio": {"sampling_rate": sample_rate, "_type": "Audio"}}
    return pa.schema(
        [source.field("id"), audio, source.field("text"), *rest],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )


def _check_names(conditions: Sequence[Condition]) -> None:
    names = [condition.name for condition in conditions]
    for name in names:
        if not re.fullmatch(r"[\w.+-]+", name):
            raise InputError(
                f"condition name {name!r} cannot be part of a folder's name; use letters, digits, '-', '_'."
            )
        if names.count(name) > 1:
            raise InputError(
                f"condition {name!r} is given {names.count(name)} times; every condition needs its own name."
            )


def _card(manifest: Mapping[str, Any]) -> str:
    condition, options, source = manifest["condition"], manifest["options"], manifest["input"]
    ear = condition["audiogram"]
    rows = "\n".join(
        f"| {frequency:g} | {threshold:g} |"
        for frequency, threshold in zip(ear["frequencies"], ear["thresholds"], strict=True)
    )
    return (
        f"# {Path(source['source']).name}, heard through `{condition['name']}`\n\n"
        f"Every clip of the source, filtered with `{condition['filter']}` (normalisation: "
        f"{condition['normalise']}), at {options['sample_rate']} Hz, stored as {options['format']}. "
        "Whether the clips may be passed on follows from the source's licence.\n\n"
        f"| Hz | dB HL |\n| --- | --- |\n{rows}\n\n"
        "```python\nimport datasets\nfrom audiogram.corpus import open_corpus\n\n"
        'datasets.load_dataset("this folder")\nopen_corpus("this folder")\n```\n'
    )
