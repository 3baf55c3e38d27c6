"""`probe_corpus`: a probe of a whole corpus as a row stage, resumable and shardable, one bad clip never stopping it."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from audiogram.corpus import open_corpus, run_stage
from audiogram.errors import InputError
from audiogram.listening import as_condition
from whisperprobe.probing.agreement_file import write_agreement
from whisperprobe.probing.batches import DECODINGS, NotFiniteError, check_asked
from whisperprobe.probing.grouping import group_size, groups
from whisperprobe.probing.hearing import Hearing, torch_threads
from whisperprobe.probing.probe import Probe
from whisperprobe.probing.schemas import scalar_type, scalars, source_columns
from whisperprobe.probing.store import condition_of
from whisperprobe.probing.windowing import Windowing
from whisperprobe.ranks import shard_of_rank

if TYPE_CHECKING:
    from audiogram.corpus import Clip, Corpus, Part, PartWriter, SplitRule
    from audiogram.listening import Condition

__all__ = ["probe_corpus"]


def probe_corpus(
    source: str | Path | Corpus,
    out: str | Path,
    *,
    model: str | Path | Probe,
    condition: str | Condition | None = None,
    splits: Sequence[str] | None = ("test",),
    decodings: Sequence[str] = DECODINGS,
    top_k: int = 1000,
    batch_size: int = 16,
    vectors: str = "greedy",
    shard: str | tuple[int, int] | None = None,
    max_samples: int | None = None,
    seed: int = 0,
    device: str = "auto",
    dtype: str | None = None,
    text_pattern: str | None = None,
    text_map: Mapping[Any, str] | None = None,
    split: SplitRule | None = None,
    max_failures: float = 0.05,
    language: str = "en",
    task: str = "transcribe",
    max_new_tokens: int = 225,
    timestamps: bool = False,
    rows_per_part: int = 256,
    layers: str | int | Sequence[int] | None = None,
    layer_vectors: bool = False,
    encoder: str = "none",
    lexicon: str | Path | Sequence[str] | None = None,
    candidates: int | None = None,
    competitors: int = 10,
    n_best: int = 0,
    homophones: str | Path | Iterable[Sequence[str]] | None = None,
    long_audio: str = "refuse",
    padding: str | None = None,
    margin: float | None = None,
    agreement: int = 64,
    num_workers: int = 2,
    num_threads: int | None = None,
) -> Path:
    """Probe every clip of a corpus and write tables and vectors to a folder; `load_probes` opens it.

    Parameters
    ----------
    source : path or Corpus
        Folder of audio, Parquet dataset, or the output of `audiogram mask`.
    out : path
        Folder to write. A run that was interrupted is taken up again; a folder of another run is refused.
    model : path, hub name or Probe
        Who listens. A `Probe` brings its own device, dtype, language, task, `max_new_tokens` and
        `timestamps`.
    condition : str or Condition, optional
        What the clips are heard through, applied on the fly at the model's sample rate; none by default. For a corpus
        that is masked already leave it out: its own condition is recorded.
    splits : sequence of str or None, default ("test",)
        Which splits to probe; None is all.
    decodings : sequence of {"greedy", "forced"}
        What to score.
    top_k : int, default 1000
        How many of the most probable tokens to keep per position.
    batch_size : int, default 16
        Clips at once; a matter of memory and speed.
    vectors : {"greedy", "both", "none"}
        Which rows keep hidden state and top k.
    shard : str or (int, int), optional
        "I/N", counted from 0: only the parts I, I + N, ... Under `torchrun` each process takes its rank's share of
        that, and with `device` "auto" its own GPU.
    max_samples : int, optional
        A random sample of so many clips of each split, drawn with `seed`.
    seed : int, default 0
        Of these samples.
    device, dtype, language, task, max_new_tokens, timestamps
        As for `Probe.from_pretrained`.
    text_pattern, text_map, split
        As for `audiogram.corpus.open_corpus`.
    max_failures : float, default 0.05
        Largest share of clips in a split that may fail.
    rows_per_part : int, default 256
        Clips per file.
    layers, layer_vectors, encoder, lexicon, candidates, competitors, n_best, homophones
        What to measure beside, as for calling a `Probe`.
    long_audio, padding, margin
        How clips are brought to the model's window, as for calling a `Probe`.
    agreement : int, default 64
        With `padding` "trimmed", of a model that was trained otherwise: how many clips of each split, drawn with
        `seed`, are probed padded too, to write `probe_agreement` of both to ``agreement.json``; 0 for none.
    num_workers : int, default 2
        Threads that decode, resample and filter the next clips while the model works; 0 for none. Results are the
        same.
    num_threads : int, optional
        CPU threads of the model; default torch's.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    InputError
        A wrong option, a folder that belongs to another run, a model that is none.
    WorkError
        More failures than allowed; what was written stays.
    """
    check_asked(decodings, vectors, top_k)
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InputError(f"batch_size is {batch_size!r}; give a whole number of at least 1.")
    if isinstance(num_workers, bool) or num_workers < 0:
        raise InputError(f"num_workers is {num_workers!r}; give a whole number of threads, 0 for none.")
    if num_threads is not None and (isinstance(num_threads, bool) or num_threads < 1):
        raise InputError(f"num_threads is {num_threads!r}; give a whole number of at least 1.")
    if isinstance(agreement, bool) or not isinstance(agreement, int) or agreement < 0:
        raise InputError(f"agreement is {agreement!r}; give a number of clips, 0 for no report.")
    corpus = open_corpus(source, text_pattern=text_pattern, text_map=text_map, split=split)
    if max_samples is not None:
        corpus = corpus.sample(max_samples, seed)
    heard = None if condition is None else as_condition(condition)
    if not isinstance(model, Probe):
        model = Probe.from_pretrained(
            model,
            device=device,
            dtype=dtype,
            language=language,
            task=task,
            max_new_tokens=max_new_tokens,
            timestamps=timestamps,
        )
    extras = model.extras(
        layers=layers,
        layer_vectors=layer_vectors,
        encoder=encoder,
        lexicon=lexicon,
        candidates=candidates,
        competitors=competitors,
        n_best=n_best,
        homophones=homophones,
    )
    windowing = Windowing.of(extras, padding=padding, margin=margin, long_audio=long_audio, trained=model.windowing)
    options = {
        **model.describe(),
        "condition": None if heard is None else heard.to_dict(),
        "corpus_condition": (corpus.manifest or {}).get("condition"),
        "decodings": [d for d in DECODINGS if d in decodings],
        "top_k": top_k,
        "vectors": vectors,
        **windowing.describe(),
        **extras.describe(),
    }
    names = source_columns(corpus.columns)
    kinds = corpus.schema()
    columns = windowing.columns(extras.schemas())
    for old, new in names.items():
        columns["clips"] = columns["clips"].append(pa.field(new, scalar_type(kinds.field(old).type)))
    waiting = group_size(windowing, batch_size) if windowing.long_audio == "refuse" else 0  # hours of sound do not wait
    hearing = Hearing(model, heard, workers=num_workers, ahead=num_workers + waiting, windowing=windowing)
    asked = {
        "decodings": tuple(options["decodings"]),
        "top_k": top_k,
        "vectors": vectors,
        "batch_size": batch_size,
        "extras": extras,
        "windowing": windowing,
    }
    with torch_threads(num_threads):
        run_stage(
            "probe",
            options=options,
            corpus=corpus,
            outs=[Path(out)],
            work=_Work(model, hearing, names, kinds, columns["clips"], asked),
            schemas=columns,
            rows_per_part=rows_per_part,
            shard=shard_of_rank(shard),
            splits=splits,
            max_failures=max_failures,
            versions=_versions(heard),
            readme=_card,
            label=f"probing {Path(out).name}",
        )
        if windowing.padding == "trimmed" and model.windowing.padding != "trimmed" and agreement:
            write_agreement(
                Path(out),
                model,
                corpus,
                hearing,
                windowing,
                splits=splits,
                clips=agreement,
                seed=seed,
                batch_size=batch_size,
            )
    return Path(out)


class _Work:
    """Probes the clips of one part, batch by batch; no batch reaches over a part, so a part is redone alike."""

    def __init__(
        self,
        probe: Probe,
        hearing: Hearing,
        names: Mapping[str, str],
        kinds: pa.Schema,
        schema: pa.Schema,
        options: Mapping[str, Any],
    ) -> None:
        self._probe, self._hearing = probe, hearing
        self._names, self._kinds, self._schema = names, kinds, schema
        self._options = options

    def __call__(self, part: Part, clips: Iterable[Clip], writer: PartWriter) -> None:
        kept = (0, 0)  # vector rows and clips so far
        windowing, size = self._options["windowing"], self._options["batch_size"]
        with contextlib.closing(self._usable(clips, writer)) as usable:
            for ready in groups(usable, lambda heard: len(heard[1]), windowing, self._probe.window, size):
                kept = self._write(ready, writer, kept)

    def _usable(
        self, clips: Iterable[Clip], writer: PartWriter
    ) -> Generator[tuple[Clip, np.ndarray, str | None], None, None]:
        with contextlib.closing(self._hearing(clips)) as hearing:
            for clip, heard in hearing:
                if isinstance(heard, InputError):
                    writer.fail(clip.id, heard)
                else:
                    yield clip, *heard

    def _write(
        self, ready: Sequence[tuple[Clip, np.ndarray, str | None]], writer: PartWriter, kept: tuple[int, int]
    ) -> tuple[int, int]:
        try:
            batch = self._probe.batch(
                [clip.id for clip, _, _ in ready],
                [x for _, x, _ in ready],
                [text for _, _, text in ready],
                vector_offset=kept[0],
                clip_offset=kept[1],
                **self._options,
            )
        except NotFiniteError as error:  # these fail, the others are heard without them
            for name in error.ids:
                writer.fail(name, error.reason)
            others = [own for own in ready if own[0].id not in error.ids]
            return self._write(others, writer, kept) if others else kept
        clips = batch.tables["clips"]
        for old, new in self._names.items():
            values = [clip.metadata.get(old) for clip, _, _ in ready]
            clips = clips.append_column(self._schema.field(new), scalars(values, self._kinds.field(old).type))
        for name, rows in (batch.tables | {"clips": clips}).items():
            writer.add(name, rows)
        if batch.vectors:
            writer.add_vectors(batch.vectors)
        return kept[0] + len(batch.vectors.get("hidden", ())), kept[1] + len(ready)


def _versions(condition: Condition | None) -> dict[str, str]:
    import torch
    import transformers

    import whisperprobe

    out = {
        "whisperprobe": whisperprobe.__version__,
        "torch": str(torch.__version__),
        "transformers": str(transformers.__version__),
    }
    if condition is not None:
        plugin = condition.versions()
        for one in (plugin, *plugin.get("parts", {}).values()):
            out[str(one["distribution"])] = str(one["version"])
    return out


def _card(manifest: Mapping[str, Any]) -> str:
    options = manifest["options"]
    heard = condition_of(manifest) or {}
    return (
        f"# Probe run\n\nHeard by `{options['model']}`"
        + (f" through the condition `{heard.get('name')}`" if heard else "")
        + ".\n\n`clips` has one row per clip, `tokens` one per scored token (greedy output, and every spelling of the "
        "ground truth read in), `ground_truth` one per greedy position and token of the ground truth. `vectors/` has "
        "hidden states and the most probable tokens: `vector_row` is a row of the safetensors file with the same name. "
        "`whisperprobe.load_probes` opens all of it.\n"
    )
