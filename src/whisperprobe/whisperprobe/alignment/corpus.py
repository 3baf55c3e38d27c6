"""`align_corpus`: when each word of a corpus is said, as a row stage."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from audiogram.corpus import MAX_SECONDS, open_corpus, run_stage
from audiogram.errors import InputError, unknown_name
from whisperprobe.alignment.gaps import EDGES, check_edges
from whisperprobe.alignment.stage_work import Aligner, GridWork, ModelWork
from whisperprobe.alignment.table import COLUMNS, STAGE, TABLE
from whisperprobe.corpora.columns import beside
from whisperprobe.ranks import shard_of_rank

if TYPE_CHECKING:
    from audiogram.corpus import Corpus, SplitRule

__all__ = ["METHODS", "Aligner", "align_corpus"]

METHODS = ("ctc", "whisper", "textgrid")
_PACKAGES = {
    "ctc": ("torch", "torchaudio", "transformers"),
    "whisper": ("torch", "transformers"),
    "textgrid": ("praatio",),
}


def align_corpus(
    source: str | Path | Corpus,
    out: str | Path,
    *,
    method: str = "ctc",
    model: str | Path | Aligner | None = None,
    textgrids: str | Path | None = None,
    edges: float = EDGES,
    shift: float = 0.0,
    min_score: float = 0.0,
    unknown: str = "fail",
    heads: str | Path | Sequence[Sequence[int]] | None = None,
    leading_space: bool | None = None,
    language: str = "en",
    batch_size: int = 8,
    device: str = "auto",
    splits: Sequence[str] | None = None,
    max_samples: int | None = None,
    seed: int = 0,
    shard: str | tuple[int, int] | None = None,
    rows_per_part: int = 256,
    max_failures: float = 0.05,
    max_seconds: float = MAX_SECONDS,
    text_pattern: str | None = None,
    text_map: Mapping[Any, str] | None = None,
    split: SplitRule | None = None,
) -> Path:
    """Find when each word of every clip is said, and write a table of words; `cut_words` cuts by it.

    Silence between words is split: each gets half of it. A clip that cannot be aligned, or whose alignment does not
    match its transcript, is a row of ``failures``, with the reason.

    Parameters
    ----------
    source : path or Corpus
        What `audiogram.corpus.open_corpus` opens, with transcripts: the unfiltered corpus, best.
    out : path
        Folder to write.
    method : {"ctc", "whisper", "textgrid"}
        By a CTC model of characters, by a Whisper's cross-attention, or by TextGrids that are there already.
    model : path or Aligner
        For "ctc" a folder of a wav2vec 2.0 CTC model or the file of torchaudio's MMS_FA weights, for "whisper" a
        folder or hub name. Or an aligner that is open, whose own options then hold.
    textgrids : path, optional
        For "textgrid": the folder that holds them.
    edges : float, default 0.1
        Silence before the first word and behind the last that goes with them, in s; ``inf`` for all of it.
    shift : float, default 0.0
        How much later than it is said the aligner finds a word, in s; taken off all times. `measure_shift` measures
        it: CTC models are trained to name characters in order, not in time.
    min_score : float, default 0.0
        Clips whose words score less in the mean fail, 0 to 1; not of TextGrids, which have no score.
    unknown : {"fail", "star"}
        For "ctc": what becomes of characters that the model has not.
    heads : sequence of (layer, head), or path, optional
        For "whisper": whose attention is followed; see `WhisperAligner`.
    leading_space : bool, optional
        For "whisper": whether transcripts are read with a space before them; default as the model was trained.
    language : str, default "en"
        For "whisper": what its prompt says.
    batch_size : int, default 8
        Clips at once; a matter of memory and speed.
    device : str, default "auto"
        A GPU where there is one.
    splits : sequence of str, optional
        Which splits; default all.
    max_samples : int, optional
        At most so many clips of every split, drawn by `seed`.
    seed : int, default 0
        Of that draw.
    shard : str or (int, int), optional
        ``"I/N"``: only the parts whose number is I modulo N.
    rows_per_part : int, default 256
        Clips in one file.
    max_failures : float, default 0.05
        Highest share of failures in a split, 0 to 1.
    max_seconds : float, default 300
        Longest clip, in s.
    text_pattern, text_map, split
        See `audiogram.corpus.open_corpus`.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    InputError
        A wrong argument, a model that is none, a package that is missing, a folder that belongs to another run.
    WorkError
        Too many failures, a full disk; what was written stays.
    StoppedError
        A signal asked to stop.
    """
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    check_edges(edges)
    if isinstance(shift, bool) or not isinstance(shift, int | float) or not abs(shift) <= 1:
        raise InputError(f"shift is {shift!r}; a time in s, -1 to 1. Is it given in milliseconds?")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InputError(f"batch_size is {batch_size!r}; give a whole number of at least 1.")
    corpus = open_corpus(source, text_pattern=text_pattern, text_map=text_map, split=split)
    work: Any
    if method == "textgrid":
        if textgrids is None or model is not None:
            raise InputError("method 'textgrid' takes a folder of TextGrids (--textgrids DIR) and no model.")
        from whisperprobe.alignment.textgrid import TextGrids

        grids = TextGrids(textgrids, (id for name in corpus.splits for id in corpus.ids(name)))
        said, work = grids.describe(), GridWork(edges, shift, {}, grids)
    else:
        if textgrids is not None or model is None:
            raise InputError(f"method {method!r} takes a model (--model PATH) and no TextGrids.")
        aligner = _opened(
            model, method, min_score=min_score, batch_size=batch_size, unknown=unknown, heads=heads,
            leading_space=leading_space, language=language, device=device,
        )  # fmt: skip
        said, work = aligner.describe(), ModelWork(edges, shift, {}, aligner, max_seconds)
    work.names.update(beside(COLUMNS.names, corpus.columns))
    kinds = corpus.schema()
    run_stage(
        STAGE,
        options={
            "method": method,
            "edges": "all" if math.isinf(edges) else edges,
            "shift": shift,
            "max_seconds": max_seconds,
            **said,
        },
        corpus=corpus.sample(max_samples, seed),
        outs=[Path(out)],
        work=work,
        schemas={
            TABLE: pa.schema([*COLUMNS, *(pa.field(new, kinds.field(old).type) for old, new in work.names.items())])
        },
        rows_per_part=rows_per_part,
        shard=shard_of_rank(shard),
        splits=splits,
        max_failures=max_failures,
        versions={name: importlib.metadata.version(name) for name in ("whisperprobe", *_PACKAGES[method])},
        readme=_card,
        label=f"aligning {Path(out).name}",
    )
    return Path(out)


def _opened(model: Any, method: str, **given: Any) -> Aligner:
    if not isinstance(model, str | Path):
        if getattr(model, "method", None) != method:
            raise InputError(f"the aligner, {type(model).__name__}, is none of method {method!r}.")
        return model  # type: ignore[no-any-return]
    own = ("unknown",) if method == "ctc" else ("heads", "leading_space", "language")
    options = {name: given[name] for name in ("device", "min_score", "batch_size", *own)}
    if method == "ctc":
        from whisperprobe.alignment.ctc import CTCAligner

        return CTCAligner.from_pretrained(model, **options)
    from whisperprobe.alignment.whisper_dtw import WhisperAligner

    return WhisperAligner.from_pretrained(model, **options)


def _card(manifest: Mapping[str, Any]) -> str:
    options = manifest["options"]
    edges = options["edges"]
    how = {
        "ctc": f"by CTC forced alignment with `{options.get('model')}`",
        "whisper": f"by the cross-attention of `{options.get('model')}`",
        "textgrid": "from TextGrids",
    }[options["method"]]
    return (
        f"# {Path(manifest['input']['source']).name}: when each word is said\n\n"
        f"Found {how}. `words` has one row per word, times in seconds: `spoken_start` and `spoken_end` are where the "
        "word itself was found; `start` and `end` give each word half of the silence on each side of it, and "
        + ("all of the" if edges == "all" else f"at most {edges:g} s of the")
        + " silence at the clip's ends.\n\n"
        "```python\nfrom whisperprobe import load_alignment\n\n"
        'load_alignment("this folder")\n```\n\n'
        "`whisperprobe words SOURCE --alignment THIS --out DIR` cuts the words out.\n"
    )
