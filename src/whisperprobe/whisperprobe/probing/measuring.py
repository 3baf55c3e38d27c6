"""One batch of clips, from waveforms to rows: encode, decode, score, and what else was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from audiogram.errors import InputError
from whisperprobe import labels
from whisperprobe.features import log_mel
from whisperprobe.probing import tables
from whisperprobe.probing.batches import DECODINGS, VECTORS, Batch, check_choice, exact, rows_to_keep, targets_of
from whisperprobe.probing.decode import encode, greedy_decode
from whisperprobe.probing.extras import Extras
from whisperprobe.probing.further import Further
from whisperprobe.probing.layers import captured
from whisperprobe.probing.packing import GREEDY, pack, without_lead
from whisperprobe.probing.pooling import pool_greedy, pool_words
from whisperprobe.probing.score import Scores, hidden_states, score

if TYPE_CHECKING:
    from whisperprobe.probing.probe import Probe

__all__ = ["probe_batch"]


def probe_batch(
    probe: Probe,
    ids: Sequence[str],
    waveforms: Sequence[np.ndarray],
    texts: Sequence[str | None],
    *,
    top_k: int,
    decodings: Sequence[str],
    vectors: str,
    extras: Extras,
    vector_offset: int,
    clip_offset: int,
) -> Batch:
    """Measure one batch; parameters as for `Probe.batch`."""
    wanted = {check_choice("decoding", d, DECODINGS) for d in decodings}
    check_choice("vectors", vectors, VECTORS)
    if isinstance(top_k, bool) or top_k < 0:
        raise InputError(f"top_k is {top_k!r}; give a whole number, 0 for none.")
    forced = int("forced" in wanted)
    spoken = [([], []) if text is None else probe.variants(text) for text in texts]
    with exact():
        states, cross = encode(probe.model, log_mel(waveforms, probe.window, device=probe.model.device))
        decoded, greedy = None, [()] * len(ids)
        if "greedy" in wanted:
            decoded = greedy_decode(
                probe.model,
                states,
                cross,
                probe.prompt,
                probe.suppression,
                end_id=probe.end_id,
                max_new_tokens=probe.max_new_tokens,
                rules=probe.rules,
            )
            greedy = decoded.token_ids
        sequences = [
            [(GREEDY, own)] * ("greedy" in wanted) + [(v, (*probe.lead, *said)) for v, said in variants * forced]
            for own, (variants, _) in zip(greedy, spoken, strict=True)
        ]
        packed = without_lead(pack(probe.prompt, sequences, probe.end_id), len(probe.lead))
        with captured(probe.model, extras.layers, packed.states) as by_layer:
            hidden = hidden_states(probe.model, packed, states, cross)
        targets = targets_of(packed.rows, [g for _, g in spoken])
        keep = rows_to_keep(packed.rows, vectors)
        scores = score(hidden, packed, targets, probe.head, keep=keep, top_k=top_k)
        if decoded is not None and decoded.processed is not None:
            under_rules = np.array([p for own in decoded.processed for p in own])
            scores.rows["processed_log_probability"][packed.rows.greedy] = under_rules
        pooled: dict[str, Any] = pool_greedy(
            packed.rows, scores.rows, hidden, [g for _, g in spoken], probe.head, len(ids)
        )
        pooled.update(pool_words(packed.rows, scores.rows, len(ids)))
        further = Further(_arrays(scores, len(probe.vocabulary)))
        if extras.layers:
            further.add_layers(probe, extras, ids, packed, scores, by_layer)
        if extras.encoder != "none":
            further.add_encoder(probe, extras, states, [len(x) for x in waveforms], clip_offset)
        if extras.lexicon is not None:
            further.add_lexicon(probe, extras, ids, texts, states, cross)
        if extras.n_best:
            further.add_alternatives(probe, extras, ids, states, cross)
    predictions = [probe.text_of(own) if "greedy" in wanted else None for own in greedy]
    correct = [
        None if said is None or heard is None else labels.same_text(heard, said, probe.normalise)
        for heard, said in zip(predictions, texts, strict=True)
    ]
    pooled.update(further.columns)
    made = {
        "clips": tables.clips_table(ids, texts, predictions, correct, pooled, extras.schemas()["clips"]),
        "tokens": tables.tokens_table(ids, packed.rows, scores, probe.vocabulary, vector_offset),
        "ground_truth": tables.ground_truth_table(ids, packed.rows, targets, scores, probe.vocabulary),
    }
    return Batch(made | further.tables, further.vectors)


def _arrays(scores: Scores, size: int) -> dict[str, np.ndarray]:
    """Vectors as they are stored: token ids in 16 bits where they fit."""
    if not len(scores.kept):
        return {}
    ids = scores.vectors["top_k_ids"].astype(np.uint16 if size <= 1 << 16 else np.int32)
    return {**scores.vectors, "top_k_ids": ids}
