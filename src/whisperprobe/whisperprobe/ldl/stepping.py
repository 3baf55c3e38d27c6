"""Learning of a whole training set: epochs, learning curve, checkpoints, stopping on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from audiogram.console import Progress, check_stop, stop_requested
from whisperprobe.ldl.block import BlockLearner, DeltaRule
from whisperprobe.ldl.checkpoints import FitFolder
from whisperprobe.ldl.curve import HeldOut, write_curve
from whisperprobe.ldl.learning import chosen_block, event_order, gathered, rows_like, spread, squared_norms

__all__ = ["Course", "learn_events"]


@dataclass(frozen=True)
class Course:
    """How events are presented.

    Parameters
    ----------
    rule : DeltaRule
        The rule.
    block : int or None
        Events at a time.
    epochs : int
        Passes over the events.
    seed : int or None
        Of the order, drawn anew in every epoch; None keeps the corpus' order.
    save_every : int
        Events between checkpoints.
    curve : sequence of int
        Numbers of events after which the held-out words are tried, ascending.
    devices : sequence of str or None
        torch devices that the weights are spread over; None for NumPy.
    """

    rule: DeltaRule
    block: int | None
    epochs: int
    seed: int | None
    save_every: int
    curve: Sequence[int]
    devices: Sequence[str] | None


def learn_events(
    folder: FitFolder, course: Course, C: Any, S: Any, held_out: HeldOut | None, *, production: bool
) -> tuple[dict[str, np.ndarray[Any, Any]], list[dict[str, Any]]]:
    """Learn from all events, going on from the last checkpoint of the folder.

    Parameters
    ----------
    folder : FitFolder
        Where checkpoints and the curve go.
    course : Course
        Order and rule.
    C, S : matrices, shape (events, cues) and (events, dimensions)
        Rows are read block by block.
    held_out : HeldOut, optional
        Words for the curve.
    production : bool
        Whether G is learnt beside F.

    Returns
    -------
    weights : dict
        `comprehension` (cues, dimensions) and, where asked for, `production` (dimensions, cues), float32.
    curve : list of dict
        Its rows.

    Raises
    ------
    InputError, WorkError
        As `learn`.
    StoppedError
        A signal asked to stop; a checkpoint has been written.
    """
    size, events = course.block or chosen_block(S.shape[1]), len(C)
    total = events * course.epochs
    begun = folder.last()
    weights, state = ({}, {}) if begun is None else begun
    done, curve = int(state.get("events", 0)), list(state.get("curve", []))
    if begun is None and course.rule.rule == "lms":
        course.rule.check(squared_norms(C, size))
        if production:
            course.rule.check(squared_norms(S, size))
    pairs = {"comprehension": (C, S)} | ({"production": (S, C)} if production else {})
    learners = {
        name: BlockLearner(course.rule, spread(x, y, weights.get(name), course.devices))
        for name, (x, y) in pairs.items()
    }

    def learnt() -> dict[str, np.ndarray[Any, Any]]:
        return {name: np.asarray(gathered(learner.parts, C)) for name, learner in learners.items()}

    def save() -> None:
        folder.save(done, learnt(), {"seed": course.seed, "curve": curve})

    saved = done
    with Progress("learning", total, done=done, unit="events") as progress:
        while done < total:
            epoch, first = divmod(done, events)
            rows = event_order(events, course.seed, epoch)[first:]
            for low in range(0, len(rows), size):
                block = rows[low : low + size]
                _learn_block(learners, C, S, block, done)
                before, done = done, done + len(block)
                progress.advance(len(block))
                if held_out is not None and any(before < point <= done for point in course.curve):
                    weights_now = np.asarray(gathered(learners["comprehension"].parts, C))
                    curve.append(held_out.point(weights_now, done, done / events))
                    write_curve(folder.path / "curve.csv", curve)
                if done < total and (stop_requested() or done - saved >= course.save_every):
                    save()
                    saved = done
                    check_stop()
    for learner in learners.values():
        learner.check()
    return learnt(), curve


def _learn_block(learners: Mapping[str, BlockLearner], C: Any, S: Any, block: np.ndarray[Any, Any], first: int) -> None:
    home = learners["comprehension"].parts[0]
    c, s = rows_like(C, block, home), rows_like(S, block, home)
    learners["comprehension"].learn(c, s, first)
    if "production" in learners:
        learners["production"].learn(s, c, first)
