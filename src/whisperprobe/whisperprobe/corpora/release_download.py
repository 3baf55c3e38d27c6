"""Archives of the Mozilla Data Collective: fetched by its official client, and compared with what is published."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

from audiogram.console import Progress, check_stop, stop_on_signals
from audiogram.corpus.files import cannot_write, fsync_folder, lock
from audiogram.errors import AudiogramWarning, InputError, WorkError
from whisperprobe.corpora.data_collective import GO_ON, SITE, ClientWatch, check_key, load_client

__all__ = ["download_release"]

_WORK = ".download"  # in the output folder, until the archive is whole and checked
_MB = 1_000_000


@stop_on_signals()
def download_release(dataset: str, out: str | Path) -> Path:
    """Download the archive of a dataset of the Mozilla Data Collective, e.g. of a Common Voice release.

    The key is read from the environment variable MDC_API_KEY, the address of the service, if it is not the public one,
    from MDC_API_URL; the client also reads them from a file ``.env`` in or above the current folder. Interrupted in any
    way, the same call goes on where it was. The archive gets its name when its size and SHA-256 are those published.

    Parameters
    ----------
    dataset : str
        Id or slug of the dataset, as in the address of its page.
    out : path
        Folder to save the archive in.

    Returns
    -------
    Path
        The archive. One that is there already is checked, not fetched again.

    Raises
    ------
    InputError
        No key, a key that is not accepted (401), terms that have not been accepted (403), no such dataset (404, 410),
        another file of that name.
    WorkError
        Too many requests (429), a broken connection, a server that does not resume, a full disk, an archive that is
        not the published one.
    StoppedError
        A signal asked to stop.
    """
    client = load_client()
    if not re.fullmatch(r"\w[\w.-]*", dataset):
        raise InputError(
            f"--dataset {dataset!r} is no id or slug; it is what follows {SITE}/datasets/ in the address of the "
            "dataset's page, e.g. cminc35no007no707hql26lzk."
        )
    check_key()
    folder = Path(out)
    watch = ClientWatch(dataset, client.api_utils.requests)
    with watch.over(client):
        details = client.get_dataset_details(dataset)
    name = str(details.filename or "")
    if PurePath(name).name != name or not name or name.startswith("."):
        raise WorkError(
            f"the Data Collective names the archive of {dataset} {name!r}, which is not the name of a file."
        )
    published = _Published(details.sizeBytes, details.checksum, dataset)
    target, work = folder / name, folder / _WORK
    if target.exists():
        problem = published.problem_of(target)
        if problem is not None:
            raise InputError(
                f"{target} is there but is not the published archive: {problem}. Move it, or change --out."
            )
        return target
    with lock(folder / f"{_WORK}.lock") as held:
        if not held:
            raise WorkError(f"another process is downloading to {folder}; let it end, then start this again.")
        part = work / f"{name}.part"  # as the client names it
        if part.is_file() and published.size is not None and part.stat().st_size >= published.size:
            # The client would ask for what follows the last byte, which no server has.
            os.replace(part, work / name)
        if not (work / name).is_file():
            _fetch(client, watch, details.id, work, part, published)
        problem = published.problem_of(work / name)
        if problem is not None:
            (work / name).unlink()
            raise WorkError(
                f"what arrived is not the published archive of {dataset}: {problem}. It has been removed; start the "
                "same command again, and tell the Data Collective if that does not help."
            )
        try:
            os.replace(work / name, target)
        except OSError as error:
            raise cannot_write(target, error) from None
        fsync_folder(folder)
        shutil.rmtree(work, ignore_errors=True)
    return target


def _fetch(client: Any, watch: ClientWatch, id: str, work: Path, part: Path, published: _Published) -> None:
    try:
        work.mkdir(parents=True, exist_ok=True)
        there = part.stat().st_size if part.is_file() else 0
        free = shutil.disk_usage(work).free
    except OSError as error:
        raise cannot_write(work, error) from None
    if published.size is not None and published.size - there > free:
        raise WorkError(
            f"{work.parent} has {free / 1e9:.1f} GB free, and {(published.size - there) / 1e9:.1f} GB are still to "
            f"come; free some space or change --out, then {GO_ON}"
        )
    total = -(-(published.size or 0) // _MB)
    with Progress("downloading", total, done=there // _MB, unit="MB") as bar:
        watch.advance = _in_megabytes(bar)
        with watch.over(client, part):
            client.download_dataset(id, download_directory=str(work), show_progress=False)
    if watch.session is None:
        raise WorkError(
            f"datacollective {client.__version__} works in another way than the versions this one knows; install the "
            "one that belongs to it: pip install --upgrade 'whisperprobe[commonvoice]'."
        )
    published.update(watch.session)


class _Published:
    """What the service says an archive is."""

    def __init__(self, size: object, checksum: object, dataset: str) -> None:
        self.size: int | None = None
        self._checksum: object = None
        self._dataset = dataset
        self.update({"sizeBytes": size, "checksum": checksum})

    def update(self, said: dict[str, Any]) -> None:
        """Take over what is said later, about the very file that was sent."""
        size, self._checksum = str(said.get("sizeBytes")), said.get("checksum") or self._checksum
        self.size = int(float(size)) if re.fullmatch(r"\d+(\.0+)?", size) else self.size

    def problem_of(self, path: Path) -> str | None:
        """Say in what a file differs; None where it does not."""
        size = path.stat().st_size
        if self.size is not None and size != self.size:
            return f"it has {size} bytes, not {self.size}"
        match = re.fullmatch(r"(?:sha-?256[:=-])?([0-9a-f]{64})", str(self._checksum).strip().lower())
        if match is None:
            warnings.warn(
                f"the Data Collective publishes no SHA-256 of {self._dataset} (its checksum is {self._checksum!r}), so "
                "only the size was checked; compare the archive with another source if you can.",
                AudiogramWarning,
                stacklevel=3,
            )
            return None
        found = hashlib.sha256()
        with open(path, "rb") as file, Progress("checking", -(-size // _MB), unit="MB") as bar:
            advance = _in_megabytes(bar)
            while block := file.read(1 << 20):
                check_stop()
                found.update(block)
                advance(len(block))
        return None if found.hexdigest() == match[1] else f"its SHA-256 is {found.hexdigest()}, not {match[1]}"


def _in_megabytes(bar: Progress) -> Callable[[int], None]:
    left = 0

    def advance(count: int) -> None:
        nonlocal left
        whole, left = divmod(left + count, _MB)
        if whole:
            bar.advance(whole)

    return advance
