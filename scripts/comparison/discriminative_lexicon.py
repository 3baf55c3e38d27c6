"""Claims about discriminative_lexicon_model; `python -m comparison.discriminative_lexicon` prints the findings."""

from __future__ import annotations

import importlib.metadata
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pandas as pd
import xarray as xr
from discriminative_lexicon_model import mapping, measures, performance
from discriminative_lexicon_model.ldl import LDL

from comparison.claims import Claims
from comparison.events import RATE, WORDS, matrices, weighted, widrow_hoff
from comparison.rows_listeners import LEXICON, rows_of

MODULES = ["mapping", "measures", "performance", "ldl"]
PACKAGE = "discriminative_lexicon_model"
claim = Claims(PACKAGE, [PACKAGE], [f"{PACKAGE}.{name}" for name in MODULES])


def labelled(matrix: np.ndarray, columns: str) -> xr.DataArray:
    names = [f"{columns}{i}" for i in range(matrix.shape[1])]
    return xr.DataArray(matrix, [("word", list(WORDS)), (columns, names)])


@cache
def lexicon() -> Any:
    features = pd.DataFrame(np.random.default_rng(0).standard_normal((6, 40)), index=list(WORDS))
    model = LDL()
    model.gen_matrices(words=list(WORDS), embed_or_df=features)
    return model


@claim("lms", "yes", "incremental_learning(learning_rate)", "LDL.gen_fmat(events)")
def _() -> None:
    C, S = matrices()
    cues, meanings = labelled(C, "cues"), labelled(S, "semantics")
    found = mapping.incremental_learning(list(WORDS), cues, meanings, learning_rate=RATE)
    np.testing.assert_allclose(found.values, widrow_hoff(C, S), atol=1e-12)


@claim("rescorla", "partly", "incremental_learning")
def _() -> str:
    C, S = matrices(symbols=True)
    cues, meanings = labelled(C, "cues"), labelled(S, "semantics")
    found = mapping.incremental_learning(list(WORDS), cues, meanings, learning_rate=RATE)
    np.testing.assert_allclose(found.values, widrow_hoff(C, S), atol=1e-12)
    return "as Widrow-Hoff over a matrix of 0 and 1, with one rate for all"


@claim("endstate", "yes", "gen_fmat", "gen_gmat")
def _() -> str:
    C, S = matrices()
    C = C[:, :4]
    found = mapping.gen_fmat(labelled(C, "cues"), labelled(S, "semantics")).values
    np.testing.assert_allclose(found, np.linalg.pinv(C) @ S, atol=1e-8)
    return "by the pseudo-inverse of CᵀC"


@claim("fil", "yes", "gen_cmat(freqs)", "gen_smat(freqs)", "weight_by_freq")
def _() -> None:
    C, S = matrices()
    C, f = C[:, :4], np.arange(1, 7)
    cues, meanings = (mapping.weight_by_freq(x, f) for x in (labelled(C, "cues"), labelled(S, "semantics")))
    np.testing.assert_allclose(mapping.gen_fmat(cues, meanings).values, weighted(C, S, f), atol=1e-8)


@claim("letters", "yes", "gen_cmat(gram)", "to_ngram", "gen_cmat_from_df")
def _() -> str:
    assert "#sh" in lexicon().cmat.cues.values
    return "or any table of cues"


@claim("simulated", "yes", "gen_smat_sim", "gen_mmat", "gen_jmat")
def _() -> None:
    table = pd.DataFrame({"word": ["walk", "walks"], "lemma": ["walk", "walk"], "number": ["pl", "sg"]})
    assert mapping.gen_smat_sim(table, form="word", dim_size=4, seed=1).shape == (2, 4)


@claim("fasttext", "yes", "gen_smat(embed)", "gen_smat_from_df")
def _() -> str:
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        text.write_text("a ship and a chip\n" * 50)
        vectors = fasttext.train_unsupervised(str(text), dim=10, minCount=1, epoch=1, thread=1, verbose=0, bucket=100)
    assert mapping.gen_smat(["ship", "chip"], vectors).shape == (2, 10)
    return "fastText's models, by the package fasttext, or any table"


@claim("understood", "yes", "accuracy", "predict_df", "distance_matrix")
def _() -> str:
    model = lexicon()
    assert performance.accuracy(pred=model.shat, gold=model.smat) == 1
    return "by correlation, cosine or distance"


@claim("measures", "yes", "functional_load", "uncertainty", "semantic_support", "semantic_support_word")
def _() -> str:
    model = lexicon()
    assert np.isfinite(measures.uncertainty("ship", model.shat, model.smat))
    assert -1 <= measures.functional_load("#sh", model.fmat, "ship", model.smat) <= 1
    return "a word or cue at a time"


@claim("produce", "yes", "LDL.produce", "gen_vmat")
def _() -> str:
    model = lexicon()
    assert model.produce(model.smat.loc["ship"].values, word=True) == "#ship#"
    return "cue after cue, each from what is left to be said"


@claim("parallel", "partly", "gen_mmat(cores)")
def _() -> str:
    return "processes for the features of words; else NumPy's threads"


@claim("again", "partly", "incremental_learning(weight_matrix)", "LDL.save_matrices", "LDL.load_matrices")
def _() -> str:
    with tempfile.TemporaryDirectory() as folder:
        lexicon().save_matrices(folder)
        again = LDL()
        again.load_matrices(folder)
    np.testing.assert_allclose(again.fmat.values, lexicon().fmat.values)
    return "weights can be where learning goes on; when to save them is one's own matter"


@claim("command", "no")
def _() -> str:
    assert not importlib.metadata.distribution(PACKAGE).entry_points
    return "no entry points"


@claim("requires", "fact")
def _() -> str:
    needed = [one for one in importlib.metadata.requires(PACKAGE) or [] if "extra" not in one]
    return f"{len(needed)} distributions, xarray and fasttext among them"


@claim("licence", "fact")
def _() -> str:
    return importlib.metadata.metadata(PACKAGE)["License"]


@claim("python", "fact")
def _() -> str:
    return f"{importlib.metadata.version(PACKAGE)}, Python"


if __name__ == "__main__":
    sys.stdout.write(claim.report(rows_of(LEXICON)))
