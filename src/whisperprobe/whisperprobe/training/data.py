"""`SpeechDataset`: batches of speech, read by workers, heard on the model's device."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

from audiogram.errors import InputError
from whisperprobe.features import WindowSpec, heard_frames, heard_log_mels
from whisperprobe.labels import Labels
from whisperprobe.probing.windowing import PADDED, Windowing
from whisperprobe.training.augment import Augmentation, draw
from whisperprobe.training.batches import EpochSampler, collate, worker_init
from whisperprobe.training.filtering import filtered, through_ears
from whisperprobe.training.masking import hide
from whisperprobe.training.reading import (
    CACHE_BYTES,
    MOST_EXCLUDED,
    Speech,
    open_speech,
    read_speech,
    training_split,
)

if TYPE_CHECKING:
    from audiogram import Condition

__all__ = [
    "EpochSampler",
    "Labels",
    "Speech",
    "SpeechDataset",
    "collate",
    "open_speech",
    "read_speech",
    "training_split",
    "worker_init",
]

_AT_ONCE = 64  # clips whose log-mels are computed together when all are kept
_NAMED = 10  # clips that a warning names; beyond, they are counted
_ATTEMPTS = 20  # neighbours that are tried in place of a clip that cannot be read any more

Batch = dict[str, Any]

_log = logging.getLogger("whisperprobe")


class SpeechDataset(Dataset[Any]):
    """Speech in batches: `__getitems__` reads, in a worker; `prepare` filters and makes log-mels, on the device.

    Log-mels are computed once and kept where nothing changes from epoch to epoch and they fit in memory.

    Parameters
    ----------
    speech : Speech
        From `read_speech`.
    window : WindowSpec
        Of the model.
    condition : audiogram.Condition, optional
        Applied to the sound, after the augmentation: the talker varies, the hearing does not.
    augment : Augmentation, optional
        For training only.
    seed : int, default 0
        Of the run.
    cache_bytes : int
        How much log-mel is kept in memory.
    windowing : Windowing
        Whole windows, or trimmed ones, which `heard_by` lets a model take.

    Raises
    ------
    InputError
        A condition or an augmentation of the sound, and a corpus of log-mels, which has none.
    """

    def __init__(
        self,
        speech: Speech,
        window: WindowSpec,
        *,
        condition: Condition | None = None,
        augment: Augmentation | None = None,
        seed: int = 0,
        cache_bytes: int = CACHE_BYTES,
        windowing: Windowing = PADDED,
    ) -> None:
        self.speech, self.window, self.condition, self.augment, self.seed = speech, window, condition, augment, seed
        self.windowing = windowing
        self.varies = augment is not None and augment.needs_waveform
        self.label_lengths = torch.tensor([len(ids) for ids in speech.labels])
        self._failed: dict[int, str] = {}
        if speech.load_features is not None and (condition is not None or self.varies):
            what = f"condition {condition.name!r}" if condition is not None else "augmentation of the sound"
            raise InputError(
                f"{what} needs sound, and a corpus of log-mels holds none. Give the corpus that they were made from"
                + ("." if condition is not None else ", or augment='masks'.")
            )
        self.features: list[torch.Tensor] | None = None  # (bands, frames) of each clip, without the silence behind it
        self._padding: list[float] = []
        size = sum(4 * window.n_mels * heard_frames(n, window) for n in speech.lengths)
        if (
            size <= cache_bytes
            and not self.varies
            and (speech.load_features is not None or speech.waveforms is not None)
        ):
            self._keep_features()

    def __len__(self) -> int:
        return len(self.speech.ids)

    @property
    def wants_workers(self) -> bool:
        """Whether there is work for other processes: not where everything is kept."""
        return self.features is None

    @property
    def failures(self) -> dict[str, int]:
        """How many clips turned out to be unreadable while training; others were heard in their place."""
        return {"unreadable while training": len(self._failed)} if self._failed else {}

    def names(self, batch: Mapping[str, Any]) -> list[str]:
        """Return the ids of the clips of a batch."""
        return [self.speech.ids[i] for i in batch["index"]]

    def __getitem__(self, pair: tuple[int, int]) -> Batch:
        return self.__getitems__([pair])

    def __getitems__(self, pairs: Sequence[tuple[int, int]]) -> Batch:
        """Read one batch, for `prepare`.

        Parameters
        ----------
        pairs : sequence of (epoch, index)
            From `EpochSampler`.

        Returns
        -------
        dict
            `labels` (clips, tokens), padded with -100; `index` and `samples`, lists; `features` (clips, bands, frames)
            with `padding` (clips,), or `sound` (clips, samples); where augmentation draws them, `thresholds`
            (clips, frequencies) and `masks` (clips, masks, 2).
        """
        indices, epochs = [i for _, i in pairs], [epoch for epoch, _ in pairs]
        batch: Batch = {"labels": torch.empty(0), "index": indices}
        if self.features is not None or self.speech.load_features is not None:
            batch["samples"] = [self.speech.lengths[i] for i in indices]
            batch["features"], batch["padding"] = self._known(indices)
        else:
            sounds = self._sounds(indices, epochs, batch)
            batch["samples"] = [len(x) for x in sounds]
            batch["sound"] = torch.zeros((len(sounds), max(batch["samples"])))
            for row, x in zip(batch["sound"], sounds, strict=True):
                row[: len(x)] = torch.from_numpy(x)
        named = [(epoch, self.speech.ids[i]) for epoch, i in zip(epochs, batch["index"], strict=True)]
        if self.augment is not None and self.augment.ears is not None:
            ears = [self.augment.thresholds(self.seed, epoch, id) for epoch, id in named]
            batch["thresholds"] = torch.from_numpy(np.stack(ears))
        if self.augment is not None and self.augment.masks:
            spans = [
                self.augment.spans(self._frames(n), self.window.n_mels, draw(self.seed, epoch, f"masks/{id}"))
                for n, (epoch, id) in zip(batch["samples"], named, strict=True)
            ]
            batch["masks"] = torch.from_numpy(np.stack(spans))
        batch["labels"] = self._labels(batch["index"])
        return batch

    def prepare(self, batch: Batch, device: Any) -> Batch:
        """Hear a batch: on the device, what a model takes.

        Parameters
        ----------
        batch : dict
            From `__getitems__`, on any device.
        device : torch.device or str
            Of the model.

        Returns
        -------
        dict
            `input_features` (clips, bands, frames), `labels` (clips, tokens), and with trimmed windows `positions`, a
            list of how many of the encoder's positions each clip has, and no more frames than they need.

        Raises
        ------
        InputError
            Where the condition cannot be applied, or more than 5 % of the clips could not be read.
        """
        self._note(batch.get("failed", {}))
        features, padding = self._heard(batch, torch.device(device))
        frames, positions = self.window.n_frames, None
        if self.windowing.padding == "trimmed":
            whole = self.window.n_frames // 2
            positions = [self.windowing.positions(n, self.window) or whole for n in batch["samples"]]
            frames = min(2 * max(positions) + 2, frames)
        prepared = {"input_features": _padded(features, padding, frames), "labels": batch["labels"].to(device)}
        return prepared if positions is None else {**prepared, "positions": positions}

    def _heard(self, batch: Batch, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-mels of a batch as far as its longest clip reaches, masked, and what follows them."""
        if "features" in batch:
            features, padding = batch["features"].to(device).float(), batch["padding"].to(device)
        else:
            sound, samples = batch["sound"].to(device), batch["samples"]
            if self.augment is not None and self.augment.ears is not None:
                sound = through_ears(sound, samples, batch["thresholds"].to(device), self.augment.ears, self.window)
            rows = [row[:n] for row, n in zip(sound, samples, strict=True)]
            if self.condition is not None:
                rows = filtered(rows, self.condition, self.window.sample_rate, self.names(batch))
            features, padding = heard_log_mels(rows, self.window, device)
        if self.augment is not None and self.augment.masks:
            frames = [self._frames(n) for n in batch["samples"]]
            features = hide(features, frames, batch["masks"].to(device), self.augment.time_masks)
        return features, padding

    def _frames(self, samples: int) -> int:
        """Frames of a clip that may be masked."""
        return min(1 + samples // self.window.hop_length, self.window.n_frames)

    def _labels(self, indices: Sequence[int]) -> torch.Tensor:
        # By length and never by id: padding and end token share an id.
        labels = torch.full((len(indices), int(self.label_lengths[list(indices)].max())), -100)
        for row, i in zip(labels, indices, strict=True):
            ids = self.speech.labels[i]
            row[: len(ids)] = torch.tensor(ids)
        return labels

    def _known(self, indices: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-mels that need not be computed, as they are kept or stored, padded to the longest of them."""
        if self.features is not None:
            found, padding = [self.features[i] for i in indices], [self._padding[i] for i in indices]
        else:
            found, padding = self.speech.log_mels(indices)
        behind = torch.tensor(padding)  # float32, also beside log-mels that are stored in less
        size = (len(found), self.window.n_mels, max(one.shape[1] for one in found))
        features = behind[:, None, None].expand(size).contiguous()
        for row, one in zip(features, found, strict=True):
            row[:, : one.shape[1]] = one
        return features, behind

    def _sounds(self, indices: list[int], epochs: Sequence[int], batch: Batch) -> list[np.ndarray[Any, Any]]:
        """Sound of clips, augmented. One that cannot be read any more is replaced by a neighbour, and told."""
        sounds: list[Any] = self.speech.sound(indices)
        for k, found in enumerate(sounds):
            for _ in range(_ATTEMPTS):
                if not isinstance(found, InputError):
                    break
                batch.setdefault("failed", {})[indices[k]] = str(found)
                indices[k] = (indices[k] + 1) % len(self)
                (found,) = self.speech.sound([indices[k]])
            else:
                raise InputError(f"{_ATTEMPTS} clips in a row cannot be read, the last: {found}")
            sounds[k] = found
            if self.augment is not None and self.augment.changes_waveform:
                rng = draw(self.seed, epochs[k], self.speech.ids[indices[k]])
                rate, longest = self.window.sample_rate, self.window.n_samples
                sounds[k] = self.augment.waveform(found, rng, sample_rate=rate, longest=longest)
        return sounds

    def _note(self, failed: Mapping[int, str]) -> None:
        for index, reason in failed.items():
            if index not in self._failed and len(self._failed) < _NAMED:
                _log.warning("clip %r is left out, another is heard instead: %s", self.speech.ids[index], reason)
            self._failed[index] = reason
        if failed and len(self._failed) > MOST_EXCLUDED * len(self):
            index, reason = next(iter(failed.items()))
            raise InputError(
                f"{len(self._failed)} of the {len(self)} clips could not be read while training, more than "
                f"{MOST_EXCLUDED:.0%}; the last: {self.speech.ids[index]!r}: {reason}"
            )

    def _keep_features(self) -> None:
        """Compute the log-mels of all clips, those of like length together, and forget the sound."""
        speech, n = self.speech, len(self)
        kept: list[Any] = [None] * n
        self._padding = [0.0] * n
        order = sorted(range(n), key=speech.lengths.__getitem__)
        for start in range(0, n, _AT_ONCE):
            some = order[start : start + _AT_ONCE]
            if speech.load_features is not None:
                found, padding = speech.log_mels(some)
                features: Sequence[torch.Tensor] = [one.float() for one in found]
            else:
                rows = [torch.from_numpy(x) for x in speech.sound(some)]
                if self.condition is not None:
                    rows = filtered(rows, self.condition, self.window.sample_rate, [speech.ids[i] for i in some])
                whole, behind = heard_log_mels(rows, self.window, torch.device("cpu"))
                padding = behind.tolist()
                features = [
                    one[:, : heard_frames(speech.lengths[i], self.window)] for one, i in zip(whole, some, strict=True)
                ]
            for i, one, value in zip(some, features, padding, strict=True):
                kept[i], self._padding[i] = one.clone(memory_format=torch.contiguous_format), value
        self.features, speech.waveforms = kept, None


def _padded(features: torch.Tensor, padding: torch.Tensor, frames: int) -> torch.Tensor:
    """Log-mels with so many frames: cut, or followed by what each clip's silence is."""
    clips, bands, there = features.shape
    if there >= frames:
        return features[..., :frames].contiguous()
    out = padding.to(features.dtype)[:, None, None].expand(clips, bands, frames).contiguous()
    out[..., :there] = features
    return out
