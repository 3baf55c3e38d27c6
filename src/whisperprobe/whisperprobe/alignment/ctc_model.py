"""CTC models of characters: loaded from a path, and how sure they are of every character in every frame of a clip."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from audiogram.errors import InputError
from whisperprobe.devices import chosen_device
from whisperprobe.probing.loading import first_line, weights_hash
from whisperprobe.training.surroundings import quiet_transformers

__all__ = ["CTCModel", "emissions", "load_ctc_model"]

CHUNK_SECONDS, CONTEXT_SECONDS = 30.0, 2.0
"""Longer clips are heard in pieces of so many s, each with so much of what is around it: attention grows squarely."""

_MMS_STRIDE, _MMS_FIELD = 320, 400  # samples, of wav2vec 2.0's seven convolutions


@dataclass(frozen=True, eq=False)
class CTCModel:
    """A model that names characters, frame by frame.

    Attributes
    ----------
    forward : callable
        ``forward(sound, lengths)``: (clips, samples) float32 and how many samples each has, to log-probabilities
        (clips, frames, labels).
    characters : dict of str to int
        The label of each character that it knows.
    blank : int
        The label of none.
    delimiter : int or None
        The label of what stands between words, where there is one.
    stride, reach : int
        Samples from one frame to the next, and samples that one frame sees without attention.
    sample_rate : int
        In Hz.
    normalise : bool
        Whether a clip is brought to mean 0 and variance 1.
    batched : bool
        Whether clips of several lengths can be heard together without changing each other.
    device : str
        Where it computes.
    about : dict
        What identifies it, for a manifest.
    """

    forward: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    characters: Mapping[str, int]
    blank: int
    delimiter: int | None
    stride: int
    reach: int
    sample_rate: int = 16_000
    normalise: bool = True
    batched: bool = True
    device: str = "cpu"
    about: Mapping[str, Any] = field(default_factory=dict)

    def frames(self, samples: int) -> int:
        """How many frames a clip has."""
        return max(0, (samples - self.reach) // self.stride + 1)

    def time(self, frame: int) -> float:
        """When a frame begins, in s: each stands for `stride` samples in the middle of what it sees."""
        return (frame * self.stride + (self.reach - self.stride) / 2) / self.sample_rate


def load_ctc_model(path: str | Path, *, device: str = "auto") -> CTCModel:
    """Load a CTC model of characters.

    Parameters
    ----------
    path : path
        Folder of a wav2vec 2.0, HuBERT, WavLM or other model that takes sound as it is, with its tokenizer
        (`transformers` reads it); or the file of torchaudio's MMS_FA weights, ``model.pt``.
    device : str, default "auto"
        A GPU where there is one.

    Raises
    ------
    InputError
        Nothing there, not such a model, a file that is missing or damaged.
    """
    where, found = chosen_device(device), Path(path)
    if not found.exists():
        raise InputError(
            f"there is no CTC model {path}. Give the folder of a wav2vec 2.0 CTC model, or the file of torchaudio's "
            "MMS_FA weights (model.pt)."
        )
    return _mms(found, where) if found.is_file() else _folder(found, where)


def _folder(folder: Path, device: str) -> CTCModel:
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForCTC, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor

    for name in ("config.json", "preprocessor_config.json", "vocab.json"):
        if not (folder / name).is_file():
            raise InputError(
                f"{folder} has no {name}: no folder of a CTC model of characters. Save model, feature extractor and "
                "tokenizer in it (save_pretrained)."
            )
    try:
        config = AutoConfig.from_pretrained(str(folder))
        if not hasattr(config, "conv_stride"):
            raise InputError(
                f"{folder} holds a model of type {config.model_type!r}, which is no CTC model that takes sound as it "
                "is (wav2vec2, hubert, wavlm, ...). Of a Whisper take --method whisper."
            )
        load: Any = AutoModelForCTC.from_pretrained
        with quiet_transformers():
            model, loading = load(str(folder), dtype=torch.float32, output_loading_info=True)
        extractor: Any = Wav2Vec2FeatureExtractor.from_pretrained(str(folder))
        tokenizer: Any = Wav2Vec2CTCTokenizer.from_pretrained(str(folder))
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"the CTC model {folder} cannot be loaded: {first_line(error)} Copy it again.") from error
    if loading["missing_keys"]:  # transformers would fill them with random numbers and go on
        raise InputError(f"the weights of {folder} lack {sorted(loading['missing_keys'])[0]}, ...; copy them again.")
    vocabulary = tokenizer.get_vocab()
    delimiter = vocabulary.get(tokenizer.word_delimiter_token)
    blank = tokenizer.pad_token_id if config.pad_token_id is None else config.pad_token_id
    characters = {c: i for c, i in vocabulary.items() if len(c) == 1 and i not in (delimiter, blank)}
    if blank is None or max(vocabulary.values()) >= config.vocab_size:
        raise InputError(f"the tokenizer of {folder} does not fit its model: {len(vocabulary)} labels, no blank.")
    if not any(c.isalpha() for c in characters):
        raise InputError(f"{folder} names no single letters but pieces of words or sounds; alignment needs letters.")
    model = model.eval().requires_grad_(False).to(device)
    masked = config.feat_extract_norm == "layer"

    def forward(sound: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        mask = None
        if masked:
            mask = (torch.arange(sound.shape[1], device=sound.device) < lengths[:, None].to(sound.device)).long()
        return torch.log_softmax(model(sound, attention_mask=mask).logits.float(), dim=-1)

    reach = 1
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        reach = (reach - 1) * stride + kernel
    return CTCModel(
        forward, characters, int(blank), delimiter, math.prod(config.conv_stride), reach,
        sample_rate=int(extractor.sampling_rate), normalise=bool(extractor.do_normalize), batched=masked,
        device=device, about={"model": str(folder), "model_sha256": weights_hash(folder), "characters_sha256": _digest(
            {"characters": characters, "delimiter": delimiter, "blank": int(blank)})},
    )  # fmt: skip


def _mms(file: Path, device: str) -> CTCModel:
    from whisperprobe.alignment.torchaudio_here import torchaudio_module

    bundle = torchaudio_module("pipelines").MMS_FA
    where = {"model_dir": str(file.parent), "file_name": file.name, "weights_only": True}
    try:
        model = bundle.get_model(with_star=False, dl_kwargs={**where, "map_location": "cpu"})
    except Exception as error:  # unpickling what is no such file raises whatever it likes
        raise InputError(
            f"{file} does not hold torchaudio's MMS_FA weights: {first_line(error)} Fetch "
            "https://dl.fbaipublicfiles.com/mms/torchaudio/ctc_alignment_mling_uroman/model.pt."
        ) from error
    model = model.eval().requires_grad_(False).to(device)
    labels = dict(bundle.get_dict(star=None, blank="-"))
    blank = labels.pop("-")
    with open(file, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()

    def forward(sound: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = model(sound)[0]
        return found

    return CTCModel(
        forward, labels, blank, None, _MMS_STRIDE, _MMS_FIELD,
        sample_rate=int(bundle.sample_rate), normalise=False, batched=False, device=device,
        about={"model": str(file), "model_sha256": digest, "characters_sha256": _digest(labels)},
    )  # fmt: skip


def _digest(said: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def emissions(
    model: CTCModel,
    waveforms: Sequence[Any],
    *,
    batch_size: int = 8,
    chunk_seconds: float = CHUNK_SECONDS,
    context_seconds: float = CONTEXT_SECONDS,
) -> list[torch.Tensor]:
    """Return how probable each label is in each frame of each clip.

    Parameters
    ----------
    model : CTCModel
        Who listens.
    waveforms : sequence of float32 arrays, shape (samples,)
        At the model's rate, as many samples as one frame sees or more.
    batch_size : int, default 8
        Pieces that are heard together.
    chunk_seconds, context_seconds : float
        Clips longer than a chunk and its context are heard in pieces.

    Returns
    -------
    list of tensor, shape (frames, labels)
        Natural logarithms of probabilities, float32, on the model's device.
    """
    chunk = max(1, round(chunk_seconds * model.sample_rate / model.stride))
    context = round(context_seconds * model.sample_rate / model.stride)
    pieces: list[tuple[int, torch.Tensor, int, int]] = []  # clip, sound, frames before those wanted, frames wanted
    for clip, waveform in enumerate(waveforms):
        x = torch.as_tensor(waveform, dtype=torch.float32)
        if model.normalise:
            x = (x - x.mean()) / torch.sqrt(x.var(unbiased=False) + 1e-7)
        frames = model.frames(len(x))
        step = frames if frames <= chunk + 2 * context else chunk
        for first in range(0, frames, max(1, step)):
            begin, end = max(0, first - context), min(frames, first + step + context)
            sound = x if step == frames else x[begin * model.stride : (end - 1) * model.stride + model.reach]
            pieces.append((clip, sound, first - begin, min(step, frames - first)))
    found: list[list[torch.Tensor]] = [[] for _ in waveforms]
    size = batch_size if model.batched else 1
    for start in range(0, len(pieces), size):
        together = pieces[start : start + size]
        lengths = torch.tensor([len(sound) for _, sound, _, _ in together])
        sounds = torch.nn.utils.rnn.pad_sequence([sound for _, sound, _, _ in together], batch_first=True)
        with torch.inference_mode():
            heard = model.forward(sounds.to(model.device), lengths)
        for (clip, _, before, wanted), one in zip(together, heard, strict=True):
            found[clip].append(one[before : before + wanted])
    return [torch.cat(one) for one in found]
