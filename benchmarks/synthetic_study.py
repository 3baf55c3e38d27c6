"""A made-up study of any size, as folders that the real stages would have written, and its report.

python benchmarks/synthetic_study.py DIR                          # 27,000 words, one recording each: a MALD-sized study
python benchmarks/synthetic_study.py DIR --words 60 --recordings 4 --sounds 12

Words are strings of syllables, their tokens those of the demo's tokenizer, probabilities are drawn; nothing is probed.
The comparison and the report are made by the library itself.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from safetensors.numpy import save_file

from audiogram import apply_conditions, condition
from whisperprobe.comparison import Comparison, ProbeRun, compare
from whisperprobe.report import write_report

CONDITIONS = ("normal", "lfloss", "hfloss")
MODELS = ("base", "lfloss", "hfloss")
ACCURACY = {
    ("base", "normal"): 0.93, ("base", "lfloss"): 0.62, ("base", "hfloss"): 0.31,
    ("lfloss", "normal"): 0.78, ("lfloss", "lfloss"): 0.86, ("lfloss", "hfloss"): 0.22,
    ("hfloss", "normal"): 0.70, ("hfloss", "lfloss"): 0.33, ("hfloss", "hfloss"): 0.71,
}  # fmt: skip
VOICES = ("ada", "ben", "cleo", "dan")
RATE = 16_000
TOP_K = 10
PART = "test-00000-of-00001"
ONSETS = (*"bdfghklmnprstvwz", "sh", "ch", "th", "st", "tr", "pl", "gr", "sp")
NUCLEI = ("a", "e", "i", "o", "u", "ai", "ea", "oo")
CODAS = ("", "n", "t", "s", "k", "m", "l", "r", "nd", "st")


def make_words(n: int, rng: np.random.Generator) -> list[str]:
    """That many different words of one to three syllables, in alphabetical order."""
    words: set[str] = set()
    while len(words) < n:
        sizes = rng.choice((1, 2, 2, 3), 2 * n)
        for size in sizes:
            parts = [f"{rng.choice(ONSETS)}{rng.choice(NUCLEI)}{rng.choice(CODAS)}" for _ in range(size)]
            words.add("".join(parts))
            if len(words) == n:
                break
    return sorted(words)


def demo_model() -> Path:
    """The folder of the demo's model, whose tokenizer names the tokens."""
    return Path(str(files("whisperprobe.demo") / "model"))


class _Tokens:
    """The demo's tokenizer: ids and texts of a word's tokens, the end token last."""

    def __init__(self) -> None:
        from transformers import WhisperTokenizer

        from whisperprobe.labels import tokenizer_hash

        tokenizer = WhisperTokenizer.from_pretrained(demo_model())
        self.sha256 = tokenizer_hash(tokenizer)
        self.end = int(tokenizer.eos_token_id)
        self.texts = np.array([tokenizer.decode([i]) for i in range(len(tokenizer))], dtype=object)
        self.letters = np.array([i for i, text in enumerate(self.texts) if text.isascii() and text.isalpha()])
        self._encode = tokenizer
        self._known: dict[str, list[int]] = {}

    def of(self, words: Sequence[str]) -> list[list[int]]:
        new = [w for w in dict.fromkeys(words) if w not in self._known]
        if new:
            encoded = self._encode(new, add_special_tokens=False)["input_ids"]
            self._known.update((w, [*ids, self.end]) for w, ids in zip(new, encoded, strict=True))
        return [self._known[w] for w in words]


def _clips(words: Sequence[str], recordings: int) -> pd.DataFrame:
    """Every word in so many recordings, each by a voice of its own where there are enough."""
    frame = pd.DataFrame({"text": np.repeat(np.array(words, dtype=object), recordings)})
    number = np.arange(len(frame))
    frame["voice"] = np.array(VOICES, dtype=object)[(number // recordings + number) % len(VOICES)]
    take = (number % recordings) // len(VOICES)
    frame["clip_id"] = [
        f"{v}/{w}" + (f"-{t + 1}" if t else "") for v, w, t in zip(frame["voice"], frame["text"], take, strict=True)
    ]
    return frame


def _write_run(
    folder: Path, clips: pd.DataFrame, cell: tuple[str, str], tokens: _Tokens, seed: int, ease: np.ndarray
) -> None:
    """One probe run: clips, tokens with probabilities, most probable tokens."""
    model, heard = cell
    rng = np.random.default_rng([seed, MODELS.index(model), CONDITIONS.index(heard)])
    n = len(clips)
    skill = np.log(ACCURACY[cell] / (1 - ACCURACY[cell]))
    chance = 1 / (1 + np.exp(-(skill + 1.2 * ease + rng.normal(0, 0.5, n))))
    right = rng.random(n) < chance
    text = clips["text"].to_numpy()
    near = np.clip(np.arange(n) + rng.integers(-40, 41, n), 0, n - 1)  # alphabetical neighbours begin alike
    answer = np.where(right, text, text[near])
    right = answer == text
    tables, sure = [], {}
    for decoding, spoken in (("greedy", answer), ("forced", text)):
        ids = tokens.of(list(spoken))
        lengths = np.array([len(i) for i in ids])
        flat = np.concatenate([np.array(i, dtype=np.int64) for i in ids])
        clip = np.repeat(np.arange(n), lengths)
        position = np.arange(len(flat)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        level = np.where(right, 0.9, 0.45 if decoding == "greedy" else 0.05)[clip]
        probability = np.clip(rng.beta(8 * level + 0.2, 8 * (1 - level) + 0.2), 1e-6, 1 - 1e-6)
        rank = np.where(probability > 0.5, 1, 1 + rng.geometric(np.clip(probability, 0.02, 1)))
        rank = np.ones_like(rank) if decoding == "greedy" else rank
        frame = pd.DataFrame(
            {
                "clip_id": clips["clip_id"].to_numpy()[clip],
                "decoding": decoding,
                "variant": None if decoding == "greedy" else "lower",
                "position": position.astype(np.int32),
                "token_id": flat.astype(np.int32),
                "token": tokens.texts[flat],
                "kind": np.where(flat == tokens.end, "end", "text"),
                "log_probability": np.log(probability),
                "probability": probability,
                "surprisal": -np.log2(probability),
                "rank": rank.astype(np.int32),
                "entropy": rng.gamma(2, 1.2 * (1.05 - probability)),
            }
        )
        tables.append(frame)
        sure[decoding] = np.bincount(clip, weights=frame["surprisal"], minlength=n)
        if decoding == "forced":
            mean_rank = np.bincount(clip, weights=rank, minlength=n) / lengths
    kept = len(tables[0])
    frame = pd.concat(tables, ignore_index=True)
    frame["vector_row"] = pd.array([*range(kept), *[None] * (len(frame) - kept)], dtype="Int64")
    summary = clips.assign(
        prediction=answer, correct=right, word_surprisal=sure["forced"], word_mean_rank=mean_rank,
        log_probability=-np.log(2) * sure["greedy"],
    )  # fmt: skip
    truth = pd.DataFrame({"clip_id": clips["clip_id"].iloc[:0], "position": [], "target_index": []})
    failures = pd.DataFrame({"id": pd.Series(dtype=str), "error": pd.Series(dtype=str)})
    for name, table in {"clips": summary, "tokens": frame, "ground_truth": truth, "failures": failures}.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        if len(table) or name == "failures":
            pq.write_table(pa.Table.from_pandas(table, preserve_index=False), folder / name / f"{PART}.parquet")
    (folder / "vectors").mkdir(exist_ok=True)
    save_file(_top_k(tables[0], tokens.letters, rng), folder / "vectors" / f"{PART}.safetensors")
    options = {
        "model": str(demo_model()), "tokenizer_sha256": tokens.sha256, "language": "en", "task": "transcribe",
        "dtype": "float32", "condition": None, "corpus_condition": condition(heard).to_dict(), "top_k": TOP_K,
        "vectors": "greedy", "decodings": ["greedy", "forced"],
    }  # fmt: skip
    manifest = {
        "stage": "probe", "options": options, "versions": {"whisperprobe": "1.0.0"},
        "plan": {"rows": {"test": n}, "rows_per_part": max(256, n)},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))


def _top_k(greedy: pd.DataFrame, others: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The token itself first, then others that share what it leaves."""
    own = greedy["token_id"].to_numpy()
    start = rng.integers(0, len(others), len(greedy))
    ids = others[(start[:, None] + 7 * np.arange(TOP_K)) % len(others)]  # different ones: 7 divides no such number
    ids = np.where(ids == own[:, None], others[start - 1][:, None], ids)
    ids[:, 0] = own
    p = greedy["probability"].to_numpy()
    shares = 0.5 ** np.arange(1, TOP_K) / (1 - 0.5 ** (TOP_K - 1))
    others = np.minimum((1 - p)[:, None] * shares, p[:, None])
    log_p = np.log(np.column_stack([p, others]))
    return {"top_k_ids": ids.astype(np.uint16), "top_k_log_probabilities": log_p.astype(np.float16)}


def _write_sounds(root: Path, clips: pd.DataFrame, sounds: int, rng: np.random.Generator) -> dict[str, Path]:
    """Corpora of some of the recordings: a buzz through two formants for each letter."""
    chosen = clips.iloc[np.unique(np.linspace(0, len(clips) - 1, min(sounds, len(clips))).astype(int))]
    for row in chosen.itertuples():
        pitch = 110 + 40 * VOICES.index(row.voice)
        pieces = []
        for letter in row.text:
            t = np.arange(int(RATE * 0.09)) / RATE
            first, second = 300 + 23 * (ord(letter) % 19), 900 + 97 * (ord(letter) % 17)
            buzz = sum(
                np.sin(2 * np.pi * pitch * h * t) / (1 + min(abs(pitch * h - first), abs(pitch * h - second)) / 150)
                for h in range(1, 30)
            )
            noise = rng.standard_normal(len(t)) * (3.0 if letter in "sfhzt" else 0.05)
            pieces.append((buzz + noise) * np.hanning(len(t)))
        x = np.concatenate([np.zeros(800), *pieces, np.zeros(800)])
        for name, y in zip(CONDITIONS, apply_conditions(0.3 * x / np.abs(x).max(), RATE, CONDITIONS), strict=True):
            file = root / name / f"{row.clip_id}.flac"
            file.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(file, y / max(1.0, np.abs(y).max()), RATE, subtype="PCM_16")
    return {name: root / name for name in CONDITIONS} if sounds else {}


def _write_training(root: Path, rng: np.random.Generator) -> dict[str, Path]:
    for name in MODELS[1:]:
        (root / name).mkdir(parents=True, exist_ok=True)
        step = np.arange(1, 161)
        loss = 2.8 * np.exp(-step / 40) + 0.15 + 0.05 * rng.random(len(step))
        pd.DataFrame({"step": step, "loss": loss, "learning_rate": 1e-3}).to_csv(
            root / name / "training.csv", index=False
        )
    return {name: root / name for name in MODELS[1:]}


def make_comparison(folder: Path, *, words: int = 27_000, recordings: int = 1, seed: int = 0) -> Comparison:
    """Write nine probe runs, three models hearing three conditions, and compare them."""
    rng = np.random.default_rng(seed)
    clips = _clips(make_words(words, rng), recordings)
    ease = np.repeat(rng.standard_normal(words), recordings)
    tokens = _Tokens()
    runs = []
    for cell in ACCURACY:
        out = folder / "probes" / cell[0] / cell[1]
        _write_run(out, clips, cell, tokens, seed, ease)
        runs.append(ProbeRun(out, *cell, seed=1))
    return compare(runs, out=folder / "comparison")


def make_report(
    folder: str | Path, *, words: int = 27_000, recordings: int = 1, sounds: int = 24, seed: int = 0
) -> Path:
    """Make a whole synthetic study in a folder and write its report.

    Parameters
    ----------
    folder : path
        Where everything goes.
    words, recordings : int
        Words, and recordings of each.
    sounds : int
        How many recordings have a sound.
    seed : int
        Of everything that is drawn.

    Returns
    -------
    Path
        ``folder/report.html``.
    """
    folder = Path(folder)
    comparison = make_comparison(folder, words=words, recordings=recordings, seed=seed)
    rng = np.random.default_rng([seed, 1])
    clips = comparison.clips[["clip_id", "text", "voice"]].drop_duplicates("clip_id")
    return write_report(
        comparison,
        folder / "report.html",
        title=f"{words:,} words through three audiograms",
        conditions=[condition(name) for name in CONDITIONS],
        corpora=_write_sounds(folder / "sounds", clips, sounds, rng),
        training=_write_training(folder / "training", rng),
        provenance={"study": {"name": "synthetic", "words": words, "recordings": recordings, "seed": seed}},
    )


def main() -> None:
    """Make one from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where everything goes")
    parser.add_argument("--words", type=int, default=27_000, help="how many words")
    parser.add_argument("--recordings", type=int, default=1, help="recordings of each word")
    parser.add_argument("--sounds", type=int, default=24, help="recordings that have a sound")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn")
    options = parser.parse_args()
    given = {key: value for key, value in vars(options).items() if key != "folder"}
    out: Any = make_report(options.folder, **given)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
