"""`train_corpus`: from speech and a semantic space to a listener that understands words, in a folder of its own."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audiogram.console import stop_on_signals
from audiogram.errors import WorkError, unknown_name
from whisperprobe.ldl.checkpoints import FitFolder
from whisperprobe.ldl.cues_matrix import CueShape
from whisperprobe.ldl.curve import HeldOut, curve_points, write_curve
from whisperprobe.ldl.events import Events, Meanings, find_meanings, words_of
from whisperprobe.ldl.fit_cues import CueSource
from whisperprobe.ldl.fit_options import FitOptions, read_frequencies
from whisperprobe.ldl.model import LdlModel, load_ldl_model
from whisperprobe.ldl.semantics import Semantics, open_semantics
from whisperprobe.ldl.solutions import DEFAULT_RIDGE, endstate, frequency_informed
from whisperprobe.ldl.stepping import Course, learn_events
from whisperprobe.training.surroundings import told_full_disk

if TYPE_CHECKING:
    from audiogram import Condition
    from audiogram.corpus import Corpus, SplitRule
    from whisperprobe.ldl.cues_reading import StoredCues

__all__ = ["train_corpus"]

_log = logging.getLogger("whisperprobe")
LEFT_OUT = "left_out.csv"


def train_corpus(
    source: str | Path | Corpus | StoredCues,
    out: str | Path,
    *,
    semantics: str | Path | Mapping[str, Any] | Semantics,
    cues: str | None = None,
    cue_options: Mapping[str, Any] | None = None,
    shape: str | Path | CueShape | None = None,
    condition: str | Condition | None = None,
    rule: str = "nlms",
    rate: float = 0.1,
    epsilon: float = 0.0,
    ridge: float = DEFAULT_RIDGE,
    frequencies: str | Path | Mapping[str, float] | None = None,
    block: int | None = None,
    epochs: int = 1,
    seed: int = 0,
    shuffle: bool = True,
    production: bool = True,
    held_out: str | None = "validation",
    curve: int | Sequence[int] = 20,
    max_samples: int | None = None,
    max_failures: float = 0.05,
    save_every: int | None = None,
    device: str = "cpu",
    workers: int = 1,
    resume: str = "auto",
    text_pattern: str | None = None,
    text_map: Mapping[Any, str] | None = None,
    split: SplitRule | None = None,
) -> LdlModel:
    """Train a discriminative lexicon on the split "train" of a corpus of spoken words.

    Cues are computed once, as a row stage in ``OUT/cues``, and read block by block. Stopped by SIGTERM, SIGUSR1 or a
    power cut, the same call goes on from the last checkpoint and ends with the same weights to the last bit. A
    finished fit is returned at once.

    Parameters
    ----------
    source : path, Corpus or StoredCues
        What `audiogram.corpus.open_corpus` opens, one word per clip; or a folder that `ldl.write_cues` has written, so
        that several listeners learn from the same cues.
    out : path
        Folder to write; new, empty, or of the same call.
    semantics : path, str, mapping or Semantics
        Semantic space, see `ldl.open_semantics`.
    cues : {"cfbsf", "log_mel"}, optional
        How sound becomes cues; default "cfbsf".
    cue_options : mapping, optional
        Options of the cues, see `ldl.cfbsf`.
    shape : path or CueShape, optional
        Lay cues out as another fit did, whose folder this is: listeners of several conditions must share the scale of
        their log-mels. Default: fitted on these words.
    condition : str or Condition, optional
        What the words are heard through; none for a corpus that is masked already.
    rule : {"nlms", "lms", "endstate", "fil"}
        How weights are found: event by event, or where that ends, or there with word frequencies.
    rate, epsilon : float
        Of `nlms` and `lms`, see `ldl.learn`.
    ridge : float, default 1e-6
        Of `endstate` and `fil`, see `ldl.endstate`.
    frequencies : path or mapping, optional
        Of `fil`: frequency of every word, a mapping or a table with columns ``word`` and ``frequency``.
    block, epochs : int
        See `ldl.learn`.
    seed : int, default 0
        Of the events' order and of `max_samples`.
    shuffle : bool, default True
        Draw a new order in every epoch; False keeps the corpus' order.
    production : bool, default True
        Learn the mapping from meaning to cues, too.
    held_out : str or None, default "validation"
        Split whose words are tried for the learning curve, where the corpus has it.
    curve : int or sequence of int, default 20
        How many points the learning curve has, or after which numbers of events.
    max_samples : int, optional
        At most so many clips of every split, drawn by `seed`.
    max_failures : float, default 0.05
        Largest share of the clips that may be left out for their sound, and for want of a vector.
    save_every : int, optional
        Events between checkpoints; default a tenth of all.
    device : str, default "cpu"
        "cpu" computes in NumPy; else torch: "auto", "cuda", or several with commas between, over which the weights are
        spread where one cannot hold them.
    workers : int, default 1
        Processes that compute cues.
    resume : {"auto", "never"}
        "never" learns anew.
    text_pattern, text_map, split
        See `audiogram.corpus.open_corpus`.

    Returns
    -------
    LdlModel

    Raises
    ------
    InputError
        Wrong options, a folder of another fit, steps that would diverge, words without any vector.
    WorkError
        Too many clips that cannot be used, a full disk, weights that stop being finite.
    StoppedError
        A signal asked to stop; a checkpoint has been written.
    """
    if resume not in ("auto", "never"):
        raise unknown_name("resume", resume, ("auto", "never"))
    options = FitOptions(
        rule, rate, epsilon, ridge, None if frequencies is None else read_frequencies(frequencies), block, epochs, seed,
        shuffle, production, held_out, curve, max_failures, save_every, device,
    )  # fmt: skip
    asked_shape = None if shape is None else _shape(shape)
    space = open_semantics(semantics)
    opened = CueSource.of(
        source, kind=cues, condition=condition, max_samples=max_samples, seed=seed, cue_options=cue_options,
        text_pattern=text_pattern, text_map=text_map, split=split,
    )  # fmt: skip
    meant = space.describe()
    where = meant.pop("source")  # a space may move
    folder = FitFolder(
        Path(out),
        {
            **opened.describe(),
            "shape": None if asked_shape is None else asked_shape.to_dict(),
            "semantics": meant,
            **options.describe(),
        },
    )
    if resume == "auto" and folder.left_tidy():
        return load_ldl_model(folder.path)
    with told_full_disk(folder.path), stop_on_signals(), folder.held():
        folder.claim(anew=resume == "never")
        if folder.results() is None:
            found = _train(folder, opened, options, space, asked_shape, workers)
            folder.finish({**found, "semantics_source": where})
        folder.tidy()
    return load_ldl_model(folder.path)


def _train(
    folder: FitFolder, source: CueSource, options: FitOptions, space: Semantics, shape: CueShape | None, workers: int
) -> dict[str, Any]:
    """Make cues, find meanings, learn, and save; returns what `results.json` holds."""
    splits = ["train"] + [s for s in source.splits if s == options.held_out and s != "train"]
    cues = source.ready(folder.path / "cues", splits, workers=workers, max_failures=options.max_failures)
    shape = shape or cues.fit("train")
    texts = {split: cues.table(split)["text"].to_pylist() for split in splits}
    meanings = find_meanings(words_of([text for split in splits for text in texts[split]]), space)
    events = {split: Events.of(cues.table(split)["id"].to_pylist(), texts[split], meanings) for split in splits}
    _write_left_out(folder.path / LEFT_OUT, events)
    for split, found in events.items():
        _check_left_out(split, found, len(texts[split]), options.max_failures, folder.path)
    matrices = {split: found.cues(cues.matrix(split, shape)) for split, found in events.items()}
    S = events["train"].targets(meanings.lexicon)
    held_out = None
    if len(splits) > 1 and len(events[splits[1]]):
        held_out = HeldOut(matrices[splits[1]], events[splits[1]].types, meanings.lexicon)
    weights, points = _weights(folder, options, matrices["train"], S, events["train"], meanings, held_out)
    learnt = np.bincount(events["train"].types, minlength=len(meanings.lexicon))
    LdlModel(
        weights["comprehension"], weights.get("production"), meanings.lexicon, learnt,
        tuple(meanings.found[word] for word in meanings.lexicon.words), shape, {}, {},
    ).save_weights(folder.path)  # fmt: skip
    if points:
        write_curve(folder.path / "curve.csv", points)
    return {
        "events": len(events["train"]),
        "word_types": int((learnt > 0).sum()),
        "left_out": {split: len(found.left_out) for split, found in events.items()},
        "silent": {split: int(np.sum(cues.table(split)["silent"].to_numpy())) for split in splits},
        "held_out": points[-1] if points else None,
        "shape": shape.to_dict(),
        "versions": _versions(),
    }


def _weights(
    folder: FitFolder, options: FitOptions, C: Any, S: Any, events: Events, meanings: Meanings, held_out: HeldOut | None
) -> tuple[dict[str, np.ndarray[Any, Any]], list[dict[str, Any]]]:
    if options.sequential:
        total = len(events) * options.epochs
        course = Course(
            options.stepping, options.block, options.epochs, options.seed if options.shuffle else None,
            options.save_every or -(-total // 10), curve_points(total, options.curve), options.devices,
        )  # fmt: skip
        return learn_events(folder, course, C, S, held_out, production=options.production)
    if options.frequencies is None:
        weights = {"comprehension": _solved(endstate, C, S, options)}
        if options.production:
            weights["production"] = _solved(endstate, S, C, options)
    else:
        f = events.weights(options.frequencies, meanings.lexicon)
        weights = {"comprehension": _solved(frequency_informed, C, S, options, f)}
        if options.production:
            weights["production"] = _solved(frequency_informed, S, C, options, f)
    points = [] if held_out is None else [held_out.point(weights["comprehension"], len(events), 1.0)]
    return weights, points


def _solved(solve: Any, C: Any, S: Any, options: FitOptions, *more: Any) -> np.ndarray[Any, Any]:
    """Solve in NumPy, or on the GPU, where all cues have to fit."""
    if options.devices is None:
        return np.asarray(solve(C, S, *more, ridge=options.ridge))
    import torch

    tensors = [torch.from_numpy(np.asarray(matrix[:])).to(options.devices[0]) for matrix in (C, S)]
    return np.asarray(solve(*tensors, *more, ridge=options.ridge).cpu().numpy())


def _shape(shape: str | Path | CueShape) -> CueShape:
    return shape if isinstance(shape, CueShape) else load_ldl_model(shape).shape


def _write_left_out(file: Path, events: Mapping[str, Events]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("split", "id", "text", "error"))
        for split, found in events.items():
            writer.writerows((split, id, text, why) for id, (text, why) in found.left_out.items())


def _check_left_out(split: str, events: Events, clips: int, limit: float, folder: Path) -> None:
    lost = len(events.left_out)
    if not lost:
        return
    first, (_, why) = next(iter(events.left_out.items()))
    said = f"{lost} of {clips} clips of split {split!r} are left out; the first, {first}: {why}"
    if lost > limit * clips or not len(events):
        raise WorkError(f"{said} More than --max-failures {limit:g}. All are in {folder / LEFT_OUT}.")
    _log.warning("%s All are in %s.", said, folder / LEFT_OUT)


def _versions() -> dict[str, str]:
    import importlib.metadata

    names = ("audiogram", "whisperprobe", "numpy", "scipy", "torch")
    return {name: importlib.metadata.version(name) for name in names}
