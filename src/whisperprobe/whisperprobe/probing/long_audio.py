"""Clips longer than the model's window: cut into consecutive windows, each decoded and scored, one row of `clips`.

A ground truth is of the whole clip, and which part of it belongs to which window nobody has said: it is looked up at
every greedy token, but never read in, so that whatever is forced is missing for such a clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from whisperprobe.probing.batches import Batch, exact
from whisperprobe.probing.extras import Extras
from whisperprobe.probing.further import Further
from whisperprobe.probing.measuring import Measured, arrays_of, measure, to_tables
from whisperprobe.probing.packing import Rows
from whisperprobe.probing.score import Scores, Targets
from whisperprobe.probing.windowing import Windowing

if TYPE_CHECKING:
    from whisperprobe.probing.probe import Probe

__all__ = ["joined_windows", "probe_long"]


def probe_long(
    probe: Probe,
    clip_id: str,
    waveform: np.ndarray,
    text: str | None,
    *,
    batch_size: int,
    windowing: Windowing,
    extras: Extras,
    **options: Any,
) -> Batch:
    """Probe one clip of several windows, at most `batch_size` of them at once; its vector rows count from 0."""
    n = probe.window.n_samples
    windows = [waveform[start : start + n] for start in range(0, len(waveform), n)]
    lengths = [windowing.positions(len(x), probe.window) for x in windows]
    spoken = [] if text is None else probe.variants(text)[1]
    parts: list[Measured] = []
    start = 0
    with exact():
        while start < len(windows):
            stop = start
            while stop < min(start + batch_size, len(windows)) and lengths[stop] == lengths[start]:
                stop += 1
            own = windows[start:stop]
            truths: list[tuple[list[Any], list[int]]] = [([], spoken)] * len(own)
            names = [clip_id] * len(own)
            parts.append(measure(probe, names, own, truths, extras=extras, positions=lengths[start], **options)[0])
            start = stop
        whole, window = joined_windows(parts)
        heard = [probe.text_of(own) for part in parts for own in part.greedy or ()]
        prediction = " ".join(said for said in heard if said) if whole.greedy is not None else None
        return to_tables(
            probe,
            [clip_id],
            [text],
            [prediction],
            [spoken],
            whole,
            Further(arrays_of(whole, len(probe.vocabulary))),
            extras=extras,
            windowing=windowing,
            n_windows=len(windows),
            window=window,
        )


def joined_windows(parts: Sequence[Measured]) -> tuple[Measured, np.ndarray]:
    """Make batches of windows of one clip that clip's rows, positions going on; and which window each row is from.

    Parameters
    ----------
    parts : sequence of Measured
        Greedy rows only, windows in order.
    """
    rows_before = _before([len(part.rows) for part in parts])
    states_before = _before([len(part.hidden) for part in parts])
    windows_before = _before([part.n_clips for part in parts])
    rows = [part.rows for part in parts]
    window = _joined([own.clip + n for own, n in zip(rows, windows_before, strict=True)])
    token_id = _joined([own.token_id for own in rows])
    next_state = [own.next_state for own in rows]
    joint = Rows(
        clip=np.zeros_like(window),
        variant=_joined([own.variant for own in rows]),
        position=np.arange(len(window)),
        token_id=token_id,
        state=_joined([own.state + n for own, n in zip(rows, states_before, strict=True)]),
        next_state=_joined([np.where(x < 0, x, x + n) for x, n in zip(next_state, states_before, strict=True)]),
    )
    scores, targets = [part.scores for part in parts], [part.targets for part in parts]
    kept = _joined([own.kept + n for own, n in zip(scores, rows_before, strict=True)])
    return (
        replace(
            parts[0],
            n_clips=1,
            rows=joint,
            targets=Targets(
                _joined([own.row + n for own, n in zip(targets, rows_before, strict=True)]),
                _joined([own.index for own in targets]),
                _joined([own.token_id for own in targets]),
            ),
            scores=Scores(
                _by_name([own.rows for own in scores]),
                _by_name([own.targets for own in scores]),
                _by_name([own.vectors for own in scores]),
                kept,
            ),
            hidden=torch.cat([part.hidden for part in parts]),
            by_layer={layer: torch.cat([part.by_layer[layer] for part in parts]) for layer in parts[0].by_layer},
            greedy=None if parts[0].greedy is None else [tuple(token_id.tolist())],
        ),
        window,
    )


def _before(counts: Sequence[int]) -> list[int]:
    return [0, *np.cumsum(counts)[:-1].tolist()]


def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(list(arrays))


def _by_name(columns: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: _joined([own[name] for own in columns]) for name in columns[0]}
