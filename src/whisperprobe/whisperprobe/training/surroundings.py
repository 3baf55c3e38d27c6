"""Around a training run: device, versions, and the caller's generators, threads and logs left as they were."""

from __future__ import annotations

import contextlib
import errno
import importlib.metadata
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiogram.errors import AudiogramError, WorkError

if TYPE_CHECKING:
    from audiogram import Condition

__all__ = ["devices_in_words", "quiet_generators", "quiet_transformers", "told_full_disk", "usable_cores", "versions"]


@contextlib.contextmanager
def told_full_disk(folder: Path) -> Iterator[None]:
    """Tell a full disk as what it is: torch and safetensors each have their own words for it, and their own errors."""
    try:
        yield
    except AudiogramError:
        raise
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        # torch's zip writer only says at which byte it stopped
        if not full and not any(words in str(error) for words in ("No space left", "inline_container")):
            raise
        raise WorkError(
            f"cannot write {folder}: no space left on device. Free some space, then start the same command again: it "
            "goes on from the last whole checkpoint."
        ) from error


@contextlib.contextmanager
def quiet_generators(threads: int | None) -> Iterator[None]:
    """Leave the caller's generators and thread count as they were: transformers seeds the global ones."""
    import numpy as np
    import torch

    states = random.getstate(), np.random.get_state(), torch.get_num_threads()  # noqa: NPY002
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_num_threads(states[2])


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' bars and notes out of this project's output while it works."""
    from transformers.utils import logging

    theirs: Any = logging
    level, bars = theirs.get_verbosity(), theirs.is_progress_bar_enabled()
    theirs.set_verbosity_error()
    theirs.disable_progress_bar()
    try:
        yield
    finally:
        theirs.set_verbosity(level)
        if bars:
            theirs.enable_progress_bar()


def versions(hearing: Condition | None) -> dict[str, str]:
    """Versions of all that the resulting weights depend on, the filter's plugin included."""
    names = ["audiogram", "whisperprobe", "torch", "transformers", "accelerate"]
    found = {name: importlib.metadata.version(name) for name in names}
    if hearing is not None:
        plugin = hearing.versions()
        for one in (plugin, *plugin.get("parts", {}).values()):
            found[one["distribution"]] = one["version"]
    return found


def usable_cores() -> int:
    """Cores that this process may use, which on a shared machine are not all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def devices_in_words(device: str, processes: int) -> str:
    """What a run computed on, such as "4 x NVIDIA H100 80GB HBM3" or "CPU, 2 threads"."""
    import torch

    threads = torch.get_num_threads()
    what = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {threads} thread{'s' * (threads > 1)}"
    return what if processes == 1 else f"{processes} x {what}"
