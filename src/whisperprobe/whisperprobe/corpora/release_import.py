"""A release of Common Voice as a Parquet corpus: the row stage `import`, from the extracted folder or the archive."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from audiogram.console import Progress, stop_on_signals
from audiogram.corpus import Corpus, Part, PartWriter, StageReport, is_complete, open_corpus, plan_parts, run_stage
from audiogram.corpus.clips import Clip
from audiogram.corpus.common_voice import CommonVoice, ReleaseReader, empty_clip, find_release
from audiogram.corpus.files import lock
from audiogram.corpus.layout import MANIFEST
from audiogram.corpus.manifest import read_manifest
from audiogram.corpus.naming import TextRule
from audiogram.errors import InputError, WorkError
from whisperprobe.corpora.release_archive import Advance, Listing, list_archive
from whisperprobe.corpora.spool import Spool, load_clips

__all__ = ["import_release"]

STAGE = "import"
_WORK = ".import"  # in the output folder, while an archive is read
_OVERLAPPING = ("train", "validation", "test")
_log = logging.getLogger("whisperprobe.corpora")


def import_release(
    release: str | Path,
    out: str | Path,
    *,
    splits: Sequence[str] | None = None,
    max_samples: int | None = None,
    seed: int = 0,
    workers: int = 1,
    shard: str | tuple[int, int] | None = None,
    rows_per_part: int = 1024,
    max_failures: float = 0.05,
    spool_gb: float = 32.0,
) -> StageReport:
    """Write a release of Common Voice as a Parquet corpus, which `open_corpus` and `datasets.load_dataset` read.

    The clips' bytes stay as they are (MP3); every column is kept. A clip that is missing, empty or no sound, and a row
    that is damaged, is a row of ``failures`` with the reason. The archive and its extracted folder give the same bytes
    in ``data`` and ``failures``.

    An archive is never extracted. It is read once for its tables and to make sure that it is whole, then once for every
    `spool_gb` of clips, which wait in the output folder for their turn: a gzipped file can be read only from its
    beginning, and has its clips in another order than the tables. The disk holds, at most, the corpus and `spool_gb`.

    Parameters
    ----------
    release : path
        The ``{locale}`` folder of an extracted release, a folder above it, or the archive (``.tar.gz`` or ``.tar``).
    out : path
        Output folder.
    splits : sequence of str, optional
        Of train, validation (or dev), test, validated, invalidated, other; default all that the release has.
        ``validated`` holds the clips of the first three once more.
    max_samples : int, optional
        At most so many clips of every split, drawn by `seed`.
    seed : int, default 0
        Seed of `max_samples`.
    workers : int, default 1
        Processes; an archive takes one.
    shard : str or (int, int), optional
        ``"I/N"``: only the parts whose number is I modulo N; not for an archive.
    rows_per_part : int, default 1024
        Clips in one file, at least 1.
    max_failures : float, default 0.05
        Highest share of failures in a split, 0 to 1.
    spool_gb : float, default 32
        Clips of an archive that wait on disk at most, in 10^9 bytes, above 0. Less takes more passes.

    Returns
    -------
    StageReport

    Raises
    ------
    InputError
        No release there, a damaged or malicious archive, a wrong argument, a folder that belongs to another run.
    WorkError
        Too many failures, a full disk, another process at the same work; what was written stays.
    StoppedError
        A signal asked to stop; the same call goes on.
    """
    source, target = Path(release), Path(out)
    if not source.exists() or not str(release).strip():
        raise InputError(f"{str(release)!r} does not exist. Give the archive of a release or its extracted folder.")
    names = None if splits is None else list(dict.fromkeys("validation" if s == "dev" else s for s in splits))
    options = {"rows_per_part": rows_per_part, "splits": names, "max_failures": max_failures}
    if source.is_dir():
        found = find_release(source)
        if found is None:
            raise InputError(
                f"{source} is not an extracted release of Common Voice: no folder clips with tables such as train.tsv "
                "beside it, here or below cv-corpus-.../LOCALE. Give that folder, or the archive."
            )
        corpus = open_corpus(found).sample(max_samples, seed)
        _tell_overlap(corpus, names)
        return _run(corpus, target, {**options, "workers": workers, "shard": shard})
    if workers != 1 or shard is not None:
        raise InputError(
            "an archive is read by one process, from its beginning; leave --workers and --shard out, or extract it."
        )
    if not spool_gb > 0:
        raise InputError(f"--spool-gb {spool_gb}: above 0; 32 is 32 GB of clips.")
    _check_target(target)
    with _only_one(target / _WORK), stop_on_signals():
        try:
            return _from_archive(source, target, options, max_samples, seed, int(spool_gb * 1e9))
        finally:
            if is_complete(target):
                shutil.rmtree(target / _WORK, ignore_errors=True)


def _from_archive(
    source: Path, target: Path, options: dict[str, Any], max_samples: int | None, seed: int, limit: int
) -> StageReport:
    with _passing_over(source, "checking the archive") as advance:
        listing = list_archive(source, target / _WORK / "listing", advance)
    backend = _ArchivedRelease(source, target / _WORK / "listing", listing)
    corpus = Corpus(backend).sample(max_samples, seed)
    names = options["splits"]
    _tell_overlap(corpus, names)
    rows = {s: corpus.count(s) for s in corpus.splits if names is None or s in names}
    todo = [p for p in plan_parts(rows, options["rows_per_part"]) if not p.done([target])]
    readers = [corpus.reader(part.split, part.start, part.stop) for part in todo]
    bases = [reader.base for reader in readers if isinstance(reader, _ArchivedReader)]
    backend.spool = Spool(source, listing, target / _WORK / "clips", bases, limit)
    try:
        if todo:
            with _passing_over(source, "collecting clips") as advance:
                backend.spool.fill(advance=advance)
        return _run(corpus, target, options)
    finally:
        backend.spool.clear()


def _run(corpus: Corpus, target: Path, options: Mapping[str, Any]) -> StageReport:
    return run_stage(
        STAGE,
        options={"audio": "original"},
        corpus=corpus,
        outs=[target],
        work=_keep,
        schemas={"data": _schema(corpus)},
        readme=_card,
        label="importing",
        **options,
    )


class _ArchivedRelease(CommonVoice):
    """A release in an archive: its tables are in a folder, its clips come from a spool."""

    def __init__(self, archive: Path, tables: Path, listing: Listing) -> None:
        super().__init__(archive, TextRule(), tables=tables)
        self._listing = listing
        self.spool: Spool | None = None

    def reader(self, split: str, indices: Sequence[int], name: str) -> _ArchivedReader:  # type: ignore[override]
        return _ArchivedReader(super().reader(split, indices, name), self)

    def records(self, split: str, indices: Sequence[int]) -> Iterator[dict[str, Any]]:
        for row in super().reader(split, indices, split).rows():
            yield {"id": row.id, "text": row.text, **row.columns}

    def clip_names(self) -> list[str]:
        return self._listing.clips


class _ArchivedReader:
    """Clips of one part of an archived release, in the order of its table."""

    def __init__(self, base: ReleaseReader, release: _ArchivedRelease) -> None:
        self.base, self._release = base, release

    def __iter__(self) -> Iterator[Clip]:
        assert self._release.spool is not None
        return _clips(self.base, self._release.spool.clips(self.base))

    def __reduce__(self) -> tuple[Any, ...]:
        assert self._release.spool is not None
        return _SpooledReader, (self.base, self._release.spool.file_of(self.base))

    def check_source(self) -> None:
        """Clips come from files in the output folder: nothing of the source can have gone."""


class _SpooledReader:
    """What an `_ArchivedReader` is in another process: it only reads what lies there for it."""

    def __init__(self, base: ReleaseReader, path: Path) -> None:
        self._base, self._path = base, path

    def __iter__(self) -> Iterator[Clip]:
        return _clips(self._base, load_clips(self._path))


def _clips(base: ReleaseReader, stored: Mapping[str, bytes]) -> Iterator[Clip]:
    for row in base.rows():
        data, problem = None, row.problem
        if problem is None:
            data = stored.get(row.name)
            if not data:
                problem = base.missing(row.name) if data is None else empty_clip(row.name)
        yield Clip(row.id, base.split, row.text, row.columns, data=data, problem=problem)


def _keep(part: Part, clips: Iterable[Clip], writer: PartWriter) -> None:
    for clip in clips:
        try:
            encoded = clip.encoded
            _check_sound(clip, encoded)
        except InputError as error:
            writer.fail(clip.id, error)
            continue
        audio = {"bytes": encoded, "path": clip.metadata["path"]}
        writer.add("data", [{"id": clip.id, "audio": audio, "text": clip.text, **clip.metadata}])


def _check_sound(clip: Clip, encoded: bytes) -> None:
    """Raise where the file does not begin as sound; to decode all of it would take a hundred times as long."""
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(encoded)) as file:
            frames = file.frames
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = str(error).rsplit(": ", 1)[-1]
        raise InputError(f"clips/{clip.metadata['path']} cannot be read as sound: {reason}") from None
    if not frames:
        raise InputError(f"clips/{clip.metadata['path']} has no samples (0 s of sound).")


def _schema(corpus: Corpus) -> pa.Schema:
    source = corpus.schema()
    audio = pa.field("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    rest = [field for field in source if field.name not in ("id", "text")]
    # without a rate: a release has clips at 32 and at 48 kHz, and each keeps its own
    features = {"audio": {"_type": "Audio"}}
    return pa.schema(
        [source.field("id"), audio, source.field("text"), *rest],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )


def _card(manifest: Mapping[str, Any]) -> str:
    return (
        "# Common Voice, as released\n\n"
        "A release of [Mozilla Common Voice](https://commonvoice.mozilla.org), clips as they were (MP3), `text` as in "
        "the column `sentence`, every other column beside it; `duration` in seconds. `dev` is the split `validation`; "
        "`validated` holds the clips of train, validation and test once more, under the same ids. Who uses it agrees "
        "not to try to find out who its speakers are.\n\n"
        "```python\nimport datasets\nfrom audiogram.corpus import open_corpus\n\n"
        'datasets.load_dataset("this folder")\nopen_corpus("this folder")\n```\n'
    )


def _tell_overlap(corpus: Corpus, splits: Sequence[str] | None) -> None:
    chosen = [split for split in corpus.splits if splits is None or split in splits]
    again = [split for split in chosen if split in _OVERLAPPING and corpus.count(split)]
    if "validated" in chosen and again:
        _log.info(
            "the split validated holds the clips of %s once more; --splits leaves out what is not needed.",
            " and ".join(again),
        )


def _check_target(target: Path) -> None:
    """Refuse a folder of something else now, not after the archive has been read."""
    if (target / MANIFEST).is_file():
        stage = read_manifest(target)["stage"]
        if stage != STAGE:
            raise InputError(f"{target} is the output of the stage {stage!r}; choose a new output folder.")
    elif target.is_dir():
        strangers = sorted(path.name for path in target.iterdir() if not path.name.startswith("."))
        if strangers:
            raise InputError(f"{target} is not empty (e.g. {strangers[0]}); choose a new output folder.")
    elif target.exists():
        raise InputError(f"{target} is a file, not a folder; choose another output folder.")


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    with lock(folder.with_name(f"{folder.name}.lock")) as held:
        if not held:
            raise WorkError(f"another process is importing to {folder.parent}; let it end, then start this again.")
        yield


@contextlib.contextmanager
def _passing_over(archive: Path, label: str) -> Iterator[Advance]:
    """Show how much of an archive has been read, in MB."""
    left = 0
    with Progress(label, -(-archive.stat().st_size // 1_000_000), unit="MB") as bar:

        def advance(count: int) -> None:
            nonlocal left
            whole, left = divmod(left + count, 1_000_000)
            if whole:
                bar.advance(whole)

        yield advance
