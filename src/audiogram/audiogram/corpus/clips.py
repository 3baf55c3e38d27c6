"""One clip of a corpus: who it is, what is said, and its sound when asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiogram.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["MAX_SECONDS", "Clip"]

# Longer recordings are refused clip by clip: an hour at 48 kHz takes a gigabyte, and no clip of speech is that long.
MAX_SECONDS = 300.0


@dataclass(frozen=True)
class Clip:
    """A clip of a corpus.

    Parameters
    ----------
    id : str
        Unique in the corpus: the source's own id, or the path within the source without the file's ending.
    split : str
        The split that it belongs to.
    text : str or None
        What is said, where it is known.
    metadata : dict
        All other columns of the source, in order.
    path : Path, optional
        The file of the sound.
    data : bytes, optional
        The encoded sound, where it lies within the corpus.
    problem : str, optional
        Why the clip cannot be used, known before its sound is read.
    """

    id: str
    split: str
    text: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None
    data: bytes | None = field(default=None, repr=False)
    problem: str | None = None

    @property
    def encoded(self) -> bytes:
        """The sound as it is stored, e.g. the bytes of an MP3 or FLAC file.

        Raises
        ------
        InputError
            The file is missing, empty or cannot be read.
        """
        if self.problem is not None:
            raise InputError(self.problem)
        if self.data is not None:
            encoded = self.data
        elif self.path is not None:
            if self.path.exists() and not self.path.is_file():  # opening a pipe would wait for ever
                raise InputError(f"{self.path}: a folder, a pipe or a device, not a file.")
            try:
                encoded = self.path.read_bytes()
            except OSError as error:
                raise InputError(f"{self.path}: {error.strerror or error}.") from error
        else:
            raise InputError(f"clip {self.id!r} has neither a file nor encoded sound.")
        if not encoded:
            raise InputError(f"{self.path or self.id}: the file is empty (0 bytes).")
        return encoded

    def audio(self, max_seconds: float = MAX_SECONDS) -> tuple[npt.NDArray[np.float32], int]:
        """Decode the sound.

        Parameters
        ----------
        max_seconds : float, default 300
            Longest clip, in s, that is decoded.

        Returns
        -------
        x : ndarray of float32, shape (samples,)
            The waveform, channels averaged, full scale 1.
        rate : int
            Its sample rate in Hz.

        Raises
        ------
        InputError
            The clip is missing, empty, unreadable, too long, or holds NaN or infinite samples.
        """
        from audiogram import sound

        return sound.read(self._source(), max_seconds=max_seconds)

    def _source(self) -> Path | bytes:
        if self.problem is None and self.data is None and self.path is not None and self.path.is_file():
            return self.path
        return self.encoded
