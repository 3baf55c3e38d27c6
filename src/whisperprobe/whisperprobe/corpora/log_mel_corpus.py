"""`write_log_mel`: corpora as the log-mel spectrograms that a Whisper model hears, with its labels, as a row stage.

Only the frames that see sound are kept; all behind them have one value, which is kept beside them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from audiogram.corpus import is_complete, open_corpus, run_stage
from audiogram.errors import InputError, unknown_name
from audiogram.listening import as_condition
from whisperprobe.corpora.clip_sound import check_unfiltered, heard_sound, listening_versions
from whisperprobe.corpora.columns import beside
from whisperprobe.devices import chosen_device
from whisperprobe.features import WindowSpec, heard_frames, log_mel

if TYPE_CHECKING:
    from audiogram.corpus import Clip, Corpus, Part, PartWriter, SplitRule
    from audiogram.listening import Condition
    from whisperprobe.labels import Labels

__all__ = ["COLUMNS", "DTYPES", "STAGE", "write_log_mel"]

STAGE = "log-mel"
DTYPES = ("float16", "float32")
COLUMNS = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("labels", pa.list_(pa.int32())),
        ("samples", pa.int64()),
        ("frames", pa.int32()),
        ("padding", pa.float32()),
        ("vector_row", pa.int64()),
    ]
)
_BATCH = 32  # clips that are transformed together
_log = logging.getLogger("whisperprobe")


def write_log_mel(
    sources: str | Path | Corpus | Sequence[str | Path | Corpus],
    out: str | Path,
    *,
    model: str | Path = "openai/whisper-large-v3",
    condition: str | Condition | None = None,
    dtype: str = "float16",
    labels: bool = True,
    language: str = "en",
    task: str = "transcribe",
    leading_space: bool = False,
    splits: Sequence[str] | None = None,
    max_samples: int | None = None,
    seed: int = 42,
    skip_existing: bool = False,
    workers: int = 1,
    shard: str | tuple[int, int] | None = None,
    device: str = "auto",
    rows_per_part: int = 256,
    max_failures: float = 0.05,
    text_pattern: str | None = None,
    text_map: Mapping[Any, str] | None = None,
    split: SplitRule | None = None,
) -> list[Path]:
    """Write corpora as log-mel spectrograms and labels; `finetune` takes what it writes, `open_log_mel` opens it.

    Parameters
    ----------
    sources : path or Corpus, or a sequence of them
        What `audiogram.corpus.open_corpus` opens.
    out : path
        Folder to write. With several sources each gets a folder of its own name in it.
    model : path or hub name, default "openai/whisper-large-v3"
        Whose bands (80 or 128), window and tokenizer. The shapes of OpenAI's checkpoints are known without a network,
        their tokenizers are not.
    condition : str or Condition, optional
        What the clips are heard through, applied on the fly at the model's rate.
    dtype : {"float16", "float32"}
        Of what is stored: within 1e-3 and 1e-4 of `transformers.WhisperFeatureExtractor`.
    labels : bool, default True
        Whether texts are tokenised. `finetune` makes labels from the texts where there are none for its model.
    language, task : str
        Of the labels' prompt.
    leading_space : bool, default False
        Whether texts are learnt with a space before them.
    splits : sequence of str, optional
        Which splits; default all.
    max_samples : int, optional
        At most so many clips of every split, drawn by `seed`.
    seed : int, default 42
        Of that draw, and of the order in which `open_log_mel` hands clips out. On disk they keep the input's order.
    skip_existing : bool, default False
        Leave finished folders as they are, even where they were made from something else.
    workers : int, default 1
        Processes.
    shard : str or (int, int), optional
        ``"I/N"``: only the parts whose number is I modulo N.
    device : str, default "auto"
        Where to compute: a GPU where there is one.
    rows_per_part : int, default 256
        Clips in one file.
    max_failures : float, default 0.05
        Highest share of failures in a split, 0 to 1.
    text_pattern, text_map, split
        See `audiogram.corpus.open_corpus`.

    Returns
    -------
    list of Path
        The folder of each source.

    Raises
    ------
    InputError
        A wrong argument, a tokenizer that cannot be had, a corpus that is filtered already and is to be once more,
        sources of one name, a folder that belongs to another run.
    WorkError
        Too many failures, a full disk; what was written stays.
    StoppedError
        A signal asked to stop.
    """
    if dtype not in DTYPES:
        raise unknown_name("dtype", dtype, DTYPES)
    if isinstance(sources, str | Path) or not isinstance(sources, Sequence):
        sources = [sources]
    corpora = [open_corpus(s, text_pattern=text_pattern, text_map=text_map, split=split) for s in sources]
    folders = _folders(corpora, Path(out))
    hearing = None if condition is None else as_condition(condition)
    for corpus in corpora:
        check_unfiltered(corpus, hearing)
    existing = [folder for folder in folders if skip_existing and is_complete(folder)]
    if len(existing) == len(folders):
        return folders
    window, where = WindowSpec.of(model), chosen_device(device)
    speak = _labels(model, language, task, leading_space) if labels else None
    for corpus, folder in zip(corpora, folders, strict=True):
        if folder in existing:
            _log.info("%s is finished and left as it is.", folder)
            continue
        masked = (corpus.manifest or {}).get("condition")
        names = beside(COLUMNS.names, corpus.columns)
        kinds = corpus.schema()
        fields = [pa.field(new, kinds.field(old).type) for old, new in names.items()]
        run_stage(
            STAGE,
            options={
                "bands": window.n_mels,
                "window_frames": window.n_frames,
                "sample_rate": window.sample_rate,
                "dtype": dtype,
                "labels": None if speak is None else speak.describe(),
                "language": language,
                "task": task,
                "on_the_fly": hearing is not None,
                "shuffle_seed": seed,
            },
            corpus=corpus.sample(max_samples, seed),
            outs=[folder],
            work=_Work(window, hearing, np.dtype(dtype), speak, names, where, workers > 1),
            schemas={"clips": pa.schema([*COLUMNS, *fields])},
            rows_per_part=rows_per_part,
            shard=shard,
            workers=workers,
            splits=splits,
            max_failures=max_failures,
            extra_manifest={"condition": masked if hearing is None else hearing.to_dict()},
            versions=listening_versions(hearing),
            readme=_card,
            label=f"log-mel of {folder.name}",
        )
    return folders


def _folders(corpora: Sequence[Corpus], out: Path) -> list[Path]:
    if not str(out).strip() or not corpora:
        raise InputError("logmel needs at least one source and an output folder.")
    if len(corpora) == 1:
        return [out]
    names = [corpus.root.resolve().name.removesuffix(".parquet") for corpus in corpora]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"two sources are called {twice!r}, and each is to get a folder of its name in {out}. Rename one, or write "
            "them in two calls."
        )
    return [out / name for name in names]


def _labels(model: str | Path, language: str, task: str, leading_space: bool) -> Labels:
    """How the model's tokenizer makes labels."""
    from transformers import GenerationConfig, WhisperConfig, WhisperTokenizer

    from whisperprobe.labels import Labels, prompt_ids

    try:
        tokenizer = WhisperTokenizer.from_pretrained(str(model))
        generation = GenerationConfig.from_pretrained(str(model))
        longest = WhisperConfig.from_pretrained(str(model)).max_target_positions
    except (OSError, ValueError, TypeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(
            f"the tokenizer of {str(model)!r} cannot be had: {reason} Give --model a folder with the model's tokenizer "
            "and generation_config.json, or --no-labels: finetune makes labels from the texts."
        ) from error
    prompt = prompt_ids(tokenizer, generation, language=language, task=task)
    return Labels(tokenizer, tuple(prompt), longest, leading_space=leading_space)


@dataclass
class _Work:
    """Log-mels of the clips of one part, batch by batch; no batch reaches over a part, so a part is redone alike."""

    window: WindowSpec
    condition: Condition | None
    dtype: np.dtype[Any]
    labels: Labels | None
    names: Mapping[str, str]
    device: str
    alone: bool  # in a process beside others, which are the parallelism

    def __call__(self, part: Part, clips: Iterable[Clip], writer: PartWriter) -> None:
        import torch

        if self.alone:
            torch.set_num_threads(1)
        written = 0
        ready: list[tuple[Clip, np.ndarray[Any, Any]]] = []
        for clip in clips:
            try:
                ready.append((clip, heard_sound(clip, self.window, self.condition)))
            except InputError as error:
                writer.fail(clip.id, error)
            if len(ready) == _BATCH:
                written += self._write(ready, writer, written)
                ready = []
        if ready:
            self._write(ready, writer, written)

    def _write(self, ready: Sequence[tuple[Clip, np.ndarray[Any, Any]]], writer: PartWriter, first: int) -> int:
        spectra = log_mel([x for _, x in ready], self.window, device=self.device).cpu().numpy()
        kept: list[np.ndarray[Any, Any]] = []
        for (clip, x), spectrum in zip(ready, spectra, strict=True):
            frames = heard_frames(len(x), self.window)
            spoken = (clip.text or "").strip()
            row = {
                "id": clip.id,
                "text": clip.text,
                "labels": self.labels(spoken) if self.labels is not None and spoken else None,
                "samples": len(x),
                "frames": frames,
                "padding": float(spectrum[-1, -1]),
                "vector_row": first + sum(len(one) for one in kept),
            }
            row.update({new: clip.metadata.get(old) for old, new in self.names.items()})
            writer.add("clips", [row])
            kept.append(spectrum[:, :frames].T)
        vectors = np.concatenate(kept).astype(self.dtype)
        writer.add_vectors({"log_mel": vectors})
        return len(vectors)


def _card(manifest: Mapping[str, Any]) -> str:
    options, condition = manifest["options"], manifest["condition"]
    return (
        f"# {Path(manifest['input']['source']).name}, as log-mel spectrograms\n\n"
        f"{options['bands']} bands, {options['dtype']}, for windows of {options['window_frames'] / 100:g} s"
        + (f"; heard through `{condition['name']}`" if condition else "")
        + ". `clips` has one row per clip. Its frames are the rows `vector_row` to `vector_row + frames` of the array "
        "`log_mel` in the file of `vectors/` with the same name; all later frames of the window are `padding`.\n\n"
        "```python\nfrom whisperprobe import open_log_mel\n\n"
        'open_log_mel("this folder").padded("train")[0]\n```\n'
    )
