"""`open_log_mel`: log-mels on disk, padded when they are asked for; what `finetune` and other trainers read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from audiogram.corpus import is_complete, read_manifest, stage_parts
from audiogram.corpus.selection import draw
from audiogram.errors import InputError
from whisperprobe.arrays import PartedArray
from whisperprobe.corpora.log_mel_corpus import COLUMNS, STAGE
from whisperprobe.corpora.parted_rows import read_split
from whisperprobe.features import WindowSpec

if TYPE_CHECKING:
    import torch

__all__ = ["LogMels", "is_log_mel", "open_log_mel"]


def is_log_mel(source: Any) -> bool:
    """Whether `source` is a folder that `write_log_mel` has written, or one that is open."""
    if isinstance(source, LogMels):
        return True
    if not isinstance(source, str | Path) or not str(source).strip() or not (Path(source) / "manifest.json").is_file():
        return False
    return bool(read_manifest(source)["stage"] == STAGE)


def open_log_mel(source: str | Path | LogMels) -> LogMels:
    """Open a folder that `write_log_mel` has written.

    Parameters
    ----------
    source : path or LogMels
        The folder.

    Returns
    -------
    LogMels

    Raises
    ------
    InputError
        It is another folder, or unfinished.
    """
    if isinstance(source, LogMels):
        return source
    manifest = read_manifest(source)
    if manifest["stage"] != STAGE:
        raise InputError(f"{source} is the output of {manifest['stage']!r}, not of logmel. Check the path.")
    if not is_complete(source):
        raise InputError(f"{source} is not finished. Start its command again first: whisperprobe logmel.")
    return LogMels(Path(source), manifest)


class LogMels:
    """Log-mel spectrograms in splits, mapped into memory. Made by `open_log_mel`.

    Attributes
    ----------
    root : Path
        The folder.
    manifest : dict
        What the stage says about itself.
    window : WindowSpec
        Of the model that they are for.
    """

    def __init__(self, root: Path, manifest: dict[str, Any], sample: tuple[int, int] | None = None) -> None:
        self.root, self.manifest, self._sample = root, manifest, sample
        options = manifest["options"]
        self.window = WindowSpec(n_mels=options["bands"], n_frames=options["window_frames"])
        self._tables: dict[str, pa.Table] = {}
        self._frames: dict[str, PartedArray] = {}

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, empty ones included."""
        return tuple(self.manifest["plan"]["rows"])

    def table(self, split: str) -> pa.Table:
        """Return the columns of `clips` but the source's, in the input's order; `vector_row` counts over all parts."""
        if split not in self.splits:
            raise InputError(f"the log-mels have no split {split!r}; they have {', '.join(self.splits)}.")
        if split not in self._tables:
            whole, frames = read_split(self.root, split, "log_mel", COLUMNS, COLUMNS.names)
            if self._sample is not None:
                whole = whole.take(draw(whole["id"].to_pylist(), self._sample[0], self._sample[1], "sample"))
            self._tables[split], self._frames[split] = whole, frames
        return self._tables[split]

    def count(self, split: str) -> int:
        """Return the number of clips of a split."""
        return len(self.table(split))

    def ids(self, split: str) -> list[str]:
        """Return the ids of a split, in order."""
        return list(self.table(split)["id"].to_pylist())

    def rows(self, split: str) -> list[dict[str, Any]]:
        """Return id and text of every clip."""
        return list(self.table(split).select(["id", "text"]).to_pylist())

    def sample(self, max_samples: int | None, seed: int = 0) -> LogMels:
        """Return a view with at most `max_samples` clips of every split, drawn as `Corpus.sample` draws them."""
        if max_samples is None:
            return self
        if max_samples < 1:
            raise InputError(f"--max-samples {max_samples}: at least 1.")
        return LogMels(self.root, self.manifest, (max_samples, seed))

    def features(self, split: str, indices: Sequence[int]) -> torch.Tensor:
        """Return padded log-mels.

        Parameters
        ----------
        split : str
            Which split.
        indices : sequence of int
            Clips, counted in the order of `table`.

        Returns
        -------
        torch.Tensor
            float32, shape `(clips, bands, frames)`, as `log_mel` gives it.
        """
        import torch

        out = torch.empty((len(indices), self.window.n_mels, self.window.n_frames), dtype=torch.float32)
        for spectrum, kept, padding in zip(out, *self.heard(split, indices), strict=True):
            spectrum[:, : len(kept)] = torch.from_numpy(kept.astype(np.float32)).T
            spectrum[:, len(kept) :] = padding
        return out

    def heard(self, split: str, indices: Sequence[int]) -> tuple[list[np.ndarray[Any, Any]], list[float]]:
        """Return log-mels as they are stored.

        Parameters
        ----------
        split : str
            Which split.
        indices : sequence of int
            Clips, counted in the order of `table`.

        Returns
        -------
        list of ndarray, each of shape (frames, bands)
            Only the frames that see some of the clip's sound.
        list of float
            What all later frames of each clip's window hold.
        """
        table = self.table(split).select(["frames", "padding", "vector_row"]).take(pa.array(indices, pa.int64()))
        rows = table.to_pylist()
        found = self._frames[split]
        kept = [found[row["vector_row"] : row["vector_row"] + row["frames"]] for row in rows]
        return kept, [row["padding"] for row in rows]

    def padded(self, split: str) -> Padded:
        """Return a split as a sequence that `transformers.Seq2SeqTrainer` takes, shuffled by the stage's seed."""
        return Padded(self, split)

    def describe(self) -> dict[str, Any]:
        """Return what a run says about its corpus, JSON-able."""
        view = [] if self._sample is None else [{"max_samples": self._sample[0], "seed": self._sample[1]}]
        return {
            "source": str(self.root),
            "kind": STAGE,
            "fingerprint": self._fingerprint,
            "view": view,
            "upstream": self.manifest,
        }

    def fingerprint(self) -> str:
        """Return a digest of the manifest, the clips' tables and the extent of the vectors."""
        said = {key: value for key, value in self.describe().items() if key not in ("source", "upstream")}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256(json.dumps(self.manifest, sort_keys=True).encode())
        for part in stage_parts(self.root):
            path = part.table(self.root, "clips")
            if path.is_file():
                with open(path, "rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
                digest.update(str(part.vectors(self.root).stat().st_size).encode())
        return digest.hexdigest()


class Padded(Sequence[dict[str, Any]]):
    """Clips of a split as a trainer takes them, in an order drawn by the stage's seed.

    Each is a dict: `id`, `text`, `input_features` (torch, float32, `(bands, frames)`), `labels` (token ids, or None).
    """

    def __init__(self, log_mels: LogMels, split: str) -> None:
        self._log_mels, self._split = log_mels, split
        self._table = log_mels.table(split).select(["id", "text", "labels"])
        ids = self._table["id"].to_pylist()
        seed = log_mels.manifest["options"]["shuffle_seed"]
        lots = [hashlib.blake2b(f"{seed}\0shuffle\0{id}".encode(), digest_size=16).digest() for id in ids]
        self.order = sorted(range(len(ids)), key=lots.__getitem__)

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        row = self.order[index]
        return {
            **self._table.slice(row, 1).to_pylist()[0],
            "input_features": self._log_mels.features(self._split, [row])[0],
        }

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[i] for i in range(len(self)))
