"""The results folder of a study: whose it is, and who may work on it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from audiogram.errors import AudiogramError, InputError, WorkError
from whisperprobe.study_file import Study
from whisperprobe.study_graph import Plan
from whisperprobe.study_plan import plan

__all__ = ["RECORD", "claim", "read_record"]

RECORD = "study.json"
_FOLDS = ("compare", "report")  # made anew every time
_NO_MATTER = (  # options that no result depends on
    "workers", "device", "threads", "max_failures", "save_every", "save_total_limit", "log_every", "tensorboard",
    "auto_batch", "gradient_checkpointing",
)  # fmt: skip


@contextlib.contextmanager
def claim(planned: Plan, study: Study, *, shared: bool = False) -> Iterator[None]:
    """Hold a results folder for one study, and keep the resolved study in it.

    Parameters
    ----------
    planned : Plan
        The study's stages; `planned.out` is the folder, made where it is missing.
    study : Study
        The study.
    shared : bool, default False
        Whether other processes may work on other stages of the study meanwhile, as a queue's jobs do.

    Raises
    ------
    InputError
        Where the folder cannot be written, holds something else, or results of other settings.
    WorkError
        Where another process is at work on it, and one of the two does not share.
    """
    folder = Path(planned.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_strangers(folder)  # before the lock, which would be one more file in somebody's folder
        lock = (folder / ".lock").open("a+")
    except OSError as error:
        raise InputError(f"cannot write results to {folder} ({error.strerror}). Choose another --out.") from None
    with lock:
        _lock(lock.fileno(), folder, shared)
        _refuse_strangers(folder)
        record = read_record(folder)
        if record is not None:
            _check_same(record["study"], study, planned)
        _write_record(folder, study)
        yield


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return whose results a folder holds: the resolved `study`, its `directory` and `file`; None without a record."""
    path = folder / RECORD
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or not {"study", "directory", "file"} <= record.keys():
            raise ValueError("it lacks the study")
    except ValueError as error:
        raise InputError(
            f"{path} cannot be read ({error}). It names the study that the folder belongs to; restore it, or choose "
            f"another --out."
        ) from None
    return record


def _refuse_strangers(folder: Path) -> None:
    if (folder / RECORD).exists():
        return
    others = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
    if others:
        raise InputError(
            f"{folder} is not empty and holds no study's results (found {', '.join(others[:3])}). "
            f"Choose an empty or new folder with --out."
        )


def _lock(handle: int, folder: Path, shared: bool) -> None:
    try:
        import fcntl
    except ImportError:  # no such locks on this system; parts have their own
        return
    try:  # a lock of the process, which its workers do not inherit: they may outlive it by a moment
        fcntl.lockf(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise WorkError(f"another process is at work on {folder}. Wait for it, or choose another --out.") from None
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL):
            raise
        # a file system without locks, as some clusters have: parts are whole either way


def _write_record(folder: Path, study: Study) -> None:
    record = {"study": study.to_dict(), "directory": str(study.directory), "file": study.file}
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    path, temporary = folder / RECORD, folder / f".{RECORD}.{os.getpid()}"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _check_same(before: Mapping[str, Any], study: Study, planned: Plan) -> None:
    """Refuse a folder that holds results which this study would make otherwise, or not at all.

    What is not made yet may change: a study that failed half-way can be mended, a seed or a condition added.
    """
    folder = Path(planned.out)
    try:
        old = plan(Study.from_dict(before, study.directory, RECORD), folder, check=False)
    except AudiogramError as error:
        raise InputError(f"{folder} belongs to a study that this version cannot read: {error}") from error
    wanted = _results(planned)
    conflicts = [path for path, how in _results(old).items() if wanted.get(path) != how and Path(path).exists()]
    if conflicts:
        there, here = _flat(before), _flat(json.loads(json.dumps(study.to_dict())))
        keys = [key for key in there.keys() | here.keys() if there.get(key) != here.get(key)]
        keys.sort(key=lambda key: (not (key in there and key in here), key))  # changed values say more than new keys
        keys = [key for key in keys if key.split(".")[0] not in _FOLDS and key.split(".")[-1] not in _NO_MATTER]
        shown = "; ".join(f"{k}: there {_show(there, k)}, here {_show(here, k)}" for k in keys[:3])
        more = f"; and {len(keys) - 3} more" if len(keys) > 3 else ""
        made = Path(conflicts[0]).relative_to(folder)
        raise InputError(
            f"{folder} belongs to another study (it holds {made}). {shown}{more}. "
            f"Choose another --out, or go back to those settings."
        )


def _results(planned: Plan) -> dict[str, Any]:
    """Return what every output of a row stage or fit follows from."""
    results: dict[str, Any] = {}
    for stage in planned.stages:
        if stage.kind in _FOLDS:
            continue
        options = {key: value for key, value in stage.options.items() if key not in _NO_MATTER}
        for path in stage.outputs:
            results[path] = options
            if stage.kind == "mask":  # each of its folders follows from its own condition only
                own = [c for c in options["conditions"] if path == f"{options['out_base']}_{c['name']}"]
                results[path] = {**options, "conditions": own}
    return json.loads(json.dumps(results))  # type: ignore[no-any-return]


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _show(values: Mapping[str, Any], key: str) -> str:
    return repr(values[key]) if key in values else "nothing"
