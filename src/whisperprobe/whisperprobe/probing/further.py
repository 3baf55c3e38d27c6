"""What one batch gives beside its three tables, as far as it was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch

from whisperprobe.probing import schemas, tables
from whisperprobe.probing.beams import n_best
from whisperprobe.probing.competition import competition_columns, competitors, word_scores
from whisperprobe.probing.extras import Extras
from whisperprobe.probing.layers import layer_columns, layer_vectors
from whisperprobe.probing.packing import Rows
from whisperprobe.probing.score import Scores

if TYPE_CHECKING:
    from whisperprobe.probing.probe import Probe

__all__ = ["Further", "encoder_means"]


@dataclass(eq=False)
class Further:
    """Vectors, further columns of `clips` and further tables of a batch, collected one by one.

    Attributes
    ----------
    vectors : dict of str to array
        Of the rows that keep them, or one per clip.
    columns : dict of str to array or list
        What `clips` has more.
    tables : dict of str to Table
        Further tables, by name.
    """

    vectors: dict[str, np.ndarray]
    columns: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, pa.Table] = field(default_factory=dict)

    def add_layers(
        self,
        probe: Probe,
        extras: Extras,
        ids: Sequence[str],
        rows: Rows,
        scores: Scores,
        by_layer: dict[int, torch.Tensor],
    ) -> None:
        """Add the table `layers`, and the states of the layers where they are kept."""
        columns = layer_columns(probe.model, by_layer, rows, scores, probe.head)
        self.tables["layers"] = tables.layers_table(ids, rows, extras.layers, columns)
        if extras.layer_vectors and len(scores.kept):
            self.vectors["layer_hidden"] = layer_vectors(by_layer, rows, scores.kept)

    def add_encoder(
        self, probe: Probe, extras: Extras, states: torch.Tensor, lengths: Sequence[int], first: int
    ) -> None:
        """Add a mean of the encoder's states per clip, `first` being the first clip's row."""
        per_position = probe.window.n_samples // probe.model.config.max_source_positions
        covered = None if extras.encoder == "window" else [-(-n // per_position) for n in lengths]
        self.vectors["encoder"] = encoder_means(states, covered)
        self.columns["encoder_row"] = first + np.arange(len(states))

    def add_lexicon(
        self,
        probe: Probe,
        extras: Extras,
        ids: Sequence[str],
        texts: Sequence[str | None],
        states: torch.Tensor,
        cross_cache: Any,
    ) -> None:
        """Add the columns of a lexicon and the table `competitors`."""
        lexicon = extras.lexicon
        assert lexicon is not None
        spoken = [lexicon.find(text) for text in texts]
        scores, found = word_scores(
            probe.model,
            states,
            cross_cache,
            [*probe.prompt, *probe.lead],
            lexicon,
            probe.head,
            candidates=extras.candidates,
            spoken=spoken,
        )
        self.columns.update(competition_columns(scores, found, spoken, lexicon))
        known = self.columns["lexicon_found"]
        self.columns["lexicon_found"] = [None if t is None else bool(k) for t, k in zip(texts, known, strict=True)]
        columns = competitors(scores, lexicon, extras.competitors)
        columns["clip_id"] = pa.array(ids, pa.string()).take(pa.array(columns.pop("clip")))
        self.tables["competitors"] = tables.table_of(columns, schemas.COMPETITORS)

    def add_alternatives(
        self, probe: Probe, extras: Extras, ids: Sequence[str], states: torch.Tensor, cross_cache: Any
    ) -> None:
        """Add the table `alternatives`."""
        found = n_best(
            probe.model,
            states,
            cross_cache,
            probe.prompt,
            probe.suppression,
            probe.head,
            end_id=probe.end_id,
            max_new_tokens=probe.max_new_tokens,
            n=extras.n_best,
            rules=probe.rules,
        )
        rows = [(clip, place, own) for clip, all_ in zip(ids, found, strict=True) for place, own in enumerate(all_, 1)]
        columns = {
            "clip_id": [clip for clip, _, _ in rows],
            "place": [place for _, place, _ in rows],
            "text": [probe.text_of(own.token_ids) for _, _, own in rows],
            "token_ids": [" ".join(map(str, own.token_ids)) for _, _, own in rows],
            "n_tokens": [len(own.token_ids) for _, _, own in rows],
            "log_probability": [own.log_probability for _, _, own in rows],
            "score": [own.score for _, _, own in rows],
        }
        self.tables["alternatives"] = tables.table_of(columns, schemas.ALTERNATIVES)


def encoder_means(states: torch.Tensor, covered: Sequence[int] | None) -> np.ndarray:
    """Average the encoder's last states, after its final layer norm, over time.

    Parameters
    ----------
    states : tensor, shape (clips, positions, d)
        Encoder output.
    covered : sequence of int, optional
        How many positions each clip covers, the last perhaps in part; all positions by default.

    Returns
    -------
    float32 array, shape (clips, d)
    """
    if covered is None:
        means = states.mean(1, dtype=torch.promote_types(states.dtype, torch.float32))
    else:
        wide = torch.promote_types(states.dtype, torch.float32)
        means = torch.stack([own[:n].mean(0, dtype=wide) for own, n in zip(states, covered, strict=True)])
    return means.float().cpu().numpy()
