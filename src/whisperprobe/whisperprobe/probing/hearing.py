"""What the model is to hear: clips decoded, resampled and filtered by threads, ahead of the model.

Threads do, because what takes time leaves Python's lock: libsndfile, the resampler, the filters' kernels, the model.
Results do not depend on how many there are: clips come out in their order, each with its own sound or its own error.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from audiogram.errors import InputError, StoppedError, WorkError
from whisperprobe.probing.windowing import PADDED, Windowing

if TYPE_CHECKING:
    from audiogram.corpus import Clip
    from audiogram.listening import Condition
    from whisperprobe.probing.probe import Probe

__all__ = ["Hearing", "torch_threads"]

Heard = tuple[np.ndarray, str | None]
"""Sound at the model's rate, and text."""


class Hearing:
    """Clips as a probe hears them.

    Parameters
    ----------
    probe : Probe
        Whose sample rate and window it is.
    condition : Condition or None
        What they are heard through.
    workers : int
        Threads; 0 decodes each clip when it is asked for.
    ahead : int
        How many clips may be begun before they are asked for.
    windowing : Windowing
        Whether clips may be longer than the window.
    """

    def __init__(
        self,
        probe: Probe,
        condition: Condition | None,
        *,
        workers: int,
        ahead: int,
        windowing: Windowing = PADDED,
    ) -> None:
        self._probe, self._condition, self._windowing = probe, condition, windowing
        self._workers, self._ahead = workers, ahead
        self._filter = threading.Lock()  # filters may come from anywhere and need not know of threads

    def __call__(self, clips: Iterable[Clip]) -> Generator[tuple[Clip, Heard | InputError], None, None]:
        """Yield every clip, in order, with its sound and text, or with why it cannot be used."""
        if not self._workers:
            for clip in clips:
                yield clip, self._heard(clip, partial(self._sound, clip))
            return
        begun: deque[tuple[Clip, Future[np.ndarray]]] = deque()
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="hearing")
        try:
            for clip in clips:
                begun.append((clip, pool.submit(self._sound, clip)))
                if len(begun) > self._ahead:
                    clip, sound = begun.popleft()
                    yield clip, self._heard(clip, sound.result)
            for clip, sound in begun:
                yield clip, self._heard(clip, sound.result)
        finally:  # stopped, failed or given up: what has not been begun never is
            pool.shutdown(cancel_futures=True)

    def _sound(self, clip: Clip) -> np.ndarray:
        """Sound of a clip as the model is to hear it; in one of the threads."""
        waveform, rate = clip.audio() if self._windowing.long_audio == "refuse" else clip.audio(math.inf)
        if not waveform.any():
            raise InputError("silent: every sample is 0, so there is nothing to hear.")
        # what does not fit the window is refused before it is filtered, which could take long
        waveform, _ = self._probe.prepare(waveform, rate, None, name="the clip", windowing=self._windowing)
        if self._condition is None:
            return waveform
        try:
            with self._filter:
                heard = self._condition(waveform, self._probe.window.sample_rate, keys=clip.id)
        except (InputError, WorkError, StoppedError):
            raise
        except Exception as error:  # theirs is this clip's failure, not the corpus's
            raise InputError(f"the condition {self._condition.name!r}: {type(error).__name__}: {error}") from error
        return np.asarray(heard, dtype=np.float32)

    def _heard(self, clip: Clip, sound: Callable[[], np.ndarray]) -> Heard | InputError:
        """Sound and text, checked against the model; in the model's own thread, for tokenizers know of no other."""
        name = "the clip" if self._condition is None else "the clip, filtered"
        rate = self._probe.window.sample_rate
        try:
            return self._probe.prepare(sound(), rate, clip.text, name=name, windowing=self._windowing)
        except InputError as error:
            return error


@contextlib.contextmanager
def torch_threads(n: int | None) -> Iterator[None]:
    """Let torch use `n` CPU threads while active; None leaves it as it is."""
    import torch

    before = torch.get_num_threads()
    try:
        if n is not None:
            torch.set_num_threads(n)
        yield
    finally:
        torch.set_num_threads(before)
