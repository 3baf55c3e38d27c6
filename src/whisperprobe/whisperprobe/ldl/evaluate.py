"""`evaluate_corpus`: what a trained lexicon understands of every word of a corpus, as a row stage like a probe run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from audiogram.corpus import open_corpus, run_stage
from audiogram.errors import InputError
from audiogram.listening import as_condition
from whisperprobe.corpora.clip_sound import check_unfiltered, listening_versions
from whisperprobe.corpora.columns import beside
from whisperprobe.ldl.events import find_meanings, words_of
from whisperprobe.ldl.measures import Lexicon
from whisperprobe.ldl.model import LdlModel, load_ldl_model
from whisperprobe.ldl.results import CHUNKS, CLIPS, NEIGHBOURS, STAGE
from whisperprobe.ldl.semantics import Semantics, open_semantics
from whisperprobe.ldl.word_listening import WordListening
from whisperprobe.probing.schemas import scalar_type
from whisperprobe.probing.store import condition_of

if TYPE_CHECKING:
    from audiogram.corpus import Corpus, SplitRule
    from audiogram.listening import Condition

__all__ = ["evaluate_corpus"]


def evaluate_corpus(
    source: str | Path | Corpus,
    out: str | Path,
    *,
    model: str | Path | LdlModel,
    condition: str | Condition | None = None,
    semantics: str | Path | Mapping[str, Any] | Semantics | None = None,
    splits: Sequence[str] | None = ("test",),
    neighbours: int = 10,
    shard: str | tuple[int, int] | None = None,
    workers: int = 1,
    max_samples: int | None = None,
    seed: int = 0,
    rows_per_part: int = 256,
    max_failures: float = 0.05,
    name: str | None = None,
    text_pattern: str | None = None,
    text_map: Mapping[Any, str] | None = None,
    split: SplitRule | None = None,
) -> Path:
    """Hear every word of a corpus with a discriminative lexicon and write what was understood to a folder.

    Parameters
    ----------
    source : path or Corpus
        Words, one a clip: what `audiogram.corpus.open_corpus` opens.
    out : path
        Folder to write; an interrupted stage is taken up again. `ldl.load_ldl` opens it, `compare` joins it.
    model : path or LdlModel
        What `train_corpus` wrote.
    condition : str or Condition, optional
        What the words are heard through now, whatever the listener was trained under.
    semantics : path, str, mapping or Semantics, optional
        Where words that the model does not know get their vectors from; default: the space that it was trained with,
        where it was.
    splits : sequence of str or None, default ("test",)
        Which splits; None is all.
    neighbours : int, default 10
        How many of the nearest words are kept in the table `neighbours`.
    shard, workers, rows_per_part, max_failures
        See `audiogram.corpus.run_stage`.
    max_samples : int, optional
        A random sample of so many clips of each split, drawn with `seed`.
    seed : int, default 0
        Of that sample.
    name : str, optional
        What comparisons call this listener; default the condition that it was trained under.
    text_pattern, text_map, split
        See `audiogram.corpus.open_corpus`.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    InputError
        Wrong options, a model that is none, a folder of another run.
    WorkError
        More failures than allowed: words without a vector or without sound; what was written stays.
    StoppedError
        A signal asked to stop.
    """
    if isinstance(neighbours, bool) or not isinstance(neighbours, int) or neighbours < 1:
        raise InputError(f"neighbours is {neighbours!r}; give a whole number of at least 1.")
    listener = model if isinstance(model, LdlModel) else load_ldl_model(model)
    corpus = open_corpus(source, text_pattern=text_pattern, text_map=text_map, split=split).sample(max_samples, seed)
    hearing = None if condition is None else as_condition(condition)
    check_unfiltered(corpus, hearing)
    texts = [row["text"] for part in corpus.splits if splits is None or part in splits for row in corpus.rows(part)]
    lexicon, missing = _lexicon(listener, words_of(texts), semantics)
    names = beside([*CLIPS.names], corpus.columns)
    kinds = corpus.schema()
    columns = [pa.field(new, scalar_type(kinds.field(old).type)) for old, new in names.items()]
    run_stage(
        STAGE,
        options={
            "model": name or listener.name,
            "model_path": str(listener.path),
            "model_sha256": _digest(listener),
            "fit": {k: v for k, v in listener.options.items() if k not in ("corpus", "frequencies")},
            "lexicon": {"words": len(lexicon), "sha256": hashlib.sha256("\n".join(lexicon.words).encode()).hexdigest()},
            "condition": None if hearing is None else hearing.to_dict(),
            "corpus_condition": (corpus.manifest or {}).get("condition"),
            "neighbours": neighbours,
        },
        corpus=corpus,
        outs=[Path(out)],
        work=WordListening(listener, lexicon, missing, hearing, neighbours, names, kinds, alone=workers > 1),
        schemas={"clips": pa.schema([*CLIPS, *columns]), "neighbours": NEIGHBOURS, "chunks": CHUNKS},
        rows_per_part=rows_per_part,
        shard=shard,
        workers=workers,
        splits=splits,
        max_failures=max_failures,
        versions=listening_versions(hearing),
        readme=_card,
        label=f"listening to {corpus.root.name}",
    )
    return Path(out)


def _lexicon(
    listener: LdlModel, spelt: Mapping[str, str], semantics: str | Path | Mapping[str, Any] | Semantics | None
) -> tuple[Lexicon, frozenset[str]]:
    """Return the word types among which a word is sought, the model's and the corpus', and words without a vector."""
    new = {word: how for word, how in spelt.items() if word not in listener.lexicon.index}
    if not new and semantics is None:
        return listener.lexicon, frozenset()
    said = listener.options["semantics"]
    if semantics is None:
        where = str(listener.results["semantics_source"])
        semantics = f"whisper:{where}" if said["kind"] == "whisper" else where
        try:
            space = open_semantics(semantics)
        except InputError as error:
            raise InputError(
                f"{len(new)} words are not in the model's lexicon, e.g. {next(iter(new))!r}, and the semantic space "
                f"{said['name']} is not where it was ({error}). Say where it is: --semantics."
            ) from error
    else:
        space = open_semantics(semantics)
    if space.describe()["fingerprint"] != said["fingerprint"]:
        raise InputError(
            f"{space.name} is not the semantic space that the model was trained with, {said['name']}: vectors of two "
            "spaces cannot be compared."
        )
    if not new:
        return listener.lexicon, frozenset()
    asked = space.look_up([*new.values()]).found != "missing"
    if not (asked.any() or (space.look_up([*new]).found != "missing").any()):
        return listener.lexicon, frozenset(new)
    found = find_meanings(new, space)
    words = sorted({*listener.lexicon.words, *found.lexicon.words})
    both = [listener.lexicon, found.lexicon]
    vectors = [next(one.vectors[one.index[word]] for one in both if word in one.index) for word in words]
    return Lexicon(words, np.stack(vectors)), found.missing


def _digest(listener: LdlModel) -> str:
    """SHA-256 of all weights and of the words with their vectors."""
    digest = hashlib.sha256("\n".join(listener.lexicon.words).encode())
    for array in (listener.lexicon.vectors, listener.comprehension, listener.production):
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _card(manifest: Mapping[str, Any]) -> str:
    options = manifest["options"]
    heard = condition_of(manifest) or {}
    fit = options["fit"]
    return (
        "# Words as a discriminative lexicon understood them\n\n"
        f"Listener `{options['model']}`: {fit['cues']} cues, rule {fit['rule']}, semantic space "
        f"{fit['semantics']['name']}, {options['lexicon']['words']} word types"
        + (f"; heard through `{heard.get('name')}`" if heard else "")
        + ".\n\n`clips` has one row per word, `neighbours` the meanings nearest to what was understood, `chunks` the "
        "functional load of each stretch of its cues. `whisperprobe.ldl.load_ldl` opens them.\n"
    )
