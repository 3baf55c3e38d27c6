"""What a Whisper model takes in: mel bands and frames, read from a model, its configuration, its folder or its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audiogram.errors import InputError
from whisperprobe.json_files import read_json
from whisperprobe.model_source import folder_of

__all__ = ["HOP_LENGTH", "N_FFT", "SAMPLE_RATE", "WindowSpec"]

SAMPLE_RATE = 16_000  # Whisper's, in every configuration
HOP_LENGTH = 160  # 10 ms between frames
N_FFT = 400  # 25 ms per frame
# OpenAI's checkpoints: mel bands, of windows of 30 s. Known here, so that their shape asks nothing of the network.
_PUBLISHED = {
    **{f"openai/whisper-{size}{kind}": 80 for size in ("tiny", "base", "small", "medium") for kind in ("", ".en")},
    **dict.fromkeys(("openai/whisper-large", "openai/whisper-large-v2"), 80),
    **dict.fromkeys(("openai/whisper-large-v3", "openai/whisper-large-v3-turbo"), 128),
}
_DAMAGED = "the model folder is damaged, copy it again"


@dataclass(frozen=True)
class WindowSpec:
    """What a Whisper model takes in: how many mel bands and how many frames.

    Parameters
    ----------
    n_mels : int
        Mel bands: 80 up to large-v2, 128 from large-v3 on.
    n_frames : int
        Frames of one window, 100 per second; twice the encoder's positions.
    sample_rate, hop_length, n_fft : int
        Hz and samples; the same in every Whisper model.

    Examples
    --------
    >>> WindowSpec(n_mels=80, n_frames=200).seconds
    2.0
    """

    n_mels: int
    n_frames: int
    sample_rate: int = SAMPLE_RATE
    hop_length: int = HOP_LENGTH
    n_fft: int = N_FFT

    def __post_init__(self) -> None:
        for name in ("n_mels", "n_frames", "sample_rate", "hop_length", "n_fft"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name} is {value!r}; a Whisper window needs a positive whole number.")

    @property
    def n_samples(self) -> int:
        """Samples of one window."""
        return self.n_frames * self.hop_length

    @property
    def seconds(self) -> float:
        """Length of the window in seconds."""
        return self.n_samples / self.sample_rate

    @classmethod
    def of(cls, source: Any) -> WindowSpec:
        """Read the window from a model, a configuration, a model folder or a hub name.

        Parameters
        ----------
        source : WindowSpec, WhisperConfig, model with a `config`, mapping, str or Path
            Where to read from. A folder is read without loading its weights.

        Returns
        -------
        WindowSpec

        Raises
        ------
        InputError
            If it is no Whisper, lacks its configuration, or its feature extractor disagrees with it.
        """
        if isinstance(source, WindowSpec):
            return source
        if isinstance(source, str | Path):
            return _from_path(str(source))
        config = source if isinstance(source, Mapping) else getattr(source, "config", source)
        values = config if isinstance(config, Mapping) else vars(config)
        if "num_mel_bins" not in values or "max_source_positions" not in values:
            raise InputError(
                f"a {type(source).__name__} says neither num_mel_bins nor max_source_positions: it is no Whisper "
                "model or configuration. Give a WhisperForConditionalGeneration, a WhisperConfig or a model folder."
            )
        return cls(n_mels=int(values["num_mel_bins"]), n_frames=2 * int(values["max_source_positions"]))


def _from_path(path: str) -> WindowSpec:
    """The window of a model folder or hub name; a folder's feature extractor must agree with its model."""
    if path in _PUBLISHED and not Path(path).is_dir():
        return WindowSpec(n_mels=_PUBLISHED[path], n_frames=3000)
    folder = folder_of(path)
    file = folder / "config.json"
    if not file.is_file():
        raise InputError(f"{folder} has no config.json: it is no model folder. Give the folder that was saved.")
    config = read_json(file, _DAMAGED)
    if config.get("model_type") != "whisper":
        kind = config.get("model_type")
        raise InputError(f"{folder} holds a model of type {kind!r}, not a Whisper; give a Whisper's folder.")
    window = WindowSpec.of(config)
    said = _extractor(folder)
    bands, seconds = said.get("feature_size", window.n_mels), said.get("chunk_length", window.seconds)
    if (bands, float(seconds)) != (window.n_mels, window.seconds):
        raise InputError(
            f"{folder}: its feature extractor makes {bands} mel bands in {seconds} s windows, the model takes "
            f"{window.n_mels} in {window.seconds:g} s. One of the two comes from another model."
        )
    return window


def _extractor(folder: Path) -> dict[str, Any]:
    """What a folder says about its feature extractor; transformers 5 may keep it in processor_config.json."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        file = folder / name
        if file.is_file():
            said = read_json(file, _DAMAGED)
            return dict(said.get("feature_extractor", said))
    return {}
