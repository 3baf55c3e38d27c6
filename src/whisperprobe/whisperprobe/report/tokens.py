"""Token by token: what each model wrote, how sure it was, what else it had in mind, and how it took the spoken word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from audiogram.errors import InputError
from whisperprobe.comparison.listeners import WHISPER
from whisperprobe.comparison.result import Comparison
from whisperprobe.comparison.words import as_numbers
from whisperprobe.report.packing import Dictionary, Numbers, Texts, pack

__all__ = ["ALTERNATIVES", "TokenData", "collect_tokens"]

ALTERNATIVES = 5
TOKEN_BUDGET = 2_500_000  # characters in the page
_PER_ROW = 30  # characters that a row takes at most, about; what is over the budget is cut off afterwards
_NEEDED = ("clip_id", "decoding", "position", "token", "token_id", "probability")
_WISHED = ("variant", "rank", "entropy", "vector_row", "window")


@dataclass(frozen=True)
class TokenData:
    """What the page carries of tokens.

    Parameters
    ----------
    packed : str
        Columns as `pack` writes them: `clip` (row of the recordings), `cell`, `spoken` (0: what the model wrote, 1: the
        spoken word, read in), `position`, `token`, `bits` (-log2 p), `rank`, `entropy` (nats), and `token_1`,
        `bits_1`, ... of the most probable tokens. Empty where there are none.
    clips : int
        How many recordings it is about.
    notes : tuple of str
        What is missing, and why, as sentences.
    """

    packed: str
    clips: int
    notes: tuple[str, ...]


def collect_tokens(comparison: Comparison, clip_ids: Sequence[str], rows: Mapping[str, int]) -> TokenData:
    """Read tokens from the probe runs of a comparison, of as many recordings as the page's size allows.

    Parameters
    ----------
    comparison : Comparison
        What was compared; its runs know their folders.
    clip_ids : sequence of str
        The recordings, most wanted first.
    rows : mapping of str to int
        Row of every recording in the page's table.
    """
    runs, notes = _runs(comparison)
    if not runs or not clip_ids:
        return TokenData("", 0, tuple(notes))
    names = _Names()
    frames: list[pd.DataFrame] = []
    wanted = list(dict.fromkeys(clip_ids))
    for cell, folder in runs:
        try:
            found, per_clip = _read_run(folder, wanted, names, _PER_ROW * len(runs))
        except InputError as error:
            notes.append(f"Tokens of {comparison.cells[cell][0]} hearing {comparison.cells[cell][1]}: {error}")
            continue
        wanted = wanted[: max(1, int(TOKEN_BUDGET / per_clip))] if per_clip else wanted
        frames.append(found.assign(cell=cell))
    if not frames:
        return TokenData("", 0, tuple(notes))
    notes += names.notes
    table = pd.concat(frames, ignore_index=True)
    while True:
        kept = table[table["clip_id"].isin(set(wanted))]
        packed = _packed(kept, rows)
        if len(packed) <= TOKEN_BUDGET or len(wanted) == 1:
            return TokenData(packed, kept["clip_id"].nunique(), tuple(notes))
        wanted = wanted[: max(1, min(len(wanted) - 1, int(0.97 * len(wanted) * TOKEN_BUDGET / len(packed))))]


def _runs(comparison: Comparison) -> tuple[list[tuple[int, Path]], list[str]]:
    """Cell and folder of the probe runs, the first seed's; and what is not there."""
    found: dict[int, Path] = {}
    gone = 0
    seeds = []
    for run in comparison.runs:
        cell = (str(run["model"]), str(run["condition"]))
        if run.get("listener", WHISPER) != WHISPER or cell not in comparison.cells:
            continue
        number = comparison.cells.index(cell)
        if number in found:
            continue
        folder = Path(run["folder"]) if "folder" in run else None
        if folder is None or not (folder / "manifest.json").is_file():
            gone += 1
            continue
        found[number] = folder
        seeds.append(run.get("seed"))
    notes = []
    if gone:
        notes.append(f"{gone} probe runs are no longer where they were compared from; their tokens are not here.")
    if len({run.get("seed") for run in comparison.runs}) > 1 and found:
        notes.append(f"Tokens are those of seed {seeds[0]}; the numbers beside them are means over all seeds.")
    return sorted(found.items()), notes


def _read_run(folder: Path, wanted: Sequence[str], names: _Names, characters: int) -> tuple[pd.DataFrame, float]:
    """Rows of the wanted recordings, and about how many characters a recording takes with all runs."""
    import pyarrow.parquet as pq

    from audiogram.corpus import read_manifest, stage_parts
    from whisperprobe.arrays import map_safetensors

    options = read_manifest(folder).get("options") or {}
    pieces = []
    for part in stage_parts(folder):
        file = part.table(folder, "tokens")
        if not file.is_file():
            continue
        known = pq.read_schema(file).names
        missing = [c for c in _NEEDED if c not in known]
        if missing:
            raise InputError(f"the run's table of tokens has no {', '.join(missing)}.")
        columns = [*_NEEDED, *(c for c in _WISHED if c in known)]
        piece = pq.read_table(file, columns=columns, filters=[("clip_id", "in", list(wanted))]).to_pandas()
        if piece.empty:
            continue
        piece = _answer_and_word(piece)
        vectors = part.vectors(folder)
        names.learn(piece, options)
        pieces.append(_with_alternatives(piece, map_safetensors(vectors) if vectors.is_file() else {}, names, options))
    if not pieces:
        raise InputError("the run holds no tokens of these recordings.")
    found = pd.concat(pieces, ignore_index=True)
    return found, characters * len(found) / found["clip_id"].nunique()


def _answer_and_word(piece: pd.DataFrame) -> pd.DataFrame:
    """What was written, and of the spellings of the spoken word the most probable one."""
    forced = piece["decoding"] == "forced"
    piece = piece.assign(spoken=forced.astype(np.int64))
    if "variant" not in piece:
        return piece
    with np.errstate(divide="ignore"):
        log_p = np.log(piece["probability"].to_numpy(dtype=np.float64))
    sums = pd.Series(log_p[forced]).groupby([piece.loc[forced, n].to_numpy() for n in ("clip_id", "variant")]).sum()
    if sums.empty:
        return piece
    best = set(sums.groupby(level=0).idxmax())
    pairs = pd.MultiIndex.from_arrays([piece["clip_id"], piece["variant"]])
    return piece[~forced | pairs.isin(list(best))]


class _Names:
    """Texts of token ids: from the tables themselves, and from the model's tokenizer where that is still there."""

    def __init__(self) -> None:
        self._texts: dict[str, dict[int, str]] = {}
        self._opened: set[str] = set()
        self.notes: list[str] = []

    def learn(self, piece: pd.DataFrame, options: Mapping[str, Any]) -> None:
        mine = self._texts.setdefault(_vocabulary(options), {})
        once = piece[["token_id", "token"]].drop_duplicates()
        mine.update(zip(once["token_id"].astype(int), once["token"].astype(str), strict=True))

    def of(self, ids: np.ndarray[Any, Any], options: Mapping[str, Any]) -> list[str]:
        key = _vocabulary(options)
        mine = self._texts.setdefault(key, {})
        if key not in self._opened and any(int(i) not in mine for i in np.unique(ids)):
            self._opened.add(key)
            self._open(mine, options)
        return [mine.get(int(i), f"#{int(i)}") for i in ids]

    def _open(self, mine: dict[int, str], options: Mapping[str, Any]) -> None:
        from transformers import WhisperTokenizer

        from whisperprobe.labels import tokenizer_hash
        from whisperprobe.probing.vocabulary import vocabulary_of

        path = str(options.get("model", ""))
        try:
            tokenizer = WhisperTokenizer.from_pretrained(path, local_files_only=True)
            if tokenizer_hash(tokenizer) != options.get("tokenizer_sha256"):
                raise ValueError("its tokenizer is another one now")
            known = vocabulary_of(tokenizer, len(tokenizer)).tokens
        except (OSError, ValueError, TypeError, KeyError, InputError) as error:
            why = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            self.notes.append(
                f"Some alternatives are shown by number (#): the tokenizer of {path} was not found ({why})."
            )
            return
        mine.update({i: text for i, text in enumerate(known) if i not in mine})


def _vocabulary(options: Mapping[str, Any]) -> str:
    return str(options.get("tokenizer_sha256") or options.get("model"))


def _with_alternatives(
    piece: pd.DataFrame, vectors: Mapping[str, Any], names: _Names, options: Mapping[str, Any]
) -> pd.DataFrame:
    ids, log_p = vectors.get("top_k_ids"), vectors.get("top_k_log_probabilities")
    if ids is None or log_p is None or "vector_row" not in piece:
        return piece
    at = pd.to_numeric(piece["vector_row"], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    has = np.isfinite(at)
    rows = at[has].astype(np.int64)
    several = min(ALTERNATIVES, ids.shape[1])
    best, bits = np.asarray(ids[rows])[:, :several], -np.asarray(log_p[rows], dtype=np.float64)[:, :several] / np.log(2)
    for k in range(several):
        tokens: np.ndarray[Any, Any] = np.full(len(piece), None, dtype=object)
        tokens[has] = names.of(best[:, k], options)
        values = np.full(len(piece), np.nan)
        values[has] = bits[:, k]
        piece = piece.assign(**{f"token_{k + 1}": tokens, f"bits_{k + 1}": values})
    return piece


def _packed(table: pd.DataFrame, rows: Mapping[str, int]) -> str:
    table = table.assign(clip=table["clip_id"].map(rows))
    keys = ["clip", "cell", "spoken"]
    within = [c for c in ("window", "position") if c in table]
    table = table.sort_values([*keys, *within], kind="stable", ignore_index=True)
    table["position"] = table.groupby(keys).cumcount()  # of a long recording, through all its windows
    with np.errstate(divide="ignore"):
        table["bits"] = -np.log2(table["probability"].to_numpy(dtype=np.float64))
    texts = [c for c in ("token", *(f"token_{k + 1}" for k in range(ALTERNATIVES))) if c in table]
    values = {c: [v if isinstance(v, str) else None for v in table[c]] for c in texts}
    shared = Dictionary.of("tokens", [v for column in values.values() for v in column])
    numbers = {"clip": 0, "cell": 0, "spoken": 0, "position": 0, "rank": 0, "entropy": 2, "bits": 2}
    numbers |= {f"bits_{k + 1}": 2 for k in range(ALTERNATIVES)}
    return pack(
        [
            *(Numbers(c, as_numbers(table[c]), decimals) for c, decimals in numbers.items() if c in table),
            *(Texts(c, column, shared) for c, column in values.items()),
        ]
    )
