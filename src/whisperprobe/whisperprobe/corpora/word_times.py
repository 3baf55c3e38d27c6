"""What alignments, and words that were cut by them, are told apart and checked by."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import pyarrow as pa

from audiogram.corpus import read_manifest, stage_parts

__all__ = ["words_fingerprint", "wrong_times"]


def words_fingerprint(source: str, alignment: str | Path) -> str:
    """Digest of a source, whose fingerprint is given, and of an alignment: its manifest and its words."""
    root, digest = Path(alignment), hashlib.sha256(source.encode())
    manifest = read_manifest(root)
    digest.update(json.dumps(manifest, sort_keys=True).encode())
    for part in stage_parts(root):
        file = part.table(root, manifest["tables"][0])
        if file.is_file():
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def wrong_times(rows: pa.RecordBatch) -> str | None:
    """Say which word of some rows has impossible times, or none: each begins where the last ended, and ends later."""
    ids, starts, ends = (rows[name].to_pylist() for name in ("clip_id", "start", "end"))
    for i, (id, start, end) in enumerate(zip(ids, starts, ends, strict=True)):
        before = ends[i - 1] if i and ids[i - 1] == id else start
        if not (0 <= start <= end < math.inf and abs(start - before) < 1e-6):
            return f"clip {id!r}: a word from {start} to {end} s does not follow on {before} s."
    return None
