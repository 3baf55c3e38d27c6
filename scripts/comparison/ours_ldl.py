"""Claims about `whisperprobe.ldl`, our discriminative lexicon; `python -m comparison.ours_ldl` prints the findings."""

from __future__ import annotations

import importlib.metadata
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audiogram.corpus import open_corpus
from comparison.claims import Claims
from comparison.events import RATE, WORDS, matrices, weighted, widrow_hoff
from comparison.listeners import DEMO, speech
from comparison.rows_listeners import LEXICON, rows_of
from whisperprobe import ldl

claim = Claims("whisperprobe", ["whisperprobe.ldl"], ["whisperprobe.ldl"])


@claim("lms", "yes", "learn(rule, rate, epochs, order)")
def _() -> str:
    C, S = matrices()
    np.testing.assert_allclose(ldl.learn(C, S, rule="lms", rate=RATE), widrow_hoff(C, S), atol=1e-12)
    with pytest.raises(ValueError, match="rate"):
        ldl.learn(C, S, rule="lms", rate=2.0)
    return "a rate at which errors would grow is refused"


@claim("rescorla", "partly", "learn(rule)")
def _() -> str:
    C, S = matrices(symbols=True)
    np.testing.assert_allclose(ldl.learn(C, S, rule="lms", rate=RATE), widrow_hoff(C, S), atol=1e-12)
    return "as `lms` over a matrix of 0 and 1, with one rate for all"


@claim("nlms", "yes", "learn(rule, epsilon)")
def _() -> str:
    C, S = matrices()
    W = np.zeros((8, 5))
    for c, s in zip(C, S, strict=True):
        W += 0.5 / (c @ c) * np.outer(c, s - c @ W)
    np.testing.assert_allclose(ldl.learn(C, S, rate=0.5), W, atol=1e-12)
    return "the default"


@claim("block", "yes", "learn(block)")
def _() -> str:
    C, S = matrices()
    np.testing.assert_allclose(ldl.learn(C, S, rule="lms", rate=RATE, block=4), widrow_hoff(C, S), atol=1e-12)
    return "but for rounding; `benchmarks/ldl.py` has the times"


@claim("endstate", "yes", "endstate(ridge)")
def _() -> str:
    C, S = matrices()
    np.testing.assert_allclose(ldl.endstate(C, S, ridge=0), np.linalg.pinv(C) @ S, atol=1e-8)
    return "by Cholesky, with a ridge in proportion to the cues; without one the pseudo-inverse"


@claim("fil", "yes", "frequency_informed(frequencies)")
def _() -> None:
    C, S = matrices()
    C, f = C[:, :4], np.arange(1, 7)
    np.testing.assert_allclose(ldl.frequency_informed(C, S, f, ridge=0), weighted(C, S, f), atol=1e-8)


@claim("cfbsf", "yes", "cfbsf(options)", "chunk_boundaries", "plot_chunks")
def _() -> str:
    assert ldl.cfbsf(speech()[0][0], 16_000).shape[1] == 630
    return "from the sound"


@claim("log_mel", "yes", "cue_matrix", "CueShape")
def _() -> str:
    assert ldl.cue_matrix(list(speech()[0]), 16_000, kind="log_mel").shape.width > 0
    return "as Whisper hears them"


@claim("letters", "no", "learn")
def _() -> str:
    return "learning takes any matrix; none is made from letters"


@claim("simulated", "no", "open_semantics")
def _() -> str:
    return "any table of vectors is read; none is drawn"


@claim("fasttext", "yes", "open_semantics", "WordVectors")
def _() -> str:
    space = ldl.open_semantics({word: [float(i), 1.0] for i, word in enumerate(WORDS)})
    assert space.look_up(["ship", "unheard"]).missing == ["unheard"]
    return "`.bin` read in place with vectors for unknown words, `.vec`, GloVe, tables, NumPy"


@claim("whisper", "yes", "open_semantics")
def _() -> None:
    space = ldl.open_semantics(f"whisper:{DEMO / 'model'}")
    assert space.look_up(["ship"]).vectors.shape == (1, 128)


@cache
def heard() -> ldl.MeaningMeasures:
    C, S = matrices()
    return ldl.meaning_measures(C @ ldl.endstate(C, S), np.arange(6), ldl.Lexicon(WORDS, S))


@claim("understood", "yes", "meaning_measures", "MeaningMeasures.accuracy", "evaluate_corpus")
def _() -> str:
    assert heard().accuracy(1) == 1
    assert (heard().rank == 1).all()
    return "by correlation, with neighbours and ties"


@claim("measures", "yes", "meaning_measures", "functional_loads", "form_support")
def _() -> str:
    assert np.isfinite(heard().uncertainty).all()
    return "by chunk of the sound, too"


@claim("produce", "partly", "learn", "form_support")
def _() -> str:
    C, S = matrices()
    assert (S @ ldl.learn(S, C)).shape == C.shape
    return "the cues of a meaning are predicted, and not put in order"


def trained(folder: Path, **options: Any) -> bytes:
    texts = {str(clip.text) for clip in open_corpus(DEMO / "speech").read("train")}
    space = {text: np.random.default_rng(i).standard_normal(6) for i, text in enumerate(sorted(texts))}
    given = {"condition": "hfloss", "max_samples": 12, "workers": 1, **options}
    ldl.train_corpus(DEMO / "speech", folder, semantics=space, **given)
    return (folder / "model.safetensors").read_bytes()


@claim("hearing", "yes", "write_cues(condition)", "train_corpus(condition)", "evaluate_corpus(condition)")
def _() -> str:
    with tempfile.TemporaryDirectory() as folder:
        assert trained(Path(folder) / "m")
    return "with the filters and noises of [`audiogram`](comparison.md)"


@claim("stream", "yes", "open_cues", "CueRows", "learn(block)")
def _() -> str:
    C, S = matrices()
    with tempfile.TemporaryDirectory() as folder:
        stored = np.memmap(Path(folder) / "C", dtype=C.dtype, mode="w+", shape=C.shape)
        stored[:] = C
        np.testing.assert_allclose(ldl.learn(stored, S, rule="lms", rate=RATE), widrow_hoff(C, S), atol=1e-12)
    return "rows are read from disk block by block; the weights are in memory"


@claim("sparse", "no", "learn")
def _() -> str:
    return "dense, as cues from sound are"


@claim("parallel", "yes", "learn(devices)", "train_corpus(workers)")
def _() -> str:
    import torch

    C, S = (torch.as_tensor(x) for x in matrices())
    np.testing.assert_allclose(ldl.learn(C, S, rule="lms", rate=RATE), widrow_hoff(*matrices()), atol=1e-12)
    return "BLAS's threads; torch tensors on their device, weights over several GPUs; processes for cues"


@claim("again", "yes", "train_corpus(save_every)", "load_ldl_model")
def _() -> str:
    from whisperprobe.ldl.checkpoints import FitFolder

    plain, saved = FitFolder.save, []

    def killed(self: Any, *given: Any) -> None:
        plain(self, *given)
        saved.append(self)
        raise KeyboardInterrupt

    with tempfile.TemporaryDirectory() as folder:
        whole = trained(Path(folder) / "whole", save_every=4, block=4)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FitFolder, "save", killed)
            with pytest.raises(KeyboardInterrupt):
                trained(Path(folder) / "cut", save_every=4, block=4)
        assert len(saved) == 1
        assert trained(Path(folder) / "cut", save_every=4, block=4) == whole
    return "the same command, to the last bit"


@claim("command", "yes")
def _() -> str:
    from typer.main import get_command

    from whisperprobe.cli import app

    commands = get_command(app).commands["ldl"].commands
    return f"`whisperprobe ldl`: {', '.join(f'`{name}`' for name in sorted(commands))}"


@claim("requires", "fact")
def _() -> str:
    return "those of `whisperprobe`: torch among them"


@claim("licence", "fact")
def _() -> str:
    return importlib.metadata.metadata("whisperprobe")["License-Expression"]


@claim("python", "fact")
def _() -> str:
    return f"{importlib.metadata.version('whisperprobe')}, Python"


if __name__ == "__main__":
    sys.stdout.write(claim.report(rows_of(LEXICON)))
