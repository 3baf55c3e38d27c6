"""What each kind of stage does, given its options as plain data; a queue's job runs the same functions."""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiogram.errors import InputError, WorkError
from whisperprobe.study_graph import StagePlan

if TYPE_CHECKING:
    from audiogram.corpus.sources import Corpus
    from whisperprobe.probing.probe import Probe

_LOG = logging.getLogger(__name__)

__all__ = ["check_splits", "opened_corpus", "run_stage_plan", "write_comparison_report"]

_IN_PROCESSES = ("mask", "ldl-train", "ldl-evaluate")  # stages that `workers` is about
_LEARNING = ("finetune", "ldl-train")  # from the split "train"


def run_stage_plan(
    stage: StagePlan,
    loaded: dict[str, Probe] | None = None,
    *,
    shard: str | tuple[int, int] | None = None,
    workers: int | None = None,
) -> None:
    """Do one stage of a study; what is finished already is left as it is.

    Parameters
    ----------
    stage : StagePlan
        The stage, as `whisperprobe.plan` makes it. Its inputs must be there.
    loaded : dict, optional
        Where the model of a probe is kept for the next stage; give the same dict to every stage of one run.
    shard : str or (int, int), optional
        ``"I/N"``: only that share of the parts, where the stage works in parts.
    workers : int, optional
        Processes of a stage that filters or makes cues, instead of the study's.

    Raises
    ------
    InputError
        Where an output folder belongs to another run.
    WorkError
        Where the work failed: too many bad clips, a full disk.
    StoppedError
        Where a signal asked to stop.
    """
    try:
        options = stage.options | ({} if shard is None else {"shard": shard})
        if workers is not None and stage.kind in _IN_PROCESSES:
            options["workers"] = workers
        if stage.kind == "probe":
            _probe(options, {} if loaded is None else loaded)
        else:
            _KINDS[stage.kind](options)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise WorkError(
            f"stage {stage.name}: cannot write {error.filename or stage.outputs[0]} ({error.strerror}). "
            f"Make room or mend the permissions, then start again: what is written stays."
        ) from error


def check_splits(stages: Sequence[StagePlan]) -> None:
    """Make sure, before hours of work, that the corpora have clips to train on and clips to probe.

    Raises
    ------
    InputError
        Where a split that a stage needs is missing or empty.
    """
    masks = {out: stage for stage in stages if stage.kind == "mask" for out in stage.outputs}
    opened: dict[str, Corpus] = {}
    for stage in stages:
        if stage.kind not in (*_LEARNING, "probe", "ldl-evaluate"):
            continue
        mask = masks.get(stage.options["corpus"]["source"])
        corpus = mask.options["corpus"] if mask else stage.options["corpus"]
        if not Path(corpus["source"]).exists():
            continue  # a masked corpus whose stage is not among these; the stage itself will say what it needs
        key = json.dumps(corpus)
        if key not in opened:
            opened[key] = opened_corpus(corpus)
        for split in ["train"] if stage.kind in _LEARNING else stage.options.get("splits") or []:
            if mask is not None and split not in mask.options.get("splits", [split]):
                raise InputError(f"[corpus] splits leaves out {split!r}, which stage {stage.name} needs. Add it.")
            _check_split(opened[key], split)


def _check_split(corpus: Corpus, split: str) -> None:
    if split not in corpus.splits or not corpus.count(split):
        found = ", ".join(f"{name}: {corpus.count(name)} clips" for name in corpus.splits)
        raise InputError(
            f"the corpus {corpus.root} has no clips in a split {split!r} (it has {found}). Give [corpus] a split, "
            f'e.g. split = {{ column = "speaker", test = ["nicolas"] }}, or folders train and test.'
        )


def opened_corpus(options: Mapping[str, Any]) -> Corpus:
    """Open a corpus as a stage's options describe it: source, texts, splits, sample."""
    from audiogram.corpus.sources import SplitRule, open_corpus

    given = dict(options)
    source, max_samples, rule = given.pop("source"), given.pop("max_samples", None), given.pop("split", None)
    if rule is not None:
        rule = dict(rule)
        test = rule["test"]
        rule["test"] = tuple(test) if isinstance(test, list) else test
        given["split"] = SplitRule(**{"column": None, **rule})
    corpus = open_corpus(source, **given)
    return corpus if max_samples is None else corpus.sample(max_samples, 0)


def _mask(options: dict[str, Any]) -> None:
    from audiogram import Condition, mask_corpus

    given = dict(options)
    conditions = [Condition.from_dict(c) for c in given.pop("conditions")]
    mask_corpus(opened_corpus(given.pop("corpus")), given.pop("out_base"), conditions, **given)


def _finetune(options: dict[str, Any]) -> None:
    from whisperprobe.training.trainer import finetune

    given = dict(options)
    finetune(opened_corpus(given.pop("corpus")), given.pop("out"), **given)


def _probe(options: dict[str, Any], loaded: dict[str, Probe]) -> None:
    from audiogram import Condition
    from whisperprobe.probing.corpus import probe_corpus
    from whisperprobe.probing.probe import Probe

    given = dict(options)
    corpus, out, condition = opened_corpus(given.pop("corpus")), given.pop("out"), given.pop("condition")
    given["splits"] = tuple(given["splits"]) if "splits" in given else None
    of_model = ("device", "dtype", "language", "task", "max_new_tokens", "timestamps")
    how = {name: given.pop(name) for name in of_model if name in given}
    model = given.pop("model")
    if model not in loaded:
        loaded.clear()  # one model at a time: they may be large
        loaded[model] = Probe.from_pretrained(model, **how)
    given |= {"model": loaded[model], "condition": Condition.from_dict(condition) if condition else None}
    probe_corpus(corpus, out, **given)


def _ldl_train(options: dict[str, Any]) -> None:
    from whisperprobe.ldl.fit import train_corpus

    given = dict(options)
    train_corpus(opened_corpus(given.pop("corpus")), given.pop("out"), **given)


def _ldl_evaluate(options: dict[str, Any]) -> None:
    from audiogram import Condition
    from whisperprobe.ldl.evaluate import evaluate_corpus

    given = dict(options)
    corpus, condition = opened_corpus(given.pop("corpus")), given.pop("condition")
    given["splits"] = tuple(given["splits"]) if "splits" in given else None
    given["condition"] = Condition.from_dict(condition) if condition else None
    evaluate_corpus(corpus, given.pop("out"), **given)


def _compare(options: dict[str, Any]) -> None:
    from whisperprobe.comparison.conditions import ProbeRun, compare

    given = dict(options)
    comparison = compare([ProbeRun(**run) for run in given.pop("runs")], clips="common", **given)
    if comparison.left_out:  # a clip that one run could not hear is compared nowhere
        _LOG.warning("%d clips failed in some run and are left out everywhere.", len(comparison.left_out))


def _report(options: dict[str, Any]) -> None:
    from audiogram import Condition
    from whisperprobe.comparison.conditions import load_comparison
    from whisperprobe.report.page import write_report
    from whisperprobe.report.sources import sources_of

    comparison = load_comparison(options["comparison"])
    corpora = {name: Path(path) for name, path in options["corpora"].items()}
    write_report(
        comparison,
        options["out"],
        title=options["title"],
        conditions=[Condition.from_dict(c) for c in options["conditions"]],
        corpora=corpora or sources_of(comparison),  # what another corpus's clips were heard through, on the fly
        training={name: Path(path) for name, path in options["training"].items()},
        provenance={"study": options["study"], "versions": _versions()},
        examples=options["examples"],
        description=options.get("description", ""),
    )


def write_comparison_report(folder: Path, title: str) -> Path:
    """Write the report of a comparison that belongs to no study; its conditions are those that its runs record."""
    from whisperprobe.comparison.conditions import load_comparison
    from whisperprobe.comparison.severity import conditions_heard
    from whisperprobe.report.page import write_report
    from whisperprobe.report.sources import sources_of

    comparison = load_comparison(folder)
    return write_report(
        comparison,
        folder.parent / f"{folder.name}.html",
        title=title,
        conditions=conditions_heard(comparison.runs),
        corpora=sources_of(comparison),
        provenance={"versions": _versions()},
    )


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ("audiogram", "whisperprobe", "torch", "transformers", "datasets", "numpy", "scipy", "soundfile", "soxr")
    return {name: version(name) for name in names}


_KINDS: dict[str, Callable[[dict[str, Any]], None]] = {
    "mask": _mask,
    "finetune": _finetune,
    "ldl-train": _ldl_train,
    "ldl-evaluate": _ldl_evaluate,
    "compare": _compare,
    "report": _report,
}
