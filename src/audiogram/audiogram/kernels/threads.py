"""How many threads the filters use for a batch of NumPy arrays."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from audiogram.errors import InputError

__all__ = ["get_threads", "in_row_blocks", "set_threads"]

_NAME = "audiogram-rows"
_threads: int | None = None


def set_threads(count: int) -> None:
    """Set how many threads filters use for the rows of a NumPy batch, in this process.

    One by default, or the environment variable `AUDIOGRAM_THREADS`: the processes that mask a corpus keep all cores
    busy already. Results are the same bytes, whatever the number. Tensors are up to torch: `torch.set_num_threads`.

    Parameters
    ----------
    count : int
        1 or more; no use beyond the number of cores or of rows.

    Raises
    ------
    InputError
        For anything else.

    Examples
    --------
    >>> set_threads(2)
    >>> get_threads()
    2
    >>> set_threads(1)
    """
    global _threads
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InputError(f"the number of threads is a whole number, 1 or more, got {count!r}.")
    _threads = count


def get_threads() -> int:
    """How many threads filters use; see `set_threads`.

    Returns
    -------
    int
        1 or more.

    Raises
    ------
    InputError
        Where the environment variable `AUDIOGRAM_THREADS` is not a whole number, 1 or more.
    """
    if _threads is not None:
        return _threads
    given = os.environ.get("AUDIOGRAM_THREADS", "1")
    if not given.isdecimal() or int(given) < 1:
        raise InputError(f"AUDIOGRAM_THREADS is a whole number, 1 or more, got {given!r}.")
    return int(given)


def in_row_blocks(work: Callable[[int, int], None], rows: int) -> None:
    """Call `work(begin, end)` for consecutive blocks of rows that together are all, in as many threads as are set.

    Within `work` itself, in one: its threads would wait for each other.

    Examples
    --------
    >>> in_row_blocks(print, 5)
    0 5
    """
    count = min(get_threads(), rows)
    if count < 2 or threading.current_thread().name.startswith(_NAME):
        work(0, rows)
        return
    edges = [rows * i // count for i in range(count + 1)]
    for done in [_pool(count, os.getpid()).submit(work, a, b) for a, b in itertools.pairwise(edges)]:
        done.result()


@lru_cache(maxsize=1)
def _pool(count: int, process: int) -> ThreadPoolExecutor:  # threads do not survive a fork: one pool per process
    return ThreadPoolExecutor(count, thread_name_prefix=_NAME)
