"""What a probe gives beside its three tables, when asked: layers, encoder states, a lexicon's competition, beams."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from audiogram.errors import InputError
from whisperprobe.probing import schemas
from whisperprobe.probing.batches import check_choice
from whisperprobe.probing.decode import room_for_text
from whisperprobe.probing.homophones import Homophones
from whisperprobe.probing.layers import parse_layers
from whisperprobe.probing.lexicon import Lexicon

__all__ = ["ENCODER", "NOTHING_MORE", "Extras"]

ENCODER = ("none", "mean", "window")


@dataclass(frozen=True, eq=False)
class Extras:
    """What is asked of a probe beside `clips`, `tokens` and `ground_truth`; checked against its model by `of`.

    Attributes
    ----------
    layers : tuple of int
        Decoder layers under which every token is measured.
    layer_vectors : bool
        Whether the rows that keep vectors keep the states of these layers too.
    encoder : {"none", "mean", "window"}
        Mean of the encoder's states to keep per clip: over the positions that cover the clip, or the whole window.
    lexicon : Lexicon or None
        Words that compete for each clip.
    candidates : int or None
        How many of them a first pass lets through; None scores all.
    competitors : int
        How many of them are listed per clip.
    n_best : int
        Answers of a beam search per clip.
    homophones : Homophones or None
        Words that sound alike, for `correct_homophone`.
    """

    layers: tuple[int, ...] = ()
    layer_vectors: bool = False
    encoder: str = "none"
    lexicon: Lexicon | None = None
    candidates: int | None = None
    competitors: int = 10
    n_best: int = 0
    homophones: Homophones | None = None

    @classmethod
    def of(
        cls,
        model: Any,
        tokenizer: Any,
        prompt: Sequence[int],
        *,
        layers: str | int | Sequence[int] | None = None,
        layer_vectors: bool = False,
        encoder: str = "none",
        lexicon: str | Path | Sequence[str] | Lexicon | None = None,
        candidates: int | None = None,
        competitors: int = 10,
        n_best: int = 0,
        homophones: str | Path | Iterable[Sequence[str]] | None = None,
        normalise: Callable[[str], str] = str.casefold,
    ) -> Extras:
        """Check what is asked for against the model and build the lexicon's trie.

        Raises
        ------
        InputError
            An option that does not fit the model, the lexicon or the others.
        """
        chosen = parse_layers(layers, model.config.decoder_layers)
        check_choice("encoder", encoder, ENCODER)
        if layer_vectors and not chosen:
            raise InputError("layer_vectors keeps states of layers, but no layers are asked for; give layers too.")
        _check_count("competitors", competitors, 1)
        _check_count("n_best", n_best, 0)
        size = model.get_output_embeddings().weight.shape[0]
        if 2 * n_best > size:
            raise InputError(f"n_best is {n_best}; with a vocabulary of {size} tokens give at most {size // 2}.")
        if lexicon is not None and not isinstance(lexicon, Lexicon):
            lexicon = Lexicon.of(lexicon, tokenizer, room=room_for_text(model, list(prompt)))
        if candidates is not None:
            _check_count("candidates", candidates, 1)
            if lexicon is None:
                raise InputError("candidates limits how many words of a lexicon are scored; give a lexicon too.")
            if candidates > len(lexicon):
                raise InputError(
                    f"candidates is {candidates}, but the lexicon has {len(lexicon)} words; leave it out to score all."
                )
        alike = None if homophones is None else Homophones.of(homophones, normalise)
        return cls(chosen, layer_vectors, encoder, lexicon, candidates, competitors, n_best, alike)

    def describe(self) -> dict[str, Any]:
        """Return what was asked for, for a manifest; nothing of what was not, so that plain runs stay as they are."""
        out: dict[str, Any] = {}
        if self.layers:
            out |= {"layers": list(self.layers), "layer_vectors": self.layer_vectors}
        if self.encoder != "none":
            out["encoder"] = self.encoder
        if self.lexicon is not None:
            out["lexicon"] = {"words": len(self.lexicon), "sha256": self.lexicon.sha256()}
            out |= {"candidates": self.candidates, "competitors": self.competitors}
        if self.n_best:
            out["n_best"] = self.n_best
        if self.homophones is not None:
            out["homophones"] = self.homophones.describe()
        return out

    def schemas(self) -> dict[str, pa.Schema]:
        """Return the columns of every table of a run, without those of the source."""
        out = {name: schemas.SCHEMAS[name] for name in ("clips", *schemas.tables_of(self.describe()))}
        clips = [*schemas.CLIPS, *(schemas.LEXICON if self.lexicon is not None else ())]
        if self.encoder != "none":
            clips.append(schemas.ENCODER_ROW)
        if self.homophones is not None:
            clips.append(schemas.CORRECT_HOMOPHONE)
        return out | {"clips": pa.schema(clips)}


NOTHING_MORE = Extras()
"""Nothing beside the three tables."""


def _check_count(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name} is {value!r}; give a whole number of at least {least}.")
