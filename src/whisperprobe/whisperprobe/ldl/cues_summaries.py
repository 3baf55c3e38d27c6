"""C-FBSF cues: continuous frequency band summary features, 630 numbers for each chunk of a word.

Of every chunk, 20 frames in their order: their 21 log band energies (420 numbers), and the Spearman correlations of
every pair of bands over these 20 frames (210 numbers).

References
----------
.. [1] E. Shafaei-Bajestan, M. Moradipour-Tari, P. Uhrig and R. H. Baayen, "LDL-AURIS: a computational model, grounded
   in error-driven learning, for the comprehension of single spoken words", Language, Cognition and Neuroscience 38(4),
   509-536, 2023.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from audiogram.errors import AudiogramWarning, InputError, unknown_name
from audiogram.random_streams import check_seed, generator, row_keys
from whisperprobe.features import mono_clip
from whisperprobe.ldl.chunks import boundaries_of_all, check_boundary
from whisperprobe.ldl.cues_bands import BANDS, FRAME_HOP, FRAME_LENGTH, SAMPLE_RATE, log_bands

if TYPE_CHECKING:
    import torch

__all__ = ["CHUNK_CUES", "PAIRS", "SAMPLES", "BandSummaries", "cfbsf", "summaries_of_all"]

SAMPLES = 20
"""Frames that are kept of each chunk."""
PAIRS = tuple((a, b) for a in range(BANDS) for b in range(a + 1, BANDS))
"""Pairs of bands, 0 to 20, in the order of their correlations."""
CHUNK_CUES = SAMPLES * BANDS + len(PAIRS)
"""Cues of one chunk: 630."""

SAMPLINGS = ("equispaced", "random")
_WHY = {  # behind the range of an option
    "full_scale": "; samples are rounded to whole numbers of it",
    "top_hz": f" Hz: cues are taken from sound of {SAMPLE_RATE} Hz, which holds nothing above half of that",
}
_GRAIN = 1e-9  # log energies that differ by less are equal for ranks: a steady tone is constant but for rounding
_CHUNKS_AT_ONCE = 2048  # bounds the memory of all comparisons between the 20 values of a band
_SAMPLES_AT_ONCE = 1 << 20  # and that of the transforms


@dataclass(frozen=True)
class BandSummaries:
    """How C-FBSF cues are computed.

    Parameters
    ----------
    boundary : {"max", "min"}
        Chunks begin at maxima of the envelope (LDL-AURIS) or at minima (Arnold et al. 2017).
    sampling : {"equispaced", "random"}
        Which 20 frames of a chunk: from the first to the last in equal steps, or drawn without replacement. Chunks of
        less than 20 frames always repeat frames in equal steps.
    seed : int, default 0
        Of the random frames, with the clip's key.
    full_scale : float, default 32768
        What a sample of 1 becomes before it is rounded to a whole number: 32768 is a 16-bit file. At least 128.
    top_hz : float, default 8000
        Upper edge of the highest mel band, 2000 to 8000 Hz. Recordings of 8 kHz hold nothing above 4000 Hz.
    """

    boundary: str = "max"
    sampling: str = "equispaced"
    seed: int = 0
    full_scale: float = 32768.0
    top_hz: float = 8000.0

    def __post_init__(self) -> None:
        check_boundary(self.boundary)
        if self.sampling not in SAMPLINGS:
            raise unknown_name("sampling", self.sampling, SAMPLINGS)
        check_seed(self.seed)
        for name, low, high in (("full_scale", 128.0, 2.0**31), ("top_hz", 2000.0, SAMPLE_RATE / 2)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise InputError(f"{name} is {value!r}; it lies between {low:g} and {high:g}{_WHY[name]}.")
            object.__setattr__(self, name, float(value))

    def to_dict(self) -> dict[str, Any]:
        """Return the options, JSON-able."""
        return asdict(self)


def cfbsf(waveform: Any, sample_rate: int, *, key: str | None = None, **options: Any) -> Any:
    """Compute the C-FBSF cues of a word (LDL-AURIS, Shafaei-Bajestan et al. 2023).

    Parameters
    ----------
    waveform : array or tensor of float, shape (samples,)
        Mono sound of the word, full scale ±1.
    sample_rate : int
        In Hz; anything but 16000 is resampled first.
    key : str, optional
        What makes the word's random frames its own, e.g. its id; by default a digest of its samples.
    **options
        Of `BandSummaries`: `boundary`, `sampling`, `seed`, `full_scale`, `top_hz`.

    Returns
    -------
    ndarray or Tensor of float32, shape (chunks, 630)
        What `waveform` was, on its device. A row is a chunk: 20 values ln(energy + 1) of band 0, 20 of band 1, ...;
        then the correlations of bands (0, 1), (0, 2), ... (19, 20), between -1 and 1. A correlation with a band that is
        constant over the 20 frames is 0; silence is a chunk of zeros.

    Raises
    ------
    InputError
        An unknown option or value, or sound that is empty, not finite or not mono.

    References
    ----------
    See the module's.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.arange(16_000) / 16_000
    >>> pulses = np.sin(2 * np.pi * 500 * t) * (np.exp(-((t - 0.3) / 0.04) ** 2) + np.exp(-((t - 0.7) / 0.04) ** 2))
    >>> cfbsf(pulses, 16_000).shape, cfbsf(pulses, 16_000, boundary="min").shape
    ((3, 630), (2, 630))
    """
    spec = options_of(BandSummaries, options)
    warn_if_narrow(sample_rate, spec)
    clip = mono_clip(waveform, 0, sample_rate)
    (cues,) = summaries_of_all([clip], spec, None if key is None else [key])
    return cues if type(waveform).__module__.partition(".")[0] == "torch" else cues.cpu().numpy()


def warn_if_narrow(sample_rate: int, spec: BandSummaries) -> None:
    """Warn where the highest bands can hold nothing but what the resampler and rounding left."""
    if sample_rate / 2 < spec.top_hz:
        warnings.warn(
            f"sound of {sample_rate} Hz holds nothing above {sample_rate / 2:g} Hz, but the mel bands reach to "
            f"{spec.top_hz:g} Hz: the ranks in the highest bands are rounding. If all words are like that, set top_hz "
            f"to {max(2000.0, sample_rate / 2):g}.",
            AudiogramWarning,
            stacklevel=3,
        )


def options_of(kind: Any, options: dict[str, Any]) -> Any:
    """Make a dataclass of options; an unknown one is said with its close matches."""
    known = kind.__dataclass_fields__
    for name in options:
        if name not in known:
            raise unknown_name("option", name, known)
    return kind(**options)


def summaries_of_all(
    clips: Sequence[torch.Tensor], spec: BandSummaries, keys: Sequence[str] | None = None
) -> list[torch.Tensor]:
    """C-FBSF cues of clips at 16 kHz on one device, float32 `(chunks, 630)` each; none of the clips is empty."""
    cues: dict[int, torch.Tensor] = {}
    for rows in _batches([len(clip) for clip in clips]):
        here = None if keys is None else [keys[i] for i in rows]
        cues.update(zip(rows, _batch([clips[i] for i in rows], spec, here), strict=True))
    return [cues[i] for i in range(len(clips))]


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Clips that are computed together: of like length, and together no longer, when padded, than memory allows."""
    batches: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not batches or (len(batches[-1]) + 1) * lengths[row] > _SAMPLES_AT_ONCE:
            batches.append([])
        batches[-1].append(row)
    return batches


def _batch(clips: Sequence[torch.Tensor], spec: BandSummaries, keys: Sequence[str] | None) -> list[torch.Tensor]:
    import torch

    bands, counts = log_bands(clips, spec.full_scale, spec.top_hz)
    starts: list[int] = []  # first frame of each chunk
    stops: list[int] = []
    chunks: list[int] = []  # of each clip
    first = 0
    for found, count in zip(boundaries_of_all(clips, SAMPLE_RATE, spec.boundary), counts, strict=True):
        # a frame belongs to the chunk in which its middle lies
        inner = [-((FRAME_LENGTH // 2 - b) // FRAME_HOP) for b in found.tolist()]
        edges = [first + i for i in (0, *inner, count)]
        starts += edges[:-1]
        stops += edges[1:]
        chunks.append(len(edges) - 1)
        first += count
    frames = _frames(np.array(starts), np.array(stops))
    if spec.sampling == "random":
        _draw(frames, starts, stops, chunks, clips, spec.seed, keys)
    sampled = bands[torch.from_numpy(frames).to(bands.device)].transpose(1, 2)  # (chunks, bands, samples)
    a, b = _pairs(bands.device)
    out = torch.empty((len(sampled), CHUNK_CUES), dtype=torch.float32, device=bands.device)
    for begin in range(0, len(sampled), _CHUNKS_AT_ONCE):
        some = sampled[begin : begin + _CHUNKS_AT_ONCE]
        out[begin : begin + len(some), : SAMPLES * BANDS] = some.flatten(1)
        out[begin : begin + len(some), SAMPLES * BANDS :] = _spearman(some)[:, a, b]
    return list(torch.split(out, chunks))


def _frames(starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Twenty frames of each chunk in equal steps, both ends included, halves rounded up."""
    k = np.arange(SAMPLES)
    steps = 2 * k * (stops - starts - 1)[:, None]
    return np.asarray(starts[:, None] + (steps + SAMPLES - 1) // (2 * (SAMPLES - 1)), dtype=np.int64)


def _draw(
    frames: np.ndarray,
    starts: Sequence[int],
    stops: Sequence[int],
    chunks: Sequence[int],
    clips: Sequence[torch.Tensor],
    seed: int,
    keys: Sequence[str] | None,
) -> None:
    """Replace the frames of all chunks that have more than they need by random ones, in their order."""
    chunk = 0
    for i, (clip, count) in enumerate(zip(clips, chunks, strict=True)):
        rng = generator(seed, row_keys(clip, None)[0] if keys is None else keys[i], "cfbsf frames")
        for _ in range(count):
            length = stops[chunk] - starts[chunk]
            if length > SAMPLES:
                frames[chunk] = starts[chunk] + np.sort(rng.choice(length, SAMPLES, replace=False))
            chunk += 1


def _spearman(values: torch.Tensor) -> torch.Tensor:
    """Rank correlations of the rows of each matrix, ties sharing their mean rank; 0 where a row is constant."""
    import torch

    grains = (values / _GRAIN).round_()
    # Twice a value's rank less the mean rank is how many values are smaller less how many are larger. Whole numbers:
    # their sums of products are exact, on every device.
    ranks = (grains[..., :, None] - grains[..., None, :]).sign_().sum(-1)
    products = ranks @ ranks.transpose(-1, -2)
    squares = products.diagonal(dim1=-2, dim2=-1)
    scale = (squares[..., :, None] * squares[..., None, :]).sqrt_()
    return torch.where(scale > 0, products / scale, 0.0)


@functools.lru_cache(maxsize=8)
def _pairs(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    a, b = torch.tensor(PAIRS, device=device).T
    return a, b
