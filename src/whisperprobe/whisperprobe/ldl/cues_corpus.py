"""`write_cues`: the cues of a whole corpus of words, as a row stage.

What is kept of a word is its units, chunks or heard frames; `open_cues` pads them into rows of a matrix when they are
asked for. So the longest word need not be known before, and a matrix of 27,000 words × 50,048 log-mel cues, 5.4 GB, is
a fifth of that on disk and never whole in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from audiogram import sound
from audiogram.corpus import open_corpus, run_stage
from audiogram.errors import InputError
from audiogram.listening import as_condition
from whisperprobe.corpora.clip_sound import check_unfiltered, listening_versions, through
from whisperprobe.corpora.columns import beside
from whisperprobe.devices import chosen_device
from whisperprobe.ldl.chunks import shortest_cut
from whisperprobe.ldl.cues_bands import SAMPLE_RATE
from whisperprobe.ldl.cues_matrix import MEL_FRAMES, full_units, is_silent, spec_of, units_of_all
from whisperprobe.ldl.cues_reading import COLUMNS, STAGE, VECTORS, open_cues
from whisperprobe.ldl.cues_summaries import BandSummaries

if TYPE_CHECKING:
    from audiogram.corpus import Clip, Corpus, Part, PartWriter, SplitRule
    from audiogram.listening import Condition

__all__ = ["write_cues"]

_BATCH = 64  # words whose cues are computed together
_log = logging.getLogger("whisperprobe")


def write_cues(
    source: str | Path | Corpus,
    out: str | Path,
    *,
    kind: str = "cfbsf",
    condition: str | Condition | None = None,
    splits: Sequence[str] | None = None,
    max_samples: int | None = None,
    seed: int = 0,
    workers: int = 1,
    shard: str | tuple[int, int] | None = None,
    device: str = "auto",
    rows_per_part: int = 256,
    max_failures: float = 0.05,
    text_pattern: str | None = None,
    text_map: Mapping[Any, str] | None = None,
    split: SplitRule | None = None,
    **options: Any,
) -> Path:
    """Write the cues of a corpus of spoken words; `open_cues` opens what it writes.

    Parameters
    ----------
    source : path or Corpus
        Words, one a clip: what `audiogram.corpus.open_corpus` opens.
    out : path
        Folder to write.
    kind : {"cfbsf", "log_mel"}
        Which cues, see `cue_matrix`.
    condition : str or Condition, optional
        What the words are heard through, applied on the fly at 16 kHz.
    splits : sequence of str, optional
        Which splits; default all.
    max_samples : int, optional
        At most so many words of every split, drawn by `seed`.
    seed : int, default 0
        Of that draw, and of random frames.
    workers : int, default 1
        Processes.
    shard : str or (int, int), optional
        ``"I/N"``: only the parts whose number is I modulo N.
    device : str, default "auto"
        Where to compute: a GPU where there is one.
    rows_per_part : int, default 256
        Words in one file.
    max_failures : float, default 0.05
        Highest share of failures in a split, 0 to 1.
    text_pattern, text_map, split
        See `audiogram.corpus.open_corpus`.
    **options
        For `cfbsf`: `boundary`, `sampling`, `full_scale`, `top_hz`, see `BandSummaries`.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        A wrong argument, a corpus that is filtered already and is to be once more, a folder of another run.
    WorkError
        Too many failures, a full disk; what was written stays.
    StoppedError
        A signal asked to stop.
    """
    spec = spec_of(kind, {**options, **({"seed": seed} if kind == "cfbsf" else {})})
    corpus = open_corpus(source, text_pattern=text_pattern, text_map=text_map, split=split)
    hearing = None if condition is None else as_condition(condition)
    check_unfiltered(corpus, hearing)
    masked = (corpus.manifest or {}).get("condition")
    folder = Path(out)
    names = beside(COLUMNS.names, corpus.columns)
    kinds = corpus.schema()
    run_stage(
        STAGE,
        options={"kind": kind, "on_the_fly": hearing is not None, **({} if spec is None else spec.to_dict())},
        corpus=corpus.sample(max_samples, seed),
        outs=[folder],
        work=_Work(kind, spec, hearing, names, chosen_device(device), workers > 1),
        schemas={"clips": pa.schema([*COLUMNS, *(pa.field(new, kinds.field(old).type) for old, new in names.items())])},
        rows_per_part=rows_per_part,
        shard=shard,
        workers=workers,
        splits=splits,
        max_failures=max_failures,
        extra_manifest={"condition": masked if hearing is None else hearing.to_dict()},
        versions=listening_versions(hearing),
        readme=_card,
        label=f"{kind} cues of {folder.name}",
    )
    if shard is None:
        for line in open_cues(folder).remarks():
            _log.warning("%s: %s", folder, line)
    return folder


@dataclass
class _Work:
    """Cues of the words of one part, batch by batch; no batch reaches over a part, so a part is redone alike."""

    kind: str
    spec: BandSummaries | None
    condition: Condition | None
    names: Mapping[str, str]
    device: str
    alone: bool  # in a process beside others, which are the parallelism

    def __call__(self, part: Part, clips: Iterable[Clip], writer: PartWriter) -> None:
        import torch

        if self.alone:
            torch.set_num_threads(1)
        written = 0
        ready: list[tuple[Clip, int, np.ndarray[Any, Any]]] = []
        for clip in clips:
            try:
                samples, rate = clip.audio()
                heard = np.ascontiguousarray(sound.resample(samples, rate, SAMPLE_RATE), dtype=np.float32)
                if self.condition is not None:
                    heard = through(heard, SAMPLE_RATE, self.condition, clip.id)
                ready.append((clip, rate, heard))
            except InputError as error:
                writer.fail(clip.id, error)
            if len(ready) == _BATCH:
                written += self._write(ready, writer, written)
                ready = []
        if ready:
            self._write(ready, writer, written)

    def _write(self, ready: Sequence[tuple[Clip, int, np.ndarray[Any, Any]]], writer: PartWriter, first: int) -> int:
        import torch

        heard = [torch.from_numpy(x).to(self.device) for _, _, x in ready]
        units = units_of_all(heard, self.spec, [clip.id for clip, _, _ in ready])
        for (clip, rate, x), one in zip(ready, units, strict=True):
            row = {
                "id": clip.id,
                "text": clip.text,
                "sample_rate": rate,
                "samples": len(x),
                "units": len(one),
                "all_units": full_units(self.kind, one, len(x)),
                "short": self.kind == "cfbsf" and len(x) < shortest_cut(SAMPLE_RATE),
                "silent": is_silent(self.kind, one, x),
                "lowest": float(one.min()),
                "highest": float(one.max()),
                "vector_row": first,
            }
            row.update({new: clip.metadata.get(old) for old, new in self.names.items()})
            writer.add("clips", [row])
            first += len(one)
        vectors = np.concatenate(units)
        writer.add_vectors({VECTORS: vectors})
        return len(vectors)


def _card(manifest: Mapping[str, Any]) -> str:
    options, condition = manifest["options"], manifest["condition"]
    what = (
        "630 numbers for each chunk"
        if options["kind"] == "cfbsf"
        else f"128 log-mel bands, {MEL_FRAMES} frames at most"
    )
    return (
        f"# {Path(manifest['input']['source']).name}, as {options['kind']} cues\n\n"
        f"{what}"
        + (f"; heard through `{condition['name']}`" if condition else "")
        + ". `clips` has one row per word. Its units are the rows `vector_row` to `vector_row + units` of the array "
        f"`{VECTORS}` in the file of `vectors/` with the same name.\n\n"
        "```python\nfrom whisperprobe import ldl\n\n"
        'cues = ldl.open_cues("this folder")\nC = cues.matrix("train", cues.fit("train"))\n```\n'
    )
