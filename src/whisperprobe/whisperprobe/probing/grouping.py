"""Clips in groups that the model's batches are made of: clips of one encoder length together, long ones by windows.

A group's rows come out in the order of its clips, however they were run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whisperprobe.features import WindowSpec
from whisperprobe.probing.batches import DECODINGS, Batch
from whisperprobe.probing.extras import NOTHING_MORE, Extras
from whisperprobe.probing.long_audio import probe_long
from whisperprobe.probing.measuring import probe_batch
from whisperprobe.probing.windowing import PADDED, Windowing, count_windows

if TYPE_CHECKING:
    from whisperprobe.probing.probe import Probe

__all__ = ["group_size", "groups", "in_order", "probe_group"]

T = TypeVar("T")

_SPREAD = 8
"""Batches' worth of clips that are sorted by length together; bounds what is held in memory."""

_HELD = 64
"""Windows of long clips that are held while a batch of short ones fills up."""


def group_size(windowing: Windowing, batch_size: int) -> int:
    """Return how many clips of one window make a group: a batch, or what is sorted by length together."""
    return batch_size if windowing.padding == "window" else _SPREAD * batch_size


def groups(
    clips: Iterable[T], samples: Callable[[T], int], windowing: Windowing, window: WindowSpec, batch_size: int
) -> Iterator[list[T]]:
    """Yield clips in groups, in order.

    A group has a batch of clips that fit the window, or as many batches of them as are sorted by length; the batches
    of these clips are thereby the same whether long clips stand between them or not. Where nothing waits, a long clip
    is a group of its own.

    Parameters
    ----------
    clips : iterable
        Anything.
    samples : callable
        Samples of a clip, at the window's rate.
    windowing : Windowing
        How they are run.
    window : WindowSpec
        The model's.
    batch_size : int
        Clips, or windows of a long one, that the model takes at once.
    """
    full = group_size(windowing, batch_size)
    waiting: list[T] = []
    short = held = 0
    for clip in clips:
        n = count_windows(samples(clip), window)
        waiting.append(clip)
        short, held = (short + 1, held) if n == 1 else (short, held + n)
        if short == full or held > _HELD or not short:
            yield waiting
            waiting, short, held = [], 0, 0
    if waiting:
        yield waiting


def probe_group(
    probe: Probe,
    ids: Sequence[str],
    waveforms: Sequence[np.ndarray],
    texts: Sequence[str | None],
    *,
    top_k: int = 1000,
    decodings: Sequence[str] = DECODINGS,
    vectors: str = "greedy",
    batch_size: int | None = None,
    extras: Extras = NOTHING_MORE,
    windowing: Windowing = PADDED,
    vector_offset: int = 0,
    clip_offset: int = 0,
) -> Batch:
    """Probe a group of clips.

    Parameters
    ----------
    probe : Probe
        Who listens.
    ids, waveforms, texts
        As `Probe.prepare` gives them, one of each per clip.
    top_k, decodings, vectors
        As for calling a `Probe`.
    batch_size : int, optional
        Clips, or windows of a long clip, that the model takes at once; all by default.
    extras : Extras
        What to measure beside, from `Probe.extras`.
    windowing : Windowing
        How clips are brought to the window; the same as for `Probe.prepare`.
    vector_offset, clip_offset : int, default 0
        Rows of vectors, and clips, before these.
    """
    size = len(ids) if batch_size is None else batch_size
    options: dict[str, Any] = {"top_k": top_k, "decodings": decodings, "vectors": vectors, "extras": extras}
    by_length: dict[int | None, list[int]] = {}
    long = []
    for i, x in enumerate(waveforms):
        if count_windows(len(x), probe.window) > 1:
            long.append(i)
        else:
            by_length.setdefault(windowing.positions(len(x), probe.window), []).append(i)

    def run(own: Sequence[int], positions: int | None, vector_offset: int = 0, clip_offset: int = 0) -> Batch:
        return probe_batch(
            probe,
            [ids[i] for i in own],
            [waveforms[i] for i in own],
            [texts[i] for i in own],
            windowing=windowing,
            positions=positions,
            vector_offset=vector_offset,
            clip_offset=clip_offset,
            **options,
        )

    if not long and len(by_length) == 1 and len(ids) <= size:  # nothing to put into order
        return run(range(len(ids)), next(iter(by_length)), vector_offset, clip_offset)
    parts = [
        run(own[start : start + size], positions)
        for positions, own in by_length.items()
        for start in range(0, len(own), size)
    ]
    parts += [
        probe_long(probe, ids[i], waveforms[i], texts[i], batch_size=size, windowing=windowing, **options) for i in long
    ]
    return in_order(parts, ids, vector_offset=vector_offset, clip_offset=clip_offset)


def in_order(parts: Sequence[Batch], ids: Sequence[str], *, vector_offset: int = 0, clip_offset: int = 0) -> Batch:
    """Join batches whose rows of vectors count from 0, in the order of `ids`; the joint rows count from the offsets."""
    order = pa.array(ids, pa.string())
    counts = {
        "vector_row": [len(part.vectors.get("hidden", ())) for part in parts],
        "encoder_row": [len(part.vectors.get("encoder", ())) for part in parts],
    }
    offsets = {"vector_row": vector_offset, "encoder_row": clip_offset}
    moved: dict[str, np.ndarray] = {}
    tables = {}
    for name in parts[0].tables:
        table = pa.concat_tables([part.tables[name] for part in parts])
        place = pc.index_in(table["clip_id"], value_set=order).to_numpy()
        by_place = np.argsort(place, kind="stable")
        lengths = [len(part.tables[name]) for part in parts]
        for column in set(offsets) & set(table.column_names):
            starts = np.cumsum(counts[column]) - counts[column]
            rows = pc.add(table[column], pa.array(np.repeat(starts, lengths))).take(pa.array(by_place))
            kept = rows.is_valid().to_numpy()
            moved[column] = rows.drop_null().to_numpy()
            new = np.full(len(rows), -1, dtype=np.int64)
            new[kept] = offsets[column] + np.arange(len(moved[column]))
            at = table.schema.get_field_index(column)
            table = table.take(pa.array(by_place)).set_column(at, column, pa.array(new, mask=~kept))
            by_place = np.arange(len(table))
        tables[name] = table.take(pa.array(by_place)).combine_chunks()
    vectors = {
        name: np.concatenate([part.vectors[name] for part in parts if name in part.vectors])
        for name in dict.fromkeys(name for part in parts for name in part.vectors)
    }
    return Batch(
        tables,
        {name: x[moved["encoder_row" if name == "encoder" else "vector_row"]] for name, x in vectors.items()},
    )
