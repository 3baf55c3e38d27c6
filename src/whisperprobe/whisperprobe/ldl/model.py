"""A listener that has been trained: weights, word types and their meanings, and how its cues are made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from audiogram.errors import InputError, WorkError
from whisperprobe.ldl.cues_matrix import CueShape
from whisperprobe.ldl.measures import Lexicon

__all__ = ["LdlModel", "load_ldl_model"]

_WEIGHTS, _WORDS = "model.safetensors", "lexicon.parquet"


@dataclass(frozen=True, eq=False)
class LdlModel:
    """What `train_corpus` leaves behind.

    Attributes
    ----------
    comprehension : ndarray of float32, shape (cues, dimensions)
        F: from cues to meaning.
    production : ndarray of float32, shape (dimensions, cues), or None
        G: from meaning to cues.
    lexicon : Lexicon
        Word types that were learnt or held out, in alphabetical order.
    learnt : ndarray of int64, shape (types,)
        How many events of each were learnt from; 0 for a word that was held out.
    found : tuple of str
        How each type's vector was found in the semantic space.
    shape : CueShape
        How cues are laid out.
    options : dict
        Those of the fit.
    results : dict
        What the fit found: events, accuracy on held-out words, clips left out, versions.
    path : Path or None
        Its folder.
    """

    comprehension: np.ndarray[Any, Any]
    production: np.ndarray[Any, Any] | None
    lexicon: Lexicon
    learnt: np.ndarray[Any, Any]
    found: tuple[str, ...]
    shape: CueShape
    options: Mapping[str, Any]
    results: Mapping[str, Any]
    path: Path | None = None

    @cached_property
    def name(self) -> str:
        """Short label: what the words were heard through while they were learnt."""
        heard = self.options.get("condition") or self.options.get("corpus_condition")
        return str(heard["name"]) if isinstance(heard, Mapping) else "unmasked"

    def predict(self, C: Any) -> np.ndarray[Any, Any]:
        """Return the predicted meanings ŝ = c F of cues, `(events, cues)`: `(events, dimensions)`."""
        return np.asarray(np.asarray(C) @ self.comprehension)

    def save_weights(self, folder: Path) -> None:
        """Write weights and lexicon into a folder."""
        import pyarrow as pa
        import pyarrow.parquet as pq
        from safetensors.numpy import save_file

        weights = {"comprehension": self.comprehension}
        if self.production is not None:
            weights["production"] = self.production
        # safetensors writes the memory as it lies, whatever the order of the axes
        save_file({name: np.ascontiguousarray(w) for name, w in weights.items()}, folder / f".{_WEIGHTS}")
        (folder / f".{_WEIGHTS}").replace(folder / _WEIGHTS)
        words = pa.table(
            {
                "word": pa.array(self.lexicon.words, pa.string()),
                "events": pa.array(self.learnt, pa.int64()),
                "found": pa.array(self.found, pa.string()),
                "vector": pa.array(list(self.lexicon.vectors.astype(np.float32)), pa.list_(pa.float32())),
            }
        )
        pq.write_table(words, folder / f".{_WORDS}")
        (folder / f".{_WORDS}").replace(folder / _WORDS)


def load_ldl_model(path: str | Path) -> LdlModel:
    """Open a folder that `train_corpus` has written; weights are mapped into memory.

    Parameters
    ----------
    path : path
        The folder.

    Returns
    -------
    LdlModel

    Raises
    ------
    InputError
        It is not the folder of an LDL fit, or the fit is not finished.
    WorkError
        It is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from whisperprobe.arrays import map_safetensors

    folder = Path(path)
    if not (folder / "ldl.json").is_file():
        raise InputError(f"{folder} is not the folder of an LDL fit: it has no ldl.json. Give what `ldl train` wrote.")
    if not (folder / "results.json").is_file():
        raise InputError(f"{folder} is not finished. Start its `ldl train` again with the same options; it will go on.")
    try:
        options, results = (
            json.loads((folder / name).read_text(encoding="utf-8")) for name in ("ldl.json", "results.json")
        )
        weights = map_safetensors(folder / _WEIGHTS)
        table = pq.read_table(folder / _WORDS)
        vectors = np.stack(table["vector"].to_numpy())
        return LdlModel(
            weights["comprehension"],
            weights.get("production"),
            Lexicon(table["word"].to_pylist(), vectors),
            table["events"].to_numpy(),
            tuple(table["found"].to_pylist()),
            CueShape.from_dict(results["shape"]),
            options,
            results,
            folder,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        raise WorkError(
            f"{folder} is damaged ({type(error).__name__}: {error}). Copy it again, or remove its results.json and "
            "start its `ldl train` again."
        ) from error
