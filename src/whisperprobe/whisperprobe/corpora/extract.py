"""`extract_corpus`: a corpus as pairs of files, `{id}.wav` and `{id}.txt`, for aligners; a row stage."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from audiogram import sound
from audiogram.corpus import open_corpus, run_stage
from audiogram.corpus.files import cannot_write, fsync_folder
from audiogram.errors import InputError
from whisperprobe.corpora.columns import beside
from whisperprobe.corpora.file_names import file_paths, safe_path

if TYPE_CHECKING:
    from audiogram.corpus import Clip, Corpus, Part, PartWriter, SplitRule

__all__ = ["extract_corpus"]


def extract_corpus(
    source: str | Path | Corpus,
    out: str | Path,
    *,
    sample_rate: int | None = 16_000,
    splits: Sequence[str] | None = None,
    max_samples: int | None = None,
    seed: int = 0,
    workers: int = 1,
    shard: str | tuple[int, int] | None = None,
    rows_per_part: int = 256,
    max_failures: float = 0.05,
    text_pattern: str | None = None,
    text_map: Mapping[Any, str] | None = None,
    split: SplitRule | None = None,
) -> Path:
    """Write every clip as a WAV file, and its text, where it has one, as a text file beside it.

    The folders of an id are kept: the clip ``anna/yes`` becomes ``anna/yes.wav`` and ``anna/yes.txt``. A clip whose id
    is no safe name gets one that is made from it; ``data/`` lists every clip with its files and all columns of the
    source, so that `out` is a corpus for every other command.

    Parameters
    ----------
    source : path or Corpus
        What `audiogram.corpus.open_corpus` opens.
    out : path
        Folder to write.
    sample_rate : int or None, default 16000
        In Hz; None keeps each clip's own.
    splits : sequence of str, optional
        Which splits; default all.
    max_samples : int, optional
        At most so many clips of every split, drawn by `seed`.
    seed : int, default 0
        Of that draw.
    workers : int, default 1
        Processes.
    shard : str or (int, int), optional
        ``"I/N"``: only the parts whose number is I modulo N.
    rows_per_part : int, default 256
        How many clips are redone at most after an interruption, per worker.
    max_failures : float, default 0.05
        Highest share of failures in a split, 0 to 1.
    text_pattern, text_map, split
        See `audiogram.corpus.open_corpus`.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    InputError
        A wrong argument, or a folder that belongs to another run.
    WorkError
        Too many failures, a full disk; what was written stays.
    StoppedError
        A signal asked to stop.
    """
    corpus = open_corpus(source, text_pattern=text_pattern, text_map=text_map, split=split)
    corpus = corpus.sample(max_samples, seed)
    if sample_rate is not None:
        sound.encode(np.zeros(16, np.float32), sample_rate, "wav")  # refuses a wrong rate before any work
    kinds = corpus.schema()
    audio = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    own = pa.schema(
        [
            ("id", pa.string()),
            ("audio", audio),
            ("text", pa.string()),
            ("seconds", pa.float64()),
            ("gain", pa.float64()),
        ]
    )
    names = beside(own.names, corpus.columns)
    schema = pa.schema([*own, *(pa.field(new, kinds.field(old).type) for old, new in names.items())])
    wanted = [split for split in corpus.splits if splits is None or split in splits]
    paths = file_paths(id for split in wanted for id in corpus.ids(split))
    run_stage(
        "extract",
        options={"sample_rate": sample_rate},
        corpus=corpus,
        outs=[Path(out)],
        work=_Work(Path(out), sample_rate, names, dict(paths)),
        schemas={"data": schema},
        rows_per_part=rows_per_part,
        shard=shard,
        workers=workers,
        splits=splits,
        max_failures=max_failures,
        readme=_card,
        label=f"extracting to {Path(out).name}",
    )
    return Path(out)


@dataclass
class _Work:
    """Writes the files of one part under dot-names, and gives all of them their names at its end."""

    out: Path
    sample_rate: int | None
    names: Mapping[str, str]
    paths: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, part: Part, clips: Iterable[Clip], writer: PartWriter) -> None:
        with _files(part.stem) as files:
            for clip in clips:
                try:
                    x, rate, gain = self._sound(clip)
                except InputError as error:
                    writer.fail(clip.id, error)
                    continue
                name = self.paths.get(clip.id) or safe_path(clip.id)
                files.write(self.out / f"{name}.wav", sound.encode(x, rate, "wav"))
                if clip.text is not None:
                    files.write(self.out / f"{name}.txt", f"{clip.text}\n".encode())
                row = {
                    "id": clip.id,
                    "audio": {"bytes": None, "path": f"{name}.wav"},
                    "text": clip.text,
                    "seconds": len(x) / rate,
                    "gain": gain,
                }
                writer.add("data", [row | {new: clip.metadata.get(old) for old, new in self.names.items()}])

    def _sound(self, clip: Clip) -> tuple[np.ndarray[Any, Any], int, float]:
        x, rate = clip.audio()
        if self.sample_rate is not None:
            x, rate = sound.resample(x, rate, self.sample_rate), self.sample_rate
        # MP3 and resampling overshoot full scale, which 16 bits cannot hold: such a clip is turned down as a whole.
        peak = float(np.abs(x).max())
        gain = 1.0 if peak <= 1 else 1 / peak
        return (x if gain == 1 else (x * np.float32(gain)).clip(-1, 1)), rate, gain


class _Files:
    """Files under dot-names that follow from their own, so that a second attempt at a part finds and replaces them."""

    def __init__(self, stem: str) -> None:
        self._stem, self._written = stem, list[Path]()

    def _temporary(self, path: Path) -> Path:
        return path.with_name(f".{path.name}.{self._stem}.tmp")

    def write(self, path: Path, content: bytes) -> None:
        self._written.append(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._temporary(path), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise cannot_write(path, error) from error

    def publish(self) -> None:
        for path in self._written:
            try:
                os.replace(self._temporary(path), path)
            except OSError as error:
                raise cannot_write(path, error) from error
        for folder in {path.parent for path in self._written}:
            fsync_folder(folder)

    def drop(self) -> None:
        for path in self._written:
            with contextlib.suppress(OSError):  # its folder could not even be made
                self._temporary(path).unlink(missing_ok=True)


@contextlib.contextmanager
def _files(stem: str) -> Iterator[_Files]:
    files = _Files(stem)
    try:
        yield files
        files.publish()
    finally:
        files.drop()


def _card(manifest: Mapping[str, Any]) -> str:
    rate = manifest["options"]["sample_rate"]
    return (
        f"# {Path(manifest['input']['source']).name}, as files\n\n"
        f"A 16-bit WAV file{f' at {rate} Hz' if rate else ''} and a text file for every clip; `data/` lists them with "
        "all columns of the source. `gain` is what a clip was multiplied with to stay within full scale: 1 for most.\n"
    )
