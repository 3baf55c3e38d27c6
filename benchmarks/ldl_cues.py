"""C-FBSF cues: speed and deviation against their definition written out plainly (`reference/plain_cues.py`).

python benchmarks/ldl_cues.py [--clips 32] [--threads 1]
python benchmarks/ldl_cues.py --speech ../corpora/words      # words of a corpus instead of noise in the shape of words
python benchmarks/ldl_cues.py --write                        # and puts the table into RESULTS.md
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import results
import torch
from reference import plain_cues

from audiogram import sound
from audiogram.corpus import open_corpus
from whisperprobe import ldl
from whisperprobe.ldl.cues_matrix import units_of_all
from whisperprobe.ldl.cues_summaries import BandSummaries, summaries_of_all

RATE = 16_000


def word_like(count: int) -> list[np.ndarray]:
    """Noise of 0.2 to 1 s with syllables in it."""
    rng = np.random.default_rng(0)
    words = []
    for _ in range(count):
        n = int(rng.integers(RATE // 5, RATE))
        at = np.arange(n) / RATE
        syllables = np.abs(np.sin(2 * np.pi * rng.uniform(1, 4) * at + rng.uniform(0, 3)))
        words.append((0.1 * syllables * rng.standard_normal(n)).astype(np.float32))
    return words


def spoken(source: Path, count: int) -> list[np.ndarray]:
    """Words of a corpus at 16 kHz."""
    corpus = open_corpus(source)
    split = corpus.splits[0]
    clips = corpus.sample(count).read(split)
    return [np.asarray(sound.resample(*clip.audio(), RATE), np.float32) for clip in clips]


def best(call: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Shortest of several runs in seconds, and the result."""
    times, result = [], None
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times), result


def measured(words: Sequence[np.ndarray]) -> list[str]:
    """A table: who, words per second, seconds of sound per second, ratio, largest deviation."""
    seconds = sum(map(len, words)) / RATE
    spec = BandSummaries()
    plain_time, plain = best(lambda: [plain_cues.cues(word) for word in words], 1)
    rows = [["written out plainly", *_rates(plain_time, words, seconds), "1", "-"]]
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        clips = [torch.from_numpy(word).to(device) for word in words]
        summaries_of_all(clips, spec)  # tables of filters
        taken, ours = best(lambda clips=clips: summaries_of_all(clips, spec), 5)
        chunks = [len(a) == len(b) for a, b in zip(ours, plain, strict=True)]
        off = max(
            float(np.abs(a.cpu().numpy() - b).max()) for a, b in zip(ours, plain, strict=True) if len(a) == len(b)
        )
        said = f"{off:.1e}" if all(chunks) else f"{off:.1e}, {chunks.count(False)} words have other chunks"
        rows.append([f"ldl, {device}, batch", *_rates(taken, words, seconds), f"{plain_time / taken:.0f}", said])
    taken, _ = best(lambda: [ldl.cfbsf(word, RATE) for word in words], 3)
    rows.append(
        ["ldl.cfbsf, word by word", *_rates(taken, words, seconds), f"{plain_time / taken:.0f}", "as the batch"]
    )
    clips = [torch.from_numpy(word) for word in words]
    taken, _ = best(lambda: units_of_all(clips, None), 3)
    rows.append(["log-mel cues, cpu, batch", *_rates(taken, words, seconds), "-", "-"])
    return results.table(["what", "words/s", "s of sound per s", "ratio", "largest deviation"], rows)


def _rates(taken: float, words: Sequence[np.ndarray], seconds: float) -> list[str]:
    return [f"{len(words) / taken:.1f}", f"{seconds / taken:.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--speech", type=Path, help="a corpus of words")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/RESULTS.md")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    words = spoken(options.speech, options.clips) if options.speech else word_like(options.clips)
    seconds = sum(map(len, words)) / RATE
    text = "\n".join(
        [
            f"## ldl_cues.py: C-FBSF cues of {len(words)} words, {seconds / len(words):.2f} s on average, "
            f"{options.threads} thread(s)",
            "",
            results.machine("torch", "scipy"),
            "",
            *measured(words),
            "",
            "630 cues a chunk. The plain way loops over windows, frames, bands and pairs with NumPy and SciPy.",
        ]
    )
    results.show(text, write=options.write)


if __name__ == "__main__":
    main()
