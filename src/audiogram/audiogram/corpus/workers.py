"""Worker processes that start once, do parts, and end with their parent."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from audiogram.console import check_stop
from audiogram.errors import InputError, WorkError

__all__ = ["CRASHES", "cores", "each"]

T = TypeVar("T")
R = TypeVar("R")

# A library that reads damaged sound ends like this; the memory's want, and people, send SIGKILL.
CRASHES = tuple(
    int(getattr(signal, name))
    for name in ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGSYS")
    if hasattr(signal, name)
)
_log = logging.getLogger("audiogram.corpus")


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class _Worker:
    process: Any
    connection: Any
    task: Any
    attempt: int


def each(job: Callable[[T], R], tasks: Iterable[T], workers: int) -> Iterator[R]:
    """Yield ``job(task)`` for every task, in any order, by `workers` fresh processes.

    The processes are started anew (spawn), never forked: a parent that has loaded torch or Numba holds threads and
    locks that a fork would copy in an unusable state. They leave signals to their parent and end when it dies. A task
    at which a library crashed (SIGSEGV and the like) is given out once more.

    Raises
    ------
    WorkError
        A worker died, e.g. because the machine ran out of memory. Tasks that the others had begun are finished first.
    StoppedError
        A signal asked to stop; tasks that were begun are finished first.
    """
    import multiprocessing.connection
    import pickle

    try:
        packed = pickle.dumps(job)
    except Exception as error:
        raise InputError(
            f"the work cannot be sent to worker processes: {error}. Use an importable class or function, or workers=1."
        ) from error
    waiting = iter(tasks)
    crew: dict[Any, _Worker] = {}
    ended: list[_Worker] = []
    try:
        for _ in range(workers):
            for task in waiting:
                _start(crew, packed, task)
                break
        while crew:
            for connection in multiprocessing.connection.wait(list(crew)):
                worker = crew[connection]
                try:
                    good, result = worker.connection.recv()
                except (EOFError, OSError):
                    del crew[connection]
                    _see_why_it_died(worker)
                    _start(crew, packed, worker.task, worker.attempt + 1)
                    continue
                if not good:
                    raise result
                check_stop()
                for task in waiting:  # before the result is looked at, so that the worker does not wait for that
                    worker.task, worker.attempt = task, 1
                    _send(connection, task)
                    break
                else:
                    ended.append(crew.pop(connection))
                    _send(connection, None)
                yield result
    finally:
        for worker in crew.values():
            _send(worker.connection, None)
        for worker in (*crew.values(), *ended):
            worker.process.join()
            worker.connection.close()


def _start(crew: dict[Any, _Worker], packed: bytes, task: Any, attempt: int = 1) -> None:
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, packed))
    process.start()
    theirs.close()  # so that the death of the worker ends the connection
    crew[ours] = _Worker(process, ours, task, attempt)
    _send(ours, task)


def _send(connection: Any, task: Any) -> None:
    with contextlib.suppress(OSError):  # it has died, which receiving from it will show
        connection.send(task)


def _see_why_it_died(worker: _Worker) -> None:
    """Return where the task may be tried again, else raise."""
    worker.process.join()
    worker.connection.close()
    check_stop()  # a signal to the whole group may hit a worker that has not yet learnt to ignore it
    code = worker.process.exitcode
    if -code not in CRASHES:
        raise WorkError(
            "a worker process died, most likely for want of memory; use fewer --workers and start the same command "
            "again: finished parts stay and are not redone."
        )
    name = signal.Signals(-code).name
    if worker.attempt > 1:
        raise WorkError(
            f"a worker process crashed twice at the same part ({name}), in a library and not while decoding sound. "
            "Everything finished stays. Is an update of NumPy, Numba or a filter's plugin due?"
        )
    _log.warning("a worker process crashed (%s); its part is done again, each clip decoded with care.", name)


def _work(connection: Any, packed: bytes) -> None:
    """Do tasks until there are no more; what a worker process runs."""
    import pickle
    from multiprocessing import parent_process

    # A signal to the whole group (Slurm, Ctrl-C) reaches the parent too, which lets the workers finish.
    for name in ("SIGTERM", "SIGUSR1", "SIGINT"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    import pyarrow as pa

    pa.set_cpu_count(1)  # the processes are the parallelism
    job = None
    while (task := connection.recv()) is not None:
        try:
            job = job or pickle.loads(packed)
            answer = (True, job(task))
        except Exception as error:
            answer = (False, _portable(error))
        connection.send(answer)


def _portable(error: Exception) -> Exception:
    """The error as it can be sent to another process, with its traceback as a note."""
    import pickle
    import traceback

    error.add_note("In a worker process:\n" + "".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return WorkError(f"{type(error).__name__}: {error}")
    return error


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)  # nobody is left to hand the result to
