"""One batch of clips, from waveforms to rows: encode, decode, score, and what else was asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from whisperprobe import labels
from whisperprobe.features import log_mel
from whisperprobe.probing import tables
from whisperprobe.probing.batches import (
    Batch,
    NotFiniteError,
    check_asked,
    exact,
    rows_to_keep,
    targets_of,
)
from whisperprobe.probing.decode import encode, greedy_decode
from whisperprobe.probing.extras import Extras
from whisperprobe.probing.further import Further
from whisperprobe.probing.layers import captured
from whisperprobe.probing.packing import GREEDY, Rows, pack, without_lead
from whisperprobe.probing.pooling import pool_greedy, pool_words
from whisperprobe.probing.score import Scores, Targets, hidden_states, score
from whisperprobe.probing.windowing import Windowing

if TYPE_CHECKING:
    from whisperprobe.probing.probe import Probe

__all__ = ["Measured", "arrays_of", "measure", "probe_batch", "to_tables"]

Spoken = tuple[Sequence[tuple[int, tuple[int, ...]]], Sequence[int]]
"""What is forced of a clip's text, (variant, tokens) each, and the tokens of its ground truth."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured of some clips, or windows of one, before it becomes rows of tables.

    Attributes
    ----------
    n_clips : int
        How many they are.
    rows, targets, scores
        What was scored, and how.
    hidden : tensor, shape (states, d)
        States that rows refer to.
    by_layer : dict of int to tensor
        The same as they leave the layers that were asked for.
    greedy : per clip, tokens, or None
        The greedy outputs, where they were wanted.
    """

    n_clips: int
    rows: Rows
    targets: Targets
    scores: Scores
    hidden: torch.Tensor
    by_layer: dict[int, torch.Tensor]
    greedy: Sequence[tuple[int, ...]] | None


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
    windowing: Windowing,
    positions: int | None,
    vector_offset: int,
    clip_offset: int,
) -> Batch:
    """Measure one batch of clips of one window each; parameters as for `Probe.batch` and `measure`."""
    spoken: list[Spoken] = [([], []) if text is None else probe.variants(text) for text in texts]
    with exact():
        measured, states, cross = measure(
            probe,
            ids,
            waveforms,
            spoken,
            top_k=top_k,
            decodings=decodings,
            vectors=vectors,
            extras=extras,
            positions=positions,
        )
        further = Further(arrays_of(measured, len(probe.vocabulary)))
        if extras.encoder != "none":
            further.add_encoder(probe, extras, states, [len(x) for x in waveforms], clip_offset)
        if extras.lexicon is not None:
            further.add_lexicon(probe, extras, ids, texts, states, cross)
        if extras.n_best:
            further.add_alternatives(probe, extras, ids, states, cross)
        predictions = [None] * len(ids) if measured.greedy is None else [probe.text_of(own) for own in measured.greedy]
        return to_tables(
            probe,
            ids,
            texts,
            predictions,
            [g for _, g in spoken],
            measured,
            further,
            extras=extras,
            windowing=windowing,
            vector_offset=vector_offset,
        )


def measure(
    probe: Probe,
    ids: Sequence[str],
    waveforms: Sequence[np.ndarray],
    spoken: Sequence[Spoken],
    *,
    top_k: int,
    decodings: Sequence[str],
    vectors: str,
    extras: Extras,
    positions: int | None,
) -> tuple[Measured, torch.Tensor, Any]:
    """Encode, decode and score; to be called under `exact`.

    Parameters
    ----------
    probe : Probe
        Who listens.
    ids : per clip, str
        Its name, for errors.
    waveforms : per clip, float32 array, shape (samples,)
        No longer than the window.
    spoken : per clip, Spoken
        What is forced and looked up.
    top_k, decodings, vectors, extras
        As for `Probe.batch`.
    positions : int or None
        Over how many of its positions the encoder runs; None is all.

    Returns
    -------
    Measured
    tensor, shape (clips, positions, d)
        Encoder output.
    transformers.DynamicCache
        Cross-attention keys and values.

    Raises
    ------
    NotFiniteError
        The model's states of a clip are NaN or infinite.
    """
    wanted = check_asked(decodings, vectors, top_k)
    states, cross = encode(probe.model, log_mel(waveforms, probe.window, device=probe.model.device), positions)
    decoded = None
    sequences: list[list[tuple[int, Sequence[int]]]] = [[] for _ in waveforms]
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
        for scored, own in zip(sequences, decoded.token_ids, strict=True):
            scored.append((GREEDY, own))
    if "forced" in wanted:
        for scored, (variants, _) in zip(sequences, spoken, strict=True):
            scored.extend((variant, (*probe.lead, *said)) for variant, said in variants)
    packed = without_lead(pack(probe.prompt, sequences, probe.end_id), len(probe.lead))
    with captured(probe.model, extras.layers, packed.states) as by_layer:
        hidden = hidden_states(probe.model, packed, states, cross)
    lost = packed.states[(~hidden.isfinite().all(-1)).cpu().numpy()] // packed.input_ids.shape[1]
    if len(lost):  # ranks would all be 1, and the answer the first token of the vocabulary
        raise NotFiniteError([ids[clip] for clip in np.unique(lost)], hidden.dtype)
    targets = targets_of(packed.rows, [g for _, g in spoken])
    keep = rows_to_keep(packed.rows, vectors)
    scores = score(hidden, packed, targets, probe.head, keep=keep, top_k=top_k)
    if decoded is not None and decoded.processed is not None:
        under_rules = np.array([p for own in decoded.processed for p in own])
        scores.rows["processed_log_probability"][packed.rows.greedy] = under_rules
    greedy = None if decoded is None else decoded.token_ids
    return Measured(len(waveforms), packed.rows, targets, scores, hidden, by_layer, greedy), states, cross


def to_tables(
    probe: Probe,
    ids: Sequence[str],
    texts: Sequence[str | None],
    predictions: Sequence[str | None],
    truths: Sequence[Sequence[int]],
    measured: Measured,
    further: Further,
    *,
    extras: Extras,
    windowing: Windowing,
    vector_offset: int = 0,
    n_windows: int = 1,
    window: np.ndarray | None = None,
) -> Batch:
    """Pool what was measured clip by clip and make rows of it; to be called under `exact`.

    Parameters
    ----------
    probe, ids, texts, extras, windowing, vector_offset
        As for `Probe.batch`.
    predictions : per clip, str or None
        The greedy output as text.
    truths : per clip, sequence of int
        Tokens of the ground truth.
    measured : Measured
        All of it.
    further : Further
        What was asked for beside; layers are added here.
    n_windows : int, default 1
        Windows of each clip.
    window : int64 array, shape (rows,), optional
        Which window each row is from; by default the first.
    """
    rows, scores = measured.rows, measured.scores
    columns: dict[str, Any] = pool_greedy(rows, scores.rows, measured.hidden, truths, probe.head, len(ids))
    columns.update(pool_words(rows, scores.rows, len(ids)))
    if extras.layers:
        further.add_layers(probe, extras, ids, rows, scores, measured.by_layer)

    def compared(same: Callable[[str, str], bool]) -> list[bool | None]:
        pairs = zip(predictions, texts, strict=True)
        return [None if heard is None or said is None else same(heard, said) for heard, said in pairs]

    correct = compared(lambda heard, said: labels.same_text(heard, said, probe.normalise))
    if extras.homophones is not None:
        columns["correct_homophone"] = compared(extras.homophones.same)
    columns.update(further.columns)
    columns["n_windows"] = np.full(len(ids), n_windows)
    schemas = windowing.columns(extras.schemas())
    if window is None:
        window = np.zeros(len(rows), dtype=np.int64)
    made = {
        "clips": tables.clips_table(ids, texts, predictions, correct, columns, schemas["clips"]),
        "tokens": tables.tokens_table(
            ids, rows, scores, probe.vocabulary, vector_offset, window=window, schema=schemas["tokens"]
        ),
        "ground_truth": tables.ground_truth_table(ids, rows, measured.targets, scores, probe.vocabulary),
    }
    return Batch(made | further.tables, further.vectors)


def arrays_of(measured: Measured, size: int) -> dict[str, np.ndarray]:
    """Vectors as they are stored: token ids in 16 bits where the vocabulary's size lets them fit."""
    scores = measured.scores
    if not len(scores.kept):
        return {}
    ids = scores.vectors["top_k_ids"].astype(np.uint16 if size <= 1 << 16 else np.int32)
    return {**scores.vectors, "top_k_ids": ids}
