"""Word times that the Montreal Forced Aligner, or a person in Praat, has written as TextGrids."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from audiogram.errors import InputError
from whisperprobe.alignment.gaps import AlignedWord
from whisperprobe.alignment.spoken import letters, spoken_words
from whisperprobe.corpora.file_names import file_paths, safe_path

__all__ = ["TextGrids", "match_words", "read_textgrid"]

_SILENT = frozenset({"", "<eps>", "sil", "sp", "<sil>", "<p:>", "#"})
_UNKNOWN = frozenset({"<unk>", "spn", "<spoken_noise>"})  # said, but MFA's dictionary has it not

Interval = tuple[float, float, str]


class TextGrids:
    """TextGrids of a corpus, one for each clip: ``FOLDER/{id}.TextGrid``.

    Parameters
    ----------
    folder : path
        Where they lie, as the clips lie in their source; or as `extract_corpus` names its files.
    ids : iterable of str
        All ids of the corpus, from which `extract_corpus` has made names.
    """

    method = "textgrid"

    def __init__(self, folder: str | Path, ids: Iterable[str]) -> None:
        _praatio()
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise InputError(f"there is no folder of TextGrids {folder}. Give --textgrids what mfa align has written.")
        self._files = {
            path.relative_to(self.folder).with_suffix("").as_posix(): path
            for path in sorted(self.folder.rglob("*"))
            if path.suffix.casefold() == ".textgrid" and not path.name.startswith(".")
        }
        if not self._files:
            raise InputError(
                f"{folder} holds no .TextGrid file, nor do the folders in it. Is it the output of mfa align?"
            )
        self._named = dict(file_paths(ids))

    def describe(self) -> dict[str, Any]:
        """Return what decides the result: a digest of all files."""
        digest = hashlib.sha256()
        for name, path in self._files.items():
            digest.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
        return {"textgrids": str(self.folder), "textgrids_sha256": digest.hexdigest()}

    def path(self, id: str) -> Path | None:
        """The file of a clip, or None."""
        for name in (id, self._named.get(id), safe_path(id)):
            if name is not None and name in self._files:
                return self._files[name]
        return None

    def align(self, id: str, text: str) -> tuple[list[AlignedWord], float]:
        """Return a clip's words with their times, and the length of its TextGrid in s.

        Raises
        ------
        InputError
            There is no TextGrid, it cannot be read, has no words, or other words than the transcript.
        """
        path = self.path(id)
        if path is None:
            raise InputError(f"there is no {id}.TextGrid in {self.folder}. Did the aligner leave the clip out?")
        intervals, seconds = read_textgrid(path)
        return match_words(text, intervals, str(path)), seconds

    def strangers(self, ids: Iterable[str]) -> int:
        """How many files belong to none of these clips."""
        return len(set(self._files.values()) - {self.path(id) for id in ids})


def read_textgrid(path: str | Path) -> tuple[list[Interval], float]:
    """Read the words of a TextGrid, gaps left out.

    Parameters
    ----------
    path : path
        Long, short or JSON form, UTF-8 or UTF-16. Its words stand in the interval tier ``words``, of several speakers
        in one tier each, ``anna - words``; or in the only tier that there is.

    Returns
    -------
    intervals : list of (start, end, label)
        In s, in order, of all speakers.
    seconds : float
        Where the TextGrid ends.

    Raises
    ------
    InputError
        It cannot be read, or has no such tier.
    """
    opened = _praatio()
    try:
        grid = opened.openTextgrid(
            str(path), includeEmptyIntervals=False, reportingMode="silence", duplicateNamesMode="rename"
        )
    except Exception as error:  # praatio parses by position and raises whatever that leads to
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{path} cannot be read as a TextGrid: {type(error).__name__}: {reason}") from error
    tiers = [tier for tier in grid.tiers if isinstance(tier, opened.IntervalTier)]
    chosen = [tier for tier in tiers if _is_words(tier.name)] or (tiers if len(tiers) == 1 else [])
    if not chosen:
        raise InputError(
            f"{path} has no tier of words: its tiers are {', '.join(t.name for t in grid.tiers) or 'none'}; one is to "
            "be called 'words', or 'SPEAKER - words'."
        )
    found = [(float(e.start), float(e.end), str(e.label).strip()) for tier in chosen for e in tier.entries]
    return sorted(one for one in found if one[2].casefold() not in _SILENT), float(grid.maxTimestamp)


def _is_words(name: str) -> bool:
    parts = [part.strip().casefold() for part in name.rsplit("-", 1)]
    return parts[-1].rstrip("_0123456789") == "words"


def match_words(text: str, intervals: Sequence[Interval], name: str = "the TextGrid") -> list[AlignedWord]:
    """Give the words of a transcript the times of intervals that say the same.

    An aligner may have written one word as several ("well-known" as two); case and punctuation do not count, and an
    unknown word of the aligner's stands for any.

    Parameters
    ----------
    text : str
        The transcript.
    intervals : sequence of (start, end, label)
        In s, in order.
    name : str
        What the error calls the intervals.

    Raises
    ------
    InputError
        They say something else; both are named.
    """
    words = spoken_words(text)
    if not words:
        raise InputError(f"no word is said in the transcript {text!r}.")
    found: list[AlignedWord] = []
    at = 0
    for word in words:
        first, said, wanted = at, "", letters(word.word)
        while at < len(intervals) and said != wanted:
            label = intervals[at][2]
            at += 1
            if label.casefold() in _UNKNOWN and not said:
                said = wanted
            elif wanted.startswith(said + letters(label)):
                said += letters(label)
            else:
                break
        if said != wanted:
            raise _mismatch(text, intervals, name)
        found.append(AlignedWord(word.word, intervals[first][0], intervals[at - 1][1]))
    if at < len(intervals):
        raise _mismatch(text, intervals, name)
    return found


def _mismatch(text: str, intervals: Sequence[Interval], name: str) -> InputError:
    said = " ".join(label for _, _, label in intervals)
    return InputError(f"the alignment does not match the transcript: {name} says {said!r}, the transcript {text!r}.")


def _praatio() -> Any:
    try:
        from praatio import textgrid
    except ImportError:
        raise InputError(
            "TextGrids are read by the package praatio, which is not installed: pip install 'whisperprobe[align]'."
        ) from None
    return textgrid
