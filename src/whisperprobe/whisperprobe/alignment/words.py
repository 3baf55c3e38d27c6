"""`cut_words`: a corpus of sentences as a corpus of words, cut where an alignment says, as a row stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audiogram.corpus import MAX_SECONDS, Corpus, open_corpus, read_manifest, run_stage
from audiogram.corpus.mask import audio_schema
from audiogram.errors import InputError
from whisperprobe.alignment.word_corpus import Cutting, WordCorpus
from whisperprobe.corpora.clip_sound import check_unfiltered, listening_versions

if TYPE_CHECKING:
    from audiogram.corpus import Clip, Part, PartWriter, SplitRule
    from audiogram.listening import Condition

__all__ = ["STAGE", "cut_words"]

STAGE = "words"
_BITS = {"flac24": 24, "flac16": 16, "wav": 16}


def cut_words(
    source: str | Path | Corpus,
    alignment: str | Path,
    out: str | Path,
    *,
    condition: str | Condition | None = None,
    padding: float = 0.0,
    min_seconds: float = 0.0,
    sample_rate: int = 16_000,
    format: str = "flac24",
    splits: Sequence[str] | None = None,
    max_samples: int | None = None,
    seed: int = 0,
    balance: str | None = None,
    workers: int = 1,
    shard: str | tuple[int, int] | None = None,
    rows_per_part: int = 256,
    max_failures: float = 0.05,
    max_seconds: float = MAX_SECONDS,
    text_pattern: str | None = None,
    text_map: Mapping[Any, str] | None = None,
    split: SplitRule | None = None,
) -> Path:
    """Cut every word out of its sentence and write a corpus of words, which every command takes.

    Sentences are filtered first and cut then: `source` is the filtered corpus, `alignment` that of the unfiltered one,
    whose ids are the same; or the condition is given here. What is cut unfiltered and filtered later, by
    ``audiogram mask`` on the words, hears each word alone, and a loud neighbour masks nothing. The manifest says
    which, under ``order``.

    Parameters
    ----------
    source : path or Corpus
        What `audiogram.corpus.open_corpus` opens.
    alignment : path
        What `align_corpus` has written, of this corpus or of the one that it was filtered from.
    out : path
        Folder to write.
    condition : str or Condition, optional
        What sentences are heard through before words are cut from them; none for a corpus that is filtered already.
    padding : float, default 0.0
        Sound kept around each word, in s, 0 or more; of its neighbours too.
    min_seconds : float, default 0.0
        Shorter words, without padding, are left out.
    sample_rate : int, default 16000
        In Hz, at which sentences are filtered, cut and written.
    format : {"flac24", "flac16", "wav", "wav32f"}
        How the sound is stored.
    splits : sequence of str, optional
        Which splits; default all.
    max_samples : int, optional
        At most so many words of every split, drawn by `seed`.
    seed : int, default 0
        Of that draw.
    balance : str, optional
        A column, or ``text``, whose values get as many of these words as each other, or all that they have.
    workers : int, default 1
        Processes.
    shard : str or (int, int), optional
        ``"I/N"``: only the parts whose number is I modulo N.
    rows_per_part : int, default 256
        Words in one file.
    max_failures : float, default 0.05
        Highest share of failures in a split, 0 to 1.
    max_seconds : float, default 300
        Longest sentence, in s.
    text_pattern, text_map, split
        See `audiogram.corpus.open_corpus`; of the sentences.

    Returns
    -------
    Path
        `out`: a corpus with the columns ``id``, ``audio``, ``text`` (the word), ``source_clip``, ``word_index``,
        ``start``, ``end`` (s, in the source's clip, without padding), ``score``, ``method``, ``utterance`` (the whole
        transcript), then all columns of the source.

    Raises
    ------
    InputError
        A wrong argument, an alignment that is none or of another corpus, a corpus that is filtered already and is to
        be once more, a folder that belongs to another run.
    WorkError
        Too many failures, a full disk; what was written stays.
    StoppedError
        A signal asked to stop.
    """
    from audiogram import sound
    from audiogram.listening import as_condition

    for name, value in (("padding", padding), ("min_seconds", min_seconds)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < np.inf:
            raise InputError(f"{name} is {value!r}; a length in s, 0 or more.")
    sound.encode(np.zeros(16, np.float32), sample_rate, format)  # refuses a wrong format or rate before any work
    sentences = open_corpus(source, text_pattern=text_pattern, text_map=text_map, split=split)
    hearing = None if condition is None else as_condition(condition)
    check_unfiltered(sentences, hearing)
    masked = (sentences.manifest or {}).get("condition")
    cutting = Cutting(sample_rate, hearing, float(padding), max_seconds)
    corpus = Corpus(WordCorpus(sentences, alignment, cutting, min_seconds))
    said = sentences.describe()
    aligned = read_manifest(alignment)
    run_stage(
        STAGE,
        options={
            "sample_rate": sample_rate,
            "format": format,
            "padding": float(padding),
            "min_seconds": float(min_seconds),
            "max_seconds": max_seconds,
        },
        corpus=corpus.sample(max_samples, seed, balance),
        outs=[Path(out)],
        work=_Work(sample_rate, format),
        schemas={"data": audio_schema(corpus, sample_rate)},
        rows_per_part=rows_per_part,
        shard=shard,
        workers=workers,
        splits=splits,
        max_failures=max_failures,
        extra_manifest={
            "condition": masked if hearing is None else hearing.to_dict(),
            "order": "cut" if masked is None and hearing is None else "condition, then cut",
            "alignment": {
                "path": str(alignment),
                "method": aligned["options"]["method"],
                "condition": (aligned["input"].get("upstream") or {}).get("condition"),
            },
            "sentences": {name: said[name] for name in ("kind", "rows", "text_pattern", "text_map", "view")},
        },
        versions=listening_versions(hearing),
        readme=_card,
        label=f"cutting words of {Path(out).name}",
    )
    return Path(out)


@dataclass(frozen=True)
class _Work:
    """Writes the words of one part."""

    sample_rate: int
    format: str

    def __call__(self, part: Part, clips: Iterable[Clip], writer: PartWriter) -> None:
        for clip in clips:
            try:
                encoded = self._encoded(clip)
            except InputError as error:
                writer.fail(clip.id, error)
                continue
            name = clip.id + (".flac" if self.format.startswith("flac") else ".wav")
            row = {"id": clip.id, "audio": {"bytes": encoded, "path": name}, "text": clip.text, **clip.metadata}
            writer.add("data", [row])

    def _encoded(self, clip: Clip) -> bytes:
        from audiogram import sound

        x, _ = clip.audio()
        peak, bits = float(np.abs(x).max()), _BITS.get(self.format)
        if bits is not None and peak > 1 + 1e-6:
            raise InputError(
                f"peaks at {peak:.3g} of full scale, which {self.format} would clip. Use --format wav32f, or a "
                "condition that normalises."
            )
        if bits is not None and 0 < peak <= 0.5**bits:
            raise InputError(
                f"would become silence: it peaks at {peak:.3g} of full scale, below half of the last of {bits} bits. "
                "Use --format wav32f, or a condition that normalises."
            )
        return sound.encode(x, self.sample_rate, self.format)


def _card(manifest: Mapping[str, Any]) -> str:
    options, condition = manifest["options"], manifest["condition"]
    if condition:
        order = f"Sentences were heard through `{condition['name']}` first, then words were cut from them."
    else:
        order = (
            "Words were cut from unfiltered sentences. A condition that is applied to this corpus comes after the "
            "cutting and hears every word alone."
        )
    around = f", with {options['padding']:g} s around each" if options["padding"] else ""
    return (
        f"# {Path(manifest['input']['source']).name}, word by word\n\n"
        f"Every aligned word of the source (alignment: {manifest['alignment']['method']}), at {options['sample_rate']} "
        f"Hz, stored as {options['format']}{around}. {order}\n\n"
        "`text` is the word, `utterance` the whole transcript, `source_clip` the clip that it was cut from, `start` "
        "and `end` where, in seconds.\n\n"
        "```python\nimport datasets\nfrom audiogram.corpus import open_corpus\n\n"
        'datasets.load_dataset("this folder")\nopen_corpus("this folder")\n```\n'
    )
