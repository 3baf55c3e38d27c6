"""Log-mel spectrograms as Whisper hears them: batched, for any Whisper configuration, on CPU or GPU.

Whisper's own extractor pads every clip with silence to the whole window and transforms all of it. Frames that
see nothing but padding have a known value, so only the frames that touch sound are computed here.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from audiogram.errors import InputError
from whisperprobe.window_spec import SAMPLE_RATE, WindowSpec

if TYPE_CHECKING:
    import torch

__all__ = ["WindowSpec", "as_clips", "heard_frames", "log_mel", "mono_clip"]

_FLOOR_POWER = 1e-10
_DYNAMIC_RANGE = 8.0  # in log10 of power: nothing lies more than 80 dB below the loudest cell of the clip
_CLIPS_AT_ONCE = 64  # bounds the memory of the transforms, which is many times that of the result


def log_mel(
    waveforms: Any, model_or_config: Any, sample_rate: int = SAMPLE_RATE, *, device: Any = None
) -> torch.Tensor:
    """Compute the log-mel spectrograms that a Whisper model hears.

    Equal to `transformers.WhisperFeatureExtractor` within 1e-4, for every number of bands and every window.

    Parameters
    ----------
    waveforms : array, tensor, or sequence of them
        Mono sound, full scale ±1, floating point: one clip of shape `(samples,)`, clips of one length
        `(clips, samples)`, or a sequence of clips `(samples,)` of any lengths up to the model's window.
    model_or_config : model, WhisperConfig, WindowSpec, str or Path
        Whose bands and window to use; see `WindowSpec.of`.
    sample_rate : int, default 16000
        Of the waveforms, Hz. Anything but 16000 is resampled first.
    device : torch.device or str, optional
        Where to compute and leave the result; default: where the first waveform is (arrays: the CPU).

    Returns
    -------
    torch.Tensor
        float32, shape `(clips, bands, frames)`; between -1.5 and about 1.5 (log10 power, clipped 8 below
        its largest value, plus 4, over 4).

    Raises
    ------
    InputError
        For a clip that is empty, longer than the window, not finite, not mono or not floating point.

    References
    ----------
    .. [1] A. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022.

    Examples
    --------
    >>> import numpy as np
    >>> log_mel(np.zeros(8000, dtype="float32"), WindowSpec(n_mels=80, n_frames=200)).shape
    torch.Size([1, 80, 200])
    """
    import torch

    window = WindowSpec.of(model_or_config)
    clips = [_checked(clip, i, window, sample_rate) for i, clip in enumerate(as_clips(waveforms))]
    if not clips:
        raise InputError("log_mel received no clip; give at least one waveform.")
    target = torch.device(device) if device is not None else clips[0].device
    out = torch.empty((len(clips), window.n_mels, window.n_frames), dtype=torch.float32, device=target)
    # Clips of like length share a transform, so that one long clip does not make all the short ones expensive.
    order = sorted(range(len(clips)), key=lambda i: clips[i].shape[0])
    for start in range(0, len(order), _CLIPS_AT_ONCE):
        rows = order[start : start + _CLIPS_AT_ONCE]
        heard, padding = heard_log_mels([clips[i] for i in rows], window, target)
        at = torch.tensor(rows, device=target)
        out[at] = padding[:, None, None]
        out[at, :, : heard.shape[2]] = heard
    return out


def heard_frames(samples: int, window: WindowSpec) -> int:
    """Return how many frames of a clip see some of its sound; all others see padding alone.

    Parameters
    ----------
    samples : int
        Length of the clip at the window's rate.
    window : WindowSpec
        Of the model.

    Examples
    --------
    >>> heard_frames(16_000, WindowSpec(n_mels=80, n_frames=3000))
    102
    """
    # Frame t is centred on sample t * hop and sees half a frame to either side: the first frame that sees
    # padding alone is the one whose left edge lies at or behind the clip's end.
    return min(window.n_frames, math.ceil((samples + window.n_fft // 2) / window.hop_length))


def heard_log_mels(clips: Sequence[torch.Tensor], window: WindowSpec, device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute log-mels of clips padded to the longest of them, without checking the clips.

    Parameters
    ----------
    clips : sequence of tensor, each of shape (samples,)
        float32, finite, at the window's rate, 1 to `window.n_samples` samples.
    window : WindowSpec
        Of the model.
    device : torch.device
        Where to compute.

    Returns
    -------
    tensor, shape (clips, bands, frames)
        The frames that see some of the longest clip's sound; what `log_mel` begins with.
    tensor, shape (clips,)
        What all later frames of a clip's window hold.
    """
    import torch
    from torch.nn.functional import pad

    half = window.n_fft // 2
    heard = heard_frames(max(clip.shape[0] for clip in clips), window)
    needed = (heard - 1) * window.hop_length + half  # last sample that the last computed frame sees
    buffer = torch.zeros((len(clips), min(max(needed, half + 1), window.n_samples)), dtype=torch.float32, device=device)
    for row, clip in zip(buffer, clips, strict=True):
        row[: clip.shape[0]] = clip
    # The extractor pads with silence first and reflects both ends of the padded window afterwards: a clip's own
    # end is reflected only where it reaches the last half frame of the window.
    mirrored = pad(buffer[:, None], (half, max(0, needed - window.n_samples)), mode="reflect")[:, 0]
    spectrum = torch.stft(
        mirrored, window.n_fft, window.hop_length, window=_hann(window.n_fft, device), center=False, return_complex=True
    )[..., :heard]
    power = spectrum.real.square() + spectrum.imag.square()
    mel = torch.matmul(_mel_filters(window.n_mels, window.n_fft, device), power)
    floor = math.log10(_FLOOR_POWER)
    log_spec = mel.clamp_(min=_FLOOR_POWER).log10_()
    lowest = (log_spec.amax(dim=(1, 2)) - _DYNAMIC_RANGE).clamp_(min=floor)  # per clip: what silence is raised to
    log_spec = torch.maximum(log_spec, lowest[:, None, None]).add_(4.0).div_(4.0)
    return log_spec, (lowest + 4.0) / 4.0


@functools.lru_cache(maxsize=8)
def _hann(n_fft: int, device: torch.device) -> torch.Tensor:
    import torch

    return torch.hann_window(n_fft, device=device)


@functools.lru_cache(maxsize=8)
def _mel_filters(n_mels: int, n_fft: int, device: torch.device) -> torch.Tensor:
    """Slaney's mel filters as Whisper uses them, shape (bands, bins)."""
    import torch
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(
        num_frequency_bins=1 + n_fft // 2,
        num_mel_filters=n_mels,
        min_frequency=0.0,
        max_frequency=8000.0,
        sampling_rate=SAMPLE_RATE,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(filters.T.copy()).to(device=device, dtype=torch.float32)


def as_clips(waveforms: Any, caller: str = "log_mel") -> Sequence[Any]:
    """Return one clip, a stack of clips or a sequence of clips as a sequence of clips; `caller` is for errors."""
    dimensions = getattr(waveforms, "ndim", None)
    if dimensions is None:
        clips: Sequence[Any] = list(waveforms)
        if clips and isinstance(clips[0], int | float):
            raise InputError(f"{caller} received a list of numbers; give NumPy arrays or torch tensors.")
        return clips
    if dimensions not in (1, 2):
        raise InputError(
            f"{caller} received waveforms of shape {tuple(waveforms.shape)}; give (samples,) or (clips, samples), mono."
        )
    return [waveforms] if dimensions == 1 else list(waveforms)


def mono_clip(clip: Any, index: int, sample_rate: int, wanted: int = SAMPLE_RATE) -> torch.Tensor:
    """Return one clip as a float32 tensor at the wanted rate, on the device that it is on.

    Parameters
    ----------
    clip : array or tensor of float, shape (samples,)
        Mono sound, full scale ±1.
    index : int
        Its number, for what an error says.
    sample_rate, wanted : int
        The rate that it has and the one that it gets, Hz.

    Raises
    ------
    InputError
        It is empty, not finite, not mono or not floating point.
    """
    import numpy as np
    import torch

    if isinstance(clip, torch.Tensor):
        tensor = clip
    else:
        array = np.ascontiguousarray(clip)
        if array.dtype.kind not in "fiu":
            raise InputError(f"clip {index} is of type {array.dtype}; give floating-point sound, full scale ±1.")
        tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
    if not tensor.is_floating_point():
        raise InputError(
            f"clip {index} is of type {tensor.dtype}; floating-point sound is needed, full scale ±1. "
            "For 16-bit samples divide by 32768 first."
        )
    if tensor.ndim != 1:
        raise InputError(f"clip {index} has shape {tuple(tensor.shape)}; give mono sound of shape (samples,).")
    if tensor.shape[0] == 0:
        raise InputError(f"clip {index} is empty (0 samples); leave it out or look at its source.")
    tensor = tensor.detach().to(torch.float32)
    if not bool(torch.isfinite(tensor).all()):
        raise InputError(f"clip {index} holds NaN or infinite samples; look at its source.")
    if sample_rate != wanted:
        from audiogram import sound

        resampled = sound.resample(tensor.cpu().numpy(), sample_rate, wanted)
        tensor = torch.from_numpy(np.ascontiguousarray(resampled, dtype=np.float32)).to(tensor.device)
    return tensor


def _checked(clip: Any, index: int, window: WindowSpec, sample_rate: int) -> torch.Tensor:
    """One clip as a float32 tensor at Whisper's rate, or the reason why it is none."""
    tensor = mono_clip(clip, index, sample_rate, window.sample_rate)
    if tensor.shape[0] > window.n_samples:
        raise InputError(
            f"clip {index} lasts {tensor.shape[0] / window.sample_rate:.2f} s, longer than the model's window of "
            f"{window.seconds:g} s. Cut it, leave it out, or use a model with a longer window"
            + ("." if sample_rate != window.sample_rate else f" (is {sample_rate} Hz its sample rate?).")
        )
    return tensor
