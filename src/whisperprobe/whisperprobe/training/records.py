"""The folder of a training run: whose it is, what it found, and who is at work on it."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from audiogram.corpus.files import lock
from audiogram.errors import InputError, WorkError
from whisperprobe.training.curve_tables import remove_curves

__all__ = ["RunFolder"]

OPTIONS = "finetune.json"
RESULTS = "results.json"
CHECKPOINTS = "checkpoints"
LOCK = ".lock"
_ORPHANS = 10.0  # seconds that the readers of a killed run may outlive it, and its lock with them


class RunFolder:
    """The output folder of one training run: belongs to one set of options, for good.

    Parameters
    ----------
    path : Path
        The folder; made by `held`.
    options : mapping
        JSON-able; everything that the resulting weights depend on.
    """

    options_file = OPTIONS
    found: tuple[str, ...] = ("steps", "step", "seconds", "clips_per_second", "evaluation")
    """Keys of `results.json`."""

    def __init__(self, path: Path, options: Mapping[str, Any]) -> None:
        self.path = path
        self.options = json.loads(json.dumps(options))

    def claim(self, *, anew: bool = False) -> None:
        """Make sure that the folder is this run's, before anything is computed.

        Parameters
        ----------
        anew : bool
            Forget what a finished or unfinished run of the same options left.

        Raises
        ------
        InputError
            If the folder belongs to a run of other options (naming them) or to something else, or cannot be written.
        """
        file = self.path / self.options_file
        with self._told_unwritable():
            others = sorted(p.name for p in self.path.iterdir() if not p.name.startswith("."))
            if others == [file.name]:  # a start whose options were refused left nothing to go on from
                write_json(file, self.options)
            elif file.is_file():
                self._check_same(_table(file))
            elif others:
                raise InputError(
                    f"{self.path} holds something else already ({others[0]}, ...) and no {self.options_file}: it is no "
                    "training run. Give a new or empty folder."
                )
            else:
                write_json(file, self.options)
            for left in [*self.path.glob(".*.tmp"), *self.path.glob("*/.*.tmp")]:  # by a start that was killed
                left.unlink()
            if anew:
                self._start_over()

    @contextlib.contextmanager
    def _told_unwritable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(f"the output folder {self.path} cannot be written: {error.strerror or error}.") from error
        except InputError:  # a ValueError, too, that says what is the matter
            raise
        except ValueError as error:
            file = self.path / self.options_file
            raise InputError(f"{file} holds no options of a training run ({error}). Give another folder.") from error

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other process away from the folder for as long as this one trains.

        Raises
        ------
        InputError
            Where it cannot be made.
        WorkError
            Where another process is at work on it, naming it.
        """
        file, patience = self.path / LOCK, time.monotonic() + _ORPHANS
        with self._told_unwritable():
            self.path.mkdir(parents=True, exist_ok=True)
        while True:
            with lock(file) as free:
                if free:
                    file.write_text(f"{os.getpid()} on {platform.node()}", encoding="utf-8")
                    yield
                    return
                holder = _text_of(file)
            if not _has_died(holder) or time.monotonic() > patience:
                break
            time.sleep(0.2)
        raise WorkError(
            f"process {holder or 'unknown'} is training into {self.path} already. Wait for it, stop it, or give "
            "another folder."
        )

    def _check_same(self, before: Mapping[str, Any]) -> None:
        # Where corpus, model and tokenizer lie does not matter as long as they are the same, nor what a set of values
        # is called.
        moved = {"corpus", "recipe", *(name for name in ("model", "tokenizer") if self.options.get(f"{name}_sha256"))}
        keys = sorted({*before, *self.options} - moved)
        differing = [key for key in keys if before.get(key) != self.options.get(key)]
        if differing:
            told = "; ".join(
                f"{k}: {_short(before.get(k))} there, {_short(self.options.get(k))} now" for k in differing
            )
            raise InputError(
                f"{self.path} belongs to a training run with other options ({told}). Give another folder, or the same "
                "options to go on."
            )

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie until the run is done."""
        return self.path / CHECKPOINTS

    def finished(self) -> dict[str, Any] | None:
        """What the run found where it is finished already; nothing is written, and nobody else is in the way."""
        if self.results() is not None:
            self.claim()
            shutil.rmtree(self.checkpoints, ignore_errors=True)  # killed just before it did this
        return self.results()

    def results(self) -> dict[str, Any] | None:
        """What a finished run found; None for one that is not.

        Raises
        ------
        WorkError
            `results.json` is damaged.
        """
        file = self.path / RESULTS
        if not file.is_file():
            return None
        try:
            results = _table(file)
            lacking = [name for name in self.found if name not in results]
            if lacking:
                raise ValueError(f"it lacks {', '.join(lacking)}")
        except (OSError, ValueError) as error:
            raise WorkError(
                f"{file} is damaged ({error}). Copy the folder again, or remove that file and start the same command "
                "again: it trains anew."
            ) from error
        return results

    def _start_over(self) -> None:
        (self.path / RESULTS).unlink(missing_ok=True)
        remove_curves(self.path)
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def finish(self, results: Mapping[str, Any]) -> None:
        """Write the results, last of all, and drop the checkpoints."""
        write_json(self.path / RESULTS, results)
        shutil.rmtree(self.checkpoints, ignore_errors=True)


def write_json(file: Path, value: Any) -> None:
    """Write JSON whole or not at all."""
    temporary = file.with_name(f".{file.name}")
    temporary.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, file)


def _table(file: Path) -> dict[str, Any]:
    found = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError("it holds no table")
    return found


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:  # removed by now
        return ""


def _has_died(holder: str) -> bool:
    """Whether the process that took the lock is gone from this machine."""
    if not holder:  # it is about to say its name, or to leave
        return True
    number, _, host = holder.partition(" on ")
    if host != platform.node() or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."
