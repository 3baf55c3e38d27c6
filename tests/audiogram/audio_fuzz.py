"""Sound files as they come in all encodings, and what damage makes of them. Same seed, same bytes."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import numpy as np
import soundfile

# What libsndfile can write but not read back from bytes alone: two files in one, or no header.
NOT_FOR_BYTES = ("SD2", "RAW")
ENDINGS = ("wav", "flac", "mp3", "ogg", "opus", "aiff", "au", "caf", "w64", "m4a", "aac", "wma", "webm")
EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def tone(samples: int, rate: int, channels: int = 1) -> np.ndarray:
    """Half of full scale at a sixteenth of the rate, the same in all channels: it outlives every lossy encoding."""
    wave = 0.5 * np.sin(2 * np.pi * np.arange(samples) / 16 + 0.1)
    return np.repeat(wave[:, None], channels, axis=1)


def encoded(container: str, subtype: str, rate: int = 16_000, channels: int = 1, samples: int = 2048) -> bytes | None:
    """A tone in an encoding, or None where libsndfile does not write it so."""
    buffer = io.BytesIO()
    try:
        soundfile.write(buffer, tone(samples, rate, channels), rate, format=container, subtype=subtype)
    except (soundfile.LibsndfileError, ValueError, TypeError):
        return None
    return buffer.getvalue() or None


def encodings() -> Iterator[tuple[str, str]]:
    """Every container and subtype that this libsndfile writes."""
    for container in soundfile.available_formats():
        if container not in NOT_FOR_BYTES:
            for subtype in soundfile.available_subtypes(container):
                yield container, subtype


def wav(
    data: bytes, bits: int, rate: int = 16_000, channels: int = 1, code: int = 1, length: int | None = None
) -> bytes:
    """A WAV file whose header says what is asked for, true or not."""
    width = max(1, channels * ((bits + 7) // 8)) & 0xFFFF
    form = struct.pack("<HHIIHH", code, channels, rate, (rate * width) & 0xFFFFFFFF, width, bits)
    length = len(data) if length is None else length
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", length) + data
    return b"RIFF" + struct.pack("<I", min(len(body) - len(data) + length, 0xFFFFFFFF)) + body


def m4a() -> bytes:
    """The beginning of an MPEG-4 audio file: boxes that libsndfile does not know, then noise."""
    box = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"M4A ", 512, b"isom", b"iso2")
    return box + struct.pack(">I4s", 4096, b"mdat") + np.random.default_rng(0).bytes(4088)


def seeds() -> list[bytes]:
    """Sound files to damage: every encoding, and the usual ones in several shapes."""
    every = [encoded(*one) for one in encodings()]
    for container, subtype in (("MP3", "MPEG_LAYER_III"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("WAV", "PCM_16")):
        every += [encoded(container, subtype, rate, channels) for rate in (8000, 48_000) for channels in (1, 2)]
    found = [one for one in every if one is not None]
    # as often again what corpora of speech really are
    common = [encoded("MP3", "MPEG_LAYER_III", 48_000), encoded("FLAC", "PCM_16"), encoded("WAV", "PCM_16")]
    return found + [one for one in common if one is not None] * 8 + [m4a(), wav(b"\0" * 512, 64), wav(b"\0" * 512, 1)]


def damaged(originals: list[bytes], number: int) -> tuple[bytes, str]:
    """Damaged file number `number` and an ending for its name, right or wrong."""
    rng = np.random.default_rng(number)
    data = bytearray(originals[rng.integers(len(originals))])
    for _ in range(rng.integers(1, 4)):
        data = _once(data, originals, rng)
    return bytes(data), ENDINGS[rng.integers(len(ENDINGS))]


def _once(data: bytearray, originals: list[bytes], rng: np.random.Generator) -> bytearray:
    if not data:
        return data
    kind = rng.integers(8)
    near = min(len(data), 128) if rng.random() < 0.6 else len(data)  # headers are where damage does most
    at = int(rng.integers(near))
    if kind == 0:  # bits flipped
        for _ in range(rng.integers(1, 9)):
            data[rng.integers(near)] ^= 1 << int(rng.integers(8))
    elif kind == 1:  # cut off
        del data[at:]
    elif kind == 2:  # a piece missing
        del data[at : at + int(rng.integers(1, 64))]
    elif kind == 3:  # a piece twice
        data[at:at] = data[at : at + int(rng.integers(1, 512))]
    elif kind == 4:  # noise
        data[at : at + 32] = rng.bytes(len(data[at : at + 32]))
    elif kind == 5:  # a number at the edge of its range, either byte order
        width = int(rng.choice([1, 2, 4, 8]))
        value = (
            int(rng.choice(EDGES)) if width < 8 else int(rng.choice([2**31, 2**62, 2**63, 2**64 - 1], shuffle=False))
        )
        data[at : at + width] = (value % 256**width).to_bytes(width, "little" if rng.random() < 0.5 else "big")
    elif kind == 6:  # the head of one, the rest of another
        other = originals[rng.integers(len(originals))]
        data[at:] = other[int(rng.integers(len(other))) :]
    else:  # zeros behind or in between
        data[at:at] = bytes(int(rng.integers(1, 4096)))
    return data
