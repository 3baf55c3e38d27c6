"""What can be wrong with one part of a row stage's output: found by reading all of it."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from audiogram import sound
from audiogram.corpus import Part
from audiogram.corpus.vectors import DTYPE_CODES
from audiogram.errors import InputError
from whisperprobe.corpora.word_times import wrong_times

__all__ = ["PartCheck", "PartState"]

_BATCH = 64  # rows that are in memory at once
_SIZES = {code: np.dtype(name).itemsize for name, code in DTYPE_CODES.items()}
_ROWS_OF_CLIPS = {
    "log-mel": ("frames",),
    "ldl-cues": ("units",),
}  # where a clip has several rows of vectors: their number
_DAMAGED = (pa.ArrowException, OSError)


@dataclass
class PartState:
    """What was found in one part: what is wrong, how many rows there are, and the clips in brief."""

    part: Part
    problems: list[str] = field(default_factory=list)
    done: bool = True
    rows_out: int = 0
    failed: int = 0
    decoded: int = 0
    clips: np.ndarray[Any, Any] = field(default_factory=lambda: np.empty(0, np.uint64))  # digests of ids
    schemas: dict[str, pa.Schema] = field(default_factory=dict)


@dataclass(frozen=True)
class PartCheck:
    """Checks a part; can be sent to another process.

    Parameters
    ----------
    root : Path
        The output folder.
    manifest : dict
        Its manifest.
    decode : dict of str to frozenset of int, or None
        Rows of each split whose sound is decoded; None is all.
    """

    root: Path
    manifest: dict[str, Any]
    decode: Mapping[str, frozenset[int]] | None

    def __call__(self, part: Part) -> PartState:
        state = PartState(part)
        if not part.failures(self.root).is_file():
            state.done = False
            return state
        failed = self._failures(state)
        kept = self._main(state)
        lost = len(part) - len(kept) - len(failed)
        if lost > 0 and not state.problems:  # where a file cannot be read that is the news
            state.problems.append(
                f"part {part.stem}: {lost} of its {len(part)} clips are neither in the table nor failed."
            )
        elif lost < 0:
            state.problems.append(f"part {part.stem}: {-lost} clips more than the {len(part)} that were planned.")
        both = [id for id in failed if id in kept]
        if both:
            state.problems.append(f"part {part.stem}: {len(both)} clips are in the table and failed, e.g. {both[0]!r}.")
        for table in self.manifest["tables"][1:]:
            self._beside(state, table, kept)
        vectors = self._vectors(state)
        self._rows_of_vectors(state, vectors)
        state.rows_out, state.failed = len(kept), len(failed)
        digests = [hashlib.blake2b(id.encode(), digest_size=8).digest() for id in (*kept, *failed)]
        state.clips = np.frombuffer(b"".join(digests), dtype=np.uint64)
        return state

    def _failures(self, state: PartState) -> list[str]:
        ids: list[str] = []
        for batch in self._batches(state, state.part.failures(self.root)):
            if batch.schema.names != ["id", "error"]:
                state.problems.append(f"{state.part.failures(self.root)} has not the columns id and error.")
                return ids
            ids += batch["id"].to_pylist()
        return ids

    def _main(self, state: PartState) -> dict[str, None]:
        """Ids of the main table, in order; its sound is decoded on the way."""
        table = self.manifest["tables"][0]
        kept: dict[str, None] = {}
        row = state.part.start
        chosen = None if self.decode is None else self.decode.get(state.part.split, frozenset())
        for batch in self._batches(state, state.part.table(self.root, table)):
            state.schemas[table] = batch.schema
            key = next((name for name in ("id", "clip_id") if name in batch.schema.names), None)
            if key is None:
                state.problems.append(f"{state.part.table(self.root, table)} has no column id or clip_id.")
                return kept
            ids = batch[key].to_pylist()
            kept.update(dict.fromkeys(ids))
            wrong = wrong_times(batch) if self.manifest["stage"] == "align" else None
            state.problems += [f"part {state.part.stem}, {wrong}"] if wrong else []
            if "audio" in batch.schema.names and pa.types.is_struct(batch.schema.field("audio").type):
                beside = [name for name in ("text", "seconds") if name in batch.schema.names]
                rest = batch.select(beside).to_pylist() if beside else [{} for _ in ids]
                for id, cell, said in zip(ids, batch["audio"], rest, strict=True):
                    self._sound(state, id, cell.as_py(), said, chosen is None or row in chosen)
                    row += 1
        return kept

    def _sound(
        self, state: PartState, id: str, cell: Mapping[str, Any] | None, said: Mapping[str, Any], decode: bool
    ) -> None:
        data, path = (cell or {}).get("bytes"), (cell or {}).get("path")
        file = self.root / path if data is None and path else None
        extracted = self.manifest["stage"] == "extract"
        try:
            if data is None and file is None:
                raise InputError("the row holds no sound.")
            if file is not None and not file.is_file():
                raise InputError(f"no such sound file: {file}.")
            if extracted and file is not None and said["text"] is not None:
                _check_text(file.with_name(f"{file.name.removesuffix('.wav')}.txt"), said["text"])
            if not decode:
                return
            x, rate = sound.read(data if data is not None else str(file))
            wanted = self.manifest["options"].get("sample_rate")
            if wanted and rate != wanted:
                raise InputError(f"{rate} Hz, not {wanted} Hz.")
            if extracted and len(x) != round(said["seconds"] * rate):
                raise InputError(f"{len(x) / rate:.3f} s of sound are left of {said['seconds']:.3f} s.")
            state.decoded += 1
        except InputError as error:
            state.problems.append(f"part {state.part.stem}, clip {id!r}: {error}")

    def _beside(self, state: PartState, table: str, kept: Mapping[str, None]) -> None:
        strange: set[str] = set()
        for batch in self._batches(state, state.part.table(self.root, table)):
            state.schemas[table] = batch.schema
            if "clip_id" in batch.schema.names:
                strange |= set(batch["clip_id"].to_pylist()) - set(kept)
        if strange:
            state.problems.append(
                f"part {state.part.stem}: table {table!r} has clips that the first has not, e.g. {min(strange)!r}."
            )

    def _batches(self, state: PartState, path: Path) -> Iterator[pa.RecordBatch]:
        """All rows of a table, checksums compared; a file that is not there has none."""
        if not path.is_file():
            return
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                yield from file.iter_batches(batch_size=_BATCH)
        except _DAMAGED as error:
            state.problems.append(f"{path} cannot be read: {' '.join(str(error).split())}")

    def _vectors(self, state: PartState) -> dict[str, tuple[str, list[int]]]:
        """Types and shapes of the part's vectors, whose bytes have been read and compared with their checksums."""
        path = state.part.vectors(self.root)
        if not path.is_file():
            return {}
        try:
            return _checked_vectors(path)
        except (InputError, OSError, KeyError, TypeError, ValueError) as error:
            state.problems.append(f"{path} is damaged: {error}")
            return {}

    def _rows_of_vectors(self, state: PartState, vectors: Mapping[str, tuple[str, list[int]]]) -> None:
        path = state.part.vectors(self.root)
        if any(str(path) in problem for problem in state.problems):
            return
        wanted = self._wanted_vectors(state)
        if wanted is None:
            return
        for name, (kind, shape) in vectors.items():
            rows = wanted["encoder_row" if name == "encoder" else "vector_row"]
            if shape[0] != rows:
                state.problems.append(f"{path}: {name!r} has {shape[0]} rows, the tables ask for {rows}.")
            expected = self.manifest["options"].get("bands")
            if name == "log_mel" and (
                shape[1:] != [expected] or kind != DTYPE_CODES[self.manifest["options"]["dtype"]]
            ):
                state.problems.append(
                    f"{path}: {name!r} is {kind} {shape}, not of {expected} bands as the manifest says."
                )
        if not vectors and any(wanted.values()):
            state.problems.append(f"{path} is missing: the tables ask for {max(wanted.values())} of its rows.")

    def _wanted_vectors(self, state: PartState) -> dict[str, int] | None:
        """How many rows of vectors the tables ask for; None where a table cannot be read."""
        wanted = {"vector_row": 0, "encoder_row": 0}
        for table, schema in state.schemas.items():
            counts = [name for name in _ROWS_OF_CLIPS.get(self.manifest["stage"], ()) if name in schema.names]
            columns = [*(name for name in wanted if name in schema.names), *counts]
            if not set(columns) & set(wanted):
                continue
            try:
                rows = pq.read_table(state.part.table(self.root, table), columns=columns)
            except _DAMAGED:
                return None
            for name in wanted:
                if name in columns and counts:
                    wanted[name] += int(sum(rows[counts[0]].to_pylist()))
                elif name in columns:
                    wanted[name] += len(rows) - rows[name].null_count
        return wanted


def _check_text(file: Path, text: str) -> None:
    try:
        same = file.read_bytes() == f"{text}\n".encode()
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}.") from error
    if not same:
        raise InputError(f"{file} does not hold its text.")


def _checked_vectors(path: Path) -> dict[str, tuple[str, list[int]]]:
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        size = path.stat().st_size
        if not 0 < length <= size - 8:
            raise InputError(f"its header is {length} bytes long, the file {size}.")
        header: dict[str, Any] = json.loads(file.read(length))
        sums = header.pop("__metadata__", {})
        found = {}
        end = 8 + length
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            first, last = (8 + length + offset for offset in entry["data_offsets"])
            if first != end or last - first != _SIZES[entry["dtype"]] * int(np.prod(entry["shape"], dtype=np.int64)):
                raise InputError(f"the bytes of {name!r} do not fit its shape {entry['shape']}.")
            end = last
            found[name] = (str(entry["dtype"]), list(entry["shape"]))
        if end != size:
            raise InputError(f"it is {size} bytes long, its arrays end at {end}.")
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            left, crc = entry["data_offsets"][1] - entry["data_offsets"][0], 0
            while left:
                block = file.read(min(left, 1 << 20))
                crc, left = zlib.crc32(block, crc), left - len(block)
            said = sums.get(f"crc32 {name}")
            if said is not None and said != f"{crc:08x}":
                raise InputError(
                    f"the bytes of {name!r} are not those that were written (checksum {crc:08x}, not {said})."
                )
    return found
