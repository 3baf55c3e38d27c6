"""Where the sound of the compared recordings lies, and what was put between it and the model."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audiogram.errors import InputError
from whisperprobe.comparison.listeners import WHISPER

if TYPE_CHECKING:
    from audiogram.corpus.clips import Clip
    from audiogram.listening import Condition
    from whisperprobe.comparison.result import Comparison

__all__ = ["HeardThrough", "SoundReader", "SoundSource", "sources_of"]

_WHISPER_RATE = 16_000  # Hz; conditions applied on the fly hear what the model would


@dataclass(frozen=True)
class HeardThrough:
    """A corpus, and the condition that it is heard through on the fly, as `write_report` takes it.

    Parameters
    ----------
    corpus : str or Path
        The recordings as they are.
    condition : audiogram.Condition
        What they were heard through.

    Examples
    --------
    >>> import audiogram as ag
    >>> HeardThrough("recordings", ag.condition("hfloss")).condition.name
    'hfloss'
    """

    corpus: str | Path
    condition: Condition


SoundSource = str | Path | HeardThrough
"""A corpus that was filtered before, or one that is heard through a condition."""

Sound = tuple[np.ndarray[Any, Any], int]


class SoundReader:
    """Sounds of one condition, read by clip id.

    Parameters
    ----------
    source : str, Path or HeardThrough
        Where they lie.

    Raises
    ------
    InputError
        If the source does not exist or is no corpus.
    """

    def __init__(self, source: SoundSource) -> None:
        from audiogram import open_corpus

        self._condition = source.condition if isinstance(source, HeardThrough) else None
        self._corpus = open_corpus(source.corpus if isinstance(source, HeardThrough) else source)
        self._where: dict[str, tuple[str, int]] = {}
        for split in self._corpus.splits:
            for index, clip_id in enumerate(self._corpus.ids(split)):
                self._where.setdefault(clip_id, (split, index))

    def __contains__(self, clip_id: object) -> bool:
        return clip_id in self._where

    def read(self, clip_ids: Sequence[str]) -> dict[str, Sound]:
        """Waveform and sample rate (Hz) of clips; those that cannot be decoded or heard are left out."""
        by_split: dict[str, list[int]] = {}
        for clip_id in clip_ids:
            if clip_id in self._where:
                split, index = self._where[clip_id]
                by_split.setdefault(split, []).append(index)
        found: dict[str, Sound] = {}
        for split, indices in by_split.items():
            for clip in self._corpus.read(split, sorted(indices)):
                with contextlib.suppress(InputError):  # a probe could not hear it either: it is among its failures
                    found[clip.id] = self._heard(clip)
        return found

    def _heard(self, clip: Clip) -> Sound:
        x, rate = clip.audio()
        if self._condition is None:
            return x, rate
        from audiogram import sound

        heard = self._condition(sound.resample(x, rate, _WHISPER_RATE), _WHISPER_RATE, keys=clip.id)
        return np.asarray(heard), _WHISPER_RATE


def sources_of(comparison: Comparison) -> dict[str, SoundSource]:
    """Find what every condition's models heard, from the manifests of the probe runs; left out is what is not there."""
    from audiogram import Condition

    found: dict[str, SoundSource] = {}
    for run in comparison.runs:
        name, manifest = str(run["condition"]), run["manifest"]
        source = (manifest.get("input") or {}).get("source")
        if run.get("listener", WHISPER) != WHISPER or name in found or not source or not Path(source).exists():
            continue
        on_the_fly = (manifest.get("options") or {}).get("condition")
        found[name] = HeardThrough(source, Condition.from_dict(on_the_fly)) if on_the_fly else Path(source)
    return found
