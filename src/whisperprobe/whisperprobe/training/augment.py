"""Augmentation: other voices, rooms and levels out of the speech there is.

Every draw comes from (seed, epoch, clip id), never from a global generator: a clip is changed in the same way
whatever the batch, the worker or the restart it meets.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from audiogram.errors import InputError, unknown_name

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["Augmentation", "draw"]


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a clip each time that it is heard in training.

    Parameters
    ----------
    speed : float, default 0.0
        Played faster or slower by a factor drawn log-uniformly from `1/(1+speed)` to `1+speed`; pitch and formants move
        with it, which makes other voices of the ones there are. 0 to 1.
    shift_seconds : float, default 0.0
        Up to this much silence is put before the clip, as far as the window has room.
    gain_db : float, default 0.0
        Louder or softer by up to this many dB.
    noise_snr_db : float or None, default None
        White noise is added at a signal-to-noise ratio drawn from this many dB to 40 dB.
    time_masks, band_masks : int, default 0
        SpecAugment: how many stretches of time and of mel bands are set to the clip's mean.
    time_mask_seconds : float, default 0.1
        The longest stretch of time; never more than a fifth of the clip.
    band_mask_bands : int, default 12
        The widest stretch of mel bands.
    probability : float, default 1.0
        How often each of these happens at all.

    References
    ----------
    .. [1] T. Ko et al., "Audio Augmentation for Speech Recognition", Interspeech 2015 (speed).
    .. [2] D. S. Park et al., "SpecAugment", Interspeech 2019 (masks).

    Examples
    --------
    >>> Augmentation.of("masks").needs_waveform
    False
    """

    speed: float = 0.0
    shift_seconds: float = 0.0
    gain_db: float = 0.0
    noise_snr_db: float | None = None
    time_masks: int = 0
    time_mask_seconds: float = 0.1
    band_masks: int = 0
    band_mask_bands: int = 12
    probability: float = 1.0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("speed", 0.0, 1.0), ("shift_seconds", 0.0, 30.0), ("gain_db", 0.0, 60.0), ("noise_snr_db", -20.0, 40.0),
            ("time_masks", 0, 100), ("time_mask_seconds", 0.0, 30.0), ("band_masks", 0, 100),
            ("band_mask_bands", 0, 1000), ("probability", 0.0, 1.0),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is None and name == "noise_snr_db":
                continue
            whole = isinstance(low, int)
            fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
            if not (fits and low <= value <= high):
                kind = "a whole number" if whole else "a number"
                raise InputError(f"augment: {name} is {value!r}; give {kind} from {low} to {high}.")

    @classmethod
    def of(cls, value: Any) -> Augmentation | None:
        """Read an augmentation: None or False, True (= "voices"), a name, a mapping of fields, or one itself.

        Names are "masks" (SpecAugment alone, on cached features) and "voices" (speed, shift, gain, noise, masks).
        """
        if value is None or value is False:
            return None
        if isinstance(value, cls):
            return value
        if value is True:
            value = "voices"
        if isinstance(value, str):
            if value not in _NAMED:
                raise unknown_name("augmentation", value, _NAMED)
            return cls(**_NAMED[value])
        if isinstance(value, Mapping):
            known = {field.name for field in fields(cls)}
            for name in value:
                if name not in known:
                    raise unknown_name("option of augment", name, known)
            return cls(**value)
        raise InputError(f"augment is {value!r}; give true, a table of options, or one of {', '.join(_NAMED)}.")

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON-able values."""
        return asdict(self)

    @property
    def needs_waveform(self) -> bool:
        """Whether sound itself is changed, so that log-mels cannot be computed once for all epochs."""
        return bool(self.speed or self.shift_seconds or self.gain_db or self.noise_snr_db is not None)

    def waveform(
        self, x: np.ndarray[Any, Any], rng: np.random.Generator, *, sample_rate: int, longest: int
    ) -> np.ndarray[Any, Any]:
        """Change one clip of sound; shape `(samples,)` to `(other samples,)`, at most `longest`, float32."""
        import numpy as np

        # Every number is drawn whether used or not, so that one option does not move the draws of another.
        chance = rng.random(4) < self.probability
        position = rng.random(4)
        if self.speed and chance[0]:
            factor = math.exp((2 * position[0] - 1) * math.log1p(self.speed))
            factor = max(factor, len(x) / longest)  # slower than this and it would not fit the window
            rate = round(sample_rate * factor)
            if rate != sample_rate:
                from audiogram import sound

                x = np.asarray(sound.resample(x, rate, sample_rate), dtype=np.float32)[:longest]
        if self.gain_db and chance[1]:
            x = x * np.float32(10.0 ** ((2 * position[1] - 1) * self.gain_db / 20.0))
        if self.noise_snr_db is not None and chance[2]:
            snr = self.noise_snr_db + position[2] * (40.0 - self.noise_snr_db)
            level = float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) * 10.0 ** (-snr / 20.0)
            x = x + np.float32(level) * rng.standard_normal(len(x), dtype=np.float32)
        if self.shift_seconds and chance[3]:
            room = min(longest - len(x), round(self.shift_seconds * sample_rate))
            x = np.concatenate([np.zeros(round(position[3] * max(room, 0)), np.float32), x])
        return np.ascontiguousarray(x, dtype=np.float32)

    def mask(self, log_mel: torch.Tensor, frames: int, rng: np.random.Generator) -> None:
        """Set stretches of one clip's log-mel `(bands, frames)` to its mean over the `frames` heard, in place."""
        bands = log_mel.shape[0]
        mean = float(log_mel[:, :frames].mean())
        for _ in range(self.time_masks):
            chance, width, place = rng.random(3)
            length = int(width * (min(100 * self.time_mask_seconds, frames / 5) + 1))
            start = int(place * (frames - length + 1))
            if chance < self.probability:
                log_mel[:, start : start + length] = mean
        for _ in range(self.band_masks):
            chance, width, place = rng.random(3)
            length = int(width * (min(self.band_mask_bands, bands) + 1))
            start = int(place * (bands - length + 1))
            if chance < self.probability:
                log_mel[start : start + length, :frames] = mean


_NAMED: dict[str, dict[str, Any]] = {
    "masks": {"time_masks": 2, "band_masks": 2},
    "voices": {
        "speed": 0.15, "shift_seconds": 0.2, "gain_db": 6.0, "noise_snr_db": 20.0, "time_masks": 1, "band_masks": 1,
        "probability": 0.8,
    },
}  # fmt: skip


def draw(seed: int, epoch: int, name: str) -> np.random.Generator:
    """Generator that belongs to (seed, epoch, name) alone, the same on every machine and in every process."""
    import numpy as np

    digest = hashlib.blake2b(f"{seed}/{epoch}/{name}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))
