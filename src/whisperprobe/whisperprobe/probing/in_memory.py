"""Clips that are in memory, probed group by group, and the result in memory too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from audiogram.errors import InputError
from whisperprobe.probing.batches import Batch
from whisperprobe.probing.extras import Extras
from whisperprobe.probing.grouping import groups
from whisperprobe.probing.output_side import OutputSide
from whisperprobe.probing.windowing import Windowing

if TYPE_CHECKING:
    from whisperprobe.probing.probe import Probe
    from whisperprobe.probing.store import ProbeResult

__all__ = ["probe_in_memory"]


def probe_in_memory(
    probe: Probe,
    names: Sequence[str],
    waveforms: Iterable[Any],
    texts: Sequence[str | None],
    *,
    sample_rate: int,
    top_k: int,
    decodings: Sequence[str],
    vectors: str,
    batch_size: int,
    extras: Extras,
    windowing: Windowing,
) -> ProbeResult:
    """Probe waveforms; parameters as for calling a `Probe`, checked by it."""
    from whisperprobe.probing.store import ProbeResult

    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; give at least 1.")
    ready = (
        (name, *probe.prepare(x, sample_rate, text, name=name, windowing=windowing))
        for name, x, text in zip(names, waveforms, texts, strict=True)
    )
    parts: list[Batch] = []
    done = offset = 0
    for group in groups(ready, lambda clip: len(clip[1]), windowing, probe.window, batch_size):
        part = probe.batch(
            [name for name, _, _ in group],
            [x for _, x, _ in group],
            [text for _, _, text in group],
            top_k=top_k,
            decodings=decodings,
            vectors=vectors,
            batch_size=batch_size,
            extras=extras,
            windowing=windowing,
            vector_offset=offset,
            clip_offset=done,
        )
        offset += len(part.vectors.get("hidden", ()))
        done += len(group)
        parts.append(part)
    options = {**probe.describe(), "top_k": top_k, "vectors": vectors, **windowing.describe(), **extras.describe()}
    side = OutputSide(probe.head, probe.tokenizer)
    columns = windowing.columns(extras.schemas())
    return ProbeResult.of_batches(parts, {"stage": "probe", "options": options}, side, columns)
