"""Steps of a row stage that overlap within one process."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["cores", "in_threads"]

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 2  # results per thread that may wait to be taken: enough to hide a slow clip, little memory


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(function: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """Yield ``function(item)`` for every item, in order, worked out ahead by threads.

    Libraries that decode and encode sound let go of Python's lock while they do. The items themselves are taken in
    the caller's thread. What `function` raises is raised here, in its turn.

    Parameters
    ----------
    function : callable
        What to do with each.
    items : iterable
        On what; a few are taken before they are needed.
    threads : int
        How many threads; 0 does everything in the caller's.

    Examples
    --------
    >>> list(in_threads(abs, [-1, 2, -3], threads=2))
    [1, 2, 3]
    """
    if not threads:
        yield from map(function, items)
        return
    begun: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            begun.append(pool.submit(function, item))
            if len(begun) > _AHEAD * threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:  # stopped or failed: what has not been begun never is
        pool.shutdown(cancel_futures=True)
