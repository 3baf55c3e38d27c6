"""What a study is expected to cost before it runs: what its stages go through, and how fast this machine was before."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiogram.corpus.layout import plan_parts
from audiogram.errors import InputError
from whisperprobe.study_costs import Clips, Shape, expected_cost, model_shape
from whisperprobe.study_graph import Plan, StagePlan
from whisperprobe.study_plan import plan
from whisperprobe.study_timings import Timing, read_timings

if TYPE_CHECKING:
    from audiogram.corpus.clips import Clip

__all__ = ["Factors", "StudyClips", "machine_factors"]

Factors = Mapping[tuple[str, bool], tuple[float, float]]
"""(kind of stage, whether on a GPU) to measured over expected: seconds, bytes."""

_LOOKED_AT = 8  # clips of each split that say how long a clip is


def machine_factors(*folders: str | Path) -> Factors:
    """Compare what stages took with what was to be expected.

    Parameters
    ----------
    *folders : path
        Results of studies on this machine; one without timings says nothing.

    Returns
    -------
    dict
        For each kind of stage, on a GPU or not, the factors of seconds and bytes: geometric means over all tasks.

    Raises
    ------
    InputError
        A folder's record of its study or its timings cannot be read, or its corpus is gone.
    """
    from whisperprobe.study import study_of

    logs: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    for folder in dict.fromkeys(Path(folder).absolute() for folder in folders):
        timings = read_timings(folder)
        if not timings:
            continue
        planned = plan(study_of(folder), folder, check=False)
        stages, through = {stage.name: stage for stage in planned.stages}, StudyClips(planned)
        for timing in timings:
            if timing.stage in stages:
                ratios = _ratios(timing, stages[timing.stage], through)
                logs.setdefault((timing.kind, timing.gpus > 0), []).append(ratios)
    return {
        key: (math.exp(sum(t for t, _ in pairs) / len(pairs)), math.exp(sum(b for _, b in pairs) / len(pairs)))
        for key, pairs in logs.items()
    }


def _ratios(timing: Timing, stage: StagePlan, through: StudyClips) -> tuple[float, float]:
    whole = through.of(stage)
    clips = Clips(timing.clips, timing.parts, whole.seconds, whole.characters)
    cost = expected_cost(stage, clips, timing.machine, through.shape(stage))
    return math.log(timing.seconds / (cost.start + cost.seconds)), math.log(timing.bytes / cost.bytes)


class StudyClips:
    """Clips and parts of every stage of a study, from the corpora that are there: a masked one has those of its source.

    Parameters
    ----------
    planned : Plan
        The study.
    """

    def __init__(self, planned: Plan) -> None:
        self._planned = planned
        self._masks = {out: stage for stage in planned.stages if stage.kind == "mask" for out in stage.outputs}
        self._fits = {s.outputs[0]: s for s in planned.stages if s.kind == "finetune"}
        self._opened: dict[str, tuple[dict[str, int], float, float]] = {}

    def of(self, stage: StagePlan) -> Clips:
        """What a stage goes through."""
        if stage.kind == "compare":
            return Clips(sum(self.of(s).count for s in self._planned.stages if s.kind in ("probe", "ldl-evaluate")))
        if stage.kind == "report":
            return Clips(1)
        rows, seconds, characters = self._of(stage.options["corpus"])
        options = stage.options
        train = min(rows.get("train", 0), options.get("max_samples", rows.get("train", 0)))
        if stage.kind == "ldl-train":
            return Clips(train * options.get("epochs", 1), 1, seconds, characters)
        if stage.kind == "finetune":
            each_step = options.get("global_batch") or options.get("batch_size") or 32
            heard = options["max_steps"] * each_step if "max_steps" in options else options.get("epochs", 3) * train
            return Clips(int(heard), 1, seconds, characters)
        rows = {split: n for split, n in rows.items() if split in (options.get("splits") or rows)}
        parts = len(plan_parts(rows, options.get("rows_per_part", 256)))
        return Clips(sum(rows.values()), parts, seconds, characters)

    def _of(self, given: Mapping[str, Any]) -> tuple[dict[str, int], float, float]:
        """Clips of each split of a corpus; seconds and characters of a clip, from a few of them."""
        from whisperprobe.study_stages import opened_corpus

        mask = self._masks.get(given["source"])
        corpus = {**mask.options["corpus"], **{k: v for k, v in given.items() if k != "source"}} if mask else given
        key = json.dumps(corpus, sort_keys=True)
        if key not in self._opened:
            opened = opened_corpus(corpus)
            few = opened.sample(_LOOKED_AT, 0)
            clips = [clip for split in few.splits for clip in few.read(split)]
            seconds = [_seconds(clip) for clip in clips]
            heard = [one for one in seconds if one is not None] or [Clips(0).seconds]
            texts = [len(clip.text or "") for clip in clips] or [0]
            rows = {split: opened.count(split) for split in opened.splits}
            self._opened[key] = rows, sum(heard) / len(heard), sum(texts) / len(texts)
        return self._opened[key]

    def shape(self, stage: StagePlan) -> Shape | None:
        """Size of the model: of one that is yet to be trained, that of the model it starts from.

        Of a lexicon in Whisper's own semantic space, the size of that Whisper.
        """
        if stage.kind not in ("finetune", "probe", "ldl-train", "ldl-evaluate"):
            return None
        options: Mapping[str, Any] = stage.options
        if "semantics" in options:
            if not options["semantics"].startswith("whisper:"):
                return None
            options = {"model": options["semantics"].removeprefix("whisper:")}
        seen = set()
        while options.get("model") in self._fits and options["model"] not in seen:
            seen.add(options["model"])
            options = self._fits[options["model"]].options
        config = options.get("from_config")
        if config is not None and "vocabulary_size" in options:
            config = {**config, "vocabulary_size": options["vocabulary_size"]}
        return model_shape(options.get("model"), config)


def _seconds(clip: Clip) -> float | None:
    try:
        sound, rate = clip.audio()
    except InputError:  # the stage will say so
        return None
    return len(sound) / rate
