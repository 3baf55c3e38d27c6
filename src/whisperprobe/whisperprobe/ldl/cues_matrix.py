"""Cues of many words in one matrix, events × cues, and the shape that all matrices of a study share.

Each word has a number of *units*: chunks of 630 numbers (`cfbsf`), or frames of 128 log-mel bands (`log_mel`). A row of
the matrix is its units one after the other, padded with zeros to the units of the shape, or cut there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from audiogram.errors import InputError, unknown_name
from whisperprobe.features import WindowSpec, as_clips, heard_frames, log_mel, mono_clip
from whisperprobe.ldl.chunks import shortest_cut
from whisperprobe.ldl.cues_bands import SAMPLE_RATE
from whisperprobe.ldl.cues_summaries import CHUNK_CUES, BandSummaries, options_of, summaries_of_all, warn_if_narrow

if TYPE_CHECKING:
    import torch

__all__ = ["KINDS", "CueMatrix", "CueShape", "cue_matrix", "units_of_all"]

KINDS = ("cfbsf", "log_mel")
MEL_BANDS = 128
MEL_FRAMES = 391  # of 10 ms: 128 × 391 are 50,048 cues
_WINDOW = WindowSpec(n_mels=MEL_BANDS, n_frames=MEL_FRAMES)
UNIT_CUES = {"cfbsf": CHUNK_CUES, "log_mel": MEL_BANDS}


@dataclass(frozen=True)
class CueShape:
    """What the rows of a study's cue matrices have in common: fitted once, on the words learnt first.

    Every condition and every test set is put into the same shape, so that a cue means the same everywhere and what a
    condition makes inaudible stays so.

    Parameters
    ----------
    kind : {"cfbsf", "log_mel"}
        Which cues.
    units : int
        Chunks or frames of a row; words with more are cut.
    low, high : float
        For `log_mel`: the values that become 0 and 1; what lies beyond is cut to these. Padding is 0. For `cfbsf` 0 and
        1, unused.
    options : mapping
        Of `BandSummaries`; empty for `log_mel`.

    Examples
    --------
    >>> CueShape("cfbsf", units=4).width, CueShape("log_mel", units=391, low=-1.5, high=1.5).width
    (2520, 50048)
    """

    kind: str
    units: int
    low: float = 0.0
    high: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown_name("kind of cues", self.kind, KINDS)
        if isinstance(self.units, bool) or not isinstance(self.units, int) or self.units < 1:
            raise InputError(f"units is {self.units!r}; a row of cues has a whole number of them, 1 or more.")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise InputError(
                f"cues are scaled between low {self.low!r} and high {self.high!r}; low must be the smaller."
            )

    @property
    def width(self) -> int:
        """Number of cues of a row."""
        return self.units * UNIT_CUES[self.kind]

    def to_dict(self) -> dict[str, Any]:
        """Return the shape, JSON-able."""
        return {**asdict(self), "options": dict(self.options)}

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> CueShape:
        """Make the shape that `to_dict` described."""
        return cls(**said)

    @classmethod
    def fit(
        cls, kind: str, units: int, low: float = 0.0, high: float = 1.0, options: Mapping[str, Any] | None = None
    ) -> CueShape:
        """Make the shape of words of which the longest has `units`, and whose log-mel values lie in [low, high]."""
        if kind == "cfbsf":
            return cls(kind, units, options=dict(options or {}))
        if not low < high:
            raise InputError(
                "the reference words are silent, so there is nothing to scale log-mel cues by. Fit the shape on words "
                "that are heard."
            )
        return cls(kind, MEL_FRAMES, float(low), float(high))

    def place(self, units: np.ndarray, row: np.ndarray) -> None:
        """Write a word's units, `(units, cues of a unit)`, into a row of zeros, `(width,)`."""
        flat = units[: self.units].reshape(-1)
        if self.kind == "log_mel":
            flat = np.clip((flat - np.float32(self.low)) / np.float32(self.high - self.low), 0, 1)
        row[: len(flat)] = flat


@dataclass(frozen=True, eq=False)
class CueMatrix:
    """Cues of words that are in memory.

    Attributes
    ----------
    values : ndarray of float32, shape (events, cues)
        A row per word.
    shape : CueShape
        What the columns are.
    units : ndarray of int64, shape (events,)
        Chunks, or frames, of each word before it was padded or cut.
    short : ndarray of bool, shape (events,)
        For `cfbsf`: too short to have a boundary (below 2,600 samples at 16 kHz), hence one chunk. Else false.
    silent : ndarray of bool, shape (events,)
        Words whose samples are all 0 (for `cfbsf`: below half a 16-bit step); zeros, from which nothing is learnt.
    """

    values: np.ndarray
    shape: CueShape
    units: np.ndarray
    short: np.ndarray
    silent: np.ndarray

    @property
    def truncated(self) -> np.ndarray:
        """Which words have more units than the shape, and lost their end."""
        return np.asarray(self.units > self.shape.units)


def cue_matrix(
    waveforms: Any,
    sample_rate: int,
    kind: str = "cfbsf",
    *,
    shape: CueShape | None = None,
    keys: Sequence[str] | None = None,
    device: Any = None,
    **options: Any,
) -> CueMatrix:
    """Compute the cues of words in memory.

    Parameters
    ----------
    waveforms : array, tensor, or sequence of them
        Mono sound of each word, `(samples,)`, full scale ±1; of any lengths.
    sample_rate : int
        Of all, in Hz; anything but 16000 is resampled first.
    kind : {"cfbsf", "log_mel"}
        `cfbsf`: see `ldl.cfbsf`. `log_mel`: 128 bands of up to 391 frames of 10 ms, as Whisper hears them, scaled to
        [0, 1] by constants of the corpus; frame after frame.
    shape : CueShape, optional
        The shape of the matrix that these words are to be compared with; default: that of these words.
    keys : sequence of str, optional
        Ids of the words, for random frames.
    device : torch.device or str, optional
        Where to compute; default: where the first waveform is.
    **options
        For `cfbsf`: see `BandSummaries`. Those of `shape` where one is given.

    Returns
    -------
    CueMatrix

    Raises
    ------
    InputError
        An unknown kind or option, options beside a shape that say otherwise, a wrong waveform, none at all, or, without
        a shape, log-mel cues of silence alone.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> words = [0.1 * rng.standard_normal(n).astype("float32") for n in (4_000, 16_000)]
    >>> cues = cue_matrix(words, 16_000)
    >>> cues.values.shape == (2, cues.shape.width), cues.units.tolist()
    (True, [3, 7])
    """
    import torch

    if shape is not None:
        if not isinstance(shape, CueShape):
            raise InputError(f"shape is a {type(shape).__name__}; give the .shape of another matrix, a CueShape.")
        kind = shape.kind if kind == "cfbsf" else kind
        if kind != shape.kind or any(shape.options.get(name) != value for name, value in options.items()):
            raise InputError(
                f"the shape is of {shape.kind} cues with {dict(shape.options)}, but {kind!r} with {options} was asked "
                "for. Give the shape alone."
            )
        options = dict(shape.options)
    spec = spec_of(kind, options)
    clips = list(as_clips(waveforms, "cue_matrix"))
    if not clips:
        raise InputError("cue_matrix received no word; give at least one waveform.")
    if keys is not None and len(keys) != len(clips):
        raise InputError(f"keys names {len(keys)} words, but there are {len(clips)}.")
    if spec is not None:
        warn_if_narrow(sample_rate, spec)
    ready = [mono_clip(clip, i, sample_rate) for i, clip in enumerate(clips)]
    target = torch.device(device) if device is not None else ready[0].device
    ready = [clip.to(target) for clip in ready]
    units = units_of_all(ready, spec, keys)
    counts = np.array([full_units(kind, one, len(clip)) for one, clip in zip(units, ready, strict=True)])
    silent = np.array([is_silent(kind, one, clip) for one, clip in zip(units, ready, strict=True)])
    if shape is None:
        heard = [one for one, quiet in zip(units, silent, strict=True) if not quiet]
        low, high = min((float(u.min()) for u in heard), default=0.0), max((float(u.max()) for u in heard), default=0.0)
        shape = CueShape.fit(kind, int(counts.max()), low, high, spec.to_dict() if spec is not None else None)
    values = np.zeros((len(units), shape.width), dtype=np.float32)
    for one, row in zip(units, values, strict=True):
        shape.place(one, row)
    short = np.array([kind == "cfbsf" and len(clip) < shortest_cut(SAMPLE_RATE) for clip in ready])
    return CueMatrix(values, shape, counts, short, silent)


def spec_of(kind: str, options: Mapping[str, Any]) -> BandSummaries | None:
    """Return the options of C-FBSF cues, checked; None for log-mel cues, which have none."""
    if kind not in KINDS:
        raise unknown_name("kind of cues", kind, KINDS)
    if kind == "cfbsf":
        spec: BandSummaries = options_of(BandSummaries, dict(options))
        return spec
    if options:
        raise InputError(f"log-mel cues have no option {next(iter(options))!r}; those of C-FBSF cues do not apply.")
    return None


def units_of_all(
    clips: Sequence[torch.Tensor], spec: BandSummaries | None, keys: Sequence[str] | None = None
) -> list[np.ndarray]:
    """Return the units of clips at 16 kHz, float32 `(units, cues of a unit)`; log-mel ones where `spec` is None."""
    if spec is not None:
        return [one.cpu().numpy() for one in summaries_of_all(clips, spec, keys)]
    cut = [clip[: _WINDOW.n_samples] for clip in clips]
    spectra = log_mel(cut, _WINDOW).cpu().numpy()
    return [
        np.ascontiguousarray(spectrum[:, : heard_frames(len(clip), _WINDOW)].T)
        for spectrum, clip in zip(spectra, cut, strict=True)
    ]


def is_silent(kind: str, units: np.ndarray, clip: Any) -> bool:
    """Whether a word has no sound, or none that its cues know of."""
    return not bool((units if kind == "cfbsf" else clip).any())


def full_units(kind: str, units: np.ndarray, samples: int) -> int:
    """Return how many units a word has, those that were never computed included."""
    if kind == "log_mel" and samples > _WINDOW.n_samples:
        return max(MEL_FRAMES + 1, math.ceil(samples / _WINDOW.hop_length))
    return len(units)
