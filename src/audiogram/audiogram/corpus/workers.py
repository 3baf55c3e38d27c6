"""Worker processes that start once, do parts, and end with their parent."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from audiogram.console import check_stop
from audiogram.errors import InputError, WorkError

__all__ = ["each"]

T = TypeVar("T")
R = TypeVar("R")

_job: dict[str, Callable[[Any], Any]] = {}


def each(job: Callable[[T], R], tasks: Iterable[T], workers: int) -> Iterator[R]:
    """Yield ``job(task)`` for every task, in any order, by `workers` fresh processes.

    The processes are started anew (spawn), never forked: a parent that has loaded torch or Numba holds threads and
    locks that a fork would copy in an unusable state. They leave signals to their parent and end when it dies.

    Raises
    ------
    WorkError
        A worker died, e.g. because the machine ran out of memory.
    StoppedError
        A signal asked to stop; tasks that were begun are finished first.
    """
    import multiprocessing
    import pickle
    from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
    from concurrent.futures.process import BrokenProcessPool

    try:
        packed = pickle.dumps(job)
    except Exception as error:
        raise InputError(
            f"the work cannot be sent to worker processes: {error}. Use an importable class or function, or workers=1."
        ) from error
    waiting = iter(tasks)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(packed,)) as pool:
        running = set()
        try:
            for task in waiting:
                running.add(pool.submit(_run, task))
                if len(running) >= workers + 1:  # one task waits, so that no worker does
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
                    check_stop()
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
                check_stop()
        except BrokenProcessPool as error:
            raise WorkError(
                "a worker process died, most likely for want of memory; use fewer --workers and start the same command "
                "again: finished parts stay and are not redone."
            ) from error
        finally:
            for future in running:
                future.cancel()


def _start(packed: bytes) -> None:
    import pickle
    from multiprocessing import parent_process

    import pyarrow as pa

    # A signal to the whole group (Slurm, Ctrl-C) reaches the parent too, which lets the workers finish.
    for name in ("SIGTERM", "SIGUSR1", "SIGINT"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    pa.set_cpu_count(1)  # the processes are the parallelism
    _job["job"] = pickle.loads(packed)


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)  # nobody is left to hand the result to


def _run(task: Any) -> Any:
    return _job["job"](task)
