"""Where a fit's cues come from: speech, of which they are made now, or a folder of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiogram.corpus import open_corpus, read_manifest
from audiogram.errors import InputError
from audiogram.listening import as_condition
from whisperprobe.corpora.clip_sound import check_unfiltered
from whisperprobe.ldl.cues_corpus import write_cues
from whisperprobe.ldl.cues_matrix import spec_of
from whisperprobe.ldl.cues_reading import STAGE, StoredCues, open_cues

if TYPE_CHECKING:
    from audiogram import Condition
    from audiogram.corpus import Corpus

__all__ = ["CueSource"]


@dataclass(frozen=True)
class CueSource:
    """Cues to learn from: those of a corpus of sound, or those that a folder holds. Made by `CueSource.of`."""

    folder: StoredCues | None
    corpus: Corpus | None
    kind: str
    options: dict[str, Any]
    hearing: Condition | None

    @classmethod
    def of(
        cls, source: Any, *, kind: str | None, condition: Any, max_samples: int | None, seed: int,
        cue_options: Mapping[str, Any] | None, **opening: Any,
    ) -> CueSource:  # fmt: skip
        """Open a source; `opening` is for `open_corpus`.

        Raises
        ------
        InputError
            Options that do not apply to a folder of cues, a corpus without words to learn from, one that is filtered
            already and is to be filtered once more.
        """
        if isinstance(source, StoredCues) or _holds_cues(source):
            given = {"condition": condition, "max_samples": max_samples, "cue_options": cue_options, **opening}
            named = next((name for name, value in given.items() if value), None)
            if named is not None:
                raise InputError(f"{source} holds cues already; {named} belongs to the call that makes them.")
            cues = source if isinstance(source, StoredCues) else open_cues(source)
            if kind is not None and kind != cues.kind:
                raise InputError(f"{source} holds {cues.kind} cues, and {kind} were asked for. Leave that out.")
            return cls(cues, None, cues.kind, dict(cues.options), None)._checked()
        corpus = open_corpus(source, **opening).sample(max_samples, seed)
        hearing = None if condition is None else as_condition(condition)
        check_unfiltered(corpus, hearing)
        kind = kind or "cfbsf"
        spec = spec_of(kind, {**({"seed": seed} if kind == "cfbsf" else {}), **(cue_options or {})})
        return cls(None, corpus, kind, {} if spec is None else spec.to_dict(), hearing)._checked()

    def _checked(self) -> CueSource:
        if "train" not in self.splits:
            raise InputError(
                f"{self.place} has no clips in a split 'train' to learn from; it has clips in "
                f"{', '.join(self.splits) or 'none'}."
            )
        return self

    @property
    def place(self) -> str:
        """Where the source is."""
        opened: Any = self.corpus or self.folder
        return str(opened.root)

    @property
    def splits(self) -> list[str]:
        """Splits that have clips."""
        if self.folder is not None:
            return [split for split in self.folder.splits if len(self.folder.table(split))]
        assert self.corpus is not None
        return [split for split in self.corpus.splits if self.corpus.count(split)]

    def describe(self) -> dict[str, Any]:
        """Return what decides the cues, JSON-able; `corpus` says where they come from."""
        if self.folder is not None:
            manifest = self.folder.manifest
            return {
                "corpus": manifest["input"], "corpus_fingerprint": manifest["input"].get("fingerprint"),
                "condition": manifest.get("condition"), "corpus_condition": None,
                "cues": self.kind, "cue_options": self.options, "splits": self.splits,
            }  # fmt: skip
        assert self.corpus is not None
        return {
            "corpus": self.corpus.describe(), "corpus_fingerprint": self.corpus.fingerprint(),
            "condition": None if self.hearing is None else self.hearing.to_dict(),
            "corpus_condition": (self.corpus.manifest or {}).get("condition"),
            "cues": self.kind, "cue_options": self.options, "splits": self.splits,
        }  # fmt: skip

    def ready(self, folder: Path, splits: list[str], *, workers: int, max_failures: float) -> StoredCues:
        """Return the cues, made now in `folder` where they are not there."""
        if self.folder is not None:
            return self.folder
        assert self.corpus is not None
        written = write_cues(
            self.corpus, folder, kind=self.kind, condition=self.hearing, workers=workers, splits=splits,
            max_failures=max_failures, **self.options,
        )  # fmt: skip
        return open_cues(written)


def _holds_cues(source: Any) -> bool:
    if not isinstance(source, str | Path) or not str(source).strip() or not (Path(source) / "manifest.json").is_file():
        return False
    return bool(read_manifest(source)["stage"] == STAGE)
