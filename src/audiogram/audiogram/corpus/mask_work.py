"""The work of `mask_corpus` on one part: decode, filter through every condition at once, encode."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from audiogram.corpus.clips import Clip
from audiogram.corpus.layout import Part
from audiogram.errors import InputError, StoppedError, WorkError

if TYPE_CHECKING:
    from audiogram.corpus.writer import PartWriter
    from audiogram.listening import Condition

__all__ = ["MaskWork"]

_BITS = {"flac24": 24, "flac16": 16, "wav": 16}
_ENDINGS = {"flac24": ".flac", "flac16": ".flac"}


@dataclass(frozen=True)
class MaskWork:
    """Masks the clips of one part.

    One clip after the other: decoding, filtering and encoding overlap between processes. Threads within one were tried
    and took longer, since what encodes into memory asks for Python's lock dozens of times per clip.
    """

    conditions: tuple[Condition, ...]
    sample_rate: int
    format: str
    max_seconds: float

    def __call__(self, part: Part, clips: Iterable[Clip], writer: PartWriter) -> None:
        for clip in clips:
            try:
                x = self.hear(clip)
            except InputError as error:
                writer.fail(clip.id, error)
                continue
            for out, heard in enumerate(self.apply(x, clip.id)):
                try:
                    if isinstance(heard, Exception):
                        raise heard
                    encoded = self.encode(x, heard, self.conditions[out])
                except (WorkError, StoppedError, MemoryError):
                    raise
                except Exception as error:  # a filter may raise anything: the clip is a failure, with the reason
                    writer.fail(clip.id, _reason(error), out=out)
                    continue
                name = clip.id + _ENDINGS.get(self.format, ".wav")
                row = {"id": clip.id, "audio": {"bytes": encoded, "path": name}, "text": clip.text, **clip.metadata}
                writer.add("data", [row], out=out)

    def hear(self, clip: Clip) -> npt.NDArray[np.float32]:
        """The clip at the output's rate, unfiltered."""
        from audiogram import sound

        x, rate = clip.audio(self.max_seconds)
        x = sound.resample(x, rate, self.sample_rate)
        if not len(x):
            raise InputError(f"shorter than one sample at {self.sample_rate} Hz.")
        return x

    def apply(self, x: npt.NDArray[np.float32], id: str) -> Sequence[Any]:
        """The clip through every condition; where one fails, its exception in its place."""
        from audiogram.listening import apply_conditions

        silent = not x.any()
        left = [c for c in self.conditions if not (silent and c.normalise != "none")]
        heard: dict[str, Any] = {
            c.name: InputError(f"silent: every sample is 0, which cannot be normalised to {c.normalise!r}.")
            for c in self.conditions
            if c not in left
        }
        try:
            if left:
                heard.update(
                    zip([c.name for c in left], apply_conditions(x, self.sample_rate, left, keys=id), strict=True)
                )
        except Exception:  # one condition failed: one by one shows which, and the others are kept
            for c in left:
                try:
                    heard[c.name] = c(x, self.sample_rate, keys=id)
                except Exception as error:
                    heard[c.name] = error
        return [heard[c.name] for c in self.conditions]

    def encode(self, x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], condition: Condition) -> bytes:
        """A filtered clip as it is stored; InputError where its format cannot hold it."""
        from audiogram import sound

        peak = max(float(np.max(y)), -float(np.min(y)))
        if not np.isfinite(peak):
            raise InputError(f"the filter {condition.filter!r} made it NaN or infinite.")
        bits = _BITS.get(self.format)
        if bits is not None:
            if peak > 1 + 1e-6:
                raise InputError(
                    f"peaks at {peak:.3g} of full scale after {condition.name!r}, which {self.format} would clip. Use "
                    "--format wav32f, or a condition that normalises."
                )
            if peak <= 0.5**bits and x.any():
                raise InputError(
                    f"would become silence: it peaks at {peak:.3g} of full scale after {condition.name!r}, below half "
                    f"of the last of {bits} bits. Use --format wav32f, or a condition that normalises."
                )
        return sound.encode(np.asarray(y), self.sample_rate, self.format)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
