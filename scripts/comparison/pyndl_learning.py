"""Claims about pyndl; `python -m comparison.pyndl_learning` prints the findings."""

from __future__ import annotations

import gzip
import importlib.metadata
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from pyndl import activation, correlation, ndl, preprocess, wh

from comparison.claims import Claims
from comparison.events import RATE, WORDS, matrices, widrow_hoff
from comparison.rows_listeners import LEXICON, rows_of

MODULES = ["ndl", "wh", "preprocess", "activation", "correlation", "corpus", "count", "io"]
claim = Claims("pyndl", ["pyndl"], [f"pyndl.{name}" for name in MODULES])


def events_of(rows: list[tuple[str, str]], folder: str) -> str:
    path = Path(folder) / "events.tab.gz"
    with gzip.open(path, "wt", encoding="utf-8") as stream:
        stream.write("cues\toutcomes\n" + "".join(f"{cues}\t{outcomes}\n" for cues, outcomes in rows))
    return str(path)


def vectors(matrix: np.ndarray, kind: str) -> xr.DataArray:
    names = [f"{kind}{i}" for i in range(matrix.shape[1])]
    dims = (f"{kind}s", f"{kind}_vector_dimensions")
    return xr.DataArray(np.ascontiguousarray(matrix), [(dims[0], list(WORDS)), (dims[1], names)])


@claim("lms", "yes", "wh(eta, cue_vectors, outcome_vectors)", "dict_wh")
def _() -> str:
    C, S = matrices()
    with tempfile.TemporaryDirectory() as folder:
        events = events_of([(word, word) for word in WORDS], folder)
        both = {"cue_vectors": vectors(C, "cue"), "outcome_vectors": vectors(S, "outcome")}
        found = wh.wh(events, RATE, remove_duplicates=True, n_jobs=1, **both)
        with pytest.raises(ValueError, match="TODO"):
            wh.wh(events, RATE, method="threading", remove_duplicates=True, n_jobs=1, **both)
    np.testing.assert_allclose(found.values.T, widrow_hoff(C, S), atol=1e-12)
    return "cues and outcomes as vectors or as symbols; vectors of both on Linux, or slowly by NumPy"


@claim("rescorla", "yes", "ndl(alpha, betas, lambda_)", "dict_ndl(alphas)")
def _() -> str:
    C, S = matrices(symbols=True)
    rows = [("_".join(f"c{j}" for j in np.flatnonzero(c)), word) for c, word in zip(C, WORDS, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        found = ndl.ndl(events_of(rows, folder), 1.0, (RATE, RATE), remove_duplicates=True, n_jobs=1)
    used = [f"c{j}" for j in range(C.shape[1]) if C[:, j].any()]
    weights = found.loc[{"outcomes": list(WORDS), "cues": used}].values.T
    np.testing.assert_allclose(weights, widrow_hoff(C, S)[C.any(0)], atol=1e-6)
    return "a rate for each cue in `dict_ndl`; two for outcomes that are there and that are not"


@claim("endstate", "no")
def _() -> str:
    return "learning in steps alone"


@claim("fil", "partly", "preprocess.bandsample(population)")
def _() -> str:
    return "a word is learnt as often as it stands in the events; samples by frequency can be drawn"


@claim("letters", "yes", "create_event_file(cue_structure)", "preprocess.ngrams_to_word")
def _() -> str:
    with tempfile.TemporaryDirectory() as folder:
        text, out = Path(folder) / "text.txt", Path(folder) / "events.gz"
        text.write_text("a ship\n")
        preprocess.create_event_file(
            str(text), str(out), context_structure="line", event_structure="line", event_options=(),
            cue_structure="trigrams_to_word",
        )  # fmt: skip
        assert "#sh" in gzip.decompress(out.read_bytes()).decode()
    return "bigrams, trigrams, or words, straight from a text"


@claim("understood", "partly", "activation(events, weights)", "correlation(semantics, activations)")
def _() -> str:
    x = np.random.default_rng(0).standard_normal((5, 4))
    found = correlation.correlation(x, x)
    np.testing.assert_allclose(np.diag(found), 1)
    assert callable(activation.activation)
    return "activations and correlations; ranks and accuracy by oneself"


@claim("stream", "yes", "create_event_file", "filter_event_file", "corpus.create_corpus_from_gz")
def _() -> str:
    return "events are read from compressed files; the weights are in memory"


@claim("sparse", "partly", "dict_ndl", "WeightDict")
def _() -> str:
    with tempfile.TemporaryDirectory() as folder:
        found: Any = ndl.dict_ndl(
            events_of([("a_b", "x"), ("c", "y")], folder), 1.0, (RATE, RATE), remove_duplicates=True
        )
    assert set(found) == {"x", "y"}
    return "weights as dictionaries of what occurred"


@claim("parallel", "yes", "ndl(n_jobs, method)", "wh(n_jobs, method)")
def _() -> str:
    return "threads in C, by OpenMP on Linux"


@claim("again", "partly", "ndl(weights)", "wh(weights)")
def _() -> str:
    rows = [("a_b", "x"), ("c", "y"), ("a_c", "x"), ("b", "y")]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as second:
        options = {"remove_duplicates": True, "n_jobs": 1}
        whole = ndl.ndl(events_of(rows, folder), 1.0, (RATE, RATE), **options)
        first = ndl.ndl(events_of(rows[:2], folder), 1.0, (RATE, RATE), **options)
        both = ndl.ndl(events_of(rows[2:], second), 1.0, (RATE, RATE), weights=first, **options)
    places = {"outcomes": ["x", "y"], "cues": ["a", "b", "c"]}
    np.testing.assert_allclose(both.loc[places], whole.loc[places], atol=1e-12)
    return "weights can be where learning goes on; when to save them is one's own matter"


@claim("command", "no")
def _() -> str:
    assert not importlib.metadata.distribution("pyndl").entry_points
    return "no entry points"


@claim("requires", "fact")
def _() -> str:
    needed = [one for one in importlib.metadata.requires("pyndl") or [] if "extra" not in one]
    return f"{len(needed)} distributions, xarray and netCDF4 among them"


@claim("licence", "fact")
def _() -> str:
    return importlib.metadata.metadata("pyndl")["License"]


@claim("python", "fact")
def _() -> str:
    return f"{importlib.metadata.version('pyndl')}, Python and Cython"


if __name__ == "__main__":
    sys.stdout.write(claim.report(rows_of(LEXICON)))
