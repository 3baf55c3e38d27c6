"""Words heard by a discriminative lexicon, batch by batch: cues, predicted meanings, measures, rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from audiogram.errors import InputError
from whisperprobe.corpora.clip_sound import at_rate, through
from whisperprobe.labels import word_of
from whisperprobe.ldl.cues_bands import SAMPLE_RATE
from whisperprobe.ldl.cues_matrix import UNIT_CUES, cue_matrix
from whisperprobe.ldl.measures import (
    Lexicon,
    MeaningMeasures,
    form_support,
    functional_loads,
    meaning_measures,
)
from whisperprobe.probing.schemas import scalars

if TYPE_CHECKING:
    from audiogram.corpus import Clip, Part, PartWriter
    from audiogram.listening import Condition
    from whisperprobe.ldl.cues_matrix import CueMatrix
    from whisperprobe.ldl.model import LdlModel

__all__ = ["WordListening"]

_BATCH = 64  # words whose cues are computed together
_STRETCH = {"cfbsf": 1, "log_mel": 10}
"""Units of cues whose functional load is one number: a chunk, or ten frames, a tenth of a second."""


class WordListening:
    """Hears the words of one part; no batch reaches over a part, so a part is redone alike.

    Parameters
    ----------
    listener : LdlModel
        Who listens.
    lexicon : Lexicon
        Word types among which a word is sought.
    missing : frozenset of str
        Types without a vector.
    condition : Condition, optional
        What the words are heard through.
    k : int
        How many nearest words are kept.
    names : mapping of str to str
        Columns of the source, and what they are called in `clips`.
    kinds : pyarrow.Schema
        Their types in the source.
    alone : bool
        Whether this is a process beside others, which are the parallelism.
    """

    def __init__(
        self,
        listener: LdlModel,
        lexicon: Lexicon,
        missing: frozenset[str],
        condition: Condition | None,
        k: int,
        names: Mapping[str, str],
        kinds: pa.Schema,
        *,
        alone: bool,
    ) -> None:
        self.F, self.G, self.shape = listener.comprehension, listener.production, listener.shape
        self.learnt = dict(zip(listener.lexicon.words, listener.learnt.tolist(), strict=True))
        self.lexicon, self.missing, self.condition, self.k = lexicon, missing, condition, k
        self.names, self.kinds, self.alone = names, kinds, alone

    def __call__(self, part: Part, clips: Iterable[Clip], writer: PartWriter) -> None:
        if self.alone:
            import torch

            torch.set_num_threads(1)
        ready: list[tuple[Clip, np.ndarray[Any, Any]]] = []
        for clip in clips:
            try:
                ready.append((clip, self._heard(clip)))
            except InputError as error:
                writer.fail(clip.id, error)
            if len(ready) == _BATCH:
                self._write(ready, writer)
                ready = []
        if ready:
            self._write(ready, writer)

    def _heard(self, clip: Clip) -> np.ndarray[Any, Any]:
        word = word_of(clip.text)
        if word in self.missing:
            raise InputError(f"the word {word!r} has no vector in the semantic space.")
        x = at_rate(clip, SAMPLE_RATE)
        return x if self.condition is None else through(x, SAMPLE_RATE, self.condition, clip.id)

    def _write(self, ready: Sequence[tuple[Clip, np.ndarray[Any, Any]]], writer: PartWriter) -> None:
        clips = [clip for clip, _ in ready]
        sounds = [x for _, x in ready]
        kind, keys = self.shape.kind, [clip.id for clip in clips]
        cues = cue_matrix(sounds, SAMPLE_RATE, kind, shape=self.shape, keys=keys)
        words = [word_of(clip.text) for clip in clips]
        said = np.array([-1 if word is None else self.lexicon.index[word] for word in words])
        meant = np.where(said[:, None] < 0, np.nan, self.lexicon.vectors[np.maximum(said, 0)])
        predicted, loads = functional_loads(cues.values, self.F, meant, _STRETCH[kind] * UNIT_CUES[kind])
        found = meaning_measures(predicted, said, self.lexicon, k=self.k)
        stretches = -(-np.minimum(cues.units, self.shape.units) // _STRETCH[kind])
        own = [load[:count] for load, count in zip(loads, stretches, strict=True)]
        rows = self._rows(clips, words, cues, found, own, self._form(cues, meant))
        writer.add("clips", rows)
        for t, clip in enumerate(clips):
            near = zip(found.nearest[t], found.nearest_correlations[t], strict=True)
            writer.add(
                "neighbours",
                [
                    {"clip_id": clip.id, "place": place, "word": self.lexicon.words[word], "correlation": float(r)}
                    for place, (word, r) in enumerate(near, 1)
                    if word >= 0
                ],
            )
            loaded = [{"clip_id": clip.id, "chunk": i, "functional_load": _known(x)} for i, x in enumerate(own[t])]
            writer.add("chunks", loaded)

    def _form(self, cues: CueMatrix, meant: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """What production makes of the meanings; NaN without it."""
        nothing = np.full(len(meant), np.nan)
        pair = (nothing, nothing) if self.G is None else form_support(cues.values, meant, self.G)
        return dict(zip(("semantic_support_for_form", "form_correlation"), pair, strict=True))

    def _rows(
        self,
        clips: Sequence[Clip],
        words: Sequence[str | None],
        cues: CueMatrix,
        found: MeaningMeasures,
        own: Sequence[np.ndarray[Any, Any]],
        form: Mapping[str, np.ndarray[Any, Any]],
    ) -> list[dict[str, Any]]:
        columns = {
            new: scalars([clip.metadata.get(old) for clip in clips], self.kinds.field(old).type).to_pylist()
            for old, new in self.names.items()
        }
        rows = []
        for t, clip in enumerate(clips):
            known, best = words[t] is not None, int(found.nearest[t, 0])
            row = {
                "clip_id": clip.id,
                "text": clip.text,
                "prediction": self.lexicon.words[best] if best >= 0 else None,
                "correct": best == int(found.targets[t]) if known else None,
                "target_correlation": _known(found.target_correlation[t]),
                "rank": int(found.rank[t]) if known else None,
                "ties": int(found.ties[t]) if known else None,
                "nearest_correlation": float(found.nearest_correlations[t, 0]),
                "semantic_neighbourhood_density": float(found.semantic_neighbourhood_density[t]),
                "uncertainty": float(found.uncertainty[t]),
                "l1_norm": float(found.l1_norm[t]),
                "l2_norm": float(found.l2_norm[t]),
                "functional_load": _known(own[t].mean()),
                "learnt_events": self.learnt.get(words[t] or "", 0) if known else None,
                "lexicon_words": len(self.lexicon),
                "cue_units": int(cues.units[t]),
                "cut": bool(cues.truncated[t]),
                "silent": bool(cues.silent[t]),
            }
            row |= {name: _known(values[t]) for name, values in form.items()}
            rows.append(row | {name: values[t] for name, values in columns.items()})
        return rows


def _known(value: float) -> float | None:
    """A number, or None for NaN: what is not known is null in the tables."""
    return None if np.isnan(value) else float(value)
