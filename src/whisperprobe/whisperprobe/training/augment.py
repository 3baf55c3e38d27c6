"""Augmentation: other voices, rooms, levels and ears out of the speech there is.

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

__all__ = ["Augmentation", "draw"]

_EARS = ("iso7029", "bisgaard")
_RANGES: dict[str, tuple[float, float]] = {
    "speed": (0.0, 1.0), "pitch_semitones": (0.0, 12.0), "shift_seconds": (0.0, 30.0), "gain_db": (0.0, 60.0),
    "noise_snr_db": (-20.0, 40.0), "time_masks": (0, 100), "time_mask_seconds": (0.0, 30.0),
    "time_mask_share": (0.0, 1.0), "frequency_masks": (0, 100), "frequency_mask_bands": (0, 1000),
    "probability": (0.0, 1.0),
}  # fmt: skip


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a clip each time that it is heard in training.

    Parameters
    ----------
    speed : float, default 0.0
        Played faster or slower by a factor drawn log-uniformly from `1/(1+speed)` to `1+speed`; pitch and formants move
        with it, which makes other voices of the ones there are [1]_. 0 to 1.
    pitch_semitones : float, default 0.0
        The voice's pitch up or down by up to this many semitones, at the same tempo and with the same formants; with
        `speed`, any pitch meets any vocal tract. 0 to 12.
    shift_seconds : float, default 0.0
        Up to this much silence is put before the clip, as far as the window has room.
    gain_db : float, default 0.0
        Louder or softer by up to this many dB.
    noise_snr_db : float or None, default None
        White noise is added at a signal-to-noise ratio drawn from this many dB to 40 dB.
    ears : {"iso7029", "bisgaard"}, optional
        Each clip through an ear of its own, drawn anew in every epoch by `audiogram.random_audiogram` from that source
        and applied as the filter `attenuation`, at the RMS that the clip had; before the condition, where there is one.
    time_masks, frequency_masks : int, default 0
        SpecAugment [2]_: how many stretches of time and of mel bands are set to the clip's mean (m_T and m_F of the
        paper). Its time warping, which its authors call the least important part, is left out.
    time_mask_seconds : float, default 0.1
        The longest stretch of time (T; its unit there is 10 ms).
    time_mask_share : float, default 0.2
        The longest stretch of time as a share of the clip (p). 0 to 1.
    frequency_mask_bands : int, default 12
        The widest stretch of mel bands (F; for 80 bands, and as many more where the model has more).
    probability : float, default 1.0
        How often each of these happens at all.

    References
    ----------
    .. [1] T. Ko et al., "Audio Augmentation for Speech Recognition", Interspeech 2015.
    .. [2] D. S. Park et al., "SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition",
       Interspeech 2019; table 1 has the policies LibriSpeech basic (LB) and double (LD), Switchboard mild (SM) and
       strong (SS).

    Examples
    --------
    >>> Augmentation.of("masks").needs_waveform
    False
    >>> Augmentation.of("specaugment-ld").frequency_mask_bands
    27
    """

    speed: float = 0.0
    pitch_semitones: float = 0.0
    shift_seconds: float = 0.0
    gain_db: float = 0.0
    noise_snr_db: float | None = None
    ears: str | None = None
    time_masks: int = 0
    time_mask_seconds: float = 0.1
    time_mask_share: float = 0.2
    frequency_masks: int = 0
    frequency_mask_bands: int = 12
    probability: float = 1.0

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is None and name == "noise_snr_db":
                continue
            whole = isinstance(low, int)
            fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
            if not (fits and low <= value <= high):
                kind = "a whole number" if whole else "a number"
                raise InputError(f"augment: {name} is {value!r}; give {kind} from {low} to {high}.")
        if self.ears is not None and self.ears not in _EARS:
            raise unknown_name("source of ears in augment", self.ears, _EARS)

    @classmethod
    def of(cls, value: Any) -> Augmentation | None:
        """Read an augmentation: None or False, True (= "voices"), a name, a mapping of fields, or one itself.

        Names are "masks" (two masks each, for single words), "voices" (speed, shift, gain, noise, masks), and
        SpecAugment's published policies "specaugment-lb", "-ld", "-sm" and "-ss".
        """
        if value is None or value is False:
            return None
        if isinstance(value, cls):
            return value
        if value is True:
            value = "voices"
        if isinstance(value, str):
            if value not in NAMED:
                raise unknown_name("augmentation", value, NAMED)
            return cls(**NAMED[value])
        if isinstance(value, Mapping):
            known = {field.name for field in fields(cls)}
            for name in value:
                if name not in known:
                    raise unknown_name("option of augment", name, known)
            return cls(**value)
        raise InputError(f"augment is {value!r}; give true, a table of options, or one of {', '.join(NAMED)}.")

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON-able values."""
        return asdict(self)

    @property
    def changes_waveform(self) -> bool:
        """Whether `waveform` does anything."""
        changed = self.speed or self.pitch_semitones or self.shift_seconds or self.gain_db
        return bool(changed) or self.noise_snr_db is not None

    @property
    def needs_waveform(self) -> bool:
        """Whether sound itself is changed, so that log-mels cannot be computed once for all epochs."""
        return self.changes_waveform or self.ears is not None

    @property
    def masks(self) -> bool:
        """Whether log-mels are masked."""
        return bool(self.time_masks or self.frequency_masks)

    def waveform(
        self, x: np.ndarray[Any, Any], rng: np.random.Generator, *, sample_rate: int, longest: int
    ) -> np.ndarray[Any, Any]:
        """Change one clip of sound; shape `(samples,)` to `(other samples,)`, at most `longest`, float32."""
        import numpy as np

        # Every number is drawn whether used or not, so that one option does not move the draws of another.
        chance = rng.random(4) < self.probability
        position = rng.random(4)
        voice = rng.spawn(1)[0].random(2)
        if self.speed and chance[0]:
            factor = math.exp((2 * position[0] - 1) * math.log1p(self.speed))
            factor = max(factor, len(x) / longest)  # slower than this and it would not fit the window
            rate = round(sample_rate * factor)
            if rate != sample_rate:
                from audiogram import sound

                x = np.asarray(sound.resample(x, rate, sample_rate), dtype=np.float32)[:longest]
        if self.pitch_semitones and voice[0] < self.probability:
            from whisperprobe.training.pitch import shifted_pitch

            x = shifted_pitch(x, (2 * voice[1] - 1) * self.pitch_semitones, sample_rate)
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

    def thresholds(self, seed: int, epoch: int, id: str) -> np.ndarray[Any, Any]:
        """Draw the ear that a clip meets, shape `(frequencies,)`, dB HL; 0 throughout where it meets none."""
        import numpy as np

        from audiogram import random_audiogram

        ear = random_audiogram(seed, self.ears, epoch=epoch, id=id)  # type: ignore[arg-type]
        met = draw(seed, epoch, f"ears/{id}").random() < self.probability
        return np.array(ear.thresholds) * met

    def spans(self, frames: int, bands: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
        """Draw what is masked of a clip.

        Parameters
        ----------
        frames, bands : int
            Of the clip's log-mel, silence behind it not counted.
        rng : Generator
            Of the clip and epoch.

        Returns
        -------
        ndarray of int64, shape (time_masks + frequency_masks, 2)
            First frame or band, and the one behind the last; those of time come first.
        """
        import numpy as np

        longest = min(100 * self.time_mask_seconds, frames * self.time_mask_share)
        widest = min(self.frequency_mask_bands * max(1.0, bands / 80), bands)
        found = []
        for size, most in ((frames, longest),) * self.time_masks + ((bands, widest),) * self.frequency_masks:
            chance, width, place = rng.random(3)
            length = int(width * (most + 1)) if chance < self.probability else 0
            start = int(place * (size - length + 1))
            found.append((start, start + length))
        return np.array(found, dtype=np.int64).reshape(-1, 2)


NAMED: dict[str, dict[str, Any]] = {
    "masks": {"time_masks": 2, "frequency_masks": 2},
    "voices": {
        "speed": 0.15, "shift_seconds": 0.2, "gain_db": 6.0, "noise_snr_db": 20.0, "time_masks": 1,
        "frequency_masks": 1, "probability": 0.8,
    },
    **{
        f"specaugment-{name}": {
            "time_masks": time_masks, "time_mask_seconds": seconds, "time_mask_share": share,
            "frequency_masks": frequency_masks, "frequency_mask_bands": bands,
        }
        for name, bands, frequency_masks, seconds, share, time_masks in (
            ("lb", 27, 1, 1.0, 1.0, 1), ("ld", 27, 2, 1.0, 1.0, 2),
            ("sm", 15, 2, 0.7, 0.2, 2), ("ss", 27, 2, 0.7, 0.2, 2),
        )
    },
}  # fmt: skip


def draw(seed: int, epoch: int, name: str) -> np.random.Generator:
    """Generator that belongs to (seed, epoch, name) alone, the same on every machine and in every process."""
    import numpy as np

    digest = hashlib.blake2b(f"{seed}/{epoch}/{name}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))
